/**
 * A borrow is interrupted everywhere. Afterwards the counts are exact against the connector's own, nobody is stranded, and
 * the next borrow succeeds.
 *
 * Nine steps of a borrow (its wait behind another, the budget's permit, opening, the hooks, the check, the use, the close) go
 * wrong in five ways (not at all, by a failure, a defect, slowly, by never ending), borrowed by `use` and by `get`, with and
 * without `leakThreshold` and `maxLease`. Interrupted are the borrower, the borrower while the pool is drained, or whoever
 * drains it. These 540 cases run with each budget of operations from 3 to 64 (`Scheduler.MaxOpsBeforeYield`), which makes
 * 33 480 of them, and each of them is interrupted at every so many scheduling steps, others for each budget: some 60 000
 * trials. Interrupted at each scheduling step of all, as `node test/hazard/cancellation/main.ts 0 1 every` does, it would be
 * some 360 000.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ChildProcess from "node:child_process"
import * as Path from "node:path"
import { interruptions } from "../support/Figures.ts"

const main = Path.join(import.meta.dirname, "cancellation/main.ts")

/** Sweeps a share of all cases in a process of its own. The result ends with how many trials there were. */
const sweep = (share: number, shares: number): Effect.Effect<string> =>
  Effect.callback((resume) => {
    const child = ChildProcess.execFile(
      process.execPath,
      ["--no-warnings", main, String(share), String(shares)],
      { timeout: 170_000 },
      (error, stdout, stderr) =>
        resume(error === null ? Effect.succeed(stdout) : Effect.die(new Error(`${error.message}\n${stderr}`)))
    )
    return Effect.sync(() => child.kill())
  })

describe("cancellation", () => {
  it.live(
    "a borrow that is interrupted anywhere, also during a drain, leaves nothing behind and strands nobody",
    () =>
      Effect.gen(function*() {
        const results = yield* Effect.all([sweep(0, 2), sweep(1, 2)], { concurrency: "unbounded" })
        const trials = results.map((result) => /^(\d+) trials\n$/.exec(result)?.[1])
        assert.notInclude(trials, undefined, results.join(""))
        assert.isAtLeast(trials.reduce((sum, count) => sum + Number(count), 0), interruptions)
      }),
    180_000
  )
})
