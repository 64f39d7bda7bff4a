/**
 * Connections that stop answering while new ones would work, as after a lost entry of a NAT: what a request that times out
 * says about its connection, and what a pool makes of it.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option } from "effect"
import type { Cause, Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as JsonRpcClient from "effect-sluice/JsonRpcClient"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { TestClock } from "effect/testing"
import type * as Net from "node:net"
import { SilenceDetector } from "../../../../src/Resource/internal/jsonrpc/SilenceDetector.ts"
import {
  answer,
  eventually,
  fork,
  type Handler,
  initializeResult,
  line,
  mcp,
  mcpServer,
  reasonOf,
  rpcServer
} from "../../../support/JsonRpcServer.ts"
import { stall } from "../../../support/stall.ts"
import type { TcpServer } from "../../../support/TcpServer.ts"

interface Lossy {
  readonly server: TcpServer
  /** The connections of this moment stay open and are never answered again. */
  readonly lose: () => void
  /** They work again. */
  readonly find: () => void
  /** How many requests each lost connection has got since. */
  readonly unanswered: Map<Net.Socket, number>
}

const lossy = (
  make: (handle: Handler) => Effect.Effect<TcpServer, never, Scope.Scope>,
  onLost: Handler = () => {}
): Effect.Effect<Lossy, never, Scope.Scope> =>
  Effect.gen(function*() {
    const unanswered = new Map<Net.Socket, number>()
    const server = yield* make((message, socket) => {
      const before = unanswered.get(socket)
      if (before === undefined) return answer(message, socket)
      if (message.method === "ask") unanswered.set(socket, before + 1)
      onLost(message, socket)
    })
    return {
      server,
      unanswered,
      lose: () => {
        for (const socket of server.sockets) {
          unanswered.set(socket, 0)
          // It does not hear our end either, so that a graceful close would wait for its own.
          socket.allowHalfOpen = true
        }
      },
      find: () => {
        for (const socket of server.sockets) socket.allowHalfOpen = false
        unanswered.clear()
      }
    }
  })

const requestTimeout = 150

const bySession = (client: JsonRpcClient.JsonRpcClient) => client.request("ask")

/** The caller loses patience long before the client does. */
const byCaller = (client: JsonRpcClient.JsonRpcClient) =>
  client.request("ask", undefined, { timeout: "1 minute" }).pipe(Effect.timeout(requestTimeout))

type Ask = (
  client: JsonRpcClient.JsonRpcClient
) => Effect.Effect<unknown, JsonRpcClient.JsonRpcError | Cause.TimeoutError>

const poolFor = (server: TcpServer, options: JsonRpcClient.Options, concurrency: number) =>
  ConnectionPool.make({
    connector: JsonRpcClient.connector({ requestTimeout, ...options }),
    closeTimeout: "1 minute",
    maxPerEndpoint: 2,
    concurrency,
    checkAfterIdle: "1 minute",
    acquireTimeout: "5 seconds"
  }).pipe(Effect.map((pool) => (ask: Ask) => ConnectionPool.use(pool, server.endpoint, ask)))

/**
 * Two connections in use, then lost; then each of these fibers asks until it is answered. The slots of what was lost must be
 * free at once for that: to close such a connection takes a minute.
 */
const recovers = (
  { lose, server, unanswered }: Lossy,
  options: {
    readonly client: JsonRpcClient.Options
    readonly concurrency: number
    readonly fibers: number
    readonly ask: Ask
    /** How many requests in a row may fail on a lost connection. */
    readonly most: number
  }
) =>
  Effect.gen(function*() {
    const use = yield* poolFor(server, options.client, options.concurrency)
    const warm = Array.from({ length: 2 * options.concurrency })
    yield* Effect.forEach(warm, () => use((client) => Effect.delay(client.request("warm"), "20 millis")), {
      concurrency: "unbounded"
    })
    assert.strictEqual(server.sockets.size, 2)
    lose()
    const asking = use(options.ask).pipe(
      Effect.option,
      Effect.repeat({ until: Option.isSome, times: 3 * options.most + 6 })
    )
    const ends = yield* Effect.forEach(Array.from({ length: options.fibers }), () => asking, {
      concurrency: "unbounded"
    })
    assert.isTrue(ends.every(Option.isSome))
    // For each lost connection, plus those that were in flight together with it.
    for (const count of unanswered.values()) {
      assert.isAtMost(count, options.most * Math.min(options.concurrency, options.fibers))
    }
  }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerUnlimited))

