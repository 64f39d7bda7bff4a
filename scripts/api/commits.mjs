/**
 * Requires of each commit since the last release that changes the report of the public types, in `api`, that it changes CHANGELOG.md
 * or adds a changeset as well. What users notice is then described by the person who knows why it changed.
 *
 * A commit whose change users cannot notice says so, in a line of its message: `No-Changelog: the reason`. A later commit makes good
 * for one that is published already, with the line `Changelog-Of: its hash`.
 *
 * Of a shallow clone it sees the commits that are there. Outside of a clone it checks nothing.
 *
 * Usage: node scripts/api/commits.mjs [root of the project]
 */
import * as ChildProcess from "node:child_process"
import * as Path from "node:path"

const root = Path.resolve(process.argv[2] ?? Path.join(import.meta.dirname, "../.."))

const git = (...args) => {
  const { status, stdout } = ChildProcess.spawnSync("git", args, { cwd: root, encoding: "utf8" })
  return status === 0 ? stdout.trim() : undefined
}

const linesOf = (text) => text === undefined || text === "" ? [] : text.split("\n")

const lastRelease = git("describe", "--tags", "--abbrev=0", "--match", "v[0-9]*")
const range = lastRelease === undefined ? "HEAD" : `${lastRelease}..HEAD`

/** The oldest commit of a shallow clone seems to add every file, and so the changelog too. */
const filesOf = (hash) => linesOf(git("show", "--format=", "--name-only", "--no-renames", hash))

const isDescription = (file) => file === "CHANGELOG.md" || /^\.changeset\/(?!README)[\w-]+\.md$/.test(file)

const isDescribed = (hash) =>
  filesOf(hash).some(isDescription) || /^No-Changelog: \S/m.test(git("show", "-s", "--format=%B", hash) ?? "")

const madeGood = linesOf(git("log", "--no-merges", "--format=%B", range)).flatMap((line) => {
  const [, hash] = /^Changelog-Of: ([0-9a-f]{7,40})$/.exec(line) ?? []
  return hash === undefined ? [] : [hash]
})

if (git("rev-parse", "--git-dir") === undefined) console.log("commits: this is no clone, so no commit is checked")

const commits = linesOf(git("log", "--no-merges", "--format=%H", range, "--", "api"))
const faulty = commits.filter((hash) => !isDescribed(hash) && !madeGood.some((good) => hash.startsWith(good)))
for (const hash of faulty) {
  console.error(`${git("show", "-s", "--format=%h %s", hash)}: changes the public types, but not CHANGELOG.md`)
}
process.exitCode = faulty.length > 0 ? 1 : 0
