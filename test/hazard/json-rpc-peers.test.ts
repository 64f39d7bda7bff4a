/**
 * Peers that speak broken JSON-RPC, chosen by seeded random numbers: whatever they send, no request gets another one's
 * answer, every failure is one of ours, nothing hangs, and everything is closed.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import type { Cause } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import type * as Endpoint from "effect-sluice/Endpoint"
import * as JsonRpcClient from "effect-sluice/JsonRpcClient"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import type * as TcpConnection from "effect-sluice/TcpConnection"
import type * as Net from "node:net"
import { initializeResult, line, mcp, type Message, rpcServer } from "../support/JsonRpcServer.ts"
import { seeded } from "../support/random.ts"
import type { TcpServer } from "../support/TcpServer.ts"

/** Set `SEEDS` for more. */
const seeds = Number(process.env["SEEDS"] ?? 40)
const maxLineBytes = 4096

interface Peer {
  readonly socket: Net.Socket
  readonly random: () => number
  /** The requests that were answered. */
  readonly answered: Array<unknown>
  /** The requests whose answers are held back. */
  readonly held: Array<Message>
  /** What is to be done with the socket, one thing in each turn of the event loop. */
  readonly todo: Array<() => void>
}

type Move = (peer: Peer, message: Message) => void

const next = (peer: Peer): void => {
  peer.todo[0]?.()
  peer.todo.shift()
  if (peer.todo.length > 0) setImmediate(() => next(peer))
}

const perform = (peer: Peer, act: () => void): void => {
  if (peer.todo.push(act) === 1) setImmediate(() => next(peer))
}

const send = (peer: Peer, data: string | Uint8Array): void =>
  perform(peer, () => void (peer.socket.writable && peer.socket.write(data)))

/** Sends a last piece and then ends the connection, or resets it. */
const finish = (peer: Peer, data: string, how: "end" | "reset"): void => {
  send(peer, data)
  perform(peer, () => how === "end" ? peer.socket.end() : peer.socket.resetAndDestroy())
}

/** What a good peer answers: the question. */
const right = ({ id, params }: Message): string => line({ id, result: params?.["question"] ?? {} })

const answer: Move = (peer, message) => {
  peer.answered.push(message.id)
  send(peer, right(message))
}

const later = (peer: Peer, millis: number, act: () => void): void => {
  const timer = setTimeout(act, millis)
  peer.socket.once("close", () => clearTimeout(timer))
}

/** Writes a text in two parts that may split a character or a line end. */
const inParts = (peer: Peer, text: string): void => {
  const bytes = Buffer.from(text)
  const at = Math.floor(peer.random() * bytes.length)
  send(peer, bytes.subarray(0, at))
  send(peer, bytes.subarray(at))
}

const raw = (text: string): Move => (peer) => send(peer, text)

const sound: ReadonlyArray<Move> = [
  answer,
  answer,
  answer,
  answer,
  (peer, message) => send(peer, right({ ...message, id: String(message.id) })),
  (peer, message) => send(peer, `\uFEFF${right(message).replace("\n", "\r\n\n")}`),
  (peer, message) => inParts(peer, right(message)),
  (peer, message) => later(peer, peer.random() * 60, () => answer(peer, message)),
  (peer, message) => void peer.held.push(message),
  (peer, message) => {
    for (const held of [...peer.held.splice(0), message].reverse()) answer(peer, held)
  },
  (peer, message) => send(peer, line({ id: message.id, error: { code: 7, message: "no" } })),
  (peer, message) => send(peer, right(message) + right({ ...message, params: { question: "again" } })),
  (peer, message) => {
    for (const id of peer.answered) send(peer, line({ id, result: "stale" }))
    answer(peer, message)
  },
  (peer, message) => {
    for (let n = 0; n < 20; n++) send(peer, line({ method: "tick", params: { n } }) + line({ id: n, method: "ping" }))
    answer(peer, message)
  },
  (peer, message) => {
    send(peer, `{"jsonrpc":"2.0","method":"deep","params":${"[".repeat(1500)}${"]".repeat(1500)}}\n`)
    answer(peer, message)
  },
  (peer, message) => finish(peer, right(message).trim(), "end")
]

const broken: ReadonlyArray<Move> = [
  raw("HTTP/1.1 400 Bad Request\r\n\r\n"),
  raw("[]\n"),
  raw(line({ id: 1_000_000, result: "forged" })),
  raw("{\"jsonrpc\":\"2.0\",\"id\":1.5,\"result\":\"forged\"}\n"),
  raw("{\"jsonrpc\":\"2.0\",\"id\":1e999,\"result\":\"forged\"}\n"),
  raw("{\"jsonrpc\":\"2.0\",\"id\":12345678901234567890,\"method\":\"ping\"}\n"),
  raw(line({ id: null, error: { code: -32700, message: "Parse error" } })),
  raw(line({ result: "forged" })),
  raw("x".repeat(maxLineBytes + 1)),
  (peer) => {
    const chunk = "x".repeat(65_536)
    const flood = () => void (peer.socket.writable && peer.socket.write(chunk, (error) => error || setImmediate(flood)))
    flood()
  },
  (peer) => send(peer, Buffer.from([0x7b, 0xc3, 0x28, 0x0a])),
  (peer, { id }) => send(peer, `[${right({ id: id ?? 0 }).trim()}]\n`),
  (peer, { id }) => send(peer, line({ id, result: "forged", error: { code: 1, message: "both" } })),
  (peer, { id }) => send(peer, line({ id, error: "no" })),
  (peer, { id }) => send(peer, line({ id, result: "forged" }).slice(0, -4)),
  (peer, message) => finish(peer, right(message).slice(0, -4), "end"),
  (peer, message) => finish(peer, right(message).slice(0, -4), "reset"),
  ({ socket }) => void socket.resetAndDestroy(),
  ({ socket }) => void socket.pause()
]

