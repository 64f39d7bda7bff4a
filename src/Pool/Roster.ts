/**
 * The connections of a pool that are idle or lent.
 *
 * @since 0.1.0
 */
import type { PooledConnection } from "./PoolState.ts"

/**
 * Finds a connection by its value without looking at the others. A connector may return the same value twice, so that a
 * value may stand for several of them.
 */
export class Roster<K, A> implements Iterable<PooledConnection<K, A>> {
  readonly #byValue = new Map<A, PooledConnection<K, A> | Set<PooledConnection<K, A>>>()
  #size = 0

  get size(): number {
    return this.#size
  }

  add(connection: PooledConnection<K, A>): void {
    const { value } = connection
    const known = this.#byValue.get(value)
    if (known === undefined) this.#byValue.set(value, connection)
    else if (known instanceof Set) known.add(connection)
    else this.#byValue.set(value, new Set([known, connection]))
    this.#size++
  }

  /** Removes a connection that was added. */
  remove(connection: PooledConnection<K, A>): void {
    const { value } = connection
    const known = this.#byValue.get(value)
    if (known instanceof Set) known.delete(connection)
    if (!(known instanceof Set) || known.size === 0) this.#byValue.delete(value)
    this.#size--
  }

  /** The connections with this value: one, unless a connector returned the same value twice. */
  find(value: A): ReadonlyArray<PooledConnection<K, A>> {
    const known = this.#byValue.get(value)
    if (known === undefined) return []
    return known instanceof Set ? [...known] : [known]
  }

  /** In no order. It must not change while it is walked. */
  *[Symbol.iterator](): Generator<PooledConnection<K, A>> {
    for (const known of this.#byValue.values()) {
      if (known instanceof Set) yield* known
      else yield known
    }
  }
}
