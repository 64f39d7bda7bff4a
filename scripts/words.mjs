/**
 * Refuses words that a reader has to translate first, in the comments and texts of src and in the prose of the documentation. The
 * subject of a sentence is the thing, and its verb is the field's: a connection is leased, evicted, closed.
 *
 * Code is not read: not identifiers, not what stands between backticks, and of an example only its comments.
 *
 * Usage: node scripts/words.mjs [root of the project]
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { parseSync } from "rolldown/utils"

/** Refused words, as regular expressions in which a space may be a line break, and what to write instead. */
export const refused = [
  ["who(?:m|so)?ever", "the thing or the person: the borrower, the caller"],
  ["(?:no|some|any|every)body|no one|someone|anyone|everyone", "the thing or the person: no borrower, a caller"],
  ["lent|lend(?:s|ing|ers?)?", "leased, leases"],
  ["for want of", "because there is no, without"],
  ["(?:gives?|gave|given|giving) way", "is evicted, yields"],
  ["told", "informed, called with; distinguished"],
  ["dear(?:er|est|ly)?", "expensive"],
  ["mend(?:s|ed|ing)?", "fixed, repaired"],
  ["(?:lets?|letting) in", "admits"],
  ["shel(?:f|ves?|ved|ving)", "storage; released, idle"],
  ["doors?", "endpoint, entry point"],
  ["nonsense", "an invalid value"],
  ["no sooner", "not before, not earlier"],
  ["n[ao]ught", "nothing, 0"],
  ["in vain", "without success"],
  ["of use to|of no use", "usable, used successfully; cannot be used"],
  ["news", "information, event"],
  ["lest|hence|thence|whence|thereby|betimes", "so that, therefore"],
  ["hand(?:s|ed|ing)? over", "passes on, writes; leased"],
  ["goes? without|going without", "gets none"],
  ["half way", "in the middle, after it was sent"],
  ["afresh|anew", "again, from the start"],
  ["spoil(?:s|t|ed|ing)?", "makes unusable"],
  ["the house", "the project, its layout"],
  ["at the hands of|in (?:its|his|their|the) [\\w-]+(?:'s)? hands", "in use by, leased to"],
  ["dearth", "lack"],
  ["bit by bit", "step by step, chunk by chunk"],
  ["on trial", "half open; being tested"],
  ["stands? in(?: for)?", "replaces"],
  ["ways? over", "how to move"],
  ["(?:brings?|brought|bringing) about", "causes, leads to"],
  ["no good|amiss", "invalid, wrong"],
  ["anyhow|somehow|forthwith", "in any case, at once"],
  ["custody|deput(?:y|ies)|roster|inventory|upkeep|thrift", "the present name of the module"]
]

/** Findings that stay, each with its reason. */
export const allowed = []

const whole = (pattern) => new RegExp(`(?<![\\w-])(?:${pattern.replaceAll(" ", "\\s+")})(?![\\w-])`, "gi")
const rules = refused.map(([pattern, instead]) => [whole(pattern), instead])

/** The text with everything outside of these ranges hidden. It keeps its length and its lines. */
const only = (text, ranges) => {
  let shown = ""
  let end = 0
  const hidden = (to) => text.slice(end, to).replace(/\S/g, "\0")
  for (const range of ranges.toSorted((a, b) => a.start - b.start)) {
    shown += hidden(range.start) + text.slice(range.start, range.end)
    end = range.end
  }
  return shown + hidden(text.length)
}

const hide = (text) => text.replace(/\S/g, "\0")

/** Strings with a space in them: texts that a user reads. */
const textsIn = (node, found = []) => {
  if (Array.isArray(node)) { for (const child of node) textsIn(child, found) }
  else if (node !== null && typeof node === "object") {
    const value = node.type === "TemplateElement" ? node.value.raw : node.type === "Literal" ? node.value : undefined
    if (typeof value === "string" && value.includes(" ")) found.push(node)
    for (const child of Object.values(node)) if (typeof child === "object") textsIn(child, found)
  }
  return found
}

const proseOfSource = (name, text) => {
  const { comments, errors, program } = parseSync(name, text)
  if (errors.length > 0) throw new Error(`${name} cannot be parsed`)
  // What begins the lines of a comment is no part of its sentences.
  const prose = only(text, [...comments, ...textsIn(program)])
  return prose.replace(/^\s*(?:\/\*\*?|\*\/|\*|\/\/)/gm, (mark) => mark.replace(/\S/g, " "))
}

const proseOfPage = (text) => {
  let fence
  return text.split("\n").map((line) => {
    const [, mark] = /^\s*```(\w*)/.exec(line) ?? []
    if (mark !== undefined) {
      fence = fence === undefined ? mark : undefined
      return hide(line)
    }
    if (!["ts", "js", "sh", "json"].includes(fence)) return line
    const comment = line.search(/(?<=^|\s)(?:\/\/|#)\s/)
    return comment < 0 ? hide(line) : hide(line.slice(0, comment)) + line.slice(comment)
  }).join("\n")
}

/** What is refused in a file, by its name and its text. */
export const findingsIn = (name, text) => {
  const prose = (name.endsWith(".md") ? proseOfPage(text) : proseOfSource(name, text))
    .replace(/`[^`\n]+`/g, hide)
  return rules.flatMap(([rule, instead]) =>
    Array.from(prose.matchAll(rule), ({ 0: match, index }) => ({
      name,
      line: text.slice(0, index).split("\n").length,
      words: match.replace(/\s+/g, " "),
      instead
    }))
  ).toSorted((a, b) => a.line - b.line)
}

const isAllowed = ({ name, words }) => allowed.some((one) => one.name === name && one.words === words)

const filesOf = (root) =>
  ["src/**/*.ts", "docs/**/*.md", "*.md"].flatMap((pattern) => Fs.globSync(pattern, { cwd: root }))
    .map((name) => name.replaceAll("\\", "/"))

/** The findings of a project that are not allowed. */
export const check = (root) =>
  filesOf(root).toSorted((a, b) => a.localeCompare(b)).flatMap((name) =>
    findingsIn(name, Fs.readFileSync(Path.join(root, name), "utf8"))
  ).filter((finding) => !isAllowed(finding))

if (import.meta.main) {
  const findings = check(Path.resolve(process.argv[2] ?? Path.join(import.meta.dirname, "..")))
  for (const { instead, line, name, words } of findings) console.error(`${name}:${line}: "${words}": write ${instead}`)
  if (findings.length > 0) process.exit(1)
}
