/**
 * The pages of docs/move list the options that the other packages have, as they are installed, and name options of this library that
 * there are.
 */
import { assert, describe, it } from "@effect/vitest"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Fs from "node:fs"
import * as Path from "node:path"

const root = Path.resolve(import.meta.dirname, "..")
const text = (name: string): string => Fs.readFileSync(Path.join(root, name), "utf8")

const codes = (cell: string): ReadonlyArray<string> => Array.from(cell.matchAll(/`([^`]+)`/g), ([, code = ""]) => code)

/** The rows of the first table under this heading, without the head. */
const rowsOf = (page: string, heading: string): ReadonlyArray<ReadonlyArray<string>> => {
  const [, after = ""] = text(page).split(`\n## ${heading}\n`)
  const [section = ""] = after.split("\n## ")
  return section.split("\n").filter((line) => line.startsWith("|")).slice(2).map((line) =>
    line.split("|").slice(1, -1).map((cell) => cell.trim())
  )
}

/** The options of another package: the names in the first column. Values such as `"usage"` are no names. */
const theirs = (page: string): ReadonlyArray<string> => [
  ...new Set(rowsOf(page, "Options").flatMap(([first = ""]) => codes(first).filter((code) => /^\w+$/.test(code))))
]

const namesIn = (source: string, pattern: RegExp): ReadonlyArray<string> => [
  ...new Set(Array.from(source.matchAll(pattern), ([, name = ""]) => name))
]

