/**
 * When a connection is too old, as pure functions, and the heap that finds the next lifetime to end.
 *
 * @since 0.1.0
 */
import type { Settings } from "../PoolOptions.ts"

/** A connection as far as its age is concerned. Times are in milliseconds. */
export interface Aging {
  readonly openedAt: number
  readonly lifetime: number
  /** Its place in the heap of {@link Lifetimes}, or {@link nowhere}. */
  heapIndex: number
}

const endOf = ({ lifetime, openedAt }: Omit<Aging, "heapIndex">): number => openedAt + lifetime

/** Whether a connection has reached the end of its lifetime. */
export const isOverAge = ({ lifetime, openedAt }: Omit<Aging, "heapIndex">, now: number): boolean =>
  now - openedAt >= lifetime

/** Draws the lifetime of a new connection: `maxLifetime` less a random share, so that connections do not expire together. */
export const drawLifetime = (
  { lifetimeJitter, maxLifetime }: Pick<Settings, "lifetimeJitter" | "maxLifetime">,
  u: number
): number => Math.ceil(maxLifetime * (1 - lifetimeJitter * u))

/** When an idle connection is too old to be leased: at the end of its lifetime, or after `idleTimeout` without use. */
export const freshUntil = (
  connection: { readonly openedAt: number; readonly lifetime: number; readonly idleSince: number },
  idleTimeout: number
): number => Math.min(endOf(connection), connection.idleSince + idleTimeout)

/** When an idle connection is due for its keep-alive check. */
export const checkAt = (
  { provenAt }: { readonly provenAt: number },
  { keepalive }: Pick<Settings, "keepalive">
): number => provenAt + keepalive

/** The place of a connection that is not in the heap. */
export const nowhere = -1

/**
 * Finds those whose life is over without looking at the others: a binary heap, at whose top is the one whose life ends first.
 * A connection knows its place, so that one that closes early leaves without a search.
 */
export class Lifetimes<C extends Aging> {
  readonly #heap: Array<C> = []

  add(connection: C): void {
    this.#rise(connection, this.#heap.length)
  }

  /** It may have been removed before. */
  remove(connection: C): void {
    const { heapIndex } = connection
    if (heapIndex === nowhere) return
    connection.heapIndex = nowhere
    const last = this.#heap.pop()
    if (last === undefined || last === connection) return
    // The last one fills the gap, and belongs above it, in it or below it.
    this.#sink(last, this.#rise(last, heapIndex))
  }

  /** Removes those whose life is over. */
  takeOver(now: number): ReadonlyArray<C> {
    const over: Array<C> = []
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

  #put(connection: C, index: number): void {
    this.#heap[index] = connection
    connection.heapIndex = index
  }

  /** Puts a connection at a place or above it; returns where. */
  #rise(connection: C, from: number): number {
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
  #sink(connection: C, from: number): void {
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
  #earlier(index: number): C | undefined {
    const [left, right] = [this.#heap[2 * index + 1], this.#heap[2 * index + 2]]
    return left === undefined || right === undefined || endOf(left) <= endOf(right) ? left : right
  }
}
