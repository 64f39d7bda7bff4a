import { assert, describe, it } from "@effect/vitest"
import { Cause, Data, Duration, Effect, Schema } from "effect"
import { AcquireTimeout, ConnectFailed, PoolClosed, PoolError } from "effect-sluice/ConnectionPool"
import * as Endpoint from "effect-sluice/Endpoint"
import * as Failure from "effect-sluice/Failure"
import { ResourceExhausted } from "effect-sluice/ResourceMonitor"
import { DialFailed } from "effect-sluice/TcpConnection"
import * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as CircuitBreaker from "effect/persistence/CircuitBreaker"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Redis from "effect/persistence/Redis"
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

/** One row for each of many codes that mean the same. */
const each = (codes: string, expected: Failure.FailureClass, error: (code: string) => unknown): ReadonlyArray<Row> =>
  codes.split(" ").map((code) => [code, error(code), expected])

const node: ReadonlyArray<Row> = [
  ...each(
    "ECONNREFUSED EHOSTUNREACH ENETUNREACH EHOSTDOWN ENETDOWN ECONNRESET EPIPE ECONNABORTED ETIMEDOUT ENOENT",
    "Transient",
    (code) => coded(code, connect)
  ),
  ...each("EAI_AGAIN ENOTFOUND", "Transient", (code) => coded(code, { syscall: "getaddrinfo" })),
  ["ECONNRESET in a TLS handshake", coded("ECONNRESET", { host: "h", localAddress: undefined }), "Transient"],
  ...each("ECONNRESET ETIMEDOUT EHOSTUNREACH ENETDOWN", "Ambiguous", (code) => coded(code, { syscall: "read" })),
  ...each("EPIPE ECONNRESET ECONNABORTED ETIMEDOUT", "Ambiguous", (code) => coded(code, { syscall: "write" })),
  ["ECONNRESET as HTTP's socket hang up", coded("ECONNRESET"), "Ambiguous"],
  ["EMFILE while resolving", coded("EMFILE", { syscall: "getaddrinfo" }), "LocalExhausted"],
  ...each(
    "EMFILE ENFILE ENOBUFS ENOMEM EADDRNOTAVAIL EADDRINUSE",
    "LocalExhausted",
    (code) => coded(code, connect)
  ),
  ["EADDRNOTAVAIL while binding", coded("EADDRNOTAVAIL", { syscall: "bind" }), "Fatal"],
  ["EADDRINUSE while listening", coded("EADDRINUSE", { syscall: "listen" }), "Fatal"],
  ["EAGAIN while dialling", coded("EAGAIN", connect), "RemoteSaturated"],
  ["ENOENT while opening a file", coded("ENOENT", { syscall: "open" }), "Fatal"],
  ...each("EACCES EPERM EINVAL EAFNOSUPPORT EPROTO", "Fatal", (code) => coded(code, connect)),
  ...each(
    "CERT_HAS_EXPIRED CERT_NOT_YET_VALID CERT_REVOKED DEPTH_ZERO_SELF_SIGNED_CERT SELF_SIGNED_CERT_IN_CHAIN " +
      "UNABLE_TO_VERIFY_LEAF_SIGNATURE UNABLE_TO_GET_ISSUER_CERT ERR_TLS_CERT_ALTNAME_INVALID ERR_SSL_WRONG_VERSION_NUMBER",
    "Fatal",
    coded
  ),
  ...each("ERR_SOCKET_CLOSED ERR_STREAM_PREMATURE_CLOSE ERR_STREAM_DESTROYED", "Ambiguous", coded),
  ["ERR_SOCKET_CONNECTION_TIMEOUT", coded("ERR_SOCKET_CONNECTION_TIMEOUT"), "Transient"],
  ["ERR_SOCKET_BAD_PORT", coded("ERR_SOCKET_BAD_PORT"), "Fatal"],
  ["UND_ERR_CONNECT_TIMEOUT", coded("UND_ERR_CONNECT_TIMEOUT"), "Transient"],
  ...each("UND_ERR_SOCKET UND_ERR_HEADERS_TIMEOUT UND_ERR_BODY_TIMEOUT", "Ambiguous", coded),
  ...each(
    "UND_ERR_ABORTED UND_ERR_DESTROYED UND_ERR_CLOSED UND_ERR_INVALID_ARG UND_ERR_HEADERS_OVERFLOW " +
      "UND_ERR_RES_EXCEEDED_MAX_SIZE",
    "Fatal",
    coded
  ),
  ["ABORT_ERR around a reset", coded("ABORT_ERR", { cause: coded("ECONNRESET", connect) }), "Fatal"]
]

