/**
 * The errors of a pool, with the numbers that explain them.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import {
  AcquireTimeout,
  ConnectFailed,
  type Counts,
  PoolClosed,
  PoolError,
  QueueFull,
  type StalledBy
} from "./PoolError.ts"
import type { Settings } from "./PoolOptions.ts"
import { type KeyPool, type Lease, slotsOf } from "./PoolState.ts"
import { countsOf, longestHolders } from "./PoolStats.ts"

const stalledBy = <K, A>(keyPool: KeyPool<K, A>, settings: Settings): StalledBy => {
  if (keyPool.connecting > 0) return "Connecting"
  return slotsOf(keyPool) >= settings.maxPerEndpoint ? "EndpointCap" : "TotalCap"
}

export const acquireTimeout = <K, A>(lease: Lease<K, A>, options: {
  readonly settings: Settings
  readonly pool: Counts
  readonly now: number
}): PoolError => {
  const { owner } = lease
  return new PoolError({
    reason: new AcquireTimeout({
      key: owner.label,
      after: Duration.millis(options.settings.acquireTimeout),
      stalledBy: stalledBy(owner, options.settings),
      position: lease.state === "Waiting" ? owner.queue.positionOf(lease) : 1,
      endpoint: countsOf(owner),
      pool: options.pool,
      holders: longestHolders(owner, options.now, 3),
      cause: owner.lastFailure
    })
  })
}

export const queueFull = <K, A>(keyPool: KeyPool<K, A>, { maxWaiters }: Settings): PoolError =>
  new PoolError({ reason: new QueueFull({ key: keyPool.label, maxWaiters, endpoint: countsOf(keyPool) }) })

export const poolClosed = <K, A>(keyPool: KeyPool<K, A>): PoolError =>
  new PoolError({ reason: new PoolClosed({ key: keyPool.label }) })

export const connectFailed = <K, A>(keyPool: KeyPool<K, A>, cause: unknown): PoolError =>
  new PoolError({ reason: new ConnectFailed({ key: keyPool.label, cause }) })
