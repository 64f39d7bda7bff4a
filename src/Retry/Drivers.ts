/**
 * What drivers say that have no codes of their own, or whose codes mean something else elsewhere: whole texts, names and
 * numbers of known versions.
 *
 * A text counts only where an error has nothing else: a plain error of its class, with neither a `code` nor a `_tag`, whose
 * message is one of these from its first to its last character, or begins with one that goes on with details. Words inside a
 * message mean nothing: anybody may write them.
 *
 * @since 0.1.0
 */
import { className, read, readArray, readInteger, readString } from "../internal/SafeRead.ts"
import { lazily, type Meaning, table, words } from "./Codes.ts"
import type { Failure } from "./FailureModel.ts"
import { meaning } from "./FailureModel.ts"

/** A class and a message, as `String(error)` shows them. */
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

const texts = lazily(() => new Map([...pg, ...mysql2, ...ioredis, ...amqplib, ...natsCore]))

/** How the texts begin that go on with details. */
const beginnings: ReadonlyArray<Text> = [
  // pg: a password is missing, or the server and the client do not agree about it.
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

/** The class of an error and its message. A class that has given itself no name is not a plain error, though it is called one. */
const textOf = (node: object): string | undefined => {
  const [name, message] = [readString(node, "name"), readString(node, "message")]
  if (name === undefined || message === undefined || (name === "Error" && className(node) !== "Error")) return undefined
  return `${name}: ${message}`
}

const withoutClass = (text: string): string => text.slice(text.indexOf(": ") + 2).trimEnd()

/** What an error says by its text, if it has nothing else to say it by. Where the text goes on, the code is its beginning. */
export const byText = (node: object): Failure | undefined => {
  if (read(node, "code") !== undefined || read(node, "_tag") !== undefined) return undefined
  const text = textOf(node)
  if (text === undefined) return undefined
  const means = texts().get(text)
  if (means !== undefined) return meaning(means, withoutClass(text))
  const beginning = beginnings.find(([start]) => text.startsWith(start))
  return beginning === undefined ? undefined : meaning(beginning[1], withoutClass(beginning[0]))
}

/**
 * What pgbouncer 1.25 says with its code for everything, `08P01`. Before it has given a client one of its servers nothing was
 * sent; afterwards the statement may have been done.
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

/** What `08P01` means: of PostgreSQL itself, that the program has broken the protocol, as with too few parameters. */
export const protocolViolation = (node: object): Meaning => {
  const message = readString(node, "message") ?? ""
  return pgbouncer.find(([start]) => message.startsWith(start))?.[1] ?? "Fatal"
}

/** Codes of `NatsError` (nats 2.29.3). Numbers are statuses: of a subject without listeners, and of JetStream. What is not here is `Fatal`. */
const natsCodes = table({
  Unsent: "CONNECTION_REFUSED CONNECTION_TIMEOUT AUTHENTICATION_TIMEOUT 503",
  Transient: "408",
  RemoteSaturated: "429",
  Ambiguous: "TIMEOUT DISCONNECT CONNECTION_CLOSED NATS_PROTOCOL_ERR IDLE_HEARTBEAT REQUEST_ERROR UNKNOWN_ERROR 500 504"
})

/** What a NATS server says in the place of a code, as it quotes it. */
const natsServer: ReadonlyMap<string, Meaning> = new Map([
  ["'maximum connections exceeded'", "RemoteSaturated"],
  ["'maximum account active connections exceeded'", "RemoteSaturated"]
])

export const byNats = (node: object): Failure | undefined => {
  const code = readString(node, "name") === "NatsError" ? readString(node, "code") : undefined
  if (code === undefined) return undefined
  const said = code === "NATS_PROTOCOL_ERR" ? natsServer.get(readString(node, "message") ?? "") : undefined
  return meaning(said ?? natsCodes.get(code) ?? "Fatal", /^\d/.test(code) ? `NATS_${code}` : code)
}

/** Reply codes of AMQP 0-9-1, with which a broker closes a channel or a connection. What is not here is `Fatal`. */
const amqpReplies = table({
  Transient: "405",
  RemoteSaturated: "506",
  Ambiguous: "320 541"
})

/** amqplib gives the number as `code`, and with it the method that it answers, or the words in which it says that all is closed. */
export const byAmqp = (node: object): Failure | undefined => {
  const code = readInteger(node, "code")
  if (code === undefined) return undefined
  const isReply = readInteger(node, "methodId") !== undefined ||
    readString(node, "message")?.startsWith(`Connection closed: ${code} `) === true
  return isReply ? meaning(amqpReplies.get(String(code)) ?? "Fatal", `AMQP_${code}`) : undefined
}

/** Numbers of MongoDB's server. What is not here is `Fatal`. */
const mongoCodes = table({
  Transient: "24 46 112 133 134 246",
  RemoteSaturated: "462",
  Ambiguous: "6 7 64 79 89 91 189 262 9001 11600 11602",
  Redirect: "10058 10107 13435 13436"
})

const mongoServerErrors = words("MongoServerError MongoBulkWriteError MongoClientBulkWriteError MongoWriteConcernError")
const mongoNetworkErrors = words("MongoNetworkError MongoNetworkTimeoutError")

const isOneOf = (node: object, names: ReturnType<typeof words>): boolean => names.has(readString(node, "name") ?? "")

const labelsOf = (node: object): ReadonlyArray<unknown> => readArray(node, "errorLabels", 16)

/**
 * MongoDB's server labels what it refused for overload before it did anything. Its driver (7.9.0) puts the same label on every
 * socket that could not be opened, which is no news of the server's load.
 */
export const byMongo = (node: object): Failure | undefined => {
  const labels = labelsOf(node)
  if (labels.includes("SystemOverloadedError") && !isOneOf(node, mongoNetworkErrors)) {
    return { ...meaning("RemoteSaturated", "SystemOverloadedError"), sent: false }
  }
  if (labels.includes("TransientTransactionError")) return meaning("Transient", "TransientTransactionError")
  if (labels.includes("UnknownTransactionCommitResult")) return meaning("Ambiguous", "UnknownTransactionCommitResult")
  const code = isOneOf(node, mongoServerErrors) ? readInteger(node, "code") : undefined
  return code === undefined ? undefined : meaning(mongoCodes.get(String(code)) ?? "Fatal", `MONGODB_${code}`)
}

/** Whether MongoDB's driver says that the connection was still being opened. */
export const isMongoHandshake = (node: object): boolean => {
  const labels = labelsOf(node)
  return labels.includes("HandshakeError") ||
    labels.includes("SystemOverloadedError") && isOneOf(node, mongoNetworkErrors)
}
