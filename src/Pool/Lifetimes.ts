/**
 * When the connections of a pool have lived long enough.
 *
 * @since 0.1.0
 */
import type { PooledConnection } from "./PoolState.ts"

/** Connections whose lives end in the same second are kept together. */
const slice = 1000

const endOf = <K, A>({ lifetime, openedAt }: PooledConnection<K, A>): number => openedAt + lifetime

/**
 * Finds those whose life is over without looking at the others: a connection is put in its place once, when it is opened,
 * and there are no more places than seconds in a life.
 */
export class Lifetimes<K, A> {
  readonly #slices = new Map<number, Set<PooledConnection<K, A>>>()

  add(connection: PooledConnection<K, A>): void {
    const index = Math.floor(endOf(connection) / slice)
    const together = this.#slices.get(index)
    if (together === undefined) this.#slices.set(index, new Set([connection]))
    else together.add(connection)
  }

  remove(connection: PooledConnection<K, A>): void {
    const index = Math.floor(endOf(connection) / slice)
    const together = this.#slices.get(index)
    if (together?.delete(connection) === true && together.size === 0) this.#slices.delete(index)
  }

  /** Those whose life is over. */
  over(now: number): ReadonlyArray<PooledConnection<K, A>> {
    const over: Array<PooledConnection<K, A>> = []
    for (const [index, together] of this.#slices) {
      if (index * slice > now) continue
      for (const connection of together) if (endOf(connection) <= now) over.push(connection)
    }
    return over
  }

  /** No life ends before this moment that has not ended by now. */
  next(now: number): number {
    let next = Infinity
    for (const index of this.#slices.keys()) next = Math.min(next, Math.max((index + 1) * slice, now + slice))
    return next
  }
}
