/**
 * Everybody who waits: a queue for each endpoint, and the endpoints in the order of their turns.
 *
 * @since 0.1.0
 */
import type { KeyPool, Lease } from "./PoolState.ts"

export class WaitingLine<K, A> {
  /** The endpoints with waiting borrowers, whose turn is next first. */
  readonly #turns = new Set<KeyPool<K, A>>()

  get isEmpty(): boolean {
    return this.#turns.size === 0
  }

  /** The endpoints with waiting borrowers, whose turn is next first. */
  get turns(): ReadonlySet<KeyPool<K, A>> {
    return this.#turns
  }

  /** Puts a borrow at the end of its queue, or at its front if it had its turn and was given something broken. */
  join(lease: Lease<K, A>, place: "Last" | "First"): void {
    lease.state = "Waiting"
    if (lease.owner.queue.size === 0) this.#turns.add(lease.owner)
    if (place === "Last") lease.owner.queue.addLast(lease)
    else lease.owner.queue.addFirst(lease)
  }

  leave(lease: Lease<K, A>): void {
    lease.state = "Over"
    lease.owner.queue.remove(lease)
    if (lease.owner.queue.size === 0) this.#turns.delete(lease.owner)
  }

  /** The endpoint had its turn. */
  rotate(keyPool: KeyPool<K, A>): void {
    if (this.#turns.delete(keyPool)) this.#turns.add(keyPool)
  }

  /** The borrows whose deadline has passed, with their places, and the next deadline. In a queue, they are in order. */
  expired(now: number): {
    readonly late: ReadonlyArray<{ readonly lease: Lease<K, A>; readonly position: number }>
    readonly next: number
  } {
    const late: Array<{ readonly lease: Lease<K, A>; readonly position: number }> = []
    let next = Infinity
    for (const { queue } of this.#turns) {
      let lease = queue.first
      for (let position = 1; lease !== undefined && lease.deadline <= now; lease = lease.behind, position++) {
        late.push({ lease, position })
      }
      if (lease !== undefined) next = Math.min(next, lease.deadline)
    }
    return { late, next }
  }
}