const mysql = (code: string) => coded("ER_ANY", { errno: Number(code) })
const reply = (code: string) => named("ReplyError", `${code} in some words`)

const databases: ReadonlyArray<Row> = [
  ...each("08001 08004 57P03 40001 40P01 55P03 55006 55000", "Transient", coded),
  ...each("53300 53400 53200 53100 53999", "RemoteSaturated", coded),
  ...each("08000 08003 08006 08007 57P01 57P02 58030", "Ambiguous", coded),
  ...each("57014 28000 28P01 3D000 08P01 42601 42P01 22001 23505 XX000 0A000", "Fatal", coded),
  ["25006", coded("25006"), "Redirect"],
  [
    "Neon's XX000 for too many connections",
    Object.assign(new Error("Too many database connection attempts are currently ongoing."), { code: "XX000" }),
    "RemoteSaturated"
  ],
  ...each("1040 1203 1226 1135 1037 1041", "RemoteSaturated", mysql),
  ...each("1205 1213 1053 2002 2003 1042 1614 3572", "Transient", mysql),
  ...each("2006 2013 1152 1158 1159 1160 1161 1184 1927 4031", "Ambiguous", mysql),
  ...each("1290 1836", "Redirect", mysql),
  ...each("1129 1044 1045 1049 1062 1064", "Fatal", mysql),
  ["ER_DUP_ENTRY without a number", coded("ER_DUP_ENTRY"), "Fatal"],
  ...each("PROTOCOL_CONNECTION_LOST ER_SOCKET_UNEXPECTED_CLOSE CONNECTION_CLOSED", "Ambiguous", coded),
  ...each("ER_CONNECTION_TIMEOUT ER_GET_CONNECTION_TIMEOUT CONNECT_TIMEOUT", "Transient", coded),
  ...each("LOADING TRYAGAIN CLUSTERDOWN MASTERDOWN NOREPLICAS", "Transient", reply),
  ...each("OOM BUSY MISCONF", "RemoteSaturated", reply),
  ...each("MOVED ASK REDIRECT READONLY UNBLOCKED", "Redirect", reply),
  ...each("NOAUTH WRONGPASS NOPERM CROSSSLOT EXECABORT WRONGTYPE BUSYKEY ERR", "Fatal", reply),
  ["Redis with too many clients", named("ReplyError", "ERR max number of clients reached"), "RemoteSaturated"],
  ["words of Redis in another error", named("Error", "LOADING in some words"), "Fatal"],
  ["MongoDB's network", named("MongoNetworkError", "connection 1 closed"), "Ambiguous"],
  ["MongoDB under overload", { code: 462, errorLabels: ["RetryableError", "SystemOverloadedError"] }, "RemoteSaturated"]
]

const http2 = (kind: string, word: string | number) =>
  Object.assign(new Error(`closed with error code ${word}`), { code: `ERR_HTTP2_${kind}_ERROR` })

const grpc = (code: string) => ({ code: Number(code), details: "", metadata: {} })

