import { assert, describe, it } from "@effect/vitest"
import { Cause, ConfigProvider, Data, Duration, Effect, Logger, References } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Endpoint from "effect-sluice/Endpoint"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as Settings from "effect-sluice/Settings"
import { inspect } from "node:util"
import * as Sluice from "../../src/index.ts"
import { printable } from "../../src/internal/Printable.ts"
import { errorText, labelOf, maskSecrets, safeText } from "../../src/internal/SafeText.ts"
import { report } from "../../src/internal/UnhandledLog.ts"

const hostile = `x\u001b[2J\n... ERROR forged\u0085\u202e${"y".repeat(100_000)}`
const url = "postgres://app:s3cret@db:5432/app?sslpassword=s3cret"

const unprintable = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u

const ioredisError = Object.assign(new Error(`NOAUTH ${url}`), {
  name: "ReplyError",
  command: { name: "auth", args: ["app", "s3cret"] },
  pipeline: [["AUTH", "s3cret"], ["GET", "key"]],
  options: { password: "s3cret", sentinelPassword: "s3cret" }
})

describe("maskSecrets", () => {
  const cases: ReadonlyArray<readonly [text: string, masked: string]> = [
    ["postgres://app:secret@db", "postgres://***@db"],
    ["postgres://app:s/e@cr?et@db:5432/x", "postgres://***@db:5432/x"],
    ["redis://:secret@cache", "redis://***@cache"],
    ["https://token@host/path", "https://***@host/path"],
    ["https://host/path?access_token=secret&page=2", "https://host/path?access_token=***&page=2"],
    ["app:secret@db:5432", "***@db:5432"],
    ["host=db password='se cret' user=app", "host=db password=*** user=app"],
    ["PGPASSWORD=secret", "PGPASSWORD=***"],
    ["HELLO 3 AUTH app secret", "HELLO 3 AUTH ***"],
    ["Authorization: Bearer abcdefghijkl", "Authorization: ***"],
    ["Authorization: Negotiate abcdefghijkl", "Authorization: ***"],
    ["Set-Cookie: sid=secret; Path=/", "Set-Cookie: ***"],
    ["postgres://app:it's/sec\"ret@db:5432/x", "postgres://***@db:5432/x"],
    [`postgres://app:${"secret".repeat(300)}@db`, "postgres://***@db"],
    ["{'url':'http://host:80','mail':'me@example.com'}", "{'url':'http://host:80','mail':'me@example.com'}"],
    ["a://u:secret@h,b://u:secret@i", "a://***@h,b://***@i"],
    ["//app:secret@db/x", "//***@db/x"],
    [`access_token=${"secret".repeat(300)}&page=2`, "access_token=***&page=2"],
    [JSON.stringify({ password: "se\"cret" }), "{\"password\":***}"],
    [JSON.stringify(JSON.stringify({ password: "secret" })), "\"{\\\"password\\\":***}\""],
    ["{\"password\":\"secret", "{\"password\":***"],
    ["password => secret", "password => ***"],
    ["AWS_SECRET_ACCESS_KEY=secret", "AWS_SECRET_ACCESS_KEY=***"],
    ["https://host/x?X-Amz-Signature=secret&sig=secret", "https://host/x?X-Amz-Signature=***&sig=***"],
    ["ALTER USER app IDENTIFIED BY 'se cret'", "ALTER USER app IDENTIFIED BY ***"],
    ["ALTER ROLE app WITH PASSWORD 'se cret'", "ALTER ROLE app WITH PASSWORD ***"],
    ["CONFIG SET requirepass secret", "CONFIG SET requirepass ***"],
    [
      "ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'app' 'secret' ",
      "ERR unknown command 'HELLO', with args beginning with: *** "
    ],
    [
      "ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `app`, `secret`, ; until it is back",
      "ERR unknown command `HELLO`, with args beginning with: ***, ; until it is back"
    ],
    ["\"AUTH\" \"app\" \"secret\"", "\"AUTH ***"],
    ["[\"AUTH\",\"app\",\"secret\"]", "[\"AUTH\",***]"],
    ["*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n", "*2\r\n$4\r\nAUTH ***\r\n"],
    [
      "-----BEGIN RSA PRIVATE KEY-----\nsecret\n-----END RSA PRIVATE KEY-----",
      "-----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----"
    ],
    ["{\"password\":\"secret\"}", "{\"password\":***}"]
  ]
  it.each(cases)("removes the secret of %s", (text, masked) => assert.strictEqual(maskSecrets(text), masked))

  const harmless = [
    "password authentication failed for user \"app\"",
    "connect ECONNREFUSED 127.0.0.1:5432",
    "NOAUTH Authentication required.",
    "[::1]:6379",
    "https://example.com:8080/path?page=2",
    "registry/name:tag@sha256:0123",
    "a design: x, the auth method: none"
  ]
  it.each(harmless)("leaves %s as it is", (text) => assert.strictEqual(maskSecrets(text), text))

  it("takes no longer for a text that is made to be slow than for others of its length", () => {
    const cost = (text: string) => {
      const before = process.cpuUsage()
      for (let i = 0; i < 5; i++) safeText(text.repeat(20_000))
      const { system, user } = process.cpuUsage(before)
      return user + system
    }
    const plain = cost("word ")
    for (
      const text of [
        "a://",
        "a:",
        "x:y",
        "pass",
        "password=",
        "AUTH a",
        "Bearer a",
        "password=\"",
        "a://u:p",
        "BEGIN PRIVATE KEY-----",
        "cookie:",
        "PASSWORD '"
      ]
    ) {
      assert.isBelow(cost(text), 2000 * (plain + 100), text)
    }
  })
})

