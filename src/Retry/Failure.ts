/**
 * What a failure asks for, told by codes and never by searching a text for words.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import type { FailureClass } from "./Codes.ts"
import * as Codes from "./Codes.ts"

export type {
  /**
   * What a failure asks for.
   *
   * @category models
   * @since 0.1.0
   */
  FailureClass
} from "./Codes.ts"

/**
 * What is known about an error.
 *
 * @category models
 * @since 0.1.0
 */
export interface Failure {
  readonly class: FailureClass
  /**
   * The code that decided, such as `ECONNREFUSED`, `53300` (a SQLSTATE), `HTTP_503`, `MYSQL_1040`, `MOVED`, `UNAVAILABLE`
   * or the tag of an error. `undefined` when no code was recognised.
   */
  readonly code: string | undefined
  /** How long the other side asked us to wait (`Retry-After`), if it did. */
  readonly retryAfter?: Duration.Duration | undefined
}

/**
 * Makes a failure, mostly for the `classify` option of a policy.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (failureClass: FailureClass, options?: {
  readonly code?: string | undefined
  readonly retryAfter?: Duration.Input | undefined
}): Failure => ({
  class: failureClass,
  code: options?.code,
  ...(options?.retryAfter === undefined ? undefined : { retryAfter: Duration.fromInputUnsafe(options.retryAfter) })
})

/** Wrappers nest a few deep; more than this is a cycle through fresh objects or a mistake. */
const maxDepth = 8
/** A bound on what one error may cost, whatever its `errors` hold. */
const maxNodes = 64

/** Reads a property of anything. A getter that throws says nothing. */
const read = (node: object, key: string): unknown => {
  try {
    // Reading an unknown key of an object is safe; what comes back is checked by whoever asked.
    return (node as Record<string, unknown>)[key]
  } catch {
    return undefined
  }
}

const readObject = (node: object, key: string): object | undefined => {
  const value = read(node, key)
  return typeof value === "object" && value !== null ? value : undefined
}

const readString = (node: object, key: string): string | undefined => {
  const value = read(node, key)
  return typeof value === "string" ? value : undefined
}

const readInt = (node: object, key: string): number | undefined => {
  const value = read(node, key)
  return Number.isSafeInteger(value) ? Number(value) : undefined
}

const nameOf = (node: object): string | undefined => readString(node, "_tag") ?? readString(node, "name")

const childrenOf = (node: object): ReadonlyArray<unknown> => {
  const errors = read(node, "errors")
  const many: ReadonlyArray<unknown> = Array.isArray(errors) ? errors : []
  return [read(node, "reason"), read(node, "cause"), read(node, "error"), ...many]
}

/** The error and what it wraps, level by level from the outside in. */
const levelsOf = (error: unknown): ReadonlyArray<ReadonlyArray<object>> => {
  const seen = new Set<object>()
  const levels: Array<ReadonlyArray<object>> = []
  let candidates: ReadonlyArray<unknown> = [error]
  while (candidates.length > 0 && levels.length < maxDepth) {
    const level: Array<object> = []
    for (const node of candidates) {
      if (typeof node !== "object" || node === null || seen.has(node) || seen.size >= maxNodes) continue
      seen.add(node)
      level.push(node)
    }
    if (level.length > 0) levels.push(level)
    candidates = level.flatMap(childrenOf)
  }
  return levels
}

const bySystemCall = (node: object, code: string): FailureClass | undefined => {
  const classes = Codes.bySystemCall.get(code)
  if (classes === undefined) return undefined
  const call = readString(node, "syscall")
  // TLS that is cut in its handshake names no system call, but it names the address: nothing of ours was sent.
  if (call === "connect" || (call === undefined && "localAddress" in node)) return classes.connect
  return classes.otherwise
}

/** A wrapper that repeats the code of its cause, without the system call that says what the code means. */
const repeatsCause = (node: object, code: string): boolean => {
  const cause = readObject(node, "cause")
  return cause !== undefined && read(node, "syscall") === undefined && read(cause, "code") === code
}

const sqlState = (code: string): FailureClass | undefined =>
  /^(?=.*\d)[0-9A-Z]{5}$/.test(code)
    ? Codes.sqlStates.get(code) ?? Codes.sqlStateClasses.get(code.slice(0, 2)) ?? "Fatal"
    : undefined

const byWord = (code: string): FailureClass | undefined =>
  Codes.wordCodes.get(code) ?? sqlState(code) ??
    Codes.wordPrefixes.find(([prefix]) => code.startsWith(prefix))?.[1]

