/**
 * Errors as they really come: from sockets, TLS, fetch, HTTP/2, and from our own connections.
 */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Option, Result } from "effect"
import type { Scope } from "effect"
import * as Endpoint from "effect-sluice/Endpoint"
import * as Failure from "effect-sluice/Failure"
import * as JsonRpcClient from "effect-sluice/JsonRpcClient"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as TcpConnection from "effect-sluice/TcpConnection"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import type * as Events from "node:events"
import * as Http from "node:http"
import * as Http2 from "node:http2"
import * as Net from "node:net"
import * as Tls from "node:tls"

const key = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgOEYnT3muplUujjOr
Z8d8g5LRy4sr9x+cp0MegqwRm+mhRANCAATRUHEguG3GSiO6zCOhngD5U0Ak4/q7
qznSTdaAbN5yqsioyBewXKsb5x6dj9KtJJi9OvqFBHQa0H179ZMwPgVi
-----END PRIVATE KEY-----`
/** Signed by itself, for the name db.test, from 2020 to 2120. */
const cert = `-----BEGIN CERTIFICATE-----
MIIBWDCB/qADAgECAgEBMAoGCCqGSM49BAMCMBIxEDAOBgNVBAMMB2RiLnRlc3Qw
IBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBIxEDAOBgNVBAMMB2Ri
LnRlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATRUHEguG3GSiO6zCOhngD5
U0Ak4/q7qznSTdaAbN5yqsioyBewXKsb5x6dj9KtJJi9OvqFBHQa0H179ZMwPgVi
o0MwQTASBgNVHREECzAJggdkYi50ZXN0MAwGA1UdEwQFMAMBAf8wHQYDVR0OBBYE
FAcWztlEZeMXzz5tsmxLeNUYM8H0MAoGCCqGSM49BAMCA0kAMEYCIQCNlCfCt6BF
Jcj1HsWHONZOAMVkyxctxMd+bamSJieo+wIhAMtqucJev7ll8zlrOAv7AK3bUFah
9xZ0IRP920w1vdMN
-----END CERTIFICATE-----`
/** The same for the first day of 2020. */
const expired = `-----BEGIN CERTIFICATE-----
MIIBVDCB/KADAgECAgECMAoGCCqGSM49BAMCMBIxEDAOBgNVBAMMB2RiLnRlc3Qw
HhcNMjAwMTAxMDAwMDAwWhcNMjAwMTAyMDAwMDAwWjASMRAwDgYDVQQDDAdkYi50
ZXN0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE0VBxILhtxkojuswjoZ4A+VNA
JOP6u6s50k3WgGzecqrIqMgXsFyrG+cenY/SrSSYvTr6hQR0GtB9e/WTMD4FYqND
MEEwEgYDVR0RBAswCYIHZGIudGVzdDAMBgNVHRMEBTADAQH/MB0GA1UdDgQWBBQH
Fs7ZRGXjF88+bbJsS3jVGDPB9DAKBggqhkjOPQQDAgNHADBEAiBwM/in3GNLnFDI
/lVaqxPlnojGMTrMV3uYcYNgWFXhiQIgbo+FCxwRHqye+7kdzL/plvZkNYu2Vf2N
f8adfYCtuFo=
-----END CERTIFICATE-----`

const isClassed = (error: unknown, expected: Partial<Failure.Failure>) => {
  const failure = Failure.classify(error)
  assert.deepStrictEqual({ ...failure }, { code: undefined, ...expected } as Failure.Failure, String(error))
}

/** Starts a server on a free port, which is closed with the scope, and all of its connections with it. */
const listening = (server: Net.Server): Effect.Effect<number, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(() => {
      const sockets = new Set<Net.Socket>()
      server.on("connection", (socket: Net.Socket) => {
        sockets.add(socket)
        socket.on("error", () => {})
      })
      return new Promise<() => void>((resolve) =>
        server.listen(0, "127.0.0.1", () =>
          resolve(() => {
            server.close()
            for (const socket of sockets) socket.destroy()
          }))
      )
    }),
    (close) => Effect.sync(close)
  ).pipe(Effect.map(() => {
    const address = server.address()
    return typeof address === "object" && address !== null ? address.port : 0
  }))

const closedPort = Effect.scoped(listening(Net.createServer()))

const errorEvent = (emitter: Events.EventEmitter): Promise<unknown> =>
  new Promise((resolve) => emitter.on("error", resolve).on("close", () => resolve(undefined)))

const errorOf = (promise: () => Promise<unknown>): Effect.Effect<unknown> =>
  Effect.promise(() => promise().then(() => assert.fail("it succeeded"), (error: unknown) => error))

describe("TLS", () => {
  const dial = (options: Tls.ConnectionOptions) => {
    const socket = Tls.connect({ host: "127.0.0.1", ...options })
    socket.resume()
    return Effect.promise(() => errorEvent(socket))
  }

  it.live("a connection that is cut in the handshake has sent nothing", () =>
    Effect.gen(function*() {
      const port = yield* listening(Net.createServer((socket) => void socket.once("data", () => socket.end())))
      isClassed(yield* dial({ port }), { class: "Transient", code: "ECONNRESET", sent: false })
    }))

  it.live("certificates and protocols that do not fit are Fatal", () =>
    Effect.gen(function*() {
      const port = yield* listening(Tls.createServer({ key, cert }, (socket) => void socket.on("error", () => {})))
      isClassed(yield* dial({ port, servername: "db.test" }), { class: "Fatal", code: "DEPTH_ZERO_SELF_SIGNED_CERT" })
      isClassed(yield* dial({ port, servername: "other.test", ca: cert }), {
        class: "Fatal",
        code: "ERR_TLS_CERT_ALTNAME_INVALID"
      })
      const old = yield* listening(
        Tls.createServer({ key, cert: expired }, (socket) => void socket.on("error", () => {}))
      )
      const late = Failure.classify(yield* dial({ port: old, servername: "db.test", ca: expired }))
      assert.deepStrictEqual([late.class, late.code], ["Fatal", "CERT_HAS_EXPIRED"])
      assert.include(late.advice, "clocks")
      const plain = yield* listening(Net.createServer((socket) => void socket.end("HTTP/1.1 400 Bad Request\r\n\r\n")))
      const failure = Failure.classify(yield* dial({ port: plain }))
      assert.strictEqual(failure.class, "Fatal")
      assert.match(failure.code ?? "", /^ERR_SSL_/)
    }))
})

describe("fetch", () => {
  // oxlint-disable-next-line effecttsgo/global-fetch -- Node's own fetch is the point: it wraps the failure.
  const get = (port: number, path = "/", init: RequestInit = {}) => fetch(`http://127.0.0.1:${port}${path}`, init)

  it.live("says what was refused, cut off, late or aborted", () =>
    Effect.gen(function*() {
      const refused = yield* closedPort
      isClassed(yield* errorOf(() => get(refused)), { class: "Transient", code: "ECONNREFUSED", sent: false })
      const closing = yield* listening(Net.createServer((socket) => void socket.once("data", () => socket.end())))
      isClassed(yield* errorOf(() => get(closing)), { class: "Ambiguous", code: "UND_ERR_SOCKET" })
      const resetting = yield* listening(
        Net.createServer((socket) => void socket.once("data", () => socket.resetAndDestroy()))
      )
      isClassed(yield* errorOf(() => get(resetting)), { class: "Ambiguous", code: "ECONNRESET" })
      const half = yield* listening(Http.createServer((_, response) => {
        response.writeHead(200, { "content-length": 100 }).write("x")
        setTimeout(() => response.destroy(), 20)
      }))
      const cut = yield* errorOf(() => get(half).then((response) => response.text()))
      isClassed(cut, { class: "Ambiguous", code: "UND_ERR_SOCKET" })
      const silent = yield* listening(Net.createServer())
      const late = yield* errorOf(() => get(silent, "/", { signal: AbortSignal.timeout(30) }))
      isClassed(late, { class: "Ambiguous", code: "TimeoutError" })
      const aborted = yield* errorOf(() => get(silent, "/", { signal: AbortSignal.abort() }))
      assert.strictEqual(Failure.classify(aborted).class, "Fatal")
    }))

  it.live("under Effect's HttpClient says it as well, and so do its statuses with their Retry-After", () =>
    Effect.gen(function*() {
      const server = Http.createServer((request, response) => {
        const [, status, wait] = request.url?.split("/") ?? []
        const soon = new Date(Date.now() + 5000).toUTCString()
        response.writeHead(Number(status), { "retry-after": wait === "date" ? soon : wait ?? "" }).end()
      })
      const port = yield* listening(server)
      const client = HttpClient.filterStatusOk(yield* HttpClient.HttpClient)
      const request = (path: string) => Effect.flip(client.get(`http://127.0.0.1:${port}${path}`))
      isClassed(yield* request("/429/7"), {
        class: "RemoteSaturated",
        code: "HTTP_429",
        retryAfter: Duration.seconds(7)
      })
      const dated = Failure.classify(yield* request("/503/date"))
      assert.strictEqual(dated.class, "RemoteSaturated")
      // Dates have whole seconds.
      assert.closeTo(Duration.toMillis(dated.retryAfter ?? Duration.zero), 5000, 1000)
      isClassed(yield* request("/500/"), { class: "Ambiguous", code: "HTTP_500" })
      isClassed(yield* request("/404/"), { class: "Fatal", code: "HTTP_404" })
      const refused = yield* closedPort
      const error = yield* Effect.flip(client.get(`http://127.0.0.1:${refused}/`))
      isClassed(error, { class: "Transient", code: "ECONNREFUSED", sent: false })
    }).pipe(Effect.provide(FetchHttpClient.layer)))
})

