/**
 * Descriptors run out while a pool keeps idle connections: they are closed, whatever else is registered does.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ChildProcess from "node:child_process"
import * as Path from "node:path"
import * as TcpServer from "../support/TcpServer.ts"
import type { PressureReport } from "./pressure-child.ts"

const child = Path.join(import.meta.dirname, "pressure-child.ts")

/** The limit is both the soft and the hard one: Node raises a soft limit to the hard one. */
const runChild = (port: number) =>
  Effect.callback<{ readonly report: PressureReport; readonly stderr: string }>((resume) => {
    const running = ChildProcess.execFile(
      "sh",
      ["-c", "ulimit -n 128; exec \"$@\"", "sh", process.execPath, "--no-warnings", child, String(port)],
      { timeout: 20_000 },
      (error, stdout, stderr) =>
        resume(
          error === null
            ? Effect.sync(() => ({ report: JSON.parse(stdout.split("\n").at(-2) ?? "") as PressureReport, stderr }))
            : Effect.die(new Error(`${error.message}\n${stdout}\n${stderr}`))
        )
    )
    return Effect.sync(() => running.kill())
  })

describe("pressure", () => {
  it.live(
    "a pool gives its idle connections back when descriptors run out, and the process still ends by itself",
    () =>
      Effect.gen(function*() {
        const server = yield* TcpServer.make((socket) => void socket.resume())
        const { report } = yield* runChild(server.endpoint.port)
        assert.deepInclude(report, { idleBefore: 40, idleAfter: 0, lent: 1 })
        assert.deepStrictEqual(report.levels, ["Normal", "Critical"])
        assert.isAtLeast(report.usedAtPeak, 122)
        assert.isAtMost(report.usedAfter, report.usedAtPeak - 39)
        assert.match(
          report.alerts[0] ?? "",
          /^descriptors: Normal -> Critical, \d+ used of 128 \(9\d(\.\d)? %\); open from .*pressure-child\.ts:\d+:\d+ \(40\)$/
        )
        assert.lengthOf(report.alerts, 1)
        // Whoever had the highest priority hung and could not be interrupted; what came after the pool was not needed.
        assert.deepStrictEqual(report.ran, ["hangs", "fails"])
        assert.deepStrictEqual(report.results, [
          "hangs TimedOut",
          "fails Failed",
          "idle connections of a pool Done",
          "spared Done"
        ])
        assert.isBelow(report.worstDelay, 500)
        yield* server.drained
        assert.deepInclude(server.account, { opened: 40, graceful: 40, broken: 0 })
      }).pipe(Effect.scoped),
    30_000
  )
})
