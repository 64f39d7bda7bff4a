/**
 * Writes the public types of the package to the folder `api`, one file for each module of `exports`: the declarations that `tsc` emits,
 * without their comments. Declarations that no module exports, but to whose names an exported one refers, are in a part of their
 * own: a change of them is a change for users as well.
 *
 * With --check it writes nothing, and fails when a file is not as it would be written.
 *
 * Usage: node scripts/api/report.mjs [--check]
 */
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { docBefore, entriesOf, makeReader, targetOf } from "./Exports.mjs"

const isNode = (value) => typeof value === "object" && value !== null && typeof value.type === "string"

const leftmost = (name) => {
  if (name.type === "TSQualifiedName") return leftmost(name.left)
  return name.type === "MemberExpression" ? leftmost(name.object) : name
}

/** The names of a qualified name, from the left. */
const partsOf = (name) => {
  if (name.type === "TSQualifiedName") return [...partsOf(name.left), name.right.name]
  return name.type === "MemberExpression" ? [...partsOf(name.object), name.property.name] : [name.name]
}

/** Names of members are no references, unless they are computed. */
const isMemberName = (node, key) => (key === "key" || key === "property") && node.computed === false

/** The type of a member such as `[TypeId]`, which is not for users. */
const isBrand = ({ computed, type }, key) =>
  key === "typeAnnotation" && computed === true && (type === "TSPropertySignature" || type === "PropertyDefinition")

/** What a declaration refers to: a chain of names, or a file and a chain of names. */
const referencesOf = (node, found = []) => {
  if (node.type === "TSImportType") {
    found.push({ specifier: node.source.value, names: node.qualifier === null ? ["*"] : partsOf(node.qualifier) })
  } else if (node.type === "TSQualifiedName" || node.type === "MemberExpression") {
    if (leftmost(node).type === "Identifier") found.push({ names: partsOf(node) })
    return found
  } else if (node.type === "Identifier") found.push({ names: [node.name] })
  for (const [key, value] of Object.entries(node)) {
    if (isBrand(node, key) || isMemberName(node, key) || node.type === "TSImportType" && key === "qualifier") continue
    for (const child of Array.isArray(value) ? value : [value]) if (isNode(child)) referencesOf(child, found)
  }
  return found
}

/** Where what a reference of a file names is declared. Undefined for what is not of the project. */
const targetOfReference = (reader, file, { names, specifier }) => {
  const [first, second] = names
  const found = specifier === undefined
    ? reader.resolve(file, first)
    : reader.exported(targetOf(file, specifier), first)
  return found?.name === "*" && second !== undefined ? reader.exported(found.file, second) : found
}

/** A statement without its comments and without the empty lines that they leave. */
const textOf = (module, { end, start }) => {
  let text = ""
  let from = start
  for (const comment of module.comments.filter((one) => one.start >= start && one.end <= end)) {
    text += module.code.slice(from, comment.start)
    from = comment.end
  }
  const lines = (text + module.code.slice(from, end)).split("\n")
  return lines.map((line) => line.trimEnd()).filter((line) => line !== "").join("\n").replace(/^export /, "")
}

const stabilityOf = (module, statement) =>
  /@stability\s+(\w+)/.exec(docBefore(module, statement.start)?.value ?? "")?.[1]

const idOf = ({ file, name }) => `${file}#${name}`

/** The text of a declaration under the name that it is exported by. */
const declared = (reader, root, name, found) => {
  if (found === undefined) return `// ${name} is from another package`
  if (found.name === "*") return `export * as ${name} from "${Path.relative(root, found.file)}"`
  const module = reader.read(found.file)
  const statements = module.declarations.get(found.name)
  const level = statements.map((statement) => stabilityOf(module, statement)).find((one) => one !== undefined)
  const renamed = name === found.name ? [] : [`// exported as ${name}`]
  const text = statements.map((statement) => textOf(module, statement))
  return [...(level === undefined ? [] : [`// ${level}`]), ...renamed, ...text].join("\n")
}

