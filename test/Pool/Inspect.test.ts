/**
 * What a pool shows to an operator.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Duration, Effect, Fiber, Layer, Tracer } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Endpoint from "effect-sluice/Endpoint"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { TestClock } from "effect/testing"
import { invalidOption } from "../support/InvalidOption.ts"
import { fork, hold, id, settle, test } from "../support/Pools.ts"
import * as Scripted from "../support/ScriptedConnector.ts"

const { connector } = Scripted.make()

describe("inspect", () => {
  it.effect("shows the longest holders, with span, attributes, site and age", () =>
    test(Effect.gen(function*() {
      const pool = yield* ConnectionPool.make({ connector, name: "shown" })
      const latch = yield* Deferred.make<void>()
      const load = ConnectionPool.use(pool, "a", () => Deferred.await(latch))
      const first = yield* fork(Effect.withSpan(load, "load", { attributes: { table: "orders", rows: 5 } }))
      yield* TestClock.adjust("3 seconds")
      const second = yield* fork(hold(pool, "b", latch))
      yield* TestClock.adjust("1 second")
      const { endpoints, holders, name, oldestLease } = yield* ConnectionPool.inspect(pool)
      assert.strictEqual(name, "shown")
      assert.strictEqual(oldestLease && Duration.toSeconds(oldestLease), 4)
      assert.sameMembers(endpoints.map(({ label }) => label), ["a", "b"])
      assert.deepStrictEqual(
        holders.map(({ age, attributes, endpoint, span }) => [endpoint, span, attributes, Duration.toSeconds(age)]),
        [["a", "load", { table: "orders", rows: "5" }, 4], ["b", undefined, {}, 1]]
      )
      assert.match(holders[0]?.site ?? "", /Inspect\.test\.ts:\d+:\d+/)
      assert.deepStrictEqual((yield* pool.pipe(ConnectionPool.inspect(1))).holders.map(({ endpoint }) => endpoint), [
        "a"
      ])
      assert.deepStrictEqual((yield* ConnectionPool.inspect(pool, 0)).endpoints, [])
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.joinAll([first, second])
      assert.deepInclude(yield* ConnectionPool.inspect(pool), { holders: [], oldestLease: undefined })
    })))

  it.effect("shows the address of an endpoint, and refuses a number of rows that is none", () =>
    test(Effect.gen(function*() {
      const pool = yield* ConnectionPool.make({
        connector: { open: (key: Endpoint.TcpEndpoint) => Effect.succeed({ key }) }
      })
      yield* ConnectionPool.get(pool, Endpoint.tcp("db.test", 5432))
      const { endpoints } = yield* ConnectionPool.inspect(pool)
      assert.deepStrictEqual(endpoints.map(({ address }) => address), [{ host: "db.test", port: 5432 }])
      for (const most of [-1, 1.5, Infinity, NaN]) {
        assert.include((yield* invalidOption(ConnectionPool.inspect(pool, most))).message, "option most is")
      }
    })))

  it.effect("shows no secret, no control character and no long text of a holder", () =>
    test(Effect.gen(function*() {
      const pool = yield* ConnectionPool.make({ connector })
      const attributes = {
        "password": "geheim1",
        "db.url": "postgres://me:geheim2@db/orders",
        "http.request.header.cookie": "geheim3",
        "url.query": "key=geheim4",
        "db.query.text": "select 'geheim5'",
        "deep": { apiKey: "geheim6" },
        "colour": "\u001b[31mred\n",
        "long": "x".repeat(10_000),
        ...Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`attribute ${index}`, index]))
      }
      const name = `Bearer geheim7geheim7\n${"y".repeat(10_000)}`
      const { holders: [holder] } = yield* Effect.withSpan(
        ConnectionPool.use(pool, "a", () => ConnectionPool.inspect(pool)),
        name,
        { attributes }
      )
      const text = JSON.stringify([holder?.attributes, holder?.span])
      assert.notInclude(text, "geheim")
      assert.notMatch(Object.values(holder?.attributes ?? {}).join(), /\p{Cc}/u)
      assert.isAtMost(Object.keys(holder?.attributes ?? {}).length, 16)
      assert.isBelow(text.length, 4000)
      assert.strictEqual(holder?.attributes["password"], "***")
    })))

  it.effect("is a member of a service", () =>
    Effect.gen(function*() {
      class Orders extends ConnectionPool.Service<Orders>()("test/Inspected", { connector, endpoint: "orders" }) {}
      const layer = Layer.provide(Orders.layer, ResourceMonitor.layerUnlimited)
      const shown = Orders.withConnection(() => Orders.inspect(5))
      const { holders, name } = yield* Effect.provide(shown, layer)
      assert.deepStrictEqual([name, holders.length], ["test/Inspected", 1])
    }))

  it.effect("ages the queue of each endpoint and of the pool", () =>
    test(Effect.gen(function*() {
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1 })
      const latch = yield* Deferred.make<void>()
      const holder = yield* fork(hold(pool, "a", latch))
      yield* settle
      const waiter = yield* fork(ConnectionPool.use(pool, "a", id))
      yield* TestClock.adjust("2 seconds")
      const { endpoints: [endpoint], oldestWait } = yield* ConnectionPool.inspect(pool)
      assert.deepStrictEqual([endpoint?.oldestWait, oldestWait], [Duration.seconds(2), Duration.seconds(2)])
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.joinAll([holder, waiter])
    })))
})

class Pool extends ConnectionPool.Service<Pool>()("test/Routes", { connector, endpoint: "db", maxConnections: 1 }) {}

/** What a route answers that inspects the pool while it holds a connection. */
const answerOf = (services: Context.Context<never>, path: string) =>
  Effect.gen(function*() {
    const inspected = Pool.withConnection(() => Effect.map(Pool.inspect(), ({ holders }) => holders))
    const reply = Effect.map(inspected, (holders) => HttpServerResponse.jsonUnsafe(holders))
    const routes = HttpRouter.use((router) =>
      Effect.gen(function*() {
        const ready = Effect.provideService(reply, Pool, yield* Pool)
        yield* router.add("GET", "/report/:id", ready)
        yield* router.add("POST", "/inner", Effect.withSpan(ready, "load report"))
      })
    ).pipe(
      Layer.provide(Pool.layer),
      Layer.provide(ResourceMonitor.layerUnlimited),
      Layer.provide(Layer.succeedContext(services))
    )
    const { dispose, handler } = HttpRouter.toWebHandler(routes, { disableLogger: true })
    const method = path === "/inner" ? "POST" : "GET"
    const response = yield* Effect.promise(() =>
      handler(new Request(`http://localhost${path}?token=geheim`, { method }))
    )
    const answer: unknown = yield* Effect.promise(() => response.json())
    yield* Effect.promise(() => dispose())
    return (answer as ReadonlyArray<ConnectionPool.InspectedHolder>)[0]
  })

const exporting = Tracer.make({ span: (options) => new Tracer.NativeSpan(options) })

describe("a holder that serves an HTTP request", () => {
  for (
    const [what, services] of Object.entries({
      "without a tracer": Context.empty(),
      "with a tracer that exports spans": Context.make(Tracer.Tracer, exporting)
    })
  ) {
    it.live(`is shown with its route ${what}`, () =>
      Effect.gen(function*() {
        const holder = yield* answerOf(services, "/report/5")
        assert.strictEqual(holder?.span, "GET /report/:id")
        assert.deepInclude(holder?.attributes, { "http.request.method": "GET", "http.route": "/report/:id" })
        assert.match(holder?.site ?? "", /Inspect\.test\.ts/)
        const inner = yield* answerOf(services, "/inner")
        assert.strictEqual(inner?.span, "POST /inner")
        assert.deepInclude(inner?.attributes, { "span.name": "load report", "http.route": "/inner" })
        assert.notInclude(JSON.stringify([holder, inner]), "geheim")
      }))
  }
})
