/**
 * Sends `KILL QUERY` for sessions of one server.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import { timeoutOrElse } from "../../../internal/Timeout.ts"
import type { Connection } from "./Driver.ts"

/** A statement to end, by the number of its session. */
interface Kill {
  readonly session: number
  readonly done: Deferred.Deferred<void>
}

/** The longest that the server may take to accept the connection, or to answer. */
const patience = "1 second"

const failAll = (kills: ReadonlyArray<Kill>, cause: unknown): void => {
  // Those that are done stay as they are.
  for (const { done } of kills) Deferred.doneUnsafe(done, Exit.die(cause))
}

const inTime = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  timeoutOrElse(effect, {
    duration: patience,
    orElse: () => Effect.die(new Error(`the server has not answered within ${patience}`))
  })

/**
 * The statements to end. One connection at a time ends all of them, also those that come while it is open, so that many statements
 * that are given up at once cost the server one connection.
 */
export class KillQueue<E> {
  readonly #connection: Effect.Effect<Connection, E, Scope.Scope>
  #waiting: Array<Kill> = []
  /** Done when the connection that is open now is closed, and none follows it. */
  #running: Deferred.Deferred<void> | undefined

  constructor(connection: Effect.Effect<Connection, E, Scope.Scope>) {
    this.#connection = connection
  }

  /** Ends the statement of a session. It dies if the server has refused that. */
  kill(session: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      const done = Deferred.makeUnsafe<void>()
      this.#waiting.push({ session, done })
      return Effect.andThen(this.#start, Deferred.await(done))
    })
  }

  /** Completes when no statement waits for its end, and no connection is open for that. */
  readonly idle: Effect.Effect<void> = Effect.suspend(() =>
    this.#running === undefined ? Effect.void : Deferred.await(this.#running)
  )

  readonly #start: Effect.Effect<void> = Effect.suspend(() => {
    if (this.#running !== undefined) return Effect.void
    this.#running = Deferred.makeUnsafe()
    return Effect.asVoid(Effect.forkDetach(this.#run))
  })

  readonly #run: Effect.Effect<void, E> = Effect.suspend(() =>
    Effect.onExit(Effect.interruptible(Effect.scoped(this.#serve)), (exit) => this.#over(exit))
  )

  readonly #serve = Effect.suspend(() =>
    Effect.flatMap(inTime(this.#connection), (connection) =>
      Effect.whileLoop({
        while: () => this.#waiting.length > 0,
        body: () => this.#killAll(connection),
        step: () => {}
      }))
  )

  /** Sends the statements together. The driver sends each of them in the step in which the one before was answered. */
  #killAll(connection: Connection): Effect.Effect<void> {
    const kills = this.#waiting
    this.#waiting = []
    const killed = kills.map(({ done, session }) =>
      connection.promise().query(`KILL QUERY ${session}`).then(
        () => Deferred.doneUnsafe(done, Exit.void),
        (cause: unknown) => Deferred.doneUnsafe(done, Exit.die(cause))
      )
    )
    return inTime(Effect.promise(() => Promise.all(killed))).pipe(
      Effect.asVoid,
      Effect.tapCause((cause) => Effect.sync(() => failAll(kills, cause)))
    )
  }

  /** After a failure the statements that wait are not ended. Those that came while the connection closed get another one. */
  #over(exit: Exit.Exit<void, E>): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (Exit.isSuccess(exit) && this.#waiting.length > 0) return Effect.asVoid(Effect.forkDetach(this.#run))
      const [running, waiting] = [this.#running, this.#waiting]
      this.#running = undefined
      this.#waiting = []
      if (Exit.isFailure(exit)) failAll(waiting, exit.cause)
      return running === undefined ? Effect.void : Effect.asVoid(Deferred.succeed(running, undefined))
    })
  }
}
