import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, Fiber, Pool, Scheduler, Scope } from "effect"
import { EndpointPool, type Item, makeStrategy, mayYield } from "../../../src/Pool/internal/EndpointPool.ts"
import * as EndpointHistory from "./EndpointHistory.ts"

/** Histories of each kind, and more of them where `HISTORIES` is set. */
const histories = process.env["HISTORIES"] === undefined ? 10 : 100

describe("an endpoint's Pool, against a model", () => {
  for (const concurrency of [1, 2, 3, Infinity]) {
    it(`has the counts and the order of the model in random histories with concurrency ${concurrency}`, () => {
      for (const pausing of [3, 4, 7, 12, 20, 2048, "by a foreign scheduler"] as const) {
        for (let seed = 1; seed <= histories; seed++) EndpointHistory.run({ seed, concurrency, pausing }, 40)
      }
    }, 120_000)
  }
})

interface Holder {
  readonly name: string
}

/** A pool of an endpoint, with so many open connections that are idle, the last of `items` the next one. */
const makePool = (options: { readonly max: number; readonly concurrency?: number; readonly idle?: number }) => {
  const { concurrency = 1, idle = 0, max } = options
  const ends: Array<string> = []
  const closed: Array<number> = []
  const pool: EndpointPool<Holder> = new EndpointPool<Holder>({
    max,
    concurrency,
    clock: Effect.runSync(Clock.Clock),
    strategy: makeStrategy({
      isShared: concurrency > 1,
      released: ({ name }) => void ends.push(name),
      expiresAt: () => Infinity
    })
  })
  const open = (): Item<Holder> => {
    const item = pool.open()
    const number = closed.push(0) - 1
    Effect.runSync(Scope.addFinalizer(item.scope, Effect.sync(() => void (closed[number] = (closed[number] ?? 0) + 1))))
    return item
  }
  const items = Array.from({ length: idle }, open)
  const dialed = (item: Item<Holder>) => {
    pool.unreserve(item)
    pool.release(item)
  }
  items.forEach(dialed)
  return { pool, state: pool.pool.state, items, open, dialed, ends, closed }
}

const start = <A>(effect: Effect.Effect<A>) => Effect.runSync(Effect.forkDetach(effect, { startImmediately: true }))

/** Leases an item as code does that knows Effect's Pool alone. */
const get = (pool: EndpointPool<Holder>) => {
  const scope = Scope.makeUnsafe()
  return { scope, fiber: start(Scope.provide(Pool.get(pool.pool), scope)) }
}

