/**
 * The meaning of each error code, as tables: system codes of Node, HTTP status codes, SQLSTATEs and the like. `ErrorClassifiers`
 * finds the code in an error and looks it up here.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"

/**
 * What a failure asks for.
 *
 * - `Transient`: the cause may pass, and the request was not executed. Try again.
 * - `LocalExhausted`: this process or this host has no room (descriptors, ports, buffers). Wait for room.
 * - `RemoteSaturated`: the other side has no room. Try again, later.
 * - `Ambiguous`: the request may have been executed. Retry it only if it may be executed twice.
 * - `Fatal`: another attempt would fail in the same way.
 * - `Redirect`: another server has the answer. Look up the node or the primary again.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export type FailureClass = "Transient" | "LocalExhausted" | "RemoteSaturated" | "Ambiguous" | "Fatal" | "Redirect"

/** The meaning of a code: a class, or `Unsent`, which is `Transient` with the certainty that nothing reached the other side. */
export type Meaning = FailureClass | "Unsent"

/**
 * What is known about an error.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Failure {
  readonly class: FailureClass
  /**
   * The code that decided, such as `ECONNREFUSED`, `53300` (a SQLSTATE), `HTTP_503`, `MYSQL_1040`, `MOVED`, `UNAVAILABLE`
   * or the tag of an error. `undefined` when no code was recognised.
   */
  readonly code: string | undefined
  /**
   * The wait that the server asked for (`Retry-After`, gRPC's pushback), unchanged. A policy limits it and adds jitter.
   */
  readonly retryAfter?: Duration.Duration | undefined
  /**
   * `false` if nothing of the request can have reached the other side, for example because there was no connection; `true` if a
   * part of it may have; absent if it is unknown. With `false`, an `Ambiguous` failure may be retried.
   */
  readonly sent?: boolean | undefined
  /** What an operator has to do before a later attempt can succeed, if the code shows it. Messages of errors end with it. */
  readonly advice?: string | undefined
}

/**
 * Makes a failure, mostly for the `classify` option of a policy. `retryAfter` is any duration of at least 0.
 *
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const make = (failureClass: FailureClass, options?: {
  readonly code?: string | undefined
  readonly retryAfter?: Duration.Input | undefined
  readonly sent?: boolean | undefined
  readonly advice?: string | undefined
}): Failure => ({
  class: failureClass,
  code: options?.code,
  ...(options?.retryAfter === undefined ? undefined : { retryAfter: Duration.fromInputUnsafe(options.retryAfter) }),
  ...(options?.sent === undefined ? undefined : { sent: options.sent }),
  ...(options?.advice === undefined ? undefined : { advice: options.advice })
})

/** The meanings of codes. */
type Table = Pick<ReadonlyMap<string, Meaning>, "get">

type Words = Pick<ReadonlySet<string>, "has">

const split = (text: string): ReadonlyArray<string> => text.trim().split(/\s+/)

/** Makes a value when it is first used. A program that never classifies an error of a kind does not spend time on its table. */
export const lazily = <A>(make: () => A): () => A => {
  let made: A | undefined
  return () => made ??= make()
}

export const words = (text: string): Words => {
  const all = lazily(() => new Set(split(text)))
  return { has: (word) => all().has(word) }
}

export const table = (rows: { readonly [Class in Meaning]?: string }): Table => {
  const all = lazily(() =>
    new Map(
      // The keys of a literal of this type are meanings; `Object.entries` widens them to string.
      (Object.entries(rows) as Array<[Meaning, string]>).flatMap(([name, codes]) =>
        split(codes).map((code) => [code, name] as const)
      )
    )
  )
  return { get: (code) => all().get(code) }
}

/**
 * Codes that are words, with their meaning outside of a dial: those of libuv, c-ares, Node, TLS, undici, HTTP/2, axios,
 * postgres.js, mysql2 and mariadb, and the names of gRPC's statuses.
 *
 * `ENOTFOUND` is retried because a container's name may be registered after its client has started. With
 * `ERR_HTTP2_STREAM_CANCEL` Node fails streams that still waited for their session when it ended.
 */
