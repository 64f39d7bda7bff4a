/**
 * What a pool has and what it has done, as values.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import { spanNameIn } from "../internal/Witness.ts"
import type { HeldLease } from "../Monitor/Ledger.ts"
import type { Counts, Holder } from "./PoolError.ts"
import type { Settings } from "./PoolOptions.ts"
import { type KeyPool, type Lease, type PooledConnection, slotsOf, type Status } from "./PoolState.ts"

/**
 * What has happened since the pool was made. Numbers only grow.
 *
 * @category models
 * @since 0.1.0
 */
export interface Totals {
  /** Connections that were opened. */
  readonly opened: number
  /** Connections that were closed, for whatever reason. */
  readonly closed: number
  /** Attempts to open a connection that failed. */
  readonly failedAttempts: number
  /** Leases of connections. */
  readonly borrowed: number
  /** Borrows that had to wait. */
  readonly waited: number
  /** Borrows that ran out of time. */
  readonly timeouts: number
  /** Idle connections that were evicted for another endpoint. */
  readonly evicted: number
  /** Connections that ended because they were idle or alive for too long. */
  readonly expired: number
  /** Connections that died while they were idle. */
  readonly died: number
  /** Connects that had not ended some time after `connectTimeout` had interrupted them, and were left behind. */
  readonly connectsLeftBehind: number
  /** Connections whose finalizers had not ended half a second after `closeTimeout`, and were left behind. */
  readonly closesLeftBehind: number
  /** Leases that were held for longer than `leakThreshold`. */
  readonly leaksReported: number
  /** Leases that were ended because they were held for longer than `maxLease`. */
  readonly leasesExpired: number
  /** Leases whose borrowers were garbage-collected without giving them back. Their connections were closed. */
  readonly leasesLost: number
}

/**
 * A snapshot of a pool.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats extends Counts, Totals {
  /** The caps as they are now. */
  readonly maxPerEndpoint: number
  readonly maxTotal: number
  readonly minPerEndpoint: number
  readonly isSuspended: boolean
  /** The counts of each endpoint, by its text. Endpoints with the same text are counted together. */
  readonly endpoints: ReadonlyMap<string, Counts>
}

/** Totals under construction. */
export type Tally = { -readonly [K in keyof Totals]: number }

export const emptyTally = (): Tally => ({
  opened: 0,
  closed: 0,
  failedAttempts: 0,
  borrowed: 0,
  waited: 0,
  timeouts: 0,
  evicted: 0,
  expired: 0,
  died: 0,
  connectsLeftBehind: 0,
  closesLeftBehind: 0,
  leaksReported: 0,
  leasesExpired: 0,
  leasesLost: 0
})

export const countsOf = <K, A>(keyPool: KeyPool<K, A>): Counts => ({
  total: slotsOf(keyPool),
  active: keyPool.connections.length - keyPool.idle.length,
  idle: keyPool.idle.length,
  connecting: keyPool.connecting,
  closing: keyPool.closing + keyPool.kept,
  leftBehind: keyPool.leftBehind,
  waiting: keyPool.queue.size
})

const noCounts: Counts = { total: 0, active: 0, idle: 0, connecting: 0, closing: 0, leftBehind: 0, waiting: 0 }

export const sumOf = (all: Iterable<Counts>): Counts => {
  let sum = noCounts
  for (const counts of all) {
    sum = {
      total: sum.total + counts.total,
      active: sum.active + counts.active,
      idle: sum.idle + counts.idle,
      connecting: sum.connecting + counts.connecting,
      closing: sum.closing + counts.closing,
      leftBehind: sum.leftBehind + counts.leftBehind,
      waiting: sum.waiting + counts.waiting
    }
  }
  return sum
}

/** The snapshot of a pool with these endpoints. */
export const statsOf = <K, A>(
  keyPools: ReadonlyArray<KeyPool<K, A>>,
  { settings, status, tally }: { readonly tally: Tally; readonly settings: Settings; readonly status: Status }
): Stats => {
  const endpoints = new Map<string, Counts>()
  for (const keyPool of keyPools) {
    // Keys that are not equal may have the same text.
    const others = endpoints.get(keyPool.label)
    endpoints.set(keyPool.label, others === undefined ? countsOf(keyPool) : sumOf([others, countsOf(keyPool)]))
  }
  return {
    ...sumOf(endpoints.values()),
    ...tally,
    maxPerEndpoint: settings.maxPerEndpoint,
    maxTotal: settings.maxTotal,
    minPerEndpoint: settings.minPerEndpoint,
    isSuspended: status === "Waiting" || status === "Refusing",
    endpoints
  }
}

export const spanOf = <K, A>(lease: Lease<K, A>): string | undefined => spanNameIn(lease.context)

/** What is lent, at most so much of it, for the monitor's ledger. */
export const heldLeases = function*<K, A>(
  connections: Iterable<PooledConnection<K, A>>,
  most: number
): Iterable<HeldLease> {
  let left = most
  for (const { leases, owner } of connections) {
    for (const { site } of leases) {
      if (left-- <= 0) return
      yield { label: owner.label, site: site?.text }
    }
  }
}

/** Who has held these connections for the longest, at most `most`. */
export const longestHolders = <K, A>(
  connections: Iterable<PooledConnection<K, A>>,
  now: number,
  most: number
): ReadonlyArray<Holder> => {
  const held: Array<{ readonly lease: Lease<K, A>; readonly millis: number }> = []
  for (const { leases } of connections) {
    for (const lease of leases) held.push({ lease, millis: now - lease.borrowedAt })
  }
  return held
    .sort((left, right) => right.millis - left.millis)
    .slice(0, most)
    .map(({ lease, millis }) => ({
      span: spanOf(lease),
      site: lease.site?.text,
      age: Duration.millis(Math.round(millis))
    }))
}
