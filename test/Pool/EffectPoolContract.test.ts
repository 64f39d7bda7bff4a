/**
 * What this library relies on in Effect's `Pool` beyond its documented functions: the fields of `Pool.State` and `PoolItem`, and what
 * happens in one step. A version of Effect that changes any of it fails here first. Each test gives the reason why it is relied on.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Pool, Scheduler, Scope } from "effect"
import { TestClock } from "effect/testing"

/** The value of an item: a place for a connection, which the pool makes without waiting. */
interface Slot {
  readonly id: number
  readonly scope: Scope.Closeable
}

type Item = Pool.PoolItem<Slot, never>

/** Tasks that run only when they are drained, whatever fiber has scheduled them. */
const makeScheduler = (shouldYield: Scheduler.Scheduler["shouldYield"], before: () => void = () => {}) => {
  const tasks: Array<() => void> = []
  const dispatcher = { scheduleTask: (task: () => void) => void tasks.push(task), flush: () => {} }
  const scheduler: Scheduler.Scheduler = { executionMode: "sync", shouldYield, makeDispatcher: () => dispatcher }
  const drain = () => {
    for (let task = tasks.shift(); task !== undefined; task = tasks.shift()) {
      before()
      task()
    }
  }
  return { scheduler, drain }
}

/** Runs an effect, and each fiber that it forks, to the end of what can run now. */
const start = <A, E>(effect: Effect.Effect<A, E>): Fiber.Fiber<A, E> => {
  const { drain, scheduler } = makeScheduler(() => false)
  const fiber = Effect.runFork(effect, { scheduler })
  drain()
  return fiber
}

/** The same for fibers that pause after so many operations. `between` runs whenever one has paused. */
const startPausing = <A, E>(effect: Effect.Effect<A, E>, operations: number, between: () => void): void => {
  const { drain, scheduler } = makeScheduler((fiber) => fiber.currentOpCount >= operations, between)
  Effect.runFork(effect, { scheduler })
  drain()
}

/** The result of an effect that ends in this step. */
const now = <A, E>(effect: Effect.Effect<A, E>): A => {
  const exit = start(effect).pollUnsafe()
  if (exit !== undefined && Exit.isSuccess(exit)) return exit.value
  throw new Error("the effect did not succeed in this step", { cause: exit })
}

/** A pool of slots, and which of them were closed. */
const makePool = (options: {
  readonly max: number
  readonly concurrency?: number
  readonly onAcquire?: (item: Item) => void
}) =>
  Effect.gen(function*() {
    const closed: Array<number> = []
    let made = 0
    const acquire = Effect.acquireRelease(
      // Effect's Pool makes this scope, and what it makes can be closed.
      Effect.map(Effect.scope, (scope): Slot => ({ id: ++made, scope: scope as Scope.Closeable })),
      ({ id }) => Effect.sync(() => closed.push(id))
    )
    const items = new Map<number, Item>()
    const onAcquire = (item: Item) => {
      if (Exit.isSuccess(item.exit)) items.set(item.exit.value.id, item)
      options.onAcquire?.(item)
    }
    const strategy: Pool.Strategy<Slot, never> = {
      run: () => Effect.void,
      reclaim: () => Effect.undefined,
      onAcquire: (item) => Effect.sync(() => onAcquire(item))
    }
    const scope = yield* Scope.make()
    const { concurrency = 1, max } = options
    const making = Pool.makeWithStrategy({ acquire, min: 0, max, concurrency, strategy })
    const pool = yield* Scope.provide(making, scope)
    const item = (id: number): Item => {
      const found = items.get(id)
      if (found === undefined) throw new Error(`there is no item ${id}`)
      return found
    }
    return { pool, state: pool.state, scope, closed, item, made: () => made }
  })

/** Leases an item in this step, until the scope is closed. */
const lease = (pool: Pool.Pool<Slot>): { readonly id: number; readonly scope: Scope.Closeable } => {
  const scope = Scope.makeUnsafe()
  return { id: now(Scope.provide(Pool.get(pool), scope)).id, scope }
}

const giveBack = ({ scope }: { readonly scope: Scope.Closeable }): void => now(Scope.close(scope, Exit.void))

