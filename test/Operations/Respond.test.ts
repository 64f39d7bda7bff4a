/** Requests that fail for lack of a connection are answered with 503 and `Retry-After`. */
import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Latch, Layer, Random, Schema } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as Failure from "effect-sluice/Failure"
import * as OperationsHttp from "effect-sluice/OperationsHttp"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApiGroup } from "effect/http-api"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import { createServer } from "node:http"
import { request } from "./Requests.ts"

const connector = Connector.make({ open: (key: string) => Effect.succeed({ key }) })

/** A pool of one connection, whose borrowers wait for 100 ms. */
const saturable = ConnectionPool.make({ name: "db", connector, maxPerEndpoint: 1, maxTotal: 1, acquireTimeout: 100 })

class Database extends ConnectionPool.Service<Database>()("Database", {
  connector,
  maxPerEndpoint: 1,
  maxTotal: 1,
  acquireTimeout: 100
}) {}

const url = Effect.map(HttpServer.HttpServer, ({ address }) => `${HttpServer.formatAddress(address)}/`)

const node = NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1", gracefulShutdownTimeout: 0 })

const Api = HttpApi.make("api").add(
  HttpApiGroup.make("reports").add(
    HttpApiEndpoint.get("report", "/report", { success: Schema.String }),
    HttpApiEndpoint.get("health", "/health", { success: Schema.String })
  )
)

const Handlers = HttpApiBuilder.group(Api, "reports", (handlers) =>
  handlers
    .handle("report", () => Effect.orDie(Database.withConnection("db", () => Effect.succeed("a report"))))
    .handle("health", () => Effect.succeed("fine")))

const seconds = (text: unknown): number => Number(text)

describe("an API whose pool is saturated", () => {
  it.live("answers 503 with Retry-After, and again 200 when there is room", () =>
    Effect.gen(function*() {
      const at = yield* url
      const latch = yield* Latch.make()
      const held = yield* Effect.forkChild(Database.withConnection("db", () => latch.await), { startImmediately: true })
      const answers = yield* Effect.all(Array.from({ length: 5 }, () => request(`${at}report`)), {
        concurrency: "unbounded"
      })
      for (const { body, headers, status } of answers) {
        assert.strictEqual(status, 503)
        assert.isTrue([2, 3, 4].includes(seconds(headers["retry-after"])), headers["retry-after"])
        assert.match(body, /try again in \d s/)
      }
      assert.strictEqual((yield* request(`${at}health`)).status, 200)
      yield* latch.open
      yield* Fiber.join(held)
      assert.strictEqual((yield* request(`${at}report`)).status, 200)
    }).pipe(
      Effect.provide(
        HttpRouter.serve(
          Layer.mergeAll(
            HttpApiBuilder.layer(Api).pipe(Layer.provide(Handlers)),
            HttpRouter.middleware(OperationsHttp.respond, { global: true })
          ),
          { disableLogger: true, disableListenLog: true }
        ).pipe(
          Layer.provideMerge(node),
          Layer.provideMerge(Database.layer),
          Layer.provide(ResourceMonitor.layerUnlimited)
        )
      )
    ))

  it.live("is an empty 500 without it", () =>
    Effect.gen(function*() {
      const at = yield* url
      const held = yield* Effect.forkChild(Database.withConnection("db", () => Effect.never), {
        startImmediately: true
      })
      const { body, status } = yield* request(`${at}report`)
      assert.deepStrictEqual([status, body], [500, ""])
      held.interruptUnsafe()
    }).pipe(
      Effect.provide(
        HttpRouter.serve(HttpApiBuilder.layer(Api).pipe(Layer.provide(Handlers)), {
          disableLogger: true,
          disableListenLog: true
        }).pipe(
          Layer.provideMerge(node),
          Layer.provideMerge(Database.layer),
          Layer.provide(ResourceMonitor.layerUnlimited)
        )
      )
    ))
})

/** What a request that fails in this way is answered with: the status, or how it fails if it is not answered. */
const answered = <E>(failing: Effect.Effect<never, E>) =>
  OperationsHttp.respond(failing).pipe(
    Effect.map(({ headers, status }) => ({ status, after: seconds(headers["retry-after"]) })),
    Random.withSeed("seed")
  )

