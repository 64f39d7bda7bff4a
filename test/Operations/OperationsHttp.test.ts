/** The routes of an operator, asked over real connections. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Metric, Redacted } from "effect"
import * as OperationsHttp from "effect-sluice/OperationsHttp"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Net from "node:net"
import { invalidOption } from "../support/InvalidOption.ts"
import { emptySnapshot, fake, request } from "./Requests.ts"

const token = "correct-horse-battery-staple"
const bearer = { authorization: `Bearer ${token}` }
const withToken = { token: Redacted.make(token) }

/** A server on a free port, over a service that answers as the test wants. */
const serve = <E>(
  use: (url: string) => Effect.Effect<unknown, E>,
  options: OperationsHttp.ServerOptions = {},
  operations = fake()
) =>
  Effect.flatMap(OperationsHttp.Server, ({ url }) => Effect.asVoid(use(url))).pipe(
    Effect.provide(OperationsHttp.layerServer({ port: 0, ...options }).pipe(Layer.provide(operations.layer))),
    Effect.scoped
  )

const statuses = (url: string, paths: ReadonlyArray<string>, asked?: Parameters<typeof request>[1]) =>
  Effect.forEach(paths, (path) => Effect.map(request(url + path, asked), ({ status }) => status))

/** All lines that a program logs, with their annotations. */
const logged = <A, E, R>(program: Effect.Effect<A, E, R>) => {
  const lines: Array<string> = []
  const logger = Logger.map(Logger.formatLogFmt, (line) => void lines.push(line))
  return Effect.map(Effect.provide(program, Logger.layer([logger])), () => lines)
}

describe("the probes", () => {
  it.live("answer 200 and 503, with the reasons", () => {
    const state = { readiness: { isReady: true, reasons: [] } as OperationsReadiness }
    return serve(
      (url) =>
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* statuses(url, ["livez", "readyz"]), [200, 200])
          state.readiness = { isReady: false, reasons: [{ reason: "PoolDown", pool: "db", message: "db is down" }] }
          const { body, headers, status } = yield* request(`${url}readyz`)
          assert.strictEqual(status, 503)
          assert.deepStrictEqual(JSON.parse(body), state.readiness)
          assert.strictEqual(headers["cache-control"], "no-store")
          assert.strictEqual((yield* request(`${url}livez`)).status, 200)
        }),
      {},
      fake(state)
    )
  })

  it.live("answer HEAD without a body, and any Host and Origin", () =>
    serve((url) =>
      Effect.gen(function*() {
        const head = yield* request(`${url}readyz`, { method: "HEAD" })
        assert.deepStrictEqual([head.status, head.body], [200, ""])
        const headers = { host: "pod.example.com", origin: "https://evil.example" }
        assert.deepStrictEqual(yield* statuses(url, ["livez", "readyz"], { headers }), [200, 200])
      })
    ))

  it.live("ask for the required pools", () => {
    const operations = fake()
    return serve(
      (url) =>
        Effect.gen(function*() {
          yield* statuses(url, ["readyz", "pools.json"])
          assert.deepStrictEqual(operations.required, [["db"], ["db"]])
        }),
      { required: ["db"] },
      operations
    )
  })
})

type OperationsReadiness = NonNullable<Parameters<typeof fake>[0]>["readiness"] & {}

