/**
 * The end of a pool, in phases: refuse, let finish, force.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { timeoutOrElse } from "../internal/Timeout.ts"
import type { PoolCore } from "./PoolCore.ts"

/**
 * Makes the drain of a pool, which may be called many times and at once. Each call has its own deadline, after which it
 * forces, and completes when everything is closed.
 */
export const make = <K, A>(core: PoolCore<K, A>): (timeout: number) => Effect.Effect<void> => {
  const emptied = Deferred.makeUnsafe<void>()
  let watching = false
  const start = Effect.sync(() => {
    core.startDraining()
    if (watching) return
    watching = true
    core.whenEmptied(() => Deferred.doneUnsafe(emptied, Exit.void))
  })
  const shutDown = Effect.sync(() => core.shutDown())
  return (timeout) =>
    Effect.gen(function*() {
      yield* start
      // A finalizer is uninterruptible, and so would be the wait that the timeout has to end.
      yield* timeoutOrElse(Effect.interruptible(Deferred.await(emptied)), {
        duration: Duration.millis(timeout),
        orElse: () => Effect.sync(() => core.force())
      })
      yield* Deferred.await(emptied)
      yield* shutDown
    })
}
