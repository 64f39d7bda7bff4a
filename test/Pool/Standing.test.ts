/**
 * Leases that are held for as long as their holders live, and how these learn that the connection has to come back.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { TestClock } from "effect/testing"
import { collectLogs, fork, hold, id, settle, test } from "../support/Pools.ts"
import * as Scripted from "../support/ScriptedConnector.ts"

type Pool = ConnectionPool.ConnectionPool<string, Scripted.Scripted>

/** Holds a connection until it is recalled. */
const listen = (pool: Pool, key: string) =>
  ConnectionPool.use(pool, key, (connection) => ConnectionPool.recalled(pool, connection), { standing: true })

const held = (pool: Pool, key = "a") => Effect.tap(fork(listen(pool, key)), () => settle)

const recallOf = (holder: Fiber.Fiber<ConnectionPool.Recall, ConnectionPool.PoolError>) =>
  Effect.sync(() => {
    const exit = holder.pollUnsafe()
    return exit === undefined ? "held" : Exit.isSuccess(exit) ? exit.value : "failed"
  })

describe("a standing lease", () => {
  it.effect("counts as leased and against the caps", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1 })
      yield* held(pool)
      assert.deepInclude(yield* ConnectionPool.stats(pool), { active: 1, total: 1, borrowed: 1 })
      const borrower = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", id)))
      yield* TestClock.adjust("30 seconds")
      const { reason } = yield* Fiber.join(borrower)
      if (reason._tag !== "AcquireTimeout") return assert.fail(reason.message)
      assert.deepStrictEqual(reason.holders.map(({ isStanding }) => isStanding), [true])
      assert.match(reason.message, /held longest by .*Standing\.test\.ts.* for 30s \(standing\)/)
    })))

  it.effect("is named after those that are to come back", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 2 })
      yield* held(pool)
      yield* TestClock.adjust("1 second")
      const latch = yield* Deferred.make<void>()
      const holder = yield* fork(hold(pool, "a", latch))
      const borrower = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", id)))
      yield* TestClock.adjust("30 seconds")
      const { reason } = yield* Fiber.join(borrower)
      assert.deepStrictEqual(
        reason._tag === "AcquireTimeout" && reason.holders.map(({ isStanding }) => isStanding),
        [false, true]
      )
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(holder)
    })))

  it.effect("is not held by a nested borrow, of which there is no warning", () => {
    const { layer, lines } = collectLogs()
    return test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 2 })
      const latch = yield* Deferred.make<void>()
      const other = yield* fork(hold(pool, "a", latch))
      yield* settle
      const both = Effect.andThen(ConnectionPool.get(pool, "a", { standing: true }), ConnectionPool.use(pool, "a", id))
      const borrower = yield* fork(Effect.scoped(both))
      yield* settle
      assert.deepInclude(yield* ConnectionPool.stats(pool), { active: 2, waiting: 1 })
      yield* Deferred.succeed(latch, undefined)
      assert.strictEqual(yield* Fiber.join(borrower), 1)
      yield* Fiber.join(other)
      assert.deepStrictEqual(lines, [])
    })).pipe(Effect.provide(layer))
  })

  it.effect("that fills the cap makes the next borrow of its fiber wait and not fail as nested", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1 })
      const scope = yield* Scope.make()
      const nested = Effect.andThen(
        Scope.provide(ConnectionPool.get(pool, "a", { standing: true }), scope),
        ConnectionPool.use(pool, "a", id)
      )
      const borrower = yield* fork(nested)
      yield* settle
      assert.deepInclude(yield* ConnectionPool.stats(pool), { active: 1, waiting: 1 })
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(yield* Fiber.join(borrower), 1)
    })))

  it.effect("is not reported as a leak and not ended by maxLease", () =>
    Effect.gen(function*() {
      const monitor = yield* ResourceMonitor.ResourceMonitor
      const { connector, openNow } = Scripted.make()
      const options = { connector, leakThreshold: "1 second", maxLease: "2 seconds", maxLifetime: "Infinity" } as const
      const pool: Pool = yield* ConnectionPool.make(options)
      const byUse = yield* held(pool)
      yield* ConnectionPool.get(pool, "a", { standing: true })
      yield* TestClock.adjust("1 hour")
      assert.lengthOf(yield* monitor.recentLeaks(10), 0)
      assert.strictEqual(yield* recallOf(byUse), "held")
      assert.strictEqual(openNow(), 2)
      assert.deepInclude(yield* ConnectionPool.stats(pool), { active: 2, leaksReported: 0, leasesExpired: 0 })
    }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerUnlimited)))

  it.effect("is known by its place in the monitor's books", () =>
    Effect.gen(function*() {
      const monitor = yield* ResourceMonitor.ResourceMonitor
      const pool = yield* ConnectionPool.make({ connector: Scripted.make().connector })
      yield* held(pool)
      const [site] = yield* monitor.topSites(1)
      assert.deepInclude(site, { open: 1, leases: 1 })
    }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerUnlimited)))
})

