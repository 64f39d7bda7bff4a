/**
 * Every interface of options that a module exports has a table in the documentation: with each option, no other one, and the defaults
 * that the code has.
 */
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import * as Connector from "effect-sluice/Connector"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { settingsOf } from "../src/Pool/PoolOptions.ts"
import { column, defaultsIn, root, type Table, tablesOf, text } from "./support/Documents.ts"
import { publicShapes, type Shape } from "./support/PublicTypes.ts"

/** Where the members of a shape that is no interface of options are documented. */
type DocumentedShape =
  /** A table whose first column has this title: its rows are the members, and those of `with`. */
  | {
    readonly page: string
    readonly title: string
    readonly heading?: string
    readonly with?: ReadonlyArray<string>
    /** The file of an interface whose doc comments have the defaults of the table. */
    readonly defaultsIn?: string
  }
  /** The members have rows in the table of this interface of options. */
  | { readonly within: string }
  /** Sentences of this section name each member. */
  | { readonly page: string; readonly heading: string; readonly inSentences: ReadonlyArray<string> }
  /** Why a program does not write it. */
  | { readonly notWritten: string }

/** Where the options of an interface are documented, and where its code is. */
interface Documented {
  readonly page: string
  readonly heading: string
  /** Where the interface is declared. */
  readonly in: string
  /** The files that apply the defaults, without the one above. */
  readonly code?: ReadonlyArray<string>
  /** Options of other interfaces that are in the same tables. */
  readonly with?: ReadonlyArray<string>
  /** All members, if they are described in sentences, without a table. */
  readonly inSentences?: ReadonlyArray<string>
  /** Another test that compares the values of the table with those of the code. */
  readonly comparedIn?: string
}

const inRetry = "docs/reference/retry.md"
const ofPostgres = "src/Clients/internal/postgres"
const ofRedis = "src/Clients/internal/redis/Settings.ts"
const ofDials = "src/Resource/internal/tcp/DialOptions.ts"
const ofMonitor = "docs/reference/monitor.md"
const ofInvocation = "src/Serverless/internal/WarmInstance.ts"