describe("what is read", () => {
  it.live("is the page with a policy that lets only its own scripts run", () =>
    serve((url) =>
      Effect.gen(function*() {
        const { body, headers, status } = yield* request(url)
        assert.strictEqual(status, 200)
        const policy = String(headers["content-security-policy"])
        const nonce = /script-src 'nonce-([^']+)'/.exec(policy)?.[1] ?? "none"
        assert.include(body, `nonce="${nonce}"`)
        assert.match(policy, /default-src 'none'.*frame-ancestors 'none'/)
        assert.notInclude(policy, "unsafe-inline")
        assert.notInclude(body, " style=\"")
        assert.strictEqual(headers["x-content-type-options"], "nosniff")
        assert.strictEqual(headers["cache-control"], "no-store")
        const again = yield* request(url)
        assert.notInclude(String(again.headers["content-security-policy"]), nonce)
      })
    ))

  it.live("is the snapshot as JSON", () =>
    serve((url) =>
      Effect.gen(function*() {
        const { body, headers } = yield* request(`${url}pools.json`)
        assert.deepStrictEqual(JSON.parse(body), emptySnapshot)
        assert.strictEqual(headers["content-type"], "application/json")
      })
    ))

  it.live("is all metrics for Prometheus", () =>
    serve((url) =>
      Effect.gen(function*() {
        const { body, headers } = yield* request(`${url}metrics`)
        assert.match(body, /^# TYPE things_total counter\nthings_total 3\n$/)
        assert.strictEqual(headers["content-type"], "text/plain; version=0.0.4; charset=utf-8")
      })
    ).pipe(
      (program) => Effect.andThen(Metric.update(Metric.counter("things", { incremental: true }), 3), program),
      Effect.provideService(Metric.MetricRegistry, new Map())
    ))

  it.live("needs the token where the server can be reached from outside", () =>
    serve((url) =>
      Effect.gen(function*() {
        const paths = ["", "metrics", "livez", "readyz", "pools.json"]
        assert.deepStrictEqual(yield* statuses(url, paths), [200, 200, 200, 200, 401])
        assert.deepStrictEqual(yield* statuses(url, ["pools.json"], { headers: bearer }), [200])
      }), { ...withToken, host: "0.0.0.0" }))

  it.live("is off where it needs a token and there is none", () =>
    serve((url) =>
      Effect.gen(function*() {
        const { body, status } = yield* request(`${url}pools.json`)
        assert.strictEqual(status, 403)
        assert.strictEqual(JSON.parse(body).error, "ControlOff")
        assert.deepStrictEqual(yield* statuses(url, ["metrics", ""]), [403, 200])
      }), { protect: "all" }))

  it.live("is refused to another host, but not under the configured ones", () =>
    serve((url) =>
      Effect.gen(function*() {
        const paths = ["", "metrics", "pools.json"]
        for (
          const host of ["evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil.example", "localhost.", "0x7f.1"]
        ) {
          assert.deepStrictEqual(yield* statuses(url, paths, { headers: { host } }), [421, 421, 421], host)
        }
        for (const host of ["ops.example.com", "OPS.example.com:8080", "10.1.2.3:9464", "[::1]:9464", "localhost:1"]) {
          assert.deepStrictEqual(yield* statuses(url, paths, { headers: { host } }), [200, 200, 200], host)
        }
      }), { hosts: ["ops.example.com"] }))
})

