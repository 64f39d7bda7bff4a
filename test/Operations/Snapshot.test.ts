import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, Metric } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as Operations from "effect-sluice/Operations"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { ScriptedConnector } from "effect-sluice/Testing"
import { TestClock } from "effect/testing"
import { fork, hold, settle } from "../support/Pools.ts"
import { disguised, hostile, markup, secrets } from "./Hostile.ts"
import { collect, json, withOperations } from "./Program.ts"

const borrow = (pool: ConnectionPool.ConnectionPool<string, ScriptedConnector.Scripted>, key: string) =>
  ConnectionPool.use(pool, key, () => Effect.void)

describe("Operations.snapshot", () => {
  it.effect("shows a pool with its endpoints, holders, failures and totals", () => {
    const scripted = ScriptedConnector.make()
    return Effect.gen(function*() {
      const pool = yield* ConnectionPool.make({ name: "orders", connector: scripted.connector })
      const latch = yield* Deferred.make<void>()
      yield* borrow(pool, "db")
      const holder = yield* fork(Effect.withSpan(hold(pool, "db", latch), "GET /report", {
        attributes: { "http.route": "/report" }
      }))
      yield* settle
      scripted.steps.open = () => Effect.fail(new ScriptedConnector.ScriptedFailure("ECONNREFUSED"))
      const failing = yield* fork(borrow(pool, "down"))
      yield* TestClock.adjust("1 second")
      const snapshot = yield* Operations.snapshot(["orders"])
      const [shown] = snapshot.pools
      assert.deepInclude(shown, {
        name: "orders",
        status: "Open",
        isRequired: true,
        health: "Unavailable",
        maxTotal: 5,
        maxPerEndpoint: 2,
        endpointsByHealth: { Healthy: 1, Degraded: 0, Unavailable: 1 }
      })
      assert.deepStrictEqual(shown?.endpoints.map(({ health, label }) => [label, health]), [
        ["down", "Unavailable"],
        ["db", "Healthy"]
      ])
      assert.deepInclude(shown?.endpoints[0]?.lastFailure, {
        endpoint: "down",
        type: "ECONNREFUSED",
        message: "scripted ECONNREFUSED"
      })
      assert.deepInclude(shown?.holders[0], { endpoint: "db", span: "GET /report", age: 1000, isStanding: false })
      assert.strictEqual(shown?.oldestLease, 1000)
      assert.strictEqual(shown?.oldestWait, 1000)
      assert.lengthOf(shown?.failures ?? [], 1, "failures of one kind at one endpoint are one entry")
      assert.isAtLeast(shown?.failures[0]?.count ?? 0, 2)
      assert.deepInclude(shown?.totals, { opened: 1, borrowed: 2 })
      scripted.steps.open = () => Effect.void
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(failing)
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(holder)
      const after = (yield* Operations.snapshot()).pools[0]
      assert.deepInclude(after, { health: "Healthy", holders: [], isRequired: false })
      assert.notProperty(after, "oldestLease")
    }).pipe(withOperations())
  })

  it.effect("keeps the last ten kinds of failures of a pool, the last one first", () => {
    const scripted = ScriptedConnector.make({
      open: () => Effect.fail(new ScriptedConnector.ScriptedFailure("EACCES"))
    })
    return Effect.gen(function*() {
      const pool = yield* ConnectionPool.make({ name: "orders", connector: scripted.connector })
      for (let key = 0; key < 15; key++) {
        yield* Effect.exit(borrow(pool, `db-${key}`))
        yield* TestClock.adjust("1 second")
      }
      const failures = (yield* Operations.snapshot()).pools[0]?.failures ?? []
      assert.deepStrictEqual(
        failures.map(({ endpoint }) => endpoint),
        Array.from({ length: 10 }, (_, index) => `db-${14 - index}`)
      )
    }).pipe(withOperations())
  })

  it.effect("shows the monitor: its resources with their limits, its alerts, and its leaks by place", () =>
    Effect.gen(function*() {
      const monitor = yield* ResourceMonitor.ResourceMonitor
      const test = yield* ResourceMonitor.TestMonitor
      yield* test.set({ descriptors: 950, memoryLimit: { _tag: "Unlimited", source: "test" } })
      for (let leak = 0; leak < 3; leak++) {
        yield* monitor.reportLeak({
          _tag: "Held",
          kind: "Lease",
          label: "db",
          pool: "orders",
          site: "load (app.ts:1:1)",
          span: "GET /",
          age: Duration.seconds(leak)
        })
      }
      yield* settle
      const { monitor: shown } = yield* Operations.snapshot()
      assert.deepInclude(shown, { level: "Critical" })
      assert.deepStrictEqual(shown?.resources, [
        { resource: "descriptors", unit: "count", reserved: 0, level: "Critical", used: 950, limit: 1000 },
        { resource: "memory", unit: "bytes", reserved: 0, level: "Normal", used: 0, note: "no limit" },
        { resource: "connections", unit: "count", reserved: 0, level: "Normal", used: 0, limit: 100 }
      ])
      assert.lengthOf(shown?.alerts ?? [], 1)
      assert.deepStrictEqual(shown?.leaks, [{
        label: "db",
        pool: "orders",
        site: "load (app.ts:1:1)",
        span: "GET /",
        verdict: "held",
        count: 3,
        lastAt: 0,
        longest: 2000
      }])
    }).pipe(withOperations()))

  it.effect("has a history of two minutes, in curves of one length", () => {
    const scripted = ScriptedConnector.make()
    return Effect.gen(function*() {
      const pool = yield* ConnectionPool.make({ name: "orders", connector: scripted.connector, maxPerEndpoint: 1 })
      const latch = yield* Deferred.make<void>()
      const fibers = [yield* fork(hold(pool, "db", latch)), yield* fork(hold(pool, "db", latch))]
      yield* settle
      yield* TestClock.adjust("10 seconds")
      const { history } = yield* Operations.snapshot()
      assert.deepInclude(history, { interval: 2000, length: 60 })
      const curves = history.pools["orders"]
      assert.lengthOf(curves?.active ?? [], 60)
      assert.deepStrictEqual(curves?.active.slice(-6), [0, 1, 1, 1, 1, 1])
      assert.deepStrictEqual(curves?.waiting.slice(-6), [0, 1, 1, 1, 1, 1])
      assert.deepStrictEqual(history.resources["descriptors"]?.slice(-7), [null, 0, 0, 0, 0, 0, 0])
      yield* Deferred.succeed(latch, undefined)
      yield* Effect.forEach(fibers, Fiber.join)
      yield* TestClock.adjust("5 minutes")
      const later = (yield* Operations.snapshot()).history
      assert.deepStrictEqual(later.pools["orders"]?.active, Array.from({ length: 60 }, () => 0))
    }).pipe(withOperations())
  })

  it.effect("an ended pool is gone from all of it within one interval", () =>
    Effect.gen(function*() {
      const scripted = ScriptedConnector.make()
      yield* Effect.scoped(Effect.gen(function*() {
        const pool = yield* ConnectionPool.make({ name: "orders", connector: scripted.connector })
        yield* borrow(pool, "db")
        yield* TestClock.adjust("2 seconds")
        assert.include(yield* json(), "orders")
      }))
      yield* TestClock.adjust("2 seconds")
      assert.notInclude(yield* json(), "orders")
    }).pipe(withOperations()))
})

