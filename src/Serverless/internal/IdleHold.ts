/**
 * Keeps an instance awake until its idle connections are closed.
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
  /** On the monotonic clock, in milliseconds. */
  readonly deadline: number
  /** Done when another request keeps the instance awake for the same pool, for as long or longer. */
  readonly replaced: Deferred.Deferred<void>
}

const monotonic = Effect.map(Clock.Clock, monotonicMillis)

/**
 * Keeps one instance awake, separately for each of its pools. If several requests used the same pool, the one with the latest
 * deadline keeps the instance awake for it.
 */
export class IdleHold {
  readonly #current = new WeakMap<PoolRegistry.RegisteredPool, Hold>()

  /**
   * Completes when the pool has no connection, or when another request keeps the instance awake for it. After `millis`, idle
   * connections are closed, which may take up to `grace`.
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
