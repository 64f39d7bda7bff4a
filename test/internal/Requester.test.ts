import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Tracer } from "effect"
import { attributesIn, requesterIn, requesterOnly } from "../../src/internal/Requester.ts"

interface Made {
  readonly name: string
  readonly kind?: Tracer.SpanKind
  readonly attributes?: Record<string, unknown>
}

/** The context of an effect in these spans, the outermost first. */
const contextIn = ([outer, ...inner]: ReadonlyArray<Made>): Effect.Effect<Context.Context<never>> => {
  if (outer === undefined) return Effect.context<never>()
  const { attributes = {}, kind = "internal", name } = outer
  return Effect.withSpan(contextIn(inner), name, { attributes, kind })
}

const server = (attributes: Record<string, unknown>, name = "http.server GET"): Made => ({
  name,
  kind: "server",
  attributes
})

describe("the requester of a connection", () => {
  it.effect("is the route of its request, from any span in it", () =>
    Effect.gen(function*() {
      const full = { "http.request.method": "PUT", "http.route": "/orders/:id", "url.path": "/orders/5" }
      assert.strictEqual(requesterIn(yield* contextIn([server(full)])), "PUT /orders/:id")
      assert.strictEqual(
        requesterIn(yield* contextIn([server({ "url.path": "/x" }), { name: "a" }, { name: "b" }])),
        "GET /x"
      )
      assert.strictEqual(requesterIn(yield* contextIn([server({}), { name: "inner" }])), "inner")
      const client = { name: "http.client GET", kind: "client", attributes: full } as const
      assert.strictEqual(requesterIn(yield* contextIn([client])), "http.client GET")
    }))

  it.effect("is otherwise its span, and unknown without one", () =>
    Effect.gen(function*() {
      assert.strictEqual(requesterIn(yield* contextIn([{ name: "nightly" }])), "nightly")
      assert.isUndefined(requesterIn(Context.empty()))
      const external = Tracer.externalSpan({ spanId: "1", traceId: "2" })
      assert.isUndefined(requesterIn(Context.make(Tracer.ParentSpan, external)))
    }))

  it.effect("stays known in a context that has nothing else", () =>
    Effect.gen(function*() {
      const context = yield* contextIn([{ name: "load", attributes: { table: "orders" } }])
      const request = Context.makeUnsafe<never>(
        new Map<string, unknown>([
          ...context.mapUnsafe,
          ["effect/http/HttpServerRequest", { method: "GET", url: "/report?token=geheim" }],
          ["effect/http/HttpRouter/RouteContext", { route: { method: "*", path: "/report" } }]
        ])
      )
      assert.strictEqual(requesterIn(request), "GET /report")
      const kept = requesterOnly(request)
      assert.isUndefined(kept.mapUnsafe.get("effect/http/HttpServerRequest"))
      assert.strictEqual(requesterIn(kept), "GET /report")
      const attributes = {
        "http.request.method": "GET",
        "http.route": "/report",
        "span.name": "load",
        "table": "orders"
      }
      assert.deepStrictEqual(attributesIn(kept), attributes)
      assert.deepStrictEqual(attributesIn(request), attributes)
      assert.strictEqual(requesterOnly(Context.empty()).mapUnsafe.size, 0)
    }))

  it("is the request of a server without a router, and nothing of services that are none", () => {
    const made = (entries: ReadonlyArray<readonly [string, unknown]>) => Context.makeUnsafe<never>(new Map(entries))
    const plain = made([["effect/http/HttpServerRequest", { method: "GET", url: "/raw?x#y" }]])
    assert.strictEqual(requesterIn(plain), "GET /raw")
    for (const service of [undefined, 5, {}, { method: 1, url: 2 }, { method: "GET" }]) {
      assert.isUndefined(requesterIn(made([["effect/http/HttpServerRequest", service]])))
    }
  })
})
