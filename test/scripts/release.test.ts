import { afterAll, assert, describe, it } from "@effect/vitest"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

const root = Path.resolve(import.meta.dirname, "../..")
const script = Path.join(root, "scripts/release.mjs")

const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-release-"))
afterAll(() => Fs.rmSync(folder, { recursive: true, force: true }))

const intro = "# Changelog\n\n## Unreleased\n\nHow to read it.\n\n"
const lines = "### Added\n\n- One.\n\n### Fixed\n\n- Two.\n"

/** A project with these files in the state between two releases. */
const project = (version: string, changelog: string, changesets: Record<string, string> = {}): string => {
  const path = Fs.mkdtempSync(Path.join(folder, "project-"))
  const write = (name: string, text: string): void => Fs.writeFileSync(Path.join(path, name), text)
  Fs.mkdirSync(Path.join(path, ".changeset"))
  for (const name of ["config.json", "README.md"]) {
    Fs.copyFileSync(Path.join(root, ".changeset", name), Path.join(path, ".changeset", name))
  }
  write("package.json", JSON.stringify({ name: "effect-sluice", version }))
  write("package-lock.json", JSON.stringify({ version, packages: { "": { version }, other: { version: "9.9.9" } } }))
  write("CHANGELOG.md", changelog)
  for (const [name, text] of Object.entries(changesets)) write(`.changeset/${name}`, text)
  ChildProcess.spawnSync("git", ["init", "-q", "-b", "main"], { cwd: path })
  return path
}

const release = (path: string) => {
  const { status, stderr, stdout } = ChildProcess.spawnSync(process.execPath, [script, path], { encoding: "utf8" })
  const changelog = Fs.readFileSync(Path.join(path, "CHANGELOG.md"), "utf8").replace(
    / - \d{4}-\d\d-\d\d\n/,
    " - DATE\n"
  )
  const read = (name: string) => JSON.parse(Fs.readFileSync(Path.join(path, name), "utf8"))
  const lock = read("package-lock.json")
  const versions = [read("package.json").version, lock.version, lock.packages[""].version, lock.packages.other.version]
  return {
    status,
    stderr,
    stdout,
    changelog,
    versions,
    pending: Fs.readdirSync(Path.join(path, ".changeset")).toSorted()
  }
}

const changeset = (level: string, text: string): string => `---\n"effect-sluice": ${level}\n---\n\n${text}\n`

describe("a release", () => {
  it("has the version that its changesets ask for, with their paragraphs above the lines of the changelog", () => {
    const changesets = { "a-b.md": changeset("patch", "First."), "c-d.md": changeset("minor", "Second.\n\nAnd more.") }
    const { changelog, pending, status, stderr, stdout, versions } = release(
      project("0.1.3", `${intro}${lines}\n## 0.1.3 - 2020-01-01\n\n### Added\n\n- Zero.\n`, changesets)
    )
    assert.deepStrictEqual({ status, stderr }, { status: 0, stderr: "" })
    assert.strictEqual(
      changelog,
      `${intro}## 0.2.0 - DATE\n\nFirst.\n\nSecond.\n\nAnd more.\n\n${lines}\n## 0.1.3 - 2020-01-01\n\n### Added\n\n- Zero.\n`
    )
    assert.deepStrictEqual(versions, ["0.2.0", "0.2.0", "0.2.0", "9.9.9"])
    assert.deepStrictEqual(pending, ["README.md", "config.json"])
    assert.include(stdout, "git tag v0.2.0")
  })

  it("is the version of the package as it is if that has none yet and nothing is pending", () => {
    const { changelog, status, versions } = release(project("0.1.0", intro + lines))
    assert.strictEqual(status, 0)
    assert.strictEqual(changelog, `${intro}## 0.1.0 - DATE\n\n${lines}`)
    assert.deepStrictEqual(versions, ["0.1.0", "0.1.0", "0.1.0", "9.9.9"])
  })

  it("is refused if nothing says its version, or the changelog has no lines, and changes nothing then", () => {
    const released = `${intro}${lines}\n## 0.1.0 - DATE\n`
    const without = release(project("0.1.0", released))
    assert.deepStrictEqual([without.status, without.changelog], [1, released])
    assert.include(without.stderr, "npx changeset")
    const path = project("0.1.0", intro, { "a-b.md": changeset("patch", "First.") })
    const empty = release(path)
    assert.deepStrictEqual([empty.status, empty.changelog, empty.versions[0]], [1, intro, "0.1.0"])
    assert.deepStrictEqual(empty.pending, ["README.md", "a-b.md", "config.json"])
  })

  it("is refused while an address has the placeholder of the owner, with the files that have it", () => {
    const path = project("0.1.0", intro + lines, { "a-b.md": changeset("patch", "First.") })
    const write = (name: string, text: string): void => Fs.writeFileSync(Path.join(path, name), text)
    const address = "https://github.com/OWNER/effect-sluice"
    Fs.mkdirSync(Path.join(path, "docs/start"), { recursive: true })
    const repository = { type: "git", url: `git+${address}.git` }
    write("package.json", JSON.stringify({ name: "effect-sluice", version: "0.1.0", repository }))
    write("README.md", `[a test](${address}/blob/main/test/a.test.ts)`)
    write("docs/start/page.md", `[another](${address}/blob/main/test/b.test.ts)`)
    write("SECURITY.md", "The OWNER of the repository.")
    const { changelog, pending, status, stderr, versions } = release(path)
    assert.deepStrictEqual([status, changelog, versions[0]], [1, intro + lines, "0.1.0"])
    assert.deepStrictEqual(pending, ["README.md", "a-b.md", "config.json"])
    assert.strictEqual(
      stderr,
      "release: write the owner of the repository in the place of OWNER in the addresses of package.json, README.md, docs/start/page.md\n"
    )
  })
})
