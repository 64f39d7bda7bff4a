import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Exit, Fiber, Layer, Metric, Scope } from "effect"
import * as Breaker from "effect-sluice/Breaker"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as Operations from "effect-sluice/Operations"
import * as PoolTelemetry from "effect-sluice/PoolTelemetry"
import * as Reading from "effect-sluice/Reading"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { TestClock } from "effect/testing"
import { fork, hold, settle, test } from "../support/Pools.ts"
import * as Scripted from "../support/ScriptedConnector.ts"
import { allSeries, ofPool, seriesOf, valuesOf, withOwnMetrics } from "./support.ts"

const P = (name: string) => ({ "db.client.connection.pool.name": name })

const operations = (options: Operations.Options = {}) =>
  Effect.provide(Operations.layerOptions({ interval: "5 seconds", ...options }))

/** One interval passes. */
const tick = Effect.andThen(TestClock.adjust("5 seconds"), settle)

const run = <A, E>(
  effect: Effect.Effect<A, E, Scope.Scope | ResourceMonitor.ResourceMonitor | Operations.Operations>,
  options: Operations.Options = {}
) => withOwnMetrics(test(operations(options)(effect)))

describe("the metrics of a pool", () => {
  it.effect("count its connections, leases, failures, refusals and closes", () =>
    run(Effect.gen(function*() {
      let isDown = false
      const scripted = Scripted.make({
        open: () => isDown ? Effect.fail(new Scripted.ScriptedFailure("ECONNREFUSED")) : Effect.void
      })
      const pool = yield* ConnectionPool.make({
        name: "orders",
        connector: scripted.connector,
        maxPerEndpoint: 1,
        maxTotal: 3,
        acquireTimeout: "3 seconds",
        maxWaiters: 1
      })
      const latch = yield* Deferred.make<void>()
      const holder = yield* fork(hold(pool, "a", latch))
      yield* settle
      const late = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", () => Effect.void)))
      yield* settle
      const refused = yield* Effect.flip(ConnectionPool.use(pool, "a", () => Effect.void))
      assert.strictEqual(refused.reason._tag, "QueueFull")
      yield* TestClock.adjust("4 seconds")
      yield* settle
      isDown = true
      const failing = yield* fork(Effect.flip(ConnectionPool.use(pool, "b", () => Effect.void)))
      yield* TestClock.adjust("1 second")
      yield* settle
      const value = (id: string, attributes = {}) => valuesOf(id, { ...P("orders"), ...attributes })
      assert.deepStrictEqual(yield* value("db.client.connection.count", { "db.client.connection.state": "used" }), [1])
      assert.deepStrictEqual(yield* value("db.client.connection.max"), [3])
      assert.deepStrictEqual(yield* value("db.client.connection.timeouts"), [1])
      assert.deepStrictEqual(yield* value("db.client.connection.pending_requests"), [1])
      assert.deepStrictEqual(yield* value("db.client.connection.create_time"), [1])
      assert.deepStrictEqual(yield* value("db.client.connection.wait_time"), [1])
      assert.deepStrictEqual(yield* value("sluice.pool.connections.opened"), [1])
      assert.deepStrictEqual(yield* value("sluice.pool.leases"), [1])
      assert.deepStrictEqual(yield* value("sluice.pool.lease.oldest"), [5])
      assert.deepStrictEqual(yield* value("sluice.pool.wait.oldest"), [1])
      assert.deepStrictEqual(yield* value("sluice.pool.refusals", { "sluice.reason": "QueueFull" }), [1])
      assert.deepStrictEqual(yield* value("sluice.pool.refusals", { "sluice.reason": "AcquireTimeout" }), [1])
      const [failures] = yield* seriesOf("sluice.pool.connect.failures", P("orders"))
      assert.strictEqual(failures?.attributes["error.type"], "ECONNREFUSED")
      assert.isAbove(failures?.value ?? 0, 0)
      assert.deepStrictEqual(
        yield* value("sluice.pool.endpoints", { "sluice.endpoint.health": "Unavailable" }),
        [1]
      )
      assert.deepStrictEqual(yield* value("sluice.pool.endpoint.up", { "sluice.endpoint": "b" }), [0])
      assert.deepStrictEqual(yield* value("sluice.pool.endpoint.used", { "sluice.endpoint": "a" }), [1])
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(holder)
      yield* Fiber.join(late)
      yield* Fiber.interrupt(failing)
      yield* ConnectionPool.evict(pool)
      yield* tick
      assert.deepStrictEqual(
        yield* value("sluice.pool.connections.closed", { "sluice.reason": "evicted" }),
        [1]
      )
      assert.deepStrictEqual(yield* value("db.client.connection.use_time"), [1])
      assert.deepStrictEqual(yield* value("sluice.pool.lease.oldest"), [0])
    })))

  it.effect("are those of a pool that was made before, with everything that it had counted", () =>
    withOwnMetrics(test(Effect.gen(function*() {
      const pool = yield* ConnectionPool.make({ name: "before", connector: Scripted.make().connector })
      yield* ConnectionPool.use(pool, "a", () => Effect.void)
      yield* operations()(Effect.gen(function*() {
        assert.deepStrictEqual(yield* valuesOf("sluice.pool.leases", P("before")), [1])
        assert.deepStrictEqual(yield* valuesOf("sluice.pool.connections.opened", P("before")), [1])
      }))
      assert.deepStrictEqual(yield* allSeries, [])
    }))))

  it.effect("keep their last values until the next interval after its end, and are then removed", () =>
    run(Effect.gen(function*() {
      const scope = yield* Scope.make()
      const pool = yield* Scope.provide(
        ConnectionPool.make({ name: "ended", connector: Scripted.make().connector }),
        scope
      )
      yield* ConnectionPool.use(pool, "a", () => Effect.void)
      yield* tick
      assert.deepStrictEqual(yield* valuesOf("sluice.pool.endpoint.up", P("ended")), [1])
      const closing = yield* fork(Scope.close(scope, Exit.void))
      yield* settle
      yield* Fiber.await(closing)
      assert.deepStrictEqual(
        yield* valuesOf("sluice.pool.connections.closed", { ...P("ended"), "sluice.reason": "drained" }),
        [1]
      )
      assert.deepStrictEqual(
        yield* valuesOf("db.client.connection.count", { ...P("ended"), "db.client.connection.state": "idle" }),
        [0]
      )
      yield* tick
      assert.deepStrictEqual(yield* ofPool("ended"), [])
    })))

  it.effect("go on counting when a pool of the same name follows", () =>
    run(Effect.gen(function*() {
      const once = Effect.scoped(
        Effect.flatMap(
          ConnectionPool.make({ name: "again", connector: Scripted.make().connector }),
          (pool) => ConnectionPool.use(pool, "a", () => Effect.void)
        )
      )
      yield* once
      yield* Effect.scoped(Effect.gen(function*() {
        const pool = yield* ConnectionPool.make({ name: "again", connector: Scripted.make().connector })
        yield* ConnectionPool.use(pool, "a", () => Effect.void)
        yield* tick
        assert.deepStrictEqual(yield* valuesOf("sluice.pool.leases", P("again")), [2])
        assert.deepStrictEqual(yield* valuesOf("db.client.connection.use_time", P("again")), [2])
      }))
      yield* tick
      assert.deepStrictEqual(yield* ofPool("again"), [])
    })))

  it.effect("are counted once if PoolTelemetry records the pool too, and stay when that ends", () =>
    run(Effect.gen(function*() {
      const pool = yield* ConnectionPool.make({ name: "twice", connector: Scripted.make().connector })
      yield* Effect.scoped(Effect.gen(function*() {
        yield* PoolTelemetry.record(pool)
        yield* ConnectionPool.use(pool, "a", () => Effect.void)
        yield* tick
        assert.deepStrictEqual(yield* valuesOf("sluice.pool.leases", P("twice")), [1])
      }))
      yield* ConnectionPool.use(pool, "a", () => Effect.void)
      yield* tick
      assert.deepStrictEqual(yield* valuesOf("sluice.pool.leases", P("twice")), [2])
      assert.deepStrictEqual(yield* valuesOf("db.client.connection.use_time", P("twice")), [2])
    })))

  it.effect("are counted once by two layers of Operations, until the last of them ends", () =>
    withOwnMetrics(test(Effect.gen(function*() {
      const pool = yield* ConnectionPool.make({ name: "shared", connector: Scripted.make().connector })
      const [first, second] = [yield* Scope.make(), yield* Scope.make()]
      for (const scope of [first, second]) yield* Layer.buildWithScope(Layer.fresh(Operations.layer), scope)
      yield* ConnectionPool.use(pool, "a", () => Effect.void)
      assert.deepStrictEqual(yield* valuesOf("db.client.connection.use_time", P("shared")), [1])
      yield* Scope.close(first, Exit.void)
      assert.deepStrictEqual(yield* valuesOf("db.client.connection.use_time", P("shared")), [1])
      yield* Scope.close(second, Exit.void)
      assert.deepStrictEqual(yield* ofPool("shared"), [])
    }))))

  it.effect("have at most 20 types of errors of their own", () =>
    run(Effect.gen(function*() {
      let attempts = 0
      const scripted = Scripted.make({
        open: () => Effect.fail(new Scripted.ScriptedFailure(`E${attempts++}`))
      })
      const pool = yield* ConnectionPool.make({
        name: "erring",
        connector: scripted.connector,
        maxPerEndpoint: 1,
        maxTotal: 100
      })
      for (let key = 0; key < 30; key++) {
        yield* fork(Effect.exit(ConnectionPool.use(pool, `key ${key}`, () => Effect.void)))
      }
      yield* settle
      const all = yield* seriesOf("sluice.pool.connect.failures", P("erring"))
      assert.strictEqual(all.length, 21)
      assert.deepInclude(all.map(({ attributes, value }) => [attributes["error.type"], value]), ["_OTHER", 10])
    })))
})