describe("names and addresses", () => {
  const texts = [
    "db",
    "127.0.0.1:5432",
    "db.example.com:5432",
    "orders-db_2",
    "[db]/x",
    "monkey:5432",
    "db:",
    "a:b",
    "[::1]:80",
    "db\u00e9"
  ]
  const ofSecrets = [
    "token:6379",
    "my-Token:6379",
    "cookie:80",
    "authorization:80",
    "db.password:5432",
    "apikey:1",
    "SIGNATURE:1"
  ]

  it.each([...texts, ...ofSecrets])("are the same as after the search for secrets: %s", (text) => {
    assert.strictEqual(safeText(text), printable(maskSecrets(text)))
  })

  it.each(ofSecrets)("keep no secret: %s", (text) => assert.match(safeText(text), /:\*\*\*$/))

  it("are cut to their bound", () => {
    assert.strictEqual(safeText("x".repeat(150), 100), safeText("\u00e9".repeat(150), 100).replaceAll("\u00e9", "x"))
  })
})

describe("errors", () => {
  /** Every field that an error of this library has, filled with what a peer may say. */
  const fields = {
    ...Object.fromEntries(
      ["key", "label", "method", "text", "code", "span", "site", "input", "rule", "line", "module", "option", "value"]
        .concat([
          "phase",
          "stalledBy",
          "resource",
          "level",
          "state",
          "host",
          "path",
          "detail",
          "version",
          "server",
          "answered"
        ])
        .map((name) => [name, hostile + url])
    ),
    ...Object.fromEntries(
      ["after", "age", "waited", "deadline", "elapsed", "maxLease", "retryAfter"].map((
        name
      ) => [name, Duration.seconds(1)])
    ),
    ...Object.fromEntries(
      ["limit", "position", "attempts", "maxAttempts", "balance", "capacity", "used", "reserved", "written", "port"]
        .concat([
          "requested",
          "headroom",
          "ahead",
          "bytesRead",
          "maxWaiters",
          "heldOfPool",
          "heldOfEndpoint",
          "maxTotal"
        ])
        .concat(["maxPerEndpoint"]).map((name) => [name, 1])
    ),
    endpoint: Endpoint.unix("/tmp/\u001b[2Jx\n"),
    pool: {},
    state: "Open",
    supported: [hostile + url],
    holders: [],
    topSites: [],
    history: [],
    leaks: [],
    failure: { class: "Transient", code: hostile, sent: false },
    reason: new ConnectionPool.ConnectFailed({ key: hostile + url, cause: ioredisError }),
    cause: Object.assign(new Error(hostile + url), ioredisError)
  }
  type Constructor = new(fields: object) => Error
  const isErrorClass = (value: unknown): value is Constructor =>
    typeof value === "function" && value.prototype instanceof Error
  const classes = new Map(
    Object.values(Sluice).flatMap((module) => Object.values(module).filter(isErrorClass)).map((one) => [one.name, one])
  )
  // The list of leaks has a line for each leak by design.
  classes.delete("LeakError")

  it("are found", () => assert.isAtLeast(classes.size, 30))

  it.each(Array.from(classes.keys()))("the message of %s is printable, bounded and without secrets", (name) => {
    const Class = classes.get(name)
    assert.isDefined(Class)
    const isOwn = ([field]: readonly [string, unknown]) => !(field in Class.prototype) || field === "cause"
    // The phase of a dial is one of three, whatever a peer sends.
    const own = name === "DialTimeout" ? { ...fields, phase: "Connect" } : fields
    const error = new Class(Object.fromEntries(Object.entries(own).filter(isOwn)))
    assert.notMatch(error.message, unprintable)
    assert.isAtMost(error.message.length, 2010)
    assert.isAbove(error.message.length, 0)
    for (const text of [error.message, String(error), inspect(error, { depth: 20 }), JSON.stringify(error)]) {
      assert.notInclude(text, "s3cret")
      assert.notInclude(text, "\u001b")
      assert.notMatch(text, /^\.\.\. ERROR forged/m)
    }
  })

  it("show no arguments of AUTH and no URL of a driver's error when a PoolError is printed", () => {
    const reason = new ConnectionPool.ConnectFailed({ key: "cache", cause: ioredisError })
    const error = new ConnectionPool.PoolError({ reason })
    const texts = [
      String(error),
      error.stack ?? "",
      inspect(error, { depth: 20 }),
      inspect({ nested: [error] }, { depth: 20 }),
      JSON.stringify(error),
      Cause.pretty(Cause.fail(error)),
      String(Cause.fail(error)),
      JSON.stringify(Cause.fail(error))
    ]
    for (const text of texts) assert.notInclude(text, "s3cret")
    assert.include(JSON.stringify(error), "ReplyError")
    // The program still has the driver's error.
    assert.strictEqual(reason.cause, ioredisError)
  })

  it("quote no secret value of an option", () => {
    const error = new ConnectionPool.InvalidOption({
      module: "M",
      option: "password",
      value: "s3cret",
      rule: "be long"
    })
    const texts = [error.message, inspect(error), JSON.stringify(error)]
    for (const text of texts) assert.notInclude(text, "s3cret")
  })
})

