/**
 * The errors of a pool, with the numbers that explain them.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Failure from "../Retry/Failure.ts"
import type { Held } from "./Nesting.ts"
import {
  AcquireTimeout,
  ConnectFailed,
  ConnectionDied,
  type Counts,
  EndpointUnavailable,
  type Holder,
  LeaseExpired,
  NestedAcquire,
  NotReady,
  PoolClosed,
  PoolError,
  PoolSuspended,
  QueueFull,
  type StalledBy
} from "./PoolError.ts"
import type { Settings } from "./PoolOptions.ts"
import { type KeyPool, type Lease, type PooledConnection, slotsOf, type Status } from "./PoolState.ts"
import { countsOf, longestHolders, spanOf } from "./PoolStats.ts"

const stalledBy = <K, A>(lease: Lease<K, A>, moment: Moment<K, A>): StalledBy => {
  const keyPool = lease.owner
  const { isDialling, isSuspended, obstacle, settings } = moment
  if (isSuspended) return "Suspended"
  if (lease.state !== "Waiting") return "Checking"
  if (keyPool.connecting > 0) {
    return isDialling(keyPool) || obstacle(keyPool.label) === undefined ? "Connecting" : "Gate"
  }
  const isFull = slotsOf(keyPool) >= settings.maxPerEndpoint
  if (isFull && keyPool.kept > 0) return "LeftBehind"
  if (keyPool.establishment.phase === "Down") return "Connecting"
  return isFull ? "EndpointCap" : "TotalCap"
}

/** What the errors of one moment have in common. A crowd whose time is up together looks through the holders once. */
export interface Moment<K, A> {
  readonly settings: Settings
  readonly pool: Counts
  readonly isSuspended: boolean
  /** What keeps the gate from letting a dial in, if something does. */
  readonly obstacle: (label: string) => unknown
  /** Whether a dial to an endpoint has begun, past the gate. */
  readonly isDialling: (keyPool: KeyPool<K, A>) => boolean
  /** Who has held connections for the longest: those of an endpoint, or of the pool. */
  readonly holders: (keyPool: KeyPool<K, A> | undefined) => ReadonlyArray<Holder>
}

/** The moment in which a pool has these connections, idle and lent. */
export const momentOf = <K, A>(
  { now, ...shared }: Omit<Moment<K, A>, "holders"> & { readonly now: number },
  all: () => Iterable<PooledConnection<K, A>>
): Moment<K, A> => {
  const found = new Map<KeyPool<K, A> | undefined, ReadonlyArray<Holder>>()
  return {
    ...shared,
    holders: (keyPool) => {
      const known = found.get(keyPool) ?? longestHolders(keyPool?.connections ?? all(), now, 3)
      found.set(keyPool, known)
      return known
    }
  }
}

export const acquireTimeout = <K, A>(lease: Lease<K, A>, position: number, moment: Moment<K, A>): PoolError => {
  const { owner } = lease
  const stalled = stalledBy(lease, moment)
  return new PoolError({
    reason: new AcquireTimeout({
      key: owner.label,
      after: Duration.millis(moment.settings.acquireTimeout),
      stalledBy: stalled,
      position,
      endpoint: countsOf(owner),
      pool: moment.pool,
      holders: moment.holders(stalled === "TotalCap" ? undefined : owner),
      cause: stalled === "Gate" ? moment.obstacle(owner.label) : owner.lastFailure
    })
  })
}

export const queueFull = <K, A>(keyPool: KeyPool<K, A>, { maxWaiters }: Settings): PoolError =>
  new PoolError({ reason: new QueueFull({ key: keyPool.label, maxWaiters, endpoint: countsOf(keyPool) }) })

/** `retryAfter` is in milliseconds. */
export const endpointUnavailable = <K, A>(keyPool: KeyPool<K, A>, now: number, retryAfter: number): PoolError => {
  const { last, failures, since } = keyPool.setbacks
  const cause = last ?? keyPool.lastFailure
  return new PoolError({
    reason: new EndpointUnavailable({
      key: keyPool.label,
      retryAfter: Duration.millis(Math.max(Math.ceil(retryAfter), 1)),
      failures,
      elapsed: Duration.millis(Math.max(now - since, 0)),
      endpoint: countsOf(keyPool),
      isRetryable: cause === undefined || Failure.classify(cause).class !== "Fatal",
      cause
    })
  })
}

export const poolClosed = (label: string): PoolError => new PoolError({ reason: new PoolClosed({ key: label }) })

/** Why an opening came to nothing although the dial succeeded. */
export const diedAtOnce = <K, A>(keyPool: KeyPool<K, A>): ConnectionDied => new ConnectionDied({ key: keyPool.label })

/** Why a connection that was opened is of no use to anybody. */
export const notReady = <K, A>({ label }: KeyPool<K, A>, cause: unknown): NotReady =>
  new NotReady({ key: label, cause })

export const connectFailed = <K, A>(keyPool: KeyPool<K, A>, cause: unknown): PoolError =>
  new PoolError({ reason: new ConnectFailed({ key: keyPool.label, cause }) })

export const poolSuspended = <K, A>(keyPool: KeyPool<K, A>): PoolError =>
  new PoolError({ reason: new PoolSuspended({ key: keyPool.label }) })

export const nestedAcquire = <K, A>(
  keyPool: KeyPool<K, A>,
  held: Held,
  { maxPerEndpoint, maxTotal }: Settings
): PoolError =>
  new PoolError({
    reason: new NestedAcquire({
      key: keyPool.label,
      heldOfEndpoint: held.ofEndpoint,
      heldOfPool: held.ofPool,
      maxPerEndpoint,
      maxTotal
    })
  })

export const leaseExpired = <K, A>(lease: Lease<K, A>, { maxLease }: Settings): PoolError =>
  new PoolError({
    reason: new LeaseExpired({
      key: lease.owner.label,
      maxLease: Duration.millis(maxLease),
      span: spanOf(lease),
      site: lease.site?.text
    })
  })

/** Why a borrow cannot even wait, if so. */
export const refusal = <K, A>(
  keyPool: KeyPool<K, A>,
  status: Status,
  mostWaiting: number,
  settings: Settings
): PoolError | undefined => {
  if (status === "Draining" || status === "Closed") return poolClosed(keyPool.label)
  if (status === "Refusing") return poolSuspended(keyPool)
  return keyPool.queue.size >= mostWaiting ? queueFull(keyPool, settings) : undefined
}