/** By the file of `api` and the name of the interface. */
const documented: Record<string, Documented> = {
  "Breaker.Options": { page: inRetry, heading: "### Options of a breaker", in: "src/Retry/Breaker.ts" },
  "CloudRun.AttachOptions": {
    page: "docs/how-to/serverless.md",
    heading: "## Cloud Run",
    in: "src/Serverless/CloudRun.ts",
    code: [ofInvocation],
    with: ["shutdownWindow", "layer"]
  },
  "CloudRun.Options": {
    page: "docs/how-to/serverless.md",
    heading: "## Cloud Run",
    in: "src/Serverless/CloudRun.ts",
    with: ["timeout", "margin", "between", "layer"]
  },
  "CloudRun.RunOptions": {
    page: "docs/how-to/serverless.md",
    heading: "## Cloud Run",
    in: "src/Serverless/internal/RequestPromise.ts",
    inSentences: ["signal"]
  },
  "ConnectionBudget.Options": {
    page: "docs/how-to/share-a-cap.md",
    heading: "",
    in: "src/Pool/ConnectionBudget.ts",
    inSentences: ["connections"]
  },
  "ConnectionPool.BorrowOptions": {
    page: "docs/reference/pool.md",
    heading: "## Wrappers",
    in: "src/Pool/PoolOptions.ts",
    code: ["src/Pool/internal/Borrow.ts"]
  },
  "ConnectionPool.Options": {
    page: "docs/reference/pool.md",
    heading: "## Options",
    in: "src/Pool/PoolOptions.ts",
    comparedIn: "test/documentation.test.ts"
  },
  "ConnectionPool.ServiceOptions": {
    page: "docs/reference/pool.md",
    heading: "## Options",
    in: "src/Pool/PoolService.ts",
    inSentences: ["hooks"]
  },
  "Edge.Options": {
    page: "docs/how-to/serverless.md",
    heading: "## Edge",
    in: "src/Serverless/Edge.ts",
    with: ["handle"]
  },
  "Failure.ClassifyOptions": {
    page: inRetry,
    heading: "### Options of `Failure.classify`",
    in: "src/Retry/Failure.ts"
  },
  "Http.Options": { page: "docs/reference/clients/http.md", heading: "## Options", in: "src/Clients/Http.ts" },
  "IoRedis.Options": { page: "docs/reference/clients/ioredis.md", heading: "## Options", in: "src/Clients/IoRedis.ts" },
  "JsonRpcClient.McpOptions": {
    page: "docs/reference/json-rpc.md",
    heading: "### Options of `mcp`",
    in: "src/Resource/internal/jsonrpc/McpHandshake.ts"
  },
  "JsonRpcClient.Options": {
    page: "docs/reference/json-rpc.md",
    heading: "## Options",
    in: "src/Resource/JsonRpcClient.ts"
  },
  "JsonRpcClient.RequestOptions": {
    page: "docs/reference/json-rpc.md",
    heading: "### Options of a request",
    in: "src/Resource/JsonRpcClient.ts"
  },
  "Lambda.Options": {
    page: "docs/how-to/serverless.md",
    heading: "## Options",
    in: "src/Serverless/Lambda.ts",
    code: [ofInvocation],
    with: ["handle"]
  },
  "Main.LayerOptions": {
    page: "docs/how-to/exit.md",
    heading: "",
    in: "src/Serverless/Main.ts",
    with: ["cleanupTimeout", "disableErrorReporting"]
  },
  "Main.Options": { page: "docs/how-to/exit.md", heading: "", in: "src/Serverless/Main.ts", with: ["layer"] },
  "Mysql.Options": {
    page: "docs/reference/clients/mysql.md",
    heading: "## Options",
    in: "src/Clients/internal/mysql/Options.ts"
  },
  "NodePostgres.Options": {
    page: "docs/reference/clients/node-postgres.md",
    heading: "## Options",
    in: "src/Clients/NodePostgres.ts"
  },
  "Operations.Options": {
    page: "docs/how-to/operations.md",
    heading: "## Options",
    in: "src/Operations/internal/OperationsOptions.ts"
  },
  "OperationsHttp.ProbeOptions": {
    page: "docs/reference/operations/http.md",
    heading: "",
    in: "src/Operations/internal/http/Settings.ts",
    with: ["port", "host", "token", "hosts", "protect"]
  },
  "OperationsHttp.RouteOptions": {
    page: "docs/reference/operations/http.md",
    heading: "",
    in: "src/Operations/internal/http/Settings.ts",
    with: ["port", "host", "prefix", "required"]
  },
  "OperationsHttp.ServerOptions": {
    page: "docs/reference/operations/http.md",
    heading: "",
    in: "src/Operations/internal/http/Settings.ts",
    with: ["token", "hosts", "prefix", "required"]
  },
  "PoolTelemetry.Options": {
    page: "docs/reference/operations/metrics.md",
    heading: "## Options of `PoolTelemetry.record`",
    in: "src/Pool/PoolTelemetry.ts"
  },
  "Postgres.Options": {
    page: "docs/reference/clients/postgres.md",
    heading: "## Options",
    in: `${ofPostgres}/Options.ts`,
    code: Fs.globSync(`${ofPostgres}/*.ts`, { cwd: root }),
    // Those of `PgPoolConfig`.
    with: ["password", "url", "host", "port", "path", "username", "database"]
  },
  "Redis.DialOptions": {
    page: "docs/reference/clients/redis.md",
    heading: "## Options",
    in: ofRedis,
    with: ["url", "host", "port", "path", "commandTimeout", "maxConnections", "minConnections"]
  },
  "Redis.Options": {
    page: "docs/reference/clients/redis.md",
    heading: "## Options",
    in: ofRedis,
    with: ["tls", "username", "password", "database", "clientName", "clientOptions"]
  },
  "RedisBudget.Options": {
    page: "docs/reference/clients/redis-budget.md",
    heading: "## Options",
    in: "src/Clients/internal/redisbudget/Options.ts",
    with: [
      ...["url", "host", "port", "path", "tls"],
      ...["username", "password", "database", "clientName", "clientOptions"]
    ]
  },
  "ResourceMonitor.Options": {
    page: "docs/reference/monitor.md",
    heading: "## Options",
    in: "src/Monitor/Options.ts",
    comparedIn: "test/Monitor/Options.test.ts"
  },
  "RetryBudget.Options": { page: inRetry, heading: "### Options of a budget", in: "src/Retry/RetryBudget.ts" },
  // All of its members are those of `Options`.
  "RetryPolicy.ConfigOptions": {
    page: inRetry,
    heading: "",
    in: "src/Retry/RetryPolicy.ts",
    inSentences: []
  },
  "RetryPolicy.Options": {
    page: inRetry,
    heading: "## Options",
    in: "src/Retry/RetryPolicy.ts",
    comparedIn: "test/documentation.test.ts"
  },
  "RetryPolicy.RetryOptions": {
    page: inRetry,
    heading: "### Options of one call",
    in: "src/Retry/RetryPolicy.ts",
    code: ["src/Retry/internal/RetryLoop.ts"]
  },
  "TcpConnection.ConnectorOptions": {
    page: "docs/reference/tcp.md",
    heading: "",
    in: "src/Resource/TcpConnection.ts",
    with: [
      ...["connectTimeout", "readTimeout", "allowExitOnIdle", "closeTimeout", "noDelay", "keepAlive", "tls", "lookup"],
      "refreshAddresses"
    ]
  },
  "TcpConnection.Options": {
    page: "docs/reference/tcp.md",
    heading: "",
    in: "src/Resource/internal/tcp/DialOptions.ts",
    with: ["refreshAddresses", "answers"]
  },
  "Testing.LeakCheck.Options": {
    page: "docs/how-to/testing.md",
    heading: "## LeakCheck",
    in: "src/Testing/LeakCheck.ts"
  },
  "Vercel.Options": {
    page: "docs/how-to/serverless.md",
    heading: "## Vercel",
    in: "src/Serverless/Vercel.ts",
    code: [ofInvocation]
  },
  "Vercel.RunOptions": {
    page: "docs/how-to/serverless.md",
    heading: "## Vercel",
    in: "src/Serverless/internal/RequestPromise.ts",
    inSentences: ["signal"]
  }
}

