import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as ReportFile from "../../../examples/demo/ReportFile.ts"

const folder = Effect.acquireRelease(
  Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "demo-"))),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true }))
)

describe("the check of the report's file", () => {
  it.live("leaves no file behind, and keeps the content of one that is there", () =>
    Effect.gen(function*() {
      const path = Path.join(yield* folder, "report.html")
      yield* ReportFile.check(path)
      assert.isFalse(Fs.existsSync(path))
      yield* ReportFile.write(path, "old")
      yield* ReportFile.check(path)
      assert.strictEqual(Fs.readFileSync(path, "utf8"), "old")
    }))

  it.live("fails for a folder, and below a file", () =>
    Effect.gen(function*() {
      const path = yield* folder
      const { message } = yield* Effect.flip(ReportFile.check(path))
      assert.strictEqual(message, `sluice demo: the report cannot be written to ${path}: EISDIR`)
      Fs.writeFileSync(Path.join(path, "file"), "")
      assert.match((yield* Effect.flip(ReportFile.check(Path.join(path, "file", "x")))).message, /: ENOTDIR$/)
    }))
})
