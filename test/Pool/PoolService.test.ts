/**
 * A pool as a service: its members with and without keys, where its options come from, and its name.
 */
import { assert, describe, it } from "@effect/vitest"
import {
  Cause,
  Config,
  ConfigProvider,
  Context,
  Deferred,
  Effect,
  Exit,
  Fiber,
  Layer,
  Metric,
  Option,
  Tracer
} from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as PoolTelemetry from "effect-sluice/PoolTelemetry"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { TypeId } from "../../src/Pool/PoolRegistry.ts"
import { invalidOption } from "../support/InvalidOption.ts"
import { fork, id, settle, test } from "../support/Pools.ts"
import * as Scripted from "../support/ScriptedConnector.ts"

const built = <A, E, R>(layer: Layer.Layer<A, E, R>) =>
  layer.pipe(Layer.provide(ResourceMonitor.layerUnlimited), Layer.fresh)

const named = Connector.make({ open: (name: string) => Effect.succeed({ name }) })
const nameOf = ({ name }: { readonly name: string }) => Effect.succeed(name)

const from = (values: Record<string, unknown>) => ConfigProvider.layer(ConfigProvider.fromUnknown(values))

describe("a service with one endpoint", () => {
  class Orders extends ConnectionPool.Service<Orders>()("test/Orders", {
    connector: named,
    endpoint: "orders",
    maxConnections: 3
  }) {}

  it.effect("has no member that takes a key", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* Orders.withConnection(nameOf), "orders")
      const scoped = Effect.flatMap(Orders.connection(), (connection) =>
        Effect.as(Orders.invalidate(connection), connection))
      assert.deepStrictEqual(yield* Effect.scoped(scoped), { name: "orders" })
      assert.strictEqual(yield* Orders.health(), "Healthy")
      assert.deepInclude(yield* Orders.stats, { borrowed: 2, maxPerEndpoint: 3, maxTotal: 3, closed: 1 })
      yield* Orders.withConnection(nameOf)
      yield* Orders.evict()
      assert.deepInclude(yield* Orders.stats, { total: 0, closed: 2 })
    }).pipe(Effect.provide(built(Orders.layer))))

  it.effect("takes the options of a borrow, and is drained and recalled as any pool", () =>
    Effect.gen(function*() {
      const wrapper = (): Effect.Effect<unknown, ConnectionPool.PoolError, Orders> =>
        Orders.withConnection((connection) => Orders.recalled(connection), { site: wrapper, standing: true })
      const scoped = Orders.connection({ standing: true }).pipe(Effect.flatMap(Orders.recalled), Effect.scoped)
      const listeners = [yield* fork(wrapper()), yield* fork(scoped)]
      yield* settle
      assert.deepInclude(yield* Orders.stats, { active: 2 })
      yield* Orders.drain("1 hour")
      assert.deepStrictEqual(yield* Fiber.joinAll(listeners), ["Draining", "Draining"])
    }).pipe(Effect.provide(built(Orders.layer))))

  it.effect("names the line that asked, also by the options", () =>
    Effect.gen(function*() {
      const monitor = yield* ResourceMonitor.ResourceMonitor
      const wrapper = (): Effect.Effect<unknown, ConnectionPool.PoolError, Orders | import("effect").Scope.Scope> =>
        Orders.connection({ site: wrapper })
      const callOfWrapper = Effect.scoped(Effect.andThen(wrapper(), monitor.topSites(1)))
      const [site] = yield* callOfWrapper
      assert.match(site?.site ?? "", /PoolService\.test\.ts:\d+/)
      assert.notInclude(site?.site, "wrapper")
      yield* Orders.evict()
      const helper = (): Effect.Effect<string | undefined, ConnectionPool.PoolError, Orders> =>
        Orders.withConnection(() => Effect.map(Orders.inspect(), ({ holders: [holder] }) => holder?.site), {
          site: helper
        })
      const handler = () => helper()
      assert.match((yield* handler()) ?? "", /^handler \(.*PoolService\.test\.ts:\d+:\d+\)$/)
      yield* Orders.evict()
      const caller = () => Effect.scoped(Effect.andThen(Orders.connection(), monitor.topSites(1)))
      assert.include((yield* caller())[0]?.site, "caller")
    }).pipe(Effect.provide(Layer.fresh(Layer.provideMerge(Orders.layer, ResourceMonitor.layerUnlimited)))))

  it.effect("has another connector in a test, which requires nothing of the first", () =>
    Effect.gen(function*() {
      class Password extends Context.Service<Password, string>()("test/Password") {}
      class Users extends ConnectionPool.Service<Users>()("test/Users", {
        connector: Connector.make({ open: (name: string) => Effect.map(Password, () => ({ name })) }),
        endpoint: "users"
      }) {}
      const layer = Users.layerWith(
        Connector.make({ open: (name: string) => Effect.succeed({ name: `fake ${name}` }) })
      )
      assert.strictEqual(yield* Users.withConnection(nameOf).pipe(Effect.provide(built(layer))), "fake users")
    }))

  it.effect("says what is missing where it is provided by a pool that was made without the endpoint", () =>
    test(Effect.gen(function*() {
      const pool = yield* ConnectionPool.make({ connector: named })
      const error = yield* invalidOption(
        Orders.withConnection(nameOf).pipe(Effect.provideService(Orders, pool))
      )
      assert.include(error.message, "ConnectionPool: option endpoint is undefined, but it must be given")
      const one = yield* ConnectionPool.make({ connector: named, endpoint: "users" })
      const name = yield* Orders.withConnection(nameOf).pipe(Effect.provideService(Orders, one))
      assert.strictEqual(name, "users")
    })))
})

