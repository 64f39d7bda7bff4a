/**
 * Makes a release in the files of the repository: the version that the pending changesets ask for, and a section of CHANGELOG.md
 * with their paragraphs and the lines under "Unreleased". `.changeset/README.md` explains the two.
 *
 * It is refused while an address in package.json or in a page has OWNER in the place of the owner of the repository.
 *
 * A version that has no section yet, and for which no changeset is pending, is released as it is: the first one.
 *
 * Usage: node scripts/release.mjs [root of the project]
 */
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"

const root = Path.resolve(process.argv[2] ?? Path.join(import.meta.dirname, ".."))
const pathOf = (name) => Path.join(root, name)
const read = (name) => Fs.readFileSync(pathOf(name), "utf8")
const versionOf = () => JSON.parse(read("package.json")).version

const refuse = (reason) => {
  console.error(`release: ${reason}`)
  process.exit(1)
}

const pending = () =>
  Fs.readdirSync(pathOf(".changeset")).filter((name) => name.endsWith(".md") && name !== "README.md").toSorted()

/** The paragraphs of a changeset, without its front matter. */
const notesOf = (name) => read(`.changeset/${name}`).replace(/^---\n[\s\S]*?\n---\n/, "").trim()

const sectionOf = (changelog) => {
  const [, before, intro, lines] =
    /^([\s\S]*?## Unreleased\n)([\s\S]*?)(### [\s\S]*?|)(?=\n## |$(?![\s\S]))/.exec(changelog) ?? []
  return before === undefined
    ? undefined
    : { before, intro, lines, after: changelog.slice((before + intro + lines).length) }
}

/** `npm` repeats the version of the package in its lock file. */
const setInLock = (version) => {
  if (!Fs.existsSync(pathOf("package-lock.json"))) return
  const lock = JSON.parse(read("package-lock.json"))
  lock.version = version
  lock.packages[""].version = version
  Fs.writeFileSync(pathOf("package-lock.json"), `${JSON.stringify(lock, undefined, 2)}\n`)
}

/** The files of the package with an address whose owner is still a placeholder. */
const withPlaceholder = () =>
  ["package.json", ...Fs.globSync(["*.md", "docs/**/*.md"], { cwd: root }).toSorted()]
    .filter((name) => /github\.com\/OWNER\b/.test(read(name)))

const unowned = withPlaceholder()
if (unowned.length > 0) {
  refuse(`write the owner of the repository in the place of OWNER in the addresses of ${unowned.join(", ")}`)
}

const section = sectionOf(read("CHANGELOG.md"))
if (section === undefined || section.lines.trim() === "") refuse("CHANGELOG.md has no lines under \"Unreleased\"")

const names = pending()
if (names.length === 0 && read("CHANGELOG.md").includes(`\n## ${versionOf()}`)) {
  refuse(`${versionOf()} is released, and no changeset says what comes after it: npx changeset`)
}

const notes = names.map(notesOf).filter((text) => text !== "")
if (names.length > 0) {
  const changeset = Path.resolve(import.meta.dirname, "../node_modules/.bin/changeset")
  const { error, status, stderr, stdout } = ChildProcess.spawnSync(changeset, ["version"], {
    cwd: root,
    encoding: "utf8"
  })
  if (status !== 0) refuse(error?.message ?? stdout + stderr)
}

const version = versionOf()
setInLock(version)
const date = new Date().toISOString().slice(0, 10)
const parts = [`## ${version} - ${date}`, ...notes, section.lines.trim()]
Fs.writeFileSync(
  pathOf("CHANGELOG.md"),
  `${section.before}${section.intro}${parts.join("\n\n")}\n${section.after}`
)
console.log(`${version} is in package.json and CHANGELOG.md. Look at them, and then:

git commit -am "Release ${version}" && git tag v${version} && npm publish && git push --follow-tags`)