describe("connections that were lost on the way", () => {
  // An interruption counts after twice the slowest answer, which is a second at most: on a busy machine that is several requests.
  const whoseTimeout = [["the client's", bySession, 1], [
    "the caller's",
    byCaller,
    Math.ceil(1000 / requestTimeout)
  ]] as const
  for (const [whose, ask, most] of whoseTimeout) {
    for (const [concurrency, fibers] of [[1, 1], [1, 2], [4, 1], [4, 8]] as const) {
      it.live(
        `fail ${most} requests in a row at most and those in flight, by ${whose} timeout, with concurrency ${concurrency} and ${fibers} fibers`,
        () =>
          Effect.gen(function*() {
            yield* recovers(yield* lossy(rpcServer), { client: {}, concurrency, fibers, ask, most })
          })
      )
    }
  }

  it.live("are silent also while they flood pings and notifications, with MCP", () =>
    Effect.gen(function*() {
      const flood: Handler = ({ method }, socket) => {
        if (method !== "ask") return
        const more = () => {
          if (socket.destroyed) return
          socket.write(line({ id: "p", method: "ping" }) + line({ method: "notifications/message", params: {} }))
          setTimeout(more, 5)
        }
        more()
      }
      yield* recovers(yield* lossy(mcpServer, flood), {
        client: { mcp },
        concurrency: 4,
        fibers: 8,
        ask: bySession,
        most: 1
      })
    }))

  it.live("are kept if they answer a ping, with MCP", () =>
    Effect.gen(function*() {
      const { find, lose, server } = yield* lossy(mcpServer, (message, socket) => {
        if (message.method === "ping") answer(message, socket)
      })
      // Long enough for a ping to come back also where the machine is busy.
      const use = yield* poolFor(server, { mcp, requestTimeout: "500 millis" }, 1)
      yield* use((client) => client.request("warm"))
      lose()
      assert.isTrue(Option.isNone(yield* Effect.option(use(bySession))))
      find()
      yield* use((client) => client.request("warm"))
      assert.strictEqual(server.account.opened, 1)
    }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerUnlimited)))
})

describe("a request that times out", () => {
  const server = (handled: Array<() => void>) =>
    rpcServer((message, socket) => {
      if (message.method === "slow") handled.push(() => answer(message, socket))
      else answer(message, socket)
    })

  it.effect("among answered ones leaves its connection fit", () =>
    Effect.gen(function*() {
      const held: Array<() => void> = []
      const { endpoint } = yield* server(held)
      const client = yield* JsonRpcClient.connect(endpoint, { requestTimeout: "3 seconds" })
      const slow = yield* fork(reasonOf(client.request("slow")))
      yield* client.request("fast")
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual((yield* Fiber.join(slow))._tag, "RequestTimeout")
      assert.isTrue(client.isReusable())
    }))

  it.effect("makes its connection unfit, until an answer comes after all", () =>
    Effect.gen(function*() {
      const held: Array<() => void> = []
      const { endpoint } = yield* server(held)
      const client = yield* JsonRpcClient.connect(endpoint, { requestTimeout: "3 seconds" })
      yield* client.request("before")
      const slow = yield* fork(reasonOf(client.request("slow")))
      yield* eventually(() => held.length === 1)
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(slow)
      assert.isFalse(client.isReusable())
      held[0]?.()
      yield* eventually(() => client.isReusable())
      assert.isTrue(client.isReusable())
    }))

  it.live("because the peer does not read makes its connection unfit", () =>
    Effect.gen(function*() {
      const { endpoint } = yield* lossyReader
      const client = yield* JsonRpcClient.connect(endpoint, { requestTimeout: "20 millis" })
      const fill = yield* fork(client.request("fill", { text: "x".repeat(16 << 20) }, { timeout: "1 minute" }))
      const waiting = yield* reasonOf(client.request("wait"))
      assert.strictEqual(waiting._tag === "RequestTimeout" && waiting.phase, "send")
      assert.isFalse(client.isReusable())
      yield* Fiber.interrupt(fill)
    }))

  it.live("is not excused by a second answer to another request", () =>
    Effect.gen(function*() {
      const { endpoint } = yield* rpcServer(({ id, method }, socket) => {
        if (method === "first") return void socket.write(line({ id, result: 1 }))
        socket.write(line({ id: 1, result: 2 }).repeat(3))
      })
      const client = yield* JsonRpcClient.connect(endpoint, { requestTimeout: "50 millis" })
      assert.strictEqual(yield* client.request("first"), 1)
      yield* reasonOf(client.request("second"))
      assert.isFalse(client.isReusable())
    }))

  const lossyReader = rpcServer(() => {}, { pauseOnConnect: true })
})

