/**
 * Runs a real process under `ulimit -n` and decodes what it prints.
 */
import { Effect } from "effect"
import * as ChildProcess from "node:child_process"
import * as Path from "node:path"

const main = Path.join(import.meta.dirname, "main.ts")

/** The limit is both the soft and the hard one: Node raises a soft limit to the hard one. */
export const runUnderLimit = (limit: number, args: ReadonlyArray<string>): Effect.Effect<any> =>
  Effect.callback((resume) => {
    const command = `ulimit -n ${limit}; exec "$@"`
    const child = ChildProcess.execFile(
      "sh",
      ["-c", command, "sh", process.execPath, "--no-warnings", main, ...args],
      { timeout: 15_000 },
      (error, stdout, stderr) =>
        resume(
          error === null ? Effect.sync(() => JSON.parse(stdout)) : Effect.die(new Error(`${error.message}\n${stderr}`))
        )
    )
    return Effect.sync(() => child.kill())
  })
