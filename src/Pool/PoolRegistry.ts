/**
 * Tells the code that runs a program on a platform which pools there are, so that all of them can be prepared for a freeze, a
 * thaw or the end at once.
 *
 * A pool says no more than that it is there. What can be done with one is apart from that, in functions, so that a program
 * that does not ask for its pools does not ship them.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { AgeClock } from "../internal/AgeClock.ts"
import type { PoolCore } from "./internal/PoolCore.ts"
import type { Settings } from "./PoolOptions.ts"

/** The key under which a pool keeps its internals. */
export const TypeId = "~effect-sluice/Pool/ConnectionPool"
export type TypeId = typeof TypeId

/**
 * A pool, whatever it connects to.
 *
 * @category models
 * @since 0.1.0
 */
export interface RegisteredPool {
  readonly core: Pick<PoolCore<unknown, unknown>, "evict" | "force" | "stats" | "whenEmptied">
  readonly clock: AgeClock
  readonly settings: Settings
  readonly hasCheck: boolean
  /** Drains the pool, and forces after so many milliseconds. */
  readonly drain: (timeout: number) => Effect.Effect<void>
}

/**
 * Where pools make themselves known.
 *
 * @category models
 * @since 0.1.0
 */
export interface PoolRegistry {
  /** A pool was made; the result is called when it has ended. */
  readonly add: (pool: RegisteredPool) => () => void
}

/**
 * The registry of the pools that are made in this context. By default there is none.
 *
 * @category references
 * @since 0.1.0
 */
export const PoolRegistry: Context.Reference<PoolRegistry | undefined> = Context.Reference<PoolRegistry | undefined>(
  "effect-sluice/Pool/PoolRegistry",
  { defaultValue: () => undefined }
)

/**
 * The program has not run for a while: whatever was idle meanwhile is as old as the larger of both clocks says, which makes
 * the pool check or replace it before it is leased. When the machine itself stood still (`wasStopped`), it heard nothing of
 * its peers either; a connection that cannot be checked is then closed.
 *
 * @category operating
 * @since 0.1.0
 */
export const judge = (pool: RegisteredPool, pause: { readonly wasStopped: boolean }): void => {
  pool.clock.synchronize()
  if (pause.wasStopped && !pool.hasCheck) pool.core.evict()
}

/**
 * From now on neither a drain nor the closing of a connection takes longer than this, in milliseconds.
 *
 * @category operating
 * @since 0.1.0
 */
export const hurry = (
  { settings }: RegisteredPool,
  limits: { readonly drainTimeout: number; readonly closeTimeout: number }
): void => {
  settings.drainTimeout = Math.min(settings.drainTimeout, limits.drainTimeout)
  settings.closeTimeout = Duration.min(settings.closeTimeout, Duration.millis(limits.closeTimeout))
}

/** Those that wait for a pool to be empty share one callback, so that none piles up in a pool that never is. */
const waiting = new WeakMap<RegisteredPool, Deferred.Deferred<void>>()

/**
 * Completes when nothing is open.
 *
 * @category operating
 * @since 0.1.0
 */
export const emptied = (pool: RegisteredPool): Effect.Effect<void> =>
  Effect.suspend(() => {
    const known = waiting.get(pool)
    if (known !== undefined) return Deferred.await(known)
    const emptied = Deferred.makeUnsafe<void>()
    waiting.set(pool, emptied)
    pool.core.whenEmptied(() => {
      waiting.delete(pool)
      Deferred.doneUnsafe(emptied, Exit.void)
    })
    return Deferred.await(emptied)
  })

/**
 * Closes what is idle, and has what is leased closed on its return. Completes when nothing is open any more.
 *
 * @category operating
 * @since 0.1.0
 */
export const closeIdle = (pool: RegisteredPool): Effect.Effect<void> =>
  Effect.suspend(() => {
    pool.core.evict()
    return emptied(pool)
  })
