/**
 * The connections of each endpoint are the items of an Effect Pool, which leases them and takes them back. What that Pool counts is what
 * `stats` says, in every state, and a lease that went round it would be seen here.
 *
 * Histories are those of the reference model: so many for each concurrency, or as many as `HISTORIES` says where it is set.
 */
import { afterEach, assert, beforeEach, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Pool, Scheduler, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as ResourceMonitor from "../../src/Monitor/ResourceMonitor.ts"
import * as ConnectionPool from "../../src/Pool/ConnectionPool.ts"
import type { Strategy } from "../../src/Pool/internal/EndpointPool.ts"
import type { Lease, PooledConnection, PoolEndpoint } from "../../src/Pool/internal/PoolState.ts"
import { TypeId } from "../../src/Pool/PoolRegistry.ts"
import * as Connector from "../../src/Resource/Connector.ts"
import { HandDriven } from "../support/HandDriven.ts"
import { fork, hold, id, settle, test } from "../support/Pools.ts"
import * as Scripted from "../support/ScriptedConnector.ts"
import * as History from "./model/History.ts"
import { Model } from "./model/Model.ts"

const histories = Number(process.env["HISTORIES"] ?? 200)

type Connections<A> = ConnectionPool.ConnectionPool<string, A>
type Connection = Scripted.Scripted

const endpointsOf = <A>(pool: Connections<A>): ReadonlyArray<PoolEndpoint<string, A>> => pool[TypeId].core.endpoints

/** What is kept for an endpoint, and Effect's Pool of its connections. */
const endpointOf = <A>(pool: Connections<A>, key: string) => {
  const own = endpointsOf(pool).find((endpoint) => endpoint.key === key)?.pool
  if (own === undefined) throw new Error(`${key} has no Pool`)
  return { own, effect: own.pool, state: own.pool.state }
}

type OurStrategy<A> = Strategy<Lease<string, A>, PooledConnection<string, A>>

/** The strategy of an endpoint's Pool, whose rule a test may replace. */
const strategyOf = <A>(pool: Connections<A>, key: string) =>
  // Effect keeps it by the type of its own interface.
  endpointOf(pool, key).effect.config.strategy as { -readonly [P in keyof OurStrategy<A>]: OurStrategy<A>[P] }

/** Has the rule say that the items that are there now expire at this moment, and no others ever. */
const expireAt = <A>(pool: Connections<A>, key: string, moment: number): void => {
  const items = new Set([...endpointOf(pool, key).state.items].map(({ exit }) => Exit.isSuccess(exit) && exit.value))
  strategyOf(pool, key).expiresAt = (item) => items.has(item) ? moment : Infinity
}

/** Whether Effect's Pools count something else than `stats` says. */
const disagreement = <A>(pool: Connections<A>): string | undefined => {
  const stats = Effect.runSync(ConnectionPool.stats(pool))
  for (const { label, pool: own } of endpointsOf(pool)) {
    const { active = -1, connecting = -1, idle = -1 } = stats.endpoints.get(label) ?? {}
    const counts = own === undefined ? undefined : Effect.runSync(Pool.stats(own.pool))
    const expected = active + connecting + idle === 0
      ? undefined
      : { idle, used: active + connecting, pending: 0, min: 0, max: stats.maxPerEndpoint }
    const [effects, ours] = [JSON.stringify(counts), JSON.stringify(expected)]
    if (effects !== ours) return `of ${label} Effect's Pool says ${effects}, and stats ${ours}`
  }
  return undefined
}

/** Has each item counted that Effect's Pools make although they have as many as they may. */
const watchBounds = <A>(pool: Connections<A>, seen: Set<unknown>, exceeded: () => void): void => {
  for (const { pool: own } of endpointsOf(pool)) {
    if (own === undefined || seen.has(own)) continue
    seen.add(own)
    const { config, state: { invalidated, items } } = own.pool
    const add = items.add.bind(items)
    items.add = (item) => {
      if (items.size - invalidated.size >= config.maxSize) exceeded()
      return add(item)
    }
  }
}

/** Runs a history, and looks after each task, and whenever the connector, a hook or a borrower does something. */
const firstDisagreement = async (
  history: History.History,
  services: Context.Context<ResourceMonitor.ResourceMonitor>
): Promise<{ readonly looks: number; readonly found: string | undefined }> => {
  const model = new Model(history, services)
  const seen = new Set<unknown>()
  let found: string | undefined
  let looks = 0
  const look = () => {
    looks++
    watchBounds(model.pool, seen, () => found ??= `at ${model.world.now} ms: an item more than maxPerEndpoint`)
    const other = disagreement(model.pool)
    if (other !== undefined) found ??= `at ${model.world.now} ms: ${other}`
    // A pool that is wrong may never come to an end.
    if (found !== undefined) throw new Error(found)
  }
  const { onSettled } = model.world
  model.world.onSettled = () => {
    look()
    onSettled()
  }
  model.world.onTask = look
  const expect = model.expect.bind(model)
  model.expect = (condition, otherwise) => {
    look()
    expect(condition, otherwise)
  }
  try {
    await model.run()
  } catch (error) {
    found ??= String(error)
  }
  return { looks, found }
}

// What is wrong in one test may keep the thread for ever in the next, where no time limit of a test holds.
let hasFailed = false
beforeEach(({ skip }) => skip(hasFailed))
afterEach(({ task }) => void (hasFailed ||= task.result?.state === "fail"))

describe("Effect's Pool of an endpoint", () => {
  for (const concurrency of [1, 2, Infinity]) {
    it.live(
      `counts what stats says in every state of random histories with concurrency ${concurrency}`,
      () =>
        Effect.gen(function*() {
          const provided = yield* Effect.context<ResourceMonitor.ResourceMonitor>()
          // The monitor outlives each history, and so would the timer of its log of leaks.
          const services = Context.add(provided, ResourceMonitor.ResourceMonitor, {
            ...Context.get(provided, ResourceMonitor.ResourceMonitor),
            reportLeak: () => Effect.void
          })
          let looks = 0
          for (let seed = 1; seed <= histories; seed++) {
            const { options, ...history } = History.make(seed)
            const keepalive = seed % 2 === 0 ? 7 : options.keepalive
            const changed = { ...history, options: { ...options, concurrency, keepalive } }
            const result = yield* Effect.promise(() => firstDisagreement(changed, services))
            looks += result.looks
            if (result.found !== undefined) assert.fail(`${result.found}\nin ${History.format(changed)}`)
          }
          assert.isAbove(looks, histories * 100)
        }).pipe(Effect.provide(ResourceMonitor.layerTest)),
      120_000
    )
  }

  it.effect("counts a connection as used while it is opened, checked or reset, and not while it closes", () =>
    test(Effect.gen(function*() {
      const slowly = Effect.sleep("10 millis")
      const { connector } = Scripted.make({ open: () => slowly, check: () => slowly, close: () => slowly })
      const pool = yield* ConnectionPool.make({
        connector,
        maxPerEndpoint: 2,
        keepalive: "1 second",
        idleTimeout: "1500 millis",
        lifetimeJitter: 0,
        hooks: { afterReturn: () => slowly }
      })
      const counts = Effect.gen(function*() {
        yield* settle
        assert.isUndefined(disagreement(pool))
        const { active, closing, connecting, idle } = yield* ConnectionPool.stats(pool)
        return { active, closing, connecting, idle }
      })
      const none = { active: 0, closing: 0, connecting: 0, idle: 0 }
      const borrower = yield* fork(ConnectionPool.use(pool, "db", id))
      assert.deepStrictEqual(yield* counts, { ...none, connecting: 1 })
      yield* TestClock.adjust("10 millis")
      yield* Fiber.join(borrower)
      assert.deepStrictEqual(yield* counts, { ...none, active: 1 }, "it is reset")
      yield* TestClock.adjust("10 millis")
      assert.deepStrictEqual(yield* counts, { ...none, idle: 1 })
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* counts, { ...none, active: 1 }, "it is checked")
      yield* TestClock.adjust("10 millis")
      assert.deepStrictEqual(yield* counts, { ...none, idle: 1 })
      yield* TestClock.adjust("490 millis")
      assert.deepStrictEqual(yield* counts, { ...none, closing: 1 })
      yield* TestClock.adjust("10 millis")
      assert.deepStrictEqual(yield* counts, none)
    })))

  it.effect("is ended with the last connection of its endpoint, and another is made for the next one", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, minPerEndpoint: 1 })
      yield* ConnectionPool.use(pool, "db", id)
      const first = endpointOf(pool, "db")
      yield* ConnectionPool.evict(pool)
      assert.isTrue(first.state.isShuttingDown)
      assert.notStrictEqual(endpointOf(pool, "db").effect, first.effect)
    })))
})

