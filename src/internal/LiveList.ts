/**
 * A list of the things that are alive, whose changes can be observed.
 *
 * @since 0.1.0
 */

/** A list that items join when they are made, and leave when they end. */
export class LiveList<A> {
  readonly #items = new Set<A>()
  readonly #listeners = new Set<() => void>()

  /** Adds an item. The returned function removes it. A second call does nothing. */
  add(item: A): () => void {
    this.#items.add(item)
    this.#changed()
    return () => {
      if (this.#items.delete(item)) this.#changed()
    }
  }

  /** The items that have not ended, in the order of their beginning. */
  get all(): Iterable<A> {
    return this.#items
  }

  /** Calls `listener` after each change of the list. The returned function removes the listener. */
  onChange(listener: () => void): () => void {
    // A function of its own, so that the same listener can be added twice.
    const own = () => listener()
    this.#listeners.add(own)
    return () => void this.#listeners.delete(own)
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener()
  }
}