const counts = { total: 1, active: 1, idle: 0, connecting: 0, closing: 0, leftBehind: 0, waiting: 1 }

const unavailable = (retryAfter: Duration.Input) =>
  new ConnectionPool.PoolError({
    reason: new ConnectionPool.EndpointUnavailable({
      key: "db",
      retryAfter: Duration.fromInputUnsafe(retryAfter),
      failures: 1,
      elapsed: Duration.zero,
      endpoint: counts,
      isRetryable: true,
      cause: undefined
    })
  })

const retryError = (code: string, cause: unknown, retryAfter?: Duration.Input) =>
  new RetryPolicy.RetryError({
    reason: new RetryPolicy.NotRetryable({
      label: "query",
      attempts: 1,
      elapsed: Duration.zero,
      failure: Failure.classify(Object.assign(new Error(code), { code })),
      cause,
      ...(retryAfter === undefined ? {} : { retryAfter: Duration.fromInputUnsafe(retryAfter) })
    })
  })

const sqlError = (cause: unknown) => new SqlError({ reason: new ConnectionError({ cause, message: "no connection" }) })

type Failing = Effect.Effect<
  never,
  ConnectionPool.PoolError | RetryPolicy.RetryError | SqlError | AggregateError | string
>

describe("an error", () => {
  const overloads: ReadonlyArray<readonly [name: string, failing: Failing]> = [
    ["a failure", Effect.fail(unavailable("1 second"))],
    ["a defect", Effect.die(unavailable("1 second"))],
    ["the cause of an SqlError", Effect.fail(sqlError(unavailable("1 second")))],
    ["the cause of an SqlError that is a defect", Effect.die(sqlError(unavailable("1 second")))],
    ["the cause of an Error", Effect.die(new Error("no", { cause: new Error("no", { cause: unavailable(1000) }) }))],
    ["one of many", Effect.fail(new AggregateError([new Error("a"), unavailable("1 second")]))],
    ["a retried query", Effect.fail(retryError("ECONNRESET", new Error("reset"), "1 second"))],
    ["a retried query of a pool", Effect.fail(retryError("EACCES", unavailable("1 second")))]
  ]

  it.effect.each(overloads)("that is %s is answered with 503", ([, failing]) =>
    Effect.gen(function*() {
      const { after, status } = yield* answered(failing)
      assert.strictEqual(status, 503)
      assert.isTrue(after === 1 || after === 2, String(after))
    }))

  const others: ReadonlyArray<readonly [name: string, failing: Failing]> = [
    ["another failure", Effect.fail("no")],
    ["another defect", Effect.die(new Error("no"))],
    ["an SqlError", Effect.fail(sqlError(new Error("no")))],
    ["a retried query that fails for good", Effect.fail(retryError("EACCES", new Error("no")))],
    ["an interruption", Effect.interrupt]
  ]

  it.effect.each(others)("that is %s stays as it is", ([, failing]) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* Effect.exit(answered(failing)), yield* Effect.exit(failing))
    }))

  it.effect("that refers to itself stays as it is", () =>
    Effect.gen(function*() {
      const error: Error & { cause?: unknown } = new Error("no")
      error.cause = new AggregateError([error], "no", { cause: error })
      assert.strictEqual(yield* Effect.flip(answered(Effect.fail(error))), error)
    }))
})

