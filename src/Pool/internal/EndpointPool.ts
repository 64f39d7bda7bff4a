/**
 * Effect's `Pool` of one endpoint. It holds and leases the endpoint's connections; everything around that is decided elsewhere.
 *
 * **Details**
 *
 * `acquire` makes an item at once, and the connection is opened in the item's own scope, so that a slow connect holds up no other.
 * An idle connection is an available item. `Pool.use` and `Pool.get` lease it, count its borrowers, and return it.
 *
 * Everything here takes one step: no fiber can run in between. Effect's own functions do too when the fiber that runs them does not
 * yield, so they are run on a scheduler that is drained on the spot. The fields of `Pool.State` and `PoolItem` that this relies on
 * are pinned by `test/Pool/EffectPoolContract.test.ts`.
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

type Release<H> = (holder: H, exit: Exit.Exit<unknown, unknown>) => void

/** How Effect's Pools keep their items: one for all endpoints. No fiber of it runs; the owner of the Pools sweeps them. */
export interface Strategy<H, C> extends Pool.Strategy<Item<H, C>, never> {
  /** From when on an item is too old to be leased. */
  readonly expiresAt: (item: Item<H, C>) => number
}

export interface StrategyOptions<H, C> extends Pick<Strategy<H, C>, "expiresAt"> {
  /** Several borrowers may share an item. */
  readonly isShared: boolean
  /** The borrow of this holder ends, and with it its lease, which this has to end or to leave to another borrower. */
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

/** What Effect's `Pool` has for one connection, from before its connect on. `H` holds a lease of it, `C` is the open connection. */
export class Item<H, C = unknown> {
  /** The scope of the connection. Effect closes it at the end of the pool, unless the item was removed before. */
  readonly scope: Scope.Closeable
  /** What the lease that begins now, or the only one, belongs to. It is not kept after that. */
  holder: H | undefined = undefined
  /** The connection, as soon as it is open. */
  connection: C | undefined = undefined
  /** Keeps the room that is left away from borrowers. */
  reservation: Reservation | undefined = undefined
  /** The end of a lease does nothing then. */
  isRemoved = false
  #own: Pool.PoolItem<Item<H, C>, never> | undefined
  #back: Effect.Effect<void> = Effect.void

  constructor(scope: Scope.Closeable) {
    this.scope = scope
  }