describe("an endpoint's Pool", () => {
  it("refuses to open an item past its bound, and changes nothing then", () => {
    const { items, open, pool, state } = makePool({ max: 3, idle: 2 })
    pool.resize(2)
    const usage = state.usage
    assert.throws(open, "there are 2 of 2 items")
    assert.deepStrictEqual([state.items.size, state.usage, state.waiters.size], [2, usage, 0])
    assert.strictEqual(pool.next, items[1])
    pool.resize(3)
    open()
    assert.strictEqual(state.items.size, 3)
  })

  it("leases an item from the middle, and keeps the order of the others", () => {
    for (const concurrency of [1, 2]) {
      const { items, pool } = makePool({ max: 3, concurrency, idle: 3 })
      const [one, two, three] = items
      assert.isDefined(two)
      for (let lease = 0; lease < concurrency; lease++) {
        assert.deepStrictEqual([...pool.available()].map((item) => items.indexOf(item)), [0, 1, 2])
        pool.take(two)
      }
      assert.isTrue([...pool.available()].every((item, index) => item === [one, three][index]))
      assert.strictEqual(pool.next, three)
      pool.release(two)
      assert.strictEqual(pool.next, two)
    }
  })

  it("leases no item that has no room, or is gone", () => {
    const { items, pool, state } = makePool({ max: 2, concurrency: 2, idle: 2 })
    const [one, two] = items
    assert.isDefined(one)
    assert.isDefined(two)
    pool.take(one)
    pool.take(one)
    assert.throws(() => pool.take(one), "the item has no room")
    pool.release(one)
    pool.reserve(one)
    assert.throws(() => pool.take(one), "the item has no room")
    pool.unreserve(one)
    pool.remove(two)
    assert.throws(() => pool.take(two), "the item has no room")
    assert.strictEqual(pool.next, one)
    pool.release(one)
    assert.deepStrictEqual([state.usage, state.items.size, [...pool.available()].length], [0, 1, 1])
  })

  it("shows all items that are available also while each that was shown is removed", () => {
    const { items, pool, state } = makePool({ max: 3, idle: 3 })
    const shown: Array<number> = []
    for (const item of pool.available()) {
      shown.push(items.indexOf(item))
      pool.remove(item)
    }
    assert.deepStrictEqual(shown, [0, 1, 2])
    assert.strictEqual(state.items.size, 0)
  })

  it("ends a lease as the release of Effect does, which changes no more", () => {
    for (const concurrency of [1, 2]) {
      const ways = {
        ours: makePool({ max: 3, concurrency, idle: 3 }),
        effects: makePool({ max: 3, concurrency, idle: 3 })
      }
      const seen = Object.entries(ways).map(([way, { items, pool, state }]) => {
        const numberOf = (own: unknown) => items.findIndex((item) => item.own === own)
        const show = (value: unknown) => typeof value === "object" && value !== null ? numberOf(value) : value
        const isOfEach = (field: string) => ["exit", "finalizer", "idleSince", "release"].includes(field)
        const look = () => ({
          items: items.map(({ own }) =>
            Object.entries(own).filter(([field]) => !isOfEach(field)).map(([field, value]) => [field, show(value)])
          ),
          state: Object.entries(state).map(([field, value]) => [field, value instanceof Set ? value.size : show(value)])
        })
        const leases = Array.from({ length: concurrency }, () => items).flat()
        for (const item of leases) pool.take(item)
        return leases.map((item) => {
          if (way === "ours") pool.release(item)
          else Effect.runSync(item.back)
          return look()
        })
      })
      assert.deepStrictEqual(seen[0], seen[1])
    }
  })

  it("ages idle items by its clock", () => {
    let millis = 1000
    const clock: Clock.Clock = Object.assign(Object.create(Effect.runSync(Clock.Clock)), {
      currentTimeMillisUnsafe: () => millis
    })
    const strategy = makeStrategy<Holder, unknown>({
      isShared: false,
      released: () => {},
      expiresAt: () => Infinity
    })
    const pool = new EndpointPool({ max: 1, concurrency: 1, clock, strategy })
    const item = pool.open()
    millis = 2000
    pool.release(item)
    assert.strictEqual(item.own.idleSince, 2000)
  })
})

describe("the removal of an item of an endpoint's Pool", () => {
  it("makes no other for its leases, whose releases do nothing after it", () => {
    const { items, open, pool, state } = makePool({ max: 2, concurrency: 2, idle: 1 })
    const [item] = items
    assert.isDefined(item)
    pool.take(item)
    pool.take(item)
    pool.remove(item)
    assert.deepStrictEqual([state.items.size, state.invalidated.size, state.usage, item.leases], [0, 0, 0, 0])
    const other = open()
    for (let lease = 0; lease < 2; lease++) pool.release(item)
    pool.remove(item)
    assert.deepStrictEqual([state.items.size, state.usage, item.leases, other.leases], [1, 2, 0, 1])
    assert.isUndefined(pool.next)
  })

  it("holds for a lease of Effect's own Pool.get too", () => {
    const { items, pool, state } = makePool({ max: 1, idle: 1 })
    const { fiber, scope } = get(pool)
    const [item] = items
    assert.isDefined(item)
    assert.isDefined(fiber.pollUnsafe())
    pool.remove(item)
    Effect.runSync(Scope.close(scope, Exit.void))
    assert.deepStrictEqual([state.items.size, state.usage, item.leases], [0, 0, 0])
    assert.isUndefined(pool.next)
  })

  it("leaves the scope of the item open, which the caller closes", () => {
    const { closed, items, pool } = makePool({ max: 2, idle: 2 })
    const [one, two] = items
    assert.isDefined(one)
    assert.isDefined(two)
    pool.take(two)
    pool.remove(one)
    pool.remove(two)
    Effect.runSync(pool.close)
    assert.deepStrictEqual(closed, [0, 0])
    Effect.runSync(Scope.close(one.scope, Exit.void))
    assert.deepStrictEqual(closed, [1, 0])
  })

  it("does not keep the Pool from closing, when that waits for a lease of the item", () => {
    for (const concurrency of [1, 2]) {
      const { closed, items, pool, state } = makePool({ max: 1, concurrency, idle: 1 })
      const [item] = items
      assert.isDefined(item)
      for (let lease = 0; lease < concurrency; lease++) pool.take(item)
      const closing = start(pool.close)
      assert.isUndefined(closing.pollUnsafe())
      pool.remove(item)
      assert.isDefined(closing.pollUnsafe())
      assert.deepStrictEqual([state.items.size, closed[0]], [0, 0])
    }
  })

  it("gives an item that is being dialed to no borrower that waits in Effect's own queue", () => {
    const { open, pool, state } = makePool({ max: 1, concurrency: 2 })
    const item = open()
    const { fiber } = get(pool)
    pool.resize(0)
    pool.remove(item)
    assert.isUndefined(fiber.pollUnsafe())
    assert.deepStrictEqual([state.items.size, state.waiters.size], [0, 1])
    Effect.runFork(Fiber.interrupt(fiber))
    assert.strictEqual(state.waiters.size, 0)
  })
})