const slotOf = (pool: Pool.Pool<Slot>, id: number): Effect.Effect<Slot> =>
  Effect.suspend(() => {
    for (const { exit } of pool.state.items) if (Exit.isSuccess(exit) && exit.value.id === id) return exit
    return Effect.die(new Error(`there is no slot ${id}`))
  })

/** The items that are available, from the head, read along both directions. */
const available = ({ availableHead, availableTail }: Pool.State<Slot, never>): ReadonlyArray<number> => {
  const forwards: Array<Item> = []
  const backwards: Array<Item> = []
  for (let item = availableHead; item !== undefined; item = item.availableNext) forwards.push(item)
  for (let item = availableTail; item !== undefined; item = item.availablePrevious) backwards.unshift(item)
  assert.deepStrictEqual(backwards, forwards)
  return forwards.map(({ exit }) => Exit.isSuccess(exit) ? exit.value.id : 0)
}

const idOf = (slot: Slot) => Effect.succeed(slot.id)

describe("the counts of Effect's Pool", () => {
  // The sweep of idle connections, the drain and stats walk over the items.
  it.effect("state.items has each item from its acquisition to its removal", () =>
    Effect.gen(function*() {
      const { item, pool, state } = yield* makePool({ max: 2 })
      assert.strictEqual(state.items.size, 0)
      const leases = [lease(pool), lease(pool)]
      assert.deepStrictEqual([...state.items], [item(1), item(2)])
      leases.forEach(giveBack)
      assert.strictEqual(state.items.size, 2)
      now(Effect.flatMap(item(1).exit, (slot) => Pool.invalidate(pool, slot)))
      assert.deepStrictEqual([...state.items], [item(2)])
    }))

  // The head is what a borrower gets next; the tail is idle for longest and is evicted first.
  it.effect("the head is the item that was returned last, the tail the one that was returned first", () =>
    Effect.gen(function*() {
      const { pool, state } = yield* makePool({ max: 3 })
      const [one, two, three] = [lease(pool), lease(pool), lease(pool)]
      assert.deepStrictEqual(available(state), [])
      for (const each of [two, three, one]) giveBack(each)
      assert.deepStrictEqual(available(state), [1, 3, 2])
      assert.strictEqual(lease(pool).id, 1)
      assert.deepStrictEqual(available(state), [3, 2])
    }))

  // A slot that is made while connections are idle must not be in front of them before it is dialed.
  it.effect("a new item is at the back of those that are available", () =>
    Effect.gen(function*() {
      const seen: Array<ReadonlyArray<number>> = []
      const onAcquire = () => void seen.push(available(state))
      const { pool, state } = yield* makePool({ max: 2, onAcquire })
      now(Effect.scoped(Effect.all([Pool.get(pool), Pool.get(pool)], { concurrency: "unbounded" })))
      assert.deepStrictEqual(seen, [[1], [1, 2]])
    }))

  // A test compares them with our own counts, and sees by them that no borrower waits in Effect's queue.
  it.effect("refCount counts the leases of an item, usage those of all and the borrowers that wait", () =>
    Effect.gen(function*() {
      const { item, pool, state } = yield* makePool({ max: 1, concurrency: 2 })
      const [one, two] = [lease(pool), lease(pool)]
      assert.deepStrictEqual([item(1).refCount, state.usage, item(1).isAvailable], [2, 2, false])
      const waiter = start(Pool.use(pool, idOf))
      assert.deepStrictEqual([item(1).refCount, state.usage, state.waiters.size], [2, 3, 1])
      yield* Fiber.interrupt(waiter)
      assert.deepStrictEqual([item(1).refCount, state.usage, state.waiters.size], [2, 2, 0])
      giveBack(one)
      assert.deepStrictEqual([item(1).refCount, state.usage, item(1).isAvailable], [1, 1, true])
      giveBack(two)
      assert.deepStrictEqual([item(1).refCount, state.usage, item(1).isAvailable], [0, 0, true])
    }))

  // One sweep for all endpoints reads it in place of a loop for each.
  it.effect("idleSince is the time of the last return, by the clock of the fiber that made the pool", () =>
    Effect.gen(function*() {
      const { item, pool } = yield* makePool({ max: 1, concurrency: 2 })
      yield* TestClock.adjust(1000)
      const [one, two] = [lease(pool), lease(pool)]
      assert.strictEqual(item(1).idleSince, 1000)
      yield* TestClock.adjust(1000)
      giveBack(one)
      assert.strictEqual(item(1).idleSince, 1000, "another borrower has it")
      giveBack(two)
      assert.strictEqual(item(1).idleSince, 2000)
    }))

  // `ConnectionPool.stats` and `Pool.stats` have to agree in every state.
  it.effect("stats counts items and not borrowers, and an item that is to be removed until it is", () =>
    Effect.gen(function*() {
      const { item, pool, state } = yield* makePool({ max: 2, concurrency: 2 })
      const stats = () => now(Pool.stats(pool))
      assert.deepStrictEqual(stats(), { idle: 0, used: 0, pending: 0, min: 0, max: 2 })
      const leases = [lease(pool), lease(pool), lease(pool), lease(pool)]
      assert.deepStrictEqual(stats(), { idle: 0, used: 2, pending: 0, min: 0, max: 2 })
      const waiter = start(Pool.use(pool, idOf))
      assert.strictEqual(stats().pending, 1)
      yield* Fiber.interrupt(waiter)
      leases.slice(0, 2).forEach(giveBack)
      assert.deepStrictEqual(stats(), { idle: 1, used: 1, pending: 0, min: 0, max: 2 })
      state.invalidated.add(item(2))
      leases.slice(2, 3).forEach(giveBack)
      assert.deepStrictEqual(stats(), { idle: 1, used: 1, pending: 0, min: 0, max: 2 })
      leases.slice(3).forEach(giveBack)
      assert.deepStrictEqual(stats(), { idle: 1, used: 0, pending: 0, min: 0, max: 2 })
    }))

  // The size bound of an endpoint is Effect's own; `resize` sets it.
  it.effect("config.maxSize is read at each borrow: raised it allows an item more, lowered none is made", () =>
    Effect.gen(function*() {
      const { made, pool } = yield* makePool({ max: 1 })
      // Effect declares it readonly, and the test is that it is read each time all the same.
      const config = pool.config as { maxSize: number }
      const one = lease(pool)
      config.maxSize = 2
      const two = lease(pool)
      assert.strictEqual(made(), 2)
      assert.strictEqual(now(Pool.stats(pool)).max, 2)
      config.maxSize = 1
      now(Effect.andThen(Scope.close(one.scope, Exit.void), Pool.invalidate(pool, yield* slotOf(pool, 1))))
      const waiter = start(Pool.use(pool, idOf))
      assert.isUndefined(waiter.pollUnsafe())
      assert.strictEqual(made(), 2)
      yield* Fiber.interrupt(waiter)
      giveBack(two)
    }))
})

