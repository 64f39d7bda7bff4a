/**
 * The idle connections of a pool: for each endpoint the warmest first, over all endpoints the coldest first.
 *
 * @since 0.1.0
 */
import { type PooledConnection, removeFrom } from "./PoolState.ts"

/**
 * A stack for each endpoint, so that the connection that was used last is used next and the surplus grows cold, and a
 * linked list through all of them in the order in which they became idle, so that the longest idle is found at once.
 */
export class IdleList<K, A> implements Iterable<PooledConnection<K, A>> {
  #coldest: PooledConnection<K, A> | undefined
  #warmest: PooledConnection<K, A> | undefined
  #size = 0

  get size(): number {
    return this.#size
  }

  get isEmpty(): boolean {
    return this.#coldest === undefined
  }

  add(connection: PooledConnection<K, A>, now: number): void {
    connection.state = "Idle"
    connection.idleSince = now
    connection.owner.idle.push(connection)
    connection.colder = this.#warmest
    connection.warmer = undefined
    if (this.#warmest === undefined) this.#coldest = connection
    else this.#warmest.warmer = connection
    this.#warmest = connection
    this.#size++
  }

  remove(connection: PooledConnection<K, A>): void {
    removeFrom(connection.owner.idle, connection)
    const { colder, warmer } = connection
    if (colder === undefined) this.#coldest = warmer
    else colder.warmer = warmer
    if (warmer === undefined) this.#warmest = colder
    else warmer.colder = colder
    connection.colder = undefined
    connection.warmer = undefined
    this.#size--
  }

  /** The coldest first. The list must not change while it is walked. */
  *[Symbol.iterator](): Generator<PooledConnection<K, A>> {
    for (let connection = this.#coldest; connection !== undefined; connection = connection.warmer) yield connection
  }
}
