/** What an `EndpointPool` has to have: plain counts, and the order of the items with room. */
import type { Item } from "../../../src/Pool/internal/EndpointPool.ts"

interface Counts {
  leases: number
  /** The leases beyond the first when it was reserved. */
  reserved: number | undefined
}

export class EndpointModel<H, C = unknown> {
  readonly items = new Map<Item<H, C>, Counts>()
  /** The items with room, the one that came back last at first. */
  readonly available: Array<Item<H, C>> = []
  readonly concurrency: number
  max: number

  constructor(concurrency: number, max: number) {
    this.concurrency = concurrency
    this.max = max
  }

  leases(item: Item<H, C>): number {
    return this.#counts(item).leases
  }

  isReserved(item: Item<H, C>): boolean {
    return this.#counts(item).reserved !== undefined
  }

  open(item: Item<H, C>): void {
    this.items.set(item, { leases: 1, reserved: this.concurrency > 1 ? 0 : undefined })
  }

  lease(item: Item<H, C>): void {
    if (++this.#counts(item).leases === this.concurrency) this.#withdraw(item)
  }

  release(item: Item<H, C>): void {
    this.#counts(item).leases--
    this.#offer(item)
  }

  reserve(item: Item<H, C>): void {
    const counts = this.#counts(item)
    if (this.concurrency === 1) return
    counts.reserved ??= Math.max(counts.leases - 1, 0)
    this.#withdraw(item)
  }

  unreserve(item: Item<H, C>): void {
    const counts = this.#counts(item)
    if (counts.reserved === undefined) return
    counts.reserved = undefined
    this.#offer(item)
  }

  remove(item: Item<H, C>): void {
    this.items.delete(item)
    this.#withdraw(item)
  }

  /** Everything that a pool shows of it. */
  get facts() {
    // The module gives Effect this number in the place of `Infinity`.
    const concurrency = Math.min(this.concurrency, 2 ** 32)
    const all = [...this.items.values()]
    const used = all.filter(({ leases, reserved }) => leases > 0 || reserved !== undefined).length
    return {
      /** Idle, used, pending, max. */
      stats: [all.length - used, used, 0, this.max],
      usage: all.reduce(
        (sum, { leases, reserved }) => sum + leases + (reserved === undefined ? 0 : concurrency - 1 - reserved),
        0
      ),
      leases: all.map(({ leases }) => leases),
      items: [...this.items.keys()],
      available: this.available
    }
  }

  #counts(item: Item<H, C>): Counts {
    const counts = this.items.get(item)
    if (counts === undefined) throw new Error("the model has no such item")
    return counts
  }

  #offer(item: Item<H, C>): void {
    const { leases, reserved } = this.#counts(item)
    if (leases >= this.concurrency || reserved !== undefined || this.available.includes(item)) return
    this.available.unshift(item)
  }

  #withdraw(item: Item<H, C>): void {
    const index = this.available.indexOf(item)
    if (index >= 0) this.available.splice(index, 1)
  }
}
