/**
 * The first example of README.md as a program of its own: in a folder with the packages of this checkout, at a free port.
 */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { pathToFileURL } from "node:url"
import { root, text } from "./Documents.ts"

/** The text of the first example. */
const shown = (): string => {
  const [, program = ""] = /^```ts main\.ts no-run\n([\s\S]*?)^```$/m.exec(text("README.md")) ?? []
  assert.include(program, "port: 3000")
  return program.replace("port: 3000", "port: 0")
}

const folder = Effect.acquireRelease(
  Effect.sync(() => {
    const path = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-readme-"))
    Fs.symlinkSync(Path.join(root, "node_modules"), Path.join(path, "node_modules"))
    Fs.writeFileSync(Path.join(path, "package.json"), JSON.stringify({ private: true, type: "module" }))
    Fs.writeFileSync(Path.join(path, "main.ts"), shown())
    return path
  }),
  (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true }))
)

/** A program that listens. */
export interface Running {
  /** The address of its server. */
  readonly url: string
  /** Ends it by SIGTERM. The status of its end. */
  readonly end: Effect.Effect<number | null>
}

const listening = (child: ChildProcess.ChildProcessWithoutNullStreams): Effect.Effect<string> =>
  Effect.callback((resume) => {
    let output = ""
    const onData = (data: unknown) => {
      output += String(data)
      const [, port] = /Listening on http:\/\/\S*:(\d+)/.exec(output) ?? []
      if (port !== undefined) resume(Effect.succeed(`http://127.0.0.1:${port}`))
    }
    child.stdout.on("data", onData)
    child.stderr.on("data", onData)
    child.once("exit", () => resume(Effect.die(new Error(`it has ended: ${output}`))))
  })

/** Starts it as README.md says, waits until it listens, and ends it with the scope. */
export const start = (env: Record<string, string>) =>
  Effect.gen(function*() {
    const cwd = yield* folder
    const sources = `--import=${pathToFileURL(Path.join(root, "scripts/sources.mjs")).href}`
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        ChildProcess.spawn(process.execPath, [sources, "main.ts"], { cwd, env: { ...process.env, ...env } })
      ),
      (child) => Effect.sync(() => void child.kill("SIGKILL"))
    )
    const url = yield* listening(child)
    const end = Effect.callback<number | null>((resume) => {
      child.once("exit", (status) => resume(Effect.succeed(status)))
      child.kill("SIGTERM")
    })
    return { url, end } satisfies Running
  })