export const wordCodes: Table = table({
  Unsent: `
    ECONNREFUSED EAI_AGAIN EAI_FAIL EAI_NODATA EAI_NONAME ENOTFOUND ENODATA ESERVFAIL ETIMEOUT EREFUSED
    ERR_SOCKET_CONNECTION_TIMEOUT ERR_TLS_HANDSHAKE_TIMEOUT UND_ERR_CONNECT_TIMEOUT
    ERR_HTTP2_STREAM_CANCEL ERR_HTTP2_GOAWAY_SESSION ERR_HTTP2_INVALID_SESSION NGHTTP2_REFUSED_STREAM
    CONNECT_TIMEOUT ER_CONNECTION_TIMEOUT ER_GET_CONNECTION_TIMEOUT POOL_NONEONLINE`,
  Transient: "EAGAIN EHOSTUNREACH ENETUNREACH EHOSTDOWN ENETDOWN ENONET EINTR UNAVAILABLE ABORTED",
  LocalExhausted: "EMFILE ENFILE ENOBUFS ENOMEM EAI_MEMORY ERR_INSUFFICIENT_RESOURCES",
  RemoteSaturated: "RESOURCE_EXHAUSTED NGHTTP2_ENHANCE_YOUR_CALM",
  Ambiguous: `
    ECONNRESET ECONNABORTED EPIPE ETIMEDOUT ESHUTDOWN ENOTCONN ERR_NETWORK
    ERR_SOCKET_CLOSED ERR_SOCKET_CLOSED_BEFORE_CONNECTION ERR_STREAM_PREMATURE_CLOSE ERR_STREAM_DESTROYED
    UND_ERR_SOCKET UND_ERR_HEADERS_TIMEOUT UND_ERR_BODY_TIMEOUT UND_ERR_INFO UND_ERR_RES_CONTENT_LENGTH_MISMATCH
    ERR_HTTP2_STREAM_ERROR ERR_HTTP2_SESSION_ERROR ERR_HTTP2_INVALID_STREAM
    CONNECTION_CLOSED PROTOCOL_CONNECTION_LOST PROTOCOL_SEQUENCE_TIMEOUT ER_SOCKET_UNEXPECTED_CLOSE ER_SOCKET_TIMEOUT
    PROTOCOL_ERROR PROTOCOL_UNEXPECTED_PACKET
    DEADLINE_EXCEEDED UNKNOWN INTERNAL`,
  Fatal: `
    EADDRNOTAVAIL EADDRINUSE ENOENT EACCES EPERM EINVAL EAFNOSUPPORT EPROTONOSUPPORT EPROTO EPROTOTYPE EBADF EISCONN EDESTADDRREQ EMSGSIZE
    EBADNAME EBADQUERY EBADFAMILY EFORMERR ENOTIMP ECANCELLED
    DEPTH_ZERO_SELF_SIGNED_CERT SELF_SIGNED_CERT_IN_CHAIN INVALID_CA INVALID_PURPOSE HOSTNAME_MISMATCH
    PATH_LENGTH_EXCEEDED CRL_NOT_YET_VALID CRL_HAS_EXPIRED ERROR_IN_CERT_NOT_BEFORE_FIELD
    ERROR_IN_CERT_NOT_AFTER_FIELD
    HANDSHAKE_NO_SSL_SUPPORT HANDSHAKE_SSL_ERROR HANDSHAKE_UNKNOWN_ERROR AUTH_SWITCH_PLUGIN_ERROR MYSQL_CLEAR_PASSWORD_NOT_ENABLED
    POOL_NOEXIST AUTH_TYPE_NOT_IMPLEMENTED SASL_SIGNATURE_MISMATCH
    MODULE_NOT_FOUND ERR_MODULE_NOT_FOUND ERR_PACKAGE_PATH_NOT_EXPORTED
    CONNECTION_ENDED CONNECTION_DESTROYED ERR_SOCKET_BAD_PORT ERR_INVALID_URL ERR_CANCELED ABORT_ERR
    CANCELLED INVALID_ARGUMENT NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED FAILED_PRECONDITION OUT_OF_RANGE
    UNIMPLEMENTED DATA_LOSS UNAUTHENTICATED`
})

