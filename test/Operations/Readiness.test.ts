import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Operations from "effect-sluice/Operations"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { ScriptedConnector } from "effect-sluice/Testing"
import { TestClock } from "effect/testing"
import { type Facts, type PoolFacts, readinessOf } from "../../src/Operations/internal/Readiness.ts"
import { fork, hold, settle } from "../support/Pools.ts"
import { reasons, withOperations } from "./Program.ts"

const healthy: PoolFacts = {
  isOver: false,
  isSuspended: false,
  endpointsByHealth: { Healthy: 1, Degraded: 0, Unavailable: 0 },
  worst: undefined,
  waiting: 0,
  oldestWait: 0,
  sinceProgress: 60_000,
  sinceTimeout: Infinity
}

const facts = (pool: Partial<PoolFacts> | undefined, program: Partial<Facts> = {}): Facts => ({
  isRetiring: false,
  exhausted: undefined,
  required: ["orders"],
  poolOf: () => pool === undefined ? undefined : { ...healthy, ...pool },
  wasThere: () => false,
  age: 60_000,
  stalledAfter: 1000,
  ...program
})

const decided = (...args: Parameters<typeof facts>) => readinessOf(facts(...args)).reasons.map(({ reason }) => reason)

describe("readinessOf", () => {
  it("a program is ready when it and its required pools have nothing to complain of", () => {
    assert.deepStrictEqual(readinessOf(facts({})), { isReady: true, reasons: [] })
    assert.deepStrictEqual(readinessOf(facts(undefined, { required: [] })), { isReady: true, reasons: [] })
  })

  it("a required pool that is not there is starting, missing or over", () => {
    assert.deepStrictEqual(decided(undefined, { age: 100 }), ["Starting"])
    assert.deepStrictEqual(decided(undefined), ["PoolMissing"])
    assert.deepStrictEqual(decided(undefined, { wasThere: () => true }), ["PoolClosed"])
    assert.deepStrictEqual(decided({ isOver: true, isSuspended: true }), ["PoolClosed"])
  })

  it("a pool is down when all of its endpoints are", () => {
    const down = (Healthy: number, Degraded: number, Unavailable: number) =>
      decided({ endpointsByHealth: { Healthy, Degraded, Unavailable } })
    assert.deepStrictEqual(down(0, 0, 1), ["PoolDown"])
    assert.deepStrictEqual(down(0, 0, 9), ["PoolDown"])
    assert.deepStrictEqual(down(1, 0, 9), [])
    assert.deepStrictEqual(
      down(0, 1, 9),
      [],
      "an attempt at a degraded endpoint may succeed, and somebody has to make it"
    )
    assert.deepStrictEqual(down(0, 0, 0), [])
  })

  it("a pool is stalled when a borrower has waited for long and nobody gets a connection", () => {
    assert.deepStrictEqual(decided({ waiting: 1, oldestWait: 1000 }), ["PoolStalled"])
    assert.deepStrictEqual(decided({ waiting: 1, oldestWait: 900 }), [])
    assert.deepStrictEqual(decided({ waiting: 9, oldestWait: 5000, sinceProgress: 900 }), [], "others are served")
    assert.deepStrictEqual(decided({ sinceTimeout: 4000 }), ["PoolStalled"])
    assert.deepStrictEqual(decided({ sinceTimeout: 6000 }), [], "that is too long ago")
  })

  it("a message says what, where and why, and is safe to print", () => {
    const { reasons } = readinessOf(facts({
      endpointsByHealth: { Healthy: 0, Degraded: 0, Unavailable: 1 },
      worst: { label: "db", outage: "Down", failure: "connect ECONNREFUSED password=hunter2\n\u001b[31m" },
      waiting: 4
    }, { required: ["orders\n"], exhausted: "descriptors (1000 of 1000)" }))
    assert.deepStrictEqual(reasons, [
      { reason: "Exhausted", message: "there is no room: descriptors (1000 of 1000)" },
      {
        reason: "PoolDown",
        endpoint: "db",
        pool: "orders\\x0a",
        message: "pool orders\\x0a: its endpoint db is down: connect ECONNREFUSED password=***\\x0a\\x1b[31m; 4 wait"
      }
    ])
  })
})

const pool = (scripted: ScriptedConnector.ScriptedConnector, options: object = {}) =>
  ConnectionPool.make({ name: "orders", connector: scripted.connector, maxPerEndpoint: 1, ...options })

const down = Effect.suspend(() => Effect.fail(new ScriptedConnector.ScriptedFailure("ECONNREFUSED")))

