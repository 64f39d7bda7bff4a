/**
 * Runs a real process under `ulimit -n` and decodes what it prints.
 */
import { Effect } from "effect"
import type { Gauge, Usage } from "effect-sluice/ResourceMonitor"
import * as ChildProcess from "node:child_process"
import * as Path from "node:path"

/** What `main.ts` prints in each of its modes. */
export interface Reports {
  readonly limit: Gauge
  readonly conservative: Gauge
  readonly exhausted: {
    readonly code: string
    readonly opened: number
    readonly readings: readonly [held: Usage, fallbacks: Usage]
    readonly refusals: ReadonlyArray<string>
    readonly after: ReadonlyArray<Usage>
  }
  readonly granted: { readonly granted: number; readonly opened: number }
  readonly burst: {
    readonly inOneTick: boolean
    readonly outcomes: {
      readonly connected: number
      readonly refused: number
      readonly emfile: number
      readonly interrupted: number
      readonly other: ReadonlyArray<string>
    }
    readonly before: Usage
    readonly atPeak: Usage
    readonly open: Usage
    readonly after: Usage
  }
}

const main = Path.join(import.meta.dirname, "main.ts")

/** The limit is both the soft and the hard one: Node raises a soft limit to the hard one. */
export const runUnderLimit = <Mode extends keyof Reports>(
  limit: number,
  mode: Mode,
  args: ReadonlyArray<string> = []
): Effect.Effect<Reports[Mode]> =>
  Effect.callback((resume) => {
    const command = `ulimit -n ${limit}; exec "$@"`
    const child = ChildProcess.execFile(
      "sh",
      ["-c", command, "sh", process.execPath, "--no-warnings", main, mode, ...args],
      { timeout: 15_000 },
      (error, stdout, stderr) =>
        resume(
          error === null
            ? Effect.sync(() => JSON.parse(stdout) as Reports[Mode])
            : Effect.die(new Error(`${error.message}\n${stderr}`))
        )
    )
    return Effect.sync(() => child.kill())
  })
