import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Scope } from "effect"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import type * as Net from "node:net"
import * as RawSocket from "../../src/Resource/RawSocket.ts"
import * as TcpServer from "../support/TcpServer.ts"

const received = (raw: Net.Socket) =>
  Effect.promise(() => new Promise<string>((resolve) => raw.once("data", (bytes) => resolve(String(bytes)))))

/** A scope that ends before the test does. */
const inner = Effect.acquireRelease(Scope.make(), Scope.close)

describe("a raw socket", () => {
  it.live("gives its driver all bytes, those included that came before it listened", () =>
    Effect.gen(function*() {
      const { endpoint } = yield* TcpServer.make((socket) => {
        socket.write("early")
        socket.on("data", (bytes) => socket.write(bytes))
      })
      const { raw } = yield* RawSocket.dial()(endpoint)
      yield* Effect.sleep("30 millis")
      assert.strictEqual(yield* received(raw), "early")
      raw.write("echo")
      assert.strictEqual(yield* received(raw), "echo")
      raw.end()
    }))

  it.live("is dead as soon as the peer has ended its side", () =>
    Effect.gen(function*() {
      const { endpoint, sockets } = yield* TcpServer.make(() => {})
      const socket = yield* RawSocket.dial()(endpoint)
      socket.raw.on("data", () => {})
      assert.isFalse(socket.isDead())
      yield* TcpServer.eventually(() => sockets.size === 1)
      sockets.forEach((peer) => peer.end())
      yield* socket.dead
      assert.isTrue(socket.isDead())
    }))

  it.live("is awaited when its driver has ended it, and destroyed when that takes longer than closeTimeout", () =>
    Effect.gen(function*() {
      const { endpoint } = yield* TcpServer.make(() => {}, { allowHalfOpen: true })
      const scope = yield* inner
      const { raw } = yield* Scope.provide(RawSocket.dial({ closeTimeout: "50 millis" })(endpoint), scope)
      raw.on("data", () => {}).end("bye")
      const begin = performance.now()
      yield* Scope.close(scope, Exit.void)
      // A timer may ring a millisecond early.
      assert.isAtLeast(performance.now() - begin, 49)
      assert.isTrue(raw.closed)
    }))

  it.live("passes the gate, and counts until it is closed", () =>
    Effect.gen(function*() {
      const { endpoint } = yield* TcpServer.make((socket) => socket.resume().on("end", () => socket.end()))
      const { usage } = yield* ResourceMonitor.ResourceMonitor
      const open = Effect.map(usage, ({ connections: { used } }) => used._tag === "Known" ? used.value : undefined)
      const scope = yield* inner
      const { raw } = yield* Scope.provide(RawSocket.dial()(endpoint), scope)
      assert.strictEqual(yield* open, 1)
      const refused = yield* Effect.flip(Effect.scoped(RawSocket.dial()(endpoint)))
      assert.include(refused.message, "connections")
      raw.on("data", () => {}).end()
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(yield* open, 0)
    }).pipe(Effect.provide(Layer.fresh(ResourceMonitor.layerOptions({ maxConnections: 1, headroom: 0 })))))
})