describe("the series of endpoints", () => {
  /** A pool with many endpoints. Those in `down` do not answer. */
  const withMany = (name: string, count: number) =>
    Effect.gen(function*() {
      const down = new Set<string>()
      const { connector } = Scripted.make({
        open: (key) => down.has(key) ? Effect.fail(new Scripted.ScriptedFailure("ECONNREFUSED")) : Effect.void
      })
      const pool = yield* ConnectionPool.make({ name, connector, maxPerEndpoint: 1, maxTotal: count + 10 })
      const keys = Array.from({ length: count }, (_, index) => `key ${index}`)
      yield* Effect.forEach(keys, (key) => ConnectionPool.use(pool, key, () => Effect.void))
      return { pool, down }
    })

  const up = (name: string) => seriesOf("sluice.pool.endpoint.up", P(name))

  const downOf = (name: string) =>
    Effect.map(
      up(name),
      (all) =>
        all.filter(({ value }) => value === 0).map(({ attributes }) => attributes["sluice.endpoint"]).toSorted((
          one,
          other
        ) => String(one) < String(other) ? -1 : 1)
    )

  const second = Effect.andThen(TestClock.adjust("1 second"), settle)

  it.effect("are at most 20 for a pool, with those that are down among them, and are removed when they drop out", () =>
    run(
      Effect.gen(function*() {
        const { down, pool } = yield* withMany("many", 60)
        yield* second
        const before = (yield* up("many")).map(({ attributes }) => attributes["sluice.endpoint"])
        assert.strictEqual(before.length, 20)
        const withHealth = (health: string) =>
          valuesOf("sluice.pool.endpoints", { ...P("many"), "sluice.endpoint.health": health })
        assert.deepStrictEqual(yield* withHealth("Healthy"), [60])
        down.add("late 1").add("late 2")
        for (const key of down) yield* fork(Effect.exit(ConnectionPool.use(pool, key, () => Effect.void)))
        yield* second
        assert.deepStrictEqual(yield* withHealth("Unavailable"), [2])
        assert.deepStrictEqual(yield* downOf("many"), ["late 1", "late 2"])
        const after = (yield* up("many")).map(({ attributes }) => attributes["sluice.endpoint"])
        assert.strictEqual(after.length, 20)
        assert.strictEqual(before.filter((label) => !after.includes(label)).length, 2)
        for (const id of ["used", "waiting"]) {
          assert.strictEqual((yield* seriesOf(`sluice.pool.endpoint.${id}`, P("many"))).length, 20)
        }
      }),
      { interval: "1 second" }
    ))

  it.effect("say that an endpoint is down until it is healthy, also while nobody asks for it", () =>
    run(
      Effect.gen(function*() {
        const { down, pool } = yield* withMany("quiet", 1)
        down.add("late")
        const borrow = yield* fork(Effect.exit(ConnectionPool.use(pool, "late", () => Effect.void)))
        yield* second
        assert.deepStrictEqual(yield* downOf("quiet"), ["late"])
        yield* TestClock.adjust("30 seconds")
        yield* Fiber.join(borrow)
        yield* second
        assert.strictEqual(yield* ConnectionPool.health(pool, "late"), "Degraded")
        assert.deepStrictEqual(yield* downOf("quiet"), ["late"])
        down.clear()
        yield* ConnectionPool.use(pool, "late", () => Effect.void)
        yield* second
        assert.deepStrictEqual(yield* downOf("quiet"), [])
      }),
      { interval: "1 second" }
    ))

  it.effect("have the address of the key, and count endpoints with one address together", () =>
    run(Effect.gen(function*() {
      const connector = Connector.make({
        open: (key: { host: string; port: number; user: string }) => Effect.succeed({ key })
      })
      const pool = yield* ConnectionPool.make({ name: "addressed", connector })
      const key = (user: string) => ({ host: "db.internal", port: 5432, user })
      yield* ConnectionPool.use(
        pool,
        key("one"),
        () =>
          ConnectionPool.use(pool, key("two"), () =>
            Effect.gen(function*() {
              yield* tick
              const all = yield* seriesOf("sluice.pool.endpoint.used", P("addressed"))
              assert.deepStrictEqual(all.map(({ value }) => value), [2])
              assert.deepInclude(all[0]?.attributes, { "server.address": "db.internal", "server.port": "5432" })
            }))
      )
    })))
})

