/**
 * The tables of README.md and docs say what the code does: modules, options with their defaults, reasons of errors.
 */
import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"
import * as Barrel from "effect-sluice"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import type * as Http from "effect-sluice/Http"
import * as JsonRpcClient from "effect-sluice/JsonRpcClient"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import * as TcpConnection from "effect-sluice/TcpConnection"
import * as Fs from "node:fs"
import * as Path from "node:path"
import manifest from "../package.json" with { type: "json" }
import { NotReady } from "../src/Operations/Snapshot.ts"
import { settingsOf } from "../src/Pool/PoolOptions.ts"
import { column, defaultsIn, namesIn, plain, tablesOf, text, valuesIn } from "./support/Documents.ts"

describe("the modules", () => {
  const exported = Object.keys(manifest.exports).map((path) => path.replace("./", "")).filter((name) =>
    name !== "." && name !== "package.json"
  )

  it("are those of the table in README.md", () => {
    assert.sameMembers([...namesIn(tablesOf("README.md", "module"))], exported)
  })

  /** Entry points that need a driver or the code of tests, or that are for programs that serve HTTP. */
  const apart = [
    "Testing",
    "LambdaPreload",
    "OperationsHttp",
    ...Fs.globSync("src/Clients/*.ts").map((path) => Path.basename(path, ".ts"))
  ]

  it("are namespaces of the package, except Testing, LambdaPreload, OperationsHttp and the clients", () => {
    assert.sameMembers([...Object.keys(Barrel), ...apart], exported)
  })
})

type PoolOptions = ConnectionPool.Options<string, object, never, never>

/** The defaults of a pool as the code has them. A type that lacks an option does not compile. */
const poolDefaults = (): Record<keyof PoolOptions, unknown> => {
  const connector = Connector.fromPromise({
    create: (key: string) => ({ key }),
    connect: () => Promise.resolve(),
    destroy: () => {}
  })
  const { failsWhenUnavailable, isNamed: _, ...settings } = settingsOf({ connector })
  return {
    ...settings,
    // Both are in the policy that the dialer steps.
    retry: settingsOf({ connector, maxRedialDelay: "Infinity" }).retry,
    maxRedialDelay: settings.retry.maxDelay,
    whenUnavailable: failsWhenUnavailable ? "fail" : "wait",
    connector: undefined,
    endpoint: undefined,
    maxConnections: undefined,
    hooks: undefined
  }
}

const words: Record<string, ReadonlyArray<string>> = {
  Infinity: ["off", "unbounded", "Infinity", "\"Infinity\""],
  undefined: ["none", "none: required"]
}

/** Whether a cell says this default. What follows a comma says more about it. */
const says = (cell: string, value: unknown): boolean => {
  const shown = cell.split(", ")[0] ?? ""
  const plainValue = Duration.isDuration(value) ? Duration.toMillis(value) : value
  const others = words[String(plainValue)]
  if (others !== undefined) return others.includes(shown)
  if (typeof plainValue === "number" && /^[\d.]+ \w+$/.test(shown)) {
    return Duration.toMillis(Duration.fromInputUnsafe(shown as Duration.Input)) === plainValue
  }
  return shown === String(plainValue) || shown === JSON.stringify(plainValue)
}

const poolTables = {
  "README.md": tablesOf("README.md", "option", "## Options"),
  "docs/reference/pool.md": tablesOf("docs/reference/pool.md", "option", "## Options")
}

describe("the options of a pool", () => {
  for (const [page, tables] of Object.entries(poolTables)) {
    it(`are those of ${page}`, () => {
      assert.sameMembers([...namesIn(tables)], Object.keys(poolDefaults()))
    })

    it(`have the defaults of ${page}`, () => {
      const { retry, ...defaults } = poolDefaults()
      const cells = column(tables, "default")
      for (const [option, value] of Object.entries(defaults)) {
        assert.isTrue(says(cells.get(option) ?? "", value), `${option}: "${cells.get(option)}" is not ${String(value)}`)
      }
      assert.strictEqual(cells.get("retry"), "RetryPolicy.tcpConnection")
      assert.deepEqual(retry, RetryPolicy.make({ ...RetryPolicy.tcpConnection, idempotent: true }))
    })
  }

  it("have the defaults of their doc comments", () => {
    const { connector: _, retry: __, ...defaults } = poolDefaults()
    const documented = defaultsIn("src/Pool/PoolOptions.ts", "Options")
    for (const [option, value] of Object.entries(defaults)) {
      assert.isTrue(
        says(documented.get(option) ?? "", value),
        `${option}: "${documented.get(option)}" is not ${String(value)}`
      )
    }
  })

  it("have the values of the presets that docs/reference/pool.md lists", () => {
    const { defaults, highThroughput, lowLatency, serverless } = ConnectionPool
    const presets: Record<string, object> = { defaults, highThroughput, lowLatency, serverless }
    const [table] = tablesOf("docs/reference/pool.md", "preset", "## Options")
    assert.sameMembers((table?.rows ?? []).map(([name]) => plain(name)), Object.keys(presets))
    for (const [name, ...cells] of table?.rows ?? []) {
      const listed = cells.map((cell, index) => [table?.header[index + 1] ?? "", cell] as const).filter(([, cell]) =>
        cell !== ""
      )
      // The default of the minimum is 0, and is named only where a preset insists on it.
      const preset = Object.entries(presets[plain(name)] ?? {}).filter(([option]) => option !== "minPerEndpoint")
      assert.sameDeepMembers(
        listed.map(([option, cell]) => [option, cell]),
        preset.map(([option, value]) => [option, String(value)])
      )
    }
  })

  it("are the defaults that ConnectionPool.defaults repeats", () => {
    const defaults: Record<string, unknown> = poolDefaults()
    for (const [option, value] of Object.entries(ConnectionPool.defaults)) {
      assert.isTrue(says(String(value), defaults[option]), option)
    }
  })
})