/** The members of an interface, by its text. Those of type `never` are refused by the package. */
const membersOf = (file: string, name: string): ReadonlyArray<string> => {
  const source = text(file)
  const from = source.search(new RegExp(`\\binterface ${name}\\b`))
  const body = source.slice(from, source.indexOf("\n  }", from) + 1 || undefined).split(/\n\}/)[0] ?? ""
  return namesIn(body.replaceAll(/\/\*\*[\s\S]*?\*\//g, ""), /^ +(?:readonly )?(\w+)\??(?:: (?!never)|\()/gm)
}

const packages = {
  "docs/move/generic-pool.md": namesIn(text("node_modules/generic-pool/lib/PoolDefaults.js"), /this\.(\w+) = /g),
  "docs/move/tarn.md": namesIn(
    text("node_modules/tarn/dist/Pool.js").split("allowedKeys = {")[1]?.split("}")[0] ?? "",
    /(\w+): true/g
  ),
  "docs/move/effect-pool.md": namesIn(
    text("node_modules/effect/src/Pool.ts").replaceAll(/\/\*\*[\s\S]*?\*\//g, "").split("\n").reduce(
      ([isIn, found], line) => {
        const begins = /^export const make\w* = .*\(options: \{$/.test(line)
        const goesOn = begins || (isIn && !line.startsWith("})"))
        return [goesOn, goesOn ? `${found}${line}\n` : found] as const
      },
      [false, ""] as readonly [boolean, string]
    )[1],
    /^ {2}readonly (\w+)\??:/gm
  ),
  "docs/move/sql-pg.md": ["PgClientConfig", "PgPoolConfig"].flatMap((name) =>
    membersOf("node_modules/@effect/sql-pg/src/PgClient.ts", name)
  ),
  "docs/move/undici.md": [
    ...new Set(
      ["client", "pool", "agent"].flatMap((name) => membersOf(`node_modules/undici/types/${name}.d.ts`, "Options"))
    )
  ]
}

/** What can be set in `HikariConfig`, by the names of its setters. It is no package of npm, so this is a copy. */
const hikariCP = {
  version: "6.0.0",
  options: [
    ...[
      "allowPoolSuspension",
      "autoCommit",
      "catalog",
      "connectionInitSql",
      "connectionTestQuery",
      "connectionTimeout"
    ],
    ...[
      "credentials",
      "dataSource",
      "dataSourceClassName",
      "dataSourceJNDI",
      "dataSourceProperties",
      "driverClassName"
    ],
    ...["exceptionOverride", "exceptionOverrideClassName", "healthCheckProperties", "healthCheckRegistry"],
    ...["idleTimeout", "initializationFailTimeout", "isolateInternalQueries", "jdbcUrl", "keepaliveTime"],
    ...["leakDetectionThreshold", "maxLifetime", "maximumPoolSize", "metricRegistry", "metricsTrackerFactory"],
    ...["minimumIdle", "password", "poolName", "readOnly", "registerMbeans", "scheduledExecutor", "schema"],
    ...["threadFactory", "transactionIsolation", "username", "validationTimeout"]
  ]
}

describe("the options of another package", () => {
  for (const [page, options] of Object.entries(packages)) {
    it(`are those of ${page}`, () => {
      assert.isAbove(options.length, 5)
      assert.sameMembers([...theirs(page)], [...options])
    })
  }

  it("are those of docs/move/ioredis.md", () => {
    const built = "node_modules/ioredis/built"
    const interfaces = [
      ["redis/RedisOptions", "CommonRedisOptions"],
      ["connectors/SentinelConnector/index", "SentinelConnectionOptions"],
      ["utils/Commander", "CommanderOptions"]
    ] as const
    // Those of `node:net`, which the type of the connector takes over, and its own.
    const ofConnector = ["host", "port", "family", "path", "tls", "disconnectTimeout"]
    const options = interfaces.flatMap(([file, name]) =>
      namesIn(text(`${built}/${file}.d.ts`).split(`interface ${name} `)[1]?.split("\n}")[0] ?? "", /^ {4}(\w+)\?: /gm)
    )
    assert.isAbove(options.length, 40)
    assert.sameMembers([...theirs("docs/move/ioredis.md")], [...new Set([...options, ...ofConnector])])
  })

  it("are those of docs/move/pg-pool.md", () => {
    const read = namesIn(text("node_modules/pg-pool/index.js"), /options\.(\w+)/g)
    const typed = membersOf("node_modules/@types/pg/index.d.ts", "PoolConfig")
    // An old name of `max`, and an option of a client.
    const others = ["poolSize", "ssl"]
    // Options of a client that name the server, which the key of a borrow does here, and an event.
    const more = ["host", "port", "connectionString", "connect"]
    const options = new Set([...typed, ...read.filter((name) => !others.includes(name)), ...more])
    assert.sameMembers([...theirs("docs/move/pg-pool.md")], [...options])
  })

  it("are those of docs/move/hikaricp.md, which names this version", () => {
    const page = "docs/move/hikaricp.md"
    assert.include(text(page), `version ${hikariCP.version}`)
    assert.include(text("docs/compare.md"), `HikariCP ${hikariCP.version}`)
    assert.sameMembers([...theirs(page)], [...hikariCP.options])
  })
})

/** What the reference names in the first column of a table, and the members of a pool. */
const ours = new Set([
  ...Fs.globSync("docs/reference/**/*.md", { cwd: root }).flatMap((page) =>
    text(page).split("\n").filter((line) => line.startsWith("| `")).flatMap((line) => codes(line.split("|")[1] ?? ""))
  ),
  ...Object.keys(ConnectionPool),
  ...["types", "ssl", "applicationName", "startupParameters", "startupOptions", "multiplexConcurrency"]
])

/** Words in code that are no options: parts of a connector, of a request or of a name. */
const parts = [
  ...["open", "check", "closed", "isReusable", "create", "connect", "close", "destroy", "afterOpen", "password"],
  ...["total", "active", "idle", "waiting", "connecting", "search_path", "withConnection", "path"]
]

describe("the options of this library", () => {
  const pages = Fs.globSync("docs/move/*.md", { cwd: root })

  it.each(pages)("that %s names are in the reference", (page) => {
    const named = rowsOf(page, "Options").flatMap(([, ...cells]) => cells.flatMap(codes))
    const options = named.filter((code) => /^[a-z]\w+$/.test(code))
    assert.isAbove(options.length, 4)
    assert.deepStrictEqual(options.filter((name) => !ours.has(name) && !parts.includes(name)), [])
  })
})

describe("each page of docs/move", () => {
  it.each(Fs.readdirSync(Path.join(root, "docs/move")))(
    "%s shows a program before, and one after that runs",
    (page) => {
      const [, language, after] =
        /\n```(\w+).*\n[\s\S]*?\n```\n[\s\S]*?\n```ts ?(.*)\n/.exec(text(`docs/move/${page}`)) ?? []
      assert.strictEqual(language, page === "hikaricp.md" ? "java" : "ts")
      assert.notStrictEqual(after, undefined)
      assert.notStrictEqual(after, "no-run")
    }
  )
})