describe("the metrics of the monitor", () => {
  const monitored = <A, E>(
    effect: Effect.Effect<
      A,
      E,
      Scope.Scope | ResourceMonitor.ResourceMonitor | ResourceMonitor.TestMonitor | Operations.Operations
    >,
    options: Operations.Options = {}
  ) =>
    withOwnMetrics(
      effect.pipe(operations(options), Effect.provide(ResourceMonitor.layerTest), Effect.scoped)
    )

  it.effect("are its figures, its level, its gate and its leaks", () =>
    monitored(Effect.gen(function*() {
      const test = yield* ResourceMonitor.TestMonitor
      const monitor = yield* ResourceMonitor.ResourceMonitor
      yield* test.set({ descriptors: 500 })
      yield* Effect.scoped(monitor.reserve({ label: "db:5432" }))
      yield* test.set({ descriptors: 990 })
      yield* Effect.flip(Effect.scoped(monitor.reserve({ label: "db:5432" })))
      const origin = { kind: "Lease" as const, label: "db:5432", site: undefined, span: undefined }
      yield* monitor.reportLeak({ _tag: "Held", ...origin, age: Duration.seconds(1) })
      yield* tick
      const descriptors = { "sluice.resource": "descriptors" }
      assert.deepStrictEqual(yield* valuesOf("sluice.monitor.used", descriptors), [990])
      assert.deepStrictEqual(yield* valuesOf("sluice.monitor.limit", descriptors), [1000])
      assert.deepStrictEqual(yield* valuesOf("sluice.monitor.level"), [2])
      assert.deepStrictEqual(yield* valuesOf("sluice.gate.refusals", descriptors), [1])
      assert.deepStrictEqual(yield* valuesOf("sluice.gate.wait"), [1])
      assert.deepStrictEqual(yield* valuesOf("sluice.monitor.leaks", { "sluice.verdict": "held" }), [1])
      assert.deepStrictEqual(yield* valuesOf("process.unix.file_descriptor.count"), [990])
      assert.isNotEmpty(yield* seriesOf("v8js.memory.heap.used"))
    })))

  it.effect("have no series for what is unknown", () =>
    monitored(Effect.gen(function*() {
      const test = yield* ResourceMonitor.TestMonitor
      yield* test.set({ descriptors: 5 })
      yield* tick
      assert.deepStrictEqual(yield* valuesOf("sluice.monitor.used", { "sluice.resource": "descriptors" }), [5])
      yield* test.set({ descriptors: Reading.unknown("Denied", "a test") })
      yield* tick
      assert.deepStrictEqual(yield* valuesOf("sluice.monitor.used", { "sluice.resource": "descriptors" }), [])
    })))

  it.effect("leave out the names of the runtime if an SDK records them", () =>
    monitored(
      Effect.gen(function*() {
        yield* tick
        const ids = (yield* allSeries).map(({ id }) => id)
        assert.isEmpty(ids.filter((id) => /^(process|nodejs|v8js)\./.test(id)))
        assert.include(ids, "sluice.monitor.level")
      }),
      { runtimeMetrics: false }
    ))

  it.effect("are not recorded without metrics", () =>
    monitored(
      Effect.gen(function*() {
        yield* ConnectionPool.make({ name: "silent", connector: Scripted.make().connector })
        yield* tick
        assert.deepStrictEqual(yield* allSeries, [])
      }),
      { metrics: false }
    ))
})