const tcpOptions: Record<keyof TcpConnection.ConnectorOptions, true> = {
  connectTimeout: true,
  readTimeout: true,
  allowExitOnIdle: true,
  closeTimeout: true,
  noDelay: true,
  keepAlive: true,
  tls: true,
  lookup: true,
  refreshAddresses: true,
  answers: true
}

const jsonRpcOptions: Record<Exclude<keyof JsonRpcClient.Options, keyof TcpConnection.Options>, true> = {
  requestTimeout: true,
  maxRequestTimeout: true,
  maxLineBytes: true,
  notificationBuffer: true,
  mcp: true
}

const httpOptions: Record<keyof Http.Options, true> = {
  name: true,
  maxPerOrigin: true,
  maxTotal: true,
  connectTimeout: true,
  acquireTimeout: true,
  maxWaiters: true,
  keepAliveTimeout: true,
  idleTimeout: true,
  maxLifetime: true,
  unreadBody: true,
  leakThreshold: true,
  maxLease: true,
  retry: true,
  whenUnavailable: true,
  closeTimeout: true,
  drainTimeout: true,
  tls: true,
  lookup: true,
  refreshAddresses: true,
  endpoint: true,
  client: true
}

describe("the options of an HTTP client", () => {
  it("are those of docs/reference/clients/http.md", () => {
    assert.sameMembers([...namesIn(tablesOf("docs/reference/clients/http.md", "option"))], Object.keys(httpOptions))
  })
})

describe("the options of the server of operations", () => {
  it("are those of docs/reference/operations/http.md, with the defaults of their doc comments", () => {
    const settings = "src/Operations/internal/http/Settings.ts"
    const documented = new Map(
      ["ProbeOptions", "RouteOptions", "ServerOptions"].flatMap((name) => [...defaultsIn(settings, name)])
    )
    const cells = column(tablesOf("docs/reference/operations/http.md", "option"), "default")
    assert.deepStrictEqual(Object.fromEntries(cells), Object.fromEntries(documented))
  })
})

describe("the options of a TCP connection", () => {
  const tables = tablesOf("docs/reference/tcp.md", "option")
  const documented = new Map([
    ...defaultsIn("src/Resource/internal/tcp/DialOptions.ts", "Options"),
    ...defaultsIn("src/Resource/internal/tcp/DialOptions.ts", "ReuseOptions"),
    ...defaultsIn("src/Resource/TcpConnection.ts", "ConnectorOptions")
  ])

  it("are those of docs/reference/tcp.md, with the defaults of their doc comments", () => {
    assert.sameMembers([...namesIn(tables)], Object.keys(tcpOptions))
    assert.deepStrictEqual(Object.fromEntries(column(tables, "default")), Object.fromEntries(documented))
  })
})

describe("the options of a JSON-RPC client", () => {
  it("are those of docs/reference/json-rpc.md, with the defaults of their doc comments", () => {
    const tables = tablesOf("docs/reference/json-rpc.md", "option", "## Options").slice(0, 1)
    const documented = defaultsIn("src/Resource/JsonRpcClient.ts", "Options")
    assert.sameMembers([...namesIn(tables)], Object.keys(jsonRpcOptions))
    assert.deepStrictEqual(Object.fromEntries(column(tables, "default")), Object.fromEntries(documented))
  })
})

describe("the options of a MySQL client", () => {
  it("are those of docs/reference/clients/mysql.md, with the defaults of their doc comments", () => {
    const tables = tablesOf("docs/reference/clients/mysql.md", "option")
    const documented = defaultsIn("src/Clients/internal/mysql/Options.ts", "Options")
    assert.deepStrictEqual(Object.fromEntries(column(tables, "default")), Object.fromEntries(documented))
  })
})

