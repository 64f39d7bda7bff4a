/**
 * Who asks for a connection, as texts for errors, reports and operators: the route of the request, or the span.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Tracer from "effect/Tracer"
import { isObject, quietly, readObject, readString } from "./SafeRead.ts"
import { presentValue, safeText } from "./SafeText.ts"

/** The request that a borrower serves. */
interface Route {
  readonly method: string
  /** The path of the route, as `/users/:id`, or else the path of the request. */
  readonly path: string
}

/**
 * The route of a context that has only its span left. Effect's router keeps its own route in the context of the handler, and writes
 * it to the span only if spans are exported.
 */
const KeptRoute: Context.Reference<Route | undefined> = Context.Reference<Route | undefined>(
  "effect-sluice/internal/KeptRoute",
  { defaultValue: () => undefined }
)

/** The keys of the services of Effect's HTTP server. Its modules are not imported, because most programs need none of them. */
const keys = { request: "effect/http/HttpServerRequest", route: "effect/http/HttpRouter/RouteContext" } as const

const serviceIn = (context: Context.Context<never>, key: string): object | undefined => {
  const service: unknown = context.mapUnsafe.get(key)
  return isObject(service) ? service : undefined
}

/** The span of a context, if it is one of this process. */
const spanIn = (context: Context.Context<never>): Tracer.Span | undefined => {
  const span = Context.getOrUndefined(context, Tracer.ParentSpan)
  return span?._tag === "Span" ? span : undefined
}

/** How many spans are searched for that of a request. */
const mostSpans = 64

const serverSpanOf = (span: Tracer.Span | undefined): Tracer.Span | undefined => {
  let next = span
  for (let searched = 0; next !== undefined && searched < mostSpans; searched++) {
    if (next.kind === "server") return next
    const { parent } = next
    next = parent._tag === "Some" && parent.value._tag === "Span" ? parent.value : undefined
  }
  return undefined
}

const textAt = (attributes: ReadonlyMap<string, unknown>, key: string): string | undefined => {
  const value = attributes.get(key)
  return typeof value === "string" && value !== "" ? value : undefined
}

/** The method in the name that Effect gives to the span of a request, whose attributes it sets at the end of the request. */
const methodIn = (name: string): string | undefined => /^http\.server ([A-Z]{1,16})$/.exec(name)?.[1]

const withoutQuery = (url: string | undefined): string | undefined => url?.replace(/[?#][^]*$/, "")

const routeOfServices = (context: Context.Context<never>): Route | undefined => {
  const request = serviceIn(context, keys.request)
  const routed = serviceIn(context, keys.route)
  const route = routed && readObject(routed, "route")
  const method = (request && readString(request, "method")) ?? (route && readString(route, "method"))
  const path = (route && readString(route, "path")) ?? withoutQuery(request && readString(request, "url"))
  return method === undefined || path === undefined || path === "*" ? undefined : { method, path }
}

const routeOfSpan = (span: Tracer.Span | undefined): Route | undefined => {
  const server = serverSpanOf(span)
  if (server === undefined) return undefined
  const { attributes, name } = server
  const method = textAt(attributes, "http.request.method") ?? methodIn(name)
  const path = textAt(attributes, "http.route") ?? textAt(attributes, "url.path")
  return method === undefined || path === undefined ? undefined : { method, path }
}

const routeIn = (context: Context.Context<never>): Route | undefined =>
  quietly(() => Context.get(context, KeptRoute) ?? routeOfSpan(spanIn(context)) ?? routeOfServices(context))

/** The longest text of a route, a span or an attribute. */
const longest = 200

/** The route of the request that is served in a context, such as `GET /report`, or else the name of the span. */
export const requesterIn = (context: Context.Context<never>): string | undefined => {
  const route = routeIn(context)
  const text = route === undefined ? spanIn(context)?.name : `${route.method} ${route.path}`
  return text === undefined ? undefined : safeText(text, longest)
}

/** The most attributes of a span that are shown. */
const mostAttributes = 16

/** Attributes that may have secrets in any form: queries of URLs, headers, and statements with their parameters. */
const isConfidential = (key: string): boolean =>
  /^(?:url\.(?:full|query)|http\.(?:url|target)|(?:http|rpc)\..*(?:header|metadata)|db\.(?:query|statement|operation\.parameter))/
    .test(key)

const attributeText = (key: string, value: unknown): string => {
  const shown = presentValue(key, value)
  return safeText(typeof shown === "string" ? shown : JSON.stringify(shown) ?? "", longest)
}

/**
 * The attributes of the span in a context, and the route of its request, as texts without secrets. Their number and their lengths
 * are bounded.
 */
export const attributesIn = (context: Context.Context<never>): Readonly<Record<string, string>> => {
  const span = spanIn(context)
  const route = routeIn(context)
  const texts: Record<string, string> = {}
  const add = (key: string, value: unknown) => {
    const text = quietly(() => attributeText(key, value))
    if (text !== undefined) texts[safeText(key, longest)] = text
  }
  if (route !== undefined) {
    add("http.request.method", route.method)
    add("http.route", route.path)
    if (span !== undefined && span.kind !== "server") add("span.name", span.name)
  }
  for (const [key, value] of span?.attributes ?? []) {
    if (Object.keys(texts).length >= mostAttributes) break
    if (!isConfidential(key) && !(key in texts)) add(key, value)
  }
  return texts
}

/**
 * A context with what {@link requesterIn} and {@link attributesIn} read, and nothing else. The rest of a context may refer to the
 * scope whose garbage collection has to be noticed.
 */
export const requesterOnly = (context: Context.Context<never>): Context.Context<never> => {
  const span = Context.getOrUndefined(context, Tracer.ParentSpan)
  const route = routeIn(context)
  const kept = new Map<string, unknown>()
  if (span !== undefined) kept.set(Tracer.ParentSpan.key, span)
  if (route !== undefined) kept.set(KeptRoute.key, route)
  return kept.size === 0 ? Context.empty() : Context.makeUnsafe(kept)
}
