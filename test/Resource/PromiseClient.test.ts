/**
 * Clients of promises as connectors: real drivers against a server that accepts and stays silent, and each way in which one ends.
 */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as Failure from "effect-sluice/Failure"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { TestClock } from "effect/testing"
import { EventEmitter } from "node:events"
import * as Fs from "node:fs"
import * as Net from "node:net"
import { collectLogs, fork, settle, test } from "../support/Pools.ts"
import * as PromiseClients from "../support/PromiseClients.ts"
import * as TcpServer from "../support/TcpServer.ts"

const host = "127.0.0.1"

const options = {
  retry: RetryPolicy.make({ ...RetryPolicy.tcpConnection, maxAttempts: Infinity, initialDelay: 1 }),
  maxRedialDelay: 1,
  connectTimeout: "30 millis"
} as const

/** Accepts, reads nothing, and does not end its side when the client ends its own, as a process that was stopped. */
const frozen = TcpServer.make((socket) => void socket.pause(), { allowHalfOpen: true, pauseOnConnect: true })

/** Descriptors that are open to a server. A socket that only the kernel still has is none. */
const clientsOf = (port: number): number =>
  Fs.readFileSync("/proc/net/tcp", "utf8").split("\n").slice(1).map((line) => line.trim().split(/\s+/)).filter((
    fields
  ) => Number.parseInt(fields[2]?.split(":")[1] ?? "", 16) === port && fields[9] !== "0").length

/** A port at which nothing listens. */
const closedPort = Effect.promise(() =>
  new Promise<number>((resolve) => {
    const listener = Net.createServer().listen(0, host, () => {
      const { port } = listener.address() as Net.AddressInfo
      listener.close(() => resolve(port))
    })
  })
)

const testDriver = <A extends object>(name: string, connector: Connector.Connector<number, A, Connector.ClientError>) =>
  describe(`${name} against a server that accepts and stays silent`, () => {
    it.live("leaves no socket open, and never has more than the cap", () =>
      test(Effect.gen(function*() {
        const server = yield* frozen
        const { port } = server.endpoint
        let peak = 0
        yield* Effect.forkScoped(Effect.forever(Effect.suspend(() => {
          peak = Math.max(peak, clientsOf(port))
          return Effect.sleep(2)
        })))
        const scope = yield* Scope.make()
        const pool = yield* Scope.provide(ConnectionPool.make({ ...options, connector }), scope)
        const borrow = fork(Effect.flip(ConnectionPool.use(pool, port, () => Effect.void)))
        const borrowers = [yield* borrow, yield* borrow, yield* borrow]
        yield* TcpServer.eventually(() => server.account.opened >= 4, 10_000)
        yield* Scope.close(scope, Exit.void)
        const errors = yield* Fiber.joinAll(borrowers)
        assert.deepStrictEqual(errors.map(({ reason }) => reason._tag), Array(3).fill("PoolClosed"))
        yield* TcpServer.eventually(() => clientsOf(port) === 0)
        assert.strictEqual(clientsOf(port), 0)
        assert.isAtMost(peak, 2)
        assert.isAtLeast(server.account.opened, 4)
        assert.deepInclude(yield* ConnectionPool.stats(pool), { total: 0, leftBehind: 0, connectsLeftBehind: 0 })
      })))

    it.live("ends when it is interrupted", () =>
      Effect.gen(function*() {
        const server = yield* TcpServer.silent
        const dial = yield* fork(Effect.scoped(connector.open(server.endpoint.port)))
        yield* TcpServer.eventually(() => server.sockets.size === 1)
        yield* Fiber.interrupt(dial)
        yield* server.drained
        assert.strictEqual(server.sockets.size, 0)
      }))

    it.live("says why it could not connect", () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(Effect.scoped(connector.open(yield* closedPort)))
        assert.strictEqual(error.operation, "connect")
        assert.strictEqual(Failure.classify(error).code, "ECONNREFUSED")
      }))
  })

testDriver("pg", PromiseClients.pg)
testDriver("mysql2", PromiseClients.mysql2)
testDriver("ioredis", PromiseClients.ioredis)
testDriver("redis", PromiseClients.redis)

