/**
 * Writes the pictures of docs/architecture.md from the imports of src, those of types included. An arrow leads from a module to one
 * that it imports. Arrows that follow from others are left out: with `A --> B` and `B --> C` there is no `A --> C`.
 *
 * It fails when a page of docs names a file that does not exist, and with --check when a picture is stale.
 *
 * Usage: node scripts/architecture.mjs [--check] [root of the project]
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { parseSync } from "rolldown/utils"

const specifiersIn = (name, code) => {
  const { module, program } = parseSync(name, code)
  const declared = program.body.flatMap(({ source }) => source == null ? [] : [source.value])
  const dynamic = module.dynamicImports.map(({ moduleRequest: { end, start } }) => code.slice(start + 1, end - 1))
  return [...declared, ...dynamic]
}

/** The modules of src, each with those that it imports, as paths below src without their ending. */
export const importsOf = (root) => {
  const src = Path.join(root, "src")
  const names = Fs.globSync("**/*.ts", { cwd: src }).map((name) => name.replaceAll("\\", "/"))
  return new Map(
    names.toSorted((a, b) => a < b ? -1 : 1).map((name) => {
      const own = specifiersIn(name, Fs.readFileSync(Path.join(src, name), "utf8")).filter((one) => one.startsWith("."))
      const imported = own.map((one) => Path.posix.join(Path.posix.dirname(name), one).slice(0, -3))
      return [name.slice(0, -3), new Set(imported)]
    })
  )
}

/** The same arrows between groups of modules. `groupOf` names the group of a module; one without a group is left out. */
export const grouped = (imports, groupOf) => {
  const groups = new Map()
  for (const name of imports.keys()) {
    const group = groupOf(name)
    if (group !== undefined && !groups.has(group)) groups.set(group, new Set())
  }
  for (const [name, imported] of imports) {
    for (const other of imported) {
      const [from, to] = [groupOf(name), groupOf(other)]
      if (from !== undefined && to !== undefined && from !== to) groups.get(from).add(to)
    }
  }
  return groups
}

const reachable = (graph, from, found = new Set()) => {
  for (const next of graph.get(from) ?? []) {
    if (found.has(next)) continue
    found.add(next)
    reachable(graph, next, found)
  }
  return found
}

/** Leaves out the arrows that follow from others. The graph has no cycles, or the linter would have refused it. */
export const reduced = (graph) =>
  new Map(Array.from(graph, ([from, targets]) => {
    const further = new Set([...targets].flatMap((target) => [...reachable(graph, target)]))
    return [from, new Set([...targets].filter((target) => !further.has(target)))]
  }))

const picture = (graph, marked = []) => {
  const lines = Array.from(reduced(graph), ([from, targets]) => {
    const to = [...targets].toSorted((a, b) => a < b ? -1 : 1)
    return to.length === 0 ? [] : [`  ${from} --> ${to.join(" & ")}`]
  })
  const marks = marked.length === 0 ? [] : ["  classDef bold stroke-width:3px", `  class ${marked.join(",")} bold`]
  return ["```mermaid", "flowchart TD", ...lines.flat(), ...marks, "```"].join("\n")
}

/** What the header of a module says of it, up to the end of the first sentence. */
const purposeOf = (root, name) => {
  const code = Fs.readFileSync(Path.join(root, "src", `${name}.ts`), "utf8")
  const [, header = ""] = /^\/\*\*([\s\S]*?)\*\//.exec(code) ?? []
  const text = header.replaceAll(/^\s*\* ?/gm, "").trim().split("\n\n")[0].replaceAll("\n", " ")
  return /^.*?\.(?=\s|$)/.exec(text)?.[0].slice(0, -1) ?? text
}

const folderOf = (name) => name.includes("/") ? name.split("/")[0] : undefined

const poolModuleOf = (name) => /^Pool\/(?:internal\/)?(\w+)$/.exec(name)?.[1]

/** The generated parts of the page, by the names of their marks. */
export const partsOf = (root) => {
  const imports = importsOf(root)
  const pool = [...imports.keys()].filter((name) => poolModuleOf(name) !== undefined)
  const [inner, front] = [true, false].map((isInner) => pool.filter((name) => name.includes("/internal/") === isInner))
  return {
    folders: picture(grouped(imports, folderOf)),
    pool: picture(grouped(imports, poolModuleOf), front.map(poolModuleOf)),
    modules: inner.map((name) => `- \`${poolModuleOf(name)}\`: ${purposeOf(root, name)}.`).join("\n")
  }
}

/** The page with its generated parts as they should be. */
export const written = (page, parts) =>
  Object.entries(parts).reduce((text, [name, part]) => {
    const [begin, end] = [`<!-- ${name}: written by npm run architecture -->`, `<!-- end of ${name} -->`]
    const [from, to] = [text.indexOf(begin), text.indexOf(end)]
    if (from < 0 || to < from) throw new Error(`the page has no part ${name}`)
    return `${text.slice(0, from)}${begin}\n\n${part}\n\n${text.slice(to)}`
  }, page)

/** The files that a page names between backticks, as paths from the root, and that do not exist. */
export const missing = (root, page) => {
  const named = Array.from(
    page.matchAll(/`((?:src|test|scripts|docs|examples|benchmark)\/[\w./-]+\.\w+)`/g),
    ([, name]) => name
  )
  return named.filter((name) => !Fs.existsSync(Path.join(root, name)))
}

if (import.meta.main) {
  const [given] = process.argv.slice(2).filter((argument) => argument !== "--check")
  const root = Path.resolve(given ?? Path.join(import.meta.dirname, ".."))
  const path = Path.join(root, "docs/architecture.md")
  const page = Fs.readFileSync(path, "utf8")
  const next = written(page, partsOf(root))
  const isStale = next !== page
  const isCheck = process.argv.includes("--check")
  const gone = Fs.globSync("docs/**/*.md", { cwd: root }).flatMap((name) =>
    missing(root, Fs.readFileSync(Path.join(root, name), "utf8")).map((file) => `${name} names ${file}`)
  )
  for (const text of gone) console.error(`${text}, which does not exist`)
  if (isStale && isCheck) console.error("docs/architecture.md is stale: npm run architecture writes its pictures")
  if (isStale && !isCheck) Fs.writeFileSync(path, next)
  if (gone.length > 0 || isStale && isCheck) process.exit(1)
}
