/**
 * The shapes that a program writes as literal objects for this package: the types of parameters of exported functions, of members of
 * exported interfaces and services, and of what callbacks return to them. They are read from the program of the compiler, so that a name does not decide.
 */
import * as Path from "node:path"
import {
  API,
  type Checker,
  SignatureKind,
  type Symbol,
  SymbolFlags,
  type Type,
  TypeFlags
} from "typescript/unstable/sync"
import manifest from "../../package.json" with { type: "json" }
import { root } from "./Documents.ts"

/** A type that occurs where a program gives an object. */
export interface Shape {
  /** Its declaration: the file and the name, or the file and `{}` for one without a name. */
  readonly declared: string
  /** By which names modules export it. None is for a type that users cannot name. */
  readonly exportedAs: ReadonlyArray<string>
  /** The members that it declares itself. */
  readonly members: ReadonlyArray<string>
  /** Where it occurs: functions, with the members that lead to it. */
  readonly takenBy: ReadonlyArray<string>
}

const source = `${root}/src/`
/** What holds one of the package's own shapes for a caller. */
const holders = new Set(["Effect", "Promise", "PromiseLike", "Option"])
const hasFlag = (flags: number, flag: number): boolean => (flags & flag) !== 0

const isOwn = (symbol: Symbol): boolean => symbol.declarations.some(({ path }) => path.startsWith(source))

/** The file of a property, and the name of the interface that declares it. */
const ownerOf = (property: Symbol): string => {
  const [declaration] = property.declarations
  const parent = declaration?.resolve()?.parent
  const name = parent !== undefined && "name" in parent ? parent.name : undefined
  const text = typeof name === "object" && name !== null && "text" in name ? String(name.text) : "{}"
  return `${declaration?.path.slice(root.length + 1)}#${text}`
}

/** Collects shapes. One is for one program of the compiler. */
class Collector {
  readonly shapes = new Map<string, { readonly members: Set<string>; readonly takenBy: Set<string> }>()
  readonly names = new Map<string, Array<string>>()
  readonly #modules = new Set<number>()
  readonly #types = new Set<number>()
  readonly #checker: Checker

  constructor(checker: Checker) {
    this.#checker = checker
  }

  /** The objects of a type: those of a union, of an array, and of the constraint of a parameter. */
  #objectsOf(type: Type | undefined): ReadonlyArray<Type> {
    if (type === undefined) return []
    if (type.isUnionType() || type.isIntersectionType()) return type.getTypes().flatMap((one) => this.#objectsOf(one))
    if (type.isTypeParameter()) return this.#objectsOf(this.#checker.getConstraintOfTypeParameter(type))
    if (type.isTypeReference() && (this.#checker.isArrayType(type) || this.#checker.isTupleType(type))) {
      return this.#checker.getTypeArguments(type).flatMap((one) => this.#objectsOf(one))
    }
    return hasFlag(type.flags, TypeFlags.Object) ? [type] : []
  }

  #propertiesOf(type: Type, where: string): void {
    const properties = this.#checker.getPropertiesOfType(type)
    // A value that only this package makes.
    if (properties.some(({ name }) => name.startsWith("~"))) return
    for (const property of properties.filter(isOwn)) {
      const owner = ownerOf(property)
      const shape = this.shapes.get(owner) ?? { members: new Set(), takenBy: new Set() }
      shape.members.add(property.name)
      shape.takenBy.add(where)
      this.shapes.set(owner, shape)
      this.#given(this.#checker.getTypeOfSymbol(property), `${where}.${property.name}`)
    }
  }

  /** What a program gives. */
  #given(type: Type | undefined, where: string): void {
    for (const one of this.#objectsOf(type)) {
      const symbol = one.getSymbol()
      if (this.#types.has(one.id) || symbol !== undefined && hasFlag(symbol.flags, SymbolFlags.Class)) continue
      this.#types.add(one.id)
      const calls = this.#checker.getSignaturesOfType(one, SignatureKind.Call)
      if (calls.length > 0) {
        for (const call of calls) this.#given(this.#checker.getReturnTypeOfSignature(call), `${where}()`)
      } else if (one.isTypeReference() && symbol !== undefined && holders.has(symbol.name)) {
        this.#given(this.#checker.getTypeArguments(one)[0], where)
      } else this.#propertiesOf(one, where)
    }
  }