describe("a lease of Effect's Pool", () => {
  // A borrow without contention is one step: what the function sees is what Effect has counted.
  it.effect("use calls its function in the step in which it counts the lease", () =>
    Effect.gen(function*() {
      for (const operations of [3, 4, 5, 6, 7]) {
        const { item, pool, state } = yield* makePool({ max: 1 })
        giveBack(lease(pool))
        let calls = 0
        let pauses = 0
        const body = () => {
          calls++
          assert.deepStrictEqual([item(1).refCount, state.usage, item(1).isAvailable], [1, 1, false])
          return Effect.never
        }
        const before = Effect.forEach([1, 2, 3, 4, 5, 6], () => Effect.void)
        yield* Effect.sync(() =>
          startPausing(Effect.andThen(before, Pool.use(pool, body)), operations, () => {
            pauses++
            assert.strictEqual(item(1).refCount, calls)
          })
        )
        assert.strictEqual(calls, 1)
        assert.isAbove(pauses, 0)
      }
    }))

  // A connection that is promised in an operation which interrupts its own fiber is returned there, because `use` is not run.
  it.effect("the effect of an operation that interrupts its fiber is not run, which _deferredInterrupt says", () =>
    Effect.gen(function*() {
      const deferred = (fiber: Fiber.Fiber<unknown, unknown>) =>
        (fiber as Fiber.Fiber<unknown, unknown> & { readonly _deferredInterrupt?: boolean })._deferredInterrupt
      let isRun = false
      const run = Effect.sync(() => void (isRun = true))
      const interrupting = Effect.withFiber((fiber) => {
        assert.isFalse(deferred(fiber))
        fiber.interruptUnsafe()
        assert.isTrue(deferred(fiber))
        return run
      })
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(start(interrupting))))
      assert.isFalse(isRun)
      const masked = Effect.withFiber((fiber) => {
        fiber.interruptUnsafe()
        assert.isFalse(deferred(fiber))
        return run
      })
      yield* Fiber.await(start(Effect.uninterruptible(masked)))
      assert.isTrue(isRun)
    }))

  // A slot is made and leased by us before it is dialed, in the step in which the core decides to dial.
  it.effect("get makes an item in this step where the scheduler is drained on the spot and none is available", () =>
    Effect.gen(function*() {
      const { item, made, pool, state } = yield* makePool({ max: 2 })
      assert.strictEqual(lease(pool).id, 1)
      assert.strictEqual(lease(pool).id, 2)
      assert.strictEqual(made(), 2)
      assert.deepStrictEqual([item(2).refCount, state.usage, state.waiters.size], [1, 2, 0])
    }))

  // So a new slot beside an idle one has to be asked for in another way.
  it.effect("get takes the item that is available and makes none", () =>
    Effect.gen(function*() {
      const { made, pool } = yield* makePool({ max: 2 })
      giveBack(lease(pool))
      assert.strictEqual(lease(pool).id, 1)
      assert.strictEqual(made(), 1)
    }))

  // That is how a new slot beside an idle one is asked for: Effect is shown a pool that is in full use.
  it.effect("get makes an item beside those that are available while the list is empty and the usage that of full use", () =>
    Effect.gen(function*() {
      for (const concurrency of [1, 3]) {
        const { item, made, pool, state } = yield* makePool({ max: 3, concurrency })
        const held = Array.from({ length: concurrency + 1 }, () => lease(pool))
        held.forEach(giveBack)
        const { availableHead, availableTail, usage } = state
        const before = available(state)
        state.availableHead = state.availableTail = undefined
        state.usage = state.items.size * concurrency
        const three = lease(pool)
        state.usage = usage + 1
        assert.deepStrictEqual([three.id, made(), item(3).refCount], [3, 3, 1])
        // With room left the new item is in the list, which is reserved before the others come back.
        const reservation = Scope.makeUnsafe()
        now(Scope.provide(Pool.reserve(pool, yield* slotOf(pool, 3)), reservation))
        assert.deepStrictEqual(available(state), [])
        Object.assign(state, { availableHead, availableTail })
        assert.deepStrictEqual(available(state), before)
        giveBack({ scope: reservation })
        giveBack(three)
        assert.deepStrictEqual([state.usage, available(state).length], [0, 3])
      }
    }))

  // Nothing of ours ever waits there: its queue has neither a deadline nor turns between endpoints.
  it.effect("beyond max waits in state.waiters, and is gone from there when it is interrupted", () =>
    Effect.gen(function*() {
      const { made, pool, state } = yield* makePool({ max: 1 })
      const one = lease(pool)
      const first = start(Pool.use(pool, idOf))
      const second = start(Scope.provide(Pool.get(pool), Scope.makeUnsafe()))
      assert.deepStrictEqual([made(), state.waiters.size, state.usage], [1, 2, 3])
      assert.isUndefined(first.pollUnsafe())
      yield* Fiber.interruptAll([first, second])
      assert.deepStrictEqual([state.waiters.size, state.usage], [0, 1])
      giveBack(one)
    }))

  // A connection that is being dialed takes no second borrower, and one that is reserved none at all.
  it.effect("reserve takes the room that is left out of the list and counts it as used", () =>
    Effect.gen(function*() {
      const { item, pool, state } = yield* makePool({ max: 1, concurrency: 3 })
      const one = lease(pool)
      const reservation = Scope.makeUnsafe()
      now(Scope.provide(Pool.reserve(pool, yield* slotOf(pool, 1)), reservation))
      assert.deepStrictEqual([item(1).refCount, state.usage, item(1).isAvailable], [1, 3, false])
      giveBack(one)
      assert.deepStrictEqual([item(1).refCount, state.usage, item(1).isAvailable], [0, 2, false])
      assert.deepInclude(now(Pool.stats(pool)), { idle: 0, used: 1 })
      giveBack({ scope: reservation })
      assert.deepStrictEqual([state.usage, item(1).isAvailable], [0, true])
    }))

  // So whatever reserves a slot with several borrowers takes the surplus off, or Effect adds items for it.
  it.effect("reserve counts an item that has several borrowers as more than full", () =>
    Effect.gen(function*() {
      const { pool, state } = yield* makePool({ max: 1, concurrency: 3 })
      const leases = [lease(pool), lease(pool)]
      const reservation = Scope.makeUnsafe()
      now(Scope.provide(Pool.reserve(pool, yield* slotOf(pool, 1)), reservation))
      assert.strictEqual(state.usage, 4)
      for (const scope of [...leases.map((each) => each.scope), reservation]) giveBack({ scope })
      assert.strictEqual(state.usage, 0)
    }))

  // `concurrency: Infinity` of ours has to be a number for Effect, whose counts of usage are sums of it.
  it.effect("a large concurrency is counted exactly", () =>
    Effect.gen(function*() {
      const { made, pool, state } = yield* makePool({ max: 3, concurrency: 2 ** 32 })
      const leases = [lease(pool), lease(pool)]
      const reservation = Scope.makeUnsafe()
      now(Scope.provide(Pool.reserve(pool, yield* slotOf(pool, 1)), reservation))
      const two = lease(pool)
      assert.deepStrictEqual([two.id, made()], [2, 2])
      giveBack({ scope: reservation })
      for (const each of [two, ...leases]) giveBack(each)
      assert.strictEqual(state.usage, 0)
    }))

  // Then the lease alone keeps others away from a slot that is being dialed.
  it.effect("reserve does nothing with concurrency 1", () =>
    Effect.gen(function*() {
      const { item, pool, state } = yield* makePool({ max: 1 })
      giveBack(lease(pool))
      now(Scope.provide(Pool.reserve(pool, yield* slotOf(pool, 1)), Scope.makeUnsafe()))
      assert.deepStrictEqual([state.usage, item(1).isAvailable], [0, true])
    }))
})

