import { assert, describe, it } from "@effect/vitest"
import { Data, Duration, Effect, Layer } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as Lambda from "effect-sluice/Lambda"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as ChildProcess from "node:child_process"
import { once } from "node:events"
import * as Http from "node:http"
import type * as Net from "node:net"
import * as Path from "node:path"
import { PassThrough } from "node:stream"
import { type ResponseStream, ResponseWriter } from "../../src/Serverless/internal/LambdaResponse.ts"

const contextFor = (remaining: number): Lambda.LambdaContext => ({
  awsRequestId: "1",
  functionName: "test",
  functionVersion: "1",
  invokedFunctionArn: "arn",
  memoryLimitInMB: "128",
  logGroupName: "group",
  logStreamName: "stream",
  getRemainingTimeInMillis: () => remaining
})

const context = contextFor(3000)

const failureOf = async (promise: Promise<unknown>): Promise<Error> => {
  const error: unknown = await promise.then(() => undefined, (error: unknown) => error)
  assert.instanceOf(error, Error)
  return error as Error
}

class Refused extends Data.TaggedError("Refused")<{ readonly why: string }> {
  override get message() {
    return `refused: ${this.why}`
  }
}

describe("a handler", () => {
  it("is what the runtime takes for one: a function of two parameters, or of three that streams", () => {
    const buffered = Lambda.handler({ layer: Layer.empty, handle: () => Effect.void })
    const streaming = Lambda.streamingHandler({ layer: Layer.empty, handle: () => Effect.void })
    const mark = Symbol.for("aws.lambda.runtime.handler.streaming")
    assert.deepStrictEqual([buffered.length, streaming.length], [2, 3])
    assert.deepStrictEqual([Reflect.get(buffered, mark), Reflect.get(streaming, mark)], [undefined, "response"])
  })

  it("refuses options that make no sense, with the option, the value and the rule", () => {
    const make = (options: object) => () =>
      Lambda.handler({ layer: Layer.empty, handle: () => Effect.void, ...options })
    assert.throws(make({ margin: -1 }), "Lambda: option margin is -1, but it must be a finite duration of at least 0")
    assert.throws(make({ margin: "soon" }), "option margin is \"soon\"")
    assert.throws(make({ shutdownWindow: 0 }), "option shutdownWindow is 0, but it must be a finite duration above 0")
    assert.throws(
      make({ between: "close" }),
      "option between is \"close\", but it must be one of keep, closeIdle, closeAll"
    )
  })

  it("says how much time is left, also to a pool that opens a connection for an invocation", async () => {
    const read = Effect.map(Lambda.remaining, Duration.toMillis)
    class Databases extends ConnectionPool.Service<Databases>()("test/Remaining", {
      connector: Connector.make({ open: () => read }),
      ...ConnectionPool.serverless
    }) {}
    const layer = Databases.layer.pipe(Layer.provide(ResourceMonitor.layerUnlimited))
    const handler = Lambda.handler({
      layer,
      handle: (name: string) => Effect.all([read, Databases.withConnection(name, Effect.succeed)])
    })
    assert.deepStrictEqual(await handler("a", contextFor(3000)), [3000, 3000])
    // The connection is opened again, because idle ones are closed between invocations.
    assert.deepStrictEqual(await handler("a", contextFor(2000)), [2000, 2000])
    // A connection may serve the other invocation afterwards.
    const both = [handler("b", contextFor(5000)), handler("c", contextFor(4000))]
    assert.deepStrictEqual(await Promise.all(both), [[5000, 5000], [4000, 5000]])
    // One without a context ends at once, and leaves nothing behind.
    await failureOf(handler("d", undefined as never))
    assert.deepStrictEqual(await handler("d", contextFor(1000)), [1000, 1000])
    await handler.close()
    assert.strictEqual(Effect.runSync(read), 0)
  })

  it("answers with the value, and throws what the runtime can show", async () => {
    const handler = Lambda.handler({
      layer: Layer.empty,
      handle: (event: string): Effect.Effect<string, unknown> =>
        event === "typed"
          ? Effect.fail(new Refused({ why: "it is full" }))
          : event === "plain"
          ? Effect.fail({ _tag: "Plain", code: 7 })
          : event === "text"
          ? Effect.fail("just text")
          : event === "defect"
          ? Effect.die(new RangeError("a bug"))
          : event === "interrupt"
          ? Effect.interrupt
          : Effect.succeed(event)
    })
    assert.strictEqual(await handler("fine", context), "fine")
    const shown = async (event: string) => {
      const { message, name } = await failureOf(handler(event, context))
      return [name, message.split("\n")[0]]
    }
    assert.deepStrictEqual(await shown("typed"), ["Refused", "refused: it is full"])
    assert.deepStrictEqual(await shown("text"), ["Error", "just text"])
    assert.deepStrictEqual(await shown("defect"), ["RangeError", "a bug"])
    assert.strictEqual((await shown("plain"))[0], "Plain")
    await failureOf(handler("interrupt", context))
    await handler.close()
  })

  it("throws an error whose message has the texts of its causes, which the runtime does not show", async () => {
    const circle = new Error("once")
    circle.cause = circle
    const errors: Record<string, Error> = {
      nested: new RangeError("no session", { cause: new Error("", { cause: new TypeError("wrong host") }) }),
      told: new RangeError("no session: wrong host", { cause: new Error("wrong host") }),
      text: new RangeError("no session", { cause: "password=hunter2 refused" }),
      circle
    }
    const handler = Lambda.handler({ layer: Layer.empty, handle: (event: string) => Effect.die(errors[event]) })
    const shown = async (event: string) => {
      const error = await failureOf(handler(event, context))
      assert.instanceOf(error, event === "circle" ? Error : RangeError)
      const [first] = error.stack?.split("\n") ?? []
      assert.strictEqual(first, `${error.name}: ${error.message}`)
      return [error.message, error === errors[event]]
    }
    assert.deepStrictEqual(await shown("nested"), ["no session: Error: wrong host", false])
    assert.deepStrictEqual(await shown("told"), ["no session: wrong host", true])
    assert.deepStrictEqual(await shown("text"), ["no session: password=*** refused", false])
    assert.deepStrictEqual(await shown("circle"), ["once", true])
    await handler.close()
  })

  it("takes a handle that throws, and a context that is none, as failures", async () => {
    const handler = Lambda.handler({
      layer: Layer.empty,
      handle: (): Effect.Effect<void> => {
        throw new TypeError("thrown")
      }
    })
    assert.strictEqual((await failureOf(handler({}, context))).message, "thrown")
    assert.instanceOf(await failureOf(handler({}, undefined as never)), TypeError)
  })

  it("answers with a typed timeout within the time that is left", async () => {
    const handler = Lambda.handler({ layer: Layer.empty, handle: () => Effect.never, margin: "500 millis" })
    const start = performance.now()
    const error = await failureOf(handler({}, contextFor(1000)))
    assert.instanceOf(error, Lambda.InvocationTimeout)
    assert.strictEqual(error.name, "InvocationTimeout")
    assert.isBelow(performance.now() - start, 1000)
  })

  it("leases no earlier connection after a freeze that only the platform's deadlines show", async () => {
    let opened = 0
    const connector = Connector.make({ open: () => Effect.sync(() => ++opened), check: () => Effect.void })
    class Databases extends ConnectionPool.Service<Databases>()("test/Databases", {
      connector,
      ...ConnectionPool.serverless
    }) {}
    const handler = Lambda.handler({
      between: "keep",
      layer: Databases.layer.pipe(Layer.provide(ResourceMonitor.layerUnlimited)),
      handle: () => Databases.withConnection("db", Effect.succeed)
    })
    const answers = [3000, 3000, 63_000, 63_000].map((remaining) => () => handler({}, contextFor(remaining)))
    const connections: Array<number> = []
    for (const answer of answers) connections.push(await answer())
    await handler.close()
    assert.deepStrictEqual(connections, [1, 1, 2, 2])
  })

  it("has closed its connections when it answers, unless it is told to keep them", async () => {
    let [opened, open] = [0, 0]
    const connector = Connector.make({
      open: () => Effect.acquireRelease(Effect.sync(() => (open++, ++opened)), () => Effect.sync(() => open--))
    })
    class Databases extends ConnectionPool.Service<Databases>()("test/Databases", {
      connector,
      ...ConnectionPool.serverless
    }) {}
    for (const [between, connections] of [[undefined, [1, 2]], ["keep", [3, 3]]] as const) {
      const handler = Lambda.handler({
        between,
        layer: Databases.layer.pipe(Layer.provide(ResourceMonitor.layerUnlimited)),
        handle: () => Databases.withConnection("db", Effect.succeed)
      })
      const answers: Array<number> = []
      for (const _ of connections) {
        answers.push(await handler({}, context))
        assert.strictEqual(open, between === "keep" ? 1 : 0)
      }
      await handler.close()
      assert.deepStrictEqual(answers, [...connections])
    }
  })

  it("does not have the runtime of Node 22 wait for an empty event loop", async () => {
    const old = { ...context, callbackWaitsForEmptyEventLoop: true }
    const handler = Lambda.handler({ layer: Layer.empty, handle: () => Effect.void })
    await handler({}, old)
    assert.isFalse(old.callbackWaitsForEmptyEventLoop)
  })

  it("closes its layer when it is closed, once, and refuses what comes after", async () => {
    let closed = 0
    const layer = Layer.effectDiscard(Effect.addFinalizer(() => Effect.sync(() => closed++)))
    const handler = Lambda.handler({ layer, handle: () => Effect.void })
    await handler({}, context)
    await Promise.all([handler.close(), handler.close()])
    assert.strictEqual(closed, 1)
    assert.instanceOf(await failureOf(handler({}, context)), Lambda.InstanceClosing)
  })
})

