/**
 * The real runtime client of AWS Lambda against an emulator of its Runtime API, a real PostgreSQL and real sockets.
 *
 * It needs `npm ci --prefix test/Serverless/ric` and a PostgreSQL on 127.0.0.1:5432, and is skipped without them.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Scope } from "effect"
import * as ChildProcess from "node:child_process"
import { once } from "node:events"
import * as Http from "node:http"
import type * as Net from "node:net"
import * as Path from "node:path"
import * as Postgres from "../Serverless/Postgres.ts"
import { hasRuntimeClient, Instance, type Options } from "../Serverless/RuntimeApi.ts"
import * as TcpServer from "../support/TcpServer.ts"

const preload = Path.join(import.meta.dirname, "../../src/Serverless/LambdaPreload.ts")

/** An instance that is gone when the test ends, whatever happened. */
const start = (options: Options): Effect.Effect<Instance, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(() => Instance.start(options)),
    (instance) => Effect.promise(() => instance.close())
  )

const invoke = (instance: Instance, event: unknown, timeout?: number) =>
  Effect.promise(() => instance.invoke(event, timeout))

let applications = 0
/** A name under which the server knows the sessions of one test. */
const newApplication = () => `sluice-lambda-${process.pid}-${++applications}`

interface Queried {
  readonly pid: number
  readonly opened: number
  readonly total: number
  readonly holder: string
}

const queried = (text: string): Queried => JSON.parse(text)

const clients = [["native", false], ["HTTP", true]] as const

