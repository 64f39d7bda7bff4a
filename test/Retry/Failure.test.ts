import { assert, describe, it } from "@effect/vitest"
import { Cause, Data, Duration, Effect } from "effect"
import * as Failure from "effect-sluice/Failure"
import { ResourceExhausted } from "effect-sluice/ResourceMonitor"
import * as Socket from "effect/socket/Socket"
import * as SqlError from "effect/sql/SqlError"
import * as Net from "node:net"
import * as Os from "node:os"
import * as Path from "node:path"
import * as RetryPolicy from "../../src/Retry/RetryPolicy.ts"

const coded = (code: string | number, fields: object = {}): Error =>
  Object.assign(new Error("text"), { code, ...fields })

const named = (name: string, message: string): Error => Object.assign(new Error(message), { name })

const classOf = (error: unknown) => Failure.classify(error).class

type Row = readonly [name: string, error: unknown, expected: Failure.FailureClass]

const connect = { syscall: "connect" }

const node: ReadonlyArray<Row> = [
  ["ECONNREFUSED", coded("ECONNREFUSED", connect), "Transient"],
  ["EHOSTUNREACH", coded("EHOSTUNREACH", connect), "Transient"],
  ["ENETUNREACH", coded("ENETUNREACH", connect), "Transient"],
  ["EAI_AGAIN", coded("EAI_AGAIN", { syscall: "getaddrinfo" }), "Transient"],
  ["ENOTFOUND", coded("ENOTFOUND", { syscall: "getaddrinfo" }), "Transient"],
  ["ECONNRESET while dialling", coded("ECONNRESET", connect), "Transient"],
  ["ECONNRESET in a TLS handshake", coded("ECONNRESET", { host: "h", localAddress: undefined }), "Transient"],
  ["ECONNRESET on an open connection", coded("ECONNRESET", { syscall: "read" }), "Ambiguous"],
  ["ECONNRESET as HTTP's socket hang up", coded("ECONNRESET"), "Ambiguous"],
  ["EPIPE", coded("EPIPE", { syscall: "write" }), "Ambiguous"],
  ["ETIMEDOUT while dialling", coded("ETIMEDOUT", connect), "Transient"],
  ["ETIMEDOUT while reading", coded("ETIMEDOUT", { syscall: "read" }), "Ambiguous"],
  ["EMFILE", coded("EMFILE", { syscall: "getaddrinfo" }), "LocalExhausted"],
  ["ENFILE", coded("ENFILE", connect), "LocalExhausted"],
  ["ENOBUFS", coded("ENOBUFS", connect), "LocalExhausted"],
  ["EADDRNOTAVAIL while dialling", coded("EADDRNOTAVAIL", connect), "LocalExhausted"],
  ["EADDRNOTAVAIL while binding", coded("EADDRNOTAVAIL", { syscall: "bind" }), "Fatal"],
  ["EADDRINUSE while dialling", coded("EADDRINUSE", connect), "LocalExhausted"],
  ["EADDRINUSE while listening", coded("EADDRINUSE", { syscall: "listen" }), "Fatal"],
  ["EAGAIN while dialling", coded("EAGAIN", connect), "RemoteSaturated"],
  ["ENOENT while dialling", coded("ENOENT", connect), "Transient"],
  ["ENOENT while opening a file", coded("ENOENT", { syscall: "open" }), "Fatal"],
  ["EACCES", coded("EACCES", connect), "Fatal"],
  ["EPERM", coded("EPERM", connect), "Fatal"],
  ["CERT_HAS_EXPIRED", coded("CERT_HAS_EXPIRED"), "Fatal"],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", coded("DEPTH_ZERO_SELF_SIGNED_CERT"), "Fatal"],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", coded("UNABLE_TO_VERIFY_LEAF_SIGNATURE"), "Fatal"],
  ["ERR_TLS_CERT_ALTNAME_INVALID", coded("ERR_TLS_CERT_ALTNAME_INVALID"), "Fatal"],
  ["ERR_SSL_WRONG_VERSION_NUMBER", coded("ERR_SSL_WRONG_VERSION_NUMBER"), "Fatal"],
  ["ERR_STREAM_PREMATURE_CLOSE", coded("ERR_STREAM_PREMATURE_CLOSE"), "Ambiguous"],
  ["UND_ERR_CONNECT_TIMEOUT", coded("UND_ERR_CONNECT_TIMEOUT"), "Transient"],
  ["UND_ERR_SOCKET", coded("UND_ERR_SOCKET"), "Ambiguous"],
  ["UND_ERR_INVALID_ARG", coded("UND_ERR_INVALID_ARG"), "Fatal"]
]