describe("the scope of an endpoint's Pool", () => {
  for (const concurrency of [1, 2]) {
    it.effect(`closes the idle connections of the endpoint and nothing else, with concurrency ${concurrency}`, () =>
      test(Effect.gen(function*() {
        const { connector, ledger } = Scripted.make()
        yield* Effect.scoped(Effect.gen(function*() {
          const pool = yield* ConnectionPool.make({ connector, concurrency, maxPerEndpoint: 3 })
          const open = () => [...ledger.live].map(({ id }) => id).sort((one, other) => one - other)
          assert.strictEqual(yield* ConnectionPool.use(pool, "other", id), 1)
          const [one, two, three] = [yield* Scope.make(), yield* Scope.make(), yield* Scope.make()]
          for (const scope of [one, two, three]) {
            const connection = yield* Scope.provide(ConnectionPool.get(pool, "db"), scope)
            // Otherwise the next borrower shares it.
            yield* Scope.provide(ConnectionPool.reserve(pool, connection), scope)
          }
          yield* Scope.close(one, Exit.void)
          assert.deepStrictEqual(open(), [1, 2, 3, 4])
          const closing = yield* fork(endpointOf(pool, "db").own.close)
          assert.deepStrictEqual(open(), [1, 3, 4], "the idle one has been closed, and the leased ones stay")
          yield* settle
          assert.isUndefined(closing.pollUnsafe())
          yield* Scope.close(two, Exit.void)
          assert.deepStrictEqual(open(), [1, 4])
          assert.isUndefined(closing.pollUnsafe())
          yield* Scope.close(three, Exit.void)
          yield* Fiber.join(closing)
          assert.deepStrictEqual(open(), [1])
        }))
        assert.deepStrictEqual([ledger.live.size, ledger.closed], [0, 4], "none is closed twice")
      })))
  }
})

