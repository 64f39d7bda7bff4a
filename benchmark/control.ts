/**
 * Makes a control for `--only before-after`: builds and packs a commit, installs the package with the Effect of that commit in a
 * folder outside the repository, and prints the path of the installed package.
 *
 * Usage: node benchmark/control.ts COMMIT [FOLDER]
 */
import { execFile } from "node:child_process"
import { mkdir, mkdtemp, readFile, rm, symlink } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs, promisify } from "node:util"

const run = promisify(execFile)

const root = fileURLToPath(new URL("..", import.meta.url))

interface Manifest {
  readonly name: string
  readonly devDependencies: Readonly<Record<string, string>>
}

// Every commit has such a file.
const manifestOf = async (path: string) => JSON.parse(await readFile(join(path, "package.json"), "utf8")) as Manifest

/** Writes the files of a commit into a folder. */
const extract = async (commit: string, source: string) => {
  await mkdir(source, { recursive: true })
  const archive = `${source}.tar`
  await run("git", ["archive", "--output", archive, commit], { cwd: root })
  await run("tar", ["-xf", archive, "-C", source])
  await rm(archive)
}

/** Only these decide what is built. Where they are the same, what is installed here serves. */
const builtWith = ["effect", "@effect/platform-node", "@types/node", "typescript"]

const installWhatBuilds = async (source: string, manifest: Manifest) => {
  const { devDependencies } = await manifestOf(root)
  const isSame = builtWith.every((name) => devDependencies[name] === manifest.devDependencies[name])
  if (isSame) await symlink(join(root, "node_modules"), join(source, "node_modules"))
  else await run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], { cwd: source })
}

/** Builds and packs; yields the path of the tarball. */
const pack = async (source: string, folder: string): Promise<string> => {
  await run("npm", ["run", "build"], { cwd: source })
  const flags = ["--ignore-scripts", "--silent", "--pack-destination", folder]
  const { stdout } = await run("npm", ["pack", ...flags], { cwd: source })
  return join(folder, stdout.trim())
}

const makeControl = async (commit: string, folder: string): Promise<string> => {
  const source = join(folder, "source")
  await extract(commit, source)
  try {
    const manifest = await manifestOf(source)
    await installWhatBuilds(source, manifest)
    const tarball = await pack(source, folder)
    const packages = [tarball, `effect@${manifest.devDependencies["effect"]}`]
    await run("npm", ["install", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund", ...packages])
    return join(folder, "node_modules", manifest.name)
  } finally {
    await rm(source, { recursive: true })
  }
}

const [commit, folder] = parseArgs({ allowPositionals: true }).positionals
if (commit === undefined) throw new Error("control: which commit?")
const path = await makeControl(commit, resolve(folder ?? await mkdtemp(join(tmpdir(), "effect-sluice-control-"))))
process.stdout.write(`${path}\n`)
