/**
 * What an operator sees and does, over HTTP: probes, metrics, a status page, its JSON, and control endpoints.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as Layer from "effect/Layer"
import { makeGuarded } from "./internal/http/Guarded.ts"
import * as Routes from "./internal/http/Routes.ts"
import { type ProbeOptions, probeSettings, type RouteOptions, routeSettings } from "./internal/http/Settings.ts"
import { Operations } from "./Service.ts"

export { InvalidOption } from "../internal/InvalidOption.ts"
export type { ProbeOptions, Protect, RouteOptions, ServerOptions } from "./internal/http/Settings.ts"

/** Layers of routes need both. */
type Needs = HttpRouter.HttpRouter | Operations

/** Adds all routes to an `HttpRouter`. */
export const routes = (options: RouteOptions = {}): Layer.Layer<never, never, Needs> =>
  Layer.effectDiscard(Effect.gen(function*() {
    const settings = routeSettings(options)
    yield* Routes.addAll(yield* HttpRouter.HttpRouter, yield* Operations, settings)
  }))

/** Adds `/livez` and `/readyz`. */
export const probes = (options: ProbeOptions = {}): Layer.Layer<never, never, Needs> =>
  Layer.effectDiscard(Effect.gen(function*() {
    const settings = probeSettings(options)
    yield* Routes.addProbes(yield* HttpRouter.HttpRouter, yield* Operations, settings)
  }))

/** Adds `/metrics`. */
export const metrics = (options: RouteOptions = {}): Layer.Layer<never, never, HttpRouter.HttpRouter> =>
  Layer.effectDiscard(Effect.gen(function*() {
    const settings = routeSettings(options)
    yield* Routes.addMetrics(yield* HttpRouter.HttpRouter, settings, makeGuarded(settings))
  }))

/** Adds the page, `/pools.json` and the control endpoints. */
export const page = (options: RouteOptions = {}): Layer.Layer<never, never, Needs> =>
  Layer.effectDiscard(Effect.gen(function*() {
    const settings = routeSettings(options)
    yield* Routes.addPage(yield* HttpRouter.HttpRouter, yield* Operations, settings, makeGuarded(settings))
  }))
