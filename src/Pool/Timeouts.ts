/**
 * What happens when a borrower has run out of time.
 *
 * @since 0.1.0
 */
import type { Availability } from "./Availability.ts"
import * as Explaining from "./Explaining.ts"
import type { Inventory } from "./Inventory.ts"
import type { KeyDirectory } from "./KeyDirectory.ts"
import type { Observers } from "./Observers.ts"
import type { Openings } from "./Openings.ts"
import type { Environment } from "./PoolEnvironment.ts"
import type { PoolError } from "./PoolError.ts"
import type { KeyPool, Lease } from "./PoolState.ts"
import type { Tally } from "./PoolStats.ts"

/** What the error of a borrower says about the pool, and what learns of it. */
export interface Facts<K, A> {
  readonly env: Environment<K, A>
  readonly directory: KeyDirectory<K, A>
  readonly inventory: Inventory<K, A>
  readonly openings: Openings<K, A>
  readonly availability: Availability<K, A>
  readonly tally: Tally
  readonly observers: Observers
  readonly isSuspended: () => boolean
}

export class Timeouts<K, A> {
  readonly #facts: Facts<K, A>

  constructor(facts: Facts<K, A>) {
    this.#facts = facts
  }

  /** Counts the timeout of a borrower, and returns its error. */
  errorOf(lease: Lease<K, A>, position = 1, moment = this.#moment()): PoolError {
    const { availability, observers, openings, tally } = this.#facts
    tally.timeouts++
    observers.current?.timedOut()
    const error = Explaining.acquireTimeout(lease, position, moment)
    if (lease.owner.connecting === 0 || openings.isDialling(lease.owner)) availability.timedOut(lease.owner, error)
    return error
  }

  /** Makes the errors of borrowers that run out of time now. What they say about the pool is the same for all of them. */
  errorsNow(): (lease: Lease<K, A>, position: number) => PoolError {
    const moment = this.#moment()
    return (lease, position) => this.errorOf(lease, position, moment)
  }

  #moment(): Explaining.Moment<K, A> {
    const { directory, env: { clock, obstacle, settings }, inventory, isSuspended, openings } = this.#facts
    const isDialling = (keyPool: KeyPool<K, A>) => openings.isDialling(keyPool)
    const [now, pool] = [clock.now(), directory.counts()]
    const facts = { settings, pool, now, isSuspended: isSuspended(), obstacle, isDialling }
    return Explaining.momentOf(facts, () => inventory.all())
  }
}