type Interface = readonly [file: string, name: string]

/** Pages that say a default in their own words, with the interfaces whose doc comments have it. */
const worded: ReadonlyArray<
  { readonly page: string; readonly heading: string; readonly interfaces: ReadonlyArray<Interface> }
> = [
  { page: "docs/reference/clients/http.md", heading: "", interfaces: [["src/Clients/Http.ts", "Options"]] },
  {
    page: "docs/reference/clients/postgres.md",
    heading: "",
    interfaces: [["src/Clients/internal/postgres/Options.ts", "Options"]]
  },
  {
    page: "docs/reference/clients/redis.md",
    heading: "",
    interfaces: [
      ["src/Clients/internal/redis/Settings.ts", "Options"],
      ["src/Clients/internal/redis/Settings.ts", "DialOptions"]
    ]
  },
  {
    page: "docs/reference/clients/redis-budget.md",
    heading: "",
    interfaces: [["src/Clients/internal/redisbudget/Options.ts", "Options"]]
  },
  {
    page: "docs/how-to/exit.md",
    heading: "",
    interfaces: [["src/Serverless/Main.ts", "LayerOptions"], ["src/Serverless/Main.ts", "Options"]]
  },
  { page: "docs/how-to/serverless.md", heading: "## Options", interfaces: [["src/Serverless/Lambda.ts", "Options"]] },
  { page: "docs/how-to/serverless.md", heading: "## Vercel", interfaces: [["src/Serverless/Vercel.ts", "Options"]] },
  {
    page: "docs/how-to/serverless.md",
    heading: "## Cloud Run",
    interfaces: [["src/Serverless/CloudRun.ts", "AttachOptions"], ["src/Serverless/CloudRun.ts", "Options"]]
  },
  { page: "docs/how-to/serverless.md", heading: "## Edge", interfaces: [["src/Serverless/Edge.ts", "Options"]] }
]

describe("the defaults of options", () => {
  it.each(worded)("in $page $heading have the values of their doc comments", ({ heading, interfaces, page }) => {
    const cells = column(tablesOf(page, "option", heading), "default")
    const documented = new Map(interfaces.flatMap(([file, name]) => [...defaultsIn(file, name)]))
    const compared = [...cells].flatMap(([option, cell]) => {
      const values = valuesIn(documented.get(option) ?? "")
      if (values.length === 0) return []
      // A doc comment may add a reason with further numbers.
      const said = valuesIn(cell)
      return [[option, said, values.slice(0, Math.max(1, said.length))] as const]
    })
    assert.isAtLeast(compared.length, 2, "options with a value")
    for (const [option, said, values] of compared) assert.deepStrictEqual(said, values, option)
  })
})

/** The defaults of a policy as the code has them. A type that lacks an option does not compile. */
const retryDefaults: Record<keyof RetryPolicy.Options, unknown> = RetryPolicy.make({})

describe("the options of a retry policy", () => {
  it("are those of docs/reference/retry.md, with their defaults", () => {
    const tables = tablesOf("docs/reference/retry.md", "option", "## Options").slice(0, 1)
    const cells = column(tables, "default")
    const defaults = Object.entries(retryDefaults).filter(([name]) => name !== RetryPolicy.TypeId)
    assert.sameMembers([...namesIn(tables)], defaults.map(([name]) => name))
    for (const [option, value] of defaults) {
      assert.isTrue(says(cells.get(option) ?? "", value), `${option}: "${cells.get(option)}" is not ${String(value)}`)
    }
  })

  it("have the values of the presets that docs/reference/retry.md lists", () => {
    const { mcpOperations, network, standard, tcpConnection, websocket } = RetryPolicy
    const presets: Record<string, RetryPolicy.RetryPolicy> = {
      standard,
      network,
      tcpConnection,
      websocket,
      mcpOperations
    }
    const [table] = tablesOf("docs/reference/retry.md", "preset")
    assert.sameMembers((table?.rows ?? []).map(([name]) => plain(name)), Object.keys(presets))
    for (const [name, values] of table?.rows ?? []) {
      const { factor, initialDelay, jitter, maxAttempts, maxDelay } = presets[plain(name)] ?? standard
      const seconds = `${Duration.toSeconds(maxDelay)} s`
      assert.strictEqual(
        values,
        [maxAttempts, `${Duration.toMillis(initialDelay)} ms`, seconds, factor, jitter].join(", ")
      )
    }
  })
})

