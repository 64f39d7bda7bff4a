/**
 * The runtimes of test/runtimes/package.json, and how each one is told to run a program.
 */
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import manifest from "../package.json" with { type: "json" }

const modules = Path.resolve(import.meta.dirname, "../node_modules")

export interface Runtime {
  readonly name: string
  readonly version: string
  readonly command: string
  /** What comes before the path of a program. */
  readonly args: ReadonlyArray<string>
}

const node = (which: "minimum" | "newest"): Runtime => {
  const version = manifest.optionalDependencies[`node-${which}`].replace(/^.*@/, "")
  return { name: `Node ${version}`, version, command: Path.join(modules, `node-${which}/bin/node`), args: [] }
}

export const minimum = node("minimum")
export const newest = node("newest")

const { bun: bunVersion, deno: denoVersion } = manifest.dependencies

export const bun: Runtime = {
  name: `Bun ${bunVersion}`,
  version: bunVersion,
  command: Path.join(modules, ".bin/bun"),
  args: []
}

export const deno: Runtime = {
  name: `Deno ${denoVersion}`,
  version: denoVersion,
  command: Path.join(modules, ".bin/deno"),
  args: ["run", "--allow-all", "--no-lock"]
}

export const runtimes = [minimum, newest, bun, deno]

/** Whether the runtimes are installed. In CI they have to be. */
export const hasRuntimes = (): boolean => {
  if (process.env["CI"] === "true" || runtimes.every(({ command }) => Fs.existsSync(command))) return true
  process.stderr.write("skipped: npm ci --prefix test/runtimes installs what these tests need\n")
  return false
}

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface Running {
  readonly child: ChildProcess.ChildProcess
  readonly ended: Promise<Ended>
}

/** Starts a program, which is killed after a minute: no program of these tests takes that long, and none may be left running. */
export const start = (
  { args, command }: Runtime,
  program: ReadonlyArray<string>,
  options: { readonly cwd: string; readonly env?: Readonly<Record<string, string>> }
): Running => {
  const child = ChildProcess.spawn(command, [...args, ...program], {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 60_000,
    killSignal: "SIGKILL"
  })
  let stdout = ""
  let stderr = ""
  child.stdout.setEncoding("utf8").on("data", (text) => stdout += text)
  child.stderr.setEncoding("utf8").on("data", (text) => stderr += text)
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on("error", reject)
    child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
  return { child, ended }
}
