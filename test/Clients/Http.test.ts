/**
 * `Http.layer` against real servers of HTTP: every figure is what the server has counted.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Stream } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Http from "effect-sluice/Http"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as HttpClient from "effect/http/HttpClient"
import type { HttpClientError } from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Undici from "undici"
import { closeGracefully, make } from "../support/HttpServer.ts"
import * as TcpServer from "../support/TcpServer.ts"

const layer = (options: Http.Options = {}) => Http.layer(options).pipe(Layer.provide(ResourceMonitor.layerUnlimited))

const getText = (url: string) => Effect.flatMap(HttpClient.get(url), (response) => response.text)

const stats = Effect.flatMap(Http.Pool, ConnectionPool.stats)

const times = (count: number) => Array.from({ length: count }, (_, index) => index)

/** The error of undici, of the pool or of the monitor in the error of a request. */
const causeOf = ({ reason }: HttpClientError): unknown =>
  reason._tag === "TransportError" || reason._tag === "DecodeError" ? reason.cause : reason

const reasonOf = (error: HttpClientError): string => {
  const cause = causeOf(error)
  return cause instanceof ConnectionPool.PoolError ? cause.reason._tag : String(cause)
}

describe("Http.layer", () => {
  it.live("sends requests one after the other on one connection", () =>
    Effect.gen(function*() {
      const { account, url } = yield* make((request, response) => response.end(request.url))
      const texts = yield* Effect.forEach(times(50), (index) => getText(`${url}/${index}`))
      assert.deepStrictEqual(texts, times(50).map((index) => `/${index}`))
      assert.strictEqual(account.opened, 1)
      assert.include(yield* stats, { total: 1, idle: 1, opened: 1 })
    }).pipe(Effect.provide(layer())))

  it.live("opens as many connections to an origin as its cap has, and as many in all", () =>
    Effect.gen(function*() {
      const slow = make((_, response) => void setTimeout(() => response.end("late"), 5))
      const servers = yield* Effect.all([slow, slow, slow])
      let most = 0
      const timer = setInterval(() => {
        most = Math.max(most, servers.reduce((open, { sockets }) => open + sockets.size, 0))
      }, 1)
      yield* Effect.addFinalizer(() => Effect.sync(() => clearInterval(timer)))
      const urls = times(240).map((index) => servers[index % 3]?.url ?? "")
      yield* Effect.forEach(urls, getText, { concurrency: "unbounded", discard: true })
      for (const { account } of servers) {
        assert.isAtMost(account.peak, 4)
        assert.strictEqual(account.requests, 80)
      }
      assert.isAtMost(most, 6)
    }).pipe(Effect.provide(layer({ maxPerOrigin: 4, maxTotal: 6 }))))

  it.live("fails no request after an answer of HTTP/1.0, which ends its connection without a header", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.make((socket) =>
        void socket.once("data", () => socket.end("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok"))
      )
      const texts = yield* Effect.forEach(times(100), () => getText(`http://${server.endpoint}/`), { concurrency: 8 })
      assert.deepStrictEqual(texts, times(100).map(() => "ok"))
    }).pipe(Effect.provide(layer({ maxPerOrigin: 2 }))))

  it.live("follows 60 redirects over one connection", () =>
    Effect.gen(function*() {
      const { account, url } = yield* make((request, response) => {
        const step = Number(request.url?.slice(1))
        if (step === 60) return response.end("arrived")
        return response.writeHead(302, { location: `/${step + 1}` }).end("moved")
      })
      const client = HttpClient.followRedirects(yield* HttpClient.HttpClient, 60)
      const response = yield* client.get(`${url}/0`)
      assert.strictEqual(yield* response.text, "arrived")
      assert.strictEqual(account.requests, 61)
      assert.strictEqual(account.opened, 1)
    }).pipe(Effect.provide(layer())))

  it.live("leaves no connection unused, so that the server's own close ends at once after the scope", () =>
    Effect.gen(function*() {
      const server = yield* make((_, response) => response.end("x".repeat(100)))
      yield* Effect.forEach(times(200), () => getText(server.url), { concurrency: 8, discard: true }).pipe(
        Effect.provide(layer({ maxPerOrigin: 4 }))
      )
      const millis = yield* closeGracefully(server)
      assert.strictEqual(server.account.unused, 0)
      // With a connection that is open and unused it takes until a timeout of the server, which is counted in seconds.
      assert.isBelow(millis, 1000)
    }))

  it.live("closes the connection of an interrupted request, and serves the next one", () =>
    Effect.gen(function*() {
      const { account, sockets, url } = yield* make((request, response) => {
        if (request.url === "/ok") response.end("ok")
      })
      for (const _ of times(5)) {
        const request = yield* Effect.forkChild(getText(url), { startImmediately: true })
        yield* TcpServer.eventually(() => sockets.size === 1)
        yield* Effect.sleep(5)
        yield* Fiber.interrupt(request)
        yield* TcpServer.eventually(() => sockets.size === 0)
      }
      assert.strictEqual(yield* getText(`${url}/ok`), "ok")
      assert.strictEqual(account.opened, 6)
      assert.include(yield* stats, { total: 1, idle: 1, waiting: 0 })
    }).pipe(Effect.provide(layer({ maxPerOrigin: 1 }))))

  it.live("forgets an interrupted request that waits for a connection", () =>
    Effect.gen(function*() {
      const { account, url } = yield* make((_, response) => void setTimeout(() => response.end("ok"), 50))
      const first = yield* Effect.forkChild(getText(url), { startImmediately: true })
      const second = yield* Effect.forkChild(getText(url), { startImmediately: true })
      yield* TcpServer.eventually(() => account.requests === 1)
      yield* Fiber.interrupt(second)
      assert.include(yield* stats, { waiting: 0 })
      yield* Fiber.join(first)
      assert.strictEqual(account.requests, 1)
    }).pipe(Effect.provide(layer({ maxPerOrigin: 1 }))))

  it.live("closes the connection of a body that is left in its midst", () =>
    Effect.gen(function*() {
      const { sockets, url } = yield* make((request, response) => {
        if (request.url === "/ok") return void response.end("ok")
        const timer = setInterval(() => response.write("x".repeat(50_000)), 1)
        response.on("close", () => clearInterval(timer))
      })
      const response = yield* HttpClient.get(url)
      const parts = yield* Stream.runCollect(Stream.take(response.stream, 3))
      assert.strictEqual(parts.length, 3)
      assert.strictEqual(yield* getText(`${url}/ok`), "ok")
      assert.strictEqual(sockets.size, 1)
    }).pipe(Effect.provide(layer({ maxPerOrigin: 1 }))))

  it.live("ends an answer that was not read when its scope ends", () =>
    Effect.gen(function*() {
      const { url } = yield* make((_, response) => response.end("x".repeat(1_000_000)))
      const client = HttpClient.withScope(yield* HttpClient.HttpClient)
      yield* Effect.forEach(times(10), () => Effect.scoped(client.get(url)), { discard: true })
      assert.include(yield* stats, { active: 0, waiting: 0 })
    }).pipe(Effect.provide(layer({ maxPerOrigin: 1, acquireTimeout: "2 seconds" }))))

  it.live("frees the connections of bodies that nobody reads, says so to a late reader, and reports them", () =>
    Effect.gen(function*() {
      const monitor = yield* ResourceMonitor.ResourceMonitor
      const { url } = yield* make((request, response) =>
        void response.end(request.url === "/ok" ? "ok" : "x".repeat(1_000_000))
      )
      const unread = yield* Effect.forEach(times(3), () => HttpClient.get(`${url}/large`), { concurrency: 3 })
      assert.include(yield* stats, { active: 3 })
      assert.strictEqual(yield* getText(`${url}/ok`), "ok")
      yield* Effect.sleep("1 second")
      const errors = yield* Effect.forEach(unread, (response) => Effect.flip(response.text))
      for (const error of errors) assert.instanceOf(causeOf(error), Http.UnreadBody)
      const leaks = yield* monitor.recentLeaks()
      assert.strictEqual(leaks.length, 3)
      for (const leak of leaks) assert.match(leak.message, /body that was not read.*has been held for.* by GET/)
    }).pipe(
      Effect.provide(Layer.provideMerge(
        Http.layer({ maxPerOrigin: 3, unreadBody: "400 millis" }),
        ResourceMonitor.layerUnlimited
      ))
    ))

  it.live("frees the connection of a body that a reader of `fetch` leaves alone, and not one that it reads slowly", () =>
    Effect.gen(function*() {
      const { url } = yield* make((_, response) => response.end("x".repeat(4_000_000)))
      const dispatcher = yield* NodeHttpClient.Dispatcher
      const fetched = () => Effect.promise(() => Undici.fetch(url, { dispatcher }))
      const [unread, slow] = yield* Effect.all([fetched(), fetched()])
      const reader = slow.body?.getReader()
      let length = 0
      for (let done = false; !done;) {
        const part = yield* Effect.promise(async () => reader?.read())
        length += part?.value?.byteLength ?? 0
        done = part?.done !== false
        if (length < 1_000_000) yield* Effect.sleep(20)
      }
      assert.strictEqual(length, 4_000_000)
      const late = yield* Effect.exit(Effect.tryPromise(() => unread.text()))
      assert.isTrue(Exit.isFailure(late))
      assert.include(yield* stats, { active: 0 })
    }).pipe(Effect.provide(layer({ maxPerOrigin: 2, unreadBody: "100 millis" }))))

  it.live("ends a request that takes longer than `maxLease`, with the pool's error", () =>
    Effect.gen(function*() {
      const { sockets, url } = yield* make((request, response) => {
        if (request.url === "/slow") response.write("part ")
        else if (request.url === "/ok") response.end("ok")
      })
      const silent = yield* Effect.flip(getText(`${url}/silent`))
      assert.strictEqual(reasonOf(silent), "LeaseExpired")
      const slow = yield* Effect.flip(getText(`${url}/slow`))
      assert.strictEqual(reasonOf(slow), "LeaseExpired")
      assert.strictEqual(yield* getText(`${url}/ok`), "ok")
      yield* TcpServer.eventually(() => sockets.size === 1)
    }).pipe(Effect.provide(layer({ maxPerOrigin: 1, maxLease: "100 millis" }))))

  it.live("waits for a slow body that is being read for longer than `unreadBody`", () =>
    Effect.gen(function*() {
      const { url } = yield* make((_, response) => {
        response.write("slow ")
        setTimeout(() => response.end("body"), 300)
      })
      assert.strictEqual(yield* getText(url), "slow body")
      const response = yield* HttpClient.get(url)
      assert.strictEqual(yield* Stream.mkString(Stream.decodeText(response.stream)), "slow body")
    }).pipe(Effect.provide(layer({ unreadBody: "50 millis" }))))

  it.live("fails with the pool's error when no connection is free in time", () =>
    Effect.gen(function*() {
      const { url } = yield* make(() => {})
      yield* Effect.forkChild(getText(url), { startImmediately: true })
      const error = yield* Effect.flip(getText(url))
      assert.strictEqual(error._tag, "HttpClientError")
      assert.strictEqual(error.reason._tag, "TransportError")
      assert.strictEqual(reasonOf(error), "AcquireTimeout")
    }).pipe(Effect.provide(layer({ maxPerOrigin: 1, acquireTimeout: "100 millis", drainTimeout: 0 }))))

  it.live("fails with the pool's error and the server's refusal when nothing listens", () =>
    Effect.gen(function*() {
      const { url } = yield* Effect.scoped(make(() => {}))
      const error = yield* Effect.flip(getText(url))
      const cause = causeOf(error)
      assert.instanceOf(cause, ConnectionPool.PoolError)
      assert.match(cause.message, /ECONNREFUSED/)
    }).pipe(Effect.provide(layer({ acquireTimeout: "300 millis" }))))

  it.live("is interrupted at a silent server, and leaves no connection there", () =>
    Effect.gen(function*() {
      const { sockets, url } = yield* make(() => {})
      const result = yield* Effect.timeoutOption(getText(url), "50 millis").pipe(Effect.provide(layer()))
      assert.strictEqual(result._tag, "None")
      yield* TcpServer.eventually(() => sockets.size === 0)
    }))

  it.live("sends a body, headers and a method as they are", () =>
    Effect.gen(function*() {
      const { url } = yield* make((request, response) => {
        response.setHeader("x-method", request.method ?? "")
        request.pipe(response)
      })
      const client = yield* HttpClient.HttpClient
      const text = HttpClientRequest.post(url).pipe(HttpClientRequest.bodyText("hello"))
      const response = yield* client.execute(text)
      assert.strictEqual(response.headers["x-method"], "POST")
      assert.strictEqual(yield* response.text, "hello")
      const parts = Stream.fromIterable(["a", "b", "c"]).pipe(Stream.encodeText)
      const streamed = yield* client.execute(HttpClientRequest.bodyStream(HttpClientRequest.put(url), parts))
      assert.strictEqual(yield* streamed.text, "abc")
      assert.include(yield* stats, { total: 1 })
    }).pipe(Effect.provide(layer({ maxPerOrigin: 1 }))))
})
