/**
 * README.md names options of other packages beside those of this one. Both must exist, in the versions that are installed here. It and
 * modules.md say which modules are no namespaces of the package.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Barrel from "effect-sluice"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { describeWith } from "./support/LiveServers.ts"
import * as ReadmeProgram from "./support/ReadmeProgram.ts"

const text = (name: string): string => Fs.readFileSync(Path.resolve(import.meta.dirname, "..", name), "utf8")

const rows = text("README.md").split("\n").filter((line) => line.startsWith("|")).map((line) =>
  line.split("|").slice(1, -1).map((cell) => cell.trim())
)
const header = rows.findIndex(([first]) => first === "coming from")
const linked = rows.slice(header + 2, header + 2 + 6)
const table = linked.map(([first = "", ...cells]) => [/^\[(.*)\]/.exec(first)?.[1] ?? first, ...cells])

/** Where the other package declares its options. HikariCP is not on npm, so that its options are not looked up. */
const sources: Record<string, ReadonlyArray<string>> = {
  "`pg.Pool`": ["node_modules/pg-pool/index.js"],
  "generic-pool": ["node_modules/generic-pool/lib/PoolOptions.js"],
  "Effect's Pool": ["node_modules/effect/src/Pool.ts"],
  ioredis: ["node_modules/ioredis/built/redis/RedisOptions.d.ts"],
  undici: ["node_modules/undici/types/client.d.ts", "node_modules/undici/types/pool.d.ts"],
  HikariCP: []
}

/** The pairs of a cell: `theirs`: `ours`. */
const pairsOf = (cell = ""): ReadonlyArray<readonly [theirs: string, ours: string]> =>
  Array.from(cell.matchAll(/`(\w+)`: `(\w+)`/g), ([, theirs = "", ours = ""]) => [theirs, ours])

const declares = (name: string, option: string): boolean => new RegExp(`\\b${option}\\b`).test(text(name))

describe("the ways from other packages in README.md", () => {
  it("are those of the packages that people come from", () => {
    assert.deepStrictEqual(table.map(([from]) => from), Object.keys(sources))
  })

  it("lead to each page of docs/move", () => {
    const pages = Fs.readdirSync(Path.resolve(import.meta.dirname, "../docs/move")).map((name) => `docs/move/${name}`)
    const links = Array.from(text("README.md").matchAll(/\]\((docs\/move\/[\w-]+\.md)\)/g), ([, link]) => link)
    assert.sameMembers([...new Set(links)], pages)
  })

  it.each(table)(
    "from %s name modules of this package, and options that there are on both sides",
    (from = "", ...cells) => {
      const [modules = "", options = ""] = cells
      const exports = Object.keys(JSON.parse(text("package.json")).exports)
      for (const [, module = ""] of modules.matchAll(/`(\w+)`/g)) assert.include(exports, `./${module}`)
      const reports = ["ConnectionPool", ...(modules.includes("Http") ? ["Http"] : [])].map((name) =>
        text(`api/${name}.api.md`)
      )
      const pairs = pairsOf(options)
      assert.isNotEmpty(pairs)
      for (const [theirs, ours] of pairs) {
        assert.isTrue(reports.some((report) => new RegExp(`readonly ${ours}\\??:`).test(report)), ours)
        const files = sources[from] ?? []
        assert.isTrue(files.length === 0 || files.some((file) => declares(file, theirs)), `${from} has no ${theirs}`)
      }
    }
  )
})

/** The names in this part of a page, after a slash or without one. */
const namesOf = (page: string, part: RegExp): ReadonlyArray<string> => {
  const [, found = ""] = part.exec(text(page)) ?? []
  return Array.from(found.matchAll(/`(?:effect-sluice)?\/?(\w+)`/g), ([, name = ""]) => name)
}

describe("the modules that are no namespaces of the package", () => {
  const exported = Object.keys(JSON.parse(text("package.json")).exports).map((path) => path.replace("./", ""))
  const apart = exported.filter((name) => name !== "." && name !== "package.json" && !Object.hasOwn(Barrel, name))

  it("are those that README.md names, and the clients", () => {
    const clients = Fs.globSync("src/Clients/*.ts").map((path) => Path.basename(path, ".ts"))
    const named = namesOf("README.md", /is a namespace of `effect-sluice`, except ([^.]*)and\s+the\s+\[clients\]/)
    assert.sameMembers([...named, ...clients], apart)
  })

  it("are those that modules.md lists", () => {
    assert.sameMembers([...namesOf("docs/start/modules.md", /These have only a path,[^:]*: ([^.]*)\./)], apart)
  })
})

const withPostgres = await describeWith("PostgreSQL")

withPostgres("the first example of README.md", () => {
  it.live(
    "runs by the commands below it, gives the answer that is shown, and ends at SIGTERM",
    () =>
      Effect.gen(function*() {
        const [, url = "", file] = /^DATABASE_URL=(\S+) node (\S+)$/m.exec(text("README.md")) ?? []
        const [, path = "", answer] = /^curl localhost:3000(\S+) +# (.*)$/m.exec(text("README.md")) ?? []
        assert.strictEqual(file, "main.ts")
        const program = yield* ReadmeProgram.start({ DATABASE_URL: url })
        const given = yield* Effect.flatMap(HttpClient.get(program.url + path), (response) => response.text)
        assert.strictEqual(given, answer)
        assert.strictEqual(yield* program.end, 143)
      }).pipe(Effect.provide(FetchHttpClient.layer)),
    20_000
  )
})