/** The ways to borrow: both have to lease the item for as long as the body runs. */
const ways = {
  use: <A, E, R>(pool: Connections<Connection>, body: (connection: Connection) => Effect.Effect<A, E, R>) =>
    ConnectionPool.use(pool, "db", body),
  get: <A, E, R>(pool: Connections<Connection>, body: (connection: Connection) => Effect.Effect<A, E, R>) =>
    Effect.scoped(Effect.flatMap(ConnectionPool.get(pool, "db"), body))
}

/** Leases of the item of a connection and of all items of the endpoint, and whether the item is available. */
const leasesOf = (pool: Connections<Connection>) => (connection: Connection) =>
  Effect.sync((): ReadonlyArray<unknown> => {
    const { state } = endpointOf(pool, "db")
    const isItem = (
      { exit }: Pool.PoolItem<{ readonly connection: { readonly value: Connection } | undefined }, never>
    ) => Exit.isSuccess(exit) && exit.value.connection?.value === connection
    const item = [...state.items].find(isItem)
    return [item?.refCount, state.usage, item?.isAvailable]
  })

const leased = [1, 1, false]
const free = [0, 0, true]

/** Without news of deaths no borrower waits for the loop to turn, so that a ready connection is leased at once. */
const withoutNews = ({ check, open }: Scripted.ScriptedConnector["connector"]) => Connector.make({ check, open })

/** Every path by which a borrower comes to its connection. */
const paths: Record<string, Partial<ConnectionPool.Options<string, Connection, never, never>>> = {
  "that is ready": {},
  "that may have died unseen": {},
  "that is checked": { checkAfterIdle: 0 },
  "that is made ready": { hooks: { beforeLend: () => Effect.void } },
  "that is reset after it": { hooks: { afterReturn: () => Effect.void } },
  "that it may have for a limited time": { maxLease: "1 minute" }
}

/** A while in which everything settles, and after which a connection has been idle. */
const pause = Effect.sleep(5)

