import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Result, Scope, Stream } from "effect"
import * as JsonRpcClient from "effect-sluice/JsonRpcClient"
import { TestClock } from "effect/testing"
import type * as Net from "node:net"
import { countDescriptors } from "../support/descriptors.ts"
import { answer, initializeResult, line, mcp, type Message, reasonOf, rpcServer } from "../support/JsonRpcServer.ts"
import * as TcpServer from "../support/TcpServer.ts"

/** What a reset right after data fails a read with. Node 22 reports it as the end of the connection. */
const resetAfterData = ["ReadFailed", ...Number.parseInt(process.versions.node) < 24 ? ["ConnectionClosed"] : []]

/** Writes bytes one at a time, each in its own segment. */
const drip = (socket: Net.Socket, text: string): void => {
  const bytes = Buffer.from(text)
  let at = 0
  const next = () => {
    if (at < bytes.length) socket.write(bytes.subarray(at, ++at), () => setImmediate(next))
  }
  next()
}

const openReasonOf = (server: TcpServer.TcpServer, options: JsonRpcClient.Options) =>
  JsonRpcClient.connect(server.endpoint, options).pipe(
    Effect.flip,
    Effect.scoped,
    Effect.map((error) => {
      if (error._tag !== "JsonRpcError" || error.reason._tag !== "HandshakeFailed") return assert.fail(error.message)
      return error.reason
    })
  )

const nothingPending = (client: JsonRpcClient.JsonRpcClient) =>
  Effect.map(client.pending, (pending) => assert.strictEqual(pending, 0))