describe("the control endpoints", () => {
  const doors = [
    "pools/db/evict",
    "pools/db/evict?endpoint=10.0.0.1%3A5432",
    "pools/db/suspend",
    "pools/db/resume",
    "pools/a%2Fb%25zz/drain",
    "pools/db/leases/7/end"
  ]

  it.live("do what is asked, with the parameters decoded once", () => {
    const operations = fake()
    return serve(
      (url) =>
        Effect.gen(function*() {
          const answers = yield* statuses(url, doors, { method: "POST", headers: bearer })
          assert.deepStrictEqual(answers, [200, 200, 200, 200, 200, 200])
          assert.deepStrictEqual(operations.commands, [
            { _tag: "Evict", pool: "db", endpoint: undefined },
            { _tag: "Evict", pool: "db", endpoint: "10.0.0.1:5432" },
            { _tag: "Suspend", pool: "db" },
            { _tag: "Resume", pool: "db" },
            { _tag: "Drain", pool: "a/b%zz" },
            { _tag: "EndLease", pool: "db", lease: 7 }
          ])
        }),
      withToken,
      operations
    )
  })

  it.live("answer 404 where there is no such pool or lease", () =>
    serve((url) =>
      Effect.gen(function*() {
        const { body, status } = yield* request(`${url}pools/missing/suspend`, { method: "POST", headers: bearer })
        assert.strictEqual(status, 404)
        assert.deepStrictEqual(JSON.parse(body), { error: "NotFound", message: "there is no pool missing" })
        const paths = ["pools/db/leases/x/end", "pools/db/leases/-1/end", "pools/db/other"]
        assert.deepStrictEqual(yield* statuses(url, paths, { method: "POST", headers: bearer }), [404, 404, 404])
      }), withToken))

  it.live("are off without a token, and say how to turn them on", () => {
    const operations = fake()
    return serve(
      (url) =>
        Effect.gen(function*() {
          for (const door of doors) {
            const { body, status } = yield* request(url + door, { method: "POST", headers: bearer })
            assert.strictEqual(status, 403)
            assert.include(body, "set the option token of OperationsHttp")
          }
          assert.deepStrictEqual(operations.commands, [])
        }),
      {},
      operations
    )
  })

  it.live("refuse a missing, an empty and a wrong token with 401", () => {
    const operations = fake()
    const wrong = ["", "Bearer", "Bearer ", `Basic ${token}`, `Bearer ${token}x`, `Bearer ${token.slice(1)}`, token]
    return serve(
      (url) =>
        Effect.gen(function*() {
          for (const door of doors) {
            const missing = yield* request(url + door, { method: "POST" })
            assert.strictEqual(missing.status, 401)
            assert.strictEqual(missing.headers["www-authenticate"], "Bearer")
            for (const authorization of wrong) {
              const { status } = yield* request(url + door, { method: "POST", headers: { authorization } })
              assert.strictEqual(status, 401, authorization)
            }
          }
          assert.deepStrictEqual(operations.commands, [])
        }),
      withToken,
      operations
    )
  })

  it.live("refuse a foreign origin with 403 and a foreign host with 421, also with the token", () => {
    const operations = fake()
    const origins = ["https://evil.example", "null", "http://127.0.0.1:1", "file://", "http://127.0.0.1@evil.example"]
    return serve(
      (url) =>
        Effect.gen(function*() {
          for (const origin of origins) {
            const asked = { method: "POST", headers: { ...bearer, origin } }
            assert.strictEqual((yield* request(`${url}pools/db/suspend`, asked)).status, 403, origin)
          }
          const foreign = { method: "POST", headers: { ...bearer, host: "evil.example" } }
          assert.strictEqual((yield* request(`${url}pools/db/suspend`, foreign)).status, 421)
          assert.deepStrictEqual(operations.commands, [])
          const own = { method: "POST", headers: { ...bearer, origin: new URL(url).origin } }
          assert.strictEqual((yield* request(`${url}pools/db/suspend`, own)).status, 200)
        }),
      withToken,
      operations
    )
  })

  it.live("accept the page under its own name behind a proxy", () =>
    serve((url) =>
      Effect.gen(function*() {
        const headers = { ...bearer, origin: "https://ops.example.com" }
        assert.strictEqual((yield* request(`${url}pools/db/suspend`, { method: "POST", headers })).status, 200)
      }), { ...withToken, hosts: ["ops.example.com"] }))

  it.live("answer 404 to GET", () => {
    const operations = fake()
    return serve(
      (url) =>
        Effect.gen(function*() {
          for (const method of ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"]) {
            const answers = yield* statuses(url, doors, { method, headers: bearer })
            assert.deepStrictEqual(new Set(answers), new Set([404]), method)
          }
          assert.deepStrictEqual(operations.commands, [])
        }),
      withToken,
      operations
    )
  })

  it.live("log each use without the token, and who asked", () =>
    Effect.gen(function*() {
      const lines = yield* logged(serve((url) =>
        Effect.gen(function*() {
          yield* request(`${url}pools/db/suspend`, { method: "POST", headers: bearer })
          yield* request(`${url}pools/db/suspend?x=%1b[31m`, { method: "POST" })
          yield* request(`${url}pools/db/suspend`, { method: "POST", headers: { authorization: `Bearer no${token}` } })
          yield* request(`${url}pools/db/suspend`, { method: "POST", headers: { ...bearer, origin: "null" } })
        }), withToken))
      const text = lines.join("\n")
      assert.notInclude(text, token)
      assert.match(text, /level=INFO .*"control: Suspend".* client\.address=127\.0\.0\.1/)
      assert.match(text, /level=WARN .*refused POST \/pools\/:pool\/suspend from 127\.0\.0\.1: .*\(401\)/)
      assert.match(text, /level=WARN .*this is not the token \(401\)/)
      assert.match(text, /level=WARN .*a page of another origin may not ask for this \(403\)/)
    }))

  it.live("log at most ten refusals in a minute", () =>
    Effect.gen(function*() {
      const lines = yield* logged(
        serve(
          (url) => statuses(url, Array.from({ length: 25 }, () => "pools/db/suspend"), { method: "POST" }),
          withToken
        )
      )
      assert.strictEqual(lines.filter((line) => line.includes("refused")).length, 10)
    }))
})

describe("the options", () => {
  const cases: ReadonlyArray<readonly [option: string, options: OperationsHttp.ServerOptions]> = [
    ["token", { token: Redacted.make("too-short") }],
    ["token", { token: Redacted.make("") }],
    ["token", { token: Redacted.make("with a space in the middle") }],
    ["token", { token: Redacted.make("a-token-from-a-file\n") }],
    ["token", { token: "a-token-that-is-not-redacted" as never }],
    ["hosts", { hosts: ["https://ops.example.com"] }],
    ["hosts", { hosts: ["*"] }],
    ["required", { required: "db" as never }],
    ["port", { port: 70_000 }],
    ["host", { host: "" }],
    ["prefix", { prefix: "/operations/" }],
    ["protect", { protect: "nothing" as never }]
  ]

  it.effect.each(cases)("refuse an invalid %s at the start", ([option, options]) =>
    Effect.gen(function*() {
      const error = yield* invalidOption(serve(() => Effect.void, options))
      assert.strictEqual(error.option, option)
      assert.notInclude(error.message, "too-short")
      assert.notInclude(error.message, "not-redacted")
    }))
})

