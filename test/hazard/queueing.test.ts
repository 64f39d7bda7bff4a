/**
 * 1500 tasks in a process that has room for eighty connections: each is tried once, when there is room for it.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ChildProcess from "node:child_process"
import * as Path from "node:path"
import * as TcpServer from "../support/TcpServer.ts"
import type { QueueingReport } from "./queueing-child.ts"

const tasks = 1500
const limit = 128

const child = Path.join(import.meta.dirname, "queueing-child.ts")

/** Runs the child against a server in this process. The limit is both the soft and the hard one: Node raises a soft one. */
const run = (mode: "retry" | "naive") =>
  Effect.scoped(Effect.gen(function*() {
    const { account, endpoint } = yield* TcpServer.silent
    const report = yield* Effect.callback<QueueingReport>((resume) => {
      const argv = [process.execPath, "--no-warnings", child, mode, String(endpoint.port), String(tasks)]
      const running = ChildProcess.execFile(
        "sh",
        ["-c", `ulimit -n ${limit}; exec "$@"`, "sh", ...argv],
        { timeout: 90_000 },
        (error, stdout, stderr) =>
          resume(
            error === null
              // The monitor may have logged that the loop stood still.
              ? Effect.sync(() => JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "") as QueueingReport)
              : Effect.die(new Error(`${error.message}\n${stderr}`))
          )
      )
      return Effect.sync(() => running.kill())
    })
    return { ...report, accepted: account.opened, peak: account.peak }
  }))

describe("queueing for descriptors", () => {
  it.live(
    "1500 tasks under a limit of 128 are tried once each, and fail nobody",
    () =>
      Effect.gen(function*() {
        const gated = yield* run("retry")
        const naive = yield* run("naive")

        assert.deepInclude(gated, {
          attempts: tasks,
          done: tasks,
          emfile: 0,
          other: [],
          reserved: 0,
          accepted: tasks + 1
        })
        assert.strictEqual(gated.bystander.failed, 0)
        assert.isAbove(gated.bystander.opened, 100)
        assert.isAbove(gated.peak, 50)

        // Without the gate the same tasks meet the limit, again and again, and so does the bystander.
        assert.strictEqual(naive.done, tasks)
        assert.isAbove(naive.emfile, 1000)
        assert.isAbove(naive.bystander.failed, 0)
      }),
    180_000
  )
})
