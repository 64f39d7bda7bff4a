/**
 * An API whose database is too small: requests get 503 and `Retry-After` while it is saturated, the probes say so, and an operator
 * suspends and resumes the pool with a token.
 *
 * Run it with `node examples/operations-http.ts` after `npm run build`.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Console, Effect, Fiber, Latch, Layer, Redacted } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as Operations from "effect-sluice/Operations"
import * as OperationsHttp from "effect-sluice/OperationsHttp"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { createServer } from "node:http"

/** A pool of one connection, in place of one to your database. */
class Orders extends ConnectionPool.Service<Orders>()("orders", {
  connector: Connector.make({ open: (name: string) => Effect.succeed({ name }) }),
  maxPerEndpoint: 1,
  acquireTimeout: "200 millis"
}) {}

/** The handler knows nothing of 503: `respond` answers where there is no connection. */
const Api = HttpRouter.add(
  "GET",
  "/report",
  Effect.as(Orders.withConnection("db", () => Effect.void), HttpServerResponse.text("the report"))
).pipe(Layer.provide(HttpRouter.middleware(OperationsHttp.respond).layer))

const token = "correct-horse-battery-staple"

/** The API on a port of its own, and the routes of the operator on another one, which lives longer. */
const App = HttpRouter.serve(Api, { disableLogger: true, disableListenLog: true }).pipe(
  Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })),
  Layer.provideMerge(Orders.layer),
  Layer.provideMerge(OperationsHttp.layerServer({ port: 0, required: ["orders"], token: Redacted.make(token) })),
  Layer.provideMerge(Operations.layer),
  Layer.provideMerge(ResourceMonitor.layer)
)

/** What a server answers to a request. */
const ask = Effect.fnUntraced(function*(request: HttpClientRequest.HttpClientRequest) {
  const { headers, status, text } = yield* HttpClient.execute(request)
  return { status, retryAfter: headers["retry-after"], body: yield* text }
})

const get = (url: string) => ask(HttpClientRequest.get(url))

const program = Effect.gen(function*() {
  const api = yield* HttpServer.addressFormattedWith(Effect.succeed)
  const { url } = yield* OperationsHttp.Server

  const saturated = yield* Latch.make()
  const holder = yield* Effect.forkChild(Orders.withConnection("db", () => saturated.await), {
    startImmediately: true
  })
  const refused = yield* get(`${api}/report`)
  yield* Console.log(`saturated: ${refused.status}, Retry-After: ${refused.retryAfter}`)
  yield* saturated.open
  yield* Fiber.join(holder)
  yield* Console.log(`again: ${(yield* get(`${api}/report`)).status}`)

  const control = (name: string) => HttpClientRequest.post(`${url}pools/orders/${name}`)
  const allowed = (name: string) => HttpClientRequest.bearerToken(control(name), token)
  yield* Console.log(`without the token: ${(yield* ask(control("suspend"))).status}`)
  yield* Console.log(`suspend: ${(yield* ask(allowed("suspend"))).status}`)
  const suspended = yield* get(`${url}readyz`)
  yield* Console.log(`not ready: ${suspended.status} ${suspended.body}`)
  yield* Console.log(`resume: ${(yield* ask(allowed("resume"))).status}`)

  const { body } = yield* get(`${url}metrics`)
  yield* Console.log(body.split("\n").filter((line) => line.includes("use_time_seconds_count")).join("\n"))
}).pipe(Effect.provide(Layer.merge(App, FetchHttpClient.layer)))

await Effect.runPromise(program)