const pick = <A>(random: () => number, from: ReadonlyArray<A>): A => {
  const chosen = from[Math.floor(random() * from.length)]
  assert.isDefined(chosen)
  return chosen
}

const peers = (random: () => number, used: Set<Move>) => {
  const known = new WeakMap<Net.Socket, Peer>()
  const peerOf = (socket: Net.Socket): Peer => {
    const peer = known.get(socket) ?? { socket, random, answered: [], held: [], todo: [] }
    known.set(socket, peer)
    return peer
  }
  return rpcServer((message, socket) => {
    if (message.method === "initialize") return void socket.write(line({ id: message.id, result: initializeResult }))
    if (message.id === undefined || message.method === undefined) return
    const move = pick(random, random() < 0.06 ? broken : sound)
    used.add(move)
    move(peerOf(socket), message)
  })
}

type Failure =
  | JsonRpcClient.JsonRpcError
  | TcpConnection.TcpConnectionError
  | ConnectionPool.PoolError
  | Cause.TimeoutError

interface Tally {
  right: number
  readonly wrong: Array<unknown>
  readonly failures: Map<string, number>
}

/** A request that ends by its own timeout, by its caller's, or because its caller has lost interest. */
const ask = (client: JsonRpcClient.JsonRpcClient, question: string, random: () => number) => {
  const timeout = 30 + random() * 70
  const kind = random()
  return kind < 0.5
    ? client.request("ask", { question }, { timeout })
    : Effect.timeout(client.request("ask", { question }), kind < 0.6 ? random() * 20 : timeout)
}

const count = (tally: Tally, question: string, result: Result.Result<unknown, Failure>): void => {
  if (Result.isFailure(result)) {
    const { failure } = result
    const name = failure._tag === "TimeoutError" ? failure._tag : failure.reason._tag
    tally.failures.set(name, (tally.failures.get(name) ?? 0) + 1)
  } else if (result.success === question) tally.right++
  else tally.wrong.push([question, result.success])
}

const borrower = (
  pool: ConnectionPool.ConnectionPool<Endpoint.Endpoint, JsonRpcClient.JsonRpcClient>,
  server: TcpServer,
  name: string,
  random: () => number,
  tally: Tally
) =>
  Effect.forEach(Array.from({ length: 15 }), (_, n) => {
    const question = `${name}-${n} grüße 🌍`
    return ConnectionPool.use(pool, server.endpoint, (client) => ask(client, question, random)).pipe(
      Effect.result,
      Effect.map((result) => count(tally, question, result))
    )
  }, { discard: true })

const run = (seed: number, tally: Tally, used: Set<Move>) =>
  Effect.gen(function*() {
    const random = seeded(seed)
    const server = yield* peers(seeded(seed + 1_000_000), used)
    yield* Effect.scoped(Effect.gen(function*() {
      const pool = yield* ConnectionPool.make({
        connector: JsonRpcClient.connector({
          maxLineBytes,
          closeTimeout: "50 millis",
          notificationBuffer: 4,
          ...seed % 2 === 0 ? { mcp, maxRequestTimeout: "1 second" } : {}
        }),
        maxPerEndpoint: 3,
        concurrency: 1 + seed % 4,
        acquireTimeout: "5 seconds"
      })
      yield* Effect.forEach(
        Array.from({ length: 8 }, (_, n) => `${seed}-${n}`),
        (name) => borrower(pool, server, name, random, tally),
        { concurrency: "unbounded", discard: true }
      )
    }))
    // One that was paused has not heard of the end, and might pause again at the next request.
    for (const socket of server.sockets) socket.removeAllListeners("data").resume()
    yield* server.drained
    assert.strictEqual(server.sockets.size, 0, `seed ${seed} left connections open`)
  }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerUnlimited))

describe("random peers", { timeout: 120_000 }, () => {
  it.live("give no wrong answer, no untyped failure, no hang and no open connection, whatever they send", () =>
    Effect.gen(function*() {
      const tally: Tally = { right: 0, wrong: [], failures: new Map() }
      const used = new Set<Move>()
      yield* Effect.forEach(
        Array.from({ length: seeds }, (_, n) => n + 1),
        (seed) => Effect.timeout(run(seed, tally, used), "60 seconds"),
        { concurrency: 4, discard: true }
      )
      assert.deepStrictEqual(tally.wrong, [])
      // The peers are mostly sound, and the test is about what it says only if both kinds of moves were made.
      assert.isAbove(tally.right, seeds * 8 * 15 / 4)
      assert.isAbove(used.size, (new Set(sound).size + broken.length) * 0.8)
      const tags = [...tally.failures.keys()]
      const expected = [
        "MalformedMessage",
        "LineTooLong",
        "UnattributedError",
        "ConnectionLost",
        "RemoteError",
        "RequestTimeout"
      ]
      for (const tag of expected) {
        assert.include(tags, tag)
      }
    }))
})
