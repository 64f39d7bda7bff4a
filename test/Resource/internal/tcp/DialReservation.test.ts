/**
 * When a connection ends the gate's claim: as soon as its descriptor exists, never before, and once.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import * as Endpoint from "effect-sluice/Endpoint"
import * as Failure from "effect-sluice/Failure"
import * as Reading from "effect-sluice/Reading"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { TestMonitor } from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import * as TcpConnection from "effect-sluice/TcpConnection"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import { countSockets } from "../../../support/descriptors.ts"
import * as TcpServer from "../../../support/TcpServer.ts"

/** A claim that writes down how many sockets there are whenever something is said to it. */
const witness = () => {
  const opened: Array<number> = []
  const undone: Array<number> = []
  const claim: ResourceMonitor.Reservation = {
    descriptorOpened: () => {
      opened.push(countSockets())
      return () => void undone.push(countSockets())
    }
  }
  return { opened, undone, claim }
}

const unixServer = Effect.gen(function*() {
  const path = Path.join(Os.tmpdir(), `sluice-claim-${process.pid}.sock`)
  const server = Net.createServer((socket) => void socket.resume())
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => void server.listen(path, () => resume(Effect.void))),
    () => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
  )
  return Endpoint.unix(path)
})

describe("the claim of a connection", () => {
  const connects = (endpoint: Endpoint.Endpoint, options: TcpConnection.Options = {}) =>
    Effect.gen(function*() {
      const { claim, opened, undone } = witness()
      const before = countSockets()
      const scope = yield* Scope.make()
      // A TLS handshake with a server that does not speak it never ends; its descriptor is there all the same.
      const fiber = yield* TcpConnection.connect(endpoint, options).pipe(
        Effect.provideService(ResourceMonitor.CurrentReservation, claim),
        Scope.provide(scope),
        Effect.forkDetach({ startImmediately: true })
      )
      assert.isAtMost(opened.length, endpoint._tag === "UnixEndpoint" ? 1 : 0)
      yield* TcpServer.eventually(() => opened.length > 0)
      assert.deepStrictEqual([opened, undone], [[before + 1], []])
      if (options.tls === undefined) yield* Fiber.join(fiber)
      yield* Fiber.interrupt(fiber)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(opened.length, 1)
      // The server's side is closed a little later.
      yield* TcpServer.eventually(() => countSockets() === before)
      return { before, undone }
    })

  it.live("ends when the socket has its descriptor, for an address, a name, TLS and a Unix socket", () =>
    Effect.gen(function*() {
      const { endpoint } = yield* TcpServer.silent
      const all = [
        yield* connects(endpoint),
        yield* connects(Endpoint.tcp("localhost", endpoint.port)),
        yield* connects(endpoint, { tls: true }),
        yield* connects(yield* unixServer)
      ]
      // The server's side of the connection has a descriptor in this process too.
      for (const { before, undone } of all) assert.deepStrictEqual(undone, [before + 2])
    }))

  it.live("is not ended by a dial that never had a descriptor", () =>
    Effect.gen(function*() {
      const { claim, opened } = witness()
      const connect = TcpConnection.connect(Endpoint.tcp("no-such-host.invalid", 1))
      yield* Effect.exit(Effect.scoped(Effect.provideService(connect, ResourceMonitor.CurrentReservation, claim)))
      assert.deepStrictEqual(opened, [])
    }))

  it.live("is claimed again for a second dial of the same attempt, and is gone with the attempt", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.silent
      const gone = yield* Effect.scoped(Effect.map(TcpServer.echo, ({ endpoint }) => endpoint))
      const test = yield* TestMonitor
      const seen: Array<number> = []
      const look = Effect.flatMap(test.reserved, (reserved) => Effect.sync(() => void seen.push(reserved)))
      const attempt = Effect.gen(function*() {
        yield* look
        yield* Effect.exit(Effect.scoped(TcpConnection.connect(gone)))
        yield* look
        yield* Effect.scoped(Effect.andThen(TcpConnection.connect(server.endpoint), look))
        yield* look
        yield* TcpConnection.connect(server.endpoint)
        yield* look
      })
      yield* RetryPolicy.retry(attempt, RetryPolicy.make())
      assert.deepStrictEqual(seen, [1, 1, 0, 1, 0])
      assert.strictEqual(yield* test.reserved, 0)
    }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerTest)))

  it.live("covers one connection: a further one of the same attempt asks the gate", () =>
    Effect.gen(function*() {
      const { endpoint } = yield* TcpServer.silent
      const test = yield* TestMonitor
      yield* test.set({ connectionLimit: 2 })
      const connect = Effect.exit(TcpConnection.connect(endpoint))
      const attempts = [
        Effect.all([connect, connect, connect], { concurrency: 3 }),
        Effect.all([connect, connect, connect])
      ]
      for (const attempt of attempts) {
        const exits = yield* Effect.scoped(RetryPolicy.retry(attempt, RetryPolicy.make()))
        assert.deepStrictEqual(exits.map(Exit.isSuccess), [true, true, false])
        assert.strictEqual(yield* test.reserved, 0)
      }
    }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerTest)))

  it.live("ends when the dial is interrupted at any step", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.silent
      const test = yield* TestMonitor
      const localhost = Endpoint.tcp("localhost", server.endpoint.port)
      for (let turns = 0; turns < 12; turns++) {
        const fiber = yield* Effect.scoped(
          RetryPolicy.retry(Effect.andThen(TcpConnection.connect(localhost), Effect.never), RetryPolicy.make())
        ).pipe(Effect.forkDetach({ startImmediately: true }))
        for (let i = 0; i < turns; i++) yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(yield* test.reserved, 0, `after ${turns} turns`)
      }
    }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerTest)))
})

