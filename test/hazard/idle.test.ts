/**
 * Whether a process that has nothing left to do ends by itself although a connection is open: real processes.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ChildProcess from "node:child_process"
import * as Path from "node:path"
import type * as Stream from "node:stream"
import * as Tls from "node:tls"
import { certificate } from "../support/Certificates.ts"
import * as TcpServer from "../support/TcpServer.ts"

const child = Path.join(import.meta.dirname, "idle-child.ts")

const lateMillis = 500

/** Answers bytes and JSON-RPC, at once or late. */
const serve = (socket: Stream.Duplex) =>
  socket.on("error", () => {}).on("data", (data) => {
    const text = String(data)
    const id = /"id":(\d+)/.exec(text)?.[1]
    const answer = id === undefined ? "answer" : `{"jsonrpc":"2.0","id":${id},"result":"answer"}\n`
    setTimeout(() => socket.write(answer), text.includes("late") ? lateMillis : 0)
  })

const server = Effect.gen(function*() {
  const tls = Tls.createServer(certificate(), serve)
  return {
    plain: yield* TcpServer.make((socket) => void serve(socket)),
    secure: yield* TcpServer.make((socket) => void tls.emit("connection", socket))
  }
})

interface Run {
  readonly output: string
  /** `undefined`: it had to be killed. */
  readonly status: number | undefined
}

/** Runs the child until it ends, or kills it some time after it has become idle. */
const run = (mode: string, option: "on" | "off", ...more: ReadonlyArray<string>) =>
  Effect.scoped(Effect.gen(function*() {
    const { plain, secure } = yield* server
    const { port } = (mode === "tls" ? secure : plain).endpoint
    return yield* Effect.callback<Run>((resume) => {
      const argv = ["--no-warnings", child, mode, String(port), option, ...more]
      const process_ = ChildProcess.spawn(process.execPath, argv, { stdio: ["ignore", "pipe", "inherit"] })
      let output = ""
      process_.stdout.on("data", (data) => {
        output += String(data)
        if (option === "off") setTimeout(() => process_.kill("SIGKILL"), 1500)
      })
      process_.on("close", (code) => resume(Effect.succeed({ output, status: code ?? undefined })))
      return Effect.sync(() => process_.kill("SIGKILL"))
    })
  }))

describe("a process with an idle connection and nothing else to do", () => {
  for (const mode of ["connect", "tls", "pool", "json-rpc"]) {
    it.live(`ends by itself with \`allowExitOnIdle\`: ${mode}`, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* run(mode, "on"), { output: "idle\n", status: 0 })
      }), 20_000)

    it.live(`waits for what is asked for, and ends then: ${mode}`, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* run(mode, "on", "wait"), { output: "idle\nanswer\n", status: 0 })
      }), 20_000)

    it.live(`does not end without it: ${mode}`, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* run(mode, "off"), { output: "idle\n", status: undefined })
      }), 20_000)
  }
})
