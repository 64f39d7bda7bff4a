/**
 * Borrowers that leave their queue without a connection.
 *
 * @since 0.1.0
 */
import type { Continuations } from "./Continuations.ts"
import type { PoolError } from "./PoolError.ts"
import type { KeyPool, Lease } from "./PoolState.ts"
import type { WaitingLine } from "./WaitingLine.ts"

/** Tells those that wait why they do not get one. */
export class Refusals<K, A> {
  readonly #waiting: WaitingLine<K, A>
  readonly #continuations: Continuations<K, A>
  readonly #left: (lease: Lease<K, A>) => void

  /** `left` is called when one has left its queue. */
  constructor(
    waiting: WaitingLine<K, A>,
    continuations: Continuations<K, A>,
    left: (lease: Lease<K, A>) => void
  ) {
    this.#waiting = waiting
    this.#continuations = continuations
    this.#left = left
  }

  refuse(lease: Lease<K, A>, error: PoolError): void {
    this.#waiting.leave(lease)
    this.#left(lease)
    this.#continuations.add(lease, error)
  }

  /** Refuses all that wait for an endpoint. */
  refuseAllOf(keyPool: KeyPool<K, A>, error: PoolError): void {
    for (let lease = keyPool.queue.first; lease !== undefined; lease = keyPool.queue.first) this.refuse(lease, error)
  }

  /** Refuses all that wait for any endpoint. */
  refuseAll(errorFor: (keyPool: KeyPool<K, A>) => PoolError): void {
    for (const keyPool of [...this.#waiting.turns]) this.refuseAllOf(keyPool, errorFor(keyPool))
  }

  /** Refuses those whose deadlines have passed; returns the next one. `errors` is called once, if there are any. */
  refuseLate(now: number, errors: () => (lease: Lease<K, A>, position: number) => PoolError): number {
    const { late, next } = this.#waiting.expired(now)
    if (late.length === 0) return next
    const errorFor = errors()
    for (const { lease, position } of late) {
      // Who leaves its queue may end a dial, whose slot serves, or fails, somebody later in this list.
      if (lease.state === "Waiting") this.refuse(lease, errorFor(lease, position))
    }
    return next
  }
}
