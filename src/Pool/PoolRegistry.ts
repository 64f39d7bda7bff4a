/**
 * Tells whoever runs the program on a platform which pools there are, so that all of them can be prepared for a freeze, a
 * thaw or the end at once.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { PoolCore } from "./PoolCore.ts"
import type { Settings } from "./PoolOptions.ts"
import type { Stats } from "./PoolStats.ts"
import type { SteadyClock } from "./SteadyClock.ts"

/**
 * What can be done with a pool without knowing what it connects to.
 *
 * @category models
 * @since 0.1.0
 */
export interface RegisteredPool {
  readonly stats: () => Stats
  /**
   * The program has not run for a while: whatever was idle meanwhile is as old as the larger of both clocks says, which
   * makes the pool check or replace it before it is lent. When the machine itself stood still (`wasStopped`), it heard
   * nothing of its peers either; a connection that nobody can check is then closed.
   */
  readonly judge: (pause: { readonly wasStopped: boolean }) => void
  /** Closes what is idle, and has what is lent closed on its return. Completes when nothing is open any more. */
  readonly closeIdle: Effect.Effect<void>
  /** Completes when nothing is open. */
  readonly emptied: Effect.Effect<void>
  /** From now on neither a drain nor the closing of a connection takes longer than this, in milliseconds. */
  readonly hurry: (limits: { readonly drainTimeout: number; readonly closeTimeout: number }) => void
  /** Drains the pool, and forces after so many milliseconds. */
  readonly drain: (timeout: number) => Effect.Effect<void>
  /** Starts closing everything, under its borrowers too. */
  readonly force: () => void
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

/** What of a pool its registered side needs. */
interface Parts<K, A> {
  readonly core: PoolCore<K, A>
  readonly clock: SteadyClock
  readonly settings: Settings
  readonly hasCheck: boolean
  readonly drain: (timeout: number) => Effect.Effect<void>
}

/** Waits until a pool is empty. All that wait at once share one callback, so that none piles up in a pool that never is. */
const emptiedOf = <K, A>(core: PoolCore<K, A>): Effect.Effect<void> => {
  let waiting: Deferred.Deferred<void> | undefined
  return Effect.suspend(() => {
    if (waiting !== undefined) return Deferred.await(waiting)
    const emptied = waiting = Deferred.makeUnsafe<void>()
    core.whenEmptied(() => {
      waiting = undefined
      Deferred.doneUnsafe(emptied, Exit.void)
    })
    return Deferred.await(emptied)
  })
}

/** A pool as a registry sees it. */
export const registered = <K, A>({ clock, core, drain, hasCheck, settings }: Parts<K, A>): RegisteredPool => {
  const emptied = emptiedOf(core)
  return {
    stats: () => core.stats(),
    judge: ({ wasStopped }) => {
      clock.synchronize()
      if (wasStopped && !hasCheck) core.evict()
    },
    closeIdle: Effect.suspend(() => {
      core.evict()
      return emptied
    }),
    emptied,
    hurry: ({ closeTimeout, drainTimeout }) => {
      settings.drainTimeout = Math.min(settings.drainTimeout, drainTimeout)
      settings.closeTimeout = Duration.min(settings.closeTimeout, Duration.millis(closeTimeout))
    },
    drain,
    force: () => core.force()
  }
}