/** The declarations that the exported ones refer to, and that are not in `exported`. */
const reachedFrom = (reader, exported) => {
  const seen = new Map(exported)
  const queue = [...seen.values()]
  for (const { file, name } of queue) {
    for (const statement of reader.read(file).declarations.get(name) ?? []) {
      for (const reference of referencesOf(statement)) {
        const target = targetOfReference(reader, file, reference)
        if (target === undefined || target.name === "*" || seen.has(idOf(target))) continue
        seen.set(idOf(target), target)
        queue.push(target)
      }
    }
  }
  return [...seen].filter(([id]) => !exported.has(id)).toSorted(([a], [b]) => a < b ? -1 : 1).map(([, found]) => found)
}

const page = (title, parts) =>
  `# ${title}\n\nWritten by \`npm run api:report\`.\n\n\`\`\`ts\n${parts.join("\n\n")}\n\`\`\`\n`

/** The files of the report by their names. `root` has the emitted declarations. */
export const reportOf = (root, entries) => {
  const reader = makeReader()
  const files = new Map()
  const exported = new Map()
  const modules = [...entries]
  for (const [title, path] of modules) {
    const exports = reader.exportsOf(Path.join(root, `${path}.d.ts`))
    for (const [name, found] of exports) {
      if (found === undefined) continue
      if (found.name !== "*") exported.set(idOf(found), found)
      else if (!modules.some(([, known]) => Path.join(root, `${known}.d.ts`) === found.file)) {
        modules.push([`${title}.${name}`, Path.relative(root, found.file).replace(/\.d\.ts$/, "")])
      }
    }
    const parts = Array.from(exports, ([name, found]) => declared(reader, root, name, found))
    files.set(`${title}.api.md`, page(title, parts))
  }
  const hidden = reachedFrom(reader, exported).map((found) =>
    `// ${Path.relative(root, found.file)}\n${declared(reader, root, found.name, found)}`
  )
  return files.set("internal.api.md", page("Types that no module exports, and that exported ones refer to", hidden))
}

const emit = (project, out) => {
  const options = ["--emitDeclarationOnly", "--declarationMap", "false", "--noCheck", "--outDir", out]
  const tsc = Path.join(project, "node_modules/.bin/tsc")
  const config = Path.join(project, "tsconfig.build.json")
  const { error, status } = ChildProcess.spawnSync(tsc, ["-p", config, ...options], { stdio: "inherit" })
  if (error !== undefined) throw error
  // It has said why.
  if (status !== 0) process.exit(1)
}

if (import.meta.main) {
  const project = Path.resolve(import.meta.dirname, "../..")
  const out = Fs.mkdtempSync(Path.join(Os.tmpdir(), "sluice-api-"))
  process.on("exit", () => Fs.rmSync(out, { recursive: true, force: true }))
  emit(project, out)
  const folder = Path.join(project, "api")
  const report = reportOf(out, entriesOf(project))
  const present = Fs.existsSync(folder) ? Fs.readdirSync(folder) : []
  const contentOf = (name) => present.includes(name) ? Fs.readFileSync(Path.join(folder, name), "utf8") : undefined
  const gone = present.filter((name) => !report.has(name))
  const stale = Array.from(report).filter(([name, text]) => contentOf(name) !== text)
  if (process.argv.includes("--check")) {
    for (const name of [...gone, ...stale.map(([name]) => name)]) console.error(`api/${name} is stale`)
    if (gone.length + stale.length > 0) {
      console.error(
        "The public types have changed: run npm run api:report, and describe the change in CHANGELOG.md in the same commit"
      )
      process.exit(1)
    }
  } else {
    Fs.mkdirSync(folder, { recursive: true })
    for (const name of gone) Fs.rmSync(Path.join(folder, name))
    for (const [name, text] of stale) Fs.writeFileSync(Path.join(folder, name), text)
  }
}
