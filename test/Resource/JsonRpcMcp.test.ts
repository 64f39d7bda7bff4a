/**
 * What MCP adds to JSON-RPC: versions, cancellation and progress.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import * as JsonRpcClient from "effect-sluice/JsonRpcClient"
import { TestClock } from "effect/testing"
import type * as Net from "node:net"
import { tokenOf, withToken } from "../../src/Resource/internal/jsonrpc/ProgressToken.ts"
import {
  answer,
  eventually,
  fork,
  initializeResult,
  line,
  mcp,
  mcpServer,
  type Message,
  reasonOf,
  rpcServer
} from "../support/JsonRpcServer.ts"

describe("the version of MCP", () => {
  const serverOf = (protocolVersion: string) =>
    rpcServer(({ id, method }, socket) => {
      if (method === "initialize") socket.write(line({ id, result: { ...initializeResult, protocolVersion } }))
    })

  const opened = (protocolVersion: string, options: JsonRpcClient.McpOptions) =>
    Effect.gen(function*() {
      const server = yield* serverOf(protocolVersion)
      const result = yield* Effect.scoped(JsonRpcClient.connect(server.endpoint, { mcp: options })).pipe(
        Effect.match({ onSuccess: () => undefined, onFailure: (error) => error })
      )
      yield* server.drained
      assert.strictEqual(server.sockets.size, 0)
      return result
    })

  it.live("that the server answers with is an error if this client does not support it", () =>
    Effect.gen(function*() {
      const error = yield* opened("1999-01-01\u0007", mcp)
      if (error?._tag !== "JsonRpcError" || error.reason._tag !== "HandshakeFailed") return assert.fail(String(error))
      const { cause } = error.reason
      if (cause._tag !== "UnsupportedVersion") return assert.fail(cause._tag)
      assert.strictEqual(cause.requested, "2025-06-18")
      assert.strictEqual(cause.answered, "1999-01-01\u0007")
      assert.include(cause.supported, "2024-11-05")
      assert.isFalse(error.isRetryable)
      assert.include(error.message, "the server speaks MCP \"1999-01-01\\u0007\", but this client asked for 2025-06-18")
    }))

  for (const version of ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"]) {
    it.live(`${version} is supported`, () =>
      Effect.gen(function*() {
        assert.isUndefined(yield* opened(version, mcp))
      }))
  }

  it.live("that was asked for is supported, and the option says which others are", () =>
    Effect.gen(function*() {
      assert.isUndefined(yield* opened("2030-01-01", { ...mcp, protocolVersion: "2030-01-01" }))
      assert.isUndefined(yield* opened("2029-01-01", { ...mcp, supportedVersions: ["2029-01-01"] }))
      assert.isDefined(yield* opened("2024-11-05", { ...mcp, supportedVersions: [] }))
    }))
})

describe("a request that is given up", () => {
  const recording = (make: typeof rpcServer | typeof mcpServer) =>
    Effect.gen(function*() {
      const heard: Array<Message> = []
      const server = yield* make((message) => void heard.push(message))
      const cancelled = () =>
        heard.filter(({ method }) => method === "notifications/cancelled").map(({ params }) => params?.["requestId"])
      return { server, heard, cancelled }
    })

  it.live("is cancelled at the server with MCP, by its own timeout and by an interruption", () =>
    Effect.gen(function*() {
      const { cancelled, heard, server } = yield* recording(mcpServer)
      const client = yield* JsonRpcClient.connect(server.endpoint, { mcp })
      const late = yield* fork(reasonOf(client.request("late", undefined, { timeout: "20 millis" })))
      const unwanted = yield* fork(client.request("unwanted"))
      yield* eventually(() => heard.some(({ method }) => method === "unwanted"))
      yield* Fiber.join(late)
      yield* Fiber.interrupt(unwanted)
      yield* eventually(() => cancelled().length === 2)
      const ids = ["late", "unwanted"].map((name) => heard.find(({ method }) => method === name)?.id)
      assert.deepStrictEqual(cancelled(), ids)
      const reasons = heard.filter(({ method }) => method === "notifications/cancelled").map(({ params }) =>
        params?.["reason"]
      )
      assert.deepStrictEqual(reasons, ["the request timed out", "the caller gave up"])
    }))

  it.live("is not cancelled where it was never sent, nor where it has been answered", () =>
    Effect.gen(function*() {
      const heard: Array<Message> = []
      let socketOf: Net.Socket | undefined
      const server = yield* mcpServer((message, socket) => {
        heard.push(message)
        if (message.method === "notifications/initialized") socketOf = socket.pause()
        answer({ ...message, params: {} }, socket)
      })
      const client = yield* JsonRpcClient.connect(server.endpoint, { mcp })
      yield* eventually(() => socketOf !== undefined)
      const fill = yield* fork(client.request("fill", { text: "x".repeat(16 << 20) }))
      const unsent = yield* reasonOf(client.request("unsent", undefined, { timeout: "20 millis" }))
      assert.strictEqual(unsent._tag === "RequestTimeout" && unsent.phase, "send")
      socketOf?.resume()
      yield* Fiber.join(fill)
      yield* client.request("last")
      const methods = heard.map(({ method }) => method).filter((method) => method !== "ping")
      assert.deepStrictEqual(methods, ["notifications/initialized", "fill", "last"])
    }))

  it.live("is not cancelled without MCP, nor when it is initialize", () =>
    Effect.gen(function*() {
      const plain = yield* recording(rpcServer)
      yield* Effect.scoped(Effect.gen(function*() {
        const client = yield* JsonRpcClient.connect(plain.server.endpoint)
        yield* reasonOf(client.request("late", undefined, { timeout: "20 millis" }))
        yield* client.notify("last")
      }))
      yield* plain.server.drained
      assert.deepStrictEqual(plain.heard.map(({ method }) => method), ["late", "last"])
      const silent = yield* recording(rpcServer)
      yield* Effect.flip(
        Effect.scoped(JsonRpcClient.connect(silent.server.endpoint, { mcp, requestTimeout: "20 millis" }))
      )
      yield* silent.server.drained
      assert.deepStrictEqual(silent.heard.map(({ method }) => method), ["initialize"])
    }))
})

describe("progress", () => {
  interface Scene {
    readonly client: JsonRpcClient.JsonRpcClient
    readonly asked: Array<Message>
    /** The server says how far the last request is, and the client has heard it. */
    readonly progress: Effect.Effect<void, JsonRpcClient.JsonRpcError>
  }

  const scene = (options: JsonRpcClient.Options, reported: (token: unknown) => unknown = (token) => token) =>
    Effect.gen(function*() {
      const asked: Array<Message> = []
      const sockets: Array<Net.Socket> = []
      const server = yield* mcpServer((message, socket) => {
        if (message.method !== "work") return
        asked.push(message)
        sockets.push(socket)
      })
      const client = yield* JsonRpcClient.connect(server.endpoint, { mcp, ...options })
      const tokenIn = (message: Message | undefined) =>
        (message?.params?.["_meta"] as { readonly progressToken?: unknown } | undefined)?.progressToken
      const progress = Effect.gen(function*() {
        sockets.at(-1)?.write(
          line({
            method: "notifications/progress",
            params: { progressToken: reported(tokenIn(asked.at(-1))), progress: 1 }
          })
        )
        yield* Stream.runDrain(Stream.take(client.notifications, 1))
      })
      return { client, asked, progress } satisfies Scene
    })

  const working = ({ asked, client }: Scene, params?: object, options?: JsonRpcClient.RequestOptions) =>
    Effect.gen(function*() {
      const fiber = yield* fork(reasonOf(client.request("work", params, options)))
      yield* eventually(() => asked.length > 0)
      return fiber
    })

  const limits = { requestTimeout: "10 seconds", maxRequestTimeout: "25 seconds" } as const

  it.effect("starts a request's timeout anew, up to the maximum in all", () =>
    Effect.gen(function*() {
      const it = yield* scene(limits)
      const fiber = yield* working(it)
      for (let n = 0; n < 2; n++) {
        yield* it.progress
        yield* TestClock.adjust("9 seconds")
        assert.isUndefined(fiber.pollUnsafe())
      }
      yield* it.progress
      yield* TestClock.adjust("6999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      const reason = yield* Fiber.join(fiber)
      assert.strictEqual(reason.message, "no answer to work within 25s")
    }))

  it.effect("counts also where the server gives the token back as a string", () =>
    Effect.gen(function*() {
      const it = yield* scene(limits, String)
      const fiber = yield* working(it)
      yield* TestClock.adjust("9 seconds")
      yield* it.progress
      yield* TestClock.adjust("9 seconds")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 seconds")
      assert.strictEqual((yield* Fiber.join(fiber)).message, "no answer to work within 19s")
    }))

  it.effect("that stops lets the request time out", () =>
    Effect.gen(function*() {
      const it = yield* scene(limits)
      const fiber = yield* working(it)
      yield* it.progress
      yield* TestClock.adjust("9 seconds")
      yield* it.progress
      yield* TestClock.adjust("9999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* Fiber.join(fiber)).message, "no answer to work within 19s")
    }))

  it.effect("extends nothing without the option, and a request may have its own maximum", () =>
    Effect.gen(function*() {
      const plain = yield* scene({ requestTimeout: "10 seconds" })
      const without = yield* fork(reasonOf(plain.client.request("work")))
      yield* eventually(() => plain.asked.length === 1)
      assert.isUndefined(plain.asked[0]?.params)
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(without)
      const own = yield* scene({ requestTimeout: "10 seconds" })
      const fiber = yield* working(own, { a: 1 }, { maxTimeout: "12 seconds" })
      yield* own.progress
      yield* TestClock.adjust("9 seconds")
      yield* own.progress
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual((yield* Fiber.join(fiber)).message, "no answer to work within 12s")
    }))

  it("is reported under a token in the params, which leaves them as they were", () => {
    assert.deepStrictEqual(withToken(undefined, 7), { params: { _meta: { progressToken: 7 } }, token: 7 })
    assert.deepStrictEqual(withToken({ a: 1, _meta: { b: 2 } }, 7), {
      params: { a: 1, _meta: { b: 2, progressToken: 7 } },
      token: 7
    })
    const own = { _meta: { progressToken: "mine" } }
    assert.deepStrictEqual(withToken(own, 7), { params: own, token: "mine" })
    assert.isUndefined(withToken([1], 7))
    assert.isUndefined(withToken(new Date(0), 7))
    assert.strictEqual(tokenOf("notifications/progress", { progressToken: "a" }), "a")
    for (const params of [undefined, [], {}, { progressToken: null }]) {
      assert.isUndefined(tokenOf("notifications/progress", params))
    }
    assert.isUndefined(tokenOf("notifications/message", { progressToken: "a" }))
  })
})
