/**
 * Real children that end: those that nobody waits for are reported once with their cause, and no others.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ChildProcess from "node:child_process"
import * as Path from "node:path"
import type { ZombieReport } from "./zombies-child.ts"

const child = Path.join(import.meta.dirname, "zombies-child.ts")

const run = (command: string, args: ReadonlyArray<string>) =>
  Effect.callback<ZombieReport>((resume) => {
    const running = ChildProcess.execFile(command, args, { timeout: 15_000 }, (error, stdout, stderr) =>
      resume(
        error === null
          ? Effect.sync(() => JSON.parse(stdout) as ZombieReport)
          : Effect.die(new Error(`${error.message}\n${stderr}`))
      ))
    return Effect.sync(() => running.kill())
  })

const watch = (mode: string) => run(process.execPath, ["--no-warnings", child, mode])

// A process id of 1 needs a name space of its own, which not every machine grants.
const unshare = ["--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
const canBeInit = ChildProcess.spawnSync("unshare", [...unshare, "true"]).status === 0

const isOneZombie = ({ counts, pid, reports, states }: ZombieReport, cause: string): void => {
  assert.deepStrictEqual(reports.map((report) => [report.pid, report.command, report.cause]), [[pid, "sleep", cause]])
  assert.isAtLeast(reports[0]?.age ?? 0, 200)
  assert.isAbove(reports[0]?.remedy.length ?? 0, 20)
  assert.strictEqual(counts.at(-1), 1)
  assert.isAbove(counts.filter((count) => count === 1).length, 4)
  assert.strictEqual(states.at(-1), "Z")
}

const isNone = ({ counts, reports, states }: ZombieReport): void => {
  assert.deepStrictEqual(reports, [])
  assert.deepStrictEqual(Array.from(new Set(counts)), [0])
  assert.strictEqual(states.at(-1), "gone")
}

describe("zombies", () => {
  it.live("a worker that is terminated before its child ends leaves one, reported once with its cause", () =>
    Effect.map(watch("worker"), (report) => isOneZombie(report, "WorkerEnded")))

  it.live("a worker that waits for its child first leaves none", () => Effect.map(watch("patient"), isNone))

  it.live("a child whose handle was closed is one", () =>
    Effect.map(watch("closed"), (report) => isOneZombie(report, "HandleClosed")))

  it.live("a loop that is blocked while its child ends reaps it late, and reports none", () =>
    Effect.gen(function*() {
      const report = yield* watch("blocked")
      assert.strictEqual(report.states.filter((state) => state === "Z").length, 3)
      isNone(report)
    }))

  it.live("a worker whose loop is blocked reaps late as well, and the monitor waits for it", () =>
    Effect.gen(function*() {
      const report = yield* watch("blocked-worker")
      assert.isAbove(report.states.filter((state) => state === "Z").length, 4)
      isNone(report)
    }))

  it.live.skipIf(!canBeInit)("PID 1 inherits an orphan that nobody waits for", () =>
    Effect.gen(function*() {
      const args = [...unshare, process.execPath, "--no-warnings", child, "init"]
      isOneZombie(yield* run("unshare", args), "Adopted")
    }))
})
