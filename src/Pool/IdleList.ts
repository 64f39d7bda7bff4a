/**
 * All idle connections of a pool, whatever their endpoint, in the order in which they became idle.
 *
 * @since 0.1.0
 */
import type { PooledConnection } from "./PoolState.ts"

/** A doubly linked list through the connections themselves: adding and removing cost the same however many there are. */
export class IdleList<K, A> implements Iterable<PooledConnection<K, A>> {
  #coldest: PooledConnection<K, A> | undefined
  #warmest: PooledConnection<K, A> | undefined
  #size = 0

  get size(): number {
    return this.#size
  }

  add(connection: PooledConnection<K, A>): void {
    connection.colder = this.#warmest
    connection.warmer = undefined
    if (this.#warmest === undefined) this.#coldest = connection
    else this.#warmest.warmer = connection
    this.#warmest = connection
    this.#size++
  }

  remove(connection: PooledConnection<K, A>): void {
    const { colder, warmer } = connection
    if (colder === undefined) this.#coldest = warmer
    else colder.warmer = warmer
    if (warmer === undefined) this.#warmest = colder
    else warmer.colder = colder
    connection.colder = undefined
    connection.warmer = undefined
    this.#size--
  }

  /** The longest idle first. The connection at hand may be removed while iterating. */
  *[Symbol.iterator](): Generator<PooledConnection<K, A>> {
    let connection = this.#coldest
    while (connection !== undefined) {
      const next = connection.warmer
      yield connection
      connection = next
    }
  }
}