describe("in the body of a borrower the item of its connection is leased in Effect's Pool", () => {
  for (const [way, borrow] of Object.entries(ways)) {
    for (const [path, options] of Object.entries(paths)) {
      it.live(`and is no more available, by ${way} of one ${path}`, () =>
        test(Effect.gen(function*() {
          const { connector: withNews } = Scripted.make()
          const connector = path === "that may have died unseen" ? withNews : withoutNews(withNews)
          const pool = yield* ConnectionPool.make({ connector, ...options })
          const leases = leasesOf(pool)
          const look = (connection: Connection) => Effect.map(leases(connection), (seen) => ({ connection, seen }))
          // A fiber that pauses within its next operations takes other steps than one that does not.
          for (const most of [2048, 2048, 3]) {
            const within = Effect.provideService(borrow(pool, look), Scheduler.MaxOpsBeforeYield, most)
            const { connection, seen } = yield* within
            assert.strictEqual(connection.id, 1)
            assert.deepStrictEqual(seen, leased)
            yield* pause
            assert.deepStrictEqual(yield* leases(connection), free)
          }
        })))
    }

    it.live(`and is leased once when it is handed to the next borrower, by ${way}`, () =>
      test(Effect.gen(function*() {
        const { connector } = Scripted.make()
        const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1 })
        const leases = leasesOf(pool)
        const look = (connection: Connection) => Effect.tap(leases(connection), Effect.yieldNow)
        const borrowers = yield* Effect.forEach(Array.from({ length: 5 }), () => fork(borrow(pool, look)))
        for (const borrower of borrowers) assert.deepStrictEqual(yield* Fiber.join(borrower), leased)
        yield* pause
        assert.deepStrictEqual(yield* borrow(pool, leases), leased)
        assert.deepStrictEqual([endpointOf(pool, "db").state.usage, endpointOf(pool, "db").state.items.size], [0, 1])
      })))

    it.live(`once for each borrower that shares it, by ${way}`, () =>
      test(Effect.gen(function*() {
        const { connector } = Scripted.make()
        const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1, concurrency: 3 })
        const leases = leasesOf(pool)
        yield* borrow(pool, id)
        const seen = yield* borrow(pool, (one) =>
          Effect.gen(function*() {
            const before = yield* leases(one)
            const within = yield* borrow(pool, leases)
            return [before, within, yield* leases(one)]
          }))
        assert.deepStrictEqual(seen, [[1, 1, true], [2, 2, true], [1, 1, true]])
      })))
  }
})

describe("Effect's Pool of an endpoint, asked by code that knows it alone", () => {
  it.effect("never makes an item more than maxPerEndpoint", () =>
    test(Effect.gen(function*() {
      const { connector, ledger } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 2 })
      const latch = yield* Deferred.make<void>()
      const borrowers = yield* Effect.forEach(Array.from({ length: 5 }), () => fork(hold(pool, "db", latch)))
      yield* settle
      const { effect, state } = endpointOf(pool, "db")
      assert.deepStrictEqual(yield* Pool.stats(effect), { idle: 0, used: 2, pending: 0, min: 0, max: 2 })
      assert.strictEqual((yield* ConnectionPool.stats(pool)).waiting, 3)
      const others = [
        yield* fork(Pool.use(effect, () => Effect.void)),
        yield* fork(Effect.scoped(Pool.get(effect)))
      ]
      yield* settle
      assert.deepStrictEqual(yield* Pool.stats(effect), { idle: 0, used: 2, pending: 2, min: 0, max: 2 })
      assert.deepStrictEqual([state.items.size, ledger.attempts], [2, 2])
      yield* Fiber.interruptAll(others)
      yield* Deferred.succeed(latch, undefined)
      for (const borrower of borrowers) yield* Fiber.join(borrower)
      assert.isUndefined(disagreement(pool))
      assert.strictEqual(ledger.opened, 2)
    })))
})

