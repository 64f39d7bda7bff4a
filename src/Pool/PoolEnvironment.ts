/**
 * What the heart of a pool needs from outside.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type { Demand } from "./Opening.ts"
import type { Settings } from "./PoolOptions.ts"
import type { KeyPool, PooledConnection } from "./PoolState.ts"
import type { SteadyClock } from "./SteadyClock.ts"

/** What the core cannot do by itself. */
export interface Environment<K, A> {
  readonly settings: Settings
  readonly clock: SteadyClock
  /** A random number from 0 (inclusive) to 1 (exclusive). */
  readonly random: () => number
  /** Starts a fiber that outlives the caller. */
  readonly fork: <B>(effect: Effect.Effect<B>) => Fiber.Fiber<B>
  readonly makeKeyPool: (key: K) => KeyPool<K, A>
  /** Opens a connection, which it hands to `demand.opened`. */
  readonly open: (keyPool: KeyPool<K, A>, demand: Demand<A>) => Effect.Effect<void>
  /** Closes a connection, and abandons one whose finalizer does not end. */
  readonly close: (connection: PooledConnection<K, A>, abandon: () => void) => Effect.Effect<void>
  /** Starts a fiber that ends when the connection has died. */
  readonly watch: ((connection: A) => Fiber.Fiber<void>) | undefined
  readonly hasCheck: boolean
}
