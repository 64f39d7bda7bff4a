/**
 * A project of a user: the files of an example, with the built package and its peers installed.
 */
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

const root = Path.resolve(import.meta.dirname, "../../..")

/** The folder of the tools of a platform, which are a package of their own. */
export const toolsOf = (platform: string): string => Path.join(root, "test/platforms", platform, "node_modules")

/** Whether the tools of a platform are installed. In CI they have to be. */
export const hasTools = (platform: string): boolean => {
  if (process.env["CI"] === "true" || Fs.existsSync(toolsOf(platform))) return true
  process.stderr.write(`skipped: npm ci --prefix test/platforms/${platform} installs what these tests need\n`)
  return false
}

/** Runs a program, and returns what it has printed. It throws with that text if the program fails. */
export const run = (
  command: string,
  args: ReadonlyArray<string>,
  options: { readonly cwd: string; readonly env?: Readonly<Record<string, string>> }
): string => {
  const { error, status, stderr, stdout } = ChildProcess.spawnSync(command, args, {
    cwd: options.cwd,
    encoding: "utf8",
    env: { ...process.env, ...options.env }
  })
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${error?.message ?? `${stdout}${stderr}`}`)
  return stdout + stderr
}

export interface Project {
  readonly path: string
  readonly remove: () => void
}

/**
 * Makes a project. `files` maps the paths in the project to those in this repository. The package is built for it alone, because
 * other tests build the same package at the same time.
 */
export const make = (
  files: Readonly<Record<string, string>>,
  peers: ReadonlyArray<string>,
  edit: (text: string) => string = (text) => text
): Project => {
  const path = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-platform-"))
  const modules = Path.join(path, "node_modules")
  for (const [target, source] of Object.entries(files)) {
    Fs.mkdirSync(Path.dirname(Path.join(path, target)), { recursive: true })
    Fs.writeFileSync(Path.join(path, target), edit(Fs.readFileSync(Path.join(root, source), "utf8")))
  }
  for (const peer of peers) {
    Fs.mkdirSync(Path.dirname(Path.join(modules, peer)), { recursive: true })
    Fs.symlinkSync(Path.join(root, "node_modules", peer), Path.join(modules, peer))
  }
  const own = Path.join(modules, "effect-sluice")
  Fs.mkdirSync(own, { recursive: true })
  Fs.copyFileSync(Path.join(root, "package.json"), Path.join(own, "package.json"))
  run(Path.join(root, "node_modules/.bin/tsc"), ["-p", "tsconfig.build.json", "--outDir", Path.join(own, "dist")], {
    cwd: root
  })
  Fs.writeFileSync(Path.join(path, "package.json"), JSON.stringify({ name: "app", private: true, type: "module" }))
  return { path, remove: () => Fs.rmSync(path, { recursive: true, force: true }) }
}
