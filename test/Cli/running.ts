/** Runs the real command. */
import { Effect } from "effect"
import * as ChildProcess from "node:child_process"
import * as Path from "node:path"

const main = Path.resolve(import.meta.dirname, "../../src/Cli/main.ts")

export interface Outcome {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Running {
  readonly child: ChildProcess.ChildProcessWithoutNullStreams
  /** What it has printed so far. */
  readonly stdout: () => string
  readonly outcome: Effect.Effect<Outcome>
}

const started = (program: string, args: ReadonlyArray<string>, env: Readonly<Record<string, string>>) =>
  Effect.acquireRelease(
    Effect.sync((): Running => {
      const { SLUICE_TOKEN: _, ...rest } = process.env
      const child = ChildProcess.spawn(program, args, { env: { ...rest, ...env } })
      let [stdout, stderr] = ["", ""]
      child.stdout.on("data", (text) => stdout += String(text))
      child.stderr.on("data", (text) => stderr += String(text))
      const closed = new Promise<number | null>((resolve) => child.on("close", resolve))
      return {
        child,
        stdout: () => stdout,
        outcome: Effect.map(Effect.promise(() => closed), (status) => ({ status, stdout, stderr }))
      }
    }),
    ({ child, outcome }) => Effect.andThen(Effect.sync(() => child.kill("SIGKILL")), outcome)
  )

/** Starts the command, without a terminal. */
export const start = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}) =>
  started(process.execPath, [main, ...args], env)

/** Starts the command on a terminal of its own. What is written to its standard input are keys. */
export const startOnTerminal = (args: ReadonlyArray<string>) =>
  started("script", ["-qec", [process.execPath, main, ...args].map((arg) => `'${arg}'`).join(" "), "/dev/null"], {
    TERM: "xterm-256color"
  })

/** Whether this system has the program that makes a terminal. */
export const hasTerminals = ChildProcess.spawnSync("script", ["--version"]).status === 0

export const run = (args: ReadonlyArray<string>, env?: Readonly<Record<string, string>>): Effect.Effect<Outcome> =>
  Effect.scoped(Effect.flatMap(start(args, env), ({ outcome }) => outcome))
