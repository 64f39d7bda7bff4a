/**
 * Classifies one error: a function for each family of errors, with the texts and codes of the drivers.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import {
  className,
  has,
  isObject,
  namesOf,
  quietly,
  read,
  readArray,
  readInteger,
  readObject,
  readString
} from "../../internal/SafeRead.ts"
import type { Failure, Meaning } from "./ErrorCodes.ts"
import * as Codes from "./ErrorCodes.ts"
import { pushback, retryAfter } from "./RetryAfter.ts"

/** The text of an error, `name: message` as `String(error)` shows it, and its meaning. */
type Text = readonly [text: string, means: Meaning]

/** pg 8.23.1 (`lib/client.js`, `lib/connection.js`) and pg-pool 3.14.0. */
const pg: ReadonlyArray<Text> = [
  ["Error: timeout expired", "Unsent"],
  ["Error: timeout exceeded when trying to connect", "Unsent"],
  ["Error: Connection terminated due to connection timeout", "Unsent"],
  ["Error: Client has encountered a connection error and is not queryable", "Unsent"],
  ["Error: Connection terminated unexpectedly", "Ambiguous"],
  ["Error: Connection terminated", "Ambiguous"],
  ["Error: Query read timeout", "Ambiguous"],
  ["Error: The server does not support SSL connections", "Fatal"],
  // `@effect/sql-pg` 4.0.5.
  ["Error: The server does not support TLS", "Fatal"],
  ["Error: Client was closed and is not queryable", "Fatal"],
  ["Error: Client has already been connected. You cannot reuse a client.", "Fatal"],
  ["Error: Cannot use a pool after calling end on the pool", "Fatal"]
]

/** mysql2 3.24.6 (`lib/base/connection.js`, `lib/base/pool.js`). */
const mysql2: ReadonlyArray<Text> = [
  ["Error: Can't add new command when connection is in closed state", "Unsent"],
  ["Error: No connections available.", "Unsent"],
  ["Error: Queue limit reached.", "Unsent"],
  ["Error: Can't write in closed state", "Ambiguous"],
  ["Error: Pool is closed.", "Fatal"]
]

/** ioredis 6.0.0 with redis-errors 1.2.0. */
const ioredis: ReadonlyArray<Text> = [
  ["Error: Stream isn't writeable and enableOfflineQueue options is false", "Unsent"],
  ["Error: Cluster isn't ready and enableOfflineQueue options is false", "Unsent"],
  ["Error: None of startup nodes is available", "Unsent"],
  ["Error: Connection is closed.", "Ambiguous"],
  ["Error: Command timed out", "Ambiguous"],
  ["AbortError: Command aborted due to connection close", "Ambiguous"],
  ["Error: Redis is already connecting/connected", "Fatal"]
]

/** amqplib 2.3.1 (`lib/connect.js`, `lib/connection.js`, `lib/channel.js`). */
const amqplib: ReadonlyArray<Text> = [
  ["Error: connect ETIMEDOUT", "Unsent"],
  ["Error: Socket closed abruptly during opening handshake", "Unsent"],
  ["Error: Unexpected close", "Ambiguous"],
  ["Error: Heartbeat timeout", "Ambiguous"],
  ["Error: Connection closed", "Ambiguous"],
  ["Error: Channel ended, no reply will be forthcoming", "Ambiguous"],
  ["Error: channel closed", "Ambiguous"],
  ["Error: message nacked", "Ambiguous"]
]

/** @nats-io/nats-core 3.4.0 (`lib/protocol.js`, `lib/muxsubscription.js`). */
const natsCore: ReadonlyArray<Text> = [
  ["ConnectionError: connection refused", "Unsent"],
  ["AuthorizationError: Authentication Timeout", "Unsent"],
  ["ProtocolError: maximum connections exceeded", "RemoteSaturated"],
  ["ProtocolError: maximum account active connections exceeded", "RemoteSaturated"],
  ["RequestError: connection closed", "Ambiguous"],
  ["RequestError: connection disconnected", "Ambiguous"]
]

