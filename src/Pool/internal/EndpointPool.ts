/**
 * Effect's `Pool` of one endpoint. It holds the endpoint's connections and leases them. All decisions are made by `PoolCore`.
 *
 * **Details**
 *
 * `acquire` makes an item at once, and the connection is opened in the item's own scope, so that a slow connect holds up no other.
 * An idle connection is an available item. `Pool.use` and `Pool.get` lease it, count its borrowers, and return it.
 *
 * Each function here takes one step, in which no other fiber can run. Effect's own functions take one step too if their fiber does
 * not yield, so they run on a scheduler that is drained at once. `test/Pool/EffectPoolContract.test.ts` pins the fields of
 * `Pool.State` and `PoolItem` that this module uses.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Pool from "effect/Pool"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"

/** Ends the borrow of a holder. The result is an effect with which the borrow fails, if so. */
type Release<H> = (holder: H, exit: Exit.Exit<unknown, unknown>) => Effect.Effect<void, unknown> | undefined

/** The strategy of Effect's Pools. All endpoints share one. It runs no fiber, because `PoolCore` closes old connections. */
export interface Strategy<H, C> extends Pool.Strategy<Item<H, C>, never> {
  /** When an item becomes too old to be leased. */
  readonly expiresAt: (item: Item<H, C>) => number
}

export interface StrategyOptions<H, C> extends Pick<Strategy<H, C>, "expiresAt"> {
  /** Several borrowers may share an item. */
  readonly isShared: boolean
  /** Called when the borrow of a holder ends. It has to end the lease of the item, or leave that lease to the next borrower. */
  readonly released: Release<H>
}

export const makeStrategy = <H, C>({ expiresAt, isShared, released }: StrategyOptions<H, C>): Strategy<H, C> => ({
  run: () => Effect.void,
  reclaim: () => Effect.undefined,
  onAcquire: (own) =>
    Effect.sync(() => {
      if (Exit.isSuccess(own.exit)) own.exit.value.adopt(own, released, isShared)
    }),
  expiresAt
})

/**
 * The item of one connection in an Effect `Pool`. It is made before the connect. `H` is the holder of a lease, `C` the connection.
 */
export class Item<H, C = unknown> {
  /** The scope of the connection. Effect closes it at the end of the pool, unless the item was removed before. */
  readonly scope: Scope.Closeable
  /** The holder of the lease that begins now. It is removed when that lease has begun if the item is shared, or else at its end. */
  holder: H | undefined = undefined
  /** The connection, as soon as it is open. */
  connection: C | undefined = undefined
  /** Hides the free room of the item from borrowers. */
  reservation: Reservation | undefined = undefined
  /** The item was removed. The end of a lease does nothing after that. */
  isRemoved = false
  #own: Pool.PoolItem<Item<H, C>, never> | undefined
  #back: Effect.Effect<void> = Effect.void

  constructor(scope: Scope.Closeable) {
    this.scope = scope
  }

