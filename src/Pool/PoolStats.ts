/**
 * A snapshot of a pool, its totals, the health of its endpoints, and the observers of its events.
 *
 * @since 0.1.0
 */
import { type CloseReason, noneClosed } from "./CloseReason.ts"
import type { Counts, PoolErrorReason } from "./PoolError.ts"

const noTotals = {
  /** Connections that were opened. */
  opened: 0,
  /** Attempts to open a connection that failed, and new connections that were lost or could not be made ready. */
  failedAttempts: 0,
  /** Leases of connections. */
  borrowed: 0,
  /** Borrows that had to wait. */
  waited: 0,
  /** Borrows that ran out of time. */
  timeouts: 0,
  /** Idle connections that were evicted for another endpoint. They are a part of `closedBy.evicted_for_other`. */
  evicted: 0,
  /** Connects that had not ended some time after `connectTimeout` had interrupted them, and were left behind. */
  connectsLeftBehind: 0,
  /** Connections whose finalizers had not ended half a second after `closeTimeout`, and were left behind. */
  closesLeftBehind: 0,
  /** Leases that were held for longer than `leakThreshold`. */
  leaksReported: 0,
  /** Leases that were ended because they were held for longer than `maxLease`. */
  leasesExpired: 0,
  /** Leases that an operator has ended. */
  leasesEnded: 0,
  /** Leases whose borrowers were garbage-collected without giving them back. Their connections were closed. */
  leasesLost: 0
}

/** The tags of the errors of borrows. */
export type RefusalReason = PoolErrorReason["_tag"]

const noRefusals: Readonly<Record<RefusalReason, number>> = {
  AcquireTimeout: 0,
  QueueFull: 0,
  EndpointUnavailable: 0,
  PoolClosed: 0,
  PoolSuspended: 0,
  NestedAcquire: 0,
  LeaseExpired: 0,
  ConnectFailed: 0
}

/** Totals under construction. */
export interface Tally extends Record<keyof typeof noTotals, number> {
  readonly closedBy: Record<CloseReason, number>
  readonly refusals: Record<RefusalReason, number>
}

export const emptyTally = (): Tally => ({ ...noTotals, closedBy: noneClosed(), refusals: { ...noRefusals } })

/**
 * What has happened since the pool was made. Numbers only grow.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Totals extends Readonly<typeof noTotals> {
  /** Connections that were closed, by the reason. Each closed connection has exactly one. */
  readonly closedBy: Readonly<Record<CloseReason, number>>
  /** Borrows that have failed with a `PoolError` of this pool, by the tag of its reason. */
  readonly refusals: Readonly<Record<RefusalReason, number>>
  /** Connections that were closed: the sum of `closedBy`. */
  readonly closed: number
  /** Connections that ended because they were idle or open for too long: `closedBy.idle` and `closedBy.lifetime`. */
  readonly expired: number
  /** Connections that died before a borrower used them, or while they were idle: `closedBy.died_idle`. */
  readonly died: number
}

/** The totals of this moment. */
export const totalsOf = (tally: Tally): Totals => {
  const closedBy = { ...tally.closedBy }
  return {
    ...tally,
    closedBy,
    refusals: { ...tally.refusals },
    closed: Object.values(closedBy).reduce((sum, count) => sum + count, 0),
    expired: closedBy.idle + closedBy.lifetime,
    died: closedBy.died_idle
  }
}

/**
 * A snapshot of a pool.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
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

/** A snapshot of a pool without the counts of its endpoints, of which there may be very many. */
export interface Summary extends Omit<Stats, "endpoints"> {}

