/**
 * JSON-RPC as peers speak it: what is odd and can be understood is understood, and what breaks the protocol costs that peer its
 * connection, at once, without a wrong answer and without its memory becoming ours.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Queue, Result, Scope, Stream } from "effect"
import * as JsonRpcClient from "effect-sluice/JsonRpcClient"
import * as V8 from "node:v8"
import * as Vm from "node:vm"
import { LineBuffer } from "../../src/Resource/internal/jsonrpc/LineBuffer.ts"
import * as Inbox from "../../src/Resource/internal/jsonrpc/NotificationInbox.ts"
import { malformed } from "../../src/Resource/JsonRpcError.ts"
import { answer, eventually, fork, line, type Message, reasonOf, rpcServer } from "../support/JsonRpcServer.ts"
import * as TcpServer from "../support/TcpServer.ts"

describe("answers as peers write them", () => {
  const understood = (name: string, say: (id: unknown) => string | Uint8Array, result: unknown) =>
    it.live(name, () =>
      Effect.gen(function*() {
        const server = yield* rpcServer((message, socket) => void socket.write(say(message.id)))
        const client = yield* JsonRpcClient.connect(server.endpoint)
        assert.deepStrictEqual(yield* client.request("ask"), result)
        assert.deepStrictEqual(yield* client.request("ask"), result)
        assert.strictEqual(yield* client.pending, 0)
      }))

  understood("a string id \"1\" answers request 1", (id) => line({ id: String(id), result: "yes" }), "yes")
  understood(
    "an id that is written as a float answers the same number",
    (id) => `{"jsonrpc":"2.0","id":${String(id)}.0,"result":"yes"}\n`,
    "yes"
  )
  understood("\\r\\n ends a line", (id) => line({ id, result: "yes" }).replace("\n", "\r\n"), "yes")
  understood("empty lines mean nothing", (id) => `\n\r\n${line({ id, result: "yes" })}\n\n`, "yes")
  understood("a byte order mark before a line means nothing", (id) => `\uFEFF${line({ id, result: "yes" })}`, "yes")
  understood(
    "a second answer to the same request is discarded",
    (id) => line({ id, result: "yes" }) + line({ id, result: "no" }),
    "yes"
  )
  understood(
    "of two ids in one message the last counts, as JSON.parse has it",
    (id) => `{"jsonrpc":"2.0","id":999,"id":${String(id)},"result":"yes"}\n`,
    "yes"
  )

  it.live("a string id refuses the request with the server's error as well", () =>
    Effect.gen(function*() {
      const server = yield* rpcServer(({ id }, socket) =>
        void socket.write(line({ id: String(id), error: { code: 7, message: "no" } }))
      )
      const client = yield* JsonRpcClient.connect(server.endpoint)
      const reason = yield* reasonOf(client.request("ask"))
      assert.strictEqual(reason._tag === "RemoteError" && reason.code, 7)
    }))

  it.live("a last line without a newline before the end is an answer", () =>
    Effect.gen(function*() {
      const server = yield* rpcServer(({ id }, socket) => void socket.end(line({ id, result: "last words" }).trim()))
      const client = yield* JsonRpcClient.connect(server.endpoint)
      assert.strictEqual(yield* client.request("ask"), "last words")
      yield* client.dead
    }))

  it.live("a last line that was cut off is no answer: the request fails with ConnectionLost", () =>
    Effect.gen(function*() {
      const server = yield* rpcServer(({ id }, socket) =>
        void socket.end(line({ id, result: "last words" }).slice(0, -3))
      )
      const client = yield* JsonRpcClient.connect(server.endpoint)
      assert.strictEqual((yield* reasonOf(client.request("ask")))._tag, "ConnectionLost")
    }))

  it.live("a last line before a reset is no answer, for it may be cut off anywhere", () =>
    Effect.gen(function*() {
      const server = yield* rpcServer((_, socket) => {
        socket.write("{\"jsonrpc\":\"2.0\",\"method\":\"x\"}", () => socket.resetAndDestroy())
      })
      const client = yield* JsonRpcClient.connect(server.endpoint)
      assert.strictEqual((yield* reasonOf(client.request("ask")))._tag, "ConnectionLost")
      assert.isTrue(Result.isFailure(yield* Effect.result(Stream.runCollect(client.notifications))))
    }))
})

describe("an error that belongs to no request", () => {
  for (const [name, id] of [["null", null], ["missing", undefined]] as const) {
    it.live(`fails the connection with the server's code and text in fields, when its id is ${name}`, () =>
      Effect.gen(function*() {
        const error = { code: -32700, message: "Parse error\u001b[2J", data: { at: 3 } }
        const server = yield* rpcServer((_, socket) => void socket.write(line({ id, error })))
        const client = yield* JsonRpcClient.connect(server.endpoint)
        const other = yield* fork(reasonOf(client.request("other")))
        const reason = yield* reasonOf(client.request("ask"))
        assert.instanceOf(reason, JsonRpcClient.UnattributedError)
        assert.deepStrictEqual([reason.code, reason.text, reason.data], [-32700, error.message, error.data])
        assert.isFalse(reason.isRetryable)
        assert.strictEqual(yield* Fiber.join(other), reason)
        assert.strictEqual((yield* client.closed).how, "Forced")
      }))
  }

  it.live("counts as the last line before the end as well", () =>
    Effect.gen(function*() {
      const server = yield* rpcServer((_, socket) =>
        void socket.end(line({ id: null, error: { code: -32700, message: "Parse error" } }).trim())
      )
      const client = yield* JsonRpcClient.connect(server.endpoint)
      assert.strictEqual((yield* reasonOf(client.request("ask")))._tag, "UnattributedError")
    }))
})

describe("a peer that breaks the protocol", () => {
  const breaks = (name: string, say: (id: unknown) => string | Uint8Array, rule: string) =>
    it.live(`loses its connection at once, with a typed error and no wrong answer: ${name}`, () =>
      Effect.gen(function*() {
        const server = yield* rpcServer(({ id }, socket) => void socket.write(say(id)))
        const client = yield* JsonRpcClient.connect(server.endpoint)
        const reason = yield* reasonOf(client.request("ask"))
        assert.strictEqual(reason._tag === "MalformedMessage" && reason.rule, rule)
        assert.strictEqual((yield* client.closed).how, "Forced")
        yield* server.drained
        assert.strictEqual(server.sockets.size, 0)
      }))

  const unasked = "answer a request that was asked"
  const ids = [
    "1.5",
    "\"1.0\"",
    "\"01\"",
    "\" 1\"",
    "-1",
    "0",
    "1e999",
    "12345678901234567890",
    "\"12345678901234567890\"",
    "[1]",
    "true",
    "null",
    "\"\""
  ]
  for (const id of ids) {
    breaks(`an answer with the id ${id}`, () => `{"jsonrpc":"2.0","id":${id},"result":1}\n`, unasked)
  }
  breaks("an answer without an id", () => line({ result: 1 }), unasked)
  breaks("an answer to a request that comes later", () => line({ id: 2, result: 1 }), unasked)
  breaks(
    "a result and an error",
    (id) => line({ id, result: 1, error: { code: 1, message: "x" } }),
    "have a result or an error, not both"
  )
  breaks("a batch", (id) => `[${line({ id, result: 1 }).trim()}]\n`, "be a JSON object (batches are not supported)")
  breaks("an empty batch", () => "[]\n", "be a JSON object (batches are not supported)")
  breaks(
    "a request whose id is no exact number, which an answer could not give back",
    () => "{\"jsonrpc\":\"2.0\",\"id\":12345678901234567890,\"method\":\"ping\"}\n",
    "have an id that a double can hold exactly"
  )
  breaks(
    "an error whose code is no number",
    (id) => line({ id, error: { code: "1", message: "x" } }),
    "have an error with a whole number as its code and a string as its message"
  )
  breaks(
    "an error whose code is infinite",
    (id) => `{"jsonrpc":"2.0","id":${String(id)},"error":{"code":1e999,"message":""}}\n`,
    "have an error with a whole number as its code and a string as its message"
  )
  breaks("a lone carriage return", () => "\r\r\n", "be JSON")

  it.live("an answer that comes before its request was sent is none", () =>
    Effect.gen(function*() {
      const text = "x".repeat(16 << 20)
      // The first request fills the way to the peer, so that the second one is still here when its answer comes.
      const server = yield* TcpServer.make((socket) => {
        socket.pause()
        setTimeout(() => socket.write(line({ id: 2, result: "forged" })), 20)
      })
      const client = yield* JsonRpcClient.connect(server.endpoint)
      const first = yield* fork(reasonOf(client.request("fill", { text })))
      const second = yield* fork(reasonOf(client.request("wait")))
      const reason = yield* Fiber.join(second)
      assert.strictEqual(reason._tag === "MalformedMessage" && reason.rule, unasked)
      assert.strictEqual((yield* Fiber.join(first))._tag, "MalformedMessage")
    }))

  for (const size of [1, 2, 3]) {
    it.live(`bytes that are no UTF-8 are refused, also when they come in chunks of ${size}`, () =>
      Effect.sync(() => {
        const broken = Buffer.concat([Buffer.from("{\"a\":\""), Buffer.from([0xe2, 0x82]), Buffer.from("\"}\nnext\n")])
        const buffer = new LineBuffer(100)
        const lines: Array<string | Uint8Array> = []
        for (let at = 0; at < broken.length; at += size) {
          lines.push(...buffer.push(broken.subarray(at, at + size)).lines)
        }
        assert.instanceOf(lines[0], Uint8Array)
        assert.strictEqual(lines[1], "next")
      }))
  }

  it.live("is destroyed, not read to its end: a flood without a newline costs no more than the limit and a few buffers", () =>
    Effect.gen(function*() {
      let sent = 0
      const chunk = "x".repeat(1 << 20)
      const server = yield* TcpServer.make((socket) => {
        const flood = () => {
          sent += chunk.length
          socket.write(chunk, (error) => error || socket.destroyed || flood())
        }
        flood()
      })
      const client = yield* JsonRpcClient.connect(server.endpoint, { maxLineBytes: 100_000, closeTimeout: "1 minute" })
      const ending = yield* client.closed
      assert.strictEqual(ending.how, "Forced")
      assert.isBelow(ending.bytesRead, 1 << 20)
      yield* server.drained
      assert.isBelow(sent, 64 << 20)
    }))
})

describe("what a peer makes us hold", () => {
  V8.setFlagsFromString("--expose-gc")
  const collect: () => void = Vm.runInNewContext("gc")

  /** Long texts are outside of the heap. So are the buffers of sockets, which are freed when the collector likes. */
  const held = (): number => {
    collect()
    const { arrayBuffers, external, heapUsed } = process.memoryUsage()
    return heapUsed + external - arrayBuffers
  }

  const filled = (length: number, begin: string, unit: string, end: string) =>
    begin + unit.repeat(Math.floor((length - begin.length - end.length) / unit.length)) + end

  const mebibyte = 1 << 20
  const start = "{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"params\":"
  const depth = (mebibyte - start.length - 1) >> 1
  const lines: ReadonlyArray<readonly [string, string]> = [
    ["arrays in arrays", start + "[".repeat(depth) + "]".repeat(depth) + "}"],
    ["many small objects", filled(mebibyte, `${start}[{}`, ",{}", "]}")],
    ["many small arrays", filled(mebibyte, `${start}[[]`, ",[]", "]}")],
    ["a text of two bytes a character", filled(mebibyte / 2, `${start}{"a":"\u{100}`, "x", "\"}}")]
  ]

  for (const [name, text] of lines) {
    it.live(`is bounded by its lines, not by what they are parsed to: ${name}`, () =>
      Effect.gen(function*() {
        const inbox = yield* Inbox.make({ messages: 1024, length: 4 * mebibyte })
        const bytes = Buffer.from(text + "\n")
        const before = held()
        // Made from bytes as they come from a socket, so that no line shares the text of this test.
        for (let n = 0; n < 20; n++) {
          const [line] = new LineBuffer(mebibyte).push(bytes).lines
          if (typeof line === "string") inbox.offer(line)
        }
        const kept = held() - before
        assert.isAtLeast(inbox.dropped, 12)
        assert.isBelow(kept, 8.5 * mebibyte)
        assert.strictEqual((yield* inbox.take).method, "m")
      }))
  }

  it.live("is bounded when small messages come in great number", () =>
    Effect.gen(function*() {
      const inbox = yield* Inbox.make({ messages: 1024, length: 4 * mebibyte })
      const before = held()
      for (let n = 0; n < 20_000; n++) inbox.offer(`${start}[${n}]}`)
      assert.isBelow(held() - before, mebibyte)
      assert.strictEqual(inbox.dropped, 20_000 - 1024)
    }))

  it.live("is given to a reader one message at a time, so that the rest stays bounded", () =>
    Effect.gen(function*() {
      const server = yield* rpcServer((message, socket) => {
        for (let n = 0; n < 10; n++) socket.write(line({ method: "tick", params: { n } }))
        answer(message, socket)
      })
      const client = yield* JsonRpcClient.connect(server.endpoint, { notificationBuffer: 3 })
      const seen = yield* Queue.unbounded<unknown>()
      const reader = yield* fork(
        client.notifications.pipe(
          Stream.runForEach(({ params }) => Effect.andThen(Queue.offer(seen, params), Effect.never))
        )
      )
      yield* client.request("go")
      yield* client.request("go")
      assert.strictEqual(yield* Queue.size(seen), 1)
      assert.strictEqual(yield* client.droppedNotifications, 20 - 1 - 3)
      yield* Fiber.interrupt(reader)
    }))

  it("does not stay in the error that quotes it", () => {
    const bytes = Buffer.from("x".repeat(mebibyte) + "\n")
    const before = held()
    const reasons = Array.from({ length: 16 }, () => {
      const [line] = new LineBuffer(mebibyte).push(bytes).lines
      return malformed(line ?? "", "be JSON")
    })
    assert.isBelow(held() - before, 4 * mebibyte)
    assert.strictEqual(reasons[15]?.line.length, 200)
  })
})

describe("replies to a peer", () => {
  it.live("give back the ids of its requests as they came", () =>
    Effect.gen(function*() {
      const replies: Array<Message> = []
      const server = yield* rpcServer((message, socket) => {
        if (message.method === undefined) replies.push(message)
        else for (const id of ["a", "1", 1, -1, 0, 1.5]) socket.write(line({ id, method: "roots/list" }))
      })
      const client = yield* JsonRpcClient.connect(server.endpoint)
      yield* client.notify("go")
      yield* eventually(() => replies.length === 6)
      assert.deepStrictEqual(replies.map(({ id }) => id), ["a", "1", 1, -1, 0, 1.5])
    }))

  it.live("do not keep the scope from closing when the peer never reads them", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.make((socket) => {
        socket.pause()
        const flood = () => socket.write(line({ id: 1, method: "x" }).repeat(1000), (error) => error || flood())
        flood()
      })
      const scope = yield* Scope.make()
      yield* Scope.provide(JsonRpcClient.connect(server.endpoint, { closeTimeout: "10 millis" }), scope)
      yield* Effect.sleep("50 millis")
      yield* Scope.close(scope, Exit.void)
      yield* server.drained
      assert.strictEqual(server.sockets.size, 0)
    }))
})