const borrow = (pool: ConnectionPool.ConnectionPool<string, ScriptedConnector.Scripted>) =>
  ConnectionPool.use(pool, "db", () => Effect.void)

describe("Operations.readiness", () => {
  it.effect("a required pool that is down makes the program not ready, and its return makes it ready, each within 2 s", () => {
    const scripted = ScriptedConnector.make()
    return Effect.gen(function*() {
      const orders = yield* pool(scripted, { acquireTimeout: "1 minute" })
      yield* borrow(orders)
      assert.deepStrictEqual(yield* reasons(), [])
      scripted.steps.open = () => down
      for (const connection of scripted.ledger.live) yield* scripted.kill(connection)
      const waiting = yield* fork(Effect.repeat(borrow(orders), { times: 3 }))
      yield* TestClock.adjust("2 seconds")
      const { isReady, reasons: [reason] } = yield* Operations.readiness()
      assert.isFalse(isReady)
      assert.deepInclude(reason, { reason: "PoolDown", pool: "orders", endpoint: "db" })
      assert.include(reason?.message, "scripted ECONNREFUSED")
      assert.deepStrictEqual(yield* reasons(["orders"]), ["PoolDown"])
      scripted.steps.open = () => Effect.void
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(waiting)
      assert.deepStrictEqual(yield* reasons(), [])
    }).pipe(withOperations({ required: ["orders"] }))
  })

  it.effect("a pool that is not required does not count, whatever it does", () => {
    const scripted = ScriptedConnector.make({ open: () => down })
    return Effect.gen(function*() {
      const orders = yield* pool(scripted)
      yield* fork(Effect.exit(borrow(orders)))
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* reasons(), [])
      assert.deepStrictEqual(yield* reasons(["orders"]), ["PoolDown"], "the names of a route count too")
    }).pipe(withOperations())
  })

  it.effect("a stalled pool is not ready within 2 s, and ready when somebody gets a connection", () => {
    const scripted = ScriptedConnector.make()
    return Effect.gen(function*() {
      const orders = yield* pool(scripted, { acquireTimeout: "1 minute" })
      const latch = yield* Deferred.make<void>()
      const holder = yield* fork(hold(orders, "db", latch))
      yield* settle
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(yield* reasons(), [], "a long use alone is no stall")
      const waiting = yield* fork(borrow(orders))
      yield* TestClock.adjust("900 millis")
      assert.deepStrictEqual(yield* reasons(), [])
      yield* TestClock.adjust("1100 millis")
      assert.deepStrictEqual(yield* reasons(), ["PoolStalled"])
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(holder)
      yield* Fiber.join(waiting)
      assert.deepStrictEqual(yield* reasons(), [])
    }).pipe(withOperations({ required: ["orders"] }))
  })

  it.effect("a pool that was busy and is stalled is not ready within 2 s", () => {
    const scripted = ScriptedConnector.make()
    return Effect.gen(function*() {
      const orders = yield* pool(scripted, { acquireTimeout: "1 minute" })
      let stalls = false
      const request = ConnectionPool.use(orders, "db", () => Effect.sleep(stalls ? "5 seconds" : "100 millis"))
      const fibers = [yield* fork(Effect.forever(request)), yield* fork(Effect.forever(request))]
      for (let second = 0; second < 13; second++) {
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(yield* reasons(), [])
      }
      stalls = true
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* reasons(), ["PoolStalled"])
      yield* Effect.forEach(fibers, Fiber.interrupt)
    }).pipe(withOperations({ required: ["orders"] }))
  })

  it.effect("a pool whose borrowers run out of time sooner than that is stalled too, and not for ever", () => {
    const scripted = ScriptedConnector.make()
    return Effect.gen(function*() {
      const orders = yield* pool(scripted, { acquireTimeout: "300 millis" })
      const latch = yield* Deferred.make<void>()
      const holder = yield* fork(hold(orders, "db", latch))
      yield* settle
      const failing = yield* fork(Effect.exit(borrow(orders)))
      yield* TestClock.adjust("300 millis")
      assert.isTrue(Exit.isFailure(yield* Fiber.join(failing)))
      assert.deepStrictEqual(yield* reasons(), ["PoolStalled"])
      yield* TestClock.adjust("6 seconds")
      assert.deepStrictEqual(yield* reasons(), [], "without requests nobody would find out that it works again")
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(holder)
    }).pipe(withOperations({ required: ["orders"] }))
  })

  it.effect("a pool is not stalled because borrowers ran out of time while it was suspended", () => {
    const scripted = ScriptedConnector.make()
    return Effect.gen(function*() {
      const orders = yield* pool(scripted, { acquireTimeout: "300 millis" })
      yield* ConnectionPool.suspend(orders)
      const failing = yield* fork(Effect.exit(borrow(orders)))
      yield* TestClock.adjust("300 millis")
      assert.isTrue(Exit.isFailure(yield* Fiber.join(failing)))
      assert.deepStrictEqual(yield* reasons(), ["PoolSuspended"])
      yield* ConnectionPool.resume(orders)
      assert.deepStrictEqual(yield* reasons(), [])
    }).pipe(withOperations({ required: ["orders"] }))
  })

  it.effect("a suspended pool, and one that is drained, are not ready, and a resumed one is", () => {
    const scripted = ScriptedConnector.make()
    return Effect.gen(function*() {
      assert.deepStrictEqual(yield* reasons(), ["Starting"])
      const scope = yield* Scope.make()
      const orders = yield* Scope.provide(pool(scripted), scope)
      assert.deepStrictEqual(yield* reasons(), [])
      yield* ConnectionPool.suspend(orders)
      assert.deepStrictEqual(yield* reasons(), ["PoolSuspended"])
      yield* ConnectionPool.resume(orders)
      assert.deepStrictEqual(yield* reasons(), [])
      yield* ConnectionPool.drain(orders, 0)
      assert.deepStrictEqual(yield* reasons(), ["PoolClosed"])
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* reasons(), ["PoolClosed"])
      assert.deepStrictEqual(yield* reasons(["other"]), ["PoolClosed", "Starting"])
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(yield* reasons(["other"]), ["PoolClosed", "PoolMissing"])
    }).pipe(withOperations({ required: ["orders"] }))
  })

  it.effect("a program without room is not ready as long as there is none", () =>
    Effect.gen(function*() {
      const monitor = yield* ResourceMonitor.TestMonitor
      yield* monitor.set({ descriptors: 1000 })
      const { reasons: [reason] } = yield* Operations.readiness()
      assert.deepStrictEqual(reason, { reason: "Exhausted", message: "there is no room: descriptors (1000 of 1000)" })
      yield* monitor.set({ descriptors: 990 })
      assert.deepStrictEqual(yield* reasons(), [], "the level in force falls later")
      assert.strictEqual(yield* Effect.flatMap(ResourceMonitor.ResourceMonitor, ({ level }) => level), "Exhausted")
    }).pipe(withOperations()))

  it.effect("a program that retires is not ready, and goes on with its work", () => {
    const scripted = ScriptedConnector.make()
    return Effect.gen(function*() {
      const orders = yield* pool(scripted)
      yield* Operations.retire
      assert.deepStrictEqual(yield* reasons(), ["Retiring"])
      assert.isTrue((yield* Operations.snapshot()).isRetiring)
      yield* borrow(orders)
    }).pipe(withOperations())
  })

  it.effect("borrows nothing and dials nothing", () => {
    const scripted = ScriptedConnector.make()
    return Effect.gen(function*() {
      const orders = yield* pool(scripted)
      for (let call = 0; call < 100; call++) {
        yield* reasons()
        yield* Operations.snapshot()
        yield* TestClock.adjust("100 millis")
      }
      assert.strictEqual(scripted.ledger.attempts, 0)
      assert.deepInclude(yield* ConnectionPool.stats(orders), { borrowed: 0, opened: 0, waited: 0 })
      yield* borrow(orders)
      for (let call = 0; call < 100; call++) yield* reasons()
      assert.deepInclude(yield* ConnectionPool.stats(orders), { borrowed: 1, opened: 1 })
    }).pipe(withOperations({ required: ["orders"] }))
  })

  it.effect("asks the pool that follows one of the same name, also while that one is being drained", () => {
    const scripted = ScriptedConnector.make()
    return Effect.gen(function*() {
      const scope = yield* Scope.make()
      const first = yield* Scope.provide(pool(scripted), scope)
      yield* Effect.forkChild(ConnectionPool.use(first, "db", () => Effect.sleep("1 second")), {
        startImmediately: true
      })
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      assert.deepStrictEqual(yield* reasons(), ["PoolClosed"])
      const second = yield* pool(scripted)
      assert.deepStrictEqual(yield* reasons(), [])
      yield* borrow(second)
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(closing)
      assert.deepStrictEqual(yield* reasons(), [])
      const { pools } = yield* Operations.snapshot()
      assert.deepStrictEqual(pools.map(({ name }) => name), ["orders"])
    }).pipe(withOperations({ required: ["orders"] }))
  })
})