describe("a response", () => {
  /** What the runtime passes, with its switch for the media type. */
  const streamOf = (options: { readonly highWaterMark?: number } = {}) => {
    const types: Array<string> = []
    const stream = Object.assign(new PassThrough(options), { setContentType: (type: string) => void types.push(type) })
    return { stream, types }
  }

  it("has a head before its body, as a function URL expects", async () => {
    const { stream, types } = streamOf()
    const writer = new ResponseWriter(stream)
    await Effect.runPromise(Effect.andThen(
      writer.head({ statusCode: 201, headers: { "x-test": "1" } }),
      Effect.andThen(writer.write("body"), writer.end)
    ))
    const head = "{\"statusCode\":201,\"headers\":{\"x-test\":\"1\"},\"cookies\":[]}"
    assert.strictEqual(
      String(await stream.toArray().then((parts) => Buffer.concat(parts))),
      `${head}${"\0".repeat(8)}body`
    )
    assert.deepStrictEqual(types, ["application/vnd.awslambda.http-integration-response"])
  })

  it("waits for a receiver that is slower, and goes on when it has taken something", async () => {
    const { stream } = streamOf({ highWaterMark: 4 })
    const writer = new ResponseWriter(stream)
    let written = 0
    const all = Effect.runPromise(Effect.forEach(
      ["aaaa", "bbbb", "cccc", "dddd"],
      (part) => Effect.map(writer.write(part), () => written++),
      { discard: true }
    ))
    await new Promise((resolve) => setTimeout(resolve, 20))
    assert.isBelow(written, 3)
    stream.resume()
    await all
    assert.strictEqual(written, 4)
    for (const event of ["drain", "close"]) assert.strictEqual(stream.listenerCount(event), 0)
  })

  it("fails when the receiver has gone, while it waits and afterwards, with how much was written", async () => {
    const { stream } = streamOf({ highWaterMark: 4 })
    const writer = new ResponseWriter(stream)
    const waiting = failureOf(Effect.runPromise(writer.write("aaaaaaaa")))
    setImmediate(() => stream.destroy(new Error("gone")))
    assert.strictEqual((await waiting).message, "the response broke off after 8 bytes: gone")
    const after = await failureOf(Effect.runPromise(writer.write("b")))
    assert.instanceOf(after, Lambda.ResponseFailed)
    assert.strictEqual(after.message, "the response broke off after 8 bytes: gone")
    await Effect.runPromise(writer.end)
  })

  it("fails when the media type comes too late", async () => {
    const stream: ResponseStream = Object.assign(new PassThrough(), {
      setContentType: () => {
        throw new Error("too late")
      }
    })
    const error = await failureOf(Effect.runPromise(new ResponseWriter(stream).contentType("text/plain")))
    assert.strictEqual(error.message, "the response broke off after 0 bytes: too late")
  })
})