describe("HTTP/2", () => {
  const codes = Http2.constants
  const answers: Record<string, (stream: Http2.ServerHttp2Stream) => void> = {
    "/refused": (stream) => stream.close(codes.NGHTTP2_REFUSED_STREAM),
    "/calm": (stream) => stream.close(codes.NGHTTP2_ENHANCE_YOUR_CALM),
    "/internal": (stream) => stream.close(codes.NGHTTP2_INTERNAL_ERROR),
    "/away": (stream) => stream.session?.goaway(codes.NGHTTP2_ENHANCE_YOUR_CALM)
  }

  const failureAt = (port: number, path: string) =>
    Effect.promise(async () => {
      const session = Http2.connect(`http://127.0.0.1:${port}`)
      session.on("error", () => {})
      const stream = session.request({ ":path": path })
      stream.resume()
      const error = await errorEvent(stream)
      session.destroy()
      return error
    })

  it.live("tells what a server refused from what it may have begun", () =>
    Effect.gen(function*() {
      const server = Http2.createServer()
      server.on("session", (session) => session.on("error", () => {}))
      server.on("stream", (stream, headers) => {
        stream.on("error", () => {})
        answers[headers[":path"] ?? ""]?.(stream)
      })
      const port = yield* listening(server)
      const refused = { class: "Transient", code: "NGHTTP2_REFUSED_STREAM", sent: false } as const
      const calm = { class: "RemoteSaturated", code: "NGHTTP2_ENHANCE_YOUR_CALM" } as const
      isClassed(yield* failureAt(port, "/refused"), refused)
      isClassed(yield* failureAt(port, "/calm"), calm)
      isClassed(yield* failureAt(port, "/away"), calm)
      isClassed(yield* failureAt(port, "/internal"), { class: "Ambiguous", code: "ERR_HTTP2_STREAM_ERROR" })
      const closed = yield* closedPort
      isClassed(yield* failureAt(closed, "/"), { class: "Transient", code: "ERR_HTTP2_STREAM_CANCEL", sent: false })
    }))
})

