/**
 * The idle connections of a pool: for each endpoint the warmest first, over all endpoints the coldest first.
 *
 * @since 0.1.0
 */
import type { KeyPool, PooledConnection } from "./PoolState.ts"

/**
 * A stack for each endpoint, so that the connection that was used last is used next and the surplus grows cold, and a
 * linked list through all of them in the order in which they became idle, so that the longest idle is found at once.
 */
export class IdleList<K, A> {
  #coldest: PooledConnection<K, A> | undefined
  #warmest: PooledConnection<K, A> | undefined

  add(connection: PooledConnection<K, A>, now: number): void {
    connection.state = "Idle"
    connection.idleSince = now
    connection.owner.idle.push(connection)
    connection.colder = this.#warmest
    connection.warmer = undefined
    if (this.#warmest === undefined) this.#coldest = connection
    else this.#warmest.warmer = connection
    this.#warmest = connection
  }

  remove(connection: PooledConnection<K, A>): void {
    const { idle } = connection.owner
    if (idle.at(-1) === connection) idle.pop()
    else idle.splice(idle.indexOf(connection), 1)
    const { colder, warmer } = connection
    if (colder === undefined) this.#coldest = warmer
    else colder.warmer = warmer
    if (warmer === undefined) this.#warmest = colder
    else warmer.colder = colder
    connection.colder = undefined
    connection.warmer = undefined
  }

  /** The longest idle connection that is not this endpoint's. */
  coldestOfOthers(keyPool: KeyPool<K, A>): PooledConnection<K, A> | undefined {
    let connection = this.#coldest
    while (connection?.owner === keyPool) connection = connection.warmer
    return connection
  }

  /** All of them as they are now, the coldest first. */
  all(): ReadonlyArray<PooledConnection<K, A>> {
    const all: Array<PooledConnection<K, A>> = []
    for (let connection = this.#coldest; connection !== undefined; connection = connection.warmer) all.push(connection)
    return all
  }
}