  /** Effect's record of this item. */
  get own(): Pool.PoolItem<Item<H, C>, never> {
    if (this.#own === undefined) throw new Error("Effect's Pool has not acquired this item")
    return this.#own
  }

  /** The number of leases of the item. Those of a dial and of a check are included. */
  get leases(): number {
    return this.own.refCount
  }

  /** The effect that ends one lease. */
  get back(): Effect.Effect<void> {
    return this.isRemoved ? Effect.void : this.#back
  }

  /** Replaces Effect's `release` of the item by ours. Effect's stays as `back`. Effect reads the field when a lease begins. */
  adopt(own: Pool.PoolItem<Item<H, C>, never>, released: Release<H>, isShared: boolean): void {
    this.#own = own
    this.#back = own.release(Exit.void)
    const { finalizer } = own
    // A Pool that closes wraps this finalizer and waits for it, so `remove` cannot replace the finalizer then.
    own.finalizer = Effect.suspend(() => this.isRemoved ? Effect.void : finalizer)
    const end = (holder: H | undefined, exit: Exit.Exit<unknown, unknown>) => {
      if (holder === undefined) return this.back
      // `Pool.use` accepts `undefined` here, which its type does not say, and runs three operations less. The failure of an effect is
      // that of the borrow, and is in the type of the borrow.
      return released(holder, exit) as Effect.Effect<void>
    }
    // Each lease of a shared item gets its own closure, which has its holder.
    const releaseOfOne = () => {
      const holder = this.#takeHolder()
      return (exit: Exit.Exit<unknown, unknown>) => end(holder, exit)
    }
    if (isShared) Object.defineProperty(own, "release", { get: releaseOfOne })
    else own.release = (exit) => end(this.#takeHolder(), exit)
  }

  #takeHolder(): H | undefined {
    const { holder } = this
    this.holder = undefined
    return holder
  }
}

interface Reservation {
  readonly scope: Scope.Closeable
  /** The amount by which Effect counts this reservation too high in `usage`. */
  readonly surplus: number
}

const itemOf = <H, C>({ exit }: Pool.PoolItem<Item<H, C>, never>): Item<H, C> => {
  if (Exit.isSuccess(exit)) return exit.value
  throw new Error("an item of Effect's Pool was not acquired", { cause: exit })
}

/** The tasks of the scheduler `drained`. They run before the call that has scheduled them returns. */
const tasks: Array<() => void> = []
const drained: Scheduler.Scheduler = {
  executionMode: "sync",
  shouldYield: () => false,
  makeDispatcher: () => ({ scheduleTask: (task) => void tasks.push(task), flush: () => {} })
}

const runDrained = Effect.runForkWith(Context.make(Scheduler.Scheduler, drained))

/** Runs an effect, and the fibers that the effect forks, in this step. */
const runNow = <A>(effect: Effect.Effect<A>): A => {
  const fiber = runDrained(effect)
  for (let task = tasks.shift(); task !== undefined; task = tasks.shift()) task()
  const exit = fiber.pollUnsafe()
  if (exit !== undefined && Exit.isSuccess(exit)) return exit.value
  throw new Error("Effect's Pool did not do in one step what it was asked for", { cause: exit })
}

/** Effect's own scheduler. On it, a fiber yields after `maxOpsBeforeYield` operations. */
const effects = Scheduler.MixedScheduler.prototype

/** The most operations of the run loop that Effect takes to count a lease. */
const operations = 2

/**
 * Whether a fiber may yield within the next operations. Then other fibers could run between a decision of the pool and the lease of
 * Effect's `Pool` that follows it, so the lease has to be made in the step of the decision.
 */
export const mayYield = (fiber: Fiber.Fiber<unknown, unknown> | undefined): boolean => {
  if (fiber === undefined) return true
  const { cache, currentOpCount } = fiber
  return !cache.preventYield && (
    cache.scheduler.shouldYield !== effects.shouldYield ||
    currentOpCount + operations >= cache.maxOpsBeforeYield
  )
}

/**
 * Whether a running fiber was interrupted during its present operation. The fiber does not run the effect that the operation
 * returns, and ends with the interruption.
 */
export const isInterrupted = (fiber: Fiber.Fiber<unknown, unknown>): boolean => {
  // Effect's type does not have this field. The contract test shows its meaning.
  const { _deferredInterrupt } = fiber as Fiber.Fiber<unknown, unknown> & { readonly _deferredInterrupt?: boolean }
  return _deferredInterrupt === true
}

/** The highest `concurrency` for Effect, which adds it to a count of all leases. The sum must stay an exact number. */
const maxConcurrency = 2 ** 32

export interface Options<H, C> {
  readonly max: number
  readonly concurrency: number
  /** The clock for the idle time of items. */
  readonly clock: Clock.Clock
  readonly strategy: Strategy<H, C>
}

export class EndpointPool<H, C = unknown> {
  readonly #clock: Clock.Clock
  readonly #pool: Pool.Pool<Item<H, C>>
  readonly #scope = Scope.makeUnsafe()
  readonly #concurrency: number

  constructor({ clock, concurrency, max, strategy }: Options<H, C>) {
    this.#clock = clock
    this.#concurrency = Math.min(concurrency, maxConcurrency)
    const making = Pool.makeWithStrategy<Item<H, C>, never, Scope.Scope>({
      // Effect makes this scope by `Scope.make`, so it can be closed.
      acquire: Effect.map(Effect.scope, (scope) => new Item<H, C>(scope as Scope.Closeable)),
      min: 0,
      max,
      concurrency: this.#concurrency,
      strategy
    })
    this.#pool = runNow(Scope.provide(Effect.provideService(making, Clock.Clock, clock), this.#scope))
  }

  get isEmpty(): boolean {
    return this.#pool.state.items.size === 0
  }

  get pool(): Pool.Pool<Item<H, C>> {
    return this.#pool
  }

  /** The item that the next borrower gets: of the items with room, the one that was returned last. */
  get next(): Item<H, C> | undefined {
    const exit = this.#pool.state.availableHead?.exit
    return exit !== undefined && Exit.isSuccess(exit) ? exit.value : undefined
  }

  /** The items with room, in the order in which they were returned. The item that was yielded last may be leased or removed. */
  *available(): Generator<Item<H, C>> {
    let own = this.#pool.state.availableTail
    while (own !== undefined) {
      const { availablePrevious, exit } = own
      if (Exit.isSuccess(exit)) yield exit.value
      own = availablePrevious
    }
  }

  /** Makes an item with one lease, for the dial, and no room for others. */
  open(): Item<H, C> {
    const { config, state } = this.#pool
    const { availableHead, availableTail, invalidated, items, usage } = state
    const size = items.size - invalidated.size
    if (size >= config.maxSize) throw new Error(`there are ${size} of ${config.maxSize} items`)
    // During the lease, the state says that the pool is in full use, so that Effect makes a new item although others are available.
    const fullUsage = size * this.#concurrency
    Object.assign(state, { availableHead: undefined, availableTail: undefined, usage: fullUsage })
    try {
      const item = this.#lease()
      this.reserve(item)
      return item
    } finally {
      Object.assign(state, { availableHead, availableTail, usage: usage + state.usage - fullUsage })
    }
  }