describe("the holder of a connection that has to come back", () => {
  it.effect("is told of a drain, so that nothing has to be forced", () =>
    test(Effect.gen(function*() {
      const { connector, ledger } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector })
      const [listener, other] = [yield* held(pool), yield* held(pool)]
      // No time passes: the deadline is not what ends it.
      yield* ConnectionPool.drain(pool, "1 hour")
      assert.strictEqual(yield* Fiber.join(listener), "Draining")
      assert.strictEqual(yield* Fiber.join(other), "Draining")
      assert.deepStrictEqual([ledger.opened, ledger.closed], [2, 2])
    })))

  it.effect("is told of the end of the pool's scope", () =>
    test(Effect.gen(function*() {
      const scope = yield* Scope.make()
      const pool = yield* Scope.provide(ConnectionPool.make({ connector: Scripted.make().connector }), scope)
      const listener = yield* held(pool)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(yield* Fiber.join(listener), "Draining")
    })))

  it.effect("is told of an eviction of its endpoint and of its connection alone", () =>
    test(Effect.gen(function*() {
      const pool: Pool = yield* ConnectionPool.make({ connector: Scripted.make().connector, maxPerEndpoint: 2 })
      const [a, b] = [yield* held(pool, "a"), yield* held(pool, "b")]
      yield* ConnectionPool.evict(pool, "a")
      yield* settle
      assert.deepStrictEqual([yield* recallOf(a), yield* recallOf(b)], ["Evicted", "held"])
      const scope = yield* Scope.make()
      const connection = yield* Scope.provide(ConnectionPool.get(pool, "b", { standing: true }), scope)
      const recalled = yield* fork(ConnectionPool.recalled(pool, connection))
      yield* ConnectionPool.invalidate(pool, connection)
      assert.strictEqual(yield* Fiber.join(recalled), "Evicted")
      assert.strictEqual(yield* recallOf(b), "held")
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(yield* ConnectionPool.recalled(pool, connection), "Evicted", "it is closed")
    })))

  it.effect("is told when the connection has reached its lifetime, and then gets a new one", () =>
    test(Effect.gen(function*() {
      const pool: Pool = yield* ConnectionPool.make({
        connector: Scripted.make().connector,
        maxLifetime: "1 minute",
        lifetimeJitter: 0
      })
      const seen: Array<number> = []
      const follow = ConnectionPool.use(pool, "a", (connection) => {
        seen.push(connection.id)
        return ConnectionPool.recalled(pool, connection)
      }, { standing: true })
      const follower = yield* fork(Effect.repeat(follow, { while: (recall) => recall === "Expired" }))
      yield* TestClock.adjust("59 seconds")
      assert.deepStrictEqual(seen, [1])
      yield* TestClock.adjust("1 second")
      yield* settle
      assert.deepStrictEqual(seen, [1, 2])
      yield* TestClock.adjust("1 minute")
      yield* settle
      assert.deepStrictEqual(seen, [1, 2, 3])
      yield* ConnectionPool.drain(pool, 0)
      assert.strictEqual(yield* Fiber.join(follower), "Draining")
    })))

  it.effect("is told of its death", () =>
    test(Effect.gen(function*() {
      const dead = yield* Deferred.make<void>()
      const connector = Connector.make({
        open: (name: string) => Effect.acquireRelease(Effect.succeed({ name }), () => Effect.void),
        closed: () => Deferred.await(dead)
      })
      const pool = yield* ConnectionPool.make({ connector })
      const listener = yield* fork(
        ConnectionPool.use(pool, "a", (connection) => ConnectionPool.recalled(pool, connection), { standing: true })
      )
      yield* settle
      yield* Deferred.succeed(dead, undefined)
      assert.strictEqual(yield* Fiber.join(listener), "Died")
    })))

  it.effect("is told when another one that shares the connection has found it broken", () =>
    test(Effect.gen(function*() {
      const pool: Pool = yield* ConnectionPool.make({
        connector: {
          ...Scripted.make().connector,
          isReusable: (_, exit) => exit === undefined || Exit.isSuccess(exit)
        },
        concurrency: Infinity,
        maxPerEndpoint: 1
      })
      const listener = yield* held(pool)
      yield* ConnectionPool.use(pool, "a", id)
      yield* settle
      assert.strictEqual(yield* recallOf(listener), "held")
      yield* Effect.exit(ConnectionPool.use(pool, "a", () => Effect.fail("protocol error")))
      assert.strictEqual(yield* Fiber.join(listener), "Evicted")
    })))

  it.effect("is told when the caps have no room for so many that stand", () =>
    test(Effect.gen(function*() {
      const pool: Pool = yield* ConnectionPool.make({ connector: Scripted.make().connector, maxPerEndpoint: 3 })
      const latch = yield* Deferred.make<void>()
      const holder = yield* fork(hold(pool, "a", latch))
      yield* settle
      const listeners = [yield* held(pool), yield* held(pool)]
      const recalls = Effect.forEach(listeners, recallOf)
      yield* ConnectionPool.resize(pool, { maxPerEndpoint: 2 })
      yield* settle
      assert.deepStrictEqual(yield* recalls, ["held", "held"], "the other one comes back by itself")
      yield* ConnectionPool.resize(pool, { maxPerEndpoint: 1 })
      yield* settle
      assert.deepStrictEqual((yield* recalls).toSorted(), ["Evicted", "held"])
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(holder)
    })))

  it.effect("that waits no more is forgotten", () =>
    test(Effect.gen(function*() {
      const pool: Pool = yield* ConnectionPool.make({ connector: Scripted.make().connector })
      const recall = ConnectionPool.use(pool, "a", (connection) => ConnectionPool.recalled(pool, connection))
      const waiting = yield* fork(recall)
      yield* settle
      yield* Fiber.interrupt(waiting)
      yield* ConnectionPool.evict(pool)
      yield* settle
      assert.deepInclude(yield* ConnectionPool.stats(pool), { total: 0 })
    })))
})

describe("a standing lease of a service", () => {
  class Databases extends ConnectionPool.Service<Databases>()("test/Databases", {
    connector: Scripted.make().connector,
    maxLease: "1 second"
  }) {}

  it.effect("is one by its options", () =>
    Effect.gen(function*() {
      const pool = yield* Databases
      const listener = yield* fork(Databases.withConnection(
        "a",
        (connection) => ConnectionPool.recalled(pool, connection),
        { standing: true }
      ))
      yield* Databases.connection("a", { standing: true })
      yield* TestClock.adjust("10 seconds")
      assert.deepInclude(yield* Databases.stats, { active: 2, leasesExpired: 0 })
      yield* ConnectionPool.drain(pool, 0)
      assert.strictEqual(yield* Fiber.join(listener), "Draining")
    }).pipe(Effect.scoped, Effect.provide(Databases.layer.pipe(Layer.provide(ResourceMonitor.layerUnlimited)))))
})