describe("the end of a lease of Effect's Pool", () => {
  // Our release stands in the place of Effect's, so that a connection goes to the next borrower in the step of its return.
  it.effect("calls the release that strategy.onAcquire has put in its place, from the first lease on", () =>
    Effect.gen(function*() {
      const ends: Array<string> = []
      const onAcquire = (item: Item) => {
        const { release } = item
        item.release = (exit) => Effect.suspend(() => (ends.push(exit._tag), release(exit)))
      }
      const { item, pool } = yield* makePool({ max: 1, onAcquire })
      giveBack(lease(pool))
      yield* Pool.use(pool, idOf)
      yield* Effect.exit(Pool.use(pool, () => Effect.fail("no")))
      yield* Effect.exit(Effect.scoped(Effect.andThen(Pool.get(pool), Effect.fail("no"))))
      assert.deepStrictEqual(ends, ["Success", "Success", "Failure", "Failure"])
      assert.strictEqual(item(1).refCount, 0)
    }))

  // With the lease of a slot under way it is too late for that lease: we end it ourselves, through the release that was there.
  it.effect("calls the release that was there when the lease began, not one that has replaced it since", () =>
    Effect.gen(function*() {
      const { item, pool } = yield* makePool({ max: 1 })
      let calls = 0
      const one = lease(pool)
      const { release } = item(1)
      item(1).release = (exit) => (calls++, release(exit))
      giveBack(one)
      assert.deepStrictEqual([calls, item(1).refCount], [0, 0])
      yield* Pool.use(pool, idOf)
      assert.deepStrictEqual([calls, item(1).refCount], [1, 0])
    }))

  // With several borrowers on one connection that tells their leases apart.
  it.effect("reads the field release once for each lease, before use calls its function", () =>
    Effect.gen(function*() {
      const { item, pool } = yield* makePool({ max: 1, concurrency: 2 })
      giveBack(lease(pool))
      const { release } = item(1)
      const steps: Array<string> = []
      let leases = 0
      Object.defineProperty(item(1), "release", {
        get: () => {
          const number = ++leases
          steps.push(`lease ${number}`)
          return (exit: Exit.Exit<unknown, unknown>) => (steps.push(`end ${number}`), release(exit))
        }
      })
      const one = lease(pool)
      yield* Pool.use(pool, () => (steps.push("function"), Effect.void))
      giveBack(one)
      assert.deepStrictEqual(steps, ["lease 1", "lease 2", "function", "end 2", "end 1"])
      assert.strictEqual(item(1).refCount, 0)
    }))

  // A connection changes hands without a second lease; the last borrower ends the one that is there.
  it.effect("leaves the item leased if the release that was put in its place does not call Effect's, and returns nothing", () =>
    Effect.gen(function*() {
      let back: Item["release"] = () => Effect.void
      const onAcquire = (item: Item) => {
        back = item.release
        // Effect declares that it returns an effect, and the test is that `use` needs none.
        item.release = () => undefined as unknown as Effect.Effect<void>
      }
      const { item, pool, state } = yield* makePool({ max: 1, onAcquire })
      assert.strictEqual(yield* Pool.use(pool, idOf), 1)
      assert.deepStrictEqual([item(1).refCount, state.usage, item(1).isAvailable], [1, 1, false])
      now(back(Exit.void))
      assert.deepStrictEqual([item(1).refCount, state.usage, item(1).isAvailable], [0, 0, true])
    }))

  // Before that the field is Effect's own, and after it no borrower has seen the item yet.
  it.effect("onAcquire runs when the item is in the list and before its first lease", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const { pool, state } = yield* makePool({
        max: 2,
        onAcquire: (item) => void seen.push([item.refCount, item.isAvailable, state.items.has(item)])
      })
      lease(pool)
      start(Pool.use(pool, () => Effect.never))
      assert.deepStrictEqual(seen, [[0, true, true], [0, true, true]])
    }))
})

