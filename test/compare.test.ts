/**
 * docs/compare.md: the versions are those that are installed, each system has its source, and the defaults of other pools are what
 * their code says.
 */
import { assert, describe, it } from "@effect/vitest"
import GenericPool from "generic-pool"
import { Pool as LightningPool } from "lightning-pool"
import * as Fs from "node:fs"
import * as Path from "node:path"
import PgPool from "pg-pool"
import { Pool as TarnPool } from "tarn"
import manifest from "../package.json" with { type: "json" }

const root = Path.resolve(import.meta.dirname, "..")
const page = Fs.readFileSync(Path.join(root, "docs/compare.md"), "utf8")
const [comparison = "", sources = ""] = page.split("\n## Sources\n")

type Row = ReadonlyArray<string>

const rowsOf = (text: string): ReadonlyArray<Row> =>
  text.split("\n").filter((line) => line.startsWith("|")).map((line) =>
    line.split("|").slice(1, -1).map((cell) => cell.trim())
  )

const heads = rowsOf(comparison).filter(([first]) => first === "question")
const sourceRows = rowsOf(sources).slice(2)
const installed: ReadonlyMap<string, string> = new Map(Object.entries(manifest.devDependencies))

/** What the page says of a pool. */
const cellOf = (question: string, pool: string): string => {
  const [, section = ""] = comparison.split("\n## Pools for Node\n")
  const [head = [], , ...rows] = rowsOf(section.split("\n## ")[0] ?? "")
  const row = rows.find(([first]) => first === question)
  return row?.[head.findIndex((cell) => cell.includes(pool))] ?? ""
}

describe("docs/compare.md", () => {
  it("names the installed version of each npm package", () => {
    const ofPackages = sourceRows.filter(([name = ""]) => installed.has(name))
    assert.isAtLeast(ofPackages.length, 9)
    for (const [name = "", version] of ofPackages) assert.strictEqual(version, installed.get(name), name)
  })

  it("names files of these packages that there are", () => {
    for (const [name = "", , files = ""] of sourceRows.filter(([first = ""]) => installed.has(first))) {
      for (const [, file = ""] of files.matchAll(/`([^`]+)`/g)) {
        const places = [file, Path.join("src", file)].map((path) => Path.join(root, "node_modules", name, path))
        assert.isTrue(places.some((path) => Fs.existsSync(path)), `${name}: ${file}`)
      }
    }
  })

  it("says above the table of other platforms of which date each version is", () => {
    const [, section = ""] = comparison.split("\n## Pools of other platforms\n")
    const [above = ""] = section.replaceAll(/\s+/g, " ").split(" | question")
    const [head = []] = rowsOf(section)
    const dated = sourceRows.filter(([name = ""]) => head.some((cell) => cell.startsWith(`${name} `)))
    assert.lengthOf(dated, head.length - 2)
    for (const [name = "", version = ""] of dated) {
      const [, number = "", date = ""] = /^([\d.]+).* of (\d{4}-\d\d-\d\d)/.exec(version) ?? []
      assert.include(above, `${name} ${number} of ${date}`)
    }
  })

  it("has a source for each system of its tables, of the same version", () => {
    assert.strictEqual(heads.length, 4)
    for (const cell of heads.flatMap((head) => head.slice(2))) {
      const [, name, version = ""] = /([@\w/-]+)(?: ([\d.]+))?\)?$/.exec(cell) ?? []
      const source = sourceRows.find(([first]) => first === name)
      assert.isTrue(source?.[1]?.startsWith(version) ?? false, cell)
    }
  })

  it("has a link for each source: the repository that the package names, or the commit that was read", () => {
    assert.isAtLeast(sourceRows.length, 14)
    for (const [name = "", version = "", , link = ""] of sourceRows) {
      const addresses = Array.from(link.matchAll(/\]\((https:[^)]+)\)/g), ([, address = ""]) => address)
      assert.isAtLeast(addresses.length, 1, name)
      if (installed.has(name)) {
        const { repository } = JSON.parse(
          Fs.readFileSync(Path.join(root, "node_modules", name, "package.json"), "utf8")
        )
        const said: string = typeof repository === "string" ? repository : repository.url
        const [, path] = /([\w.-]+\/[\w.-]+?)(?:\.git)?$/.exec(said) ?? []
        assert.deepStrictEqual(addresses, [`https://github.com/${path}`], name)
      } else {
        const commits = Array.from(version.matchAll(/`([0-9a-f]{8})`/g), ([, commit = ""]) => commit)
        assert.isAtLeast(commits.length, 1, name)
        assert.deepStrictEqual(addresses.map((address) => address.slice(-8)), commits, name)
      }
    }
  })

  it("names no version of a system that is not in the sources", () => {
    const versions = sourceRows.map(([, version = ""]) => version).join(" ")
    const named = Array.from(comparison.matchAll(/(?<![\d.])\d+\.\d+\.\d+(?![\d.])/g), ([version]) => version)
    assert.isAtLeast(named.length, 10)
    assert.deepStrictEqual([...new Set(named)].filter((version) => !versions.includes(version)), [])
  })

  it("has no cell that is empty, and as many cells in each row as in the head of its table", () => {
    for (const section of page.split("\n## ")) {
      const [head, ...rows] = rowsOf(section)
      for (const row of rows) {
        assert.strictEqual(row.length, head?.length, row[0])
        assert.notInclude([...row], "", row[0])
      }
    }
  })
})

