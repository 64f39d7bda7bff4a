/**
 * What an operator sees and does, over HTTP: probes, metrics, a status page, its JSON, and control endpoints.
 *
 * **Details**
 *
 * | route                                                | answer                                                       |
 * | ---------------------------------------------------- | ------------------------------------------------------------ |
 * | `GET /livez`                                         | 200 as long as the server answers                            |
 * | `GET /readyz`                                        | 200 or 503, with the reasons as JSON                         |
 * | `GET /metrics`                                       | all metrics of the program, for Prometheus                   |
 * | `GET /`                                              | the status page                                              |
 * | `GET /pools.json`                                    | the snapshot of `effect-sluice/Operations` as JSON           |
 * | `POST /pools/NAME/{evict,suspend,resume,drain}`      | does it; `evict?endpoint=LABEL` evicts one endpoint          |
 * | `POST /pools/NAME/leases/ID/end`                     | ends one lease                                               |
 *
 * The control endpoints need a token, and are off without one. {@link layerServer} serves all of this on a port of its own, and
 * {@link routes} adds it to the `HttpRouter` of the program.
 *
 * @since 0.1.0
 * @stability experimental
 */
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import type { HttpServerResponse } from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import { makeGuarded } from "./internal/http/Guarded.ts"
import { answerWith, overloadOf, plainAnswer, type Unavailable } from "./internal/http/Respond.ts"
import * as Routes from "./internal/http/Routes.ts"
import { type ListenFailed, serve, Server } from "./internal/http/Server.ts"
import {
  type ProbeOptions,
  probeSettings,
  type RouteOptions,
  routeSettings,
  type ServerOptions
} from "./internal/http/Settings.ts"
import { Operations } from "./Service.ts"

export { InvalidOption } from "../internal/InvalidOption.ts"
export type { Unavailable } from "./internal/http/Respond.ts"
export { ListenFailed, Server } from "./internal/http/Server.ts"
export type { ProbeOptions, Protect, RouteOptions, ServerOptions } from "./internal/http/Settings.ts"

/** What the layers of routes need. */
type Needs = HttpRouter.HttpRouter | Operations

/**
 * Adds all routes to the `HttpRouter` of the program. Invalid options are a defect, `InvalidOption`.
 *
 * **Details**
 *
 * - The probes answer any request. All other routes refuse a foreign `Host` with 421 and a foreign `Origin` with 403.
 * - `/pools.json` needs the token too, unless `protect` is `"control"`: a program that serves others must not show them its pools.
 * - None of these requests is in the log of requests.
 *
 * **Example** (Operations under a path of an API)
 *
 * ```ts
 * import { Effect, Layer, Redacted } from "effect"
 * import * as HttpRouter from "effect/http/HttpRouter"
 * import * as HttpServerResponse from "effect/http/HttpServerResponse"
 * import * as Operations from "effect-sluice/Operations"
 * import * as OperationsHttp from "effect-sluice/OperationsHttp"
 *
 * const Api = HttpRouter.add("GET", "/hello", HttpServerResponse.text("hello"))
 *
 * const App = Layer.mergeAll(
 *   Api,
 *   OperationsHttp.probes(),
 *   OperationsHttp.page({ prefix: "/operations", token: Redacted.make("correct-horse-battery-staple") })
 * ).pipe(Layer.provide(Operations.layer))
 *
 * const { dispose, handler } = HttpRouter.toWebHandler(App, { disableLogger: true })
 * const statusOf = async (path: string) => (await handler(new Request(`http://localhost${path}`))).status
 *
 * await statusOf("/livez") // => 200
 * await statusOf("/operations/pools.json") // => 401
 * await dispose()
 * ```
 *
 * @see {@link layerServer} for a server of its own
 * @category layers
 * @since 0.1.0
 * @stability experimental
 */
export const routes = (options: RouteOptions = {}): Layer.Layer<never, never, Needs> =>
  Layer.effectDiscard(Effect.gen(function*() {
    const settings = routeSettings(options)
    yield* Routes.addAll(yield* HttpRouter.HttpRouter, yield* Operations, settings)
  }))

