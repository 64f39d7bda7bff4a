/**
 * Which connections of a pool are leased again: none on which an answer to an earlier borrower may still come.
 */
import { assert, describe, it } from "@effect/vitest"
import { type Cause, Data, Deferred, Effect, Fiber, Option, Result, type Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import type * as Endpoint from "effect-sluice/Endpoint"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as TcpConnection from "effect-sluice/TcpConnection"
import { TestClock } from "effect/testing"
import type * as Net from "node:net"
import { stall } from "../support/stall.ts"
import * as TcpServer from "../support/TcpServer.ts"

type Connection = TcpConnection.TcpConnection

/** Answers everybody but alice at once, and alice as soon as there is another question: later than anybody waits for it. */
const lateForAlice = Effect.gen(function*() {
  const late: Array<Net.Socket> = []
  return yield* TcpServer.make((socket) =>
    void socket.on("data", (data) => {
      const line = String(data)
      if (line === "alice") return void late.push(socket)
      for (const other of late.splice(0)) other.write("answer to alice")
      socket.write(`answer to ${line}`)
    })
  )
})

const ask = (connection: Connection, line: string) =>
  Effect.andThen(
    connection.write(line),
    Effect.map(connection.read, (bytes) => new TextDecoder().decode(bytes))
  )

class NotNow extends Data.TaggedError("NotNow") {}

type Failure = TcpConnection.TcpConnectionError | NotNow | Cause.TimeoutError

/** Each of them gives up the question to alice, in a way of its own. */
const waysToGiveUp: Record<string, (connection: Connection) => Effect.Effect<unknown, Failure>> = {
  "timeout": (connection) => Effect.timeout(ask(connection, "alice"), "20 millis"),
  "a timeout that is caught": (connection) => Effect.exit(Effect.timeout(ask(connection, "alice"), "20 millis")),
  "timeoutOption": (connection) => Effect.timeoutOption(ask(connection, "alice"), "20 millis"),
  "timeoutOrElse": (connection) =>
    Effect.timeoutOrElse(ask(connection, "alice"), { duration: "20 millis", orElse: () => Effect.succeed("nothing") }),
  "a lost race": (connection) => Effect.race(ask(connection, "alice"), Effect.sleep("20 millis")),
  "a sibling of Effect.all that fails": (connection) =>
    Effect.result(Effect.all([ask(connection, "alice"), Effect.delay(Effect.fail(new NotNow()), "20 millis")], {
      concurrency: "unbounded"
    })),
  "a failure between write and read": (connection) =>
    Effect.andThen(connection.write("alice"), Effect.fail(new NotNow())),
  "a failure between write and read that is caught": (connection) =>
    Effect.result(Effect.andThen(connection.write("alice"), Effect.fail(new NotNow()))),
  "no read at all": (connection) => connection.write("alice"),
  "an interruption from outside of a fiber inside": (connection) =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(ask(connection, "alice"), { startImmediately: true })
      yield* Effect.sleep("20 millis")
      yield* Fiber.interrupt(fiber)
    })
}

type Pool = ConnectionPool.ConnectionPool<Endpoint.Endpoint, Connection>

const poolOf = (options: TcpConnection.ConnectorOptions = {}): Effect.Effect<Pool, never, Scope.Scope> =>
  ConnectionPool.make({ connector: TcpConnection.connector(options), maxPerEndpoint: 1 }).pipe(
    Effect.provide(ResourceMonitor.layerUnlimited)
  )

describe("a question that was given up", () => {
  for (const [name, drop] of Object.entries(waysToGiveUp)) {
    it.live(`is not answered to the next borrower of \`use\`: ${name}`, () =>
      Effect.gen(function*() {
        const server = yield* lateForAlice
        const pool = yield* poolOf()
        yield* Effect.exit(ConnectionPool.use(pool, server.endpoint, drop))
        const answer = yield* ConnectionPool.use(pool, server.endpoint, (connection) => ask(connection, "bob"))
        assert.strictEqual(answer, "answer to bob")
        assert.strictEqual(server.account.opened, 2)
      }))

    it.live(`is not answered to the next borrower of \`get\`: ${name}`, () =>
      Effect.gen(function*() {
        const server = yield* lateForAlice
        const pool = yield* poolOf()
        const get = ConnectionPool.get(pool, server.endpoint)
        yield* Effect.exit(Effect.scoped(Effect.flatMap(get, drop)))
        const answer = yield* Effect.scoped(Effect.flatMap(get, (connection) => ask(connection, "bob")))
        assert.strictEqual(answer, "answer to bob")
        assert.strictEqual(server.account.opened, 2)
      }))
  }

  it.live("keeps its connection from a second lease also when an answer has come meanwhile", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.echo
      const pool = yield* poolOf()
      // A read that came too early is given up, and then a whole exchange succeeds: whose answer was it?
      yield* ConnectionPool.use(
        pool,
        server.endpoint,
        (connection) => Effect.andThen(Effect.timeoutOption(connection.read, "10 millis"), ask(connection, "alice"))
      )
      yield* ConnectionPool.use(pool, server.endpoint, (connection) => ask(connection, "bob"))
      assert.strictEqual(server.account.opened, 2)
    }))
})