const servers: ReadonlyArray<Row> = [
  ...each("408 425 421", "Transient", (code) => ({ status: Number(code) })),
  ...each("429 529", "RemoteSaturated", (code) => ({ response: { status: Number(code), headers: {} } })),
  ...each("500 502 503 504", "Ambiguous", (code) => ({ statusCode: Number(code) })),
  ...each("501 505 400 401 403 404 409 410 413 422 451", "Fatal", (code) => ({ status: Number(code) })),
  ...each("301 302 303 307 308", "Redirect", (code) => ({ status: Number(code) })),
  ["503 with Retry-After", { status: 503, headers: { "Retry-After": "3" } }, "RemoteSaturated"],
  ["AWS metadata 503", { $metadata: { httpStatusCode: 503 } }, "Ambiguous"],
  [
    "AWS throttling with 400",
    { $metadata: { httpStatusCode: 400 }, $retryable: { throttling: true } },
    "RemoteSaturated"
  ],
  ["an exit status of 1 is no HTTP", { status: 1 }, "Fatal"],
  ["undici's status beside a code", coded("UND_ERR_RESPONSE", { statusCode: 429 }), "RemoteSaturated"],
  ["axios' status beside a code", coded("ERR_BAD_RESPONSE", { response: { status: 529 } }), "RemoteSaturated"],
  ["axios' answer that was cut off", coded("ERR_BAD_RESPONSE", { response: { status: 200 } }), "Ambiguous"],
  ["a code says more than the status it was given", coded("ECONNREFUSED", { status: 500 }), "Transient"],
  ["HTTP/2, refused", http2("STREAM", "NGHTTP2_REFUSED_STREAM"), "Transient"],
  ["HTTP/2, told to calm", http2("STREAM", "NGHTTP2_ENHANCE_YOUR_CALM"), "RemoteSaturated"],
  ["HTTP/2, session told to calm", http2("SESSION", 11), "RemoteSaturated"],
  ["HTTP/2, internal error", http2("STREAM", "NGHTTP2_INTERNAL_ERROR"), "Ambiguous"],
  ["HTTP/2, text that is no code of its own", http2("STREAM", "ECONNREFUSED"), "Ambiguous"],
  ["HTTP/2, session that goes away", coded("ERR_HTTP2_GOAWAY_SESSION"), "Transient"],
  ...each("14 10", "Transient", grpc),
  ["8", grpc("8"), "RemoteSaturated"],
  ...each("4 2 13", "Ambiguous", grpc),
  ...each("1 3 5 6 7 9 11 12 15 16", "Fatal", grpc),
  ["gRPC by name", { code: "DEADLINE_EXCEEDED" }, "Ambiguous"],
  [
    "Connect's error",
    { name: "ConnectError", code: 14, rawMessage: "", details: [], metadata: new Headers() },
    "Transient"
  ]
]

class Stated extends Data.TaggedError("Stated")<{ readonly isRetryable: boolean; readonly cause?: unknown }> {}

type Reason = Exclude<SqlError.SqlErrorReason, SqlError.UniqueViolation>

const sql = (
  Reason: new(props: { readonly cause: unknown; readonly operation?: string }) => Reason,
  cause: unknown,
  operation?: string
) => new SqlError.SqlError({ reason: new Reason({ cause, ...(operation === undefined ? {} : { operation }) }) })

const redis = (cause: unknown) => new Redis.RedisError({ cause })

/** Errors as node-redis throws them: told apart by their class alone. */
class SocketClosedUnexpectedlyError extends Error {}
class ClientOfflineError extends Error {}
class SimpleError extends Error {}

const request = HttpClientRequest.get("http://localhost/")
const httpError = (status: number, headers: Record<string, string> = {}) =>
  new HttpClientError.HttpClientError({
    reason: new HttpClientError.StatusCodeError({
      request,
      response: HttpClientResponse.fromWeb(request, new Response(null, { status, headers }))
    })
  })
const transportError = (cause: unknown) =>
  new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request, cause }) })

const rateLimited = new RateLimiter.RateLimiterError({
  reason: new RateLimiter.RateLimitExceeded({ key: "k", retryAfter: Duration.seconds(2), limit: 1, remaining: 0 })
})
const circuitOpen = new CircuitBreaker.CircuitBreakerError({
  reason: new CircuitBreaker.CircuitOpen({ key: "k", retryAfter: Duration.seconds(4) })
})

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

const none = { total: 0, active: 0, idle: 0, connecting: 0, closing: 0, leftBehind: 0, waiting: 0 }
const acquireTimeout = (cause: unknown) =>
  new AcquireTimeout({
    key: "k",
    after: Duration.seconds(1),
    stalledBy: "Connecting",
    position: 1,
    endpoint: none,
    pool: none,
    holders: [],
    isServerFull: false,
    cause
  })