describe.skipIf(!hasRuntimeClient || !Postgres.isThere)("on Lambda", () => {
  it.live("three invocations share one connection, and the instance has one name", () =>
    Effect.gen(function*() {
      const instance = yield* start({ function: "query", env: { APPLICATION: newApplication() } })
      assert.deepStrictEqual(instance.registrations, ["registered"])
      const answers: Array<Queried> = []
      for (let turn = 0; turn < 3; turn++) answers.push(queried((yield* invoke(instance, {})).text))
      const [first] = answers
      for (const { holder, pid } of answers) {
        assert.deepStrictEqual({ holder, pid }, { holder: first?.holder, pid: first?.pid })
      }
      assert.deepInclude(answers[2], { opened: 1, total: 1 })
    }))

  it.live.each(clients)(
    "no invocation gets what the server closed during a freeze, with the %s client",
    ([, alternativeClient]) =>
      Effect.gen(function*() {
        const server = yield* TcpServer.echo
        const env = { PORT: String(server.endpoint.port) }
        const instance = yield* start({ function: "lines", env, alternativeClient })
        assert.strictEqual((yield* invoke(instance, {})).text, "\"x\"")
        for (let turn = 1; turn <= 20; turn++) {
          yield* Effect.promise(() => instance.freeze())
          // One turn by a FIN, the next by a reset.
          for (const socket of server.sockets) {
            if (turn % 2 === 0) socket.resetAndDestroy()
            else socket.end()
          }
          const answer = yield* invoke(instance, {})
          assert.deepInclude(answer, { how: "response", text: "\"x\"" })
          assert.strictEqual(server.account.opened, turn + 1)
        }
      })
  )

  it.live("no invocation gets a session that the server ended during a freeze", () =>
    Effect.gen(function*() {
      const application = newApplication()
      const observer = yield* Postgres.observe
      const instance = yield* start({ function: "query", env: { APPLICATION: application } })
      const sessions = new Set([queried((yield* invoke(instance, {})).text).pid])
      for (let turn = 1; turn <= 10; turn++) {
        yield* Effect.promise(() => instance.freeze())
        yield* observer.terminate(application)
        const answer = yield* invoke(instance, {})
        assert.strictEqual(answer.how, "response", answer.text)
        sessions.add(queried(answer.text).pid)
        assert.strictEqual(sessions.size, turn + 1)
      }
    }))

  it.live("an invocation that runs too long is answered before the platform's timeout, and its session ends", () =>
    Effect.gen(function*() {
      const application = newApplication()
      const observer = yield* Postgres.observe
      const instance = yield* start({ function: "query", env: { APPLICATION: application } })
      yield* invoke(instance, {})
      const answer = yield* invoke(instance, { sleep: 30 }, 1500)
      assert.deepInclude(answer, { how: "error", errorType: "InvocationTimeout" })
      assert.match(answer.text, /was interrupted after 1s (200|1\d\d)ms, before the platform's own timeout"/)
      assert.isBelow(answer.millis, 1500)
      assert.isBelow(yield* observer.gone(application), 500)
      assert.isTrue(instance.isAlive)
      assert.strictEqual((yield* invoke(instance, {})).how, "response")
    }))

  it.live("an invocation that cannot be interrupted is answered in time as well, and its session ends", () =>
    Effect.gen(function*() {
      const application = newApplication()
      const observer = yield* Postgres.observe
      const instance = yield* start({ function: "stuck", env: { APPLICATION: application, MARGIN: "900" } })
      const answer = yield* invoke(instance, {}, 2000)
      assert.deepInclude(answer, { how: "error", errorType: "InvocationTimeout" })
      assert.match(answer.text, /it has not ended, and still runs/)
      assert.isBelow(answer.millis, 2000)
      assert.isBelow(yield* observer.gone(application), 500)
    }))

  it.live.each(clients)(
    "at SIGTERM 50 sessions are gone within 150 ms, or as soon as the server can end them, with the %s client",
    ([, alternativeClient]) =>
      Effect.gen(function*() {
        const observer = yield* Postgres.observe
        // A server that takes long to end a session is no fault of the client.
        const floor = yield* Postgres.timeToEnd(observer, 50)
        const [most, window] = [Math.max(150, 1.5 * floor), Math.max(500, 2.5 * floor)]
        const attempt = Effect.gen(function*() {
          const application = newApplication()
          const instance = yield* start({ function: "query", env: { APPLICATION: application }, alternativeClient })
          assert.deepInclude(queried((yield* invoke(instance, { open: 50 }, 10_000)).text), { total: 50 })
          assert.strictEqual(yield* observer.sessions(application), 50)
          const ended = instance.end(window)
          const millis = yield* observer.gone(application)
          yield* Effect.promise(() => ended)
          // The native client parks a thread of the process, which waits for it: it ends by SIGKILL after the window.
          assert.strictEqual(instance.ending, alternativeClient ? 0 : "SIGKILL")
          return millis
        }).pipe(Effect.scoped)
        // What else the machine does at the moment only ever adds to it, so that the best of three is what it takes.
        let best = Infinity
        for (let turn = 0; turn < 3 && best >= most; turn++) best = Math.min(best, yield* attempt)
        console.log(`50 sessions were gone ${Math.round(best)} ms after SIGTERM`)
        assert.isBelow(best, most)
      })
  )

  it.live("at SIGTERM 50 peers that never end their side are told at once, and cost no more than the window", () =>
    Effect.gen(function*() {
      let ended = 0
      const server = yield* TcpServer.make((socket) => void socket.resume().on("end", () => ended++), {
        allowHalfOpen: true
      })
      const env = { PORT: String(server.endpoint.port) }
      const instance = yield* start({ function: "many", env, alternativeClient: true })
      assert.strictEqual(JSON.parse((yield* invoke(instance, {}, 10_000)).text).total, 50)
      const begin = performance.now()
      const gone = instance.end(2000)
      yield* TcpServer.eventually(() => ended === 50)
      const told = performance.now() - begin
      yield* Effect.promise(() => gone)
      const over = performance.now() - begin
      console.log(
        `50 hung peers were told after ${Math.round(told)} ms, and the process had ended after ${Math.round(over)} ms`
      )
      assert.strictEqual(instance.ending, 0)
      assert.strictEqual(ended, 50)
      assert.isBelow(told, 150)
      // The deadline of each, a third of the window, runs beside those of the others.
      assert.isBelow(over, 300)
      assert.notInclude(instance.output, "not everything is closed")
    }))

  it.live("at SIGTERM during an invocation it is interrupted, answered for, and everything closed", () =>
    Effect.gen(function*() {
      const instance = yield* start({ function: "noting" })
      const answer = instance.invoke({ hold: true }, 10_000)
      yield* Effect.sleep("100 millis")
      yield* Effect.promise(() => instance.end())
      assert.deepInclude(yield* Effect.promise(() => answer), { how: "error", errorType: "InstanceClosing" })
      assert.match(instance.output, /interrupted in thread 0\n[^]*closed in thread 0\n/)
    }))

  it.live.each([
    "its layer is being built",
    "its layer is being built, which cannot be interrupted",
    "a connect is in progress",
    "an invocation runs",
    "an invocation runs, which cannot be interrupted",
    "the finalizer of an invocation hangs",
    "connections close between two invocations"
  ])(
    "at SIGTERM while %s the connection is ended in order and in time, although the peer hangs",
    (phase) =>
      Effect.gen(function*() {
        const seen: Array<{ readonly what: string; readonly at: number }> = []
        const see = (what: string) => () => void seen.push({ what, at: performance.now() })
        const server = yield* TcpServer.make(
          (socket) => void socket.resume().on("end", see("end")).on("error", see("error")),
          { allowHalfOpen: true }
        )
        const env = { PORT: String(server.endpoint.port), PHASE: phase }
        const instance = yield* start({ function: "phased", env, alternativeClient: true })
        const answer = instance.invoke({}, 10_000)
        const isClosing = phase.startsWith("connections close")
        const hangs = phase.endsWith("hangs") || phase.startsWith("an invocation runs, which")
        yield* TcpServer.eventually(() => isClosing ? seen.length === 1 : instance.output.includes("it stays"))
        const begin = performance.now()
        yield* Effect.promise(() => instance.end(2000))
        const end = performance.now()
        assert.strictEqual(instance.ending, 0, instance.output)
        const { how } = yield* Effect.promise(() => answer)
        assert.strictEqual(how, isClosing ? "response" : hangs ? "killed" : "error")
        assert.deepStrictEqual(seen.map(({ what }) => what), ["end"])
        // The kernel ends what the process has left open when it is gone; the process itself waits for the peer after its end.
        assert.isBelow(seen[0]?.at ?? Infinity, end - 10)
        console.log(`${phase}: the process had ended after ${Math.round(end - begin)} ms`)
        // What Lambda gives a function whose only extension is an internal one.
        assert.isBelow(end - begin, 500)
      })
  )

  it.live("a first connect that is refused does not cost the instance its next invocation", () =>
    Effect.gen(function*() {
      const port = yield* Effect.scoped(Effect.map(TcpServer.echo, ({ endpoint }) => endpoint.port))
      const instance = yield* start({ function: "eager", env: { PORT: String(port) } })
      assert.deepInclude(yield* invoke(instance, {}), { how: "error", errorType: "TcpConnectionError" })
      yield* TcpServer.make((socket) => socket.resume(), { port })
      assert.deepInclude(yield* invoke(instance, {}), { how: "response", text: "\"written\"" })
    }))

  it.live.each(clients)(
    "a streaming handler ends, whatever stays open, with the %s client",
    ([, alternativeClient]) =>
      Effect.gen(function*() {
        const server = yield* TcpServer.echo
        const env = { PORT: String(server.endpoint.port) }
        const instance = yield* start({ function: "stream", env, alternativeClient })
        // Lambda gives each invocation the same time; one with more would look like a freeze that no clock has noticed.
        for (let turn = 0; turn < 2; turn++) {
          const answer = yield* invoke(instance, {}, 10_000)
          assert.deepInclude(answer, { how: "response", text: "one x" })
          assert.isBelow(answer.millis, 1500)
        }
        assert.strictEqual((yield* invoke(instance, { large: 20 }, 10_000)).text.length, 20_000_005)
        assert.deepInclude(yield* invoke(instance, { refuse: true }, 10_000), {
          how: "error",
          text: "",
          errorType: "NoMore"
        })
        assert.deepInclude(yield* invoke(instance, { fail: true }, 10_000), {
          how: "error",
          text: "one x",
          errorType: "NoMore"
        })
        const late = yield* invoke(instance, { hang: true }, 1000)
        assert.deepInclude(late, { how: "error", text: "one x", errorType: "InvocationTimeout" })
        assert.isBelow(late.millis, 1000)
        assert.strictEqual(server.account.opened, 1)
      })
  )

  it.live("without an extension an instance is killed, and nothing of it is told", () =>
    Effect.gen(function*() {
      const application = newApplication()
      const observer = yield* Postgres.observe
      const env = { APPLICATION: application, EXTENSION: "no", READY: "no" }
      const instance = yield* start({ function: "query", env })
      assert.isFalse(instance.hasExtension)
      yield* invoke(instance, { open: 10 }, 10_000)
      const ended = instance.end()
      const millis = yield* observer.gone(application)
      yield* Effect.promise(() => ended)
      assert.strictEqual(instance.ending, "SIGKILL")
      console.log(`10 sessions were gone ${Math.round(millis)} ms after SIGKILL, because the kernel was still there`)
      const noting = yield* start({ function: "noting", env: { EXTENSION: "no", READY: "no" } })
      yield* invoke(noting, {})
      yield* Effect.promise(() => noting.end())
      assert.notInclude(noting.output, "closed")
    }))

  it.live("a registration that comes too late is told once, and the preload makes sure that it does not", () =>
    Effect.gen(function*() {
      // Whether it is too late is a race without `ready`; here it is lost for certain.
      const late = yield* start({ function: "noting", isRegistrationOver: true })
      yield* invoke(late, {})
      yield* invoke(late, {})
      assert.deepStrictEqual(late.registrations, ["Extension.RegistrationClosed"])
      assert.strictEqual(late.output.match(/the extension was refused/g)?.length, 1)
      for (let turn = 0; turn < 3; turn++) {
        const instance = yield* start({ function: "noting", env: { READY: "no" }, preload })
        assert.deepStrictEqual(instance.registrations, ["registered"])
        yield* Effect.promise(() => instance.close())
      }
    }))

  it.live("on managed instances SIGTERM reaches every worker thread", () =>
    Effect.gen(function*() {
      const instance = yield* start({ function: "noting", workers: 4, alternativeClient: true, preload })
      assert.deepStrictEqual(instance.registrations, ["registered"])
      // The first four go to one worker each and stay, the others end.
      const held = Array.from({ length: 4 }, () => instance.invoke({ hold: true }, 10_000))
      for (let turn = 0; turn < 4; turn++) assert.strictEqual((yield* invoke(instance, {})).how, "response")
      const begin = performance.now()
      yield* Effect.promise(() => instance.end())
      console.log(`4 workers had closed ${Math.round(performance.now() - begin)} ms after SIGTERM`)
      assert.strictEqual(instance.ending, 0)
      for (const answer of held) {
        assert.deepInclude(yield* Effect.promise(() => answer), { how: "error", errorType: "InstanceClosing" })
      }
      const threadsOf = (what: string) =>
        new Set(instance.output.match(new RegExp(`${what} in thread [1-9]\\d*`, "g"))).size
      assert.deepStrictEqual([threadsOf("interrupted"), threadsOf("closed")], [4, 4])
    }))

  it.live("without the preload a worker thread says that SIGTERM does not reach it", () =>
    Effect.gen(function*() {
      const instance = yield* start({ function: "noting", workers: 1, alternativeClient: true })
      yield* invoke(instance, {})
      yield* invoke(instance, {})
      assert.strictEqual(instance.output.match(/SIGTERM does not reach this worker thread/g)?.length, 1)
    }))

  it.live("whoever else listens for SIGTERM ends the process, after everything is closed", () =>
    Effect.gen(function*() {
      const instance = yield* start({ function: "noting", alternativeClient: true, env: { LISTENER: "yes" } })
      yield* invoke(instance, {})
      yield* Effect.promise(() => instance.end())
      assert.match(instance.output, /closed in thread 0\n[^]*the other listener has ended\n/)
      assert.strictEqual(instance.ending, 7)
    }))

  it.live("a frozen instance is closed as well, once it is let go on to be ended", () =>
    Effect.gen(function*() {
      const application = newApplication()
      const observer = yield* Postgres.observe
      const instance = yield* start({ function: "query", env: { APPLICATION: application } })
      yield* invoke(instance, { open: 10 }, 10_000)
      yield* Effect.promise(() => instance.freeze())
      yield* Effect.sleep("300 millis")
      assert.strictEqual(yield* observer.sessions(application), 10)
      const ended = instance.end()
      assert.isBelow(yield* observer.gone(application), 300)
      yield* Effect.promise(() => ended)
    }))
})

describe("the preload", () => {
  it("starts although the platform's interface does not answer", async () => {
    const server = Http.createServer(() => {}).listen(0, "127.0.0.1")
    await once(server, "listening")
    try {
      const { port } = server.address() as Net.AddressInfo
      const child = ChildProcess.spawnSync(
        process.execPath,
        [
          "--import",
          "./scripts/sources.mjs",
          "--import",
          "./src/Serverless/LambdaPreload.ts",
          "-e",
          "console.log('on')"
        ],
        { encoding: "utf8", env: { ...process.env, AWS_LAMBDA_RUNTIME_API: "127.0.0.1:9" } }
      )
      assert.deepStrictEqual([child.status, child.stdout], [0, "on\n"], child.stderr)
      const silent = ChildProcess.spawn(
        process.execPath,
        [
          "--import",
          "./scripts/sources.mjs",
          "--import",
          "./src/Serverless/LambdaPreload.ts",
          "-e",
          "console.log('on')"
        ],
        { env: { ...process.env, AWS_LAMBDA_RUNTIME_API: `127.0.0.1:${port}` } }
      )
      const start = performance.now()
      assert.deepStrictEqual(await once(silent, "exit"), [0, null])
      assert.isAbove(performance.now() - start, 900)
    } finally {
      server.closeAllConnections()
      server.close()
    }
  })
})