/** The members of each interface of options that a module exports, without those that it inherits. */
const exported: ReadonlyMap<string, ReadonlyArray<string>> = new Map(
  Fs.globSync("api/*.api.md", { cwd: root }).filter((file) => !/^api\/(?:index|internal)\./.test(file)).flatMap(
    (file) => {
      const module = file.slice("api/".length, -".api.md".length)
      const interfaces = text(file).matchAll(/^interface (\w*Options)\b[^\n]*\{(\}|[\s\S]*?^\})/gm)
      return Array.from(interfaces, ([, name, body = ""]) =>
        [
          `${module}.${name}`,
          Array.from(body.matchAll(/^ {4}readonly (\w+)\??:/gm), ([, member = ""]) => member)
        ] as const)
    }
  )
)

/**
 * What programs write as objects besides options, by the name of the export. A type without a name has that of the function that takes it.
 * A type of a file that no module exports has both.
 */
const documentedShapes: Record<string, DocumentedShape> = {
  "CloudRun.run {}": { within: "CloudRun.AttachOptions" },
  "ConnectionBudget.PermitRequest": {
    notWritten: "a pool writes it, and a budget of one's own reads it; `ManyRequest` has the same members"
  },
  "ConnectionPool.CallSite": { notWritten: "`callSite` makes it" },
  "ConnectionPool.Hooks": { page: "docs/reference/pool.md", title: "hooks." },
  "ConnectionPool.layerConfig ConfigOptions": { within: "ConnectionPool.Options" },
  "ConnectionPool.Service {}": { within: "ConnectionPool.Options" },
  "ConnectionPool.suspend SuspendOptions": {
    page: "docs/reference/pool.md",
    heading: "## Operating",
    inSentences: ["mode"]
  },
  "Connector.Connector": { notWritten: "`Connector.make` takes the same members" },
  "Connector.make {}": { page: "docs/reference/pool.md", title: "member", heading: "## Wrapping effects" },
  "Connector.PromiseClient": {
    page: "docs/reference/pool.md",
    title: "member",
    heading: "## Wrapping a promise client"
  },
  "Edge.EdgeContext": { notWritten: "the platform passes it" },
  "Edge.EdgeRequest": { notWritten: "the platform passes it" },
  "Edge.handler {}": { within: "Edge.Options" },
  "Failure.Failure": { notWritten: "`Failure.make` makes it" },
  "Failure.make {}": { page: inRetry, title: "Failure.make" },
  "JsonRpcClient.JsonRpcClient": { notWritten: "`connect` makes it" },
  "JsonRpcClient.McpServer": { notWritten: "the server sends it" },
  "JsonRpcClient.request.server.serverInfo {}": { notWritten: "the server sends it" },
  "Lambda.HttpHead": { notWritten: "it is the head of a response as AWS Lambda defines it" },
  "Lambda.LambdaContext": { notWritten: "the platform passes it" },
  "Lambda.ResponseStream": { notWritten: "the platform passes it" },
  "Lambda.handler {}": { within: "Lambda.Options" },
  "Operations.Operations.control {}": { page: "docs/reference/operations/logs.md", title: "Operations.control" },
  "Postgres.GuardRails": { page: "docs/reference/clients/postgres.md", title: "guardRails." },
  "Reading.Known": { notWritten: "the functions of `Reading` make it" },
  "Reading.Saturated": { notWritten: "the functions of `Reading` make it" },
  "Reading.Unknown": { notWritten: "the functions of `Reading` make it" },
  "Reading.Unlimited": { notWritten: "the functions of `Reading` make it" },
  "RedisBudget.ManyRequest": {
    page: "docs/reference/clients/redis-budget.md",
    title: "takeMany",
    with: ["label", "timeLeft"]
  },
  "ResourceMonitor.Gauge": { notWritten: "the monitor makes it" },
  "ResourceMonitor.GateObserver": { page: ofMonitor, title: "observeGate" },
  "ResourceMonitor.KindCount": { notWritten: "the monitor makes it" },
  "ResourceMonitor.Origin": { notWritten: "a pool reports it, and a program reads it" },
  "ResourceMonitor.PressureCallback": {
    page: ofMonitor,
    title: "onPressure",
    defaultsIn: "src/Monitor/levels/Cleanup.ts"
  },
  "ResourceMonitor.Reservation": { notWritten: "`reserve` makes it" },
  "ResourceMonitor.ReserveRequest": {
    page: ofMonitor,
    title: "reserve",
    defaultsIn: "src/Monitor/gate/Decision.ts"
  },
  "ResourceMonitor.ResourceMonitor.reportLeak Growth": { notWritten: "the monitor makes it" },
  "ResourceMonitor.ResourceMonitor.reportLeak {}": { notWritten: "a pool reports it, and a program reads it" },
  "ResourceMonitor.ShortageRequest": { page: ofMonitor, title: "shortage" },
  "ResourceMonitor.TestReadings": { page: ofMonitor, title: "set" },
  "ResourceMonitor.Thresholds": { within: "ResourceMonitor.Options" },
  "ResourceMonitor.TrackRequest": { page: ofMonitor, title: "track" },
  "ResourceMonitor.Usage": { notWritten: "the monitor makes it" },
  "RetryPolicy.RetryObserver": { notWritten: "`RetryTelemetry.record` makes it" },
  "RetryTelemetry.record {}": {
    page: "docs/reference/operations/metrics.md",
    heading: "## Retries",
    inSentences: ["name"]
  },
  "TcpConnection.Ending": { notWritten: "the connection makes it" },
  "TcpConnection.connector ReuseOptions": { within: "TcpConnection.ConnectorOptions" },
  "Testing.ScriptedConnector.Script": { page: "docs/how-to/testing.md", title: "step" },
  "Testing.ScriptedConnector.Scripted": { notWritten: "the connector makes it" }
}

