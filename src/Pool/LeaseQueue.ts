/**
 * Leases in their order: the borrowers that wait for one endpoint, first come first served, or those whose leases are watched.
 *
 * @since 0.1.0
 */
import type { Lease } from "./PoolState.ts"

/** Deadlines stay in order, also among several that come back to the front. Of those with the same one, the first to come is first. */
const isBefore = <K, A>(a: Lease<K, A>, b: Lease<K, A>): boolean =>
  a.deadline < b.deadline || a.deadline === b.deadline && a.arrival < b.arrival

/**
 * A doubly linked list through the leases themselves, so that a borrower that gives up leaves at the same small cost. A lease is
 * in one of them at a time: it waits, or it is held.
 */
export class LeaseQueue<K, A> {
  #first: Lease<K, A> | undefined
  #last: Lease<K, A> | undefined
  #size = 0

  get size(): number {
    return this.#size
  }

  get first(): Lease<K, A> | undefined {
    return this.#first
  }

  addLast(lease: Lease<K, A>): void {
    lease.ahead = this.#last
    lease.behind = undefined
    if (this.#last === undefined) this.#first = lease
    else this.#last.behind = lease
    this.#last = lease
    this.#size++
  }

  /** For a borrower that had its turn already and was given something that turned out to be broken. */
  addFirst(lease: Lease<K, A>): void {
    let behind = this.#first
    while (behind !== undefined && isBefore(behind, lease)) behind = behind.behind
    if (behind === undefined) return this.addLast(lease)
    lease.behind = behind
    lease.ahead = behind.ahead
    if (behind.ahead === undefined) this.#first = lease
    else behind.ahead.behind = lease
    behind.ahead = lease
    this.#size++
  }

  remove(lease: Lease<K, A>): void {
    const { ahead, behind } = lease
    if (ahead === undefined) this.#first = behind
    else ahead.behind = behind
    if (behind === undefined) this.#last = ahead
    else behind.ahead = ahead
    lease.ahead = undefined
    lease.behind = undefined
    this.#size--
  }
}