const texts = Codes.lazily(() => new Map([...pg, ...mysql2, ...ioredis, ...amqplib, ...natsCore]))

/** Texts that continue with details: only their beginning is compared. */
const beginnings: ReadonlyArray<Text> = [
  // pg: the password is missing, or the server refuses it.
  ["Error: SASL: ", "Fatal"],
  // ioredis
  ["Error: All sentinels are unreachable", "Unsent"],
  ["Error: Too many Cluster redirections. Last error: ", "Transient"],
  ["Error: Socket timeout. Expecting data, but didn't receive any in ", "Ambiguous"],
  // amqplib: RabbitMQ refuses a login, or a virtual host, or is being shut down.
  ["Error: Handshake terminated by server: 320 ", "Unsent"],
  ["Error: Handshake terminated by server: 541 ", "Unsent"],
  ["Error: Handshake terminated by server: ", "Fatal"],
  ["Error: Expected ConnectionOpenOk; got <ConnectionClose ", "Fatal"],
  ["Error: SASL mechanism ", "Fatal"],
  ["Error: Expected amqp: or amqps: as the protocol; got ", "Fatal"]
]

/**
 * The `name: message` of an error. `undefined` for a subclass of `Error` without a `name` of its own: its name is `Error`, but
 * it is not a plain error.
 */
const textOf = (node: object): string | undefined => {
  const [name, message] = [readString(node, "name"), readString(node, "message")]
  if (name === undefined || message === undefined || (name === "Error" && className(node) !== "Error")) return undefined
  return `${name}: ${message}`
}

const withoutClass = (text: string): string => text.slice(text.indexOf(": ") + 2).trimEnd()

/**
 * Classifies an error that has no code by its whole text. The code of the failure is that text, or its beginning if it
 * continues with details.
 */
const byText = (node: object): Failure | undefined => {
  if (read(node, "code") !== undefined || read(node, "_tag") !== undefined) return undefined
  const text = textOf(node)
  if (text === undefined) return undefined
  const means = texts().get(text)
  if (means !== undefined) return Codes.meaning(means, withoutClass(text))
  const beginning = beginnings.find(([start]) => text.startsWith(start))
  return beginning === undefined ? undefined : Codes.meaning(beginning[1], withoutClass(beginning[0]))
}

/**
 * Messages of pgbouncer 1.25, which uses the code `08P01` for all of them. Until it has assigned a server to the client,
 * nothing was sent; after that, the statement may have been executed.
 */
const pgbouncer: ReadonlyArray<Text> = [
  ["no more connections allowed", "RemoteSaturated"],
  ["client connections exceeded", "RemoteSaturated"],
  ["query_wait_timeout", "RemoteSaturated"],
  ["bouncer resources exhaustion", "RemoteSaturated"],
  ["no memory for ", "RemoteSaturated"],
  ["server login has been failing", "Unsent"],
  ["client_login_timeout", "Unsent"],
  ["pgbouncer cannot connect to server", "Unsent"],
  ["server shutting down", "Unsent"],
  ["pause failed", "Unsent"],
  ["server conn crashed?", "Ambiguous"],
  ["server connection closed", "Ambiguous"],
  ["query_timeout", "Ambiguous"],
  ["query timeout", "Ambiguous"],
  ["idle transaction timeout", "Ambiguous"],
  ["transaction timeout", "Ambiguous"],
  ["client_idle_timeout", "Ambiguous"],
  ["suspend_timeout", "Ambiguous"],
  ["admin forced disconnect", "Ambiguous"]
]

/**
 * The meaning of `08P01`. From PostgreSQL itself, it means that the program has broken the protocol, for example with too few
 * parameters.
 */
const protocolViolation = (node: object): Meaning => {
  const message = readString(node, "message") ?? ""
  return pgbouncer.find(([start]) => message.startsWith(start))?.[1] ?? "Fatal"
}

/**
 * Codes of `NatsError` (nats 2.29.3). Numbers are statuses: 503 for a subject without subscribers, the others from JetStream.
 * Every other code is `Fatal`.
 */