describe("the metrics of a breaker", () => {
  it.effect("are its open circuits and its transitions, under the name of the pool", () =>
    run(Effect.gen(function*() {
      const breaker = Breaker.make({ consecutiveFailures: 1 })
      const scripted = Scripted.make({ open: () => Effect.fail(new Scripted.ScriptedFailure("ECONNREFUSED")) })
      const pool = yield* ConnectionPool.make({
        name: "broken",
        connector: scripted.connector,
        retry: RetryPolicy.make({ ...RetryPolicy.tcpConnection, breaker })
      })
      yield* fork(Effect.exit(ConnectionPool.use(pool, "a", () => Effect.void)))
      yield* settle
      yield* tick
      assert.deepStrictEqual(yield* valuesOf("sluice.breaker.open", { "sluice.breaker": "broken" }), [1])
      const [opened] = yield* valuesOf("sluice.breaker.transitions", {
        "sluice.breaker": "broken",
        "sluice.breaker.state": "open"
      })
      assert.isAbove(opened ?? 0, 0)
    })))
})

describe("every series", () => {
  it.effect("has a unit and a description, which are the same in all series of a metric", () =>
    run(Effect.gen(function*() {
      const pool = yield* ConnectionPool.make({ name: "described", connector: Scripted.make().connector })
      yield* ConnectionPool.use(pool, "a", () => Effect.void)
      yield* tick
      const known = new Map<string, string>()
      for (const { attributes, description, id, type } of yield* Metric.snapshot) {
        const facts = `${type} ${attributes?.["unit"]} ${description}`
        assert.isNotEmpty(attributes?.["unit"] ?? "", id)
        assert.isNotEmpty(description ?? "", id)
        assert.strictEqual(known.get(id) ?? facts, facts, id)
        known.set(id, facts)
      }
      assert.isAbove(known.size, 20)
    })))
})
