import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Operations from "effect-sluice/Operations"
import { ScriptedConnector } from "effect-sluice/Testing"
import { TestClock } from "effect/testing"
import { fork, hold, settle } from "../support/Pools.ts"
import { collect, withOperations } from "./Program.ts"

const make = (options: object = {}) =>
  ConnectionPool.make({ name: "orders", connector: ScriptedConnector.make().connector, ...options })

const use = (pool: ConnectionPool.ConnectionPool<string, ScriptedConnector.Scripted>, key: string) =>
  ConnectionPool.use(pool, key, ({ id }) => Effect.succeed(id))

describe("Operations.control", () => {
  it.effect("evicts the connections of one endpoint or of all, and logs it", () => {
    const { layer, lines } = collect()
    return Effect.gen(function*() {
      const pool = yield* make()
      yield* use(pool, "a")
      yield* use(pool, "b")
      yield* Operations.control({ _tag: "Evict", pool: "orders", endpoint: "a" })
      yield* settle
      assert.strictEqual((yield* ConnectionPool.stats(pool)).idle, 1)
      yield* Operations.control({ _tag: "Evict", pool: "orders" })
      yield* settle
      assert.strictEqual((yield* ConnectionPool.stats(pool)).idle, 0)
      assert.deepStrictEqual(lines.map(({ annotations, level, text }) => [level, text, annotations]), [
        [
          "Info",
          "ConnectionPool orders: its connections are evicted, as an operator has asked",
          { "db.client.connection.pool.name": "orders", "sluice.control": "Evict", "sluice.pool.endpoint": "a" }
        ],
        [
          "Info",
          "ConnectionPool orders: its connections are evicted, as an operator has asked",
          { "db.client.connection.pool.name": "orders", "sluice.control": "Evict" }
        ]
      ])
    }).pipe(withOperations(), Effect.provide(layer))
  })

  it.effect("suspends and resumes", () =>
    Effect.gen(function*() {
      const pool = yield* make()
      yield* Operations.control({ _tag: "Suspend", pool: "orders" })
      const waiting = yield* fork(use(pool, "a"))
      yield* settle
      assert.isUndefined(waiting.pollUnsafe())
      yield* Operations.control({ _tag: "Resume", pool: "orders" })
      assert.strictEqual(yield* Fiber.join(waiting), 1)
    }).pipe(withOperations()))

  it.effect("begins a drain, which goes on when the request ends, and returns at once", () =>
    Effect.gen(function*() {
      const pool = yield* make({ drainTimeout: "10 seconds" })
      const latch = yield* Deferred.make<void>()
      const holder = yield* fork(hold(pool, "a", latch))
      yield* settle
      const request = yield* fork(Operations.control({ _tag: "Drain", pool: "orders" }))
      // No time passes.
      yield* Fiber.join(request)
      assert.strictEqual((yield* Operations.snapshot()).pools[0]?.status, "Draining")
      const refused = yield* Effect.exit(use(pool, "a"))
      assert.isTrue(Exit.isFailure(refused))
      assert.strictEqual((yield* ConnectionPool.stats(pool)).active, 1, "its lease goes on")
      yield* Operations.control({ _tag: "Drain", pool: "orders" })
      yield* TestClock.adjust("10 seconds")
      yield* settle
      assert.strictEqual((yield* ConnectionPool.stats(pool)).total, 0, "the drain has ended it")
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(holder)
    }).pipe(withOperations()))

  it.effect("ends one lease", () =>
    Effect.gen(function*() {
      const pool = yield* make({ maxLease: "1 hour" })
      const latch = yield* Deferred.make<void>()
      const [first, second] = [yield* fork(Effect.exit(hold(pool, "a", latch))), yield* fork(hold(pool, "a", latch))]
      yield* TestClock.adjust("1 second")
      const holders = (yield* Operations.snapshot()).pools[0]?.holders ?? []
      assert.lengthOf(holders, 2)
      yield* Operations.control({ _tag: "EndLease", pool: "orders", lease: holders[0]?.id ?? -1 })
      const exit = yield* Fiber.join(first)
      assert.isTrue(Exit.isFailure(exit))
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(second)
    }).pipe(withOperations()))

  it.effect("closes the connection of a lease in a pool without maxLease, and gives its slot to the next borrower", () =>
    Effect.gen(function*() {
      const pool = yield* make({ maxPerEndpoint: 1 })
      const latch = yield* Deferred.make<void>()
      const [first, second] = [yield* fork(hold(pool, "a", latch)), yield* fork(use(pool, "a"))]
      yield* TestClock.adjust("1 second")
      const [holder] = (yield* Operations.snapshot()).pools[0]?.holders ?? []
      yield* Operations.control({ _tag: "EndLease", pool: "orders", lease: holder?.id ?? -1 })
      assert.strictEqual(yield* Fiber.join(second), 2)
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(first)
    }).pipe(withOperations()))

  it.effect("fails for a name that is not there, without a line in the log", () => {
    const { layer, lines } = collect()
    return Effect.gen(function*() {
      yield* make()
      const errorOf = (command: Operations.Control) =>
        Effect.map(Effect.flip(Operations.control(command)), (error) => error.message)
      assert.strictEqual(
        yield* errorOf({ _tag: "Drain", pool: "other\n" }),
        "there is no pool other\\x0a; the pools are orders"
      )
      assert.strictEqual(yield* errorOf({ _tag: "Evict", pool: "orders", endpoint: "x" }), "there is no endpoint x")
      assert.strictEqual(yield* errorOf({ _tag: "EndLease", pool: "orders", lease: 7 }), "there is no lease 7")
      assert.lengthOf(lines, 0)
    }).pipe(withOperations(), Effect.provide(layer))
  })
})
