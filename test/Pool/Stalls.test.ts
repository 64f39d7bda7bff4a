/**
 * An event loop that is busy for longer than a limit: what was there in time counts as in time. The server is in a thread of its
 * own, and each stall begins when something is under way and ends long after the server has done its part.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as Net from "node:net"
import * as AnsweringServer from "../support/AnsweringServer.ts"
import { collectLogs, fork, test } from "../support/Pools.ts"
import { eventually } from "../support/TcpServer.ts"

const host = "127.0.0.1"

const limit = "50 millis"

/** Connections to the server, and when the event loop is to stall. */
const linesTo = (server: AnsweringServer.AnsweringServer) => {
  const counts = { dialed: 0, asked: 0 }
  const sockets: Array<Net.Socket> = []
  /** The step after which the loop stalls, once. */
  const plan: { stallAfter: "Accept" | "Answer" | undefined; millis: number } = { stallAfter: undefined, millis: 120 }
  /** Whether the loop is to stall after this. */
  const isDue = (what: "Accept" | "Answer") => {
    if (plan.stallAfter !== what) return false
    plan.stallAfter = undefined
    return true
  }
  /** The socket connects in the next tick, and what the current step still does, such as to set a timer, comes before that. */
  const connected = (socket: Net.Socket) =>
    Effect.callback<void>((resume) => {
      const count = ++counts.dialed
      sockets.push(socket)
      socket.on("error", () => {}).once("connect", () => resume(Effect.void))
      if (isDue("Accept")) process.nextTick(() => server.stallBeyond("Accept", count, plan.millis))
    })
  /** After an immediate the loop looks at its timers first, and at its sockets after that. */
  const ask = (socket: Net.Socket) =>
    Effect.callback<void>((resume) => {
      const count = ++counts.asked
      const onData = () => resume(Effect.void)
      socket.once("data", onData)
      if (isDue("Answer")) {
        setImmediate(() => {
          socket.write("ask")
          server.stallBeyond("Answer", count, plan.millis)
        })
      } else socket.write("ask")
      return Effect.sync(() => socket.off("data", onData))
    })
  const destroyed = (socket: Net.Socket) =>
    Effect.callback<void>((resume) => void socket.once("close", () => resume(Effect.void)).destroy())
  /** The server is asked before the socket goes, as many protocols have it. */
  const goodbye = (socket: Net.Socket) =>
    socket.connecting ? destroyed(socket) : Effect.andThen(ask(socket), destroyed(socket))
  const connector = Connector.make({
    open: (host: string) =>
      Effect.acquireRelease(Effect.sync(() => Net.connect(server.port, host)), goodbye).pipe(
        Effect.tap(connected)
      ),
    check: ask,
    isReusable: () => true
  })
  return { ask, connector, plan, sockets }
}

/** A pool of one connection to a server, which has an idle one. */
const warmed = (options: Partial<ConnectionPool.Options<string, Net.Socket, never, never>>) =>
  Effect.gen(function*() {
    const server = yield* AnsweringServer.make
    const { connector, ...lines } = linesTo(server)
    const pool = yield* ConnectionPool.make({ connector, maxTotal: 1, checkAfterIdle: "Infinity", ...options })
    yield* ConnectionPool.use(pool, host, () => Effect.void)
    return { ...lines, pool, server }
  })

