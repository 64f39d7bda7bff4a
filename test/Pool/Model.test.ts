/**
 * Random histories of a pool, each held against a reference model. They run in two processes, without the test runner's
 * loader, which takes a third of the time. There are three thousand of them, or as many as `HISTORIES` says where it is set:
 * `npm run test:long` runs ten thousand.
 *
 * To replay one: `node test/Pool/model/main.ts SEED`.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ChildProcess from "node:child_process"
import * as Path from "node:path"

const histories = Number(process.env["HISTORIES"] ?? 3000)
const processes = 2

const main = Path.join(import.meta.dirname, "model/main.ts")

/** The first violation in so many histories, or nothing. */
const firstViolation = (firstSeed: number, count: number): Effect.Effect<string> =>
  Effect.callback((resume) => {
    const child = ChildProcess.execFile(
      process.execPath,
      ["--no-warnings", main, String(firstSeed), String(count)],
      { timeout: 120_000 },
      (error, stdout, stderr) =>
        resume(error === null ? Effect.succeed(stdout) : Effect.die(new Error(`${error.message}\n${stderr}`)))
    )
    return Effect.sync(() => child.kill())
  })

describe("a pool, against a reference model", () => {
  it.live("keeps its promises in thousands of random histories", () =>
    Effect.gen(function*() {
      const share = histories / processes
      const found = yield* Effect.all(
        Array.from({ length: processes }, (_, index) => firstViolation(1 + index * share, share)),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(found.join("\n").trim(), "")
    }), 120_000)
})
