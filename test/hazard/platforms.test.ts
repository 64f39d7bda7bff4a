/** Platforms that end an instance with SIGTERM, as real processes with four connections to a real server. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ChildProcess from "node:child_process"
import { echo, eventually, make, type TcpServer } from "../support/TcpServer.ts"

interface Outcome {
  readonly status: number | null
  readonly stderr: string
  /** From the signal to the end of the process. */
  readonly millis: number
  /** Until the process had begun, which says how busy the machine is. */
  readonly startUp: number
}

const run = (platform: string, { endpoint }: TcpServer, env: Record<string, string>): Effect.Effect<Outcome> =>
  Effect.callback<Outcome>((resume) => {
    const file = new URL("platform-child.ts", import.meta.url).pathname
    const child = ChildProcess.spawn(process.execPath, [file, platform, `${endpoint.port}`], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...env }
    })
    let stderr = ""
    const begin = performance.now()
    let start = 0
    child.stderr.on("data", (chunk: Buffer) => stderr += chunk.toString())
    child.stdout.once("data", () => {
      start = performance.now()
      child.kill("SIGTERM")
    })
    child.on(
      "close",
      (status) => resume(Effect.succeed({ status, stderr, millis: performance.now() - start, startUp: start - begin }))
    )
    return Effect.sync(() => child.kill("SIGKILL"))
  })

/** Reads, but never ends its side: each connection costs what the client is ready to wait. */
const hung = make((socket) => void socket.resume(), { allowHalfOpen: true })

const ended = (server: TcpServer) => eventually(() => server.sockets.size === 0)

describe("an instance that the platform ends", () => {
  it.live.each(["CloudRun.launch", "CloudRun.run"])(
    "with %s closes all, and ends with 0",
    (platform) =>
      Effect.gen(function*() {
        const server = yield* echo
        const { millis, status, stderr } = yield* run(platform, server, {})
        assert.deepStrictEqual({ status, stderr }, { status: 0, stderr: "" })
        assert.isBelow(millis, 9000)
        yield* ended(server)
        assert.deepInclude(server.account, { opened: 4, graceful: 4, broken: 0 })
      })
  )

  it.live("with CloudRun.launch closes all within its 10 seconds although the server hangs", () =>
    Effect.gen(function*() {
      const server = yield* hung
      const { millis, status, stderr } = yield* run("CloudRun.launch", server, {})
      assert.deepStrictEqual({ status, stderr }, { status: 0, stderr: "" })
      // The pool's closeTimeout is 2 seconds, and all are closed at once.
      assert.isAtLeast(millis, 2000)
      assert.isBelow(millis, 9000)
      assert.strictEqual(server.account.opened, 4)
    }))

  it.live("with CloudRun.launch ends with 1 when something was not closed in time, and says so", () =>
    Effect.gen(function*() {
      const server = yield* echo
      const { millis, status, stderr } = yield* run("CloudRun.launch, stuck", server, {})
      assert.strictEqual(status, 1)
      assert.match(stderr, /^1000 ms have passed before everything was closed/)
      assert.isAtLeast(millis, 1000)
      yield* ended(server)
      assert.deepInclude(server.account, { opened: 4, graceful: 4, broken: 0 })
    }))

  it.live.each(
    [["CloudRun.attach", { K_SERVICE: "service" }, 9000], ["Vercel.attach", { VERCEL: "1" }, 400]] as const
  )("with %s closes all within the window, and ends with 0", ([platform, env, window]) =>
    Effect.gen(function*() {
      const server = yield* echo
      const { millis, startUp, status } = yield* run(platform, server, env)
      assert.strictEqual(status, 0)
      assert.isAtMost(millis, window + startUp)
      yield* ended(server)
      assert.deepInclude(server.account, { opened: 4, graceful: 4, broken: 0 })
    }))

  it.live("with Vercel.attach closes all within the window although the server hangs", () =>
    Effect.gen(function*() {
      const server = yield* hung
      const { millis, startUp, status } = yield* run("Vercel.attach", server, { VERCEL: "1" })
      assert.strictEqual(status, 0)
      // The window is 400 ms, of the 500 ms that Vercel is said to give. What exceeds it is the end of the process.
      assert.isAtMost(millis, 400 + startUp)
      assert.strictEqual(server.account.opened, 4)
    }))
})