const natsCodes = Codes.table({
  Unsent: "CONNECTION_REFUSED CONNECTION_TIMEOUT AUTHENTICATION_TIMEOUT 503",
  Transient: "408",
  RemoteSaturated: "429",
  Ambiguous: "TIMEOUT DISCONNECT CONNECTION_CLOSED NATS_PROTOCOL_ERR IDLE_HEARTBEAT REQUEST_ERROR UNKNOWN_ERROR 500 504"
})

/** Messages of a NATS server, with its quotes, whose meaning is more specific than that of their code. */
const natsServer: ReadonlyMap<string, Meaning> = new Map([
  ["'maximum connections exceeded'", "RemoteSaturated"],
  ["'maximum account active connections exceeded'", "RemoteSaturated"]
])

const byNats = (node: object): Failure | undefined => {
  const code = readString(node, "name") === "NatsError" ? readString(node, "code") : undefined
  if (code === undefined) return undefined
  const said = code === "NATS_PROTOCOL_ERR" ? natsServer.get(readString(node, "message") ?? "") : undefined
  return Codes.meaning(said ?? natsCodes.get(code) ?? "Fatal", /^\d/.test(code) ? `NATS_${code}` : code)
}

/** Reply codes of AMQP 0-9-1, with which a broker closes a channel or a connection. Every other code is `Fatal`. */
const amqpReplies = Codes.table({
  Transient: "405",
  RemoteSaturated: "506",
  Ambiguous: "320 541"
})

/**
 * amqplib puts the reply code into `code`. A `methodId`, or a message that begins with `Connection closed`, shows that this
 * number is a reply code.
 */
const byAmqp = (node: object): Failure | undefined => {
  const code = readInteger(node, "code")
  if (code === undefined) return undefined
  const isReply = readInteger(node, "methodId") !== undefined ||
    readString(node, "message")?.startsWith(`Connection closed: ${code} `) === true
  return isReply ? Codes.meaning(amqpReplies.get(String(code)) ?? "Fatal", `AMQP_${code}`) : undefined
}

/** Error numbers of MongoDB's server. Every other number is `Fatal`. */
const mongoCodes = Codes.table({
  Transient: "24 46 112 133 134 246",
  RemoteSaturated: "462",
  Ambiguous: "6 7 64 79 89 91 189 262 9001 11600 11602",
  Redirect: "10058 10107 13435 13436"
})

const mongoServerErrors = Codes.words(
  "MongoServerError MongoBulkWriteError MongoClientBulkWriteError MongoWriteConcernError"
)
const mongoNetworkErrors = Codes.words("MongoNetworkError MongoNetworkTimeoutError")

const isOneOf = (node: object, names: ReturnType<typeof Codes.words>): boolean =>
  names.has(readString(node, "name") ?? "")

const labelsOf = (node: object): ReadonlyArray<unknown> => readArray(node, "errorLabels", 16)

/**
 * MongoDB's server adds the label `SystemOverloadedError` to a request that it refused because of overload, before it was
 * executed. The driver (7.9.0) adds the same label to each connection that could not be opened, where it says nothing about the
 * server's load.
 */
const byMongo = (node: object): Failure | undefined => {
  const labels = labelsOf(node)
  if (labels.includes("SystemOverloadedError") && !isOneOf(node, mongoNetworkErrors)) {
    return { ...Codes.meaning("RemoteSaturated", "SystemOverloadedError"), sent: false }
  }
  if (labels.includes("TransientTransactionError")) return Codes.meaning("Transient", "TransientTransactionError")
  if (labels.includes("UnknownTransactionCommitResult")) {
    return Codes.meaning("Ambiguous", "UnknownTransactionCommitResult")
  }
  const code = isOneOf(node, mongoServerErrors) ? readInteger(node, "code") : undefined
  return code === undefined ? undefined : Codes.meaning(mongoCodes.get(String(code)) ?? "Fatal", `MONGODB_${code}`)
}

