/**
 * Leases that are held for too long: reported after one time, ended after another.
 *
 * @since 0.1.0
 */
import { leaseExpired } from "./Explaining.ts"
import type { Inventory } from "./Inventory.ts"
import { LeaseQueue } from "./LeaseQueue.ts"
import type { Environment } from "./PoolEnvironment.ts"
import type { Lease } from "./PoolState.ts"
import type { Tally } from "./PoolStats.ts"
import type { SteadyClock } from "./SteadyClock.ts"

/** What is done about a lease. Times are in milliseconds. */
export interface Measures<K, A> {
  readonly leakThreshold: number
  readonly maxLease: number
  /** A clock that does not step: a wall clock that is set must end no lease that has just begun. */
  readonly clock: Pick<SteadyClock, "monotonic" | "monotonicAt">
  /** The lease has been held for longer than `leakThreshold`. It is called once for a lease. */
  readonly report: (lease: Lease<K, A>, age: number) => void
  /** A reported lease has come back after all. */
  readonly recovered: (lease: Lease<K, A>, age: number) => void
  /** The lease has been held for longer than `maxLease`. */
  readonly end: (lease: Lease<K, A>) => void
}

/** Watches leases in the order in which their borrowers got them, which is the order in which they are due. */
export class LeaseWatch<K, A> {
  readonly #measures: Measures<K, A>
  readonly #held = new LeaseQueue<K, A>()
  /** The shorter of the two times. */
  readonly #first: number
  readonly isOn: boolean

  constructor(measures: Measures<K, A>) {
    this.#measures = measures
    this.#first = Math.min(measures.leakThreshold, measures.maxLease)
    this.isOn = this.#first < Infinity
  }

  /** A borrower has got its connection at `now`; returns when the lease is due for the first time. */
  add(lease: Lease<K, A>, now: number): number {
    lease.reported = false
    lease.watchedSince = this.#measures.clock.monotonicAt(now)
    this.#held.addLast(lease)
    return now + this.#first
  }

  remove(lease: Lease<K, A>): void {
    const { reported, watchedSince } = lease
    if (watchedSince === Infinity) return
    this.#forget(lease)
    if (reported) this.#measures.recovered(lease, this.#measures.clock.monotonic() - watchedSince)
  }

  /** Does what is due, and returns when the next lease is. */
  check(now: number): number {
    if (this.#held.size === 0) return Infinity
    const { clock, maxLease, report } = this.#measures
    const monotonic = clock.monotonic()
    this.#endOver(monotonic)
    const late: Array<{ readonly lease: Lease<K, A>; readonly age: number }> = []
    let next = Infinity
    for (let lease = this.#held.first; lease !== undefined; lease = lease.behind) {
      const age = monotonic - lease.watchedSince
      if (age < this.#first) {
        // Whoever came later is due later.
        next = Math.min(next, this.#first - age)
        break
      }
      if (!lease.reported) late.push({ lease, age })
      lease.reported = true
      next = Math.min(next, maxLease - age)
    }
    for (const { age, lease } of late) report(lease, age)
    return now + next
  }

  /** Ends the leases that have lasted for too long. What ends with one of them may be others, so that it looks anew each time. */
  #endOver(monotonic: number): void {
    const { end, maxLease } = this.#measures
    for (let first = this.#held.first; first !== undefined; first = this.#held.first) {
      if (monotonic - first.watchedSince < maxLease) return
      this.#forget(first)
      end(first)
    }
  }

  #forget(lease: Lease<K, A>): void {
    this.#held.remove(lease)
    lease.watchedSince = Infinity
  }
}

/** Watches the leases of a pool: reports the long ones, and ends those that pass `maxLease`. */
export const watchLeases = <K, A>(
  { clock, fork, reportLease, settings }: Environment<K, A>,
  tally: Tally,
  inventory: Pick<Inventory<K, A>, "discard" | "retire">
): LeaseWatch<K, A> =>
  new LeaseWatch({
    leakThreshold: settings.leakThreshold,
    maxLease: settings.maxLease,
    clock,
    report: (lease, age) => {
      tally.leaksReported++
      fork(reportLease(lease, "Held", age))
    },
    recovered: (lease, age) => {
      fork(reportLease(lease, "Returned", age))
    },
    end: (lease) => {
      tally.leasesExpired++
      const { connection, expire } = lease
      if (connection !== undefined) inventory.discard(connection)
      // What it learns first is that its lease has expired, and not that its connection is gone.
      expire?.(leaseExpired(lease, settings))
      if (connection !== undefined) inventory.retire(connection)
    }
  })
