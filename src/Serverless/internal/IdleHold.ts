/**
 * Delays the end of an invocation, so that the platform does not freeze the instance before its idle connections are closed.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { monotonicMillis } from "../../internal/MonotonicTime.ts"
import { endsWithin } from "../../internal/Timeout.ts"
import { sleepUnref } from "../../internal/Timer.ts"
import * as PoolRegistry from "../../Pool/PoolRegistry.ts"

interface Hold {
  /** When idle connections are closed, in milliseconds of the monotonic clock. */
  readonly deadline: number
  /** Done when another request with the same or a later deadline takes over the hold for this pool. */
  readonly replaced: Deferred.Deferred<void>
}

const monotonic = Effect.map(Clock.Clock, monotonicMillis)

/**
 * The holds of one instance: at most one for each pool. If several requests used the same pool, the request with the latest
 * deadline holds the instance for that pool, and the others end.
 */
export class IdleHold {
  readonly #current = new WeakMap<PoolRegistry.RegisteredPool, Hold>()

  /**
   * Completes when the pool has no connection, or when another request takes over the hold for this pool. After `millis`, the idle
   * connections of the pool are closed, which may take up to `grace`.
   */
  hold(
    pool: PoolRegistry.RegisteredPool,
    limits: { readonly millis: number; readonly grace: number }
  ): Effect.Effect<void> {
    return Effect.flatMap(monotonic, (now) => {
      const deadline = now + limits.millis
      const current = this.#current.get(pool)
      if (current !== undefined && current.deadline > deadline) return Effect.void
      const hold: Hold = { deadline, replaced: Deferred.makeUnsafe() }
      this.#current.set(pool, hold)
      if (current !== undefined) Deferred.doneUnsafe(current.replaced, Exit.void)
      const closeIdle = Effect.andThen(
        sleepUnref(Math.max(Math.ceil(limits.millis), 0)),
        endsWithin(PoolRegistry.closeIdle(pool), Duration.millis(limits.grace))
      )
      return Effect.asVoid(
        Effect.ensuring(
          Effect.raceAllFirst([PoolRegistry.emptied(pool), Deferred.await(hold.replaced), closeIdle]),
          Effect.sync(() => {
            if (this.#current.get(pool) === hold) this.#current.delete(pool)
          })
        )
      )
    })
  }
}