/** Whether MongoDB's driver says that the connection was still being opened. */
const isMongoHandshake = (node: object): boolean => {
  const labels = labelsOf(node)
  return labels.includes("HandshakeError") ||
    labels.includes("SystemOverloadedError") && isOneOf(node, mongoNetworkErrors)
}

/**
 * The most levels of wrapped errors that are examined. Real errors have a few levels; a getter that returns a new error each
 * time has no end.
 */
const maxDepth = 8
/** The most errors that are examined, so that the cost does not depend on the length of `errors`. */
const maxNodes = 64

const childrenOf = (node: object): ReadonlyArray<unknown> => [
  read(node, "reason"),
  read(node, "cause"),
  read(node, "error"),
  // NATS, and ioredis' clusters.
  read(node, "chainedError"),
  read(node, "lastNodeError"),
  ...readArray(node, "errors", maxNodes)
]

/** The levels of an error: the error itself, then the errors that it wraps, then those that these wrap, and so on. */
export const levelsOf = (error: unknown): ReadonlyArray<ReadonlyArray<object>> => {
  const seen = new Set<object>()
  const levels: Array<ReadonlyArray<object>> = []
  let candidates: ReadonlyArray<unknown> = [error]
  while (candidates.length > 0 && levels.length < maxDepth) {
    const level: Array<object> = []
    for (const node of candidates) {
      if (!isObject(node) || seen.has(node) || seen.size >= maxNodes) continue
      seen.add(node)
      level.push(node)
    }
    if (level.length > 0) levels.push(level)
    candidates = level.flatMap(childrenOf)
  }
  return levels
}

/** The operation that failed. An error in a TLS handshake has no `syscall`, but a `localAddress`. */
const callOf = (node: object): "connect" | "transfer" | undefined => {
  const call = readString(node, "syscall")
  if (call === "read" || call === "write") return "transfer"
  const dialled = call === "connect" || (call === undefined && has(node, "localAddress"))
  return dialled ? "connect" : undefined
}

/** The meaning of a code in this operation. A dial has sent nothing; of a transfer, any part may have arrived. */
const during = (call: "connect" | "transfer" | undefined, means: Meaning): Meaning => {
  if (means !== "Transient" && means !== "Unsent") return means
  return call === "connect" ? "Unsent" : call === "transfer" ? "Ambiguous" : means
}

/**
 * Whether an error only repeats the code of the error that it wraps: its cause, or the first of its `errors`. The wrapped error
 * has the `syscall`, on which the meaning depends.
 */
const isRepeated = (node: object, code: string): boolean =>
  read(node, "syscall") === undefined &&
  [read(node, "cause"), ...readArray(node, "errors", 1)].some((inner) =>
    isObject(inner) && read(inner, "code") === code
  )

/** The HTTP/2 code of an error. Node has it only as the last word of the message. */
const http2Code = (node: object): string | undefined => {
  const message = readString(node, "message")
  const word = message?.slice(message.lastIndexOf(" ") + 1)
  return word === "11" ? "NGHTTP2_ENHANCE_YOUR_CALM" : word
}

/** Whether Neon's proxy has too many connections. It has no code of its own for that. */
const isNeonFull = (node: object): boolean =>
  /\bToo many (database )?connections? attempts\b/.test(readString(node, "message") ?? "")

const sqlState = (node: object, code: string): Meaning | undefined => {
  if (!/^(?=.*\d)[0-9A-Z]{5}$/.test(code)) return undefined
  if (code === "XX000" && isNeonFull(node)) return "RemoteSaturated"
  if (code === "08P01") return protocolViolation(node)
  return Codes.sqlStates.get(code) ?? Codes.sqlStateClasses.get(code.slice(0, 2)) ?? "Fatal"
}

/** Whether an abort was a timeout: then Node's `AbortError` wraps the `TimeoutError` of `AbortSignal.timeout`. */
const isTimeUp = (node: object): boolean => {
  const reason = readObject(node, "cause")
  return reason !== undefined && namesOf(node).includes("AbortError") && namesOf(reason).includes("TimeoutError")
}