describe("a service with many endpoints", () => {
  class Databases extends ConnectionPool.Service<Databases>()("test/Databases", { connector: named }) {}

  it.effect("has members that take a key, which may have any field", () =>
    Effect.gen(function*() {
      yield* Databases.withConnection("a", nameOf)
      yield* Databases.withConnection("b", nameOf)
      assert.strictEqual(yield* Databases.health("a"), "Healthy")
      yield* Databases.evict("a")
      assert.deepStrictEqual([...(yield* Databases.stats).endpoints.keys()], ["b"])
      yield* Databases.evict()
      assert.deepInclude(yield* Databases.stats, { total: 0 })
    }).pipe(Effect.provide(built(Databases.layer))))

  it.effect("takes no key for options", () => {
    interface Key {
      readonly site: () => string
      readonly standing: boolean
    }
    class Odd extends ConnectionPool.Service<Odd>()("test/Odd", {
      connector: Connector.make({ open: (key: Key) => Effect.succeed({ name: key.site() }) }),
      leakThreshold: "1 second"
    }) {}
    return Effect.gen(function*() {
      const connection = yield* Odd.connection({ site: () => "east", standing: true })
      assert.strictEqual(connection.name, "east")
      const pool = yield* Odd
      const [lease] = [...pool[TypeId].core.leases(1)]
      assert.match(lease?.site ?? "", /PoolService\.test\.ts/)
    }).pipe(Effect.scoped, Effect.provide(built(Odd.layer)))
  })
})