describe("what MySQL says of a password", () => {
  it("stays readable where it is no more than whether there was one", () => {
    for (const answer of ["YES", "NO"]) {
      const text = `Access denied for user 'app'@'db' (using password: ${answer})`
      assert.strictEqual(maskSecrets(text), text)
    }
    for (const secret of ["hunter2", "YES!", "NOPE)", "YES", "\"YES)\""]) {
      assert.notInclude(maskSecrets(`password: ${secret}`), secret.replaceAll("\"", ""))
    }
  })
})

describe("labels", () => {
  it("have no credentials, no control characters and a bounded length", () => {
    assert.strictEqual(labelOf(new URL("postgres://app:s3cret@db/x")), "postgres://***@db/x")
    assert.strictEqual(labelOf(Endpoint.unix("/tmp/\u001b[2J\n")), "unix:/tmp/\\x1b[2J\\x0a")
    assert.isAtMost(labelOf("k".repeat(10_000)).length, 203)
    assert.strictEqual(labelOf(Object.create(null)), "{}")
  })

  it("of objects without a text of their own are their fields, masked and bounded", () => {
    class Key {
      readonly host = "db"
      readonly password = "s3cret"
    }
    assert.strictEqual(labelOf({ host: "db", port: 5432 }), "{\"host\":\"db\",\"port\":5432}")
    assert.strictEqual(labelOf([{ host: "db" }, "orders"]), "[{\"host\":\"db\"},\"orders\"]")
    assert.strictEqual(labelOf(["db", 5432]), "db,5432")
    assert.strictEqual(labelOf(new Map()), "[object Map]")
    assert.strictEqual(labelOf({ toString: () => "db" }), "db")
    const circular = { host: "db", self: {} }
    circular.self = circular
    assert.strictEqual(labelOf(circular), "{\"host\":\"db\",\"self\":\"...\"}")
    for (const key of [new Key(), { url: "postgres://app:s3cret@db/x" }, { nested: { token: "s3cret" } }]) {
      assert.notInclude(labelOf(key), "s3cret")
      assert.include(labelOf(key), "***")
    }
    assert.isAtMost(labelOf(Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`k${i}`, i]))).length, 203)
    const throwing = {
      get host(): string {
        throw new Error("no")
      }
    }
    assert.strictEqual(labelOf(throwing), "[object Object]")
  })

  it("of failures that are such objects are the same", () => {
    assert.strictEqual(errorText({ reason: "full", password: "s3cret" }), "{\"reason\":\"full\",\"password\":***}")
  })

  it.effect("of a pool's keys are what errors and figures show", () =>
    Effect.gen(function*() {
      const connector = { open: () => Effect.die("never opened") }
      const pool = yield* ConnectionPool.make({ connector, acquireTimeout: "1 second" })
      yield* ConnectionPool.suspend(pool, { mode: "fail" })
      const error = yield* Effect.flip(ConnectionPool.use(pool, url, () => Effect.void))
      assert.include(error.message, "postgres://***@db:5432/app")
      const { endpoints } = yield* ConnectionPool.stats(pool)
      assert.deepStrictEqual(Object.keys(endpoints).filter((key) => key.includes("s3cret")), [])
    }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerUnlimited)))
})

