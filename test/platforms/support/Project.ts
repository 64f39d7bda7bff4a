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
  process.stderr.write(
    `skipped: npm install --no-save --prefix test/platforms/${platform} installs what these tests need\n`
  )
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

/** Makes an empty folder for a project. */
export const makeFolder = (): Project => {
  const path = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-platform-"))
  return { path, remove: () => Fs.rmSync(path, { recursive: true, force: true }) }
}

/**
 * Makes a project as the README of an example says: runs its commands that make, copy and move files. `name` is the name of the project
 * there.
 */
export const follow = ({ path }: Project, readme: string, name: string): void => {
  const [, commands] = /```sh\n([^]*?)```/.exec(Fs.readFileSync(Path.join(root, readme), "utf8")) ?? []
  for (const command of (commands ?? "").split("\n").filter((line) => /^(cp|mkdir|mv) /.test(line))) {
    run("sh", ["-c", command.replaceAll(name, Path.join(path, name))], { cwd: root })
  }
}

/**
 * Builds and packs this package into a project. It is built apart from this repository, because other tests build it there at the same
 * time. Returns the name of the tarball.
 */
export const pack = (path: string): string => {
  const own = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-pack-"))
  try {
    for (const name of ["package.json", "README.md", "LICENSE", "CHANGELOG.md"]) {
      Fs.copyFileSync(Path.join(root, name), Path.join(own, name))
    }
    const outDir = Path.join(own, "dist")
    run(Path.join(root, "node_modules/.bin/tsc"), ["-p", "tsconfig.build.json", "--outDir", outDir], { cwd: root })
    run("npm", ["pack", "--ignore-scripts", "--pack-destination", path], { cwd: own })
  } finally {
    Fs.rmSync(own, { recursive: true, force: true })
  }
  const packed = Fs.readdirSync(path).find((name) => name.endsWith(".tgz"))
  if (packed === undefined) throw new Error("npm pack has made no tarball")
  return packed
}

/** Installs this package and its peers in a project, as a user does. */
export const install = (path: string, ...peers: ReadonlyArray<string>): void => {
  const file = Path.join(path, "package.json")
  const manifest = Fs.existsSync(file) ? JSON.parse(Fs.readFileSync(file, "utf8")) : { name: "app", type: "module" }
  const dependencies = { ...manifest.dependencies, "effect-sluice": `file:./${pack(path)}` }
  Fs.writeFileSync(file, JSON.stringify({ private: true, ...manifest, dependencies }))
  run("npm", ["install", "--no-audit", "--no-fund", "--ignore-scripts", ...peers], { cwd: path })
}