describe("the options of a service", () => {
  class Secrets extends Context.Service<Secrets, { readonly password: string }>()("test/Secrets") {}

  it.effect("may be an effect, whose requirements and failures are the layer's", () =>
    Effect.gen(function*() {
      let reads = 0
      const options = Effect.flatMap(Secrets, ({ password }) => {
        reads++
        if (password === "") return Effect.fail("no password" as const)
        return Effect.succeed({
          connector: Connector.make({ open: (host: string) => Effect.succeed({ name: `${host} ${password}` }) }),
          endpoint: "db"
        })
      })
      class Orders extends ConnectionPool.Service<Orders>()("test/Orders", options) {}
      const with_ = (password: string) => built(Layer.provide(Orders.layer, Layer.succeed(Secrets, { password })))
      const twice = Effect.andThen(Orders.withConnection(nameOf), Orders.withConnection(nameOf))
      assert.strictEqual(yield* Effect.provide(twice, with_("secret")), "db secret")
      assert.strictEqual(reads, 1, "once for the layer, not for each borrow")
      assert.strictEqual(yield* Effect.flip(Effect.provide(twice, with_(""))), "no password")
    }))

  class Orders extends ConnectionPool.Service<Orders>()("test/Orders", {
    connector: named,
    endpoint: "orders",
    maxTotal: 7
  }) {}

  const configured = ConnectionPool.layerConfig(Orders, {
    endpoint: Config.withDefault(Config.String("HOST"), "localhost"),
    maxPerEndpoint: Config.Int("CONNECTIONS"),
    idleTimeout: Config.withDefault(Config.Duration("IDLE"), "1 minute"),
    name: Config.withDefault(Config.String("NAME"), undefined)
  })

  it.effect("come from Config, before those of the program", () =>
    Effect.gen(function*() {
      const program = Effect.all([
        Orders.withConnection(nameOf),
        Effect.map(Orders.stats, ({ maxPerEndpoint, maxTotal }) => [
          maxPerEndpoint,
          maxTotal
        ])
      ])
      const provided = program.pipe(
        Effect.provide(built(Layer.provide(configured, from({ CONNECTIONS: "4", HOST: "db" }))))
      )
      assert.deepStrictEqual(yield* provided, ["db", [4, 7]])
      const other = program.pipe(Effect.provide(built(Layer.provide(configured, from({ CONNECTIONS: "5" })))))
      assert.deepStrictEqual(yield* other, ["localhost", [5, 7]])
      const name = Effect.map(Orders, (pool) => pool[TypeId].registered.settings.name)
      const nameFrom = (values: Record<string, unknown>) =>
        name.pipe(Effect.provide(built(Layer.provide(configured, from({ CONNECTIONS: "4", ...values })))))
      assert.strictEqual(yield* nameFrom({ NAME: "orders" }), "orders")
      assert.strictEqual(yield* nameFrom({}), "test/Orders", "what is undefined is not given")
    }))

  it.effect("from Config may be those of the retry policy, over the policy of the program", () =>
    Effect.gen(function*() {
      class Users extends ConnectionPool.Service<Users>()("test/Users", {
        connector: named,
        retry: RetryPolicy.make({ ...RetryPolicy.network, factor: 3 }),
        maxRedialDelay: "Infinity"
      }) {}
      const layer = ConnectionPool.layerConfig(Users, { retry: { maxAttempts: Config.Int("ATTEMPTS") } })
      const policy = Effect.map(Users, (pool) => pool[TypeId].registered.settings.retry)
      const read = (values: Record<string, unknown>) =>
        policy.pipe(Effect.provide(built(Layer.provide(layer, from(values)))))
      const { factor, maxAttempts } = yield* read({ ATTEMPTS: "9" })
      assert.deepStrictEqual([factor, maxAttempts], [3, 9])
      assert.include((yield* Effect.flip(read({ ATTEMPTS: "0" }))).message, "RetryPolicy: option maxAttempts is 0")
    }))

  it.effect("from Config that are missing, unreadable or invalid are a ConfigError", () =>
    Effect.gen(function*() {
      const failures = [
        [{}, "CONNECTIONS"],
        [{ CONNECTIONS: "many" }, "CONNECTIONS"],
        [{ CONNECTIONS: "0" }, "option maxPerEndpoint is 0, but it must be a whole number of at least 1"],
        [{ CONNECTIONS: "8" }, "option maxPerEndpoint is 8, but it must be at most maxTotal, which is 7"],
        [{ CONNECTIONS: "1", NAME: "a\nb" }, "option name is"]
      ] as const
      for (const [values, message] of failures) {
        const exit = yield* Effect.exit(Effect.scoped(Layer.build(built(Layer.provide(configured, from(values))))))
        if (Exit.isSuccess(exit)) return assert.fail(`${JSON.stringify(values)} is no failure`)
        const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
        assert.strictEqual(error?._tag, "ConfigError")
        assert.include(error?.message, message)
      }
    }))

  it.effect("that are wrong in the program are a defect", () =>
    Effect.gen(function*() {
      class Wrong extends ConnectionPool.Service<Wrong>()("test/Wrong", { connector: named, maxTotal: 0 }) {}
      const error = yield* invalidOption(Effect.scoped(Layer.build(built(Wrong.layer))))
      assert.include(error.message, "ConnectionPool: option maxTotal is 0")
    }))
})

describe("maxConnections", () => {
  it.effect("is both caps, and may be repeated by each of them", () =>
    test(Effect.gen(function*() {
      for (const options of [{}, { maxPerEndpoint: 8 }, { maxTotal: 8, maxPerEndpoint: 8 }]) {
        const pool = yield* ConnectionPool.make({ connector: named, maxConnections: 8, ...options })
        assert.deepInclude(yield* ConnectionPool.stats(pool), { maxPerEndpoint: 8, maxTotal: 8 })
      }
    })))

  it.effect("is refused beside another cap, and where it makes no sense", () =>
    test(Effect.gen(function*() {
      const bad = [
        [
          { maxConnections: 8, maxTotal: 9 },
          "maxConnections is 8, but it must be left out where maxTotal is given, which is 9"
        ],
        [{ maxConnections: 8, maxPerEndpoint: 2 }, "must be left out where maxPerEndpoint is given, which is 2"],
        [{ maxConnections: 0 }, "maxConnections is 0, but it must be a whole number of at least 1"],
        [{ maxConnections: 2, minPerEndpoint: 3 }, "minPerEndpoint is 3, but it must be at most maxPerEndpoint"]
      ] as const
      for (const [options, message] of bad) {
        const error = yield* invalidOption(ConnectionPool.make({ connector: named, ...options }))
        assert.include(error.message, message)
      }
    })))

  it.effect("is what resize changes as well", () =>
    test(Effect.gen(function*() {
      const pool = yield* ConnectionPool.make({ connector: named })
      yield* ConnectionPool.resize(pool, { maxConnections: 6 })
      assert.deepInclude(yield* ConnectionPool.stats(pool), { maxPerEndpoint: 6, maxTotal: 6 })
      const error = yield* invalidOption(ConnectionPool.resize(pool, { maxConnections: 6, maxTotal: 7 }))
      assert.include(error.message, "ConnectionPool.resize: option maxConnections is 6")
    })))
})