/**
 * Adds `/livez` and `/readyz` to the `HttpRouter` of the program. Invalid options are a defect, `InvalidOption`.
 *
 * **Details**
 *
 * Neither borrows a connection or opens one. The reasons for 503 are in the body, and every client that reaches the route can read them.
 *
 * @see {@link routes}
 * @category layers
 * @since 0.1.0
 * @stability experimental
 */
export const probes = (options: ProbeOptions = {}): Layer.Layer<never, never, Needs> =>
  Layer.effectDiscard(Effect.gen(function*() {
    const settings = probeSettings(options)
    yield* Routes.addProbes(yield* HttpRouter.HttpRouter, yield* Operations, settings)
  }))

/**
 * Adds `/metrics` to the `HttpRouter` of the program: all of Effect's metrics, for Prometheus. Invalid options are a defect,
 * `InvalidOption`.
 *
 * **Details**
 *
 * The names are those that an OpenTelemetry collector gives to the metrics of Effect's own OTLP exporter, so that one dashboard serves
 * both: `db.client.connection.wait_time` is `db_client_connection_wait_time_seconds`. Counters end in `_total`, and gauges
 * without a unit in `_ratio`.
 *
 * @see {@link routes}
 * @category layers
 * @since 0.1.0
 * @stability experimental
 */
export const metrics = (options: RouteOptions = {}): Layer.Layer<never, never, HttpRouter.HttpRouter> =>
  Layer.effectDiscard(Effect.gen(function*() {
    const settings = routeSettings(options)
    yield* Routes.addMetrics(yield* HttpRouter.HttpRouter, settings, makeGuarded(settings))
  }))

/**
 * Adds the status page, `/pools.json` and the control endpoints to the `HttpRouter` of the program. Invalid options are a defect,
 * `InvalidOption`.
 *
 * @see {@link routes}
 * @category layers
 * @since 0.1.0
 * @stability experimental
 */
export const page = (options: RouteOptions = {}): Layer.Layer<never, never, Needs> =>
  Layer.effectDiscard(Effect.gen(function*() {
    const settings = routeSettings(options)
    yield* Routes.addPage(yield* HttpRouter.HttpRouter, yield* Operations, settings, makeGuarded(settings))
  }))

/**
 * Serves all routes on a port of its own. It needs `@effect/platform-node`.
 *
 * **Details**
 *
 * - It listens on 127.0.0.1, where only programs of this machine reach it. A kubelet needs `host: "0.0.0.0"`, with which
 *   `/pools.json` needs the token too.
 * - It fails with {@link ListenFailed} if it cannot listen, and dies with `InvalidOption` on invalid options.
 * - When the scope ends, it closes its port and all connections: idle ones at once, those with an answer under way after 100 ms.
 * - It has at most 64 connections, and closes one that is idle for 5 seconds, or takes 10 seconds for its request or its answer.
 * - None of its requests is traced.
 *
 * **Gotchas**
 *
 * A layer ends before those that it needs, and at the same time as those it is merged with. Provide the server to the program
 * (`Layer.provide`) to have probes and metrics until the program has ended, also while it drains.
 *
 * **Example** (A server on any free port)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import * as Operations from "effect-sluice/Operations"
 * import * as OperationsHttp from "effect-sluice/OperationsHttp"
 *
 * const program = Effect.gen(function*() {
 *   const { url } = yield* OperationsHttp.Server
 *   const response = yield* Effect.promise(() => fetch(`${url}readyz`))
 *   return response.status
 * }).pipe(
 *   Effect.provide(OperationsHttp.layerServer({ port: 0 }).pipe(Layer.provide(Operations.layer)))
 * )
 *
 * await Effect.runPromise(program) // => 200
 * ```
 *
 * @category layers
 * @since 0.1.0
 * @stability experimental
 */
export const layerServer = (options: ServerOptions = {}): Layer.Layer<Server, ListenFailed, Operations> =>
  Layer.effect(Server, Effect.suspend(() => serve(options)))

const respondTo = <E, R>(
  app: Effect.Effect<HttpServerResponse, E, R>,
  answer: (unavailable: Unavailable) => HttpServerResponse
): Effect.Effect<HttpServerResponse, E, R> =>
  Effect.catchCause(app, (cause) => {
    const overload = overloadOf(cause)
    if (overload === undefined) return Effect.failCause(cause)
    return Effect.andThen(Effect.logDebug("answered with 503", cause), answerWith(overload, answer))
  })

