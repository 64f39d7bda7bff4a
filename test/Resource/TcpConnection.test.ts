import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Scope } from "effect"
import * as Endpoint from "effect-sluice/Endpoint"
import * as TcpConnection from "effect-sluice/TcpConnection"
import { TestClock } from "effect/testing"
import * as Net from "node:net"
import { countDescriptors } from "../support/descriptors.ts"
import * as TcpServer from "../support/TcpServer.ts"

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

describe("TcpConnection", () => {
  it.live("reads and writes from two fibers, and closes gracefully with its scope", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.echo
      const ending = yield* Effect.scoped(Effect.gen(function*() {
        const connection = yield* TcpConnection.connect(server.endpoint)
        const reader = yield* Effect.forkChild(connection.read, { startImmediately: true })
        yield* connection.write("ping")
        assert.strictEqual(text(yield* Fiber.join(reader)), "ping")
        return connection.closed
      })).pipe(Effect.flatten)
      assert.deepStrictEqual(ending, { how: "Graceful", code: undefined, bytesRead: 4, bytesWritten: 4 })
      yield* server.drained
      assert.deepStrictEqual(server.account, { opened: 1, peak: 1, graceful: 1, broken: 0 })
    }))

  it.live("flushes what was written before it closes", () =>
    Effect.gen(function*() {
      let received = 0
      const server = yield* TcpServer.make((socket) => void socket.on("data", (data) => received += data.length))
      const size = 4 * 1024 * 1024
      yield* Effect.scoped(Effect.gen(function*() {
        const connection = yield* TcpConnection.connect(server.endpoint)
        yield* Effect.forkChild(connection.write(new Uint8Array(size)), { startImmediately: true })
      }))
      yield* server.drained
      assert.strictEqual(received, size)
      assert.strictEqual(server.account.graceful, 1)
    }))

  it.live("a refused dial fails with DialFailed and leaves no descriptor", () =>
    Effect.gen(function*() {
      const gone = yield* Effect.scoped(Effect.map(TcpServer.echo, (server) => server.endpoint))
      const before = countDescriptors()
      const error = yield* Effect.scoped(Effect.flip(TcpConnection.connect(gone)))
      assert.strictEqual(error.reason._tag, "DialFailed")
      assert.strictEqual(error.reason._tag === "DialFailed" && error.reason.code, "ECONNREFUSED")
      assert.isTrue(error.isRetryable)
      assert.include(error.message, String(gone))
      assert.strictEqual(countDescriptors(), before)
    }))

  it.live("a host that does not exist fails with DialFailed", () =>
    Effect.gen(function*() {
      const error = yield* Effect.scoped(Effect.flip(TcpConnection.connect(Endpoint.tcp("no-such-host.invalid", 1))))
      assert.strictEqual(error.reason._tag, "DialFailed")
    }))

  it.live("a dial that takes too long fails with DialTimeout, and the late socket is destroyed", () =>
    Effect.gen(function*() {
      const { endpoint, sockets } = yield* TcpServer.silent
      const before = countDescriptors()
      // TLS against a server that never answers the handshake: TCP is up, the connection is not.
      const error = yield* Effect.scoped(
        Effect.flip(TcpConnection.connect(endpoint, { tls: true, connectTimeout: "50 millis" }))
      )
      assert.strictEqual(error.reason._tag, "DialTimeout")
      assert.include(error.message, "50ms")
      yield* TcpServer.eventually(() => sockets.size === 0)
      assert.strictEqual(sockets.size, 0)
      assert.strictEqual(countDescriptors(), before)
    }))

  it.live("an interrupted dial is destroyed at once, also while the caller's scope lives on", () =>
    Effect.gen(function*() {
      const { account, endpoint, sockets } = yield* TcpServer.silent
      const scope = yield* Effect.scope
      for (let turn = 0; turn < 20; turn++) {
        const fiber = yield* TcpConnection.connect(endpoint, { tls: true }).pipe(
          Scope.provide(scope),
          Effect.forkChild({ startImmediately: true })
        )
        if (turn % 2 === 0) yield* TcpServer.eventually(() => account.opened > turn / 2)
        yield* Fiber.interrupt(fiber)
        assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
      }
      yield* TcpServer.eventually(() => sockets.size === 0)
      assert.strictEqual(sockets.size, 0)
    }))

  it.live("an interruption at every scheduling point loses no socket", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.echo
      const before = countDescriptors()
      for (let yields = 0; yields < 60; yields++) {
        const fiber = yield* Effect.scoped(TcpConnection.connect(server.endpoint)).pipe(
          Effect.andThen(Effect.never),
          Effect.forkChild({ startImmediately: true })
        )
        for (let i = 0; i < yields; i++) yield* Effect.yieldNow
        yield* Fiber.interrupt(fiber)
      }
      yield* server.drained
      assert.strictEqual(server.sockets.size, 0)
      assert.strictEqual(countDescriptors(), before)
    }))

  it.live("a peer that never ends costs closeTimeout, and then the socket is destroyed", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.make((socket) => void socket.resume(), { allowHalfOpen: true })
      const endAfter = (closeTimeout: number) =>
        Effect.gen(function*() {
          const start = performance.now()
          const connecting = TcpConnection.connect(server.endpoint, { closeTimeout })
          const ending = yield* Effect.flatten(Effect.scoped(Effect.map(connecting, (_) => _.closed)))
          assert.strictEqual(ending.how, "Forced")
          return performance.now() - start
        })
      const [short, long] = yield* Effect.all([endAfter(100), endAfter(800)], { concurrency: "unbounded" })
      assert.isAtLeast(short, 95)
      assert.isAtLeast(long, 795)
      assert.isBelow(short, long / 2)
    }))

  it.live("many stuck peers cost one deadline, not the sum", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.make((socket) => void socket.resume(), { allowHalfOpen: true })
      const scope = yield* Scope.make("parallel")
      const options = { closeTimeout: "200 millis" } as const
      yield* Effect.forEach(
        Array.from({ length: 50 }),
        () => Scope.provide(TcpConnection.connect(server.endpoint, options), scope),
        { concurrency: "unbounded" }
      )
      const start = performance.now()
      yield* Scope.close(scope, Exit.void)
      // Half of the sum.
      assert.isBelow(performance.now() - start, 50 * 200 / 2)
    }))

  it.live("closes within its deadline also when the fiber was interrupted", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.make((socket) => void socket.resume(), { allowHalfOpen: true })
      const fiber = yield* Effect.scoped(
        Effect.andThen(TcpConnection.connect(server.endpoint, { closeTimeout: "100 millis" }), Effect.never)
      ).pipe(Effect.forkChild({ startImmediately: true }))
      yield* TcpServer.eventually(() => server.sockets.size === 1)
      const start = performance.now()
      yield* Fiber.interrupt(fiber)
      const elapsed = performance.now() - start
      assert.isAtLeast(elapsed, 95)
      assert.isBelow(elapsed, 10_000)
    }))

  describe("notices the death of an idle connection", () => {
    const die = (name: string, kill: (socket: Net.Socket) => void) =>
      it.live(name, () =>
        Effect.gen(function*() {
          const server = yield* TcpServer.silent
          const connection = yield* TcpConnection.connect(server.endpoint)
          yield* TcpServer.eventually(() => server.sockets.size === 1)
          for (const socket of server.sockets) kill(socket)
          yield* connection.dead.pipe(Effect.timeout("1 second"))
        }))
    die("when the peer ends", (socket) => socket.end())
    die("when the peer says something and ends", (socket) => socket.end("bye"))
    die("when the peer resets", (socket) => socket.resetAndDestroy())
    die("when the peer says something and resets", (socket) => {
      socket.write("x", () => socket.resetAndDestroy())
    })
  })

  it.live("after the peer's end, what it sent is read, then reads and writes fail with ConnectionClosed", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.make((socket) => void socket.end("bye"))
      const connection = yield* TcpConnection.connect(server.endpoint)
      yield* connection.dead
      assert.strictEqual(text(yield* connection.read), "bye")
      const read = yield* Effect.flip(connection.read)
      assert.strictEqual(read.reason._tag, "ConnectionClosed")
      yield* connection.closed
      const write = yield* Effect.flip(connection.write("late")).pipe(Effect.timeout("1 second"))
      assert.strictEqual(write._tag === "TcpConnectionError" && write.reason._tag, "ConnectionClosed")
    }))

  it.live("a reset under a read fails it with ReadFailed and Node's code", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.make((socket) => void socket.on("data", () => socket.resetAndDestroy()))
      const connection = yield* TcpConnection.connect(server.endpoint)
      yield* connection.write("x")
      const error = yield* Effect.flip(connection.read)
      assert.strictEqual(error.reason._tag, "ReadFailed")
      assert.strictEqual(error.reason._tag === "ReadFailed" && error.reason.code, "ECONNRESET")
      assert.strictEqual((yield* connection.closed).how, "Reset")
    }))

  describe("abort", () => {
    it.live("destroys the socket at once, and fails what waits and what comes later with ConnectionClosed", () =>
      Effect.gen(function*() {
        const server = yield* TcpServer.make((socket) => void socket.pause(), {
          allowHalfOpen: true,
          pauseOnConnect: true
        })
        const before = countDescriptors()
        const connection = yield* TcpConnection.connect(server.endpoint, { closeTimeout: "1 minute" })
        const reader = yield* Effect.forkChild(Effect.flip(connection.read), { startImmediately: true })
        const flood = new Uint8Array(16 * 1024 * 1024)
        const writer = yield* Effect.forkChild(Effect.flip(connection.write(flood)), { startImmediately: true })
        yield* TcpServer.eventually(() => server.sockets.size === 1)
        assert.isUndefined(writer.pollUnsafe())
        yield* connection.abort
        // The server has a descriptor of its own in this process.
        assert.strictEqual(countDescriptors(), before + 1)
        const late = [yield* Effect.flip(connection.read), yield* Effect.flip(connection.write("late"))]
        for (const { reason } of [yield* Fiber.join(reader), yield* Fiber.join(writer), ...late]) {
          assert.strictEqual(reason._tag, "ConnectionClosed")
        }
        const { code, how } = yield* connection.closed
        assert.deepStrictEqual([how, code], ["Forced", undefined])
        yield* connection.dead
      }))

    it.live("gives nothing that had arrived unread, and is harmless twice and after an end", () =>
      Effect.gen(function*() {
        const server = yield* TcpServer.make((socket) => void socket.write("unread"))
        const connection = yield* TcpConnection.connect(server.endpoint)
        yield* TcpServer.eventually(connection.hasUnread)
        yield* connection.abort
        yield* connection.abort
        assert.strictEqual((yield* Effect.flip(connection.read)).reason._tag, "ConnectionClosed")
        const ended = yield* Effect.scoped(TcpConnection.connect(server.endpoint))
        yield* ended.abort
        assert.strictEqual((yield* ended.closed).how, "Graceful")
      }))
  })

  it.live("an interrupted read loses no bytes", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.echo
      const connection = yield* TcpConnection.connect(server.endpoint)
      const read = yield* Effect.forkChild(connection.read, { startImmediately: true })
      yield* Fiber.interrupt(read)
      yield* connection.write("kept")
      assert.strictEqual(text(yield* connection.read), "kept")
    }))

  it.live("a Unix socket connects, and one that is missing fails with ENOENT", () =>
    Effect.gen(function*() {
      const path = `/tmp/sluice-test-${process.pid}.sock`
      yield* Effect.acquireRelease(
        Effect.callback<Net.Server>((resume) => {
          const server = Net.createServer((socket) => socket.end("hello"))
          server.listen(path, () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
      )
      yield* Effect.scoped(Effect.gen(function*() {
        const connection = yield* TcpConnection.connect(Endpoint.unix(path))
        assert.strictEqual(text(yield* connection.read), "hello")
      }))
      const error = yield* Effect.scoped(Effect.flip(TcpConnection.connect(Endpoint.unix(`${path}.missing`))))
      assert.strictEqual(error.reason._tag === "DialFailed" && error.reason.code, "ENOENT")
    }))

  it.effect("the connect timeout is on the Effect clock", () =>
    Effect.gen(function*() {
      const { endpoint } = yield* TcpServer.silent
      const fiber = yield* Effect.scoped(TcpConnection.connect(endpoint, { tls: true, connectTimeout: "10 seconds" }))
        .pipe(
          Effect.flip,
          Effect.forkChild({ startImmediately: true })
        )
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "DialTimeout")
    }))

  it("options that make no sense are refused with the option, the value and the rule", () => {
    const bad: Array<[TcpConnection.Options, string]> = [
      [{ connectTimeout: 0 }, "option connectTimeout is 0, but it must be a finite duration above"],
      [{ connectTimeout: -1 }, "option connectTimeout is -1"],
      [{ connectTimeout: Number.NaN }, "option connectTimeout is NaN"],
      [{ connectTimeout: "Infinity" }, "option connectTimeout"],
      [{ closeTimeout: -5 }, "option closeTimeout is -5, but it must be a finite duration of at least 0"],
      [{ closeTimeout: Number.NaN }, "option closeTimeout is NaN, but it must be a finite duration of at least 0"],
      [{ readTimeout: 0 }, "option readTimeout is 0, but it must be a finite duration above"],
      [{ keepAlive: 10 }, "option keepAlive is 10, but it must be a finite duration of at least 1s"]
    ]
    for (const [options, message] of bad) {
      assert.throws(() => TcpConnection.connector(options), message)
      assert.throws(() => TcpConnection.connect(Endpoint.tcp("localhost", 1), options), message)
    }
  })

  it.live("a failing dial dies never: the cause is a typed failure", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(Effect.scoped(TcpConnection.connect(Endpoint.tcp("127.0.0.1", 1))))
      assert.isTrue(Exit.isFailure(exit) && !Cause.hasDies(exit.cause))
    }))
})