describe("the removal of an item of Effect's Pool", () => {
  // A connection that is not wanted any more leaves in the step of its last return, so that no replacement exceeds max.
  it.effect("state.invalidated and the release remove and close a leased item in one step, and replace it by none", () =>
    Effect.gen(function*() {
      const { closed, item, made, pool, state } = yield* makePool({ max: 1 })
      const one = lease(pool)
      state.invalidated.add(item(1))
      giveBack(one)
      assert.deepStrictEqual(closed, [1])
      assert.deepStrictEqual([state.items.size, state.invalidated.size, state.usage, made()], [0, 0, 0, 1])
      assert.deepStrictEqual(available(state), [])
    }))

  // Several borrowers share it, and the last of them ends it.
  it.effect("waits for the last lease, during which the item admits no borrower", () =>
    Effect.gen(function*() {
      const { closed, item, pool, state } = yield* makePool({ max: 2, concurrency: 2 })
      const [one, two] = [lease(pool), lease(pool)]
      state.invalidated.add(item(1))
      giveBack(one)
      assert.deepStrictEqual([closed.length, item(1).refCount, item(1).isAvailable], [0, 1, false])
      giveBack(two)
      assert.deepStrictEqual(closed, [1])
    }))

  // So the leases of a slot that is shared end one after another in one step, and it is invalidated before the last of them.
  it.effect("of a shared item makes another for the leases that are left, if it is invalidated before the last of them ends", () =>
    Effect.gen(function*() {
      for (const when of ["before both", "before the last"]) {
        const { item, made, pool, state } = yield* makePool({ max: 1, concurrency: 2 })
        const leases = [lease(pool), lease(pool)]
        if (when === "before both") state.invalidated.add(item(1))
        leases.slice(0, 1).forEach(giveBack)
        state.invalidated.add(item(1))
        leases.slice(1).forEach(giveBack)
        assert.strictEqual(made(), when === "before both" ? 2 : 1)
      }
    }))

  // We close the connections ourselves, many at once and each within its time, and only then drop the slot.
  it.effect("does not close an item whose finalizer was replaced, and whose scope may be closed before", () =>
    Effect.gen(function*() {
      const { closed, item, pool, state } = yield* makePool({ max: 1 })
      const one = lease(pool)
      const slot = yield* slotOf(pool, 1)
      item(1).finalizer = Effect.void
      state.invalidated.add(item(1))
      giveBack(one)
      assert.deepStrictEqual([closed.length, state.items.size], [0, 0])
      yield* Scope.close(slot.scope, Exit.void)
      assert.deepStrictEqual(closed, [1])
    }))

  // The scope of a slot is the scope of its connection, and Effect's finalizer finds it closed.
  it.effect("closes nothing twice when the scope of the item was closed before", () =>
    Effect.gen(function*() {
      const { closed, item, pool, state } = yield* makePool({ max: 1 })
      const one = lease(pool)
      yield* Scope.close((yield* slotOf(pool, 1)).scope, Exit.void)
      state.invalidated.add(item(1))
      giveBack(one)
      assert.deepStrictEqual(closed, [1])
    }))

  // An idle connection is closed at once, by the same finalizer.
  it.effect("by invalidate is done in this step if the item is idle", () =>
    Effect.gen(function*() {
      const { closed, pool, state } = yield* makePool({ max: 2 })
      giveBack(lease(pool))
      now(Pool.invalidate(pool, yield* slotOf(pool, 1)))
      assert.deepStrictEqual(closed, [1])
      assert.deepStrictEqual([state.items.size, available(state).length], [0, 0])
    }))

  // The trap that state.invalidated must not be set before the last return: two connections where one is allowed.
  it.effect("by invalidate of a leased item makes its replacement at once, beyond max", () =>
    Effect.gen(function*() {
      const { made, pool, state } = yield* makePool({ max: 1 })
      const one = lease(pool)
      now(Pool.invalidate(pool, yield* slotOf(pool, 1)))
      assert.deepStrictEqual([made(), state.items.size], [2, 2])
      giveBack(one)
      assert.strictEqual(state.items.size, 1)
    }))
})

