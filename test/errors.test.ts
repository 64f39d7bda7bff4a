/**
 * docs/reference/errors.md lists every class of error that a module exports, with the modules and with what `isRetryable` is.
 */
import { assert, describe, it } from "@effect/vitest"
import type * as ConnectionPool from "effect-sluice/ConnectionPool"
import type * as Failure from "effect-sluice/Failure"
import * as Fs from "node:fs"
import manifest from "../package.json" with { type: "json" }
import { noneClosed } from "../src/Pool/CloseReason.ts"
import { column, namesIn, plain, root, tablesOf, text } from "./support/Documents.ts"

const page = "docs/reference/errors.md"
const table = tablesOf(page, "error")

type ErrorClass = abstract new(...args: ReadonlyArray<never>) => Error

const isErrorClass = (value: unknown): value is ErrorClass =>
  typeof value === "function" && value.prototype instanceof Error

/** The classes of errors of a module, and of the modules in it. */
const errorsIn = (module: object): ReadonlyArray<ErrorClass> =>
  Object.values(module).flatMap((value: unknown) => {
    if (isErrorClass(value)) return [value]
    return typeof value === "object" && value !== null && Symbol.toStringTag in value ? errorsIn(value) : []
  })

/** The modules that have no side effects, with their source. */
const modules: ReadonlyArray<readonly [name: string, source: string]> = Object.entries(manifest.exports).flatMap(
  ([path, target]) => {
    const name = path.slice(2)
    if (typeof target === "string" || name === "" || name === "LambdaPreload") return []
    return [[name, `../${target.default.replace("./dist/", "src/").replace(/\.js$/, ".ts")}`] as const]
  }
)

/** Each class with the modules that export it, by its name. Classes of one name are in one entry. */
const exported = async () => {
  const found = new Map<string, { readonly modules: Set<string>; readonly types: Set<ErrorClass> }>()
  for (const [name, source] of modules) {
    const module: object = await import(source)
    for (const type of errorsIn(module)) {
      const known = found.get(type.name) ?? { modules: new Set(), types: new Set() }
      found.set(type.name, known)
      known.modules.add(name)
      known.types.add(type)
    }
  }
  return found
}

/** Whether the class decides by the fields of each error. */
const isComputed = (type: object | null): boolean =>
  type !== null && (Object.getOwnPropertyDescriptor(type, "isRetryable")?.get !== undefined ||
    isComputed(Object.getPrototypeOf(type)))

/** The public types, in which a class has the fields that each error is made with. */
const types = Fs.globSync("api/*.api.md", { cwd: root }).map(text).join("\n")

const isField = (name: string): boolean =>
  new RegExp(`declare class ${name} extends ${name}_base<\\{[^}]*readonly isRetryable`).test(types)

const retryableOf = (type: ErrorClass): string => {
  if (isComputed(type.prototype) || isField(type.name)) return "depends"
  const value: unknown = Reflect.get(Reflect.construct(type, [{}]), "isRetryable")
  return value === undefined ? "" : value === true ? "yes" : "no"
}

describe("the page of the errors", () => {
  it("lists those that modules export, and no others", async () => {
    const names = [...(await exported()).keys()]
    assert.isAbove(names.length, 45)
    assert.sameMembers([...namesIn(table)], names)
  })

  it("names the modules of each, and says whether it is retryable", async () => {
    const exporters = column(table, "exported by")
    const said = column(table, "isRetryable")
    for (const [name, { modules, types }] of await exported()) {
      if (name !== "InvalidOption") assert.sameMembers((exporters.get(name) ?? "").split(", "), [...modules], name)
      const values = new Set(Array.from(types, retryableOf))
      assert.strictEqual(said.get(name), values.size === 1 ? [...values][0] : "depends", name)
    }
  })
})

const classes: Record<Failure.FailureClass, true> = {
  Transient: true,
  RemoteSaturated: true,
  LocalExhausted: true,
  Ambiguous: true,
  Redirect: true,
  Fatal: true
}

