/**
 * What becomes of a request whose connection has ended before it was written, which a pool that notices deaths hardly ever leases.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as Endpoint from "effect-sluice/Endpoint"
import * as Http from "effect-sluice/Http"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as Undici from "undici"
import { makeDispatcher } from "../../../../src/Clients/internal/http/Dispatcher.ts"
import { HttpConnection } from "../../../../src/Clients/internal/http/HttpConnection.ts"
import * as RawSocket from "../../../../src/Resource/RawSocket.ts"
import { make } from "../../../support/HttpServer.ts"
import { eventually } from "../../../support/TcpServer.ts"

const dial = RawSocket.dial()

/** A dispatcher whose first connections have ended before they are leased, which its pool does not know. */
const dispatcherTo = (port: number, url: string, dead: number) =>
  Effect.gen(function*() {
    let opened = 0
    const connector = Connector.make({
      open: (origin: string) =>
        Effect.map(dial(Endpoint.tcp("127.0.0.1", port)), (socket) => {
          if (++opened <= dead) socket.raw.destroy()
          return new HttpConnection(Undici, origin, socket, { keepAliveTimeout: 4000 })
        }),
      isReusable: (connection, exit) => exit === undefined || connection.isReusable
    })
    const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1, closeTimeout: 0 })
    const dispatcher = makeDispatcher(Undici, {
      pool,
      unread: undefined,
      aborted: () => new Undici.errors.RequestAbortedError(),
      reportUnread: () => {},
      context: Context.empty(),
      drainTimeout: 0
    })
    return Effect.tryPromise(() => dispatcher.request({ origin: url, path: "/", method: "POST", body: "once" }))
  }).pipe(Effect.provide(ResourceMonitor.layerUnlimited))

describe("a request whose connection has ended before it was written", () => {
  for (const dead of [1, 2]) {
    it.live(`is sent on another one, after ${dead}`, () =>
      Effect.gen(function*() {
        const { account, port, url } = yield* make((request, response) => void request.pipe(response))
        const { body } = yield* yield* dispatcherTo(port, url, dead)
        assert.strictEqual(yield* Effect.promise(() => body.text()), "once")
        assert.strictEqual(account.requests, 1)
      }))
  }

  it.live("fails after three, and says that nothing was sent", () =>
    Effect.gen(function*() {
      const { account, port, url } = yield* make((_, response) => response.end("ok"))
      const { cause } = yield* Effect.flip(yield* dispatcherTo(port, url, 3))
      assert.instanceOf(cause, Http.RequestNotSent)
      assert.isFalse(cause.sent)
      assert.strictEqual(account.requests, 0)
    }))
})

describe("a connection that no request has used", () => {
  it.live("ends after `keepAliveTimeout`, and takes no request then", () =>
    Effect.gen(function*() {
      const { port, sockets, url } = yield* make((_, response) => response.end("ok"))
      const socket = yield* dial(Endpoint.tcp("127.0.0.1", port))
      const connection = new HttpConnection(Undici, url, socket, { keepAliveTimeout: 50 })
      assert.isTrue(connection.isReusable)
      yield* connection.dead
      yield* eventually(() => sockets.size === 0)
      assert.isFalse(connection.isReusable)
      const { cause } = yield* Effect.flip(
        Effect.tryPromise(() => connection.client.request({ path: "/", method: "GET" }))
      )
      assert.instanceOf(cause, Http.RequestNotSent)
    }).pipe(Effect.provide(ResourceMonitor.layerUnlimited)))

  it.live("notices the end of its server", () =>
    Effect.gen(function*() {
      const { port, sockets, url } = yield* make((_, response) => response.end("ok"))
      const socket = yield* dial(Endpoint.tcp("127.0.0.1", port))
      const connection = new HttpConnection(Undici, url, socket, { keepAliveTimeout: 60_000 })
      yield* eventually(() => sockets.size === 1)
      for (const peer of sockets) peer.end()
      yield* connection.dead
      assert.isFalse(connection.isReusable)
      connection.end()
    }).pipe(Effect.provide(ResourceMonitor.layerUnlimited)))
})