/**
 * What a pool knows of an endpoint from its dials, its checks and its borrowers.
 *
 * - `Healthy`: nothing has gone wrong since the last success, or nothing is known of the endpoint.
 * - `Degraded`: something has gone wrong since the last success, or borrowers wait after a failed dial although more connections could be
 *   opened.
 * - `Unavailable`: the last dial has failed and no connection shows that the endpoint is there, or there were enough setbacks since the
 *   last success, or the endpoint is silent. In addition, borrowers wait, a dial is under way, or the next attempt is not due. Otherwise
 *   the endpoint is `Degraded`.
 *
 * **Details**
 *
 * - A success is a check that passed, or a borrow that left its connection reusable and succeeded, or failed with an error of the server for
 *   its own statement: PostgreSQL's 57014 (cancelled), 55P03, 40001 and 23505, MySQL's 1205 and 3024, Redis' WRONGTYPE. A dial that succeeds counts only after a
 *   failed dial, because an endpoint that does not answer may still accept connections.
 * - A connection that is known to be dead does not count, and neither does one that a borrower has held since before the first setback,
 *   for longer than uses of the endpoint usually last: nothing is known of it before it is returned.
 * - An endpoint is silent if borrowers wait and none of its connections has had an answer for 0.6 seconds, and for four times as long as
 *   uses of it usually last (the mean in which long uses count more). With a single connection in use it is four times that. An answer is
 *   a use that succeeded, or that failed and left its connection reusable. This is known after twenty answers. Standing leases are not
 *   judged. So a server that is slow is not silent, unless it has become slow suddenly: then it is until its first answer, and once.
 * - Three of these setbacks are enough: failed dials, waits that ended at `acquireTimeout`, failed checks of connections that have served
 *   no borrower yet, and first uses of connections that failed with an error that `Failure.classify` knows.
 * - Ten of these setbacks are enough: first uses that were interrupted or failed with an unknown error, which may be an answer of the
 *   server, and waits that ended while the pool was at `maxTotal`.
 * - A wait that ended does not count if the endpoint has answered another borrower meanwhile, or usually takes as long. At `maxTotal` it
 *   does not count either if other endpoints have all connections.
 * - A failed check of a connection that has served a borrower makes an endpoint `Degraded` and never `Unavailable`, because a new
 *   connection may work. So does a server that has no room for another connection: it answers.
 * - Failures for lack of descriptors or ports of this process do not count. Waits for the monitor's gate, for the budget or for `resume` do
 *   not count either.
 * - The next attempt is due when the next dial is, or after the first delay of `retry`. From then on the endpoint is not `Unavailable`, so
 *   a caller that avoids unavailable endpoints makes the attempt that finds out whether the endpoint is back.
 * - After an outage, an endpoint is `Healthy` as soon as a dial, a borrow or a check has succeeded and no borrower waits or the caps allow
 *   no more connections. The failures of an endpoint that is not used are forgotten after a minute.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export type Health = "Healthy" | "Degraded" | "Unavailable"

/** An observer of a pool's events. Durations are in milliseconds. It must not throw, and must not call the pool. */
export interface Observer {
  /** A connection is open. `millis`: since its dial was decided. */
  readonly opened: (millis: number) => void
  /** A borrower begins to use its connection. `millis` is its wait in the queue, and 0 if it did not have to wait. */
  readonly waited: (millis: number) => void
  /** A borrower has returned a connection that it has used. `millis`: since it got the connection. Not for standing leases. */
  readonly used: (millis: number) => void
  /** The time of a borrow is over. `label` is the endpoint's text. A suspended pool leases nothing. */
  readonly timedOut: (label: string, isSuspended: boolean) => void
  /** A connect or a finalizer did not end in time. */
  readonly leftBehind: (what: "connect" | "close") => void
  /** The health of this endpoint may have changed; without a label, that of any endpoint. */
  readonly judged: (label?: string) => void
  /** An attempt to open a connection has failed, or a new connection was lost or could not be made ready. */
  readonly failed: (label: string, cause: unknown) => void
  /** A connection begins to close. `millis`: since it was opened. */
  readonly closed: (reason: CloseReason, millis: number) => void
  /** A borrow of the endpoint with this text has failed: the tag of the reason of its `PoolError`. */
  readonly refused: (reason: RefusalReason, label: string) => void
}

const ignore = () => {}

/** Calls all of these functions. A borrow has two events, so there is no loop for the usual one or two observers. */
const together = <A, B>(all: ReadonlyArray<(one: A, other: B) => void>): (one: A, other?: B) => void => {
  const [first = ignore, second, ...others] = all
  // A function of one argument ignores the other one.
  const begin = first as (one: A, other?: B) => void
  if (second === undefined) return begin
  const rest = together([second, ...others])
  return (one, other) => {
    begin(one, other)
    rest(one, other)
  }
}

/** An event goes only to the observers that observe it. */
const combined = (all: ReadonlyArray<Partial<Observer>>): Observer => ({
  opened: together(all.flatMap(({ opened = [] }) => opened)),
  waited: together(all.flatMap(({ waited = [] }) => waited)),
  used: together(all.flatMap(({ used = [] }) => used)),
  timedOut: together(all.flatMap(({ timedOut = [] }) => timedOut)),
  leftBehind: together(all.flatMap(({ leftBehind = [] }) => leftBehind)),
  judged: together(all.flatMap(({ judged = [] }) => judged)),
  failed: together(all.flatMap(({ failed = [] }) => failed)),
  closed: together(all.flatMap(({ closed = [] }) => closed)),
  refused: together(all.flatMap(({ refused = [] }) => refused))
})

/** The observers of a pool, combined into one. Without observers it is `undefined`, so that events cost nothing. */
export class Observers {
  #all: ReadonlyArray<Partial<Observer>> = []
  current: Observer | undefined

  /** Adds an observer of some events. The returned function removes it. */
  add(observer: Partial<Observer>): () => void {
    // A copy, so that the same observer can be added twice.
    const own = { ...observer }
    this.#set([...this.#all, own])
    return () => this.#set(this.#all.filter((other) => other !== own))
  }

  #set(all: ReadonlyArray<Partial<Observer>>): void {
    this.#all = all
    this.current = all.length === 0 ? undefined : combined(all)
  }
}