describe("a connection", () => {
  it.live("is leased again after answered questions, and after a borrow that asked nothing", () =>
    Effect.gen(function*() {
      const server = yield* lateForAlice
      const pool = yield* poolOf()
      const use = <A, E>(f: (connection: Connection) => Effect.Effect<A, E>) =>
        ConnectionPool.use(pool, server.endpoint, f)
      yield* use((connection) => ask(connection, "bob"))
      yield* use(() => Effect.void)
      assert.strictEqual(yield* use((connection) => ask(connection, "carol")), "answer to carol")
      assert.strictEqual(server.account.opened, 1)
    }))

  it.live("is not leased again when a write was given up that waited for the peer to read", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.make(() => {}, { pauseOnConnect: true })
      const pool = yield* poolOf({ answers: false, closeTimeout: 0 })
      const flood = new Uint8Array(16 * 1024 * 1024)
      yield* ConnectionPool.use(
        pool,
        server.endpoint,
        (connection) => Effect.timeoutOption(connection.write(flood), "20 millis")
      )
      yield* ConnectionPool.use(pool, server.endpoint, () => Effect.void)
      yield* TcpServer.eventually(() => server.account.opened === 2)
      assert.strictEqual(server.account.opened, 2)
    }))

  it.live("whose protocol has no answers is leased again after writes and failures, not after an interruption", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.silent
      const pool = yield* poolOf({ answers: false })
      const log = (connection: Connection) => connection.write("log line\n")
      yield* ConnectionPool.use(pool, server.endpoint, log)
      const failed = yield* Effect.result(
        ConnectionPool.use(
          pool,
          server.endpoint,
          (connection) => Effect.andThen(log(connection), Effect.fail(new NotNow()))
        )
      )
      assert.isTrue(Result.isFailure(failed))
      const written = yield* Deferred.make<void>()
      const cutOff = yield* Effect.forkChild(ConnectionPool.use(
        pool,
        server.endpoint,
        (connection) =>
          log(connection).pipe(Effect.andThen(Deferred.succeed(written, undefined)), Effect.andThen(Effect.never))
      ))
      yield* Deferred.await(written)
      yield* Fiber.interrupt(cutOff)
      assert.strictEqual(server.account.opened, 1)
      yield* ConnectionPool.use(pool, server.endpoint, log)
      yield* TcpServer.eventually(() => server.account.opened === 2)
      assert.strictEqual(server.account.opened, 2)
    }))
})

describe("write", () => {
  it.live("waits for room before it hands anything over, so that writes that are given up do not pile up", () =>
    Effect.gen(function*() {
      let received = 0
      const server = yield* TcpServer.make((socket) =>
        void socket.on("data", (data) => received += data.length).pause()
      )
      const megabyte = new Uint8Array(1024 * 1024)
      let completed = 0
      yield* Effect.scoped(Effect.gen(function*() {
        const connection = yield* TcpConnection.connect(server.endpoint, { closeTimeout: "1 minute" })
        for (let turn = 0; turn < 100; turn++) {
          const written = yield* Effect.timeoutOption(connection.write(megabyte), "1 millis")
          if (Option.isSome(written)) completed++
        }
        // What was handed over arrives, whether or not its writer was still there.
        for (const socket of server.sockets) socket.resume()
      }))
      yield* server.drained
      // The kernel takes a few, and one waits in the socket.
      assert.isBelow(completed, 50)
      assert.isAtMost(received / megabyte.length, completed + 1)
    }))

  it.live("of many fibers at once hands everything over as the peer reads, and none of them stalls", () =>
    Effect.gen(function*() {
      let received = 0
      const server = yield* TcpServer.make((socket) => void socket.on("data", (data) => received += data.length))
      const connection = yield* TcpConnection.connect(server.endpoint)
      const sizes = Array.from({ length: 40 }, (_, index) => index % 2 === 0 ? 100_000 : 10)
      yield* Effect.forEach(sizes, (size) => connection.write(new Uint8Array(size)), { concurrency: "unbounded" })
      const total = sizes.reduce((sum, size) => sum + size, 0)
      yield* TcpServer.eventually(() => received === total)
      assert.strictEqual(received, total)
    }))

  it.live("and read do not hold each other up when the peer sends back all that it gets", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.make((socket) => void socket.pipe(socket))
      const connection = yield* TcpConnection.connect(server.endpoint)
      const total = 8 * 1024 * 1024
      const reader = yield* Effect.forkChild(Effect.gen(function*() {
        let received = 0
        while (received < total) received += (yield* connection.read).length
        return received
      }))
      for (let sent = 0; sent < total; sent += 1024 * 1024) yield* connection.write(new Uint8Array(1024 * 1024))
      assert.strictEqual(yield* Fiber.join(reader), total)
      assert.isFalse(connection.isUnanswered())
    }))
})

