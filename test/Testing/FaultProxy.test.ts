import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import * as Endpoint from "effect-sluice/Endpoint"
import * as TcpConnection from "effect-sluice/TcpConnection"
import { FaultProxy } from "effect-sluice/Testing"
import { TestClock } from "effect/testing"
import * as Crypto from "node:crypto"
import * as Net from "node:net"
import * as TcpServer from "../support/TcpServer.ts"

const decoder = new TextDecoder()

const readText = (connection: TcpConnection.TcpConnection) =>
  Effect.map(connection.read, (bytes) => decoder.decode(bytes))

const ask = (connection: TcpConnection.TcpConnection, text: string) =>
  Effect.andThen(connection.write(text), readText(connection))

/** A server that echoes, a proxy in front of it, and one client that has had an answer. */
const setUp = Effect.gen(function*() {
  const server = yield* TcpServer.echo
  const proxy = yield* FaultProxy.make(server.endpoint)
  const connection = yield* TcpConnection.connect(proxy.endpoint, { closeTimeout: "100 millis" })
  assert.strictEqual(yield* ask(connection, "hello"), "hello")
  return { server, proxy, connection }
})

/** Whether nothing arrives for a while, in real time. */
const isSilent = (connection: TcpConnection.TcpConnection) =>
  Effect.map(Effect.timeoutOption(connection.read, "60 millis"), (answer) => answer._tag === "None")