  /** Leases this item, which has room. */
  take(item: Item<H, C>): void {
    const { state } = this.#pool
    const { own } = item
    if (!own.isAvailable) throw new Error("the item has no room")
    const head = state.availableHead
    // Effect leases the head. An item behind the head keeps its links until Effect removes it from the list.
    state.availableHead = own
    try {
      this.#lease()
    } finally {
      if (head !== own) state.availableHead = head
    }
  }

  /** Leases the next item for as long as `f` takes, and releases it by the `released` of its holder. */
  use<B, E, R>(f: (item: Item<H, C>) => Effect.Effect<B, E, R>): Effect.Effect<B, E, R> {
    return Pool.use(this.#pool, f)
  }

  /**
   * Ends one lease of an item. Running Effect's release takes a third of the time of a borrow that does not wait. So the usual case
   * is done here, with the same changes of the state.
   */
  release(item: Item<H, C>): void {
    const { invalidated, waiters } = this.#pool.state
    const isPlain = !item.isRemoved && item.reservation === undefined && waiters.size === 0 && invalidated.size === 0
    if (!isPlain) return runNow(item.back)
    const { own } = item
    own.refCount--
    this.#pool.state.usage--
    if (own.refCount === 0) own.idleSince = this.#clock.currentTimeMillisUnsafe()
    if (!own.isAvailable) this.#addFirst(own)
  }

  #addFirst(own: Pool.PoolItem<Item<H, C>, never>): void {
    const { state } = this.#pool
    own.isAvailable = true
    own.availableNext = state.availableHead
    if (state.availableHead === undefined) state.availableTail = own
    else state.availableHead.availablePrevious = own
    state.availableHead = own
  }

  /** Moves the item at the head of the list behind those that were used later. Effect puts a returned item at the head. */
  moveBefore(item: Item<H, C>, isLongerIdle: (other: Item<H, C>) => boolean): void {
    const { state } = this.#pool
    const { own } = item
    if (!own.isAvailable || state.availableHead !== own) return
    let previous: typeof own | undefined = state.availableTail
    let next: typeof own | undefined
    while (previous !== undefined && previous !== own && isLongerIdle(itemOf(previous))) {
      next = previous
      previous = previous.availablePrevious
    }
    if (previous === own || previous === undefined) return
    state.availableHead = own.availableNext
    if (own.availableNext !== undefined) own.availableNext.availablePrevious = undefined
    own.availablePrevious = previous
    own.availableNext = next
    previous.availableNext = own
    if (next === undefined) state.availableTail = own
    else next.availablePrevious = own
  }

  /** Hides the free room of an item from borrowers. With `concurrency` 1 a leased item has no free room. */
  reserve(item: Item<H, C>): void {
    if (this.#concurrency === 1 || item.reservation !== undefined) return
    const scope = Scope.makeUnsafe()
    runNow(Scope.provide(Pool.reserve(this.#pool, item), scope))
    // Effect counts a reserved item as full, and adds that to its present leases.
    const surplus = Math.max(item.leases - 1, 0)
    this.#pool.state.usage -= surplus
    item.reservation = { scope, surplus }
  }

  /** Ends a reservation. */
  unreserve(item: Item<H, C>): void {
    const { reservation } = item
    if (reservation === undefined) return
    item.reservation = undefined
    this.#pool.state.usage += reservation.surplus
    runNow(Scope.close(reservation.scope, Exit.void))
  }

  /** Removes an item with its leases. The end of these leases does nothing after that. The caller closes the scope of the item. */
  remove(item: Item<H, C>): void {
    const { state } = this.#pool
    const { back, own } = item
    if (!state.items.has(own)) return
    item.isRemoved = true
    // The item is invalidated at its last lease. For an invalidated item with more leases Effect would make another item.
    while (own.refCount > 1) runNow(back)
    state.invalidated.add(own)
    // `unreserve` offers no room of an invalidated item.
    this.unreserve(item)
    runNow(own.refCount === 0 ? Pool.invalidate(this.#pool, item) : back)
  }

  /** Changes the size. Effect reads it at each borrow. */
  resize(max: number): void {
    // Effect declares the field readonly. The contract test shows that it may change.
    const config: { maxSize: number } = this.#pool.config as Pool.Config<Item<H, C>, never> & { maxSize: number }
    config.maxSize = max
  }

  /** Ends the pool: closes its idle connections, and waits for the leased ones. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => Scope.close(this.#scope, Exit.void))

  /** Ends the pool, which must have no items. */
  end(): void {
    runNow(this.close)
  }

  #lease(): Item<H, C> {
    // Effect serves its own queue first. No borrower of this library waits in that queue.
    if (this.#pool.state.waiters.size > 0) throw new Error("a borrower waits in Effect's own queue")
    return runNow(Scope.provide(Pool.get(this.#pool), Scope.makeUnsafe()))
  }
}