describe("what the answer says", () => {
  const timeout = (stalledBy: ConnectionPool.StalledBy, cause: unknown, isServerFull = false) =>
    new ConnectionPool.PoolError({
      reason: new ConnectionPool.AcquireTimeout({
        key: "db",
        after: Duration.seconds(1),
        stalledBy,
        position: 1,
        endpoint: counts,
        pool: counts,
        holders: [],
        isServerFull,
        cause
      })
    })
  const connectFailed = (code: string) =>
    new ConnectionPool.PoolError({
      reason: new ConnectionPool.ConnectFailed({ key: "db", cause: Object.assign(new Error(code), { code }) })
    })
  const suspended = new ConnectionPool.PoolError({ reason: new ConnectionPool.PoolSuspended({ key: "db" }) })
  const refused = new Error("refused")

  const cases: ReadonlyArray<readonly [name: string, failing: Failing, isDown: boolean]> = [
    ["an endpoint that is unavailable", Effect.fail(unavailable("1 second")), true],
    ["the cause of an SqlError", Effect.fail(sqlError(unavailable("1 second"))), true],
    ["a wait for a dial that fails", Effect.fail(timeout("Connecting", refused)), true],
    ["a wait for a dial of which nothing is known", Effect.fail(timeout("Connecting", undefined)), false],
    ["a wait for a server that is full", Effect.fail(timeout("Connecting", refused, true)), false],
    ["a wait for a connection in use, after an old failure", Effect.fail(timeout("EndpointCap", refused)), false],
    ["a connect that is refused", Effect.fail(connectFailed("ECONNREFUSED")), true],
    ["a connect without a descriptor", Effect.fail(connectFailed("EMFILE")), false],
    ["a connect to a PostgreSQL without a session", Effect.fail(connectFailed("53300")), false],
    ["a pool that is suspended", Effect.fail(suspended), false],
    ["a retried query whose connection is lost", Effect.fail(retryError("ECONNRESET", new Error("reset"))), true],
    ["a retried query to a server that is full", Effect.fail(retryError("53300", new Error("full"))), false],
    ["a retried query of a suspended pool", Effect.fail(retryError("ECONNRESET", suspended)), false]
  ]

  it.effect.each(cases)("for %s", ([, failing, isDown]) =>
    Effect.gen(function*() {
      const json = OperationsHttp.respondWith((unavailable) =>
        HttpServerResponse.jsonUnsafe({ isDown: unavailable.isDown, after: unavailable.retryAfter }, { status: 503 })
      )
      const response = HttpServerResponse.toWeb(yield* json(failing))
      const after = Number(response.headers.get("retry-after"))
      assert.isAtLeast(after, 1)
      assert.deepStrictEqual(yield* Effect.promise(() => response.json()), { isDown, after })
      assert.strictEqual(response.headers.get("cache-control"), "no-store")
      const plain = HttpServerResponse.toWeb(yield* OperationsHttp.respond(failing))
      assert.match(
        yield* Effect.promise(() => plain.text()),
        isDown ? /is not available; try again in \d+ s\n$/ : /no connection to spare; try again in \d+ s\n$/
      )
      assert.deepStrictEqual([plain.status, plain.headers.get("cache-control")], [503, "no-store"])
    }))
})

describe("Retry-After", () => {
  const after = (retryAfter: Duration.Input, seed: string) =>
    OperationsHttp.respond(Effect.fail(unavailable(retryAfter))).pipe(
      Effect.map(({ headers }) => seconds(headers["retry-after"])),
      Random.withSeed(seed)
    )
  const range = (retryAfter: Duration.Input) =>
    Effect.map(
      Effect.forEach(Array.from({ length: 200 }, (_, seed) => String(seed)), (seed) => after(retryAfter, seed)),
      (all) => [Math.min(...all), Math.max(...all), new Set(all).size]
    )

  it.effect("is at least the time until the next attempt, and spread", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* range("10 seconds"), [10, 20, 11])
      assert.deepStrictEqual(yield* range("1 milli"), [1, 2, 2])
      assert.deepStrictEqual(yield* range(2100), [3, 6, 4])
    }))

  it.effect("is at least the time until the next attempt, or a minute if that is longer", () =>
    Effect.gen(function*() {
      const [least, most] = yield* range("1 hour")
      assert.strictEqual(least, 60)
      assert.isAtMost(most ?? 0, 121)
    }))

  it.effect("is there for every error of a pool", () =>
    Effect.gen(function*() {
      const pool = yield* saturable
      yield* ConnectionPool.suspend(pool, { mode: "fail" })
      const suspended = ConnectionPool.use(pool, "db", () => Effect.succeed(HttpServerResponse.empty()))
      const response = yield* OperationsHttp.respond(suspended)
      assert.strictEqual(response.status, 503)
      assert.isAtLeast(seconds(response.headers["retry-after"]), 2)
    }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerUnlimited)))
})