describe("a read that waits longer than `readTimeout`", () => {
  it.effect("fails with ReadTimeout and its numbers, and one that does not wait never does", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.make((socket) => void socket.write("hello"))
      const connection = yield* TcpConnection.connect(server.endpoint, { readTimeout: "5 seconds" })
      yield* TcpServer.eventually(connection.hasUnread)
      yield* connection.read
      const reader = yield* Effect.forkChild(Effect.flip(connection.read), { startImmediately: true })
      yield* TestClock.adjust("4999 millis")
      assert.isUndefined(reader.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      const { message, reason } = yield* Fiber.join(reader)
      assert.strictEqual(reason._tag, "ReadTimeout")
      assert.strictEqual(message, `${server.endpoint} sent nothing within 5s (after 5 bytes received)`)
      assert.isTrue(connection.isAbandoned())
    }))

  it.live("takes its connection out of use, also when the borrow succeeds", () =>
    Effect.gen(function*() {
      const server = yield* lateForAlice
      const pool = yield* poolOf({ readTimeout: "20 millis" })
      const reason = yield* ConnectionPool.use(pool, server.endpoint, (connection) =>
        Effect.map(Effect.flip(ask(connection, "alice")), ({ reason }) =>
          reason._tag))
      assert.strictEqual(reason, "ReadTimeout")
      assert.strictEqual(
        yield* ConnectionPool.use(pool, server.endpoint, (connection) =>
          ask(connection, "bob")),
        "answer to bob"
      )
      assert.strictEqual(server.account.opened, 2)
    }))

  it.live("has not waited that long when it was the event loop that did not turn", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.silent
      const connection = yield* TcpConnection.connect(server.endpoint, { readTimeout: "100 millis" })
      yield* TcpServer.eventually(() => server.sockets.size === 1)
      const reader = yield* Effect.forkChild(connection.read, { startImmediately: true })
      // After a stall in an immediate the loop looks at its timers first, and at the kernel's news then.
      yield* Effect.callback<void>((resume) => {
        setImmediate(() => {
          for (const socket of server.sockets) socket.write("in time")
          stall(200)
          resume(Effect.void)
        })
      })
      assert.strictEqual(new TextDecoder().decode(yield* Fiber.join(reader)), "in time")
    }))
})

describe("an error of a connection", () => {
  /** Answers the first question, and ends the connection in some way at the next. */
  const once = (end: (socket: Net.Socket) => void) => {
    const asked = new Set<Net.Socket>()
    return TcpServer.make((socket) =>
      void socket.on("data", () => {
        if (asked.has(socket)) return end(socket)
        asked.add(socket)
        socket.write("answer")
      })
    )
  }

  const reusedOf = ({ reason }: TcpConnection.TcpConnectionError) => ({
    tag: reason._tag,
    reused: "reused" in reason && reason.reused
  })

  it.live("says that the connection was reused and nothing was received, however it ended", () =>
    Effect.gen(function*() {
      const ended = yield* once((socket) => socket.end())
      const reset = yield* once((socket) => socket.resetAndDestroy())
      const errors = yield* Effect.forEach([ended, reset], ({ endpoint }) =>
        Effect.gen(function*() {
          const pool = yield* poolOf()
          const use = ConnectionPool.use(pool, endpoint, (connection) => ask(connection, "?"))
          yield* use
          return yield* Effect.flip(Effect.catchTag(use, "PoolError", Effect.die))
        }))
      assert.deepStrictEqual(errors.map(reusedOf), [
        { tag: "ConnectionClosed", reused: true },
        { tag: "ReadFailed", reused: true }
      ])
      for (const { message } of errors) assert.include(message, "; reused, and nothing received since")
    }))

  it.live("says so of a write that is refused because the peer has closed the idle connection", () =>
    Effect.gen(function*() {
      const server = yield* once(() => {})
      const connection = yield* TcpConnection.connect(server.endpoint)
      yield* ask(connection, "?")
      for (const socket of server.sockets) socket.destroy()
      yield* connection.dead
      yield* Effect.exit(connection.read)
      yield* connection.closed
      assert.deepStrictEqual(reusedOf(yield* Effect.flip(connection.write("?"))), {
        tag: "ConnectionClosed",
        reused: true
      })
    }))

  it.live("does not say so of a first exchange, also after a greeting, nor of an answer that breaks off", () =>
    Effect.gen(function*() {
      const refusing = yield* TcpServer.make((socket) => void socket.on("data", () => socket.end()))
      const greeting = yield* TcpServer.make((socket) => {
        socket.write("welcome")
        socket.on("data", () => socket.end())
      })
      const breaking = yield* once((socket) => socket.end("ans"))
      const first = yield* TcpConnection.connect(refusing.endpoint)
      const greeted = yield* TcpConnection.connect(greeting.endpoint)
      yield* greeted.read
      const broken = yield* TcpConnection.connect(breaking.endpoint)
      yield* ask(broken, "?")
      assert.strictEqual(yield* ask(broken, "?"), "ans")
      const errors = [
        yield* Effect.flip(ask(first, "?")),
        yield* Effect.flip(ask(greeted, "?")),
        yield* Effect.flip(broken.read)
      ]
      assert.deepStrictEqual(
        errors.map(reusedOf),
        errors.map(() => ({ tag: "ConnectionClosed" as const, reused: false }))
      )
    }))
})
