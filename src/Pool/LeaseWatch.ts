/**
 * Leases that are held for too long: reported after one time, ended after another.
 *
 * @since 0.1.0
 */
import { leaseExpired } from "./Explaining.ts"
import type { Environment } from "./PoolEnvironment.ts"
import type { Lease, PooledConnection } from "./PoolState.ts"
import type { Tally } from "./PoolStats.ts"

/** What is done about a lease. */
export interface Measures<K, A> {
  readonly leakThreshold: number
  readonly maxLease: number
  /** The lease is held for longer than `leakThreshold`. It is called once for a lease. */
  readonly report: (lease: Lease<K, A>, now: number) => void
  /** A reported lease has come back after all. */
  readonly recovered: (lease: Lease<K, A>, now: number) => void
  /** The lease is held for longer than `maxLease`. */
  readonly end: (lease: Lease<K, A>) => void
}

/** Watches leases in the order in which they began, which is the order in which they are due. */
export class LeaseWatch<K, A> {
  readonly #measures: Measures<K, A>
  readonly #held = new Set<Lease<K, A>>()
  readonly isOn: boolean

  constructor(measures: Measures<K, A>) {
    this.#measures = measures
    this.isOn = Math.min(measures.leakThreshold, measures.maxLease) < Infinity
  }

  /** Returns when the lease is due for the first time. */
  add(lease: Lease<K, A>): number {
    this.#held.add(lease)
    return lease.borrowedAt + Math.min(this.#measures.leakThreshold, this.#measures.maxLease)
  }

  remove(lease: Lease<K, A>, now: number): void {
    if (this.#held.delete(lease) && lease.reported) this.#measures.recovered(lease, now)
  }

  /** Does what is due, and returns when the next lease is. */
  check(now: number): number {
    const { end, leakThreshold, maxLease, report } = this.#measures
    let next = Infinity
    for (const lease of this.#held) {
      const age = now - lease.borrowedAt
      if (age >= maxLease) {
        this.#held.delete(lease)
        end(lease)
        continue
      }
      if (age >= leakThreshold && !lease.reported) {
        lease.reported = true
        report(lease, now)
      }
      next = Math.min(next, lease.borrowedAt + (lease.reported ? maxLease : Math.min(leakThreshold, maxLease)))
      // Whoever came later is due later.
      if (age < Math.min(leakThreshold, maxLease)) break
    }
    return next
  }
}

/** Watches the leases of a pool: reports the long ones, and ends those that pass `maxLease`. */
export const watchLeases = <K, A>(
  { fork, reportLease, settings }: Environment<K, A>,
  tally: Tally,
  retire: (connection: PooledConnection<K, A>) => void
): LeaseWatch<K, A> =>
  new LeaseWatch({
    leakThreshold: settings.leakThreshold,
    maxLease: settings.maxLease,
    report: (lease, now) => {
      tally.leaksReported++
      fork(reportLease(lease, "Held", now - lease.borrowedAt))
    },
    recovered: (lease, now) => {
      fork(reportLease(lease, "Returned", now - lease.borrowedAt))
    },
    end: (lease) => {
      tally.leasesExpired++
      if (lease.connection !== undefined) retire(lease.connection)
      lease.expire?.(leaseExpired(lease, settings))
    }
  })
