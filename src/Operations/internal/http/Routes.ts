/**
 * Adds the routes to a router.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as HttpMiddleware from "effect/http/HttpMiddleware"
import type * as HttpRouter from "effect/http/HttpRouter"
import { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as Metric from "effect/Metric"
import type { Operations } from "../../Service.ts"
import { pageHtml } from "../page/Page.ts"
import { addControl } from "./Control.ts"
import { type Answer, type Guarded, makeGuarded } from "./Guarded.ts"
import { prometheusText } from "./PrometheusText.ts"
import * as Responses from "./Responses.ts"
import type { ProbeSettings, RouteSettings } from "./Settings.ts"

/** The router under the prefix. */
export const under = (router: HttpRouter.HttpRouter, { prefix }: ProbeSettings): HttpRouter.HttpRouter =>
  prefix === undefined ? router : router.prefixed(prefix)

// A probe each second would hide everything else in a log of requests.
const quiet = (answer: Answer): Answer => HttpMiddleware.withLoggerDisabled(answer)

/** Adds `/livez` and `/readyz`. */
export const addProbes = Effect.fnUntraced(
  function*(router: HttpRouter.HttpRouter, operations: Operations["Service"], settings: ProbeSettings) {
    const own = under(router, settings)
    yield* own.add("GET", "/livez", quiet(Effect.sync(() => Responses.text("ok\n"))))
    yield* own.add(
      "GET",
      "/readyz",
      quiet(Effect.map(
        operations.readiness(settings.required),
        (readiness) => Responses.json(readiness, readiness.isReady ? 200 : 503)
      ))
    )
  }
)

/** Adds `/metrics`. */
export const addMetrics = (router: HttpRouter.HttpRouter, settings: RouteSettings, guarded: Guarded) => {
  const answer = Effect.map(
    Metric.snapshot,
    (snapshot) => Responses.text(prometheusText(snapshot), "text/plain; version=0.0.4; charset=utf-8")
  )
  return under(router, settings).add("GET", "/metrics", quiet(guarded(answer, settings.protect === "all")))
}

/** The page. It requests its JSON relative to its own address, which therefore has to end with a slash. */
const page = ({ token }: RouteSettings): Answer =>
  Effect.map(HttpServerRequest, ({ originalUrl }) => {
    const [path = ""] = originalUrl.split(/[?#]/)
    return path.endsWith("/")
      ? Responses.page((nonce) => pageHtml(nonce, token !== undefined))
      : Responses.withSlash(path)
  })

/** Adds the page, its `/pools.json`, and the control endpoints. */
export const addPage = Effect.fnUntraced(
  function*(
    router: HttpRouter.HttpRouter,
    operations: Operations["Service"],
    settings: RouteSettings,
    guarded: Guarded
  ) {
    const own = under(router, settings)
    yield* own.add("GET", "/", quiet(guarded(page(settings), false)))
    const snapshot = Effect.map(operations.snapshot(settings.required), (snapshot) => Responses.json(snapshot))
    yield* own.add("GET", "/pools.json", quiet(guarded(snapshot, settings.protect !== "control")))
    yield* addControl(own, operations, guarded)
  }
)

/** Adds all routes. */
export const addAll = Effect.fnUntraced(
  function*(router: HttpRouter.HttpRouter, operations: Operations["Service"], settings: RouteSettings) {
    const guarded = makeGuarded(settings)
    yield* addProbes(router, operations, settings)
    yield* addMetrics(router, settings, guarded)
    yield* addPage(router, operations, settings, guarded)
  }
)
