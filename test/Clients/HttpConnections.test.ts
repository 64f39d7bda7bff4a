/**
 * The connections of `Http.layer`: TLS, faults of the network, what the monitor sees, and the pool behind it.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Context, Duration, Effect, Exit, Fiber, Layer } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Endpoint from "effect-sluice/Endpoint"
import * as Failure from "effect-sluice/Failure"
import * as Http from "effect-sluice/Http"
import { ResourceMonitor, TestMonitor } from "effect-sluice/ResourceMonitor"
import * as Monitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { FaultProxy } from "effect-sluice/Testing"
import * as HttpClient from "effect/http/HttpClient"
import type { HttpClientError } from "effect/http/HttpClientError"
import * as Fs from "node:fs"
import * as NodeHttp from "node:http"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Undici from "undici"
import { certificate, certifiedName } from "../support/Certificates.ts"
import { make } from "../support/HttpServer.ts"
import { eventually } from "../support/TcpServer.ts"

const layer = (options: Http.Options = {}) => Http.layer(options).pipe(Layer.provide(Monitor.layerUnlimited))

const getText = (url: string) => Effect.flatMap(HttpClient.get(url), (response) => response.text)

const stats = Effect.flatMap(Http.Pool, ConnectionPool.stats)

const until = (condition: Effect.Effect<boolean>, limit: Duration.Input = "10 seconds") =>
  Effect.timeout(Effect.repeat(Effect.delay(condition, 5), { until: (holds) => holds }), limit)

const causeOf = ({ reason }: HttpClientError): unknown => reason._tag === "TransportError" ? reason.cause : reason

const textOf = (error: HttpClientError): string => {
  const cause = causeOf(error)
  return cause instanceof Error ? cause.message : String(cause)
}

describe("TLS", () => {
  const secure = make((_, response) => response.end("secret"), { tls: certificate() })
  const to = (port: number): Http.Options => ({ endpoint: () => Endpoint.tcp("127.0.0.1", port) })

  it.live("verifies the server's certificate, by the name of the origin", () =>
    Effect.gen(function*() {
      const { account, port } = yield* secure
      const ask = Effect.forEach([1, 2, 3], () => getText(`https://${certifiedName}:${port}/`))
      const tls = { ca: certificate().cert }
      assert.deepStrictEqual(yield* Effect.provide(ask, layer({ ...to(port), tls })), ["secret", "secret", "secret"])
      assert.strictEqual(account.opened, 1)
    }))

  it.live("takes the server name from a header `host`, as undici does", () =>
    Effect.gen(function*() {
      const { account, port, url } = yield* secure
      const client = yield* HttpClient.HttpClient
      const ask = Effect.flatMap(client.get(url, { headers: { host: certifiedName } }), (response) => response.text)
      assert.strictEqual(yield* ask, "secret")
      assert.strictEqual(yield* ask, "secret")
      assert.strictEqual(account.opened, 1)
      const error = yield* Effect.flip(getText(url))
      assert.match(textOf(error), /IP: 127\.0\.0\.1 is not in the cert/)
      assert.isAbove(port, 0)
    }).pipe(Effect.provide(layer({ tls: { ca: certificate().cert }, acquireTimeout: "2 seconds" }))))

  it.live("fails after one dial when the authority is not known, and when the certificate is for another name", () =>
    Effect.gen(function*() {
      const { port } = yield* secure
      for (const [host, tls] of [[certifiedName, {}], ["other.test", { ca: certificate().cert }]] as const) {
        const [error, { failedAttempts }] = yield* Effect.all([Effect.flip(getText(`https://${host}:${port}/`)), stats])
          .pipe(Effect.provide(layer({ ...to(port), tls })))
        assert.match(textOf(error), /self-signed certificate|other\.test/)
        assert.strictEqual(failedAttempts, 1)
      }
    }))
})

describe("faults of the network", () => {
  const proxied = Effect.gen(function*() {
    const server = yield* make((_, response) => response.end("ok"))
    const proxy = yield* FaultProxy.make(Endpoint.tcp("127.0.0.1", server.port))
    return { proxy, server, url: `http://${proxy.endpoint}/` }
  })

  it.live("notices the end of an idle connection, so that the next request gets another one", () =>
    Effect.gen(function*() {
      const { proxy, url } = yield* proxied
      for (const fault of [proxy.cut, proxy.reset]) {
        assert.strictEqual(yield* getText(url), "ok")
        yield* fault
        yield* Effect.sleep(50)
        assert.strictEqual(yield* getText(url), "ok")
      }
    }).pipe(Effect.provide(layer())))

  it.live("leaves nothing behind at a network that has become a black hole", () =>
    Effect.gen(function*() {
      const { proxy, url } = yield* proxied
      const result = yield* Effect.gen(function*() {
        yield* Effect.forEach([1, 2, 3], () => getText(url), { concurrency: "unbounded" })
        yield* proxy.freeze
        return yield* Effect.timeoutOption(getText(url), "100 millis")
      }).pipe(Effect.provide(layer({ closeTimeout: "100 millis" })))
      assert.strictEqual(result._tag, "None")
      yield* proxy.thaw
      // Its server may need as long as that to notice the end.
      yield* until(Effect.map(proxy.connections, (open) => open === 0), "300 millis")
      assert.strictEqual(yield* proxy.connections, 0)
    }))

  it.live("fails a request whose connection is reset in its midst with undici's error, and serves the next one", () =>
    Effect.gen(function*() {
      const server = yield* make((request, response) => {
        if (request.url === "/reset") request.socket.resetAndDestroy()
        else response.end("ok")
      })
      const error = yield* Effect.flip(getText(`${server.url}/reset`))
      assert.strictEqual(Failure.classify(error).class, "Ambiguous")
      assert.strictEqual(yield* getText(server.url), "ok")
    }).pipe(Effect.provide(layer())))
})

describe("the monitor", () => {
  it.live("is asked for no descriptor by a request that reuses a connection", () =>
    Effect.gen(function*() {
      const test = yield* TestMonitor
      const { account, url } = yield* make((_, response) => response.end("ok"))
      yield* getText(url)
      yield* test.setLevel("Exhausted")
      for (let index = 0; index < 20; index++) assert.strictEqual(yield* getText(url), "ok")
      assert.strictEqual(account.opened, 1)
      const other = yield* make((_, response) => response.end("ok"))
      const error = yield* Effect.flip(getText(other.url))
      assert.instanceOf(causeOf(error), ConnectionPool.PoolError)
      assert.strictEqual(other.account.opened, 0)
    }).pipe(Effect.provide(Layer.provideMerge(Http.layer({ acquireTimeout: "200 millis" }), Monitor.layerTest))))

  it.live("counts each connection, and names the span and the line of the request that holds it", () =>
    Effect.gen(function*() {
      const monitor = yield* ResourceMonitor
      const { account, url } = yield* make(() => {})
      const rates = Effect.fn("Rates.today")(function*() {
        return yield* getText(url)
      })
      const request = yield* Effect.forkChild(rates(), { startImmediately: true })
      yield* eventually(() => account.requests === 1)
      const connections = Effect.map(
        monitor.usage,
        ({ connections: { used } }) => used._tag === "Known" ? used.value : -1
      )
      assert.strictEqual(yield* connections, 1)
      const [site] = yield* monitor.topSites(1)
      assert.match(site?.site ?? "", /HttpConnections\.test\.ts/)
      const error = yield* Effect.flip(getText(url))
      assert.match(textOf(error), /held longest by .*GET/)
      yield* Fiber.interrupt(request)
      yield* until(Effect.map(connections, (open) => open === 0))
    }).pipe(
      Effect.provide(
        Layer.provideMerge(Http.layer({ maxPerOrigin: 1, acquireTimeout: "100 millis" }), Monitor.layer)
      )
    ))
})

describe("Retry-After", () => {
  it.live("is honoured by a retry of a request that was answered 429 or 503", () =>
    Effect.gen(function*() {
      const { account, url } = yield* make((_, response) => {
        if (account.requests === 1) response.writeHead(429, { "retry-after": "1" }).end()
        else if (account.requests === 2) response.writeHead(503, { "retry-after": "1" }).end()
        else response.end("ok")
      })
      const client = HttpClient.filterStatusOk(yield* HttpClient.HttpClient)
      const ask = Effect.flatMap(client.get(url), (response) => response.text)
      const error = yield* Effect.flip(ask)
      const { code, retryAfter, ...failure } = Failure.classify(error)
      assert.strictEqual(failure.class, "RemoteSaturated")
      assert.strictEqual(code, "HTTP_429")
      assert.strictEqual(retryAfter === undefined ? 0 : Duration.toMillis(retryAfter), 1000)
      const policy = RetryPolicy.make({ ...RetryPolicy.network, initialDelay: "1 millis", maxDelay: "2 millis" })
      const start = performance.now()
      assert.strictEqual(yield* RetryPolicy.retry(ask, policy), "ok")
      // The delays of the policy come to a few milliseconds. The server has asked for a second.
      assert.isAtLeast(performance.now() - start, 990)
    }).pipe(Effect.provide(Layer.provideMerge(Http.layer(), Monitor.layerUnlimited))))
})

describe("what Http.layer provides", () => {
  it.live("a dispatcher for undici's own functions, whose requests lease from the same pool", () =>
    Effect.gen(function*() {
      const { account, url } = yield* make((request, response) => response.end(request.url))
      const dispatcher = yield* NodeHttpClient.Dispatcher
      const [first, second] = yield* Effect.promise(() =>
        Promise.all([Undici.request(`${url}/request`, { dispatcher }), Undici.fetch(`${url}/fetch`, { dispatcher })])
      )
      assert.strictEqual(yield* Effect.promise(() => first.body.text()), "/request")
      assert.strictEqual(yield* Effect.promise(() => second.text()), "/fetch")
      assert.strictEqual(account.opened, 1)
      const retrying = dispatcher.compose(Undici.interceptors.retry())
      const third = yield* Effect.promise(() => retrying.request({ origin: url, path: "/composed", method: "GET" }))
      assert.strictEqual(yield* Effect.promise(() => third.body.text()), "/composed")
      const late = yield* make(() => {})
      const fetching = yield* Effect.forkChild(
        Effect.tryPromise((signal) => Undici.fetch(late.url, { dispatcher, signal })),
        { startImmediately: true }
      )
      yield* eventually(() => late.account.requests === 1)
      yield* Fiber.interrupt(fetching)
      yield* eventually(() => late.sockets.size === 0)
      const refused = yield* Effect.exit(
        Effect.tryPromise(() => dispatcher.request({ origin: "ftp://host", path: "/", method: "GET" }))
      )
      assert.isTrue(Exit.isFailure(refused))
    }).pipe(Effect.provide(layer({ maxPerOrigin: 1 }))))

  it.live("an upgraded connection to its caller, who holds it until it is closed", () =>
    Effect.gen(function*() {
      const { server, url } = yield* make((_, response) => response.end("ok"))
      server.on("upgrade", (_, socket) => {
        socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n")
        socket.on("error", () => {}).pipe(socket)
      })
      const dispatcher = yield* NodeHttpClient.Dispatcher
      const pool = yield* Http.Pool
      const { socket } = yield* Effect.promise(() => Undici.upgrade(url, { dispatcher, protocol: "echo" }))
      socket.write("hello")
      const echo = yield* Effect.callback<string>((resume) =>
        void socket.once("data", (data) => resume(Effect.succeed(String(data))))
      )
      assert.strictEqual(echo, "hello")
      assert.include(yield* stats, { active: 1 })
      socket.destroy()
      yield* until(Effect.map(ConnectionPool.stats(pool), ({ total }) => total === 0))
      assert.strictEqual(yield* getText(url), "ok")
    }).pipe(Effect.provide(layer({ maxPerOrigin: 1, acquireTimeout: "2 seconds" }))))

  it.live("a pool of its own to each layer of a program", () =>
    Effect.gen(function*() {
      const { account, url } = yield* make((_, response) => response.end("ok"))
      const clientOf = (options: Http.Options) =>
        Effect.map(Layer.build(layer(options)), (context) => Context.get(context, HttpClient.HttpClient))
      const [one, other] = yield* Effect.all([clientOf({ maxPerOrigin: 1 }), clientOf({ maxPerOrigin: 2 })])
      for (const client of [one, other, one, other]) {
        yield* Effect.flatMap(client.get(url), (response) => response.text)
      }
      assert.strictEqual(account.opened, 2)
    }))

  it.live("connections to a Unix socket", () => {
    const path = Path.join(Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-http-")), "socket")
    return Effect.gen(function*() {
      yield* Effect.acquireRelease(
        Effect.callback<NodeHttp.Server>((resume) => {
          const server = NodeHttp.createServer((request, response) => response.end(request.headers.host))
          server.listen(path, () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
      )
      const text = yield* Effect.provide(getText("http://docker/info"), layer({ endpoint: () => Endpoint.unix(path) }))
      assert.strictEqual(text, "docker")
    })
  })

  it.live("options from Config, which fail with ConfigError", () =>
    Effect.gen(function*() {
      const { account, url } = yield* make((_, response) => void setTimeout(() => response.end("ok"), 5))
      const ofConfig = (value: string) =>
        Http.layerConfig({ maxPerOrigin: Config.Int("PER_ORIGIN") }).pipe(
          Layer.provide(Layer.merge(
            Monitor.layerUnlimited,
            ConfigProvider.layer(ConfigProvider.fromUnknown({ PER_ORIGIN: value }))
          ))
        )
      const ask = Effect.forEach([1, 2, 3, 4, 5, 6], () => getText(url), { concurrency: "unbounded" })
      yield* Effect.provide(ask, ofConfig("2"))
      assert.strictEqual(account.peak, 2)
      for (const value of ["many", "0"]) {
        const error = yield* Effect.flip(Effect.provide(ask, ofConfig(value)))
        assert.strictEqual(error._tag, "ConfigError")
      }
    }))

  it.live("a defect for an option that makes no sense", () =>
    Effect.gen(function*() {
      for (const options of [{ maxPerOrigin: 0 }, { unreadBody: 0 }, { keepAliveTimeout: -1 }, { connectTimeout: 0 }]) {
        const exit = yield* Effect.exit(Effect.scoped(Layer.build(layer(options))))
        assert.isTrue(Exit.hasDies(exit), JSON.stringify(options))
      }
    }))

  it.live("answers under way the time of `drainTimeout` at the end of its scope, and closes everything then", () =>
    Effect.gen(function*() {
      const { account, sockets, url } = yield* make((request, response) => {
        if (request.url === "/soon") setTimeout(() => response.end("ok"), 100)
      })
      const [soon, never] = yield* Effect.gen(function*() {
        const client = yield* HttpClient.HttpClient
        const ask = (path: string) =>
          Effect.forkDetach(
            Effect.exit(Effect.flatMap(client.get(`${url}${path}`), (response) => response.text)),
            { startImmediately: true }
          )
        const requests = yield* Effect.all([ask("/soon"), ask("/never")])
        yield* eventually(() => account.requests === 2)
        return requests
      }).pipe(Effect.provide(layer({ drainTimeout: "400 millis" })))
      assert.deepStrictEqual(yield* Fiber.join(soon), Exit.succeed("ok"))
      assert.isTrue(Exit.isFailure(yield* Fiber.join(never)))
      yield* eventually(() => sockets.size === 0)
    }))
})