const closed = (code: string) => new Socket.SocketError({ reason: new Socket.SocketCloseError({ code: Number(code) }) })

const interrupted = new RetryPolicy.RetryError({
  reason: new RetryPolicy.DeadlineExceeded({
    label: "x",
    attempts: 2,
    elapsed: Duration.seconds(1),
    deadline: Duration.seconds(1),
    interrupted: true,
    cause: coded("ECONNREFUSED", connect)
  })
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
  ...each("1013", "RemoteSaturated", closed),
  ...each("1001 1012", "Transient", closed),
  ...each("1000 1005 1006 1011 1014", "Ambiguous", closed),
  ...each("1002 1003 1007 1008 1009 1010 1015 4000", "Fatal", closed),
  ["SqlError, connection", sql(SqlError.ConnectionError, new Error("?")), "Ambiguous"],
  ["SqlError, connecting", sql(SqlError.ConnectionError, new Error("?"), "connect"), "Transient"],
  ["SqlError, connection lost under a query", sql(SqlError.ConnectionError, coded("57P01"), "query"), "Ambiguous"],
  ["SqlError, connection lost under the login", sql(SqlError.ConnectionError, coded("57P01"), "connect"), "Transient"],
  ["SqlError, statement timeout", sql(SqlError.StatementTimeoutError, coded("57014")), "Fatal"],
  ["SqlError, deadlock without a code", sql(SqlError.DeadlockError, new Error("?")), "Transient"],
  ["SqlError, wrong password without a code", sql(SqlError.AuthenticationError, new Error("?")), "Fatal"],
  ["SqlError, connection, server full", sql(SqlError.ConnectionError, coded("53300")), "RemoteSaturated"],
  ["SqlError, unknown, but refused", sql(SqlError.UnknownError, coded("ECONNREFUSED", connect)), "Transient"],
  ["SqlError, unknown, and unknown", sql(SqlError.UnknownError, new Error("?")), "Fatal"],
  ["RedisError, closed", redis(new SocketClosedUnexpectedlyError("?")), "Ambiguous"],
  ["RedisError, offline", redis(new ClientOfflineError("?")), "Transient"],
  ["RedisError, a reply", redis(new SimpleError("OOM command not allowed")), "RemoteSaturated"],
  ["RedisError, refused", redis(coded("ECONNREFUSED", connect)), "Transient"],
  ["RedisError, waited too long", redis(new Cause.TimeoutError("?")), "Ambiguous"],
  ["HttpClientError, 429", httpError(429), "RemoteSaturated"],
  ["HttpClientError, 503 with Retry-After", httpError(503, { "retry-after": "1" }), "RemoteSaturated"],
  ["HttpClientError, 404", httpError(404), "Fatal"],
  ["HttpClientError, transport, refused", transportError(coded("ECONNREFUSED", connect)), "Transient"],
  ["HttpClientError, transport, unknown", transportError(new Error("?")), "Ambiguous"],
  ["RateLimiterError", rateLimited, "RemoteSaturated"],
  ["CircuitBreakerError", circuitOpen, "RemoteSaturated"],
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
    "isRetryable: true around what may have been done",
    new Stated({ isRetryable: true, cause: coded("EPIPE") }),
    "Ambiguous"
  ],
  ["isRetryable: false around another primary", new Stated({ isRetryable: false, cause: coded("25006") }), "Redirect"],
  ["AcquireTimeout", new PoolError({ reason: acquireTimeout(undefined) }), "Transient"],
  ["AcquireTimeout after a full server", new PoolError({ reason: acquireTimeout(coded("53300")) }), "RemoteSaturated"],
  ["AcquireTimeout after a broken login", new PoolError({ reason: acquireTimeout(coded("EPIPE")) }), "Transient"],
  ["PoolClosed", new PoolError({ reason: new PoolClosed({ key: "k" }) }), "Fatal"],
  [
    "a pool that gave up dialling",
    new PoolError({ reason: new ConnectFailed({ key: "k", cause: coded("EPIPE") }) }),
    "Fatal"
  ],
  ["a request that was not sent", { _tag: "ConnectionLost", sent: false, cause: coded("ECONNRESET") }, "Transient"],
  ["a request that was sent", { _tag: "ConnectionLost", sent: true, cause: coded("ECONNRESET") }, "Ambiguous"],
  ["an attempt at its deadline, after a refusal", interrupted, "Ambiguous"],
  [
    "a connection that never was, reset",
    { _tag: "DialFailed", isRetryable: true, cause: coded("ECONNRESET", { syscall: "read" }) },
    "Transient"
  ],
  ["a dial that took too long", { _tag: "DialTimeout" }, "Transient"]
]