describe("the end of the scope of Effect's Pool", () => {
  // The scope of an endpoint's Pool is what closes its idle connections when all else fails.
  it.effect("runs the finalizers of idle items, and refuses borrowers by an interruption", () =>
    Effect.gen(function*() {
      const { closed, pool, scope, state } = yield* makePool({ max: 3 })
      const leases = [lease(pool), lease(pool), lease(pool)]
      leases.forEach(giveBack)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(closed, [1, 2, 3])
      assert.deepStrictEqual([state.items.size, state.isShuttingDown, available(state).length], [0, true, 0])
      assert.isTrue(Exit.hasInterrupts(yield* Effect.exit(Pool.use(pool, idOf))))
    }))

  // So our drain ends leases within its time, and closes connections at once, before it closes this scope.
  it.effect("waits for leased items without end, and closes each in the step of its return", () =>
    Effect.gen(function*() {
      const { closed, pool, scope } = yield* makePool({ max: 2 })
      const [one, two] = [lease(pool), lease(pool)]
      const closing = start(Scope.close(scope, Exit.void))
      giveBack(two)
      assert.deepStrictEqual(closed, [2])
      assert.isUndefined(closing.pollUnsafe())
      giveBack(one)
      yield* Fiber.join(closing)
      assert.deepStrictEqual(closed, [2, 1])
    }))

  // It waits by the finalizer, so that a finalizer that is replaced after that leaves it waiting for ever.
  it.effect("counts a leased item by its finalizer, which it replaces", () =>
    Effect.gen(function*() {
      for (const replaced of ["before", "after"]) {
        const { item, pool, scope } = yield* makePool({ max: 1 })
        const one = lease(pool)
        if (replaced === "before") item(1).finalizer = Effect.void
        const closing = start(Scope.close(scope, Exit.void))
        if (replaced === "after") item(1).finalizer = Effect.void
        giveBack(one)
        assert.strictEqual(closing.pollUnsafe() !== undefined, replaced === "before", replaced)
      }
    }))
})