const byCode = (node: object): Failure | undefined => {
  const code = readString(node, "code")
  // An aggregate repeats the code of its first member. Its members are asked instead.
  if (code === undefined || Array.isArray(read(node, "errors")) || repeatsCause(node, code)) return undefined
  const found = bySystemCall(node, code) ?? byWord(code)
  return found === undefined ? undefined : make(found, { code })
}

const byMysql = (node: object): Failure | undefined => {
  const errno = readInt(node, "errno")
  // System errors have negative numbers, so a number from 1000 is one of MySQL's.
  if (errno === undefined || errno < 1000 || errno > 9999) return undefined
  return make(Codes.mysqlErrors.get(String(errno)) ?? "Fatal", { code: `MYSQL_${errno}` })
}

const byRedis = (node: object): Failure | undefined => {
  const name = readString(node, "name")
  const constructor: unknown = read(node, "constructor")
  const isReply = (name !== undefined && Codes.redisReplyNames.has(name)) ||
    (typeof constructor === "function" && Codes.redisReplyNames.has(constructor.name))
  const reply = isReply ? readString(node, "message") : undefined
  if (reply === undefined) return undefined
  // This reply has no code of its own, and Redis has sent it in these words since version 2.4.
  if (reply.startsWith("ERR max number of clients")) return make("RemoteSaturated", { code: "MAXCLIENTS" })
  const code = reply.split(" ", 1)[0] ?? ""
  return make(Codes.redisReplies.get(code) ?? "Fatal", { code })
}

const byGrpc = (node: object): Failure | undefined => {
  const number = readInt(node, "code")
  if (number === undefined || readString(node, "details") === undefined) return undefined
  const code = Codes.grpcStatuses[number]
  const found = code === undefined ? undefined : Codes.wordCodes.get(code)
  return found === undefined ? undefined : make(found, { code })
}

const header = (headers: object | undefined, name: string): string | undefined => {
  if (headers === undefined) return undefined
  const get = read(headers, "get")
  const value: unknown = typeof get === "function"
    ? Reflect.apply(get, headers, [name])
    : read(headers, name) ?? Object.entries(headers).find(([key]) => key.toLowerCase() === name)?.[1]
  return typeof value === "string" || typeof value === "number" ? String(value) : undefined
}

/**
 * `Retry-After` in milliseconds. A date is measured against the `Date` of the same answer, so that it does not matter how
 * far the two clocks are apart; without one it is not understood.
 */
const retryAfterOf = (headers: object | undefined): number | undefined => {
  const value = header(headers, "retry-after")
  if (value === undefined) return undefined
  if (/^\d+(\.\d+)?$/.test(value)) return Number(value) * 1000
  const wait = Date.parse(value) - Date.parse(header(headers, "date") ?? "")
  return Number.isFinite(wait) ? Math.max(0, wait) : undefined
}

const statusOf = (node: object): number | undefined =>
  readInt(node, "status") ?? readInt(node, "statusCode") ?? readInt(node, "httpStatusCode")

const byHttp = (node: object): Failure | undefined => {
  const response = readObject(node, "response") ?? readObject(node, "$metadata")
  const status = statusOf(node) ?? (response === undefined ? undefined : statusOf(response))
  if (status === undefined || status < 400 || status > 599) return undefined
  const retryAfter = retryAfterOf(readObject(response ?? node, "headers") ?? readObject(node, "headers"))
  const found = status === 503 && retryAfter !== undefined
    ? "RemoteSaturated"
    : Codes.httpStatuses.get(String(status)) ?? "Fatal"
  return make(found, { code: `HTTP_${status}`, retryAfter })
}

const byClosing = (node: object): Failure | undefined => {
  const code = nameOf(node) === "SocketCloseError" ? readInt(node, "code") : undefined
  return code === undefined ? undefined : make(Codes.closingCodes.get(String(code)) ?? "Fatal", { code: `WS_${code}` })
}

const byTag = (node: object): Failure | undefined => {
  const tag = nameOf(node)
  const found = tag === undefined ? undefined : Codes.tags.get(tag)
  return found === undefined ? undefined : make(found, { code: tag })
}

/** Each knows one family. The first that knows an error decides; a tag says less than a code, so it comes later. */
const recognisers = [byMysql, byCode, byRedis, byGrpc, byHttp, byClosing]

