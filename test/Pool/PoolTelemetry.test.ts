import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Metric, Predicate, Scope, Stream } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as PoolTelemetry from "effect-sluice/PoolTelemetry"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { TestClock } from "effect/testing"
import * as Scripted from "../support/ScriptedConnector.ts"

const fork = Effect.forkChild({ startImmediately: true })

const settle = Effect.forEach(Array.from({ length: 20 }), () => Effect.yieldNow, { discard: true })

const test = <A, E>(effect: Effect.Effect<A, E, Scope.Scope | ResourceMonitor.ResourceMonitor>) =>
  effect.pipe(
    Effect.provide(ResourceMonitor.layerUnlimited),
    Effect.provideService(Metric.MetricRegistry, new Map())
  )

/** What the metrics with OpenTelemetry's names say of a pool, by their names, and by the state where there is one. */
const recorded = (pool: string) =>
  Effect.map(Metric.snapshot, (all) => {
    const values = new Map<string, unknown>()
    for (const metric of all) {
      const attributes = new Map(Object.entries(metric.attributes ?? {}))
      if (attributes.get("db.client.connection.pool.name") !== pool) continue
      if (!metric.id.startsWith("db.client.connection.")) continue
      const state = attributes.get("db.client.connection.state")
      const name = metric.id.replace("db.client.connection.", "") + (state === undefined ? "" : ` ${state}`)
      const { count, max, min, sum, value } = metric.state as unknown as Record<string, number>
      values.set(name, metric.type === "Histogram" ? { count, min, max, sum } : metric.type === "Gauge" ? value : count)
    }
    return Object.fromEntries(values)
  })

describe("PoolTelemetry", () => {
  it.effect("record has OpenTelemetry's names, counts and times in seconds, until its scope ends", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make({ open: () => Effect.sleep("250 millis") })
      const pool = yield* ConnectionPool.make({
        connector,
        maxPerEndpoint: 1,
        maxTotal: 3,
        minPerEndpoint: 1,
        acquireTimeout: "3 seconds"
      })
      const scope = yield* Scope.make()
      yield* Scope.provide(PoolTelemetry.record(pool, { name: "orders", interval: "1 second" }), scope)
      const latch = yield* Deferred.make<void>()
      // One holds the connection for four seconds, one waits for three of them in vain.
      const holder = yield* fork(ConnectionPool.use(pool, "db", () => Deferred.await(latch)))
      yield* settle
      yield* TestClock.adjust("250 millis")
      yield* settle
      const waiter = yield* fork(Effect.flip(ConnectionPool.use(pool, "db", () => Effect.void)))
      yield* TestClock.adjust("750 millis")
      yield* settle
      assert.deepStrictEqual(yield* recorded("orders"), {
        "count idle": 0,
        "count used": 1,
        "idle.min": 1,
        "idle.max": 3,
        max: 3,
        pending_requests: 1,
        timeouts: 0,
        create_time: { count: 1, min: 0.25, max: 0.25, sum: 0.25 },
        wait_time: { count: 1, min: 0.25, max: 0.25, sum: 0.25 },
        use_time: { count: 0, min: Number.MAX_VALUE, max: -Number.MAX_VALUE, sum: 0 }
      })
      yield* TestClock.adjust("3250 millis")
      yield* settle
      assert.strictEqual((yield* Fiber.join(waiter)).reason._tag, "AcquireTimeout")
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(holder)
      yield* ConnectionPool.use(pool, "db", () => Effect.sleep("0 millis"))
      yield* TestClock.adjust("1 second")
      yield* settle
      const later = yield* recorded("orders")
      assert.deepInclude(later, { "count idle": 1, "count used": 0, pending_requests: 0, timeouts: 1 })
      assert.deepInclude(later, { use_time: { count: 2, min: 0, max: 4, sum: 4 } })
      yield* Scope.close(scope, Exit.void)
      const unseen = yield* fork(ConnectionPool.use(pool, "db", () => Effect.sleep("20 seconds")))
      yield* TestClock.adjust("10 seconds")
      yield* settle
      assert.deepInclude(yield* ConnectionPool.stats(pool), { active: 1 })
      assert.deepStrictEqual(yield* recorded("orders"), {})
      yield* Fiber.interrupt(unseen)
    })))

  const uses = (pool: string) =>
    Effect.map(recorded(pool), ({ use_time: times }) => Predicate.hasProperty(times, "count") ? times.count : undefined)

  const use = <A>(pool: ConnectionPool.ConnectionPool<string, A>) => ConnectionPool.use(pool, "db", () => Effect.void)

  it.effect("two records of a pool under two names are told the same, and each ends by itself", () =>
    test(Effect.gen(function*() {
      const pool = yield* ConnectionPool.make({ connector: Scripted.make().connector })
      const scopes = [yield* Scope.make(), yield* Scope.make()]
      for (const [index, scope] of scopes.entries()) {
        yield* Scope.provide(PoolTelemetry.record(pool, { name: `pool ${index}` }), scope)
      }
      yield* use(pool)
      assert.deepStrictEqual([yield* uses("pool 0"), yield* uses("pool 1")], [1, 1])
      yield* Effect.forEach(scopes.slice(0, 1), (scope) => Scope.close(scope, Exit.void))
      yield* use(pool)
      assert.deepStrictEqual([yield* uses("pool 0"), yield* uses("pool 1")], [undefined, 2])
    })))

  it.effect("two records of a pool under one name count once, until the last of them ends", () =>
    test(Effect.gen(function*() {
      const pool = yield* ConnectionPool.make({ connector: Scripted.make().connector })
      const [first, second] = [yield* Scope.make(), yield* Scope.make()]
      yield* Scope.provide(PoolTelemetry.record(pool, { name: "orders" }), first)
      yield* use(pool)
      yield* Scope.provide(PoolTelemetry.record(pool, { name: "orders" }), second)
      yield* use(pool)
      assert.strictEqual(yield* uses("orders"), 2)
      yield* Scope.close(first, Exit.void)
      yield* use(pool)
      assert.strictEqual(yield* uses("orders"), 3)
      yield* Scope.close(second, Exit.void)
      assert.strictEqual(yield* uses("orders"), undefined)
    })))

  it.effect("changes are the stats now, and then every interval", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector })
      const changes = yield* fork(Stream.runCollect(Stream.take(PoolTelemetry.changes(pool, "2 seconds"), 3)))
      yield* settle
      yield* ConnectionPool.use(pool, "db", () => Effect.void)
      for (let second = 0; second < 4; second++) {
        yield* TestClock.adjust("1 second")
        yield* settle
      }
      assert.deepStrictEqual((yield* Fiber.join(changes)).map(({ borrowed }) => borrowed), [0, 1, 1])
    })))
})