describe("JsonRpcClient", () => {
  it.live("a request gets its result, and the connection closes gracefully with the scope", () =>
    Effect.gen(function*() {
      const server = yield* rpcServer(answer)
      const ending = yield* Effect.scoped(Effect.gen(function*() {
        const client = yield* JsonRpcClient.connect(server.endpoint)
        assert.deepStrictEqual(yield* client.request("echo", { a: [1, "ä\n"] }), { a: [1, "ä\n"] })
        assert.deepStrictEqual(yield* JsonRpcClient.request(client, "echo", [1]), [1])
        assert.deepStrictEqual(yield* JsonRpcClient.request("echo", [2])(client), [2])
        assert.strictEqual(yield* client.request("echo"), null)
        yield* nothingPending(client)
        return client.closed
      })).pipe(Effect.flatten)
      assert.strictEqual(ending.how, "Graceful")
    }))

  it.live("an error of the server is a RemoteError with its code, words and data, and the connection lives on", () =>
    Effect.gen(function*() {
      const server = yield* rpcServer(({ id, method }, socket) =>
        void socket.write(
          method === "ok"
            ? line({ id, result: 1 })
            : line({ id, error: { code: -32001, message: "busy", data: { load: 9 } } })
        )
      )
      const client = yield* JsonRpcClient.connect(server.endpoint)
      const caught = yield* Effect.catchReason(
        client.request("work"),
        "JsonRpcError",
        "RemoteError",
        (reason) => Effect.succeed(reason)
      )
      assert.instanceOf(caught, JsonRpcClient.RemoteError)
      assert.deepStrictEqual([caught.method, caught.code, caught.text], ["work", -32001, "busy"])
      assert.deepStrictEqual(caught.data, { load: 9 })
      assert.strictEqual(caught.message, "the server refused work with error -32001: busy")
      assert.isFalse(caught.isRetryable)
      assert.strictEqual(yield* client.request("ok"), 1)
    }))

  it.live("the message of a RemoteError quotes 200 characters of the server's words, the field has all", () =>
    Effect.gen(function*() {
      const words = "w".repeat(5000)
      const server = yield* rpcServer(({ id }, socket) =>
        void socket.write(line({ id, error: { code: 1, message: words } }))
      )
      const client = yield* JsonRpcClient.connect(server.endpoint)
      const reason = yield* reasonOf(client.request("work"))
      assert.strictEqual(reason.message, `the server refused work with error 1: ${"w".repeat(200)}...`)
      assert.strictEqual(reason._tag === "RemoteError" && reason.text, words)
    }))

  it.live("answers may come in any order", () =>
    Effect.gen(function*() {
      const held: Array<Message> = []
      const server = yield* rpcServer((message, socket) => {
        if (held.push(message) < 50) return
        for (const message of held.reverse()) answer(message, socket)
      })
      const client = yield* JsonRpcClient.connect(server.endpoint)
      const numbers = Array.from({ length: 50 }, (_, i) => i)
      const results = yield* Effect.forEach(numbers, (n) => client.request("n", { n }), { concurrency: "unbounded" })
      assert.deepStrictEqual(results, numbers.map((n) => ({ n })))
    }))

  it.live("1000 requests are in flight at once on one connection", () =>
    Effect.gen(function*() {
      const held: Array<Message> = []
      const server = yield* rpcServer((message, socket) => {
        // No answer before all have come: they must all be under way together.
        if (held.push(message) === 1000) { for (const message of held) answer(message, socket) }
      })
      const client = yield* JsonRpcClient.connect(server.endpoint)
      const text = "x".repeat(1000)
      const results = yield* Effect.forEach(
        Array.from({ length: 1000 }),
        (_, n) => client.request("n", { n, text }),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(results, Array.from({ length: 1000 }, (_, n) => ({ n, text })))
      assert.strictEqual(server.account.opened, 1)
      yield* nothingPending(client)
    }))

  it.live("fault 17: one slow answer does not hold the others", () =>
    Effect.gen(function*() {
      const server = yield* rpcServer((message, socket) => {
        if (message.method === "fast") answer(message, socket)
      })
      const client = yield* JsonRpcClient.connect(server.endpoint)
      const slow = yield* Effect.forkChild(client.request("slow"), { startImmediately: true })
      for (let n = 0; n < 100; n++) assert.deepStrictEqual(yield* client.request("fast", { n }), { n })
      assert.isUndefined(slow.pollUnsafe())
      assert.strictEqual(yield* client.pending, 1)
    }))

  it.live("an answer that comes in single bytes, split inside characters and line ends, is understood", () =>
    Effect.gen(function*() {
      const server = yield* rpcServer(({ id }, socket) =>
        drip(socket, "\r\n\n" + line({ id, result: "grüße 🌍" }).replace("\n", "\r\n"))
      )
      const client = yield* JsonRpcClient.connect(server.endpoint)
      assert.strictEqual(yield* client.request("greet"), "grüße 🌍")
    }))

  it.live("large messages pass in both directions at once", () =>
    Effect.gen(function*() {
      const server = yield* rpcServer(answer)
      const client = yield* JsonRpcClient.connect(server.endpoint, { maxLineBytes: 8 << 20 })
      const text = "é".repeat(1 << 20)
      const results = yield* Effect.forEach([1, 2, 3], (n) => client.request("n", { n, text }), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(results, [1, 2, 3].map((n) => ({ n, text })))
    }))

  describe("time-outs and interruption", () => {
    it.effect("a request without an answer fails with RequestTimeout, and its late answer is discarded", () =>
      Effect.gen(function*() {
        const held: Array<() => void> = []
        const server = yield* rpcServer((message, socket) => {
          if (message.method === "late") held.push(() => answer(message, socket))
          else answer(message, socket)
        })
        const client = yield* JsonRpcClient.connect(server.endpoint, { requestTimeout: "3 seconds" })
        const fiber = yield* Effect.forkChild(reasonOf(client.request("late")), { startImmediately: true })
        yield* TcpServer.eventually(() => held.length === 1)
        yield* TestClock.adjust("2999 millis")
        assert.isUndefined(fiber.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        const reason = yield* Fiber.join(fiber)
        assert.strictEqual(reason._tag, "RequestTimeout")
        assert.strictEqual(reason.message, "no answer to late within 3s")
        yield* nothingPending(client)
        for (const release of held) release()
        assert.strictEqual(yield* client.request("next"), null)
      }))

    it.effect("each request has its own time-out, whatever the order of asking", () =>
      Effect.gen(function*() {
        const server = yield* TcpServer.silent
        const client = yield* JsonRpcClient.connect(server.endpoint)
        const over: Array<number> = []
        for (const seconds of [5, 1, 3, 2]) {
          yield* client.request("x", undefined, { timeout: `${seconds} seconds` }).pipe(
            Effect.catch(() => Effect.sync(() => over.push(seconds))),
            Effect.forkChild({ startImmediately: true })
          )
        }
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(over, [1])
        yield* TestClock.adjust("10 seconds")
        assert.deepStrictEqual(over, [1, 2, 3, 5])
        yield* nothingPending(client)
      }))

    it.live("an interrupted request is forgotten, and its late answer is discarded", () =>
      Effect.gen(function*() {
        let release = () => {}
        const server = yield* rpcServer((message, socket) => {
          if (message.method === "late") release = () => answer(message, socket)
          else answer(message, socket)
        })
        const client = yield* JsonRpcClient.connect(server.endpoint)
        const fiber = yield* Effect.forkChild(client.request("late"), { startImmediately: true })
        assert.strictEqual(yield* client.pending, 1)
        yield* client.request("other")
        yield* Fiber.interrupt(fiber)
        yield* nothingPending(client)
        release()
        assert.strictEqual(yield* client.request("next"), null)
      }))

    it.live("an interruption at every scheduling point leaves nothing pending", () =>
      Effect.gen(function*() {
        const server = yield* rpcServer(answer)
        const client = yield* JsonRpcClient.connect(server.endpoint)
        for (let yields = 0; yields < 30; yields++) {
          const fiber = yield* Effect.forkChild(client.request("x"))
          for (let i = 0; i < yields; i++) yield* Effect.yieldNow
          yield* Fiber.interrupt(fiber)
          yield* nothingPending(client)
        }
        assert.strictEqual(yield* client.request("still there"), null)
      }))

    it.live("a peer that does not read costs time-outs, not memory: requests that gave up are never sent", () =>
      Effect.gen(function*() {
        let received = 0
        let last = ""
        const server = yield* TcpServer.make((socket) => void socket.pause())
        const client = yield* JsonRpcClient.connect(server.endpoint, { closeTimeout: "10 millis" })
        const mebibytes = (n: number) => ({ text: "x".repeat(n << 20) })
        const timeout = { timeout: "50 millis" } as const
        // More than the kernel takes: everything after it waits for its turn.
        const first = yield* reasonOf(client.request("fill", mebibytes(16), timeout))
        assert.strictEqual(first.message, "no answer to fill within 50ms")
        const reasons = yield* Effect.forEach(
          Array.from({ length: 20 }),
          () => reasonOf(client.request("wait", mebibytes(1), timeout)),
          { concurrency: "unbounded" }
        )
        for (const reason of reasons) {
          assert.strictEqual(reason.message, "wait could not be sent within 50ms: the peer does not read")
        }
        yield* nothingPending(client)
        for (const socket of server.sockets) {
          socket.on("data", (data) => {
            received += data.length
            last = (last + data.toString("latin1")).slice(-100)
          })
          socket.resume()
        }
        yield* client.notify("after")
        yield* TcpServer.eventually(() => last.endsWith("\"after\"}\n"))
        assert.isAbove(received, 16 << 20)
        assert.isBelow(received, 17 << 20)
      }))
  })

  describe("peers that break the protocol", () => {
    const breaks = (
      name: string,
      say: (socket: Net.Socket, id: number | string | undefined) => void,
      tag: JsonRpcClient.JsonRpcErrorReason["_tag"],
      words: string,
      options: JsonRpcClient.Options = {}
    ) =>
      it.live(`${name} fails all that is under way with ${tag} and destroys this connection only`, () =>
        Effect.gen(function*() {
          const server = yield* rpcServer(({ id, method }, socket) => {
            if (method === "break") say(socket, id)
          })
          const client = yield* JsonRpcClient.connect(server.endpoint, options)
          const bystander = yield* JsonRpcClient.connect(server.endpoint, options)
          const other = yield* Effect.forkChild(reasonOf(client.request("wait")), { startImmediately: true })
          const reason = yield* reasonOf(client.request("break"))
          assert.strictEqual(reason._tag, tag)
          assert.include(reason.message, words)
          assert.strictEqual(yield* Fiber.join(other), reason)
          yield* client.dead
          assert.strictEqual((yield* client.closed).how, "Forced")
          const late = yield* reasonOf(client.request("late"))
          assert.strictEqual(late._tag, "ConnectionLost")
          assert.isTrue(late.isRetryable)
          yield* TcpServer.eventually(() => server.sockets.size === 1)
          assert.strictEqual(server.sockets.size, 1)
          assert.strictEqual(yield* bystander.pending, 0)
        }))

    breaks("garbage", (socket) => socket.write("HTTP/1.1 400 Bad Request\r\n"), "MalformedMessage", "HTTP/1.1 400")
    breaks(
      "a batch",
      (socket, id) => socket.write(`[${line({ id, result: 1 }).trim()}]\n`),
      "MalformedMessage",
      "batch"
    )
    breaks(
      "an answer to an id never asked",
      (socket) => socket.write(line({ id: 99, result: 1 })),
      "MalformedMessage",
      "answer a request that was asked"
    )
    breaks(
      "an error without an id",
      (socket) => socket.write(line({ id: null, error: { code: -32700, message: "Parse error" } })),
      "UnattributedError",
      "the server sent error -32700, which belongs to no request: Parse error"
    )
    breaks(
      "a line that is not UTF-8",
      (socket) => socket.write(Buffer.from([0x22, 0xc3, 0x22, 0x0a])),
      "MalformedMessage",
      "it must be UTF-8, but it is \"\\\"\\xc3\\\"\""
    )
    breaks(
      "a line over the limit that never ends",
      (socket) => {
        const flood = () => socket.write("x".repeat(10_000), (error) => error || socket.writableEnded || flood())
        flood()
      },
      "LineTooLong",
      "100000 bytes",
      { maxLineBytes: 100_000, closeTimeout: "1 second" }
    )

    it.live("an error quotes no more than 200 characters of the line", () =>
      Effect.gen(function*() {
        const server = yield* rpcServer((_, socket) => void socket.write("x".repeat(5000) + "\n"))
        const client = yield* JsonRpcClient.connect(server.endpoint)
        const reason = yield* reasonOf(client.request("x"))
        assert.strictEqual(reason._tag === "MalformedMessage" && reason.line.length, 200)
      }))

    it.live("what came before the broken line still counts", () =>
      Effect.gen(function*() {
        const server = yield* rpcServer(({ id }, socket) => void socket.write(line({ id, result: 1 }) + "garbage\n"))
        const client = yield* JsonRpcClient.connect(server.endpoint)
        assert.strictEqual(yield* client.request("x"), 1)
        yield* client.closed
      }))

    it.live("a reset in the middle of an answer fails what is under way with ConnectionLost, which is not retryable", () =>
      Effect.gen(function*() {
        const server = yield* rpcServer((_, socket) => {
          socket.write("{\"jsonrpc\":\"2.0\",\"id\":1,\"res", () => socket.resetAndDestroy())
        })
        const client = yield* JsonRpcClient.connect(server.endpoint)
        const reason = yield* reasonOf(client.request("x"))
        assert(reason._tag === "ConnectionLost")
        assert.oneOf(reason.cause.reason._tag, resetAfterData)
        assert.isFalse(reason.isRetryable)
        yield* client.dead
      }))

    it.live("a server that closes ends the client: answers that came are kept, the rest fails", () =>
      Effect.gen(function*() {
        const server = yield* rpcServer((message, socket) => {
          if (message.method !== "bye") return
          answer(message, socket)
          socket.end()
        })
        const client = yield* JsonRpcClient.connect(server.endpoint)
        const other = yield* Effect.forkChild(reasonOf(client.request("wait")), { startImmediately: true })
        assert.strictEqual(yield* client.request("bye"), null)
        const reason = yield* Fiber.join(other)
        assert.strictEqual(reason._tag === "ConnectionLost" && reason.cause.reason._tag, "ConnectionClosed")
        yield* client.dead
        assert.strictEqual((yield* client.closed).how, "Graceful")
      }))
  })

  describe("closing", () => {
    it.live("fails requests that are under way with ConnectionLost", () =>
      Effect.gen(function*() {
        const server = yield* TcpServer.silent
        const scope = yield* Scope.make()
        const client = yield* Scope.provide(JsonRpcClient.connect(server.endpoint), scope)
        const fiber = yield* Effect.forkChild(reasonOf(client.request("x")), { startImmediately: true })
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual((yield* Fiber.join(fiber))._tag, "ConnectionLost")
        yield* nothingPending(client)
        yield* client.dead
        yield* server.drained
        assert.strictEqual(server.account.graceful, 1)
      }))

    it.live("fails a notification that waits for a peer that does not read", () =>
      Effect.gen(function*() {
        const server = yield* TcpServer.make((socket) => void socket.pause())
        const scope = yield* Scope.make()
        const client = yield* Scope.provide(
          JsonRpcClient.connect(server.endpoint, { closeTimeout: "10 millis" }),
          scope
        )
        const text = "x".repeat(16 << 20)
        const under = yield* Effect.forkChild(reasonOf(client.notify("fill", { text })), { startImmediately: true })
        const waiting = yield* Effect.forkChild(reasonOf(client.notify("wait")), { startImmediately: true })
        yield* Scope.close(scope, Exit.void)
        const reasons = [yield* Fiber.join(under), yield* Fiber.join(waiting)]
        assert.deepStrictEqual(reasons.map((reason) => reason._tag), ["ConnectionLost", "ConnectionLost"])
        assert.deepStrictEqual(reasons.map((reason) => reason.isRetryable), [false, true])
      }))

    it.live("a notification that was sent arrives before the end", () =>
      Effect.gen(function*() {
        const heard: Array<string | undefined> = []
        const server = yield* rpcServer(({ method }) => void heard.push(method))
        yield* Effect.scoped(
          Effect.flatMap(
            JsonRpcClient.connect(server.endpoint),
            (client) => Effect.all([client.notify("one"), JsonRpcClient.notify(client, "two", { a: 1 })])
          )
        )
        yield* server.drained
        assert.deepStrictEqual(heard, ["one", "two"])
      }))

    it.live("an interruption while it is being opened loses no descriptor", () =>
      Effect.gen(function*() {
        const server = yield* TcpServer.silent
        const before = countDescriptors()
        for (let turn = 0; turn < 20; turn++) {
          const fiber = yield* Effect.forkChild(Effect.scoped(JsonRpcClient.connect(server.endpoint, { mcp })), {
            startImmediately: true
          })
          if (turn % 2 === 0) yield* TcpServer.eventually(() => server.sockets.size > 0)
          yield* Fiber.interrupt(fiber)
        }
        yield* server.drained
        assert.strictEqual(countDescriptors(), before)
      }))
  })

  describe("messages of the server", () => {
    it.live("notifications are a stream, which fails when the server goes", () =>
      Effect.gen(function*() {
        const server = yield* TcpServer.make((socket) => {
          for (let n = 0; n < 3; n++) socket.write(line({ method: "tick", params: { n } }))
          socket.end()
        })
        const client = yield* JsonRpcClient.connect(server.endpoint)
        const heard: Array<unknown> = []
        const result = yield* JsonRpcClient.notifications(client).pipe(
          Stream.runForEach((notification) => Effect.sync(() => heard.push(notification))),
          Effect.result
        )
        assert.deepStrictEqual(heard, [0, 1, 2].map((n) => ({ method: "tick", params: { n } })))
        assert.strictEqual(Result.isFailure(result) && result.failure.reason._tag, "ConnectionLost")
      }))

    it.live("the stream of notifications ends when we close", () =>
      Effect.gen(function*() {
        const server = yield* TcpServer.silent
        const scope = yield* Scope.make()
        const client = yield* Scope.provide(JsonRpcClient.connect(server.endpoint), scope)
        const fiber = yield* Effect.forkChild(Stream.runCollect(client.notifications), { startImmediately: true })
        yield* Scope.close(scope, Exit.void)
        assert.deepStrictEqual(Array.from(yield* Fiber.join(fiber)), [])
      }))

    it.live("unread notifications are dropped from the oldest on, and counted", () =>
      Effect.gen(function*() {
        const server = yield* rpcServer((message, socket) => {
          for (let n = 0; n < 10; n++) socket.write(line({ method: "tick", params: { n } }))
          answer(message, socket)
        })
        const client = yield* JsonRpcClient.connect(server.endpoint, { notificationBuffer: 3 })
        yield* client.request("go")
        assert.strictEqual(yield* client.droppedNotifications, 7)
        const kept = yield* client.notifications.pipe(Stream.take(3), Stream.runCollect)
        assert.deepStrictEqual(Array.from(kept).map(({ params }) => params), [{ n: 7 }, { n: 8 }, { n: 9 }])
      }))

    it.live("unread notifications of a mebibyte hold no more than four lines of the greatest length", () =>
      Effect.gen(function*() {
        const text = "x".repeat(1_048_576 - 100)
        const server = yield* rpcServer((message, socket) => {
          for (let n = 0; n < 20; n++) socket.write(line({ method: "tick", params: { n, text } }))
          answer(message, socket)
        })
        const client = yield* JsonRpcClient.connect(server.endpoint)
        const numbers = (count: number) =>
          client.notifications.pipe(
            Stream.take(count),
            Stream.map(({ params }) => (params as { readonly n: number }).n),
            Stream.runCollect,
            Effect.map((chunk) => Array.from(chunk))
          )
        yield* client.request("go")
        assert.strictEqual(yield* client.droppedNotifications, 16)
        assert.deepStrictEqual(yield* numbers(4), [16, 17, 18, 19])
        // What was read has made room again.
        yield* client.request("go")
        assert.strictEqual(yield* client.droppedNotifications, 32)
        assert.deepStrictEqual(yield* numbers(4), [16, 17, 18, 19])
      }))

    it.live("notifications that are read make room, so none is dropped however many come", () =>
      Effect.gen(function*() {
        const server = yield* rpcServer((message, socket) => {
          socket.write(line({ method: "tick", params: { text: "x".repeat(900) } }))
          answer(message, socket)
        })
        const client = yield* JsonRpcClient.connect(server.endpoint, { maxLineBytes: 1000, notificationBuffer: 3 })
        const reader = yield* Effect.forkChild(client.notifications.pipe(Stream.take(30), Stream.runCollect), {
          startImmediately: true
        })
        for (let n = 0; n < 30; n++) yield* client.request("go")
        assert.strictEqual(Array.from(yield* Fiber.join(reader)).length, 30)
        assert.strictEqual(yield* client.droppedNotifications, 0)
      }))

    it.live("a request of the server is answered with method not found", () =>
      Effect.gen(function*() {
        const replies: Array<Message> = []
        const server = yield* rpcServer((message, socket) => {
          if (message.method === undefined) replies.push(message)
          else socket.write(line({ id: "s-1", method: "roots/list" }) + line({ id: 7, method: "ping" }))
        })
        const client = yield* JsonRpcClient.connect(server.endpoint)
        yield* client.notify("go")
        yield* TcpServer.eventually(() => replies.length === 2)
        assert.deepStrictEqual(replies.map(({ error, id }) => [id, error?.code]), [["s-1", -32601], [7, -32601]])
      }))
  })

  describe("the MCP handshake", () => {
    it.live("asks initialize, says initialized, tells what the server said, and answers the server's ping", () =>
      Effect.gen(function*() {
        const heard: Array<Message> = []
        const server = yield* rpcServer((message, socket) => {
          heard.push(message)
          if (message.method === "initialize") socket.write(line({ id: message.id, result: initializeResult }))
          if (message.method === "notifications/initialized") socket.write(line({ id: 1, method: "ping" }))
        })
        const client = yield* JsonRpcClient.connect(server.endpoint, { mcp })
        assert.deepStrictEqual(client.server, initializeResult)
        yield* TcpServer.eventually(() => heard.length === 3)
        assert.deepStrictEqual(heard.map(({ id, method, params, result }) => ({ id, method, params, result })), [
          {
            id: 1,
            method: "initialize",
            params: {
              protocolVersion: "2025-06-18",
              capabilities: {},
              clientInfo: { name: "test", version: "1.0.0" }
            },
            result: undefined
          },
          { id: undefined, method: "notifications/initialized", params: undefined, result: undefined },
          { id: 1, method: undefined, params: undefined, result: {} }
        ])
      }))

    it.live("an error of the server fails the opening, and leaves no connection", () =>
      Effect.gen(function*() {
        const server = yield* rpcServer(({ id }, socket) =>
          void socket.write(line({ id, error: { code: -32602, message: "Unsupported protocol version" } }))
        )
        const before = countDescriptors()
        const reason = yield* openReasonOf(server, { mcp })
        assert.strictEqual(reason.cause._tag === "RemoteError" && reason.cause.code, -32602)
        assert.include(reason.message, "Unsupported protocol version")
        assert.isFalse(reason.isRetryable)
        yield* server.drained
        assert.strictEqual(countDescriptors(), before)
      }))

    it.live("an answer that is no MCP answer fails the opening, and says what is missing", () =>
      Effect.gen(function*() {
        const server = yield* rpcServer(({ id }, socket) =>
          void socket.write(line({ id, result: { ...initializeResult, protocolVersion: 1 } }))
        )
        const reason = yield* openReasonOf(server, { mcp })
        assert.strictEqual(reason.cause._tag, "MalformedMessage")
        assert.include(reason.message, "protocolVersion")
        assert.notInclude(reason.message, "\n")
      }))

    const deep = "[".repeat(200_000) + "]".repeat(200_000)
    for (const result of [deep, `{"capabilities":{"a":${deep}}}`, `{"capabilities":${deep}}`]) {
      it.live(`an answer that is nested too deeply fails the opening: ${result.slice(0, 25)}`, () =>
        Effect.gen(function*() {
          const server = yield* rpcServer(({ id }, socket) =>
            void socket.write(`{"jsonrpc":"2.0","id":${id},"result":${result}}\n`)
          )
          const reason = yield* openReasonOf(server, { mcp })
          assert.strictEqual(reason.cause._tag, "MalformedMessage")
          assert.include(reason.message, "answer initialize as MCP does")
          assert.isBelow(reason.message.length, 600)
        }))
    }

    it.live("a server that goes away fails the opening, which may be tried again", () =>
      Effect.gen(function*() {
        const server = yield* rpcServer((_, socket) => void socket.end())
        const reason = yield* openReasonOf(server, { mcp })
        assert.strictEqual(reason.cause._tag, "ConnectionLost")
        assert.isTrue(reason.isRetryable)
      }))

    it.effect("a silent server fails the opening after requestTimeout", () =>
      Effect.gen(function*() {
        const server = yield* TcpServer.silent
        const fiber = yield* Effect.forkChild(openReasonOf(server, { mcp, requestTimeout: "4 seconds" }), {
          startImmediately: true
        })
        yield* TcpServer.eventually(() => server.sockets.size === 1)
        yield* Effect.yieldNow
        yield* TestClock.withLive(Effect.sleep("20 millis"))
        yield* TestClock.adjust("4 seconds")
        const reason = yield* Fiber.join(fiber)
        assert.strictEqual(reason.message, "the MCP handshake failed: no answer to initialize within 4s")
        assert.isTrue(reason.isRetryable)
      }))
  })

  describe("as a connector", () => {
    it.live("death of the connection is an event", () =>
      Effect.gen(function*() {
        const server = yield* TcpServer.silent
        const connector = JsonRpcClient.connector()
        const client = yield* connector.open(server.endpoint)
        assert.isUndefined(connector.check)
        yield* TcpServer.eventually(() => server.sockets.size === 1)
        for (const socket of server.sockets) socket.resetAndDestroy()
        yield* connector.closed?.(client) ?? Effect.die("no closed")
      }))

    it.live("checks an idle MCP connection with ping; any answer will do", () =>
      Effect.gen(function*() {
        let pings = 0
        const server = yield* rpcServer(({ id, method }, socket) => {
          if (method === "initialize") socket.write(line({ id, result: initializeResult }))
          if (method !== "ping") return
          pings++
          socket.write(line(pings === 1 ? { id, result: {} } : { id, error: { code: -32601, message: "no ping" } }))
        })
        const connector = JsonRpcClient.connector({ mcp })
        const client = yield* connector.open(server.endpoint)
        yield* connector.check?.(client) ?? Effect.die("no check")
        yield* connector.check?.(client) ?? Effect.die("no check")
        assert.strictEqual(pings, 2)
      }))

    it("refuses options that make no sense", () => {
      const refused = (options: JsonRpcClient.Options, words: string) =>
        assert.throws(() => JsonRpcClient.connector(options), words)
      refused({ requestTimeout: 0 }, "JsonRpcClient: option requestTimeout is 0")
      refused({ maxLineBytes: 0 }, "option maxLineBytes is 0, but it must be a whole number of at least 1")
      refused({ notificationBuffer: 1.5 }, "option notificationBuffer is 1.5")
      refused({ mcp: { clientName: "", clientVersion: "1" } }, "option mcp.clientName is \"\"")
      refused({ connectTimeout: -1 }, "TcpConnection: option connectTimeout")
    })
  })
})