const entries = Object.entries(documented)
const withTable = entries.filter(([, { inSentences }]) => inSentences === undefined)

/** The options of tables with one of their other columns. A row may have several options, and a cell the default of each. */
const cellsIn = (tables: ReadonlyArray<Table>, name: string): ReadonlyMap<string, string> =>
  new Map(
    Array.from(column(tables, name)).flatMap(([options, cell]) => {
      const names = options.split(", ")
      return names.map((option, i) => [option, (names.length === 1 ? cell : cell.split(", ")[i]) ?? "none"] as const)
    })
  )

/** The options in the tables directly under the heading, without those of the parts below it. */
const rowsOf = ({ heading, page }: Documented) => {
  const tables = tablesOf(page, "option", heading)
  return heading.startsWith("## ") || heading === "" ? tables.slice(0, 1) : tables
}

describe("the interfaces of options", () => {
  it("that modules export are those that are documented", () => {
    assert.isAbove(exported.size, 30)
    assert.sameMembers([...exported.keys()], entries.map(([name]) => name))
  })

  it.each(withTable)("%s has a table with its options, and no other one", (name, entry) => {
    const own = exported.get(name) ?? []
    assert.isAtLeast(own.length, 1)
    assert.sameMembers([...cellsIn(rowsOf(entry), "default").keys()], [...own, ...entry.with ?? []])
  })

  it.each(entries.filter(([, { inSentences }]) => inSentences !== undefined))(
    "%s is described in sentences",
    (name, { heading, inSentences = [], page }) => {
      assert.sameMembers([...exported.get(name) ?? []], [...inSentences])
      const [, section = ""] = text(page).split(heading === "" ? "# " : `\n${heading}\n`)
      for (const option of inSentences) assert.match(section, new RegExp(`\`${option}\\b[^\`]*\``))
    }
  )
})

