/**
 * The tables of variables in the documentation say what `Settings` reads, and the other way round.
 */
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect } from "effect"
import * as Settings from "effect-sluice/Settings"
import * as Fs from "node:fs"
import * as Path from "node:path"

const root = Path.resolve(import.meta.dirname, "../..")
const text = (name: string): string => Fs.readFileSync(Path.join(root, name), "utf8")

const texts: ReadonlyArray<readonly [name: string, text: string]> = [
  "README.md",
  "CHANGELOG.md",
  ...Fs.globSync("docs/**/*.md", { cwd: root }),
  ...Fs.globSync("src/**/*.ts", { cwd: root })
].map((name) => [name, text(name)])

const readWith = (environment: Record<string, string>) => Settings.config.parse(ConfigProvider.fromUnknown(environment))

/** The names of the variables that `Settings.config` asks for. */
const variables: Effect.Effect<ReadonlyArray<string>> = Effect.suspend(() => {
  const asked = new Set<string>()
  const recording = ConfigProvider.make((path) =>
    Effect.sync(() => {
      asked.add(path.join("."))
      return undefined
    })
  )
  return Effect.as(Effect.orDie(Settings.config.parse(recording)), asked).pipe(Effect.map((names) => [...names]))
})

const codes = (cell: string): ReadonlyArray<string> => Array.from(cell.matchAll(/`([^`]+)`/g), ([, code = ""]) => code)

/** A default as the tables show it: the last part in backticks, or the first number. */
const defaultIn = (part: string): string => codes(part)[0] ?? /\d[\d.]*/.exec(part)?.[0] ?? ""

/** The variables of a table, with their defaults. A row may have more than one of both. */
const tableIn = (page: string, rows: RegExp): ReadonlyArray<readonly [variable: string, byDefault: string]> =>
  Array.from(page.matchAll(rows), ([line]) => {
    const cells = line.split("|").slice(1, -1).map((cell) => cell.trim())
    const names = codes(cells[0] ?? "")
    const parts = names.length === 1 ? [cells.at(-1) ?? ""] : (cells.at(-1) ?? "").split(", ")
    return names.map((name, i) => [name, defaultIn(parts[i] ?? "")] as const)
  }).flat()

const [settingsPage = "", otherVariables = ""] = text("docs/reference/environment.md").split("\n## Other variables\n")

const tables = {
  "docs/reference/environment.md": tableIn(settingsPage, /^\| `[A-Z].*\|$/gm),
  "the doc comment of Settings.config": tableIn(text("src/Settings/Settings.ts"), /\| `[A-Z].*\|$/gm)
}

describe("the variables that Settings reads", () => {
  for (const [where, table] of Object.entries(tables)) {
    it.effect(`are those of the table in ${where}`, () =>
      Effect.gen(function*() {
        assert.sameMembers(table.map(([name]) => name), [...(yield* variables)])
      }))

    it.effect(`have the defaults that the table in ${where} names`, () =>
      Effect.gen(function*() {
        const values = yield* readWith({})
        for (const [name, byDefault] of table) {
          assert.notStrictEqual(byDefault, "", name)
          assert.deepStrictEqual(yield* readWith({ [name]: byDefault }), values, `${name}=${byDefault}`)
          const other = /^\d/.test(byDefault) ? String(Number(byDefault) / 2) : `other.${byDefault}`
          const changed = yield* Effect.exit(readWith({ [name]: other }))
          assert.notDeepEqual(changed._tag === "Success" ? changed.value : changed, values, `${name}=${other}`)
        }
      }))
  }

  it.effect("are the only ones of their kind that any text mentions", () =>
    Effect.gen(function*() {
      const known = new Set(yield* variables)
      const kinds =
        /\b(?!ERR_)[A-Z]+(?:_[A-Z]+)*_(?:HOST|PORT|DESCRIPTORS|THRESHOLD|MB|CONNECTIONS|SECS|MS|ATTEMPTS|MULTIPLIER|FACTOR|PER_ENDPOINT)\b/g
      const unknown = texts.flatMap(([name, text]) =>
        (text.match(kinds) ?? []).filter((word) => !known.has(word)).map((word) => `${name}: ${word}`)
      )
      assert.deepStrictEqual(unknown, [])
    }))

  it("are described with members of Settings that exist", () => {
    const names = texts.filter(([name]) => name.endsWith(".md")).flatMap(([name, text]) =>
      Array.from(text.matchAll(/\bSettings\.(?!ts\b)([a-zA-Z]+)/g), ([, member = ""]) => `${name}: ${member}`)
    )
    assert.isAbove(names.length, 3)
    for (const name of names) assert.property(Settings, name.split(": ")[1] ?? "", name)
  })
})

/** The variables that code outside of `Settings` reads, by the ways in which it does. Comments are left out. */
const readElsewhere = (): ReadonlyArray<string> => {
  const sources = Fs.globSync("src/**/*.ts", { cwd: root }).filter((name) => !name.startsWith("src/Settings/"))
  const ways = [
    /process\.env\["(\w+)"\]/gi,
    /\bConfig\.[A-Z]\w*\("(\w+)"\)/g,
    /\bisSet\("(\w+)"\)/g,
    /^const lambdaMemory = "(\w+)"$/gm
  ]
  const found = sources.flatMap((name) => {
    const code = text(name).replaceAll(/\/\*\*[\s\S]*?\*\//g, "")
    const [, taken = ""] = /const \{ ([\w, ]+) \} = process\.env/.exec(code) ?? []
    return [
      ...ways.flatMap((way) => Array.from(code.matchAll(way), ([, variable = ""]) => variable)),
      ...taken.split(", ").filter((variable) => variable !== "")
    ]
  })
  return [...new Set(found)]
}

/** The places that read variables. Another one needs a way of its own above. */
const readers = [
  "src/Clients/internal/postgres/Options.ts",
  "src/Monitor/readings/Procfs.ts",
  "src/Serverless/internal/AttachedInstance.ts",
  "src/Serverless/internal/LambdaExtension.ts"
]

describe("the other variables that the library reads", () => {
  it("are those of the table in docs/reference/environment.md", () => {
    const listed = Array.from(otherVariables.matchAll(/^\| (`[^|]*) \|/gm), ([, cell = ""]) => codes(cell)).flat()
    assert.sameMembers(listed, [...readElsewhere()])
  })

  it("are read in these files alone", () => {
    const sources = Fs.globSync("src/**/*.ts", { cwd: root })
    const code = (name: string) => text(name).replaceAll(/\/\*\*[\s\S]*?\*\//g, "")
    assert.sameMembers(sources.filter((name) => /\b[Pp]rocess\.env\b/.test(code(name))), readers)
  })
})
