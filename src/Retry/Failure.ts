/**
 * What a failure asks for, by its codes and never by searching a text for words.
 *
 * @since 0.1.0
 */
import { isObject, read, readArray } from "../internal/SafeRead.ts"
import type { FailureClass } from "./Codes.ts"
import type { Failure } from "./FailureModel.ts"
import { make } from "./FailureModel.ts"
import { byTag, dialBy, isMistake, levelsOf, recognise, sentBy, statedBy, waitOf } from "./Recognising.ts"

export * from "./Classifier.ts"
export type {
  /**
   * What a failure asks for.
   *
   * @category models
   * @since 0.1.0
   */
  FailureClass
} from "./Codes.ts"
export {
  /**
   * What is known about an error.
   *
   * @category models
   * @since 0.1.0
   */
  type Failure,
  make
} from "./FailureModel.ts"

/**
 * Options of {@link classify}.
 *
 * @category models
 * @since 0.1.0
 */
export interface ClassifyOptions {
  /**
   * The time in milliseconds since 1970, by which a `Retry-After` that is a date is understood if its answer has no `Date`.
   *
   * @default undefined, which leaves such a date unread
   */
  readonly now?: number | undefined
  /**
   * Whether the error comes from opening a connection: nothing was asked of the other side yet. What is `Ambiguous`, and what is
   * not known at all, is then `Transient`, and `sent` is `false`. Codes of credentials, names and configuration stay `Fatal`, and
   * so do mistakes in the program (`TypeError`, `ReferenceError`). A pool says so about whatever its connector fails with.
   *
   * @default false, unless the error says that it is about opening a connection, as `TcpConnection`'s `DialFailed` does
   */
  readonly dial?: boolean | undefined
}

const isDefined = <A>(value: A | undefined): value is A => value !== undefined

const firstOf = <A>(nodes: ReadonlyArray<object>, f: (node: object) => A | undefined): A | undefined => {
  for (const node of nodes) {
    const value = f(node)
    if (value !== undefined) return value
  }
  return undefined
}

/**
 * Of several on one level, such as the addresses that were tried, the first of these decides: what may have been done must
 * not be repeated blindly, what may pass goes before what is fatal, since one good address is enough.
 */
const precedence: ReadonlyArray<FailureClass> = ["Ambiguous", "RemoteSaturated", "Transient", "Redirect", "Fatal"]

/** Of the outermost level that is recognised. */
const outermost = (
  levels: ReadonlyArray<ReadonlyArray<object>>,
  by: (node: object) => Failure | undefined
): Failure | undefined => {
  for (const level of levels) {
    const failures = level.map(by).filter(isDefined)
    const ranked = precedence.map((name) => failures.find((failure) => failure.class === name))
    const best = ranked.find(isDefined)
    if (best !== undefined) return best
  }
  return undefined
}

/** What is known of an error, with what its wrappers say. */
const combine = (known: Failure | undefined, stated: boolean | undefined): Failure => {
  if (known?.class === "Ambiguous" || known?.class === "Redirect") return known
  // The maker of an error knows more about it than its code says, except that what was done cannot be undone.
  if (stated === false) return { ...known, ...make("Fatal", { code: known?.code }) }
  if (stated === true && (known === undefined || known.class === "Fatal")) {
    return { ...known, ...make("Transient", { code: known?.code }) }
  }
  return known ?? make("Fatal")
}

/** Adds what the whole chain says: whether anything was sent, and how long to wait. */
const complete = (failure: Failure, nodes: ReadonlyArray<object>): Failure => {
  const sent = failure.sent ?? firstOf(nodes, sentBy)
  const retryAfter = failure.retryAfter ?? firstOf(nodes, waitOf)
  return {
    ...failure,
    ...(failure.class === "Ambiguous" && sent === false ? { class: "Transient" } : undefined),
    ...(retryAfter === undefined ? undefined : { retryAfter }),
    ...(sent === undefined ? undefined : { sent })
  }
}

/** What a failure is when it is one of a dial: nothing was asked yet, so that only what is known to be `Fatal` is. */
const ofDial = (failure: Failure, isKnown: boolean): Failure => ({
  ...failure,
  ...(failure.class === "Ambiguous" || !isKnown ? { class: "Transient" } : undefined),
  sent: false
})