describe("the server", () => {
  it.live("fails with the port if it is taken", () =>
    serve((url) =>
      Effect.gen(function*() {
        const port = Number(new URL(url).port)
        const error = yield* Effect.flip(serve(() => Effect.void, { port }))
        assert(error instanceof OperationsHttp.ListenFailed)
        assert.strictEqual(error.port, port)
        assert.strictEqual(
          error.message,
          `cannot listen on 127.0.0.1, port ${port}: the port is in use (EADDRINUSE): give OperationsHttp another port, or 0 for any`
        )
      })
    ))

  it.live("ends with its scope at once, whatever its clients do", () => {
    const sockets: Array<Net.Socket> = []
    const connect = (port: number, text: string) =>
      Effect.callback<void>((resume) => {
        const socket = Net.connect(port, "127.0.0.1", () => socket.write(text))
        sockets.push(socket)
        socket.on("error", () => {})
        // The last one has sent no whole request, and gets no answer.
        if (text.endsWith("\r\n\r\n")) socket.once("data", () => resume(Effect.void))
        else setTimeout(() => resume(Effect.void), 50)
      })
    let ended = 0
    return serve((url) =>
      Effect.gen(function*() {
        const { port } = new URL(url)
        for (const path of ["/", "/pools.json", "/livez"]) {
          yield* connect(Number(port), `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
        }
        yield* connect(Number(port), "")
        yield* connect(Number(port), "GET /metrics HT")
        yield* connect(Number(port), "POST /pools/db/evict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nab")
        ended = Date.now()
      })
    ).pipe(
      Effect.andThen(Effect.sync(() => {
        assert.isBelow(Date.now() - ended, 1000)
      })),
      Effect.ensuring(Effect.sync(() => sockets.forEach((socket) => socket.destroy())))
    )
  })

  it.live("listens on loopback alone by default", () =>
    serve((url) =>
      Effect.sync(() => {
        assert.strictEqual(new URL(url).hostname, "127.0.0.1")
      })
    ))
})

describe("the routes in the router of a program", () => {
  const appOf = <E>(layer: Layer.Layer<never, E, HttpRouter.HttpRouter>) =>
    HttpRouter.toWebHandler(
      Layer.merge(HttpRouter.add("GET", "/hello", HttpServerResponse.text("hello")), layer),
      { disableLogger: true }
    )
  const statusOf = async (app: ReturnType<typeof appOf>, path: string, init?: RequestInit) =>
    (await app.handler(new Request(`http://localhost${path}`, init))).status

  it("are there beside its own", async () => {
    const app = appOf(OperationsHttp.routes(withToken).pipe(Layer.provide(fake().layer)))
    assert.strictEqual(await statusOf(app, "/hello"), 200)
    assert.strictEqual(await statusOf(app, "/readyz"), 200)
    assert.strictEqual(await statusOf(app, "/metrics"), 200)
    assert.strictEqual(await statusOf(app, "/"), 200)
    assert.strictEqual(await statusOf(app, "/pools.json"), 401)
    assert.strictEqual(await statusOf(app, "/pools.json", { headers: bearer }), 200)
    assert.strictEqual(await statusOf(app, "/pools/db/suspend", { method: "POST", headers: bearer }), 200)
    await app.dispose()
  })

  it("are under a prefix, where the page finds its JSON", async () => {
    const app = appOf(OperationsHttp.routes({ ...withToken, prefix: "/ops/pools" }).pipe(Layer.provide(fake().layer)))
    const response = await app.handler(new Request("http://localhost/ops/pools?a=b"))
    assert.strictEqual(response.status, 308)
    const moved = new URL(response.headers.get("location") ?? "", "http://localhost/ops/pools")
    assert.strictEqual(moved.pathname, "/ops/pools/")
    assert.strictEqual(await statusOf(app, "/ops/pools/"), 200)
    const json = new URL("pools.json", moved).pathname
    assert.strictEqual(await statusOf(app, json, { headers: bearer }), 200)
    assert.strictEqual(await statusOf(app, "/ops/pools/livez"), 200)
    assert.strictEqual(await statusOf(app, "/ops/pools/pools/db/suspend", { method: "POST", headers: bearer }), 200)
    assert.strictEqual(await statusOf(app, "/livez"), 404)
    await app.dispose()
  })

  it("are as many as are asked for", async () => {
    const app = appOf(
      Layer.mergeAll(OperationsHttp.probes(), OperationsHttp.metrics()).pipe(Layer.provide(fake().layer))
    )
    assert.strictEqual(await statusOf(app, "/livez"), 200)
    assert.strictEqual(await statusOf(app, "/metrics"), 200)
    assert.strictEqual(await statusOf(app, "/pools.json"), 404)
    await app.dispose()
  })
})
