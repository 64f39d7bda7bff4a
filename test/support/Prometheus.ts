/**
 * Debian's package `prometheus`: `prometheus` and `promtool`. Tests that need it are skipped in one line where it is not installed,
 * and fail in CI.
 */
import { describe } from "@effect/vitest"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

const isInstalled = (): boolean =>
  ["prometheus", "promtool"].every((name) => ChildProcess.spawnSync(name, ["--version"]).error === undefined)

/** `describe` for tests that need the package. */
export const describeWithPrometheus = (): typeof describe.skip => {
  if (isInstalled() || process.env["CI"] === "true") return describe
  process.stderr.write("skipped: prometheus and promtool are not installed (apt-get install prometheus)\n")
  return describe.skip
}

/** Runs promtool. */
export const promtool = (
  args: ReadonlyArray<string>,
  input = ""
): { readonly status: number; readonly output: string } => {
  const { error, status, stderr, stdout } = ChildProcess.spawnSync("promtool", args, { input, encoding: "utf8" })
  if (error !== undefined) throw error
  return { status: status ?? -1, output: stdout + stderr }
}

/** A directory that is removed at the end of the block. */
export const temporaryDirectory = (): Disposable & { readonly path: string } => {
  const path = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-prometheus-"))
  return { path, [Symbol.dispose]: () => Fs.rmSync(path, { recursive: true, force: true }) }
}