  /** What the functions of a type take, and the functions that they return. */
  #taken(type: Type, where: string): void {
    for (const call of this.#checker.getSignaturesOfType(type, SignatureKind.Call)) {
      for (const parameter of call.getParameters()) this.#given(this.#checker.getTypeOfSymbol(parameter), where)
      const result = this.#checker.getReturnTypeOfSignature(call)
      if (result !== undefined && this.#checker.getSignaturesOfType(result, SignatureKind.Call).length > 0) {
        this.#taken(result, where)
      }
    }
  }

  #members(type: Type | undefined, where: string): void {
    for (const one of this.#objectsOf(type)) {
      this.#taken(one, where)
      for (const member of this.#checker.getPropertiesOfType(one).filter(isOwn)) {
        for (const part of this.#objectsOf(this.#checker.getTypeOfSymbol(member))) {
          this.#taken(part, `${where}.${member.name}`)
        }
      }
    }
  }

  #exported(symbol: Symbol, where: string): void {
    if (hasFlag(symbol.flags, SymbolFlags.ValueModule)) return this.module(symbol, where)
    if (hasFlag(symbol.flags, SymbolFlags.Interface | SymbolFlags.TypeAlias | SymbolFlags.Class)) {
      const [declaration] = symbol.declarations
      const key = `${declaration?.path.slice(root.length + 1)}#${symbol.name}`
      this.names.set(key, [...this.names.get(key) ?? [], where])
      this.#members(this.#checker.getDeclaredTypeOfSymbol(symbol), where)
    }
    if (!hasFlag(symbol.flags, SymbolFlags.Value)) return
    const type = this.#checker.getTypeOfSymbol(symbol)
    if (type === undefined) return
    if (!hasFlag(symbol.flags, SymbolFlags.Class)) return this.#taken(type, where)
    // The members of a service are those of its type `Service`.
    const service = this.#checker.getPropertyOfType(type, "Service")
    if (service !== undefined) this.#members(this.#checker.getTypeOfSymbol(service), where)
  }

  module(symbol: Symbol, name: string): void {
    if (this.#modules.has(symbol.id)) return
    this.#modules.add(symbol.id)
    for (const one of this.#checker.getExportsOfModule(symbol)) {
      const target = hasFlag(one.flags, SymbolFlags.Alias) ? this.#checker.getAliasedSymbol(one) : one
      this.#exported(target, `${name}.${one.name}`)
    }
  }
}

/** The public modules with the files of their sources. `.` has the others as namespaces, and `LambdaPreload` has no exports. */
const modules = Object.entries(manifest.exports).flatMap(([path, entry]) =>
  typeof entry === "string" || [".", "./LambdaPreload"].includes(path)
    ? []
    : [[path.slice(2), entry.types.replace("./dist", "src").replace(/\.d\.ts$/, ".ts")] as const]
)

/** Every shape of the public modules. */
export const publicShapes = (): ReadonlyArray<Shape> => {
  const api = new API({ cwd: root })
  try {
    const snapshot = api.updateSnapshot({ openProject: Path.join(root, "tsconfig.build.json") })
    const [project] = snapshot.getProjects()
    if (project === undefined) throw new Error("the compiler has no project")
    const collector = new Collector(project.checker)
    for (const [name, path] of modules) {
      const file = project.program.getSourceFile(Path.join(root, path))
      const symbol = file === undefined ? undefined : project.checker.getSymbolAtLocation(file)
      if (symbol === undefined) throw new Error(`the compiler has no ${path}`)
      collector.module(symbol, name)
    }
    return Array.from(collector.shapes, ([declared, { members, takenBy }]) => ({
      declared,
      exportedAs: collector.names.get(declared) ?? [],
      members: [...members],
      takenBy: [...takenBy]
    }))
  } finally {
    api.close()
  }
}