/**
 * Answers a request that failed with a `PoolError` or a `RetryError` with 503 and `Retry-After`, in the place of an empty 500. All
 * other errors stay as they are.
 *
 * **Details**
 *
 * - The error may be a failure or a defect, and also the cause of another error, such as of an `SqlError` or an `HttpClientError`.
 * - `Retry-After` is the `retryAfter` of the error or of one of its causes, at least a second and at most a minute, or else 2 seconds. Up
 *   to as much again and a second is added at random, so that clients do not come back together.
 * - A `RetryError` that is `NotRetryable` because its failure is `Fatal` or a `Redirect` stays as it is: it does not pass.
 * - The error is logged at DEBUG.
 * - The answer is a line of plain text, which says whether a server is not available or no connection is free. {@link respondWith} answers
 *   otherwise.
 *
 * **Gotchas**
 *
 * Use it with `HttpRouter.middleware`, or around a handler or a whole app. The option `middleware` of `HttpRouter.serve` sees errors only
 * after they were answered.
 *
 * **Example** (An API whose pool is suspended)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import * as HttpRouter from "effect/http/HttpRouter"
 * import * as HttpServerResponse from "effect/http/HttpServerResponse"
 * import * as ConnectionPool from "effect-sluice/ConnectionPool"
 * import * as OperationsHttp from "effect-sluice/OperationsHttp"
 *
 * const error = new ConnectionPool.PoolError({ reason: new ConnectionPool.PoolSuspended({ key: "db" }) })
 *
 * const Api = HttpRouter.add("GET", "/report", Effect.as(Effect.die(error), HttpServerResponse.text("a report"))).pipe(
 *   Layer.provide(HttpRouter.middleware(OperationsHttp.respond).layer)
 * )
 *
 * const { dispose, handler } = HttpRouter.toWebHandler(Api, { disableLogger: true })
 * const response = await handler(new Request("http://localhost/report"))
 *
 * const seconds = Number(response.headers.get("retry-after"))
 * const answer = [response.status, seconds >= 2 && seconds <= 4]
 * answer // => [503, true]
 * await dispose()
 * ```
 *
 * @category middleware
 * @since 0.1.0
 * @stability experimental
 */
export const respond = <E, R>(
  app: Effect.Effect<HttpServerResponse, E, R>
): Effect.Effect<HttpServerResponse, E, R> => respondTo(app, plainAnswer)

/**
 * {@link respond} with an answer of your own, such as JSON. `Retry-After` and `Cache-Control: no-store` are added to it.
 *
 * **Example** (An API that answers in JSON)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import * as HttpRouter from "effect/http/HttpRouter"
 * import * as HttpServerResponse from "effect/http/HttpServerResponse"
 * import * as ConnectionPool from "effect-sluice/ConnectionPool"
 * import * as OperationsHttp from "effect-sluice/OperationsHttp"
 *
 * const respond = OperationsHttp.respondWith(({ isDown }) =>
 *   HttpServerResponse.jsonUnsafe({ error: isDown ? "down" : "busy" }, { status: 503 })
 * )
 *
 * const error = new ConnectionPool.PoolError({ reason: new ConnectionPool.PoolSuspended({ key: "db" }) })
 * const Api = HttpRouter.add("GET", "/report", Effect.as(Effect.die(error), HttpServerResponse.text("a report"))).pipe(
 *   Layer.provide(HttpRouter.middleware(respond).layer)
 * )
 *
 * const { dispose, handler } = HttpRouter.toWebHandler(Api, { disableLogger: true })
 * const response = await handler(new Request("http://localhost/report"))
 *
 * const answer = [response.status, await response.json(), response.headers.has("retry-after")]
 * answer // => [503, { error: "busy" }, true]
 * await dispose()
 * ```
 *
 * @category middleware
 * @since 0.1.0
 * @stability experimental
 */
export const respondWith =
  (answer: (unavailable: Unavailable) => HttpServerResponse) =>
  <E, R>(app: Effect.Effect<HttpServerResponse, E, R>): Effect.Effect<HttpServerResponse, E, R> =>
    respondTo(app, answer)
