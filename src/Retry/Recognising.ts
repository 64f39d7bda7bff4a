/**
 * What single errors say about themselves: one function for each family of errors.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import {
  has,
  isObject,
  namesOf,
  quietly,
  read,
  readArray,
  readInteger,
  readObject,
  readString
} from "../internal/SafeRead.ts"
import type { Meaning } from "./Codes.ts"
import * as Codes from "./Codes.ts"
import { byAmqp, byMongo, byNats, byText, isMongoHandshake, protocolViolation } from "./Drivers.ts"
import type { Failure } from "./FailureModel.ts"
import { meaning } from "./FailureModel.ts"
import { pushback, retryAfter } from "./Hints.ts"

/** Wrappers nest a few deep; more than this is a cycle through fresh objects or a mistake. */
const maxDepth = 8
/** A bound on what one error may cost, whatever its `errors` hold. */
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

/** The error and what it wraps, level by level from the outside in. */
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

/** What was being done. TLS that is cut in its handshake names no system call, but it names the address it came from. */
const callOf = (node: object): "connect" | "transfer" | undefined => {
  const call = readString(node, "syscall")
  if (call === "read" || call === "write") return "transfer"
  const dialled = call === "connect" || (call === undefined && has(node, "localAddress"))
  return dialled ? "connect" : undefined
}

/** A dial has sent nothing. How far a transfer came is not known. */
const during = (call: "connect" | "transfer" | undefined, means: Meaning): Meaning => {
  if (means !== "Transient" && means !== "Unsent") return means
  return call === "connect" ? "Unsent" : call === "transfer" ? "Ambiguous" : means
}

/** A wrapper that repeats the code of its cause, or of the first of several, without the system call that tells its meaning. */
const isRepeated = (node: object, code: string): boolean =>
  read(node, "syscall") === undefined &&
  [read(node, "cause"), ...readArray(node, "errors", 1)].some((inner) =>
    isObject(inner) && read(inner, "code") === code
  )

/** Node keeps the code of HTTP/2 in the last word of a message that it writes itself. */
const http2Code = (node: object): string | undefined => {
  const message = readString(node, "message")
  const word = message?.slice(message.lastIndexOf(" ") + 1)
  return word === "11" ? "NGHTTP2_ENHANCE_YOUR_CALM" : word
}

/** Neon's proxy has no code of its own for this. */
const isNeonFull = (node: object): boolean =>
  /\bToo many (database )?connections? attempts\b/.test(readString(node, "message") ?? "")

const sqlState = (node: object, code: string): Meaning | undefined => {
  if (!/^(?=.*\d)[0-9A-Z]{5}$/.test(code)) return undefined
  if (code === "XX000" && isNeonFull(node)) return "RemoteSaturated"
  if (code === "08P01") return protocolViolation(node)
  return Codes.sqlStates.get(code) ?? Codes.sqlStateClasses.get(code.slice(0, 2)) ?? "Fatal"
}

/** Node's word for a signal that was aborted, around the reason. Where `AbortSignal.timeout` gave that, time was up. */
const isTimeUp = (node: object): boolean => {
  const reason = readObject(node, "cause")
  return reason !== undefined && namesOf(node).includes("AbortError") && namesOf(reason).includes("TimeoutError")
}

/** The code of an error. Where it repeats that of what it wraps, or hides it, this is asked instead. */
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
    if (means !== undefined) return meaning(means, inner)
  }
  const call = callOf(node)
  const dialled = call === "connect" ? Codes.dialCodes.get(code) : undefined
  const means = dialled ?? Codes.wordCodes.get(code) ?? sqlState(node, code)
  return means === undefined ? undefined : meaning(during(call, means), code)
}

const byWeakCode = (node: object): Failure | undefined => {
  const code = codeOf(node)
  if (code === undefined) return undefined
  if (code.startsWith(Codes.axiosBadResponse)) return meaning("Ambiguous", code)
  return Codes.fatalFamilies.test(code) ? meaning("Fatal", code) : undefined
}

const byMysql = (node: object): Failure | undefined => {
  const errno = readInteger(node, "errno")
  // System errors have negative numbers, so a number from 1000 is one of MySQL's.
  if (errno === undefined || errno < 1000 || errno > 9999) return undefined
  return meaning(Codes.mysqlErrors.get(String(errno)) ?? "Fatal", `MYSQL_${errno}`)
}

const longestCode = 64