describe("an item past its time to live leaves by the rule of the strategy", () => {
  const idleFor = { idleTimeout: "1 minute", maxLifetime: "1 hour" } as const
  const livesFor = { idleTimeout: "1 hour", maxLifetime: "1 minute" } as const
  for (const [what, options] of Object.entries({ "idle time": idleFor, "lifetime": livesFor })) {
    it.effect(`at the moment that it says, which comes from the ${what}`, () =>
      test(Effect.gen(function*() {
        const { connector, ledger } = Scripted.make()
        const pool = yield* ConnectionPool.make({ connector, lifetimeJitter: 0, ...options })
        yield* ConnectionPool.use(pool, "db", () => Effect.sleep("10 seconds")).pipe(
          fork,
          Effect.tap(TestClock.adjust("10 seconds")),
          Effect.flatMap(Fiber.join)
        )
        const [item] = endpointOf(pool, "db").own.available()
        assert.isDefined(item)
        assert.strictEqual(strategyOf(pool, "db").expiresAt(item), what === "lifetime" ? 60_000 : 70_000)
        yield* TestClock.adjust(what === "lifetime" ? 49_999 : 59_999)
        assert.strictEqual(ledger.live.size, 1)
        yield* TestClock.adjust(1)
        assert.strictEqual(ledger.live.size, 0)
        assert.strictEqual((yield* ConnectionPool.stats(pool)).expired, 1)
      })))
  }

  it.effect("when it would be leased, although no sweep has found it", () =>
    test(Effect.gen(function*() {
      for (const concurrency of [1, 2]) {
        const { connector } = Scripted.make()
        const pool = yield* ConnectionPool.make({ connector, concurrency })
        yield* ConnectionPool.use(pool, "db", id)
        expireAt(pool, "db", 0)
        const latch = yield* Deferred.make<void>()
        const two = yield* fork(hold(pool, "db", latch))
        yield* settle
        assert.strictEqual((yield* ConnectionPool.stats(pool)).expired, 1)
        // One that others share takes no further borrower.
        expireAt(pool, "db", 0)
        const three = yield* fork(hold(pool, "db", latch))
        yield* settle
        yield* Deferred.succeed(latch, undefined)
        assert.deepStrictEqual([yield* Fiber.join(two), yield* Fiber.join(three)], [2, 3])
      }
    })))

  it.effect("when it comes back", () =>
    test(Effect.gen(function*() {
      const { connector, ledger } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector })
      yield* ConnectionPool.use(pool, "db", () => Effect.sync(() => expireAt(pool, "db", 0)))
      assert.deepStrictEqual([ledger.live.size, (yield* ConnectionPool.stats(pool)).expired], [0, 1])
    })))

  it.effect("by the sweep, which goes by nothing else", () =>
    test(Effect.gen(function*() {
      const { connector, ledger } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, idleTimeout: "1 minute" })
      yield* ConnectionPool.use(pool, "db", () => Effect.sync(() => expireAt(pool, "db", 5000)))
      yield* TestClock.adjust(4999)
      assert.strictEqual(ledger.live.size, 1)
      yield* TestClock.adjust(1)
      assert.strictEqual(ledger.live.size, 0)
    })))

  it.effect("by a sweep of the pool's, which is one for all endpoints, as the strategy is", () =>
    test(Effect.gen(function*() {
      const { connector, ledger } = Scripted.make()
      const world = new HandDriven()
      const services = world.services(yield* Effect.context<ResourceMonitor.ResourceMonitor>())
      const run = <A, E>(effect: Effect.Effect<A, E, ResourceMonitor.ResourceMonitor>) =>
        Effect.andThen(
          Effect.promise(() => {
            const fiber = Effect.runForkWith(services)(effect)
            return world.settle().then(() => fiber)
          }),
          Fiber.join
        )
      const scope = yield* Scope.make()
      const pool = yield* run(Scope.provide(ConnectionPool.make({ connector, idleTimeout: "1 minute" }), scope))
      const keys = ["a", "b", "c", "d"]
      const timers: Array<number> = []
      for (const key of keys) {
        yield* run(ConnectionPool.use(pool, key, id))
        timers.push(world.sleeping)
      }
      assert.strictEqual(new Set(keys.map((key) => strategyOf(pool, key))).size, 1)
      assert.strictEqual(ledger.live.size, 4)
      assert.strictEqual(timers.at(-1), timers[0], "no further timer for a further endpoint")
      yield* Effect.promise(() => world.advance(60_000))
      assert.deepStrictEqual([ledger.live.size, world.sleeping], [0, 0])
      yield* run(Scope.close(scope, Exit.void))
    })))
})
