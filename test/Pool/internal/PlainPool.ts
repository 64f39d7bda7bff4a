/**
 * An endpoint's Pool without Effect, for a core that is explored alone. Its counts and its order are those of `EndpointModel`, which
 * `EndpointPool.test.ts` shows to be those of Effect's Pool.
 */
import { Effect, Exit, type Pool, Scope } from "effect"
import { type EndpointPool, Item, type Options } from "../../../src/Pool/internal/EndpointPool.ts"
import { EndpointModel } from "./EndpointModel.ts"

class PlainPool<H, C> {
  readonly #model: EndpointModel<H, C>
  /** What is looked at of Effect's Pool. */
  readonly pool = { state: { items: new Set<unknown>(), waiters: new Set() } }

  constructor({ concurrency, max }: Options<H, C>) {
    this.#model = new EndpointModel(concurrency, max)
  }

  get isEmpty(): boolean {
    return this.#model.items.size === 0
  }

  get next(): Item<H, C> | undefined {
    return this.#model.available[0]
  }

  available(): ReadonlyArray<Item<H, C>> {
    return this.#model.available.toReversed()
  }

  open(): Item<H, C> {
    if (this.#model.items.size >= this.#model.max) throw new Error("there is no room for an item")
    const item = new Item<H, C>(Scope.makeUnsafe())
    const leases = () => item.isRemoved ? 0 : this.#model.leases(item)
    const own = {
      exit: Exit.succeed(item),
      get refCount() {
        return leases()
      },
      finalizer: Effect.void,
      release: () => Effect.sync(() => this.release(item))
    }
    // The core asks for nothing else of Effect's record.
    item.adopt(own as unknown as Pool.PoolItem<Item<H, C>, never>, () => Effect.void, false)
    this.pool.state.items.add(own)
    this.#model.open(item)
    this.#show(item)
    return item
  }

  take(item: Item<H, C>): void {
    if (!this.#model.available.includes(item)) throw new Error("the item has no room")
    this.#model.lease(item)
  }

  release(item: Item<H, C>): void {
    if (!item.isRemoved) this.#model.release(item)
  }

  moveBefore(item: Item<H, C>, isLongerIdle: (other: Item<H, C>) => boolean): void {
    const { available } = this.#model
    if (available[0] !== item) return
    available.shift()
    const place = available.findLastIndex((other) => !isLongerIdle(other))
    available.splice(place + 1, 0, item)
  }

  reserve(item: Item<H, C>): void {
    this.#model.reserve(item)
    this.#show(item)
  }

  unreserve(item: Item<H, C>): void {
    this.#model.unreserve(item)
    this.#show(item)
  }

  #show(item: Item<H, C>): void {
    item.reservation = this.#model.isReserved(item) ? { scope: item.scope, surplus: 0 } : undefined
  }

  remove(item: Item<H, C>): void {
    if (item.isRemoved) return
    this.pool.state.items.delete(item.own)
    item.isRemoved = true
    this.#model.remove(item)
  }

  resize(max: number): void {
    this.#model.max = max
  }

  end(): void {}
}

export const make = <H, C>(options: Options<H, C>): EndpointPool<H, C> =>
  // The core asks for nothing else of it.
  new PlainPool(options) as unknown as EndpointPool<H, C>