describe("a URL in the place of an endpoint", () => {
  it.effect("is named as such, without its password", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Endpoint.parse(url))
      assert.include(error.message, "that is a URL")
      assert.notInclude(error.message + JSON.stringify(error), "s3cret")
      const setting = Settings.endpoint("CACHE").parse(ConfigProvider.fromUnknown({ CACHE: url }))
      const refused = yield* Effect.flip(setting)
      assert.include(refused.message, "that is a URL")
      assert.notInclude(refused.message, "s3cret")
      const host = yield* Effect.flip(Settings.config.parse(ConfigProvider.fromUnknown({ CLAUDE_FLOW_HOST: url })))
      assert.include(host.message, "that is a URL")
      assert.notInclude(host.message, "s3cret")
      assert.throws(() => Endpoint.tcp(url, 5432), "that is a URL")
    }))
})

describe("a report that no caller can receive", () => {
  class Refused extends Data.TaggedError("Refused")<{ readonly message: string; readonly cause: unknown }> {}

  it.effect("is one entry of the log, whatever the driver quotes", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const logger = Logger.make((options) => void lines.push(Logger.formatLogFmt.log(options)))
      const cause = Cause.fail(new Refused({ message: hostile, cause: ioredisError }))
      yield* report("closing has failed", cause).pipe(
        Effect.provideService(References.UnhandledLogLevel, "Error"),
        Effect.provide(Logger.layer([logger]))
      )
      assert.strictEqual(lines.length, 1)
      assert.notInclude(lines.join(""), "\u001b")
      assert.notMatch(lines.join(""), /s3cret|^\.\.\. ERROR forged/m)
      assert.include(lines.join(""), "ReplyError")
    }))
})