describe("hostile texts", () => {
  it.effect("are in no JSON, no log and no metric with their secrets or control characters", () => {
    const { layer, lines } = collect()
    const connector = Connector.make({
      open: (key: string) =>
        key.startsWith("held")
          ? Effect.succeed({ key })
          : Effect.fail(Object.assign(new Error(`${key} failed`), { code: key, cause: new Error(key) }))
    })
    return Effect.gen(function*() {
      const pool = yield* ConnectionPool.make({
        name: `</script><b>"pool"`,
        connector,
        maxPerEndpoint: 50,
        maxTotal: 50,
        acquireTimeout: "3 seconds",
        leakThreshold: "1 second"
      })
      const latch = yield* Deferred.make<void>()
      const holders = yield* Effect.forEach(hostile, (text) =>
        fork(
          Effect.exit(
            ConnectionPool.use(pool, `held ${text}`, () => Deferred.await(latch), { site: { text, release: () => {} } })
              .pipe(
                Effect.withSpan(text, { attributes: { password: "hunter2", [text]: text } })
              )
          )
        ))
      const failing = yield* Effect.forEach(
        hostile,
        (text) => fork(Effect.exit(ConnectionPool.use(pool, text, () => Effect.void)))
      )
      yield* TestClock.adjust("2 seconds")
      yield* Operations.control({ _tag: "Evict", pool: `</script><b>"pool"` })
      yield* Effect.exit(Operations.control({ _tag: "Evict", pool: markup, endpoint: disguised[0] }))
      yield* Effect.exit(Operations.control({ _tag: "Evict", pool: `</script><b>"pool"`, endpoint: markup }))
      yield* TestClock.adjust("2 seconds")
      const text = yield* json([...hostile, `</script><b>"pool"`])
      const metrics = JSON.stringify(
        yield* Metric.snapshot,
        (_, value: unknown) => typeof value === "bigint" ? Number(value) : value
      )
      yield* Deferred.succeed(latch, undefined)
      yield* TestClock.adjust("1 minute")
      yield* Fiber.joinAll([...holders, ...failing])
      const logs = JSON.stringify(lines)
      assert.isAbove(lines.filter(({ text }) => text.includes("is down")).length, 5)
      assert.isAbove(lines.filter(({ text }) => text.includes("has been held")).length, 5)
      for (const [where, found] of [["JSON", text], ["log", logs], ["metrics", metrics]] as const) {
        for (const secret of secrets) assert.notInclude(found, secret, where)
        assert.notMatch(found, /\\u001b|\\u2028|[\p{Cc}\p{Cf}\p{Zl}]/u, where)
        assert.notMatch(found, /\\[rn]/, where)
      }
      assert.isBelow(text.length, 100_000)
      for (const { annotations, text } of lines) {
        assert.isAtMost(text.length, 2100)
        for (const value of Object.values(annotations)) assert.isAtMost(String(value).length, 1010)
      }
    }).pipe(withOperations(), Effect.provide(layer), Effect.provideService(Metric.MetricRegistry, new Map()))
  })
})
