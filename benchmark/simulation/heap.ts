/**
 * A binary heap of things that happen at a time, the earliest first.
 */
export interface Timed {
  readonly at: number
}

/** What is going to happen in a simulation. */
export interface Event extends Timed {
  readonly run: () => void
}

/** Entries at the same moment come in no order, which is the same in each run. */
export class Heap<A extends Timed> {
  readonly #heap: Array<A> = []

  add(entry: A): void {
    let index = this.#heap.push(entry) - 1
    while (index > 0 && this.#swapIfEarlier(index, (index - 1) >> 1)) index = (index - 1) >> 1
  }

  /** When the earliest entry is; `Infinity` if there is none. */
  get at(): number {
    return this.#at(0)
  }

  /** The earliest entry. */
  get first(): A | undefined {
    return this.#heap[0]
  }

  /** Takes the earliest entry. */
  next(): A | undefined {
    const [first] = this.#heap
    const last = this.#heap.pop()
    if (last !== undefined && this.#heap.length > 0) {
      this.#heap[0] = last
      this.#sink()
    }
    return first
  }

  #sink(): void {
    let index = 0
    while (true) {
      const left = 2 * index + 1
      const child = this.#at(left + 1) < this.#at(left) ? left + 1 : left
      if (!this.#swapIfEarlier(child, index)) return
      index = child
    }
  }

  #at(index: number): number {
    return this.#heap[index]?.at ?? Infinity
  }

  /** Puts an entry into the place of its parent if it comes before it. */
  #swapIfEarlier(child: number, parent: number): boolean {
    const below = this.#heap[child]
    const above = this.#heap[parent]
    if (below === undefined || above === undefined || below.at >= above.at) return false
    this.#heap[parent] = below
    this.#heap[child] = above
    return true
  }
}
