/**
 * The demo as a process of its own.
 */
import { assert } from "@effect/vitest"
import * as ChildProcess from "node:child_process"
import * as Path from "node:path"
import type { Summary } from "../../../examples/demo/Summary.ts"

const sources = Path.resolve(import.meta.dirname, "../../../scripts/sources.mjs")
const main = Path.resolve(import.meta.dirname, "../../../examples/demo/main.ts")

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface Running {
  readonly child: ChildProcess.ChildProcess
  readonly ended: Promise<Ended>
  /** Resolves as soon as so many lines were printed on standard error, or the process has ended. */
  readonly printed: (lines: number) => Promise<void>
}

/** Starts the demo. */
export const start = (...args: ReadonlyArray<string>): Running => {
  const child = ChildProcess.spawn(process.execPath, ["--import", sources, main, ...args], {
    stdio: ["ignore", "pipe", "pipe"]
  })
  let stdout = ""
  let stderr = ""
  child.stdout.setEncoding("utf8").on("data", (text) => stdout += text)
  child.stderr.setEncoding("utf8").on("data", (text) => stderr += text)
  const ended = new Promise<Ended>((resolve) => {
    child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
  const printed = (lines: number) =>
    Promise.race([
      ended.then(() => {}),
      new Promise<void>((resolve) => {
        child.stderr.on("data", () => {
          if (stderr.split("\n").length > lines) resolve()
        })
      })
    ])
  return { child, ended, printed }
}

/** The result of a run. Whatever else it printed is in the message, should there be none. */
export const resultOf = ({ code, stderr, stdout }: Ended): Summary => {
  assert.match(stdout, /^\{.*\}\n$/, `exit status ${code}\n${stdout}\n${stderr}`)
  return JSON.parse(stdout)
}