/**
 * Codes that are checked last, because an HTTP status in the same error is more specific: axios' code for a status of 500 and
 * for an answer that was cut off, and families of codes that are `Fatal`.
 */
export const axiosBadResponse = "ERR_BAD_RESPONSE"
export const fatalFamilies = /^(ERR_(SSL|OSSL|TLS|INVALID)|CERT|UNABLE_TO|UND_ERR|HPE|ER)_/

/**
 * Codes that have another meaning in a dial, in which nothing was sent. `EADDRNOTAVAIL` and `EADDRINUSE`: no ephemeral port is
 * left (with `bind`: the address is wrong or taken). `ENOENT`: the server of the Unix socket has not started yet. `EAGAIN`: the
 * backlog of the Unix socket is full.
 */
export const dialCodes: Table = table({
  Unsent: "ECONNRESET ECONNABORTED EPIPE ETIMEDOUT ENOENT",
  LocalExhausted: "EADDRNOTAVAIL EADDRINUSE",
  RemoteSaturated: "EAGAIN"
})

/**
 * SQLSTATEs of PostgreSQL and of other servers with its protocol. `08P01` is not here: its meaning depends on the message,
 * which `ErrorClassifiers` compares.
 */
export const sqlStates: Table = table({
  Unsent: "08001 08004 57P03",
  Transient: "40001 40P01 55P03 55006 55000",
  RemoteSaturated: "53300 53400 53200 53100 53000",
  Ambiguous: "08000 08003 08006 08007 57P01 57P02 57P05 25P03 40003",
  Redirect: "25006"
})

/** The first two characters of a SQLSTATE, for those that are not in `sqlStates`. A SQLSTATE in neither table is `Fatal`. */
export const sqlStateClasses: Table = table({
  Transient: "40",
  RemoteSaturated: "53",
  Ambiguous: "08 58"
})

/**
 * Error numbers of MySQL and MariaDB. Every other number is `Fatal`. One of these is 1129 ("host is blocked"): a server blocks
 * a host because of its failed attempts.
 */
export const mysqlErrors: Table = table({
  Unsent: "2002 2003 1042 1043",
  Transient: "1053 1205 1213 1614 3572",
  RemoteSaturated: "1037 1040 1041 1135 1203 1226",
  Ambiguous: "1152 1158 1159 1160 1161 1184 1927 2006 2013 2055 4031",
  Redirect: "1290 1792 1836"
})

/** The codes of Redis and Valkey: the first word of an error reply. Every other code is `Fatal`. */
export const redisReplies: Table = table({
  Transient: "LOADING TRYAGAIN CLUSTERDOWN MASTERDOWN NOREPLICAS",
  RemoteSaturated: "OOM BUSY MISCONF",
  Redirect: "MOVED ASK REDIRECT READONLY UNBLOCKED"
})

/** HTTP statuses from 300 to 599. Every other status is `Fatal`. 503 with `Retry-After` is `RemoteSaturated`. */
export const httpStatuses: Table = table({
  Transient: "408 421 425",
  RemoteSaturated: "429 529",
  Ambiguous: "500 502 503 504 520 521 522 523 524",
  Redirect: "301 302 303 307 308"
})

/** Closing codes of WebSocket (RFC 6455 and the IANA registry). Every other code is `Fatal`. */
export const closingCodes: Table = table({
  Transient: "1001 1012",
  RemoteSaturated: "1013",
  Ambiguous: "1000 1005 1006 1011 1014"
})

/** Names of the gRPC statuses, in the order of their numbers. */
export const grpcStatuses: ReadonlyArray<string> =
  ("OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND " +
    "ALREADY_EXISTS PERMISSION_DENIED RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL " +
    "UNAVAILABLE DATA_LOSS UNAUTHENTICATED").split(" ")

/**
 * `_tag`, `name` or class of errors that carry no code of their own: Effect's, the DOM's, those of node-redis, ioredis, amqplib,
 * NATS' second client (@nats-io) and MongoDB, and ours.
 */