describe("a failure to connect while no descriptor is free", () => {
  const nowhere = Endpoint.tcp("no-such-host.invalid", 1)
  const full = { descriptors: 990 }
  /** A dial that has passed the gate before the descriptors ran out. */
  const connect: typeof TcpConnection.connect = (endpoint, options) =>
    Effect.provideService(TcpConnection.connect(endpoint, options), ResourceMonitor.CurrentReservation, witness().claim)

  it.live("is reported as lack of room, with Node's error as its cause", () =>
    Effect.gen(function*() {
      const test = yield* TestMonitor
      const plain = yield* Effect.flip(connect(nowhere))
      assert(plain.reason._tag === "DialFailed")
      assert.strictEqual(Failure.classify(plain).class, "Transient")
      yield* test.set(full)
      const error = yield* Effect.flip(connect(nowhere))
      assert(error.reason._tag === "DialFailed")
      const { cause } = error.reason
      assert(cause instanceof ResourceMonitor.ResourceExhausted)
      assert.include(error.message, "no room to open no-such-host.invalid:1: 990 descriptors used")
      // The code depends on how names are looked up here.
      assert.strictEqual((cause.cause as NodeJS.ErrnoException).code, plain.reason.code)
      assert.strictEqual((cause.cause as NodeJS.ErrnoException).syscall, "getaddrinfo")
      assert.deepInclude(Failure.classify(error), { class: "LocalExhausted" })
      assert.isTrue(error.isRetryable)
      assert.strictEqual(error.reason.code, plain.reason.code)
      yield* test.set({ descriptors: Reading.unknown("Missing", "test") })
      assert.strictEqual(Failure.classify(yield* Effect.flip(connect(nowhere))).class, "Transient")
    }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerTest)))

  it.live("stays what it is when it is no failure to connect, or one that lasts", () =>
    Effect.gen(function*() {
      yield* Effect.flatMap(TestMonitor, (test) => test.set(full))
      const { endpoint } = yield* TcpServer.silent
      const late = yield* Effect.flip(connect(endpoint, { tls: true, connectTimeout: "50 millis" }))
      assert.strictEqual(late.reason._tag, "DialTimeout")
      const plainText = yield* TcpServer.make((socket) => void socket.end("this is not TLS\r\n"))
      const wrong = yield* Effect.flip(connect(plainText.endpoint, { tls: true }))
      assert(wrong.reason._tag === "DialFailed")
      assert.notInstanceOf(wrong.reason.cause, ResourceMonitor.ResourceExhausted)
      assert.isFalse(wrong.isRetryable)
    }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerTest)))
})