const databases: ReadonlyArray<Row> = [
  ["PostgreSQL 57P03 starting up", coded("57P03"), "Transient"],
  ["PostgreSQL 40001 serialization failure", coded("40001"), "Transient"],
  ["PostgreSQL 53300 too many connections", coded("53300"), "RemoteSaturated"],
  ["PostgreSQL 53999, a class that is known", coded("53999"), "RemoteSaturated"],
  ["pgbouncer 08P01", coded("08P01"), "RemoteSaturated"],
  ["PostgreSQL 57P01 admin shutdown", coded("57P01"), "Ambiguous"],
  ["PostgreSQL 57014 statement timeout", coded("57014"), "Fatal"],
  ["PostgreSQL 28P01 wrong password", coded("28P01"), "Fatal"],
  ["PostgreSQL 25006 read only", coded("25006"), "Redirect"],
  ["MySQL 1040 too many connections", coded("ER_CON_COUNT_ERROR", { errno: 1040 }), "RemoteSaturated"],
  ["MySQL 1213 deadlock", coded("ER_LOCK_DEADLOCK", { errno: 1213 }), "Transient"],
  ["MySQL 2013 lost connection", coded("PROTOCOL_CONNECTION_LOST", { errno: 2013 }), "Ambiguous"],
  ["MySQL 1129 host blocked", coded("ER_HOST_IS_BLOCKED", { errno: 1129 }), "Fatal"],
  ["MySQL ER_DUP_ENTRY", coded("ER_DUP_ENTRY"), "Fatal"],
  ["Redis LOADING", named("ReplyError", "LOADING Redis is loading"), "Transient"],
  ["Redis max clients", named("ReplyError", "ERR max number of clients reached"), "RemoteSaturated"],
  ["Redis OOM", named("ReplyError", "OOM command not allowed"), "RemoteSaturated"],
  ["Redis MOVED", named("ReplyError", "MOVED 3999 127.0.0.1:6381"), "Redirect"],
  ["Redis WRONGPASS", named("ReplyError", "WRONGPASS invalid username-password pair"), "Fatal"]
]

const servers: ReadonlyArray<Row> = [
  ["HTTP 408", { status: 408 }, "Transient"],
  ["HTTP 429", { response: { status: 429, headers: {} } }, "RemoteSaturated"],
  ["HTTP 500", { statusCode: 500 }, "Ambiguous"],
  ["HTTP 503", { status: 503 }, "Ambiguous"],
  ["HTTP 503 with Retry-After", { status: 503, headers: { "Retry-After": "3" } }, "RemoteSaturated"],
  ["HTTP 404", { status: 404 }, "Fatal"],
  ["HTTP 501", { status: 501 }, "Fatal"],
  ["AWS metadata 503", { $metadata: { httpStatusCode: 503 } }, "Ambiguous"],
  ["an exit status of 1 is no HTTP", { status: 1 }, "Fatal"],
  ["gRPC 14", { code: 14, details: "no connection", metadata: {} }, "Transient"],
  ["gRPC 8", { code: 8, details: "", metadata: {} }, "RemoteSaturated"],
  ["gRPC 3", { code: 3, details: "", metadata: {} }, "Fatal"],
  ["gRPC by name", { code: "DEADLINE_EXCEEDED" }, "Ambiguous"]
]