describe("a program that builds a layer and ends", () => {
  /**
   * Runs it, with an interface of Lambda's or without, and returns how long the process lived after its last line, in times of
   * what it took until then.
   */
  const run = async (env: Record<string, string>) => {
    const begin = Date.now()
    const child = ChildProcess.spawn(
      process.execPath,
      ["--import", "./scripts/sources.mjs", "test/Serverless/functions/idle.ts"],
      { cwd: Path.resolve(import.meta.dirname, "../.."), env: { ...process.env, ...env } }
    )
    let output = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => output += text)
    child.stderr.setEncoding("utf8").on("data", (text: string) => output += text)
    const [code] = await once(child, "exit")
    const end = Date.now()
    assert.strictEqual(code, 0, output)
    const { answer, now, timers } = JSON.parse(output)
    assert.deepStrictEqual([answer, timers], ["db", []])
    return (end - now) / (now - begin)
  }

  it("exits at once, although the pool has an idle connection with a timer", async () => {
    assert.isBelow(await run({ AWS_LAMBDA_RUNTIME_API: "" }), 2)
  })

  it("exits at once, although the extension waits for an event that never comes", async () => {
    const asked: Array<string> = []
    const server = Http.createServer((request, response) => {
      asked.push(request.url ?? "")
      if (request.method === "POST") response.writeHead(200, { "Lambda-Extension-Identifier": "1" }).end("{}")
    }).listen(0, "127.0.0.1")
    await once(server, "listening")
    try {
      const { port } = server.address() as Net.AddressInfo
      assert.isBelow(await run({ AWS_LAMBDA_RUNTIME_API: `127.0.0.1:${port}` }), 2)
      assert.deepStrictEqual(asked, ["/2020-01-01/extension/register", "/2020-01-01/extension/event/next"])
    } finally {
      server.closeAllConnections()
      server.close()
    }
  })
})
