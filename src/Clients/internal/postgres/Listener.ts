/**
 * Listens on channels, on sessions that are held for as long as the listener lives.
 *
 * @since 0.1.0
 */
import type { Notification } from "@effect/sql-pg/PgConnection"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import { closeOnFailure } from "../../../internal/CloseOnFailure.ts"
import { sleepUnref } from "../../../internal/Timer.ts"
import type { Recall } from "../../../Pool/ConnectionPool.ts"
import type { Session } from "./Session.ts"

/** How often a listener checks whether the pool ends, when its session has passed its lifetime, in milliseconds. */
const interval = 100

/** Waits until the session has to be given back. The lifetime does not count, because messages are lost between two listeners. */
const recalled = (session: Session): Effect.Effect<Recall> =>
  Effect.filterOrElse(
    session.state.recalled,
    (recall) => recall !== "Expired",
    () => Effect.andThen(sleepUnref(interval), recalled(session))
  )

const ended = (recall: Recall): SqlError => {
  const message = recall === "Draining" ? "the pool is closed" : "its session was evicted from the pool"
  return new SqlError({
    reason: new ConnectionError({
      cause: new Error(message),
      message: `Postgres: the listener has ended, because ${message}`,
      operation: "listen"
    })
  })
}

/**
 * Listens on a channel until the scope ends. A drain of the pool, an eviction of the session and the end of the session end the
 * listener with an error.
 */
export const listener =
  (lease: Effect.Effect<Session, SqlError, Scope.Scope>) =>
  (channel: string): Effect.Effect<Queue.Dequeue<Notification, SqlError>, SqlError, Scope.Scope> =>
    Effect.gen(function*() {
      const scope = yield* Scope.fork(yield* Effect.scope)
      const [session, queue] = yield* Scope.provide(
        Effect.flatMap(lease, (session) => Effect.map(session.listen(channel), (queue) => [session, queue] as const)),
        scope
      )
      yield* Effect.forkScoped(Effect.flatMap(recalled(session), (recall) =>
        Effect.andThen(
          // The listener of the driver is a `Queue`, which its type narrows to the reader's side.
          Queue.fail(queue as Queue.Queue<Notification, SqlError>, ended(recall)),
          Scope.close(scope, Exit.void)
        )))
      return queue
    }).pipe(closeOnFailure)