describe("our own connections", () => {
  const withMonitor = Effect.provide(ResourceMonitor.layerUnlimited)

  it.live("a dial that failed has sent nothing, and a connection that ended may have", () =>
    Effect.gen(function*() {
      const at = (port: number) => Endpoint.tcp("127.0.0.1", port)
      const dial = (port: number, options?: TcpConnection.Options) => TcpConnection.connect(at(port), options)
      const refused = yield* Effect.flip(dial(yield* closedPort))
      isClassed(refused, { class: "Transient", code: "ECONNREFUSED", sent: false })
      const silent = yield* listening(Net.createServer())
      const late = yield* Effect.flip(dial(silent, { tls: true, connectTimeout: "30 millis" }))
      isClassed(late, { class: "Transient", code: "ETIMEDOUT", sent: false })
      const resetting = yield* listening(
        Net.createServer((socket) => void socket.once("data", () => socket.resetAndDestroy()))
      )
      const connection = yield* dial(resetting)
      yield* connection.write("hello")
      isClassed(yield* Effect.flip(connection.read), { class: "Ambiguous", code: "ECONNRESET" })
      const secret = yield* listening(Tls.createServer({ key, cert }))
      isClassed(yield* Effect.flip(dial(secret, { tls: true })), {
        class: "Fatal",
        code: "DEPTH_ZERO_SELF_SIGNED_CERT",
        sent: false
      })
    }).pipe(withMonitor))

  it.live("a request that was sent is Ambiguous, and it says so", () =>
    Effect.gen(function*() {
      const port = yield* listening(Net.createServer((socket) => void socket.once("data", () => socket.end())))
      const { open } = JsonRpcClient.connector()
      const client = yield* open(Endpoint.tcp("127.0.0.1", port))
      const answer = yield* Effect.result(JsonRpcClient.request(client, "save"))
      const failure = Result.getFailure(answer)
      isClassed(Option.getOrUndefined(failure), { class: "Ambiguous", code: "ConnectionLost", sent: true })
    }).pipe(withMonitor))
})