class Stated extends Data.TaggedError("Stated")<{ readonly isRetryable: boolean; readonly cause?: unknown }> {}

const sql = (Reason: typeof SqlError.ConnectionError | typeof SqlError.UnknownError, cause: unknown) =>
  new SqlError.SqlError({ reason: new Reason({ cause }) })

const noRoom = new ResourceExhausted({
  label: "db",
  resource: "descriptors",
  used: 9,
  reserved: 1,
  requested: 1,
  limit: 10,
  headroom: 0,
  level: "Exhausted"
})

const effects: ReadonlyArray<Row> = [
  ["TimeoutError", new Cause.TimeoutError(), "Ambiguous"],
  [
    "SocketError, opening timed out",
    new Socket.SocketError({ reason: new Socket.SocketOpenError({ kind: "Timeout", cause: new Error("late") }) }),
    "Transient"
  ],
  [
    "SocketError, opening refused",
    new Socket.SocketError({ reason: new Socket.SocketOpenError({ kind: "Unknown", cause: coded("ECONNREFUSED") }) }),
    "Transient"
  ],
  [
    "SocketError, opening met EMFILE",
    new Socket.SocketError({ reason: new Socket.SocketOpenError({ kind: "Unknown", cause: coded("EMFILE") }) }),
    "LocalExhausted"
  ],
  [
    "SocketError, opening met a bad certificate",
    new Socket.SocketError({
      reason: new Socket.SocketOpenError({ kind: "Unknown", cause: coded("CERT_HAS_EXPIRED") })
    }),
    "Fatal"
  ],
  [
    "SocketError, reading",
    new Socket.SocketError({ reason: new Socket.SocketReadError({ cause: new Error("?") }) }),
    "Ambiguous"
  ],
  [
    "SocketError, closed 1013",
    new Socket.SocketError({ reason: new Socket.SocketCloseError({ code: 1013 }) }),
    "RemoteSaturated"
  ],
  [
    "SocketError, closed 1008",
    new Socket.SocketError({ reason: new Socket.SocketCloseError({ code: 1008 }) }),
    "Fatal"
  ],
  ["SqlError, connection", sql(SqlError.ConnectionError, new Error("?")), "Transient"],
  ["SqlError, connection, server full", sql(SqlError.ConnectionError, coded("53300")), "RemoteSaturated"],
  ["SqlError, unknown, but refused", sql(SqlError.UnknownError, coded("ECONNREFUSED", connect)), "Transient"],
  ["SqlError, unknown, and unknown", sql(SqlError.UnknownError, new Error("?")), "Fatal"],
  ["ResourceExhausted of the monitor", noRoom, "LocalExhausted"],
  ["an error around ResourceExhausted", {
    _tag: "PoolError",
    reason: { _tag: "Any", isRetryable: false, cause: noRoom }
  }, "LocalExhausted"],
  ["isRetryable: true", new Stated({ isRetryable: true }), "Transient"],
  ["isRetryable: true on the reason", { reason: { isRetryable: true } }, "Transient"],
  ["isRetryable: true around something fatal", new Stated({ isRetryable: true, cause: coded("EACCES") }), "Transient"],
  [
    "isRetryable: false around something transient",
    new Stated({ isRetryable: false, cause: coded("ECONNREFUSED") }),
    "Fatal"
  ],
  [
    "a connection that never was, reset",
    { _tag: "ConnectFailed", isRetryable: true, cause: coded("ECONNRESET", { syscall: "read" }) },
    "Transient"
  ]
]

