/**
 * Tens of thousands wait for a few connections: all are served, in order, and they leave nothing behind.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ChildProcess from "node:child_process"
import * as Path from "node:path"
import type { CrowdReport } from "./crowd-child.ts"

const waiters = 25_000
const mebibyte = 2 ** 20

const child = Path.join(import.meta.dirname, "crowd-child.ts")

const report = Effect.callback<CrowdReport>((resume) => {
  const running = ChildProcess.execFile(
    process.execPath,
    ["--expose-gc", "--no-warnings", child, String(waiters)],
    { timeout: 30_000 },
    (error, stdout, stderr) =>
      resume(
        error === null
          ? Effect.sync(() => JSON.parse(stdout) as CrowdReport)
          : Effect.die(new Error(`${error.message}\n${stderr}`))
      )
  )
  return Effect.sync(() => running.kill())
})

describe("crowd", () => {
  it.live(
    "25 000 waiters on 3 connections are served in order, and memory returns to its base",
    () =>
      Effect.gen(function*() {
        const { after, atPeak, base, opened, outOfOrder, served, waited } = yield* report
        assert.strictEqual(waited, waiters)
        assert.strictEqual(served, waiters)
        assert.strictEqual(outOfOrder, -1)
        assert.strictEqual(opened, 3)
        // A crowd takes tens of MiB while it waits. One that left but 40 bytes for each borrower would be seen.
        assert.isAbove(atPeak - base, 5 * mebibyte)
        for (const used of after) assert.isBelow(used - base, mebibyte, `${after.join(" and ")} bytes after ${base}`)
      }),
    40_000
  )
})