/** By the names under which modules export it, or by what takes it and its own name. */
const namesOf = ({ declared, exportedAs, takenBy }: Shape): ReadonlyArray<string> =>
  exportedAs.length > 0 ? exportedAs : [`${takenBy.toSorted()[0]} ${declared.split("#")[1]}`]

const shapesDocumented = Object.entries(documentedShapes)

/** The shapes that have a table of their own. */
const withOwnTable = shapesDocumented.flatMap(([name, entry]) => "title" in entry ? [[name, entry] as const] : [])

describe("what programs write as objects for functions and options", () => {
  let shapes: ReadonlyMap<string, Shape> = new Map()
  const membersOf = (name: string): ReadonlyArray<string> => shapes.get(name)?.members ?? []

  // The compiler reads the whole package.
  beforeAll(() => {
    shapes = new Map(publicShapes().flatMap((shape) => namesOf(shape).map((name) => [name, shape])))
  }, 120_000)

  it("is documented, or has a reason why it is not", () => {
    assert.isAbove(shapes.size, 70)
    const others = [...shapes.keys()].filter((name) => !(name in documented))
    assert.sameMembers(others, Object.keys(documentedShapes))
  })

  it("has the members that the report of the public types has, if it is an interface of options", () => {
    const both = [...exported].filter(([name]) => shapes.has(name))
    assert.isAbove(both.length, 35)
    for (const [name, members] of both) assert.sameMembers([...membersOf(name)], [...members], name)
  })

  it.each(withOwnTable)(
    "%s has a table with its members, and no other one",
    (name, { heading, page, title, ...entry }) => {
      const tables = tablesOf(page, title, heading)
      assert.lengthOf(tables, 1)
      const rows = [...cellsIn(tables, tables[0]?.header[1] ?? "").keys()]
      assert.sameMembers(rows, [...membersOf(name), ...entry.with ?? []])
    }
  )

  it.each(shapesDocumented.filter(([, entry]) => "within" in entry))(
    "%s has its members in the table of an interface of options",
    (name, entry) => {
      const rows = "within" in entry ? rowsOf(documented[entry.within] ?? assert.fail(entry.within)) : []
      assert.isNotEmpty(membersOf(name))
      assert.includeMembers([...cellsIn(rows, "default").keys()], [...membersOf(name)])
    }
  )

  it.each(shapesDocumented.flatMap(([name, entry]) => "inSentences" in entry ? [[name, entry] as const] : []))(
    "%s is described in sentences",
    (name, { heading, inSentences, page }) => {
      assert.sameMembers([...membersOf(name)], [...inSentences])
      const [, after = ""] = text(page).split(`\n${heading}\n`)
      const [section = ""] = after.split("\n## ")
      for (const member of inSentences) assert.match(section, new RegExp(`\`${member}\\b[^\`]*\``))
    }
  )

  it.each(withOwnTable.filter(([, entry]) => entry.defaultsIn !== undefined))(
    "%s has the same defaults in its table, in its doc comments and in the code",
    (name, { defaultsIn: file = "", page, title }) => {
      const cells = cellsIn(tablesOf(page, title), "default")
      const comments = defaultsIn(file, name.split(".").at(-1) ?? "")
      assert.isAbove(comments.size, 2)
      const code = Fs.globSync(`${Path.dirname(file)}/*.ts`, { cwd: root }).map(codeOf)
      for (const [member, comment] of comments) {
        const said = valueOf(comment)
        assert.strictEqual(valueOf(cells.get(member)), said, member)
        const [value, of, pattern] = elsewhere[`${name}.${member}`] ?? []
        if (of !== undefined && pattern !== undefined) assert.match(codeOf(of), pattern, member)
        const taken = code.map((one) => valueOf(takenIn(one, member))).filter((one) => one !== undefined)
        for (const one of value === undefined ? taken : [value]) assert.strictEqual(one, said, `${member} in the code`)
        assert.isTrue(value !== undefined || taken.length > 0, `${member} has no default in the code`)
      }
    }
  )

  it("has the parameters of the server that the code sets for each guard rail", () => {
    const [, list = ""] = /^const parameters = \{\n([^}]*)\}/m.exec(text(`${ofPostgres}/GuardRails.ts`)) ?? []
    const set = Array.from(list.matchAll(/(\w+): "(\w+)"/g), ([, rail = "", parameter = ""]) => [rail, parameter])
    assert.isAbove(set.length, 5)
    const shown = column(tablesOf("docs/reference/clients/postgres.md", "guardRails."), "parameter")
    assert.deepStrictEqual(Object.fromEntries(shown), Object.fromEntries(set))
  })

  it("has the readings with which a monitor of a test begins", () => {
    const source = text("src/Monitor/TestMonitor.ts").split("export interface TestReadings")[1] ?? ""
    const comments = Array.from(
      source.matchAll(/Initially ([^.]+)\. \*\/\n +readonly (\w+)/g),
      ([, value = "", name]) => [name, valueOf(value)]
    )
    assert.lengthOf(comments, 5)
    const cells = Array.from(cellsIn(tablesOf(ofMonitor, "set"), "at first"), ([name, value]) => [name, valueOf(value)])
    assert.deepStrictEqual(cells, comments)
  })
})

