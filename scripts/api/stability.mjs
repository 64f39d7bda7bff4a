/**
 * Requires `@stability stable` or `@stability experimental` in the doc comment of each export of the package, and in the header of
 * each of its modules. CONTRIBUTING.md says what the two mean.
 *
 * Without --check it adds the tag where an export has none: the one of the header of its module. A tag that is there stays.
 *
 * Usage: node scripts/api/stability.mjs [--check] [root of the project]
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { docBefore, entriesOf, makeReader } from "./Exports.mjs"

const levels = ["stable", "experimental"]

const levelIn = (comment) => /^\s*\*\s*@stability\s+(\S+)\s*$/m.exec(comment?.value ?? "")?.[1]

/** The first comment of a file, if it is the file's own: its first statement follows after an empty line, or is an import. */
const headerOf = ({ code, comments }) => {
  const [first] = comments
  return first !== undefined && first.value.startsWith("*") && code.slice(0, first.start).trim() === ""
    ? first
    : undefined
}

/** The public modules: those of the package, and those that one of them exports as a namespace. */
const modulesOf = (root, reader) => {
  const files = new Set()
  const add = (file) => {
    if (files.has(file)) return
    files.add(file)
    for (const found of reader.exportsOf(file).values()) if (found?.name === "*") add(found.file)
  }
  for (const [, path] of entriesOf(root)) add(Path.join(root, "src", `${path}.ts`))
  return [...files]
}

/** The comment with the tag, as the last of its tags. */
const tagged = (text, level, indent) => {
  const lines = text.includes("\n") ? text.split("\n") : ["/**", ` * ${text.slice(3, -2).trim()}`, " */"]
  const since = lines.findLastIndex((line) => /^\s*\*\s*@since/.test(line))
  const hasTags = lines.some((line) => /^\s*\*\s*@\w/.test(line))
  const tag = `${indent} * @stability ${level}`
  if (since >= 0) lines.splice(since + 1, 0, tag)
  else lines.splice(-1, 0, ...(hasTags ? [tag] : [`${indent} *`, tag]))
  return lines.join("\n")
}

/** What is missing, and the insertions that repair it, by file. */
export const findings = (root) => {
  const reader = makeReader()
  const problems = []
  const edits = new Map()
  const edit = (module, comment, level) => {
    const ofFile = edits.get(module.file) ?? new Map()
    if (!ofFile.has(comment.start)) ofFile.set(comment.start, { comment, level })
    edits.set(module.file, ofFile)
  }
  const judge = (module, comment, name, level) => {
    const found = levelIn(comment)
    const where = `${Path.relative(root, module.file)}: ${name}`
    if (comment === undefined) return void problems.push(`${where} has no doc comment`)
    if (found === undefined) {
      problems.push(`${where} has no @stability`)
      if (levels.includes(level)) edit(module, comment, level)
    } else if (!levels.includes(found)) {
      problems.push(`${where} is "${found}", which is neither of ${levels.join(", ")}`)
    }
  }
  // Two modules may export the same declaration, which is as stable as the more stable of them.
  const isExperimental = (file) => levelIn(headerOf(reader.read(file))) === "experimental"
  for (const file of modulesOf(root, reader).toSorted((a, b) => isExperimental(a) - isExperimental(b))) {
    const module = reader.read(file)
    const header = headerOf(module)
    const level = levelIn(header)
    judge(module, header, "its header")
    for (const [name, found] of reader.exportsOf(file)) {
      if (found === undefined || found.name === "*") continue
      const declaring = reader.read(found.file)
      const documented = declaring.declarations.get(found.name).map(({ start }) => docBefore(declaring, start))
        .filter((comment) => comment !== undefined)
      for (const comment of documented.length > 0 ? documented : [undefined]) judge(declaring, comment, name, level)
    }
  }
  return { problems: [...new Set(problems)], edits }
}

const repair = (file, edits) => {
  let code = Fs.readFileSync(file, "utf8")
  for (const { comment, level } of [...edits.values()].toSorted((a, b) => b.comment.start - a.comment.start)) {
    const before = code.slice(0, comment.start)
    const indent = /[^\n]*$/.exec(before)[0]
    code = before + tagged(code.slice(comment.start, comment.end), level, indent) + code.slice(comment.end)
  }
  Fs.writeFileSync(file, code)
}

if (import.meta.main) {
  const [given] = process.argv.slice(2).filter((argument) => argument !== "--check")
  const root = Path.resolve(given ?? Path.join(import.meta.dirname, "../.."))
  if (!process.argv.includes("--check")) {
    for (const [file, edits] of findings(root).edits) repair(file, edits)
  }
  const { problems } = findings(root)
  for (const problem of problems) console.error(problem)
  if (problems.length > 0) {
    console.error("npm run stability adds the level of its module to each export that has none")
    process.exit(1)
  }
}