export const tags: Table = table({
  Unsent: "SocketOpenError ConnectTimeout DialTimeout ClientOfflineError ConnectionTimeoutError " +
    "RootNodesUnavailableError IllegalOperationError NoResponders " +
    "MongoWaitQueueTimeoutError",
  Transient: "WatchError MaxCommandRedirectionsError",
  LocalExhausted: "ResourceExhausted BudgetError",
  RemoteSaturated: "RateLimitExceeded RateLimitError CircuitOpen CircuitHalfOpen",
  Ambiguous: "TimeoutError DeadlineExceeded SocketReadError SocketWriteError ConnectionError TransportError " +
    "ConnectionClosed ReadFailed ReadTimeout WriteFailed RequestTimeout ConnectionLost " +
    "SocketClosedUnexpectedlyError SocketTimeoutError SocketTimeoutDuringMaintenanceError " +
    "CommandTimeoutDuringMaintenanceError DisconnectsClientError MaxRetriesPerRequestError ClosedConnectionError " +
    "MongoNetworkError MongoNetworkTimeoutError MongoOperationTimeoutError PoolClearedOnNetworkError",
  Fatal: "AbortError SocketUpgradeError ClientClosedError ConfigError SchemaError InvalidOption " +
    "AuthorizationError UserAuthenticationExpiredError PermissionViolationError DrainingConnectionError " +
    "InvalidArgumentError InvalidOperationError InvalidSubjectError " +
    "MongoAPIError MongoParseError MongoInvalidArgumentError MongoCompatibilityError MongoMissingCredentialsError " +
    "MongoMissingDependencyError MongoAWSError MongoAzureError MongoGCPError MongoKerberosError MongoOIDCError " +
    "MongoNotConnectedError MongoClientClosedError MongoTopologyClosedError MongoPoolClosedError MongoExpiredSessionError"
})

/**
 * Tags of errors that occur before anything is sent: failures to connect, and refusals of a pool or a breaker. If the cause of
 * such an error is `Ambiguous`, the error is `Transient`.
 */
export const unsentTags = words(
  "MongoServerSelectionError MongoPoolClearedError ClusterAllFailedError ConnectFailed ConnectTimeout DialFailed DialTimeout SocketOpenError HandshakeFailed AcquireTimeout QueueFull EndpointUnavailable PoolSuspended CircuitOpen " +
    "CircuitHalfOpen"
)

/** Names of JavaScript's and Node's errors for mistakes in a program. Another dial would fail in the same way. */
export const mistakes = words("TypeError ReferenceError RangeError AssertionError")

/** The key that marks the reasons of Effect's `SqlError`. */
export const sqlReason = "~effect/sql/SqlError/Reason"

/**
 * Reasons of Effect's `SqlError` whose `isRetryable` is ignored. `UnknownError` does not know the cause. `ConnectionError` is
 * `true` also for a query that may have been executed. `StatementTimeoutError` is `true`, but repeating a slow statement adds
 * load.
 */
export const undecidedSql = words("UnknownError ConnectionError StatementTimeoutError")

/** Errors of a dial whose `isRetryable` is ignored, because the code of their cause is more specific. */
export const undecidedDials = words("DialFailed")

/** Names of the error classes of Redis clients whose message is the reply of the server. */
export const redisReplyNames = words("ReplyError ErrorReply SimpleError BlobError")

const clocks = "compare the clocks of both hosts with the dates of the certificate"

/** What an operator has to do before a later attempt can succeed. */
export const advice: ReadonlyMap<string, string> = new Map([
  ["CERT_HAS_EXPIRED", clocks],
  ["CERT_NOT_YET_VALID", clocks],
  ["53100", "the disk of the server is full"],
  ["MYSQL_1129", "the server blocks this host until FLUSH HOSTS"]
])

/** The failure that a code stands for. `retryAfter` is in milliseconds. */
export const meaning = (means: Meaning, code: string | undefined, retryAfter?: number): Failure =>
  make(means === "Unsent" ? "Transient" : means, {
    code,
    retryAfter,
    sent: means === "Unsent" ? false : undefined,
    advice: code === undefined ? undefined : advice.get(code)
  })