/** The code of an error; `undefined` if the error that it wraps is more specific. */
const codeOf = (node: object): string | undefined => {
  const code = readString(node, "code")
  return code === undefined || isRepeated(node, code) || isTimeUp(node) ? undefined : code
}

const byCode = (node: object): Failure | undefined => {
  const code = codeOf(node)
  if (code === undefined) return undefined
  if (code === "ERR_HTTP2_STREAM_ERROR" || code === "ERR_HTTP2_SESSION_ERROR") {
    const inner = http2Code(node) ?? ""
    const means = inner.startsWith("NGHTTP2_") ? Codes.wordCodes.get(inner) : undefined
    if (means !== undefined) return Codes.meaning(means, inner)
  }
  const call = callOf(node)
  const dialled = call === "connect" ? Codes.dialCodes.get(code) : undefined
  const means = dialled ?? Codes.wordCodes.get(code) ?? sqlState(node, code)
  return means === undefined ? undefined : Codes.meaning(during(call, means), code)
}

const byWeakCode = (node: object): Failure | undefined => {
  const code = codeOf(node)
  if (code === undefined) return undefined
  if (code.startsWith(Codes.axiosBadResponse)) return Codes.meaning("Ambiguous", code)
  return Codes.fatalFamilies.test(code) ? Codes.meaning("Fatal", code) : undefined
}

const byMysql = (node: object): Failure | undefined => {
  const errno = readInteger(node, "errno")
  // System errors have negative numbers, so a number from 1000 is one of MySQL's.
  if (errno === undefined || errno < 1000 || errno > 9999) return undefined
  return Codes.meaning(Codes.mysqlErrors.get(String(errno)) ?? "Fatal", `MYSQL_${errno}`)
}

const longestCode = 64

const byRedis = (node: object): Failure | undefined => {
  const isReply = namesOf(node).some((name) => Codes.redisReplyNames.has(name))
  const reply = isReply ? readString(node, "message") : undefined
  if (reply === undefined) return undefined
  // This reply has no code. Its text has been the same since Redis 2.4.
  if (reply.startsWith("ERR max number of clients")) return Codes.meaning("RemoteSaturated", "MAXCLIENTS")
  // A script may reply with a text of any length, without a space.
  const code = reply.slice(0, longestCode).split(" ", 1)[0] ?? ""
  return Codes.meaning(Codes.redisReplies.get(code) ?? "Fatal", code)
}

/** Errors of grpc-js have a field `details`, and those of Connect a field `rawMessage`. */
const byGrpc = (node: object): Failure | undefined => {
  const number = readInteger(node, "code")
  if (number === undefined || (readString(node, "details") ?? readString(node, "rawMessage")) === undefined) {
    return undefined
  }
  const code = Codes.grpcStatuses[number]
  const means = code === undefined ? undefined : Codes.wordCodes.get(code)
  if (means === undefined) return undefined
  const { retryAfter, stop } = pushback(node)
  return Codes.meaning(stop ? "Fatal" : means, code, retryAfter)
}

const statusOf = (node: object): number | undefined =>
  readInteger(node, "status") ?? readInteger(node, "statusCode") ?? readInteger(node, "httpStatusCode")

/** The HTTP response that an error holds: `response` in most libraries, `$metadata` in AWS' clients. */
const answerOf = (node: object): object | undefined => readObject(node, "response") ?? readObject(node, "$metadata")

const headersOf = (node: object): object | undefined => {
  const answer = readObject(node, "response") ?? readObject(node, "$response")
  return (answer === undefined ? undefined : readObject(answer, "headers")) ?? readObject(node, "headers")
}

/** Whether AWS' client has marked the request as throttled. Its status may be any. */
const isThrottled = (node: object): boolean => {
  const retryable = readObject(node, "$retryable")
  return retryable !== undefined && read(retryable, "throttling") === true
}