  /** Effect's record of it. */
  get own(): Pool.PoolItem<Item<H, C>, never> {
    if (this.#own === undefined) throw new Error("Effect's Pool has not acquired this item")
    return this.#own
  }

  /** Leases of it, those of a dial and of a check included. */
  get leases(): number {
    return this.own.refCount
  }

  /** Ends one lease. */
  get back(): Effect.Effect<void> {
    return this.isRemoved ? Effect.void : this.#back
  }

  /** Puts our release in the place of Effect's, which stays as `back`. Effect reads the field when a lease begins. */
  adopt(own: Pool.PoolItem<Item<H, C>, never>, released: Release<H>, isShared: boolean): void {
    this.#own = own
    this.#back = own.release(Exit.void)
    const { finalizer } = own
    // A Pool that closes puts its own around this one and waits for it, so that `remove` cannot replace it.
    own.finalizer = Effect.suspend(() => this.isRemoved ? Effect.void : finalizer)
    const end = (holder: H | undefined, exit: Exit.Exit<unknown, unknown>) => {
      if (holder === undefined) return this.back
      released(holder, exit)
      // Effect's type leaves out that `Pool.use` takes nothing for an answer, which spares it three operations.
      return undefined as unknown as Effect.Effect<void>
    }
    // Several leases of one item are distinguished by the closure that each gets.
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
  /** What Effect has counted too much for it. */
  readonly surplus: number
}

const itemOf = <H, C>({ exit }: Pool.PoolItem<Item<H, C>, never>): Item<H, C> => {
  if (Exit.isSuccess(exit)) return exit.value
  throw new Error("an item of Effect's Pool was not acquired", { cause: exit })
}

/** One scheduler for all: what runs on it ends before the call returns. */
const tasks: Array<() => void> = []
const drained: Scheduler.Scheduler = {
  executionMode: "sync",
  shouldYield: () => false,
  makeDispatcher: () => ({ scheduleTask: (task) => void tasks.push(task), flush: () => {} })
}

const runDrained = Effect.runForkWith(Context.make(Scheduler.Scheduler, drained))

/** Runs an effect, and the fibers that it forks, in this step. */
const runNow = <A>(effect: Effect.Effect<A>): A => {
  const fiber = runDrained(effect)
  for (let task = tasks.shift(); task !== undefined; task = tasks.shift()) task()
  const exit = fiber.pollUnsafe()
  if (exit !== undefined && Exit.isSuccess(exit)) return exit.value
  throw new Error("Effect's Pool did not do in one step what it was asked for", { cause: exit })
}

/** On a scheduler of Effect's a fiber yields after so many operations. */
const effects = Scheduler.MixedScheduler.prototype

/** Operations of the run loop that a lease takes at most, until Effect has counted it. */
const operations = 2

/**
 * Whether a fiber may yield within the next operations. Then other fibers could run between a decision and what Effect's `Pool`
 * does about it, so that both have to happen in one step.
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
 * Whether a running fiber was interrupted in the operation that it is in. It goes on with the interruption, and an effect that this
 * operation returns is not run.
 */
export const isInterrupted = (fiber: Fiber.Fiber<unknown, unknown>): boolean => {
  // Effect's type leaves the field out; the contract test shows what it says.
  const { _deferredInterrupt } = fiber as Fiber.Fiber<unknown, unknown> & { readonly _deferredInterrupt?: boolean }
  return _deferredInterrupt === true
}

/** Effect counts the leases of all items together, and must be able to add `concurrency` to that. */
const maxConcurrency = 2 ** 32

export interface Options<H, C> {
  readonly max: number
  readonly concurrency: number
  /** The time by which idle items age. */
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
      // Effect makes this scope, and what it makes can be closed.
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

  /** The item that the next borrower gets: of those with room, the one that came back last. */
  get next(): Item<H, C> | undefined {
    const exit = this.#pool.state.availableHead?.exit
    return exit !== undefined && Exit.isSuccess(exit) ? exit.value : undefined
  }

  /** The items with room, the one that came back first at first. The one that was yielded last may be leased or removed. */
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
    // Effect is shown a pool in full use, so that it makes an item beside those that are available.
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
    // Effect leases the head. A further one keeps its neighbours until Effect takes it out of the list.
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
   * Ends one lease of an item. Effect's own release is an effect, which takes a third of the time of a borrow that waits for nothing.
   * What that does where nothing else is to be done for an item is done here.
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

  /** Moves an available item in front of those that have been idle for longer. Effect puts one that comes back at the head. */
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

  /** Keeps the room that an item has left away from borrowers. With `concurrency` 1 its lease does. */
  reserve(item: Item<H, C>): void {
    if (this.#concurrency === 1 || item.reservation !== undefined) return
    const scope = Scope.makeUnsafe()
    runNow(Scope.provide(Pool.reserve(this.#pool, item), scope))
    // A reserved item counts as full, whatever part of it is leased.
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

  /** Takes an item out, with the leases of it, whose ends do nothing after that. Closing its scope is the caller's. */
  remove(item: Item<H, C>): void {
    const { state } = this.#pool
    const { back, own } = item
    if (!state.items.has(own)) return
    item.isRemoved = true
    // An item that is invalidated earlier no longer counts, and Effect makes another for the leases that are left.
    while (own.refCount > 1) runNow(back)
    state.invalidated.add(own)
    // That offers no room of an item that is invalidated.
    this.unreserve(item)
    runNow(own.refCount === 0 ? Pool.invalidate(this.#pool, item) : back)
  }

  /** The size bound is read at each borrow. */
  resize(max: number): void {
    // Effect declares it readonly; the contract test shows that it may change.
    const config: { maxSize: number } = this.#pool.config as Pool.Config<Item<H, C>, never> & { maxSize: number }
    config.maxSize = max
  }

  /** Ends the pool, which closes its idle connections, and waits for leased ones to come back. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => Scope.close(this.#scope, Exit.void))

  /** Ends the pool when it has no items any more. */
  end(): void {
    runNow(this.close)
  }

  #lease(): Item<H, C> {
    // Effect serves those first. Nothing of this library waits there.
    if (this.#pool.state.waiters.size > 0) throw new Error("a borrower waits in Effect's own queue")
    return runNow(Scope.provide(Pool.get(this.#pool), Scope.makeUnsafe()))
  }
}