const recognise = (node: object): Failure | undefined => {
  for (const recogniser of recognisers) {
    const failure = recogniser(node)
    if (failure !== undefined) return failure
  }
  return undefined
}

const isDefined = (failure: Failure | undefined): failure is Failure => failure !== undefined

/** Of the outermost level that is recognised: what may pass before what is fatal, since one good address is enough. */
const outermost = (
  levels: ReadonlyArray<ReadonlyArray<object>>,
  by: (node: object) => Failure | undefined
): Failure | undefined => {
  for (const level of levels) {
    const failures = level.map(by).filter(isDefined)
    const best = failures.find((failure) => failure.class !== "Fatal") ?? failures[0]
    if (best !== undefined) return best
  }
  return undefined
}

/** The outermost `isRetryable`, unless it comes from an error that says that its maker could not tell. */
const statedBy = (nodes: ReadonlyArray<object>): boolean | undefined => {
  for (const node of nodes) {
    const stated = read(node, "isRetryable")
    if (typeof stated === "boolean" && !Codes.undecidedTags.has(nameOf(readObject(node, "reason") ?? node) ?? "")) {
      return stated
    }
  }
  return undefined
}

const combine = (stated: boolean | undefined, known: Failure | undefined): Failure => {
  // Whoever cannot tell whether it was done says that it is not to be repeated blindly, which is what `Ambiguous` means.
  if (known?.class === "Ambiguous") return stated === true ? { ...known, class: "Transient" } : known
  if (stated === false) return make("Fatal", { code: known?.code })
  if (stated === true && (known === undefined || known.class === "Fatal")) {
    return make("Transient", { code: known?.code })
  }
  return known ?? make("Fatal")
}

/**
 * Says what an error asks for.
 *
 * **Details**
 *
 * The error and everything it wraps (`cause`, `reason`, `error`, the `errors` of an `AggregateError`) are looked at, eight
 * levels deep; cycles do no harm. What decides, in this order:
 *
 * 1. Local exhaustion anywhere (`EMFILE`, `ENFILE`, `ENOBUFS`, no ephemeral port, the monitor's `ResourceExhausted`):
 *    the class is `LocalExhausted`, whatever else the error says.
 * 2. The outermost `isRetryable: false`: the class is `Fatal`, unless what is known of the error is that it is
 *    `Ambiguous`.
 * 3. The outermost code that is known: Node, libuv, TLS, undici, PostgreSQL, MySQL, Redis, HTTP, gRPC and WebSocket; then
 *    the outermost tag that is known (Effect's `TimeoutError` and socket errors, and ours). An `isRetryable: true` outside
 *    it turns `Fatal` and `Ambiguous` into `Transient`.
 * 4. `isRetryable: true` alone: the class is `Transient`.
 * 5. Anything else is `Fatal`: an error that nobody knows is not retried.
 *
 * `Ambiguous` becomes `Transient` when the error says that the connection was never established.
 *
 * **Gotchas**
 *
 * - `ENOTFOUND` is `Transient`: a container's name may come after its client. A misspelt name is retried too.
 * - A plain `new Error("...")` is `Fatal`. Give an error `isRetryable: true`, or give the policy a `classify`.
 *
 * **Example** (Telling a full host from a closed port)
 *
 * ```ts
 * import { Effect } from "effect"
 * import * as Failure from "effect-sluice/Failure"
 *
 * const refused = Object.assign(new Error("connect"), { code: "ECONNREFUSED", syscall: "connect" })
 * const full = Object.assign(new Error("connect"), { code: "EMFILE", syscall: "connect" })
 * const both = new AggregateError([refused, full])
 *
 * const program = Effect.succeed([Failure.classify(refused).class, Failure.classify({ cause: both }).class])
 * await Effect.runPromise(program) // => ["Transient", "LocalExhausted"]
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const classify = (error: unknown): Failure => {
  const levels = levelsOf(error)
  const nodes = levels.flat()
  const isLocal = (failure: Failure): boolean => failure.class === "LocalExhausted"
  const local = nodes.map((node) => recognise(node) ?? byTag(node)).filter(isDefined).find(isLocal)
  if (local !== undefined) return local
  const known = outermost(levels, recognise) ?? outermost(levels, byTag)
  const failure = combine(statedBy(nodes), known)
  const unsent = nodes.some((node) => Codes.unsentTags.has(nameOf(node) ?? ""))
  return failure.class === "Ambiguous" && unsent ? { ...failure, class: "Transient" } : failure
}