describe("the holder of a lease of an endpoint's Pool", () => {
  it("is told apart from the others of the same item", () => {
    const { ends, items, pool } = makePool({ max: 1, concurrency: 2, idle: 1 })
    const [item] = items
    assert.isDefined(item)
    const fibers = ["one", "two"].map((name) => {
      item.holder = { name }
      return start(pool.use(() => Effect.never))
    })
    for (const fiber of fibers) Effect.runFork(Fiber.interrupt(fiber))
    assert.deepStrictEqual(ends, ["one", "two"])
    assert.strictEqual(item.leases, 2)
  })

  it("is that of one lease only: Effect's own Pool.get returns the item to Effect", () => {
    for (const concurrency of [1, 2]) {
      const { ends, items, pool, state } = makePool({ max: 1, concurrency, idle: 1 })
      const [item] = items
      assert.isDefined(item)
      item.holder = { name: "one" }
      Effect.runSync(pool.use(() => Effect.void))
      assert.isUndefined(item.holder)
      pool.release(item)
      const { scope } = get(pool)
      Effect.runSync(Scope.close(scope, Exit.void))
      assert.deepStrictEqual([ends, state.usage], [["one"], 0])
    }
  })
})

describe("Effect's own Pool.get on an endpoint's Pool", () => {
  it("never makes an item more than max: it waits until one comes back", () => {
    for (const concurrency of [1, 2]) {
      const { items, open, pool, state } = makePool({ max: 2, concurrency, idle: 2 })
      for (const item of items) for (let lease = 0; lease < concurrency; lease++) pool.take(item)
      const { fiber, scope } = get(pool)
      assert.throws(open, "there are 2 of 2 items")
      assert.deepStrictEqual([state.items.size, state.waiters.size, fiber.pollUnsafe()], [2, 1, undefined])
      for (const item of items) pool.release(item)
      assert.deepStrictEqual([state.items.size, state.waiters.size], [2, 0])
      assert.isDefined(fiber.pollUnsafe())
      Effect.runSync(Scope.close(scope, Exit.void))
      assert.strictEqual(state.usage, 2 * (concurrency - 1))
    }
  })

  it("while it waits, takes no item that is opened for another", () => {
    for (const concurrency of [1, 2]) {
      const { open, pool, state } = makePool({ max: 1, concurrency })
      open()
      const { fiber } = get(pool)
      const usage = state.usage
      pool.resize(2)
      assert.throws(open, "a borrower waits in Effect's own queue")
      assert.deepStrictEqual([state.items.size, state.waiters.size, state.usage], [1, 1, usage])
      Effect.runFork(Fiber.interrupt(fiber))
      open()
      assert.deepStrictEqual([state.items.size, state.waiters.size, state.usage], [2, 0, 2 * concurrency])
    }
  })
})

describe("whether a fiber may yield", () => {
  const mayYieldNow = Effect.withFiber((fiber) => Effect.succeed(mayYield(fiber)))

  it("is known by the operations that are left to it", () => {
    const within = (most: number) =>
      Effect.runSync(Effect.provideService(mayYieldNow, Scheduler.MaxOpsBeforeYield, most))
    assert.deepStrictEqual([2048, 12, 8, 3].map(within), [false, false, false, true])
  })

  it("is not known of a scheduler that is not Effect's, and does not matter where yielding is prevented", () => {
    const scheduler: Scheduler.Scheduler = {
      executionMode: "sync",
      shouldYield: () => false,
      makeDispatcher: () => new Scheduler.MixedScheduler().makeDispatcher()
    }
    const foreign = Effect.provideService(mayYieldNow, Scheduler.Scheduler, scheduler)
    assert.isTrue(Effect.runSync(foreign))
    assert.isFalse(Effect.runSync(Effect.provideService(foreign, Scheduler.PreventSchedulerYield, true)))
  })
})
