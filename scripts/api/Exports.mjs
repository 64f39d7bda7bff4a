/**
 * Which declarations a module exports, from its own file and from those that it re-exports, in sources and in emitted declarations.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { parseSync } from "rolldown/utils"

const ofProject = (file, specifier) =>
  specifier.startsWith(".") ? Path.resolve(Path.dirname(file), specifier) : undefined

/** The file that a specifier names. Emitted declarations name the code beside them. */
export const targetOf = (file, specifier) => {
  const target = ofProject(file, specifier)
  return target === undefined || Fs.existsSync(target) && target.endsWith(".ts")
    ? target
    : target.replace(/\.[jt]s$/, ".d.ts")
}

const namesOf = (declaration) => {
  if (declaration.type !== "VariableDeclaration") return declaration.id == null ? [] : [declaration.id.name]
  return declaration.declarations.map(({ id }) => id.name)
}

const nameOf = ({ name, value }) => name ?? value

/** One file: its declarations by name, what it imports from the project, and what it exports under which name. */
const parsed = (file) => {
  const code = Fs.readFileSync(file, "utf8")
  const { comments, errors, program } = parseSync(file, code)
  if (errors.length > 0) throw new Error(`${file}: ${errors[0].message}`)
  const module = { file, code, comments, declarations: new Map(), imports: new Map(), exports: new Map(), stars: [] }
  for (const statement of program.body) readers[statement.type]?.(module, statement)
  return module
}

const declare = (module, statement, declaration) => {
  const names = namesOf(declaration)
  for (const name of names) {
    module.declarations.set(name, [...(module.declarations.get(name) ?? []), statement])
  }
  return names
}

const plain = (module, statement) => void declare(module, statement, statement)

/** What a statement does to the record of its file. Other statements declare nothing. */
const readers = {
  ImportDeclaration: (module, { source, specifiers }) => {
    const file = targetOf(module.file, source.value)
    if (file === undefined) return
    for (const { imported, local, type } of specifiers) {
      module.imports.set(local.name, { file, name: type === "ImportNamespaceSpecifier" ? "*" : nameOf(imported) })
    }
  },
  ExportAllDeclaration: (module, statement) => {
    const file = targetOf(module.file, statement.source.value)
    if (statement.exported === null) module.stars.push(file)
    else module.exports.set(nameOf(statement.exported), { file, name: "*", statement })
  },
  ExportNamedDeclaration: (module, statement) => {
    const { declaration, source, specifiers } = statement
    if (declaration !== null) {
      for (const name of declare(module, statement, declaration)) module.exports.set(name, { file: module.file, name })
    }
    const from = source === null ? module.file : targetOf(module.file, source.value)
    for (const { exported, local } of specifiers) {
      module.exports.set(nameOf(exported), { file: from, name: nameOf(local) })
    }
  },
  FunctionDeclaration: plain,
  TSDeclareFunction: plain,
  ClassDeclaration: plain,
  VariableDeclaration: plain,
  TSTypeAliasDeclaration: plain,
  TSInterfaceDeclaration: plain,
  TSEnumDeclaration: plain,
  TSModuleDeclaration: plain
}

/** Reads each file once. */
export const makeReader = () => {
  const modules = new Map()
  const read = (file) => {
    const known = modules.get(file)
    if (known !== undefined) return known
    const module = parsed(file)
    modules.set(file, module)
    return module
  }

  /** Where a name that is used in a file is declared. `*` is the whole file. Undefined for a name from outside of the project. */
  const resolve = (file, name) => {
    if (file === undefined) return undefined
    if (name === "*") return { file, name }
    const module = read(file)
    if (module.declarations.has(name)) return { file, name }
    const next = module.imports.get(name)
    return next === undefined ? exported(file, name) : exported(next.file, next.name)
  }

  /** Where a name that a file exports is declared. */
  const exported = (file, name) => {
    if (file === undefined) return undefined
    if (name === "*") return { file, name }
    const module = read(file)
    const found = module.exports.get(name)
    if (found !== undefined) {
      const isHere = found.file === file && (module.declarations.has(found.name) || module.imports.has(found.name))
      return isHere ? resolve(file, found.name) : exported(found.file, found.name)
    }
    for (const star of module.stars) {
      const behind = exported(star, name)
      if (behind !== undefined) return behind
    }
    return undefined
  }

  /** The names that a file exports, in order, each with where it is declared. */
  const exportsOf = (file) => {
    const module = read(file)
    const own = Array.from(module.exports.keys(), (name) => [name, exported(file, name)])
    const others = module.stars.flatMap((star) => [...exportsOf(star)])
    return new Map([...others, ...own].toSorted(([a], [b]) => a < b ? -1 : 1))
  }

  return { read, resolve, exported, exportsOf }
}

/** The doc comment directly before a position. */
export const docBefore = (module, position) => {
  const comment = module.comments.findLast(({ end }) => end <= position)
  if (comment === undefined || comment.type !== "Block" || !comment.value.startsWith("*")) return undefined
  return module.code.slice(comment.end, position).trim() === "" ? comment : undefined
}

/** The public modules of the package, by their names, with the files of their sources. `.` is the module of all. */
export const entriesOf = (root) => {
  const { exports } = JSON.parse(Fs.readFileSync(Path.join(root, "package.json"), "utf8"))
  return Object.entries(exports).filter(([, entry]) => entry.types !== undefined).map(([path, { types }]) => [
    path === "." ? "index" : path.slice(2),
    types.replace("./dist/", "").replace(/\.d\.ts$/, "")
  ])
}