const wrapped: ReadonlyArray<Row> = [
  ["fetch", new TypeError("fetch failed", { cause: coded("ECONNREFUSED", connect) }), "Transient"],
  [
    "fetch over Happy Eyeballs",
    new TypeError("fetch failed", { cause: new AggregateError([coded("ECONNREFUSED", connect)]) }),
    "Transient"
  ],
  [
    "EADDRNOTAVAIL of an IPv6 address beside the refusal of an IPv4 one",
    new AggregateError([coded("EADDRNOTAVAIL", connect), coded("ECONNREFUSED", connect)]),
    "Transient"
  ],
  [
    "EADDRNOTAVAIL of every address",
    new AggregateError([coded("EADDRNOTAVAIL", connect), coded("EADDRNOTAVAIL", connect)]),
    "LocalExhausted"
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
  [
    "of several requests, one may have been done",
    new AggregateError([coded("ECONNREFUSED", connect), coded("ECONNRESET", { syscall: "read" })]),
    "Ambiguous"
  ],
  [
    "the last of sixty",
    new AggregateError(Array.from({ length: 60 }, (_, i) => i < 59 ? {} : coded("EMFILE"))),
    "LocalExhausted"
  ],
  ["a code beside a list of details", coded("ECONNREFUSED", { errors: [{ field: "x" }] }), "Transient"],
  [
    "a wrapper that repeats the code of a dial",
    coded("ECONNRESET", { cause: coded("ECONNRESET", connect) }),
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

  describe("a text of a driver", () => {
    const lost = "Connection terminated unexpectedly"

    it("counts as a whole, or from its beginning where it goes on with details", () => {
      const texts = [lost, "Socket timeout. Expecting data, but didn't receive any in 30ms."]
      for (const text of texts) {
        assert.strictEqual(classOf(new Error(text)), "Ambiguous")
        assert.strictEqual(classOf({ cause: new Error(text) }), "Ambiguous")
        for (const other of [`: ${text}`, ` ${text}`, text.toLowerCase()]) {
          assert.strictEqual(classOf(new Error(other)), "Fatal")
        }
      }
      for (const other of [`${lost}.`, `${lost} by peer`]) assert.strictEqual(classOf(new Error(other)), "Fatal")
    })

    it("counts only where an error has neither a code nor a tag nor a class of its own", () => {
      class Mine extends Error {}
      assert.strictEqual(classOf(coded("E_MINE", { message: lost })), "Fatal")
      assert.strictEqual(classOf(Object.assign(new Error(lost), { _tag: "Mine" })), "Fatal")
      assert.strictEqual(classOf(new Mine(lost)), "Fatal")
      assert.strictEqual(classOf(named("Mine", lost)), "Fatal")
      assert.strictEqual(classOf({ message: lost }), "Fatal")
      assert.strictEqual(classOf(lost), "Fatal")
    })

    it("is a code that a classifier can give another meaning", () => {
      assert.strictEqual(Failure.byCode({ [lost]: "Transient" })({ cause: new Error(lost) })?.class, "Transient")
    })

    it("of Node's AbortError says nothing: the reason of its signal does", () => {
      const abort = (cause: unknown) =>
        Object.assign(named("AbortError", "The operation was aborted"), { code: "ABORT_ERR", cause })
      assert.strictEqual(classOf(abort(new DOMException("late", "TimeoutError"))), "Ambiguous")
      assert.strictEqual(classOf(abort(new DOMException("enough", "AbortError"))), "Fatal")
      assert.strictEqual(classOf(abort(undefined)), "Fatal")
    })
  })

  it("names the code that decided", () => {
    assert.strictEqual(Failure.classify({ cause: coded("53300") }).code, "53300")
    assert.strictEqual(Failure.classify({ status: 429 }).code, "HTTP_429")
    assert.strictEqual(Failure.classify(coded("ER_X", { errno: 1040 })).code, "MYSQL_1040")
    assert.strictEqual(Failure.classify({ code: 14, details: "" }).code, "UNAVAILABLE")
  })

  it("knows what was certainly not sent, and what may have been", () => {
    const sentOf = (error: unknown) => Failure.classify(error).sent
    assert.deepStrictEqual(
      [
        coded("ECONNREFUSED"),
        coded("EPIPE", connect),
        coded("EAI_AGAIN", { syscall: "getaddrinfo" }),
        coded("57P03"),
        http2("STREAM", "NGHTTP2_REFUSED_STREAM"),
        { errorLabels: ["SystemOverloadedError"] },
        circuitOpen,
        { sent: false, code: "EPIPE" }
      ].map(sentOf),
      [false, false, false, false, false, false, false, false]
    )
    assert.isTrue(sentOf({ _tag: "ConnectionLost", sent: true }))
    for (const error of [coded("EPIPE"), coded("40001"), { status: 429 }, new Error("?")]) {
      assert.isUndefined(sentOf(error))
    }
    // The outermost word counts: the handshake was sent, the request was not.
    assert.isFalse(sentOf({ _tag: "HandshakeFailed", cause: { _tag: "ConnectionLost", sent: true } }))
  })

  describe("of a dial", () => {
    const ofDial = (error: unknown) => Failure.classify(error, { dial: true })

    it.each<readonly [name: string, error: unknown]>([
      ["a text without a code", new Error("the handshake went wrong")],
      ["a code of its own", coded("E_SOMETHING")],
      ["something that is no error", "refused"],
      ["nothing", undefined],
      ["what a promise was rejected with", new Cause.UnknownError(new Error("?"))],
      ["a reset of the login", coded("ECONNRESET", { syscall: "read" })],
      ["a login that took too long", new Cause.TimeoutError()],
      ["a server that ended the connection of the login", coded("57P01")],
      ["HTTP's 502 from a proxy", { status: 502 }],
      ["a host that cannot be reached just now", coded("EHOSTUNREACH")]
    ])("%s is Transient, and nothing was sent", (_, error) => {
      const { class: name, sent } = ofDial(error)
      assert.deepStrictEqual([name, sent], ["Transient", false])
    })

    it.each<Row>([
      ["a wrong password", coded("28P01"), "Fatal"],
      ["a database that is not there", coded("3D000"), "Fatal"],
      ["a wrong password of MySQL", mysql("1045"), "Fatal"],
      ["a login that Redis wants", reply("NOAUTH"), "Fatal"],
      ["a certificate", coded("CERT_HAS_EXPIRED"), "Fatal"],
      ["HTTP's 401", { status: 401 }, "Fatal"],
      ["a TypeError", new TypeError("Password must be a string"), "Fatal"],
      ["a TypeError in a promise", new Cause.UnknownError(new TypeError("?")), "Fatal"],
      ["a ReferenceError", new ReferenceError("host is not defined"), "Fatal"],
      ["an option that Node refuses", coded("ERR_INVALID_ARG_TYPE", { name: "TypeError" }), "Fatal"],
      ["what its maker calls final", new Stated({ isRetryable: false }), "Fatal"],
      ["a server that is full", coded("53300"), "RemoteSaturated"],
      ["another primary", coded("25006"), "Redirect"],
      ["want of descriptors", coded("EMFILE"), "LocalExhausted"]
    ])("%s keeps its class", (_, error, expected) => {
      assert.strictEqual(ofDial(error).class, expected)
    })

    it("an error that says so itself is one", () => {
      const unknown = new Error("?")
      const errors = [
        { _tag: "DialFailed", isRetryable: false, cause: unknown },
        { _tag: "DialFailed", isRetryable: true, cause: unknown },
        { _tag: "DialFailed", isRetryable: false, cause: coded("ERR_SOCKET_CLOSED_BEFORE_CONNECTION") },
        sql(SqlError.UnknownError, unknown, "connect"),
        new Socket.SocketError({ reason: new Socket.SocketOpenError({ kind: "Unknown", cause: unknown }) })
      ].map((error) => Failure.classify(error))
      for (const failure of errors) assert.deepInclude(failure, { class: "Transient", sent: false })
      const named = { _tag: "DialFailed", isRetryable: true, cause: coded("HOSTNAME_MISMATCH") }
      assert.deepStrictEqual(Failure.classify(named), Failure.make("Fatal", { code: "HOSTNAME_MISMATCH", sent: false }))
      assert.strictEqual(classOf({ sent: true, cause: { _tag: "Any", cause: unknown } }), "Fatal")
    })

    it("of TcpConnection is retryable by its own word where its class is not Fatal", () => {
      const codes =
        "ECONNREFUSED ENOTFOUND ETIMEDOUT EACCES EINVAL EPROTO CERT_HAS_EXPIRED CRL_HAS_EXPIRED INVALID_CA " +
        "INVALID_PURPOSE HOSTNAME_MISMATCH UNABLE_TO_VERIFY_LEAF_SIGNATURE SELF_SIGNED_CERT_IN_CHAIN ERR_SSL_WRONG_VERSION_NUMBER " +
        "ERR_TLS_CERT_ALTNAME_INVALID ERR_SOCKET_BAD_PORT ERR_SOCKET_CLOSED_BEFORE_CONNECTION ERR_SOCKET_CONNECTION_TIMEOUT " +
        "ERR_TLS_HANDSHAKE_TIMEOUT ERR_STREAM_PREMATURE_CLOSE"
      for (const code of codes.split(" ")) {
        const reason = new DialFailed({ endpoint: Endpoint.tcp("h", 1), cause: coded(code, connect) })
        assert.strictEqual(reason.isRetryable, Failure.classify(reason).class !== "Fatal", code)
      }
    })
  })

  it("says what somebody has to do where a code says so", () => {
    assert.include(Failure.classify({ cause: coded("CERT_NOT_YET_VALID") }).advice, "clocks")
    assert.include(Failure.classify(coded("CERT_HAS_EXPIRED")).advice, "clocks")
    assert.include(Failure.classify(coded("53100")).advice, "disk")
    assert.include(Failure.classify(mysql("1129")).advice, "FLUSH HOSTS")
    assert.notProperty(Failure.classify(coded("CERT_REVOKED")), "advice")
  })

  describe("is total", () => {
    const keys = [
      "code",
      "errno",
      "status",
      "statusCode",
      "_tag",
      "name",
      "syscall",
      "errorLabels",
      "retryAfter",
      "sent"
    ]

    it("cycles, depth and width do no harm", () => {
      const nested = (depth: number): object => depth === 1 ? coded("EMFILE") : { cause: nested(depth - 1) }
      assert.deepStrictEqual([classOf(nested(8)), classOf(nested(9))], ["LocalExhausted", "Fatal"])
      let asked = 0
      const shared = {
        get reason() {
          return void asked++
        }
      }
      classOf({ cause: shared, errors: [shared, { cause: shared }] })
      assert.strictEqual(asked, 1)
      const cycle: { cause?: unknown } = {}
      cycle.cause = { cause: cycle, errors: [cycle] }
      assert.strictEqual(classOf(cycle), "Fatal")
      let deep: unknown = coded("EMFILE")
      for (let i = 0; i < 10_000; i++) deep = { cause: deep }
      assert.strictEqual(classOf(deep), "Fatal")
      assert.strictEqual(classOf(new AggregateError(Array.from({ length: 10_000 }, () => new Error("?")))), "Fatal")
      let made = 0
      const endless = (): object => ({
        get cause() {
          made++
          return endless()
        },
        get errors() {
          return [endless(), endless(), endless()]
        }
      })
      assert.strictEqual(classOf(endless()), "Fatal")
      assert.isAtMost(made, 200)
    })

    it("a list of a thousand million holes costs nothing", () => {
      const errors: Array<unknown> = []
      errors.length = 1e9
      const start = performance.now()
      assert.strictEqual(classOf({ errors, cause: coded("EMFILE") }), "LocalExhausted")
      assert.isBelow(performance.now() - start, 1000)
    })

    it("getters that throw say nothing", () => {
      const trap = {
        get code(): string {
          throw new Error("trap")
        },
        cause: coded("ECONNREFUSED", connect)
      }
      assert.strictEqual(classOf(trap), "Transient")
      const headers = {
        get get(): unknown {
          throw new Error("trap")
        }
      }
      assert.strictEqual(classOf({ status: 429, headers }), "RemoteSaturated")
      const failing = {
        get: () => {
          throw new Error("trap")
        }
      }
      assert.strictEqual(classOf({ status: 429, headers: failing }), "RemoteSaturated")
      assert.strictEqual(classOf({ code: 14, details: "", metadata: failing }), "Transient")
    })

    it("proxies whose traps all throw, and revoked ones, say nothing", () => {
      const trap = (): never => {
        throw new Error("trap")
      }
      const handler = { get: trap, has: trap, ownKeys: trap, getPrototypeOf: trap, getOwnPropertyDescriptor: trap }
      const { proxy, revoke } = Proxy.revocable<Array<unknown>>([], {})
      revoke()
      for (const hostile of [new Proxy({}, handler), new Proxy([], handler), proxy]) {
        assert.deepStrictEqual(Failure.classify(hostile), { class: "Fatal", code: undefined })
        assert.strictEqual(classOf({ cause: hostile, errors: [hostile, coded("EMFILE")] }), "LocalExhausted")
        assert.strictEqual(classOf({ errors: hostile, cause: coded("ECONNREFUSED") }), "Transient")
        assert.strictEqual(classOf({ status: 429, headers: hostile }), "RemoteSaturated")
        assert.strictEqual(classOf({ code: 14, details: "", metadata: hostile }), "Transient")
        for (const key of [...keys, "constructor", "message", "reason", "response", "$metadata", "$retryable"]) {
          assert.strictEqual(classOf({ [key]: hostile }), "Fatal", key)
          assert.strictEqual(classOf({ [key]: hostile, cause: coded("ECONNREFUSED") }), "Transient", key)
        }
        const detail = { type: "google.rpc.RetryInfo", value: hostile }
        assert.strictEqual(classOf({ code: 14, rawMessage: "", details: [hostile, detail] }), "Transient")
      }
    })

    it("values of the wrong type are no codes", () => {
      const nonsense = [NaN, -1, 1e300, 14n, Symbol("EMFILE"), () => "EMFILE", [], ["EMFILE"], {}, true, null, ""]
      for (const value of nonsense) {
        for (const key of keys) assert.oneOf(classOf({ [key]: value }), ["Fatal"], `${key}: ${typeof value}`)
        assert.strictEqual(classOf(value), "Fatal")
      }
    })

    it.effect.prop("anything at all is classed", [Schema.Unknown], ([error]) =>
      Effect.sync(() => {
        assert.isString(Failure.classify(error).class)
        assert.isString(Failure.classify({ cause: error, errors: [error], metadata: error, headers: error }).class)
      }))
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
      assert.deepStrictEqual(Failure.classify(one), { class: "Transient", code: "ECONNREFUSED", sent: false })
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
      assert.deepStrictEqual(Failure.classify(error), { class: "Transient", code: "ENOENT", sent: false })
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

describe("a reply of Redis without a space", () => {
  it("has a code of at most 64 characters", () => {
    const reply = Object.assign(new Error("x".repeat(1e6)), { name: "ReplyError" })
    assert.deepStrictEqual(Failure.classify(reply), Failure.make("Fatal", { code: "x".repeat(64) }))
  })
})
