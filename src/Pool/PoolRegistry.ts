/**
 * Lists the pools of a program, so that the code that runs the program on a platform can prepare all of them for a freeze, a thaw
 * or the end.
 *
 * A pool only registers itself. The operations on registered pools are separate functions, so that a program that does not use them
 * does not contain their code.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { AgeClock } from "../internal/AgeClock.ts"
import { LiveList } from "../internal/LiveList.ts"
import type { PoolCore } from "./internal/PoolCore.ts"
import type { Settings } from "./PoolOptions.ts"

/** The key under which a pool keeps its internals. */
export const TypeId = "~effect-sluice/Pool/ConnectionPool"
export type TypeId = typeof TypeId

/**
 * A pool of any kind.
 *
 * @category models
 * @since 0.1.0
 */
export interface RegisteredPool {
  /** Tells the pools of the process apart. */
  readonly name: string
  readonly core: Pick<
    PoolCore<unknown, unknown>,
    | "endDials"
    | "evict"
    | "force"
    | "inspect"
    | "isOver"
    | "observers"
    | "resume"
    | "stats"
    | "summary"
    | "suspend"
    | "whenEmptied"
  >
  /** Evicts the connections of the endpoint with this text. The result is `false` if there is no such endpoint. */
  readonly evictEndpoint: (label: string) => boolean
  /** Ends the lease with this number of `inspect`. The result is `false` if there is no such lease. */
  readonly endLease: (id: number) => boolean
  readonly clock: AgeClock
  readonly settings: Settings
  readonly hasCheck: boolean
  /** `closeIdle` leaves its connections open, because other pools need them to close theirs. */
  readonly staysOpen?: boolean
  /** Drains the pool. After this number of milliseconds, leased connections are closed as well. */
  readonly drain: (timeout: number) => Effect.Effect<void>
}

/**
 * A registry of pools.
 *
 * @category models
 * @since 0.1.0
 */
export type PoolRegistry = Pick<LiveList<RegisteredPool>, "add" | "all" | "onChange">

/** All pools of this process. A pool also joins it when its context has another registry. */
export const processPools: PoolRegistry = new LiveList<RegisteredPool>()

/**
 * The registry of the pools that are made in this context: by default, that of the process.
 *
 * @category references
 * @since 0.1.0
 */
export const PoolRegistry: Context.Reference<PoolRegistry> = Context.Reference<PoolRegistry>(
  "effect-sluice/Pool/PoolRegistry",
  { defaultValue: () => processPools }
)

/**
 * The registry of an instance of a function for pools that stay open. That of the process is returned as it is.
 *
 * @category operating
 * @since 0.1.0
 */
export const stayingOpen = (registry: PoolRegistry): PoolRegistry =>
  registry === processPools ? registry : {
    get all() {
      return registry.all
    },
    onChange: (listener) => registry.onChange(listener),
    add: (pool) => registry.add({ ...pool, staysOpen: true })
  }

/**
 * Called after the program has not run for a while. The idle time of each connection is then the longer of those by the monotonic
 * and by the wall clock, so that the pool checks or replaces old connections before it leases them. If the machine itself was
 * stopped (`wasStopped`), it may have missed the end of connections, so connections that cannot be checked are closed.
 *
 * @category operating
 * @since 0.1.0
 */
export const judge = (pool: RegisteredPool, pause: { readonly wasStopped: boolean }): void => {
  pool.clock.synchronize()
  if (pause.wasStopped && !pool.hasCheck) pool.core.evict()
}

/**
 * Shortens the `drainTimeout` and the `closeTimeout` of a pool to at most these milliseconds.
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

/**
 * The callers that wait for a pool to be empty share one callback, so that a pool that is never empty does not collect callbacks.
 */
const waiting = new WeakMap<RegisteredPool, Deferred.Deferred<void>>()

/**
 * Completes when no connection of a pool is open.
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
 * Closes idle connections now, and leased connections on their return. Completes when no connection is open. A pool that stays open is left
 * as it is.
 *
 * @category operating
 * @since 0.1.0
 */
export const closeIdle = (pool: RegisteredPool): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (pool.staysOpen === true) return Effect.void
    pool.core.evict()
    return emptied(pool)
  })