describe("the defaults of other pools in docs/compare.md", () => {
  const limit = "What limits the number of connections?"
  const wait = "How long does a borrower wait?"
  const idle = "When is an idle connection closed?"
  const seconds = (milliseconds: number | undefined): string => `${(milliseconds ?? 0) / 1000} s`
  const none = { create: () => Promise.resolve({}), destroy: () => Promise.resolve() }

  it("are those of pg-pool", () => {
    const pool: unknown = Reflect.construct(PgPool, [{}])
    assert.nestedInclude(pool, { "options.max": 10, "options.idleTimeoutMillis": 10_000 })
    assert.notNestedProperty(pool, "options.connectionTimeoutMillis")
    assert.include(cellOf(limit, "pg-pool"), "(10)")
    assert.include(cellOf(wait, "pg-pool"), "(no end)")
    assert.include(cellOf(idle, "pg-pool"), "(10 s)")
  })

  it("are those of generic-pool", () => {
    const pool = GenericPool.createPool({ ...none, destroy: () => Promise.resolve() })
    const config: unknown = Reflect.get(pool, "_config")
    assert.deepInclude(config, { max: 1, idleTimeoutMillis: 30_000, evictionRunIntervalMillis: 0, testOnBorrow: false })
    assert.notProperty(config, "acquireTimeoutMillis")
    assert.include(cellOf(limit, "generic-pool"), "(1)")
    assert.include(cellOf(wait, "generic-pool"), "(no end)")
    assert.include(cellOf(idle, "generic-pool"), "30 s, only with `evictionRunIntervalMillis` (off)")
  })

  it("are those of tarn", () => {
    const pool = new TarnPool({ ...none, min: 0, max: 1 })
    assert.throws(() => new TarnPool({ ...none, min: 0, max: undefined as never }), /max/)
    assert.include(cellOf(wait, "tarn"), `(${seconds(Reflect.get(pool, "acquireTimeoutMillis"))})`)
    assert.include(cellOf(idle, "tarn"), `(${seconds(Reflect.get(pool, "idleTimeoutMillis"))})`)
    assert.strictEqual(Reflect.get(pool, "createRetryIntervalMillis"), 200)
  })

  it("are those of lightning-pool", () => {
    const { options } = new LightningPool(none)
    assert.include(cellOf(limit, "lightning-pool"), `(${options.max})`)
    assert.strictEqual(options.acquireTimeoutMillis, 0)
    assert.include(cellOf(wait, "lightning-pool"), "(no end)")
    assert.include(cellOf(idle, "lightning-pool"), `(${seconds(options.idleTimeoutMillis)})`)
    assert.include(cellOf("Can the queue be limited?", "lightning-pool"), `(${options.maxQueue})`)
  })
})
