/**
 * A list of the things that are alive, whose changes can be observed.
 *
 * @since 0.1.0
 */

/** A list that items join when they are made, and leave when they end. */
export class LiveList<A> {
  /** The items, and how often each was added. */
  readonly #items = new Map<A, number>()
  readonly #listeners = new Set<() => void>()

  /**
   * Adds an item. The returned function removes it; a second call does nothing. An item that was added several times leaves with
   * its last removal.
   */
  add(item: A): () => void {
    const others = this.#items.get(item) ?? 0
    this.#items.set(item, others + 1)
    if (others === 0) this.#changed()
    let isAdded = true
    return () => {
      if (isAdded) this.#remove(item)
      isAdded = false
    }
  }

  /** The items that have not ended, in the order of their beginning. */
  get all(): Iterable<A> {
    return this.#items.keys()
  }

  /** Calls `listener` after each change of the list. The returned function removes the listener. */
  onChange(listener: () => void): () => void {
    // A function of its own, so that the same listener can be added twice.
    const own = () => listener()
    this.#listeners.add(own)
    return () => void this.#listeners.delete(own)
  }

  #remove(item: A): void {
    const others = (this.#items.get(item) ?? 0) - 1
    if (others > 0) return void this.#items.set(item, others)
    this.#items.delete(item)
    this.#changed()
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener()
  }
}
