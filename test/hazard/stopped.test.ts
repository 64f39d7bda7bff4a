/**
 * A process that is stopped, as a container is that is paused, and goes on: a real process and real signals.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ChildProcess from "node:child_process"
import * as Path from "node:path"
import * as TcpServer from "../support/TcpServer.ts"

const child = Path.join(import.meta.dirname, "stopped-child.ts")

const stoppedMillis = 2000

/** Runs the child; the server answers it in time, but only after it was stopped. */
const run = Effect.gen(function*() {
  let running: ChildProcess.ChildProcess | undefined
  const asked: Array<string> = []
  const held: Array<() => void> = []
  const server = yield* TcpServer.make((socket) =>
    void socket.on("data", (data) => {
      asked.push(String(data))
      const answer = () => void socket.write("answer")
      // The first greeting is answered at once, the first question and the second greeting together, and the last question at once.
      if (asked.length !== 2 && asked.length !== 3) return answer()
      held.push(answer)
      if (asked.length !== 3) return
      running?.kill("SIGSTOP")
      for (const send of held) send()
      setTimeout(() => running?.kill("SIGCONT"), stoppedMillis)
    })
  )
  return yield* Effect.callback<unknown>((resume) => {
    const argv = ["--no-warnings", child, String(server.endpoint.port)]
    const process_ = running = ChildProcess.spawn(process.execPath, argv, { stdio: ["ignore", "pipe", "inherit"] })
    let output = ""
    process_.stdout.on("data", (data) => output += String(data))
    process_.on("close", () => resume(Effect.sync(() => JSON.parse(output))))
    return Effect.sync(() => process_.kill("SIGKILL"))
  })
})

describe("a process that is stopped for longer than its limits", () => {
  it.live("has what came in time, and reports no lease and no dial that was in time", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* run, {
        outcomes: ["answer", "answer"],
        failedAttempts: 0,
        leaksReported: 0,
        leasesExpired: 0,
        opened: 2,
        lines: []
      })
    }), 30_000)
})
