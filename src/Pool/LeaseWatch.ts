/**
 * Leases that are held for too long: reported after one time, ended after another.
 *
 * @since 0.1.0
 */
import { leaseExpired } from "./Explaining.ts"
import type { Environment } from "./PoolEnvironment.ts"
import type { Lease, PooledConnection } from "./PoolState.ts"
import type { Tally } from "./PoolStats.ts"

/** What is done about a lease. Times are in milliseconds. */
export interface Measures<K, A> {
  readonly leakThreshold: number
  readonly maxLease: number
  /** A clock that does not step: a wall clock that is set must end no lease that has just begun. */
  readonly monotonic: () => number
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
  /** Since when each is held. */
  readonly #held = new Map<Lease<K, A>, number>()
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
    this.#held.set(lease, this.#measures.monotonic())
    return now + this.#first
  }

  remove(lease: Lease<K, A>): void {
    const since = this.#held.get(lease)
    if (since === undefined) return
    this.#held.delete(lease)
    if (lease.reported) this.#measures.recovered(lease, this.#measures.monotonic() - since)
  }

  /** Does what is due, and returns when the next lease is. */
  check(now: number): number {
    if (this.#held.size === 0) return Infinity
    const { end, leakThreshold, maxLease, report } = this.#measures
    const monotonic = this.#measures.monotonic()
    let next = Infinity
    for (const [lease, since] of this.#held) {
      const age = monotonic - since
      if (age >= maxLease) {
        this.#held.delete(lease)
        end(lease)
        continue
      }
      if (age >= leakThreshold && !lease.reported) {
        lease.reported = true
        report(lease, age)
      }
      next = Math.min(next, (lease.reported ? maxLease : this.#first) - age)
      // Whoever came later is due later.
      if (age < this.#first) break
    }
    return now + next
  }
}

/** Watches the leases of a pool: reports the long ones, and ends those that pass `maxLease`. */
export const watchLeases = <K, A>(
  { clock, fork, reportLease, settings }: Environment<K, A>,
  tally: Tally,
  retire: (connection: PooledConnection<K, A>) => void
): LeaseWatch<K, A> =>
  new LeaseWatch({
    leakThreshold: settings.leakThreshold,
    maxLease: settings.maxLease,
    monotonic: () => clock.monotonic(),
    report: (lease, age) => {
      tally.leaksReported++
      fork(reportLease(lease, "Held", age))
    },
    recovered: (lease, age) => {
      fork(reportLease(lease, "Returned", age))
    },
    end: (lease) => {
      tally.leasesExpired++
      if (lease.connection !== undefined) retire(lease.connection)
      lease.expire?.(leaseExpired(lease, settings))
    }
  })