const wrapped: ReadonlyArray<Row> = [
  ["fetch", new TypeError("fetch failed", { cause: coded("ECONNREFUSED", connect) }), "Transient"],
  [
    "fetch over Happy Eyeballs",
    new TypeError("fetch failed", { cause: new AggregateError([coded("ECONNREFUSED", connect)]) }),
    "Transient"
  ],
  [
    "EMFILE inside an AggregateError",
    new AggregateError([coded("ECONNREFUSED", connect), coded("EMFILE", connect)]),
    "LocalExhausted"
  ],
  [
    "one good address of two",
    Object.assign(new AggregateError([coded("EACCES", connect), coded("ECONNREFUSED", connect)]), { code: "EACCES" }),
    "Transient"
  ],
  ["an AggregateError with nothing known", new AggregateError([new Error("?")]), "Fatal"]
]

const unknown: ReadonlyArray<Row> = [
  ["undefined", undefined, "Fatal"],
  ["null", null, "Fatal"],
  ["a string", "ECONNREFUSED", "Fatal"],
  ["a plain error", new Error("connect ECONNREFUSED 127.0.0.1:1"), "Fatal"],
  ["a code nobody knows", coded("E_SOMETHING"), "Fatal"],
  ["a word of five letters is no SQLSTATE", coded("ABCDE"), "Fatal"]
]