const byHttp = (node: object, now: number | undefined): Failure | undefined => {
  const answer = answerOf(node)
  const status = statusOf(node) ?? (answer === undefined ? undefined : statusOf(answer))
  if (status === undefined || status < 300 || status > 599) return undefined
  const wait = retryAfter(headersOf(node), now)
  const isFull = isThrottled(node) || (status === 503 && wait !== undefined)
  const means = isFull ? "RemoteSaturated" : Codes.httpStatuses.get(String(status))
  return Codes.meaning(means ?? "Fatal", `HTTP_${status}`, wait)
}

const byClosing = (node: object): Failure | undefined => {
  const code = readString(node, "_tag") === "SocketCloseError" ? readInteger(node, "code") : undefined
  return code === undefined ? undefined : Codes.meaning(Codes.closingCodes.get(String(code)) ?? "Fatal", `WS_${code}`)
}

/**
 * A retry whose running attempt was interrupted at the deadline. The `cause` of its error is the failure of an earlier attempt,
 * so it does not show what became of this one.
 */
const byInterruption = (node: object): Failure | undefined =>
  readString(node, "_tag") === "DeadlineExceeded" && read(node, "interrupted") === true
    ? Codes.meaning("Ambiguous", "DeadlineExceeded")
    : undefined

/** One classifier for each family of errors. The first one that recognizes an error decides. */
const classifiers = [
  byInterruption,
  byMongo,
  byMysql,
  byNats,
  byAmqp,
  byCode,
  byRedis,
  byGrpc,
  byHttp,
  byClosing,
  byWeakCode,
  byText
]

/** The first defined result of a function. */
export const firstDefined = <A, B>(values: Iterable<A>, f: (value: A) => B | undefined): B | undefined => {
  for (const value of values) {
    const result = f(value)
    if (result !== undefined) return result
  }
  return undefined
}

/** The failure of an error by its code, if the code is known. `now` is in milliseconds since 1970. */
export const recognise = (node: object, now: number | undefined): Failure | undefined =>
  firstDefined(classifiers, (classifier) => classifier(node, now))

/** The failure of an error by its tag, its name or its class, which are less specific than a code. */
export const byTag = (node: object): Failure | undefined => {
  if (isTimeUp(node)) return undefined
  return firstDefined(namesOf(node), (tag) => {
    const means = Codes.tags.get(tag)
    return means === undefined ? undefined : Codes.meaning(means, tag)
  })
}

/** The `retryAfter` of an error of Effect or of this library. */
export const waitOf = (node: object): Duration.Duration | undefined => {
  const wait = read(node, "retryAfter")
  return quietly(() => Duration.isDuration(wait) ? wait : undefined)
}

/** Whether an error comes from opening a connection, as far as it shows. */
const isOpening = (node: object): boolean =>
  isMongoHandshake(node) || namesOf(node).some((name) => Codes.unsentTags.has(name)) ||
  (has(node, Codes.sqlReason) && read(node, "operation") === "connect")

/**
 * Whether a request was sent; `undefined` if the error does not show it. When a connection could not be opened, nothing was
 * sent.
 */
export const sentBy = (node: object): boolean | undefined => {
  const sent = read(node, "sent")
  return typeof sent === "boolean" ? sent : isOpening(node) ? false : undefined
}

/**
 * Whether the failure is one of a dial; `undefined` if the error does not show it. A request that was sent had a connection.
 */
export const dialBy = (node: object): boolean | undefined =>
  isOpening(node) ? true : read(node, "sent") === true ? false : undefined

/** Whether an error is one of those with which JavaScript reports a mistake in the program, such as `TypeError`. */
export const isMistake = (node: object): boolean => namesOf(node).some((name) => Codes.mistakes.has(name))

const isUndecided = (node: object): boolean => {
  const reason = readObject(node, "reason") ?? node
  const tag = readString(reason, "_tag") ?? ""
  return Codes.undecidedDials.has(tag) || has(reason, Codes.sqlReason) && Codes.undecidedSql.has(tag)
}

/** The `isRetryable` of an error; `undefined` if there is none, or if it does not depend on the cause. */
export const statedBy = (node: object): boolean | undefined => {
  const stated = read(node, "isRetryable")
  return typeof stated === "boolean" && !isUndecided(node) ? stated : undefined
}