describe("the name of a pool", () => {
  it.effect("is the key of its service, or what the options say", () =>
    Effect.gen(function*() {
      class Databases extends ConnectionPool.Service<Databases>()("test/Databases", { connector: named }) {}
      class Orders extends ConnectionPool.Service<Orders>()("test/Orders", { connector: named, name: "orders" }) {}
      const names = Effect.all([Databases, Orders], { concurrency: 1 }).pipe(
        Effect.map((pools) => pools.map((pool) => pool[TypeId].registered.settings.name))
      )
      assert.deepStrictEqual(
        yield* names.pipe(Effect.provide(built(Layer.mergeAll(Databases.layer, Orders.layer)))),
        ["test/Databases", "orders"]
      )
    }))

  it.effect("has no control character and is not long", () =>
    test(Effect.gen(function*() {
      for (const name of ["", "a\nb", "a\u001B[31m", "a\u2028b", "\u0085", "x".repeat(201)]) {
        const error = yield* invalidOption(ConnectionPool.make({ connector: named, name }))
        assert.include(error.message, "it must have 1 to 200 characters, none of them a control character")
        assert.notMatch(error.message, /[\p{Cc}\u2028]/u)
      }
      yield* ConnectionPool.make({ connector: named, name: "Bestellungen (Süd)" })
    })))

  it.effect("is that of its spans and metrics", () => {
    const spans: Array<Tracer.NativeSpan> = []
    const tracer = Tracer.make({
      span: (options) => {
        const span = new Tracer.NativeSpan(options)
        spans.push(span)
        return span
      }
    })
    return test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, name: "orders", maxPerEndpoint: 1 })
      yield* Effect.withSpan(ConnectionPool.use(pool, "db", id), "route")
      const own = spans.filter(({ name }) => name.startsWith("ConnectionPool."))
      assert.deepStrictEqual(
        own.map(({ attributes, name }) => [name, ...attributes.values()]),
        [["ConnectionPool.acquire", "orders", "db"], ["ConnectionPool.connect", "orders", "db"]]
      )
      yield* pool.pipe(PoolTelemetry.record())
      yield* pool.pipe(PoolTelemetry.record({ name: "other" }))
      const names = (yield* Metric.snapshot).map(({ attributes }) => attributes?.["db.client.connection.pool.name"])
      assert.deepStrictEqual([...new Set(names)], ["orders", "other"])
    })).pipe(Effect.provideService(Metric.MetricRegistry, new Map()), Effect.provideService(Tracer.Tracer, tracer))
  })
})

describe("the functions of a pool", () => {
  it.effect("take it first or last", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxTotal: 4 })
      const stats = ConnectionPool.stats(pool)
      yield* ConnectionPool.use(pool, "a", id)
      yield* ConnectionPool.use(pool, "b", id)
      yield* pool.pipe(ConnectionPool.evict("a"))
      assert.deepInclude(yield* stats, { idle: 1 })
      yield* pool.pipe(ConnectionPool.evict())
      assert.deepInclude(yield* stats, { idle: 0 })
      yield* pool.pipe(ConnectionPool.suspend({ mode: "fail" }))
      assert.strictEqual((yield* Effect.flip(ConnectionPool.use(pool, "a", id))).reason._tag, "PoolSuspended")
      yield* pool.pipe(ConnectionPool.resume)
      yield* pool.pipe(ConnectionPool.suspend())
      assert.isTrue((yield* stats).isSuspended)
      const latch = yield* Deferred.make<void>()
      const waiting = yield* fork(ConnectionPool.use(pool, "a", () => Deferred.await(latch)))
      yield* pool.pipe(ConnectionPool.resize({ maxPerEndpoint: 3 }))
      assert.deepInclude(yield* stats, { maxPerEndpoint: 3, maxTotal: 4 })
      yield* ConnectionPool.resume(pool)
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(waiting)
    })))
})