/** The classes of errors that a module exports, without its wrapper and what is no reason of it. */
const reasonsOf = (module: object, ...others: ReadonlyArray<string>): ReadonlyArray<string> =>
  Object.entries(module)
    .filter(([, value]) => typeof value === "function" && value.prototype instanceof Error)
    .map(([name]) => name)
    .filter((name) => name !== "InvalidOption" && !others.includes(name))

const failuresOfOpening = ["ConnectTimeout", "ConnectionDied", "NotReady"]

const poolReasons: Record<ConnectionPool.PoolErrorReason["_tag"], true> = {
  AcquireTimeout: true,
  QueueFull: true,
  EndpointUnavailable: true,
  PoolClosed: true,
  PoolSuspended: true,
  NestedAcquire: true,
  LeaseExpired: true,
  ConnectFailed: true
}

const retryReasons: Record<RetryPolicy.RetryErrorReason["_tag"], true> = {
  AttemptsExhausted: true,
  NotRetryable: true,
  BudgetExhausted: true,
  DeadlineExceeded: true,
  ResourceExhausted: true,
  CircuitOpen: true
}

const stalls: Record<ConnectionPool.StalledBy, true> = {
  EndpointCap: true,
  TotalCap: true,
  Connecting: true,
  Gate: true,
  Budget: true,
  Checking: true,
  Suspended: true,
  LeftBehind: true
}

describe("the reasons of errors", () => {
  const ofPool = reasonsOf(ConnectionPool, "PoolError", ...failuresOfOpening)

  it("of a pool are those of README.md and docs/reference/pool.md", () => {
    const [inReadme] = tablesOf("README.md", "reason")
    const [inGuide] = tablesOf("docs/reference/pool.md", "reason")
    assert.sameMembers([...ofPool], Object.keys(poolReasons))
    for (const table of [inReadme, inGuide]) {
      assert.sameMembers((table?.rows ?? []).map(([name]) => plain(name)), [...ofPool])
    }
    assert.sameMembers([...namesIn(tablesOf("docs/reference/pool.md", "failure"))], failuresOfOpening)
    assert.sameMembers([...namesIn(tablesOf("docs/reference/pool.md", "stalledBy"))], Object.keys(stalls))
  })

  it("of a program that is not ready are those of docs/reference/operations/readiness.md", () => {
    const inGuide = [...namesIn(tablesOf("docs/reference/operations/readiness.md", "reason"))]
    assert.sameMembers(inGuide, [...NotReady.fields.reason.literals])
  })

  it("of a retry are those of README.md and docs/reference/retry.md", () => {
    const [, inReadme] = tablesOf("README.md", "reason")
    const [inGuide] = tablesOf("docs/reference/retry.md", "reason")
    for (const table of [inReadme, inGuide]) {
      assert.sameMembers((table?.rows ?? []).map(([name]) => plain(name)), Object.keys(retryReasons))
    }
    assert.sameMembers([...reasonsOf(RetryPolicy, "RetryError")], Object.keys(retryReasons))
  })

  it("of a TCP connection are those of docs/reference/tcp.md", () => {
    assert.sameMembers([...namesIn(tablesOf("docs/reference/tcp.md", "reason"))], [
      ...reasonsOf(TcpConnection, "TcpConnectionError")
    ])
  })

  it("of a JSON-RPC client are those of docs/reference/json-rpc.md", () => {
    const listed = namesIn(tablesOf("docs/reference/json-rpc.md", "reason"))
    // It is the cause of another one, and named in that one's row.
    assert.sameMembers([...listed, "UnsupportedVersion"], [...reasonsOf(JsonRpcClient, "JsonRpcError")])
  })
})

const pages = [
  "README.md",
  "CONTRIBUTING.md",
  "SECURITY.md",
  ".changeset/README.md",
  "CHANGELOG.md",
  ...Fs.globSync("{docs,examples}/**/*.md", { cwd: Path.resolve(import.meta.dirname, "..") })
]

/** The anchor of a heading, as GitHub makes it. */
const anchorOf = (heading: string): string =>
  heading.replace(/^#+ /, "").toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-")

const anchorsOf = (page: string): ReadonlyArray<string> =>
  text(page).split("\n").filter((line) => /^#+ /.test(line)).map(anchorOf)

describe("the links", () => {
  it.each(pages)("of %s lead to files and headings that there are", (page) => {
    const links = Array.from(
      text(page).matchAll(/\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)/gm),
      ([, inline, named]) => inline ?? named ?? ""
    )
    for (const link of links.filter((link) => !link.includes("://"))) {
      const [path = "", anchor] = link.split("#")
      const target = path === "" ? page : Path.join(Path.dirname(page), path)
      assert.isTrue(Fs.existsSync(Path.resolve(import.meta.dirname, "..", target)), link)
      if (anchor !== undefined) assert.include(anchorsOf(target), anchor, link)
    }
  })
})