/** Defaults that are no alternative of the option in the code: the value, the file, and what in it makes it so. */
const elsewhere: Readonly<Record<string, readonly [value: string | number, file: string, code: RegExp]>> = {
  "CloudRun.AttachOptions.between": ["closeIdle", ofInvocation, /between === undefined\) return "closeIdle"/],
  "ConnectionPool.BorrowOptions.standing": ["false", "src/Pool/ConnectionPool.ts", /options\?\.standing === true/],
  "Failure.ClassifyOptions.dial": ["false", "src/Retry/Failure.ts", /options\?\.dial \?\? .* \?\? false/],
  "Http.Options.maxTotal": [200, "src/Clients/Http.ts", /maxTotal \?\? Math\.max\(200, /],
  "Http.Options.refreshAddresses": [30_000, ofDials, /refreshAddresses = "30 seconds"/],
  "Lambda.Options.between": ["closeIdle", ofInvocation, /between === undefined\) return "closeIdle"/],
  "Main.Options.cleanupTimeout": [
    5000,
    "src/Serverless/Main.ts",
    /\bcleanupTimeout: "5 seconds"[^]*\bcleanupTimeout: "25 seconds"/
  ],
  "Mysql.Options.ssl": [
    "false",
    "src/Clients/internal/mysql/SessionConnector.ts",
    /ssl === undefined \|\| ssl === false\) return \{\}/
  ],
  "OperationsHttp.ServerOptions.protect": [
    "control",
    "src/Operations/internal/http/Settings.ts",
    /isLoopback\(host\) \? "control" : "details"/
  ],
  "Postgres.Options.connectTimeout": [5000, `${ofPostgres}/Options.ts`, /const ofUrl = .* : "5 seconds"/],
  "Postgres.Options.refreshAddresses": [30_000, ofDials, /refreshAddresses = "30 seconds"/],
  "Redis.DialOptions.database": [0, ofRedis, /database: url === undefined .* \? 0 :/],
  "Redis.DialOptions.tls": ["false", ofRedis, /options\.tls \?\? url\?\.protocol === "rediss:"/],
  "RedisBudget.Options.wake": [
    "subscribe",
    "src/Clients/internal/redisbudget/Options.ts",
    /options\.wake \?\? \(lease\._tag === "Invocation" \? "poll" : "subscribe"\)/
  ],
  "Redis.Options.host": ["localhost", ofRedis, /host: "localhost"/],
  "Redis.Options.port": [6379, ofRedis, /port: 6379 /],
  "ResourceMonitor.PressureCallback.name": [
    "callback",
    "src/Monitor/levels/Cleanup.ts",
    /name = `callback \$\{count\}`/
  ],
  "ResourceMonitor.PressureCallback.periodic": ["false", "src/Monitor/levels/Cleanup.ts", /\bperiodic = false\b/],
  "ResourceMonitor.PressureCallback.priority": [0, "src/Monitor/levels/Cleanup.ts", /\bpriority = 0\b/],
  "ResourceMonitor.ReserveRequest.maxWait": [0, "src/Monitor/gate/Request.ts", /maxWait === undefined \? 0 :/],
  "TcpConnection.Options.tls": [
    "false",
    ofDials,
    /tls: options\.tls === true \? \{\} : options\.tls === false \? undefined : options\.tls/
  ],
  "Vercel.Options.between": ["closeIdle", ofInvocation, /between === undefined\) return "closeIdle"/]
}