const states: Record<ConnectionPool.Health, true> = { Healthy: true, Degraded: true, Unavailable: true }

describe("the reasons in other tables", () => {
  it("of failures are the classes of Failure", () => {
    const [table] = tablesOf("docs/reference/retry.md", "class", "## How errors are classed")
    assert.sameMembers((table?.rows ?? []).map(([name]) => plain(name)), Object.keys(classes))
  })

  it("of closed connections are those that metrics.md lists", () => {
    const [, list = ""] =
      /The reasons of closed connections: ([^.]*)\./.exec(text("docs/reference/operations/metrics.md")) ?? []
    assert.sameMembers(Array.from(list.matchAll(/`(\w+)`/g), ([, name]) => name), Object.keys(noneClosed()))
  })

  it("of refused requests are those of the server of operations", () => {
    const listed = tablesOf("docs/reference/operations/http.md", "status").flatMap(({ rows }) =>
      rows.flatMap(([, errors = ""]) => Array.from(errors.matchAll(/`(\w+)`/g), ([, name]) => name))
    )
    const source = Fs.globSync("src/Operations/internal/http/*.ts", { cwd: root }).map(text).join("\n")
    const answered = Array.from(source.matchAll(/\berror: "(\w+)"(?=,)/g), ([, name]) => name)
    assert.sameMembers([...new Set(listed)], [...new Set(answered)])
  })

  it("of exit statuses are those that the command sets", () => {
    const [statuses] = tablesOf("docs/reference/cli.md", "status")
    const listed = (statuses?.rows ?? []).flatMap(([status = ""]) => status.split(", ").map(Number))
    const source = Fs.globSync("src/Cli/**/*.ts", { cwd: root }).map(text).join("\n").replaceAll(
      /\/\*\*[\s\S]*?\*\//g,
      ""
    )
    const set = [
      ...source.matchAll(/exitCode = (\d+)/g),
      ...source.matchAll(/errorExitCode\]? ?(?:=|:) (\d+)/g),
      ...source.matchAll(/isInvalidCall\(exit\) \? (\d+)/g),
      ...source.matchAll(/SIG\w+: (\d+)/g)
    ].map(([, status]) => Number(status))
    assert.sameMembers(listed, [...new Set([0, ...set])])
  })

  it("of the health of an endpoint are named on the page of the pool", () => {
    for (const state of Object.keys(states)) assert.include(text("docs/reference/pool.md"), `\`${state}\``)
  })
})

/** Names of metrics, of their labels, of attributes of spans and of annotations of log lines. */
const attribute = /^(?:sluice|retry|db\.client\.connection)\.[a-z_.]+$/

describe("the names of metrics, attributes and annotations", () => {
  const sources = Fs.globSync("src/**/*.ts", { cwd: root }).map((file) =>
    text(file).replaceAll(/\/\*\*[\s\S]*?\*\//g, "")
  )
  const written = new Set(
    sources.flatMap((code) => Array.from(code.matchAll(/["'`]([a-z][a-z_.]+)["'`]/g), ([, name = ""]) => name)).filter((
      name
    ) => attribute.test(name))
  )
  const pages = Fs.globSync("docs/{reference,how-to}/**/*.md", { cwd: root }).map(text)
  const named = new Set(
    pages.flatMap((page) => Array.from(page.matchAll(/`([a-z][a-z_.]+)`/g), ([, name = ""]) => name)).filter((name) =>
      attribute.test(name)
    )
  )

  it("in the code are in the documentation", () => {
    assert.isAbove(written.size, 50)
    assert.deepStrictEqual([...written].filter((name) => !named.has(name)), [])
  })

  it("in the documentation are in the code", () => {
    // These are made of a part that their metrics share.
    const composed = ["attempts", "refusals", "attempt.duration", "delay", "gate.wait"].map((id) =>
      `sluice.retry.${id}`
    )
    assert.deepStrictEqual([...named].filter((name) => !written.has(name) && !composed.includes(name)), [])
  })
})