describe("FaultProxy", () => {
  it.live("forwards everything without a fault, in both directions, and ends as the sides do", () =>
    Effect.gen(function*() {
      const { connection, proxy, server } = yield* Effect.scoped(setUp)
      yield* TcpServer.eventually(() => server.sockets.size === 0)
      assert.deepInclude(server.account, { opened: 1, graceful: 1, broken: 0 })
      assert.strictEqual((yield* connection.closed).how, "Graceful")
      assert.deepStrictEqual([yield* proxy.connections, yield* proxy.accepted], [0, 1])
    }).pipe(Effect.scoped))

  it.live("loses and reorders nothing of much, however slowly it is read", () =>
    Effect.gen(function*() {
      const sent = Crypto.randomBytes(8 * 1024 * 1024)
      const server = yield* TcpServer.make((socket) => void socket.end(sent))
      const proxy = yield* FaultProxy.make(server.endpoint)
      const connection = yield* TcpConnection.connect(proxy.endpoint)
      const received = Crypto.createHash("sha256")
      let size = 0
      while (size < sent.length) {
        const bytes = yield* connection.read
        received.update(bytes)
        size += bytes.length
        if (size % 7 === 0) yield* Effect.sleep("1 millis")
      }
      const expected = Crypto.createHash("sha256").update(sent).digest("hex")
      assert.deepStrictEqual([size, received.digest("hex")], [sent.length, expected])
      const error = yield* Effect.flip(connection.read)
      assert.strictEqual(error.reason._tag, "ConnectionClosed")
    }).pipe(Effect.scoped))

  it.live("cut ends both sides, and none of them sees an error", () =>
    Effect.gen(function*() {
      const { connection, proxy, server } = yield* setUp
      yield* proxy.cut
      const error = yield* Effect.flip(connection.read)
      assert.strictEqual(error.reason._tag, "ConnectionClosed")
      yield* TcpServer.eventually(() => server.sockets.size === 0)
      assert.deepInclude(server.account, { graceful: 1, broken: 0 })
    }).pipe(Effect.scoped))

  it.live("a reset right after a cut closes every descriptor", () =>
    Effect.gen(function*() {
      const { connection, proxy, server } = yield* setUp
      yield* Effect.andThen(proxy.cut, proxy.reset)
      yield* connection.closed
      yield* TcpServer.eventually(() => server.sockets.size === 0)
      assert.strictEqual(yield* proxy.connections, 0)
    }).pipe(Effect.scoped))

  it.live("reset breaks both sides", () =>
    Effect.gen(function*() {
      const { connection, proxy, server } = yield* setUp
      yield* proxy.reset
      const ending = yield* connection.closed
      assert.deepInclude(ending, { how: "Reset", code: "ECONNRESET" })
      yield* TcpServer.eventually(() => server.sockets.size === 0)
      assert.deepInclude(server.account, { graceful: 0, broken: 1 })
      // Others may connect and are not broken.
      const next = yield* TcpConnection.connect(proxy.endpoint)
      assert.strictEqual(yield* ask(next, "again"), "again")
    }).pipe(Effect.scoped))

  it.live("freeze is silence for both sides, also for those that connect meanwhile, until thaw", () =>
    Effect.gen(function*() {
      const { connection, proxy, server } = yield* setUp
      yield* proxy.freeze
      yield* connection.write("late")
      assert.isTrue(yield* isSilent(connection))
      const second = yield* TcpConnection.connect(proxy.endpoint)
      yield* second.write("later")
      assert.isTrue(yield* isSilent(second))
      // Not even an end comes through.
      for (const socket of server.sockets) socket.end()
      assert.isTrue(yield* isSilent(connection))
      yield* proxy.thaw
      assert.strictEqual((yield* Effect.flip(connection.read)).reason._tag, "ConnectionClosed")
    }).pipe(Effect.scoped))

  it.live("thaw passes on what has waited, in order", () =>
    Effect.gen(function*() {
      const { connection, proxy } = yield* setUp
      yield* proxy.freeze
      yield* connection.write("one ")
      yield* Effect.sleep("20 millis")
      yield* connection.write("two")
      yield* Effect.sleep("20 millis")
      yield* proxy.thaw
      let text = ""
      while (text.length < 7) text += yield* readText(connection)
      assert.strictEqual(text, "one two")
    }).pipe(Effect.scoped))

  it.live("refuse turns new clients away and keeps those that are there, until accept", () =>
    Effect.gen(function*() {
      const { connection, proxy } = yield* setUp
      yield* proxy.refuse
      yield* proxy.refuse
      const error = yield* Effect.flip(TcpConnection.connect(proxy.endpoint))
      assert.include(String(error), "ECONNREFUSED")
      assert.strictEqual(yield* ask(connection, "still here"), "still here")
      yield* proxy.accept
      yield* proxy.accept
      const next = yield* TcpConnection.connect(proxy.endpoint)
      assert.strictEqual(yield* ask(next, "welcome"), "welcome")
      assert.strictEqual(yield* proxy.connections, 2)
    }).pipe(Effect.scoped))

  it.effect("delay passes on each piece that much later, and no piece twice as late, on the clock of the test", () =>
    Effect.gen(function*() {
      const { connection, proxy } = yield* setUp
      yield* proxy.delay("10 seconds")
      const answer = yield* Effect.forkChild(ask(connection, "slow"), { startImmediately: true })
      // The bytes are real and the time is not: they have arrived at the proxy when real time has passed.
      const arrived = TcpServer.eventually(() => false, 40)
      yield* arrived
      yield* TestClock.adjust("9999 millis")
      yield* arrived
      assert.strictEqual(answer.pollUnsafe(), undefined)
      yield* TestClock.adjust("1 millis")
      yield* arrived
      assert.strictEqual(answer.pollUnsafe(), undefined, "the answer is delayed as well")
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* Fiber.join(answer), "slow")
      yield* proxy.delay(0)
      assert.strictEqual(yield* ask(connection, "fast"), "fast")
    }).pipe(Effect.scoped))

  it.live("resets a client whose target cannot be reached", () =>
    Effect.gen(function*() {
      const target = yield* Effect.scoped(Effect.map(TcpServer.silent, ({ endpoint }) => endpoint))
      const proxy = yield* FaultProxy.make(target)
      const connection = yield* TcpConnection.connect(proxy.endpoint)
      assert.deepInclude(yield* connection.closed, { how: "Reset" })
      yield* TcpServer.eventually(() => false, 10)
      assert.strictEqual(yield* proxy.connections, 0)
    }).pipe(Effect.scoped))

  it.live("closes everything with its scope, also while it is frozen, refuses and has connections", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.echo
      const scope = yield* Scope.make()
      const proxy = yield* Scope.provide(FaultProxy.make(server.endpoint), scope)
      const connections = yield* Effect.all(
        Array.from({ length: 5 }, () => TcpConnection.connect(proxy.endpoint, { closeTimeout: "50 millis" }))
      )
      yield* Effect.forEach(connections, (connection) => ask(connection, "hello"))
      yield* proxy.freeze
      yield* proxy.refuse
      yield* Scope.close(scope, Exit.void)
      yield* Effect.forEach(connections, (connection) => connection.dead)
      yield* TcpServer.eventually(() => server.sockets.size === 0)
      assert.deepStrictEqual([server.sockets.size, server.account.opened], [0, 5])
      assert.strictEqual(yield* proxy.connections, 0)
    }).pipe(Effect.scoped))

  it.live("says so when its port has been taken while it refused", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.echo
      const proxy = yield* FaultProxy.make(server.endpoint)
      const { port } = proxy.endpoint
      yield* proxy.refuse
      const squatter = Net.createServer().listen(port, "127.0.0.1")
      yield* Effect.addFinalizer(() => Effect.sync(() => squatter.close()))
      yield* TcpServer.eventually(() => squatter.listening)
      const error = yield* Effect.flip(proxy.accept)
      assert.strictEqual(error._tag, "FaultProxyError")
      assert.include(error.message, `the proxy cannot listen on port ${port} of 127.0.0.1: Error: listen EADDRINUSE`)
      squatter.close()
      yield* TcpServer.eventually(() => !squatter.listening)
      yield* proxy.accept
      const connection = yield* TcpConnection.connect(proxy.endpoint)
      assert.strictEqual(yield* ask(connection, "back"), "back")
    }).pipe(Effect.scoped))

  it.live("refuses a delay that makes no sense", () =>
    Effect.gen(function*() {
      const proxy = yield* FaultProxy.make(Endpoint.tcp("127.0.0.1", 1))
      for (const delay of [-1, Infinity]) assert.throws(() => proxy.delay(delay), /FaultProxy: option delay is/)
    }).pipe(Effect.scoped))
})