/** The code of a file, without its doc comments. */
const codeOf = (file: string): string => text(file).replaceAll(/\/\*\*[\s\S]*?\*\//g, "")

/** What a constant of the same file is. */
const constantIn = (code: string, name: string): string =>
  new RegExp(`^(?:export )?const ${name}(?:: [^=]+)? = (.+)$`, "m").exec(code)?.[1] ?? name

const expression = String.raw`("[^"]*"|\[[^\]]*\]|Math\.\w+\([^)]*\)|[\w.]+)`

/**
 * What the code takes if an option is not given: the value of `name ?? value` or `{ name = value }`, or that with which a comparison with a truth
 * value ends. `undefined` if the file has none of these.
 */
const takenIn = (code: string, option: string): string | undefined => {
  const given = new RegExp(`\\b${option} \\?\\? ${expression}`).exec(code)?.[1] ??
    new RegExp(`\\{[^{}]*\\b${option} = ${expression}[^{}]*\\} = `).exec(code)?.[1]
  if (given !== undefined) return constantIn(code, given)
  const [, value] = new RegExp(`\\b${option} [!=]== (true|false)\\b`).exec(code) ?? []
  return value === undefined ? undefined : String(value === "false")
}

const seconds = 1000
const factors: Readonly<Record<string, number>> = {
  ms: 1,
  millis: 1,
  s: seconds,
  second: seconds,
  min: 60 * seconds,
  minute: 60 * seconds,
  MiB: 1024 ** 2
}

/** The first value in a text, durations in milliseconds: what both a table and the code may say in their own forms. */
const valueOf = (text: string | undefined): string | number | undefined => {
  const pattern =
    /"([^"\d][^"]*)"|\b(true|false|Infinity|off|no limit)\b|(?<![\w.-])"?(\d[\d_]*(?:\.\d+)?)(?: ([A-Za-z]+?)s?\b)?"?/
  const [, quoted, word, digits, unit = ""] = pattern.exec(text ?? "") ?? []
  if (quoted !== undefined) return quoted
  if (word !== undefined) return word === "off" || word === "no limit" ? "Infinity" : word
  return digits === undefined ? undefined : Number(digits.replaceAll("_", "")) * (factors[unit] ?? 1)
}

const poolSettings = settingsOf({ connector: Connector.make({ open: () => Effect.never }) })
const ofPool: Readonly<Record<string, unknown>> = {
  ...poolSettings,
  whenUnavailable: poolSettings.failsWhenUnavailable ? "fail" : "wait"
}

/** What a pool takes if an option is not given. Clients leave the options of a pool to it. */
const takenByPool = (option: string): string | number | undefined => {
  const value = ofPool[option]
  if (typeof value === "string") return value
  return Duration.isDuration(value) ? valueOf(`${Duration.toMillis(value)}`) : valueOf(String(value))
}

/** The table has the default of servers. The page says that of routes below it. */
const ofRoutes = "OperationsHttp.RouteOptions.protect"

describe("the defaults of options", () => {
  const compared = withTable.filter(([, { comparedIn }]) => comparedIn === undefined)

  it.each(compared)("of %s are the same in the table, in the doc comments and in the code", (name, entry) => {
    const cells = cellsIn(rowsOf(entry), "default")
    const comments = defaultsIn(entry.in, name.split(".").at(-1) ?? "")
    const files = [entry.in, ...entry.code ?? []].map(codeOf)
    for (const option of exported.get(name) ?? []) {
      const said = valueOf(comments.get(option))
      const key = `${name}.${option}`
      if (key !== ofRoutes) assert.strictEqual(valueOf(cells.get(option)), said, `${option}: "${cells.get(option)}"`)
      if (said === undefined) continue
      const [value, file, code] = elsewhere[key] ?? []
      if (file !== undefined && code !== undefined) assert.match(codeOf(file), code, key)
      const [taken] = files.flatMap((code) => valueOf(takenIn(code, option)) ?? [])
      // Without a value in the code there is no limit.
      assert.strictEqual(value ?? taken ?? takenByPool(option) ?? "Infinity", said, `${option} in the code`)
    }
  })

  it("of `protect` in routes is said below the table", () => {
    assert.include(text("docs/reference/operations/http.md"), "`protect` is `\"details\"` there")
  })

  it("that another test compares have that test", () => {
    const tests = new Set(entries.flatMap(([, { comparedIn }]) => comparedIn ?? []))
    for (const test of tests) assert.isTrue(Fs.existsSync(`${root}/${test}`), test)
  })
})

/** The options of a driver that a connector leaves out of its own. */
const leftOut = (file: string): ReadonlyArray<string> => {
  const [, list = ""] = /extends Omit<\w+, ([^>]+)>/.exec(text(file)) ?? []
  return Array.from(list.matchAll(/"(\w+)"/g), ([, name = ""]) => name)
}

describe("the options of a driver that a connector decides", () => {
  it.each([
    ["api/NodePostgres.api.md", "docs/reference/clients/node-postgres.md", "ClientConfig"],
    ["api/IoRedis.api.md", "docs/reference/clients/ioredis.md", "RedisOptions"]
  ])("in %s are those that %s names", (api, page, type) => {
    const [, section = ""] = text(page).split("\n## Options\n")
    const [sentences = ""] = section.split("\n| option")
    const [first = ""] = sentences.split(/\. The user|, so\n?/)
    const named = Array.from(first.matchAll(/`(\w+)`/g), ([, name = ""]) => name)
    // It is in the table, with more types.
    const decided = leftOut(api).filter((name) => name !== "password")
    assert.isAtLeast(decided.length, 4)
    assert.sameMembers(named.filter((name) => name !== type && name !== "pg"), decided)
  })
})