describe("Failure", () => {
  describe.each([
    ["Node", node],
    ["databases", databases],
    ["servers", servers],
    ["Effect's and our own errors", effects],
    ["wrapped", wrapped],
    ["unknown", unknown]
  ])("%s", (_, rows) => {
    it.each(rows)("%s", (_, error, expected) => {
      assert.strictEqual(classOf(error), expected)
    })
  })

  it("fault 14, classed by searching the debug text: words in a message change nothing", () => {
    for (const text of ["Too many open files EMFILE", "ECONNREFUSED", "connection reset", "timeout", "ENOTFOUND 503"]) {
      assert.deepStrictEqual(Failure.classify(new Error(text)), { class: "Fatal", code: undefined })
      assert.strictEqual(classOf(Object.assign(new Error(text), { code: "ECONNREFUSED" })), "Transient")
      assert.strictEqual(classOf(Object.assign(new Error(text), { code: "EACCES" })), "Fatal")
    }
  })

  it("names the code that decided", () => {
    assert.strictEqual(Failure.classify({ cause: coded("53300") }).code, "53300")
    assert.strictEqual(Failure.classify({ status: 429 }).code, "HTTP_429")
    assert.strictEqual(Failure.classify(coded("ER_X", { errno: 1040 })).code, "MYSQL_1040")
    assert.strictEqual(Failure.classify({ code: 14, details: "" }).code, "UNAVAILABLE")
  })

  it("reads Retry-After as seconds, and as a date against the server's own clock", () => {
    const seconds = { status: 429, headers: { "retry-after": "7" } }
    assert.deepStrictEqual(Failure.classify(seconds).retryAfter, Duration.seconds(7))
    const response = new Response(null, {
      status: 503,
      headers: { "Date": "Wed, 21 Oct 2015 07:28:00 GMT", "Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT" }
    })
    assert.deepStrictEqual(Failure.classify({ response }), {
      class: "RemoteSaturated",
      code: "HTTP_503",
      retryAfter: Duration.seconds(30)
    })
    assert.isUndefined(Failure.classify({ status: 429, headers: { "retry-after": "soon" } }).retryAfter)
  })

  it("is total: cycles, depth, width and getters that throw do no harm", () => {
    const cycle: { cause?: unknown } = {}
    cycle.cause = { cause: cycle, errors: [cycle] }
    assert.strictEqual(classOf(cycle), "Fatal")
    let deep: unknown = coded("EMFILE")
    for (let i = 0; i < 10_000; i++) deep = { cause: deep }
    assert.strictEqual(classOf(deep), "Fatal")
    assert.strictEqual(classOf(new AggregateError(Array.from({ length: 10_000 }, () => new Error("?")))), "Fatal")
    const trap = {
      get code(): string {
        throw new Error("trap")
      },
      cause: coded("ECONNREFUSED", connect)
    }
    assert.strictEqual(classOf(trap), "Transient")
  })

  // oxlint-disable-next-line effecttsgo/global-fetch -- Node's own fetch is the point: it wraps the failure.
  const fetchFailure = (url: string): Promise<unknown> => fetch(url).catch((error: unknown) => error)

  const dial = (options: Net.NetConnectOpts): Promise<unknown> =>
    new Promise((resolve) => {
      const socket = Net.connect(options)
      socket.on("connect", () => socket.write("hello"))
      socket.on("error", resolve)
      socket.on("close", () => resolve(undefined))
      socket.resume()
    })

  const listening = (onConnection: (socket: Net.Socket) => void) =>
    Effect.acquireRelease(
      Effect.promise(() =>
        new Promise<Net.Server>((resolve) => {
          const server = Net.createServer(onConnection)
          server.listen(0, "127.0.0.1", () => resolve(server))
        })
      ),
      (server) => Effect.promise(() => new Promise((resolve) => server.close(resolve)))
    )

  const portOf = (server: Net.Server): number => {
    const address = server.address()
    return typeof address === "object" && address !== null ? address.port : 0
  }

  it.live("a real refusal is Transient, on one address and over several", () =>
    Effect.gen(function*() {
      const port = yield* Effect.scoped(Effect.map(listening(() => {}), portOf))
      const one = yield* Effect.promise(() => dial({ host: "127.0.0.1", port }))
      assert.deepStrictEqual(Failure.classify(one), { class: "Transient", code: "ECONNREFUSED" })
      const several = yield* Effect.promise(() => dial({ host: "localhost", port, autoSelectFamily: true }))
      assert.strictEqual(classOf(several), "Transient")
      const fetched = yield* Effect.promise(() => fetchFailure(`http://localhost:${port}`))
      assert.strictEqual(classOf(fetched), "Transient")
    }))

  it.live("a real reset of an open connection is Ambiguous", () =>
    Effect.gen(function*() {
      const server = yield* listening((socket) => socket.once("data", () => socket.resetAndDestroy()))
      const error = yield* Effect.promise(() => dial({ host: "127.0.0.1", port: portOf(server) }))
      assert.deepStrictEqual(Failure.classify(error), { class: "Ambiguous", code: "ECONNRESET" })
    }))

  it.live("a real name that does not exist is Transient", () =>
    Effect.gen(function*() {
      const error = yield* Effect.promise(() => dial({ host: "no-such-host.invalid", port: 1 }))
      assert.include(["ENOTFOUND", "EAI_AGAIN"], Failure.classify(error).code)
      assert.strictEqual(classOf(error), "Transient")
    }))

  it.live("a real Unix socket that is not there yet is Transient", () =>
    Effect.gen(function*() {
      const error = yield* Effect.promise(() => dial({ path: Path.join(Os.tmpdir(), "no-such-sluice.sock") }))
      assert.deepStrictEqual(Failure.classify(error), { class: "Transient", code: "ENOENT" })
    }))

  it.live("a real address that is not ours is Fatal when we bind it", () =>
    Effect.gen(function*() {
      const error = yield* Effect.promise(() =>
        new Promise<unknown>((resolve) => Net.createServer().on("error", resolve).listen(0, "192.0.2.1"))
      )
      assert.deepStrictEqual(Failure.classify(error), { class: "Fatal", code: "EADDRNOTAVAIL" })
    }))

  it("a RetryError says what its reason says", () => {
    const fields = { label: "x", attempts: 1, elapsed: Duration.zero, cause: new Error("?") }
    const failure = Failure.make("Fatal")
    const fatal = new RetryPolicy.RetryError({ reason: new RetryPolicy.NotRetryable({ ...fields, failure }) })
    assert.strictEqual(classOf(fatal), "Fatal")
    const spent = new RetryPolicy.RetryError({
      reason: new RetryPolicy.AttemptsExhausted({ ...fields, failure, maxAttempts: 1 })
    })
    assert.strictEqual(classOf(spent), "Transient")
  })
})
