/**
 * README.md names options of other packages beside those of this one. Both must exist, in the versions that are installed here. It and
 * modules.md say which modules are no namespaces of the package. Its figures are those of the tests and of performance.md.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Barrel from "effect-sluice"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as Fs from "node:fs"
import * as Path from "node:path"
import runtimes from "./runtimes/package.json" with { type: "json" }
import { tablesOf } from "./support/Documents.ts"
import * as Figures from "./support/Figures.ts"
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

describe("the figures in README.md", () => {
  const readme = text("README.md").replaceAll(/\s+/g, " ")

  /** What the first match of a pattern has in its groups. */
  const found = (pattern: RegExp): ReadonlyArray<string> => {
    const [, ...groups] = pattern.exec(readme) ?? assert.fail(`README.md has nothing like ${pattern}`)
    return groups
  }

  const numbers = (pattern: RegExp): ReadonlyArray<number> => found(pattern).map((one) => Number(one.replace(" ", "")))

  it("are those of the tests to which it leads", () => {
    assert.deepStrictEqual(numbers(/is interrupted some (\d+ \d+) times/), [Figures.interruptions])
    const { connects, descriptors } = Figures.burst
    assert.deepStrictEqual(numbers(/Of (\d+) dials in one tick under `ulimit -n (\d+)`/), [connects, descriptors])
    const { instances, sessions } = Figures.fleet
    assert.deepStrictEqual(numbers(/(\d+) instances of a function use (\d+) sessions/), [instances, sessions])
    assert.strictEqual(Figures.churn, 1000)
    found(/while a thousand connections are evicted/)
  })

  it("of the fleet are in fleets.md as well", () => {
    const page = text("docs/how-to/fleets.md")
    const shown = [/ twice, with (\d+) slots/, /\| (\d+) instances, a process each/, /\| with a budget of (\d+) /]
    const { instances, sessions } = Figures.fleet
    assert.deepStrictEqual(shown.map((pattern) => Number(pattern.exec(page)?.[1])), [sessions, instances, sessions])
  })

  it("of a borrow are those of the table in performance.md", () => {
    const heading = "## Borrow and return, each pool with an acquire timeout of 30 s"
    const [table] = tablesOf("docs/reference/performance.md", "pool", heading)
    const nanoseconds = (name: string): ReadonlyArray<number> =>
      (table?.rows.find(([first]) => first === name) ?? []).slice(1).map((cell) => Number(/^\d+/.exec(cell)?.[0]))
    const ofPromises = ["generic-pool", "lightning-pool", "pg-pool", "tarn"].map(nanoseconds)
    const compared = nanoseconds("effect-sluice").map((own, column) => {
      const fastest = Math.min(...ofPromises.map((times) => times[column] ?? Number.NaN))
      return { ratio: own / fastest, more: (own - fastest) / 1000 }
    })
    assert.lengthOf(compared, 3)
    const range = (values: ReadonlyArray<number>) =>
      [Math.min(...values), Math.max(...values)].map((value) => Number(value.toFixed(1)))
    assert.deepStrictEqual(
      numbers(/A borrow takes ([\d.]+) to ([\d.]+) times the time of the fastest pool of promises/),
      range(compared.map(({ ratio }) => ratio))
    )
    assert.deepStrictEqual(
      numbers(/, ([\d.]+) to ([\d.]+) microseconds more,/),
      range(compared.map(({ more }) => more))
    )
  })

  it("of the runtimes are the versions with which the tests run", () => {
    const { devDependencies, engines, peerDependencies } = JSON.parse(text("package.json"))
    const { dependencies: { bun, deno }, optionalDependencies } = runtimes
    const [minimum, newest] = ["node-minimum", "node-newest"] as const
    const versionOf = (alias: typeof minimum | typeof newest) => optionalDependencies[alias].split("@")[1]
    assert.deepStrictEqual(
      found(/CI runs Node ([\d.]+), (\d+) and ([\d.]+), Bun ([\d.]+), and Deno ([\d.]+) /),
      [versionOf(minimum), devDependencies.node.split(".")[0], versionOf(newest), bun, deno]
    )
    const [node, effect] = found(/Node ([\d.]+) or later, ESM, Effect ([\d.]+)\. CI/)
    assert.deepStrictEqual([`>=${node}`, `^${effect}.0`], [engines.node, peerDependencies.effect])
    assert.strictEqual(versionOf(minimum), `${node}.0`)
  })
})
