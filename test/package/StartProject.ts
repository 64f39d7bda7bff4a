/**
 * A project that is set up as the pages of docs/start say, by their own commands, without asking a registry.
 */
import { assert } from "@effect/vitest"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { startPage } from "../support/StartPage.ts"

const root = Path.resolve(import.meta.dirname, "../..")

interface Manifest {
  readonly version: string
  readonly bin?: string | Readonly<Record<string, string>>
}

/** Installs what this checkout has installed as a link, with its commands, if its version is in the range that the page has. */
const install = (folder: string, item: string): void => {
  const [, name = "", range = ""] = /^(.+)@(\d+)$/.exec(item) ?? []
  const source = Path.join(root, "node_modules", name)
  const { bin, version }: Manifest = JSON.parse(Fs.readFileSync(Path.join(source, "package.json"), "utf8"))
  assert.strictEqual(version.split(".")[0], range, `${item}: version ${version} is installed here`)
  const target = Path.join(folder, "node_modules", name)
  Fs.mkdirSync(Path.dirname(target), { recursive: true })
  Fs.symlinkSync(source, target)
  for (const [command, file] of Object.entries(typeof bin === "string" ? { [name]: bin } : bin ?? {})) {
    Fs.mkdirSync(Path.join(folder, "node_modules/.bin"), { recursive: true })
    Fs.symlinkSync(Path.join(source, file), Path.join(folder, "node_modules/.bin", command))
  }
}

/** What needs a server, a browser or a reader. */
const byHand = /^(docker|curl|node main\.ts|npx sluice|mkdir)\b/

/**
 * Follows pages one after another in one folder that has the packed package: saves their files, installs what their commands name, and
 * runs the other commands as they are. Returns the commands that it has run.
 */
export const follow = (
  folder: string,
  tarball: string,
  pages: ReadonlyArray<string>,
  isRun: (command: string) => boolean = () => true
): ReadonlyArray<string> => {
  const unpacked = Path.join(folder, "node_modules/effect-sluice")
  Fs.mkdirSync(unpacked, { recursive: true })
  ChildProcess.execFileSync("tar", ["-xzf", tarball, "-C", unpacked, "--strip-components=1"])
  const done: Array<string> = []
  for (const { commands, files, packages } of pages.map(startPage)) {
    for (const item of packages) install(folder, item)
    for (const [name, text] of Object.entries(files)) Fs.writeFileSync(Path.join(folder, name), text)
    for (const command of commands) {
      if (byHand.test(command) || command.startsWith("npm install ") || !isRun(command)) continue
      const { status, stderr, stdout } = ChildProcess.spawnSync(command, { cwd: folder, encoding: "utf8", shell: true })
      assert.strictEqual(status, 0, `${command}: ${stdout}${stderr}`)
      done.push(command)
    }
  }
  return done
}