describe("a busy event loop", () => {
  /** The answer is with the kernel when the loop stops turning, for longer than the request may take. */
  const stalling: Handler = (message, socket) => {
    if (message.method === "initialize") socket.write(line({ id: message.id, result: initializeResult }))
    else answer(message, socket)
    if (message.id !== undefined) stall(300)
  }

  it.live("makes no request time out whose answer has come in time", () =>
    Effect.gen(function*() {
      const { endpoint } = yield* rpcServer(stalling)
      const client = yield* JsonRpcClient.connect(endpoint, { requestTimeout: "100 millis" })
      assert.strictEqual(yield* client.request("ask"), null)
      assert.isTrue(client.isReusable())
    }))

  it.live("makes no handshake time out that was answered in time", () =>
    Effect.gen(function*() {
      const { endpoint } = yield* rpcServer(stalling)
      const client = yield* JsonRpcClient.connect(endpoint, { mcp, requestTimeout: "100 millis" })
      assert.deepStrictEqual(client.server, initializeResult)
    }))
})

describe("an interrupted request", () => {
  const silence = (answers: ReadonlyArray<number>, probes = false): SilenceDetector => {
    const silence = new SilenceDetector(probes)
    for (const took of answers) {
      silence.asked(0, 30_000, true)
      silence.answered(took)
    }
    return silence
  }

  const interruptedAfter = (silence: SilenceDetector, millis: number): boolean => {
    silence.interrupted(silence.asked(1000, 30_000, true), 1000 + millis, 30_000)
    return silence.isSilent
  }

  it("says nothing before its connection is silent for twice the slowest answer, 50 ms at least and 1 s at most", () => {
    assert.isFalse(interruptedAfter(silence([]), 49))
    assert.isTrue(interruptedAfter(silence([]), 50))
    assert.isFalse(interruptedAfter(silence([10, 200, 20]), 399))
    assert.isTrue(interruptedAfter(silence([10, 200, 20]), 400))
    assert.isFalse(interruptedAfter(silence([20_000]), 999))
    assert.isTrue(interruptedAfter(silence([20_000]), 1000))
  })

  it("counts from the first one without an answer, so that short ones add up", () => {
    const many = silence([200])
    for (let n = 0; n < 3; n++) {
      many.interrupted(many.asked(1000 + n * 100, 30_000, true), 1100 + n * 100, 30_000)
      assert.isFalse(many.isSilent)
    }
    many.interrupted(many.asked(1300, 30_000, true), 1400, 30_000)
    assert.isTrue(many.isSilent)
  })

  it("leaves the connection fit where another one was answered meanwhile", () => {
    const busy = silence([])
    const mark = busy.asked(0, 30_000, true)
    busy.asked(1, 30_000, true)
    busy.answered(5)
    busy.interrupted(mark, 29_000, 30_000)
    assert.isFalse(busy.isSilent)
  })

  it("waits for the answer to a ping where one was sent", () => {
    assert.isFalse(interruptedAfter(silence([], true), 99))
    assert.isTrue(interruptedAfter(silence([], true), 100))
  })
})

describe("pings of the client", () => {
  it("are sent once in a silence, halfway to the timeout at the latest, and never for a ping", () => {
    const silence = new SilenceDetector(true)
    silence.asked(0, 30_000, false)
    assert.strictEqual(silence.probeAt, Infinity)
    silence.asked(10, 60, true)
    assert.strictEqual(silence.probeAt, 40)
    silence.asked(15, 30_000, true)
    assert.strictEqual(silence.probeAt, 40)
    silence.probed()
    silence.asked(50, 30_000, true)
    assert.strictEqual(silence.probeAt, Infinity)
    silence.answeredLate()
    silence.asked(100, 30_000, true)
    assert.strictEqual(silence.probeAt, 150)
    assert.strictEqual(new SilenceDetector(false).asked(0, 30_000, true), 0)
  })
})
