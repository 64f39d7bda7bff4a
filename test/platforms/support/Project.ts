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

/** How a test follows the README of an example. */
export interface Steps {
  readonly readme: string
  /** What README calls the project. */
  readonly name: string
  /** Packages that README installs and the test does not: the tools of a platform, which are installed elsewhere. */
  readonly tools?: ReadonlyArray<string>
}

/** The first commands of a page. */
export const commandsOf = (page: string): ReadonlyArray<string> => {
  const [, commands = ""] = /```sh\n([^]*?)```/.exec(Fs.readFileSync(Path.join(root, page), "utf8")) ?? []
  return commands.trim().split("\n")
}

/**
 * Makes a project by the commands of README: runs those that make, copy and move files, and those of npm, but not those that deploy it.
 * This package is installed from a tarball beside the project. As in the repository, where README has its reader begin, there is a
 * `package.json` in the folder above.
 */
export const follow = ({ path }: Project, { name, readme, tools = [] }: Steps): void => {
  const folder = Path.join(path, name)
  Fs.writeFileSync(Path.join(path, "package.json"), JSON.stringify({ name: "above", private: true }))
  const tarball = `file:../${pack(path)}`
  const env = { npm_config_audit: "false", npm_config_fund: "false", npm_config_ignore_scripts: "true" }
  let isInside = false
  for (const command of commandsOf(readme)) {
    const words = command.split(" ")
    if (command === `cd ${name}`) isInside = true
    else if (/^(cp|mkdir|mv)$/.test(words[0] ?? "")) {
      if (isInside) throw new Error(`${readme}: "${command}" comes too late`)
      run("sh", ["-c", command.replaceAll(name, folder)], { cwd: root })
    } else if (words[0] === "npm") {
      if (!isInside) throw new Error(`${readme}: "${command}" would change the repository`)
      useTarball(folder, tarball)
      const given = words.slice(1).filter((word) => !tools.includes(word))
      run("npm", given.map((word) => word === "effect-sluice" ? tarball : word), { cwd: folder, env })
    }
  }
}

/** Lets a `package.json` that names this package as a dependency name its tarball. */
const useTarball = (folder: string, tarball: string): void => {
  const file = Path.join(folder, "package.json")
  if (!Fs.existsSync(file)) return
  const manifest = JSON.parse(Fs.readFileSync(file, "utf8"))
  if (manifest.dependencies?.["effect-sluice"] === undefined) return
  manifest.dependencies["effect-sluice"] = tarball
  Fs.writeFileSync(file, JSON.stringify(manifest))
}

/** Installs this package and its peers in a project, as a user does. */
export const install = (path: string, ...peers: ReadonlyArray<string>): void => {
  const file = Path.join(path, "package.json")
  const manifest = Fs.existsSync(file) ? JSON.parse(Fs.readFileSync(file, "utf8")) : { name: "app", type: "module" }
  const dependencies = { ...manifest.dependencies, "effect-sluice": `file:./${pack(path)}` }
  Fs.writeFileSync(file, JSON.stringify({ private: true, ...manifest, dependencies }))
  run("npm", ["install", "--no-audit", "--no-fund", "--ignore-scripts", ...peers], { cwd: path })
}
