/**
 * Pipelines the commands of all fibers on one connection.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Option from "effect/Option"
import type { RedisError } from "effect/persistence/Redis"
import type * as Scope from "effect/Scope"
import { AgeClock } from "../../../internal/AgeClock.ts"
import { elapsed, timeoutOptionRunning } from "../../../internal/Timeout.ts"
import { sleepUnref } from "../../../internal/Timer.ts"
import * as ConnectionPool from "../../../Pool/ConnectionPool.ts"
import type { Endpoint } from "../../../Resource/Endpoint.ts"
import { fromPool, isReply } from "./Failure.ts"
import { type Client, type Session, sessionOf } from "./Session.ts"
import type { Limits } from "./Settings.ts"

/** The longest tick in ms. A connection without commands for one to two ticks goes back to its pool. */
const longestTick = 250

/** A command that waits too long fails after this many ticks at the latest. */
const ticksPerTimeout = 8

/**
 * Sends commands on the connection of a pool that shares it.
 *
 * **Details**
 *
 * While there are commands, a standing lease holds the connection, and each command is sent on it without a borrow, which would
 * cost a tenth of the throughput. If there is no such lease, a command borrows like any user of the pool, with its own deadline and
 * place in the queue, and the standing lease is begun again. After a while without commands the lease ends, so that the pool's idle
 * time, checks and lifetime apply. The lease also ends when the pool recalls the connection: commands that were sent are still
 * answered on that connection, and further commands borrow another one.
 */
export class SharedCommands {
  readonly #pool: ConnectionPool.ConnectionPool<Endpoint, Client>
  readonly #limits: Limits
  readonly #clock: AgeClock
  readonly #fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
  readonly #tick: number
  readonly #ticks: number
  /** The connection of the standing lease. */
  #session: Session | undefined
  #isHeld = false
  /** When a command was last sent while no other was under way. */
  #usedAt = 0
  /** The check of a connection that was unused for long within one lease, as after the process was stopped. */
  #check: Fiber.Fiber<void> | undefined

  constructor(
    pool: ConnectionPool.ConnectionPool<Endpoint, Client>,
    limits: Limits,
    clock: Clock.Clock,
    fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
  ) {
    this.#pool = pool
    this.#limits = limits
    this.#clock = new AgeClock(clock)
    this.#fork = fork
    const timeout = Duration.toMillis(limits.commandTimeout)
    this.#tick = Math.min(Math.max(Math.floor(timeout / ticksPerTimeout), 1), longestTick)
    this.#ticks = Math.ceil(timeout / this.#tick)
  }

  /** Sends a command and waits for its answer. */
  send<A>(argv: Array<string>): Effect.Effect<A, RedisError> {
    return Effect.suspend(() => {
      const session = this.#ready()
      if (session !== undefined) return session.command<A>(argv)
      const doubted = this.#session
      return doubted?.isUsable === true
        ? Effect.andThen(this.#checked(doubted), this.send<A>(argv))
        : this.#borrow<A>(argv)
    })
  }

  /** The connection of the standing lease, if a command may be sent on it now. */
  #ready(): Session | undefined {
    const session = this.#session
    if (session === undefined || this.#check !== undefined || !session.isUsable) return undefined
    if (session.pending > 0) return session
    const now = this.#clock.now()
    if (now - this.#usedAt > Duration.toMillis(this.#limits.checkAfterIdle)) return undefined
    this.#usedAt = now
    return session
  }

  #borrow<A>(argv: Array<string>): Effect.Effect<A, RedisError> {
    const answer = ConnectionPool.use(this.#pool, this.#limits.endpoint, (client) => {
      if (!this.#isHeld) this.#fork(this.#hold)
      return sessionOf(client).command<A>(argv)
    }, { site: "fiber" })
    return Effect.mapError(answer, (error) => error._tag === "PoolError" ? fromPool(error) : error)
  }

  /** Keeps the connection until it is quiet or recalled. */
  readonly #hold: Effect.Effect<void> = Effect.suspend(() => {
    this.#isHeld = true
    const lease = ConnectionPool.get(this.#pool, this.#limits.endpoint, { standing: true, site: "fiber" })
    const held = Effect.flatMap(lease, (client) => this.#keep(client))
    return Effect.ensuring(
      Effect.ignore(Effect.scoped(held)),
      Effect.sync(() => {
        this.#session = undefined
        this.#isHeld = false
      })
    )
  })

  #keep(client: Client): Effect.Effect<void> {
    return Effect.suspend(() => {
      const session = sessionOf(client)
      this.#session = session
      this.#usedAt = this.#clock.synchronize()
      const over = Effect.raceFirst(this.#untilQuiet(session), ConnectionPool.recalled(this.#pool, client))
      return Effect.flatMap(over, (recall) => {
        this.#session = undefined
        // In a drain, this lease has to last until all commands are answered. Otherwise the graceful close of the connection waits
        // for them.
        return recall === "Draining" ? session.answered : Effect.void
      })
    })
  }

  /** Ticks until a whole tick has passed without a command, or the connection has ended. */
  #untilQuiet(session: Session): Effect.Effect<void> {
    const isOver = Effect.suspend(() => {
      const { sent } = session
      return Effect.map(elapsed(this.#tick, (duration) => sleepUnref(Duration.toMillis(duration))), () => {
        session.tick(this.#ticks, this.#limits.commandTimeout)
        return !session.isUsable || (session.sent === sent && session.pending === 0)
      })
    })
    return Effect.asVoid(Effect.repeat(isOver, { until: (over) => over }))
  }

  /** Checks a connection, once for all commands that wait for the check. If it does not work it is closed. */
  #checked(session: Session): Effect.Effect<void> {
    const { commandTimeout, connectTimeout } = this.#limits
    // An account without the right to `PING` gets an error as its answer, which shows that the connection works.
    const ping = Effect.catchIf(session.command(["PING"]), ({ cause }) => isReply(cause), () => Effect.void)
    const answer = timeoutOptionRunning(ping, Duration.toMillis(Duration.min(commandTimeout, connectTimeout)))
    const check = Effect.map(Effect.exit(answer), (exit) => {
      this.#check = undefined
      this.#usedAt = this.#clock.synchronize()
      if (Exit.isFailure(exit) || Option.isNone(exit.value)) session.destroy()
    })
    return Effect.suspend(() => {
      this.#check ??= this.#fork(check)
      return Effect.asVoid(Fiber.await(this.#check))
    })
  }
}

/** Makes the shared commands, which end with the scope. */
export const makeSharedCommands = (
  pool: ConnectionPool.ConnectionPool<Endpoint, Client>,
  limits: Limits
): Effect.Effect<SharedCommands, never, Scope.Scope> =>
  Effect.gen(function*() {
    const fork = yield* FiberSet.makeRuntime<never, void, never>()
    return new SharedCommands(pool, limits, yield* Clock.Clock, fork)
  })
