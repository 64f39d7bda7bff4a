/**
 * What is lent, from the moment at which it is to the moment at which it comes back: who holds too much, for too long, or
 * can never return it.
 *
 * @since 0.1.0
 */
import { type Opened, spanNameIn, type Witness, witnessIn } from "../internal/Witness.ts"
import type { Inventory } from "./Inventory.ts"
import { type LeaseWatch, watchLeases } from "./LeaseWatch.ts"
import { LossWatch } from "./LossWatch.ts"
import { Nesting } from "./Nesting.ts"
import type { Environment } from "./PoolEnvironment.ts"
import type { PoolError } from "./PoolError.ts"
import type { Lease } from "./PoolState.ts"
import type { Tally } from "./PoolStats.ts"

/** Has a witness know of a lease; the result has it forget. */
const note = <K, A>(witness: Witness, { context, owner, site }: Lease<K, A>): () => void => {
  const opened: Opened = { kind: "Lease", label: owner.label, site, span: spanNameIn(context) }
  witness.add(opened)
  return () => witness.delete(opened)
}

export class Custody<K, A> {
  readonly #inventory: Inventory<K, A>
  readonly #nesting: Nesting<K, A>
  readonly #watch: LeaseWatch<K, A>
  readonly #losses: LossWatch<K, A>

  /** `lost` ends a lease that nobody can end any more. */
  constructor(
    env: Environment<K, A>,
    inventory: Inventory<K, A>,
    tally: Tally,
    lost: (lease: Lease<K, A>) => void
  ) {
    this.#inventory = inventory
    this.#nesting = new Nesting(env, inventory)
    this.#watch = watchLeases(env, tally, inventory)
    this.#losses = new LossWatch((lease) => {
      tally.leasesLost++
      // One that was held for too long as well has not come back after all.
      lease.reported = false
      lease.unnote?.()
      env.fork(env.reportLease(lease, "Lost", env.clock.now() - lease.borrowedAt))
      lost(lease)
    })
  }

  /** A lease has got its connection; returns when it has to be looked at. */
  add(lease: Lease<K, A>): number {
    this.#begin(lease)
    this.#nesting.lent(lease)
    return this.#losses.add(lease.borrowedAt)
  }

  /** Whether leases are watched from the moment at which their borrowers go on with them. */
  get isWatching(): boolean {
    return this.#watch.isOn
  }

  /** A borrower goes on with its connection, and what it takes to check it has passed; returns when that is too long. */
  entrust(lease: Lease<K, A>, now: number): number {
    return this.#watch.add(lease, now)
  }

  /** A lease has given its connection back; the borrow may go on with another. */
  remove(lease: Lease<K, A>): void {
    this.#nesting.returned(lease)
    this.#losses.remove(lease)
    if (this.#watch.isOn) this.#watch.remove(lease)
  }

  /** Does what is due, and returns when the next is. */
  check(now: number): number {
    return Math.min(this.#watch.check(now), this.#losses.sweep(this.#inventory, now))
  }

  /** A borrow is about to wait; the result tells a borrower that would wait for what it holds itself. */
  enter(lease: Lease<K, A>): PoolError | undefined {
    this.#begin(lease)
    return this.#nesting.refusal(lease)
  }

  /** A borrow begins, with a wait or at once. A witness has to know of both: who waits has a connection soon. */
  #begin(lease: Lease<K, A>): void {
    const witness = witnessIn(lease.context)
    if (witness !== undefined && lease.unnote === undefined) lease.unnote = note(witness, lease)
  }
}