const byRedis = (node: object): Failure | undefined => {
  const isReply = namesOf(node).some((name) => Codes.redisReplyNames.has(name))
  const reply = isReply ? readString(node, "message") : undefined
  if (reply === undefined) return undefined
  // This reply has no code of its own, and Redis has sent it in these words since version 2.4.
  if (reply.startsWith("ERR max number of clients")) return meaning("RemoteSaturated", "MAXCLIENTS")
  // A script may answer with a text of any length and without a space.
  const code = reply.slice(0, longestCode).split(" ", 1)[0] ?? ""
  return meaning(Codes.redisReplies.get(code) ?? "Fatal", code)
}

/** Errors of grpc-js have `details`, those of Connect a `rawMessage`. */
const byGrpc = (node: object): Failure | undefined => {
  const number = readInteger(node, "code")
  if (number === undefined || (readString(node, "details") ?? readString(node, "rawMessage")) === undefined) {
    return undefined
  }
  const code = Codes.grpcStatuses[number]
  const means = code === undefined ? undefined : Codes.wordCodes.get(code)
  if (means === undefined) return undefined
  const { retryAfter, stop } = pushback(node)
  return meaning(stop ? "Fatal" : means, code, retryAfter)
}

const statusOf = (node: object): number | undefined =>
  readInteger(node, "status") ?? readInteger(node, "statusCode") ?? readInteger(node, "httpStatusCode")

/** Where errors keep the answer: `response` in most libraries, `$metadata` and `$response` in AWS'. */
const answerOf = (node: object): object | undefined => readObject(node, "response") ?? readObject(node, "$metadata")

const headersOf = (node: object): object | undefined => {
  const answer = readObject(node, "response") ?? readObject(node, "$response")
  return (answer === undefined ? undefined : readObject(answer, "headers")) ?? readObject(node, "headers")
}

/** AWS' clients mark what was throttled, which may have any status. */
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
  return meaning(means ?? "Fatal", `HTTP_${status}`, wait)
}

const byClosing = (node: object): Failure | undefined => {
  const code = readString(node, "_tag") === "SocketCloseError" ? readInteger(node, "code") : undefined
  return code === undefined ? undefined : meaning(Codes.closingCodes.get(String(code)) ?? "Fatal", `WS_${code}`)
}

/** An attempt that ran when its time was over: its last failure, which stands beside it, is an older one. */
const byInterruption = (node: object): Failure | undefined =>
  readString(node, "_tag") === "DeadlineExceeded" && read(node, "interrupted") === true
    ? meaning("Ambiguous", "DeadlineExceeded")
    : undefined

/** Each knows one family. The first that knows an error decides. */
const recognisers = [
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

/** What an error says by a code, if it has one that is known. `now` is in milliseconds since 1970. */
export const recognise = (node: object, now: number | undefined): Failure | undefined => {
  for (const recogniser of recognisers) {
    const failure = recogniser(node, now)
    if (failure !== undefined) return failure
  }
  return undefined
}

/** What an error says by its tag, its name or its class: less than a code says. */
export const byTag = (node: object): Failure | undefined => {
  if (isTimeUp(node)) return undefined
  for (const tag of namesOf(node)) {
    const means = Codes.tags.get(tag)
    if (means !== undefined) return meaning(means, tag)
  }
  return undefined
}

/** The wait that an error of Effect's or of ours asks for. */
export const waitOf = (node: object): Duration.Duration | undefined => {
  const wait = read(node, "retryAfter")
  return quietly(() => Duration.isDuration(wait) ? wait : undefined)
}

/** Whether an error says that it is about opening a connection. */
const isOpening = (node: object): boolean =>
  isMongoHandshake(node) || namesOf(node).some((name) => Codes.unsentTags.has(name)) ||
  (has(node, Codes.sqlReason) && read(node, "operation") === "connect")

/** Whether a request was sent, as far as an error says it: by `sent`, or by being about opening a connection. */
export const sentBy = (node: object): boolean | undefined => {
  const sent = read(node, "sent")
  return typeof sent === "boolean" ? sent : isOpening(node) ? false : undefined
}

/** Whether the failure is one of a dial, as far as an error says it. What was sent was sent over a connection. */
export const dialBy = (node: object): boolean | undefined =>
  isOpening(node) ? true : read(node, "sent") === true ? false : undefined

/** Whether an error is one that JavaScript gives to mistakes in a program. */
export const isMistake = (node: object): boolean => namesOf(node).some((name) => Codes.mistakes.has(name))

const isUndecided = (node: object): boolean => {
  const reason = readObject(node, "reason") ?? node
  const tag = readString(reason, "_tag") ?? ""
  return Codes.undecidedDials.has(tag) || has(reason, Codes.sqlReason) && Codes.undecidedSql.has(tag)
}

/** What an error says of itself, unless its maker could not tell. */
export const statedBy = (node: object): boolean | undefined => {
  const stated = read(node, "isRetryable")
  return typeof stated === "boolean" && !isUndecided(node) ? stated : undefined
}