describe("an event loop that is busy for longer than", () => {
  it.live("`acquireTimeout`: a borrower whose connection came back in time gets it", () =>
    test(Effect.gen(function*() {
      const { ask, plan, pool } = yield* warmed({ acquireTimeout: limit })
      plan.stallAfter = "Answer"
      const first = yield* fork(ConnectionPool.use(pool, host, ask))
      const second = yield* fork(Effect.exit(ConnectionPool.use(pool, host, ask)))
      yield* Fiber.join(first)
      assert.isTrue(Exit.isSuccess(yield* Fiber.join(second)))
      assert.deepInclude(yield* ConnectionPool.stats(pool), { opened: 1, timeouts: 0 })
    })))

  it.live("`connectTimeout`: a connection that was accepted in time is used", () =>
    test(Effect.gen(function*() {
      const { ask, plan, pool, server } = yield* warmed({ connectTimeout: limit })
      yield* ConnectionPool.evict(pool)
      plan.stallAfter = "Accept"
      yield* ConnectionPool.use(pool, host, ask)
      assert.strictEqual(server.opened(), 2)
      assert.deepInclude(yield* ConnectionPool.stats(pool), { opened: 2, failedAttempts: 0 })
    })))

  it.live("`closeTimeout` and half a second: the slot is free when the socket is gone, and no sooner", () => {
    const { layer, lines } = collectLogs()
    return test(Effect.gen(function*() {
      const { ask, plan, pool, server } = yield* warmed({ closeTimeout: limit })
      plan.stallAfter = "Answer"
      plan.millis = 600
      yield* ConnectionPool.evict(pool)
      yield* ConnectionPool.use(pool, host, ask)
      assert.deepStrictEqual({ opened: server.opened(), peak: server.peak() }, { opened: 2, peak: 1 })
      assert.strictEqual((yield* ConnectionPool.stats(pool)).closesLeftBehind, 0)
      assert.deepStrictEqual(lines, [])
    })).pipe(Effect.provide(layer))
  })

  it.live("`closeTimeout` and half a second: a drain ends when the sockets are gone, and no sooner", () =>
    test(Effect.gen(function*() {
      const { plan, pool, sockets } = yield* warmed({ closeTimeout: limit })
      plan.stallAfter = "Answer"
      plan.millis = 600
      yield* ConnectionPool.drain(pool, 0)
      assert.deepStrictEqual(sockets.map(({ destroyed }) => destroyed), [true])
      assert.deepInclude(yield* ConnectionPool.stats(pool), { closesLeftBehind: 0, leftBehind: 0 })
    })))

  it.live("a check may take: a connection that has answered in time is leased", () =>
    test(Effect.gen(function*() {
      const { ask, plan, pool } = yield* warmed({ connectTimeout: limit, checkAfterIdle: 0 })
      yield* Effect.sleep(5)
      plan.stallAfter = "Answer"
      yield* ConnectionPool.use(pool, host, ask)
      assert.deepInclude(yield* ConnectionPool.stats(pool), { opened: 1, closed: 0 })
    })))

  it.live("a keep-alive check may take: a connection that has answered in time stays", () =>
    test(Effect.gen(function*() {
      const { plan, pool } = yield* warmed({ connectTimeout: limit, keepalive: limit })
      plan.stallAfter = "Answer"
      yield* eventually(() => plan.stallAfter === undefined)
      // A borrower waits until the check has passed.
      yield* ConnectionPool.use(pool, host, () => Effect.void)
      assert.deepInclude(yield* ConnectionPool.stats(pool), { opened: 1, closed: 0 })
    })))

  it.live("`maxLease`: a borrower whose answer came in time has it", () =>
    test(Effect.gen(function*() {
      const { ask, plan, pool } = yield* warmed({ maxLease: limit })
      plan.stallAfter = "Answer"
      yield* ConnectionPool.use(pool, host, ask)
      assert.deepInclude(yield* ConnectionPool.stats(pool), { leasesExpired: 0, opened: 1 })
    })))

  it.live("`leakThreshold`: a borrower whose answer came in time is not reported", () =>
    test(Effect.gen(function*() {
      const { ask, plan, pool } = yield* warmed({ leakThreshold: limit })
      plan.stallAfter = "Answer"
      yield* ConnectionPool.use(pool, host, ask)
      yield* Effect.sleep(1)
      assert.strictEqual((yield* ConnectionPool.stats(pool)).leaksReported, 0)
    })))

  it.live("the deadline of a drain: a borrower whose answer came in time keeps its connection until then", () =>
    test(Effect.gen(function*() {
      const { ask, plan, pool } = yield* warmed({})
      plan.stallAfter = "Answer"
      const asked = ConnectionPool.use(pool, host, (socket) => Effect.andThen(ask(socket), ConnectionPool.stats(pool)))
      const borrower = yield* fork(asked)
      yield* ConnectionPool.drain(pool, limit)
      assert.deepInclude(yield* Fiber.join(borrower), { active: 1, closing: 0 })
    })))
})
