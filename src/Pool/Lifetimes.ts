/**
 * When the connections of a pool have lived long enough.
 *
 * @since 0.1.0
 */
import type { PooledConnection } from "./PoolState.ts"

const endOf = <K, A>({ lifetime, openedAt }: PooledConnection<K, A>): number => openedAt + lifetime

/** The place of a connection that is not in the heap. */
export const nowhere = -1

/**
 * Finds those whose life is over without looking at the others: a binary heap, at whose top is the one whose life ends first.
 * A connection knows its place, so that one that closes early leaves without a search.
 */
export class Lifetimes<K, A> {
  readonly #heap: Array<PooledConnection<K, A>> = []

  add(connection: PooledConnection<K, A>): void {
    this.#rise(connection, this.#heap.length)
  }

  /** It may have been removed before. */
  remove(connection: PooledConnection<K, A>): void {
    const { heapIndex } = connection
    if (heapIndex === nowhere) return
    connection.heapIndex = nowhere
    const last = this.#heap.pop()
    if (last === undefined || last === connection) return
    // The last one fills the gap, and belongs above it, in it or below it.
    this.#sink(last, this.#rise(last, heapIndex))
  }

  /** Removes those whose life is over. */
  takeOver(now: number): ReadonlyArray<PooledConnection<K, A>> {
    const over: Array<PooledConnection<K, A>> = []
    for (let first = this.#heap[0]; first !== undefined && endOf(first) <= now; first = this.#heap[0]) {
      this.remove(first)
      over.push(first)
    }
    return over
  }

  /** When the next life ends. */
  get next(): number {
    const first = this.#heap[0]
    return first === undefined ? Infinity : endOf(first)
  }

  #put(connection: PooledConnection<K, A>, index: number): void {
    this.#heap[index] = connection
    connection.heapIndex = index
  }

  /** Puts a connection at a place or above it; returns where. */
  #rise(connection: PooledConnection<K, A>, from: number): number {
    let index = from
    while (index > 0) {
      const above = (index - 1) >> 1
      const parent = this.#heap[above]
      if (parent === undefined || endOf(parent) <= endOf(connection)) break
      this.#put(parent, index)
      index = above
    }
    this.#put(connection, index)
    return index
  }

  /** Puts a connection at a place or below it. */
  #sink(connection: PooledConnection<K, A>, from: number): void {
    let index = from
    for (let child = this.#earlier(index); child !== undefined; child = this.#earlier(index)) {
      if (endOf(child) >= endOf(connection)) break
      const { heapIndex } = child
      this.#put(child, index)
      index = heapIndex
    }
    this.#put(connection, index)
  }

  /** That of the two below a place whose life ends earlier. */
  #earlier(index: number): PooledConnection<K, A> | undefined {
    const [left, right] = [this.#heap[2 * index + 1], this.#heap[2 * index + 2]]
    return left === undefined || right === undefined || endOf(left) <= endOf(right) ? left : right
  }
}