/** A client whose every step a test decides, and what was done with it. */
class Fake extends EventEmitter {
  readonly log: Array<string> = []
  readonly answers: { connect: () => unknown; close: () => unknown }
  constructor(answers: { connect?: () => unknown; close?: () => unknown } = {}) {
    super()
    this.answers = { connect: () => undefined, close: () => undefined, ...answers }
  }
  step(name: "connect" | "close"): unknown {
    this.log.push(name)
    return this.answers[name]()
  }
  destroy(): void {
    this.log.push("destroy")
  }
}

const fake = (client: Fake, options: Partial<Connector.PromiseClient<string, Fake>> = {}) =>
  Connector.fromPromise<string, Fake>({
    create: () => client,
    connect: (client, _, signal) => {
      signal.addEventListener("abort", () => client.log.push("abort"))
      return client.step("connect")
    },
    close: (client) => client.step("close"),
    destroy: (client) => client.destroy(),
    closed: (client, onClosed) => {
      client.once("end", onClosed)
      return () => client.off("end", onClosed)
    },
    ...options
  })

const never = () => new Promise(() => {})

describe("a client of promises", () => {
  it.effect("is closed politely when it was connected, and nothing more", () =>
    Effect.gen(function*() {
      const client = new Fake()
      yield* Effect.scoped(fake(client).open("a"))
      assert.deepStrictEqual(client.log, ["connect", "close"])
      assert.strictEqual(client.listenerCount("end"), 0)
    }))

  it.effect("is destroyed when connecting fails, with the failure as the cause", () =>
    Effect.gen(function*() {
      const failure = Object.assign(new Error("no"), { code: "ECONNREFUSED" })
      const client = new Fake({ connect: () => Promise.reject(failure) })
      const error = yield* Effect.flip(Effect.scoped(fake(client).open("a")))
      assert.strictEqual(error.cause, failure)
      assert.strictEqual(error.message, "connect failed: no")
      assert.deepStrictEqual(client.log, ["connect", "destroy"])
    }))

  it.effect("has its signal aborted and is destroyed when connecting is given up", () =>
    Effect.gen(function*() {
      const client = new Fake({ connect: never })
      const dial = yield* fork(Effect.scoped(fake(client).open("a")))
      yield* settle
      yield* Fiber.interrupt(dial)
      assert.deepStrictEqual(client.log, ["connect", "abort", "destroy"])
    }))

  it.effect("is destroyed when closing takes longer than closeTimeout", () =>
    test(Effect.gen(function*() {
      const client = new Fake({ close: never })
      const pool = yield* ConnectionPool.make({ connector: fake(client), closeTimeout: "1 second" })
      yield* ConnectionPool.use(pool, "a", () => Effect.void)
      yield* ConnectionPool.evict(pool)
      yield* settle
      assert.deepStrictEqual(client.log, ["connect", "close"])
      yield* TestClock.adjust("1 second")
      yield* settle
      assert.deepStrictEqual(client.log, ["connect", "close", "destroy"])
      assert.deepInclude(yield* ConnectionPool.stats(pool), { total: 0, closesLeftBehind: 0 })
    })))

  it.effect("is destroyed when closing fails, which is reported", () => {
    const { layer, lines } = collectLogs()
    return Effect.gen(function*() {
      const client = new Fake({ close: () => Promise.reject(new Error("no")) })
      yield* Effect.scoped(fake(client).open("a"))
      assert.deepStrictEqual(client.log, ["connect", "close", "destroy"])
      assert.lengthOf(lines, 1)
    }).pipe(Effect.provide(layer))
  })

  it.effect("is not asked to say goodbye when its end is known", () =>
    Effect.gen(function*() {
      const client = new Fake()
      const connector = fake(client)
      yield* Effect.scoped(Effect.gen(function*() {
        const opened = yield* connector.open("a")
        const end = yield* fork(connector.closed?.(opened) ?? Effect.void)
        assert.strictEqual(connector.isReusable?.(opened), true)
        client.emit("end")
        assert.strictEqual(connector.isReusable?.(opened), false)
        yield* Fiber.join(end)
        yield* connector.closed?.(opened) ?? Effect.void
      }))
      assert.deepStrictEqual(client.log, ["connect", "destroy"])
    }))

  it.effect("ends no process with an error event, however late", () =>
    Effect.gen(function*() {
      const client = new Fake()
      yield* Effect.scoped(
        Effect.tap(fake(client).open("a"), () => Effect.sync(() => client.emit("error", new Error())))
      )
      assert.isTrue(client.emit("error", new Error("late")))
    }))

  const exits = [Exit.void, Exit.fail("no"), Exit.die("no"), Exit.interrupt(1), Exit.failCause(Cause.empty)]
  const [fit, unfit] = [[true, "close"], [false, "destroy"]]

  /** Whether a client is leased again after a borrow that ended so, and how it ends. */
  const afterEach = (options: Partial<Connector.PromiseClient<string, Fake>>) =>
    Effect.forEach(exits, (exit) => {
      const client = new Fake()
      const connector = fake(client, options)
      const open = Effect.map(connector.open("a"), () => connector.isReusable?.(client, exit))
      return Effect.map(Effect.scoped(open), (isReusable) => [isReusable, client.log.at(-1)])
    })

  it.effect("is not leased again after a borrow that was interrupted or died, and is destroyed", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* afterEach({}), [fit, fit, unfit, unfit, fit])
    }))

  it.effect("is destroyed after such a borrow also where its isReusable would have it leased again", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* afterEach({ isReusable: () => true }), [fit, fit, unfit, unfit, fit])
      assert.deepStrictEqual(yield* afterEach({ isReusable: () => false }), Array(5).fill(unfit))
    }))

  it.effect("is leased again after such a borrow with reuseAfterInterruption, if isReusable says so", () =>
    Effect.gen(function*() {
      const reuseAfterInterruption = true
      assert.deepStrictEqual(yield* afterEach({ reuseAfterInterruption }), Array(5).fill(fit))
      const isReusable = (_: Fake, exit?: Exit.Exit<unknown, unknown>) => exit !== undefined && Exit.isSuccess(exit)
      const found = yield* afterEach({ reuseAfterInterruption, isReusable })
      assert.deepStrictEqual(found, [fit, unfit, unfit, unfit, unfit])
    }))

  it.effect("is destroyed when its isReusable throws", () =>
    test(Effect.gen(function*() {
      const client = new Fake()
      const isReusable = () => {
        throw new Error("no")
      }
      const pool = yield* ConnectionPool.make({ connector: fake(client, { isReusable }) })
      yield* ConnectionPool.use(pool, "a", () => Effect.void)
      assert.deepStrictEqual(client.log, ["connect", "destroy"])
    })))

  it.effect("is destroyed when it has failed its check, or has not answered it", () =>
    test(Effect.gen(function*() {
      for (const check of [() => Promise.reject(new Error("no")), never]) {
        const clients: Array<Fake> = []
        const create = () => {
          const client = new Fake()
          clients.push(client)
          return client
        }
        const connector = fake(new Fake(), { create, check })
        const pool = yield* ConnectionPool.make({ connector, checkAfterIdle: 0, connectTimeout: "1 second" })
        yield* ConnectionPool.use(pool, "a", () => Effect.void)
        yield* TestClock.adjust("1 millis")
        const borrower = yield* fork(ConnectionPool.use(pool, "a", () => Effect.void))
        yield* settle
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(borrower)
        assert.deepStrictEqual(clients.map(({ log }) => log), [["connect", "destroy"], ["connect"]])
      }
    })))

  it.effect("that is made by a promise is destroyed when it comes although it was given up", () =>
    test(Effect.gen(function*() {
      const client = new Fake()
      let give: (client: Fake) => void = () => {}
      const connector = Connector.fromPromise({
        create: (_key: string) => new Promise<Fake>((resolve) => give = resolve),
        connect: (client) => client.step("connect"),
        destroy: (client) => client.destroy()
      })
      const retry = RetryPolicy.make({ maxAttempts: 1 })
      const pool = yield* ConnectionPool.make({ connector, retry, connectTimeout: "1 second" })
      const borrower = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", () => Effect.void)))
      yield* settle
      yield* TestClock.adjust("5 seconds")
      yield* settle
      assert.deepInclude(yield* ConnectionPool.stats(pool), { leftBehind: 1 })
      give(client)
      yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      yield* settle
      assert.deepStrictEqual(client.log, ["destroy"])
      assert.deepInclude(yield* ConnectionPool.stats(pool), { leftBehind: 0 })
      assert.strictEqual((yield* Fiber.join(borrower)).reason._tag, "ConnectFailed")
    })))
})