const isUnusableAddress = (error: unknown): boolean => isObject(error) && read(error, "code") === "EADDRNOTAVAIL"

/**
 * The members of an aggregate that say only that their own address cannot be used, while another member says something else. A
 * host without IPv6 says `EADDRNOTAVAIL` of each IPv6 address of a peer, which is no lack of ports.
 */
const unusableAddresses = (nodes: ReadonlyArray<object>): ReadonlySet<unknown> =>
  new Set(nodes.flatMap((node) => {
    const members = readArray(node, "errors", 64)
    const unusable = members.filter(isUnusableAddress)
    return unusable.length < members.length ? unusable : []
  }))

/**
 * Says what an error asks for.
 *
 * **Details**
 *
 * The error and everything it wraps (`cause`, `reason`, `error`, the `errors` of an `AggregateError`) are looked at, eight
 * levels deep and 64 errors wide; cycles, getters that throw and other traps do no harm. What decides, in this order:
 *
 * 1. Local exhaustion anywhere (`EMFILE`, `ENFILE`, `ENOBUFS`, no ephemeral port, the monitor's `ResourceExhausted`):
 *    the class is `LocalExhausted`, whatever else the error says. `EADDRNOTAVAIL` of one address of several counts only where all
 *    of them have it: a host without IPv6 says it of each IPv6 address.
 * 2. The outermost code that is known: Node, libuv, TLS, undici, HTTP/2, PostgreSQL, MySQL, Redis, MongoDB, NATS, AMQP, HTTP,
 *    gRPC and WebSocket, or the whole text of an error that has no code, of known versions of drivers; then the outermost tag
 *    that is known (Effect's errors, those of clients without codes, and ours).
 *    `Ambiguous` becomes `Transient` when it is certain that nothing was sent: because there never was a connection, or
 *    because an error says `sent: false`.
 * 3. The outermost `isRetryable`: `false` makes `Fatal` what would be retried, `true` makes `Transient` what is `Fatal` or
 *    not known. It changes neither `Ambiguous` nor `Redirect`: a good prospect does not say that an effect may be done twice.
 * 4. Anything else is `Fatal`: an error that is not known is not retried.
 *
 * Of a dial (see {@link ClassifyOptions}) nothing is `Ambiguous`, and an error that is not known is `Transient`.
 *
 * `retryAfter` is the wait that the other side asked for: `Retry-After` as seconds or as a date, `retry-after-ms`, gRPC's
 * `grpc-retry-pushback-ms` and `RetryInfo`, or a `Duration` in a field `retryAfter` of any of the errors.
 *
 * **Gotchas**
 *
 * - `ENOTFOUND` is `Transient`: a container's name may come after its client. A misspelt name is retried too. Use
 *   `Failure.byCode({ ENOTFOUND: "Fatal" })` where that is no possibility.
 * - A plain `new Error("...")` is `Fatal`. Give an error `isRetryable: true`, or give the policy a `classify`.
 * - A serialization failure or a deadlock of a database (`40001`, `40P01`, MySQL 1205 and 1213) is `Transient` for the whole
 *   transaction. What is retried has to be the transaction, never its last statement.
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
export const classify = (error: unknown, options?: ClassifyOptions): Failure => {
  const levels = levelsOf(error)
  const nodes = levels.flat()
  const recognised = new Map(nodes.map((node) => [node, recognise(node, options?.now)]))
  const coded = (node: object): Failure | undefined => recognised.get(node)
  const unusable = unusableAddresses(nodes)
  const local = firstOf(nodes, (node) => {
    if (unusable.has(node)) return undefined
    const failure = coded(node) ?? byTag(node)
    return failure?.class === "LocalExhausted" ? failure : undefined
  })
  if (local !== undefined) return local
  const known = outermost(levels, coded) ?? outermost(levels, byTag)
  const certain = known === undefined ? undefined : complete(known, nodes)
  const stated = firstOf(nodes, statedBy)
  const failure = complete(combine(certain, stated), nodes)
  const isDial = options?.dial ?? firstOf(nodes, dialBy) ?? false
  return isDial ? ofDial(failure, known !== undefined || stated !== undefined || nodes.some(isMistake)) : failure
}
