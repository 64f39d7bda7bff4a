/**
 * Classifies failures by their codes, never by words in a text.
 *
 * @since 0.1.0
 * @stability stable
 */
import { dual } from "effect/Function"
import { isObject, namesOf, read, readArray } from "../internal/SafeRead.ts"
import * as Errors from "./internal/ErrorClassifiers.ts"
import { type Failure, type FailureClass, make } from "./internal/ErrorCodes.ts"

export {
  /**
   * What is known about an error.
   *
   * @category models
   * @since 0.1.0
   */
  type Failure,
  /**
   * What a failure asks for.
   *
   * @category models
   * @since 0.1.0
   */
  type FailureClass,
  make
} from "./internal/ErrorCodes.ts"

/**
 * Options of {@link classify}.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface ClassifyOptions {
  /**
   * The current time in milliseconds since 1970. It is subtracted from a `Retry-After` that is a date, if the answer has no
   * `Date` header.
   *
   * @default undefined, with which such a date is ignored
   */
  readonly now?: number | undefined
  /**
   * Whether the error comes from opening a connection, before any request was sent. Then `Ambiguous` and unknown failures are
   * `Transient`, and `sent` is `false`. Codes that mean wrong credentials, names or configuration stay `Fatal`, and so do
   * mistakes in the program (`TypeError`, `ReferenceError`). A pool sets it for every failure of its connector.
   *
   * @default false, unless the error itself shows that it comes from opening a connection, such as `DialFailed` of `TcpConnection`
   */
  readonly dial?: boolean | undefined
}

const isDefined = <A>(value: A | undefined): value is A => value !== undefined

/**
 * Of several failures on one level, such as those of several addresses, the first class in this list decides. `Ambiguous` comes
 * first, because a request that may have been executed must not simply be repeated. `Transient` precedes `Fatal`, because one
 * working address is enough.
 */
const precedence: ReadonlyArray<FailureClass> = ["Ambiguous", "RemoteSaturated", "Transient", "Redirect", "Fatal"]

/** The failure of the outermost level that has a recognized error. */
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

/** Combines the class of a failure with the `isRetryable` of the error and its wrappers. */
const combine = (known: Failure | undefined, stated: boolean | undefined): Failure => {
  if (known?.class === "Ambiguous" || known?.class === "Redirect") return known
  // `isRetryable` is more specific than a code, but it does not mean that the effect may be executed twice.
  if (stated === false) return { ...known, ...make("Fatal", { code: known?.code }) }
  if (stated === true && (known === undefined || known.class === "Fatal")) {
    return { ...known, ...make("Transient", { code: known?.code }) }
  }
  return known ?? make("Fatal")
}

/** Adds whether a request was sent and how long to wait, from any of the wrapped errors. */
const complete = (failure: Failure, nodes: ReadonlyArray<object>): Failure => {
  const sent = failure.sent ?? Errors.firstDefined(nodes, Errors.sentBy)
  const retryAfter = failure.retryAfter ?? Errors.firstDefined(nodes, Errors.waitOf)
  return {
    ...failure,
    ...(failure.class === "Ambiguous" && sent === false ? { class: "Transient" } : undefined),
    ...(retryAfter === undefined ? undefined : { retryAfter }),
    ...(sent === undefined ? undefined : { sent })
  }
}

/** The failure of a dial: no request was sent, so only a known `Fatal` failure is `Fatal`. */
const ofDial = (failure: Failure, isKnown: boolean): Failure => ({
  ...failure,
  ...(failure.class === "Ambiguous" || !isKnown ? { class: "Transient" } : undefined),
  sent: false
})

const isUnusableAddress = (error: unknown): boolean => isObject(error) && read(error, "code") === "EADDRNOTAVAIL"

/**
 * The errors with `EADDRNOTAVAIL` in an aggregate that also has other failures. A host without IPv6 reports `EADDRNOTAVAIL` for
 * each IPv6 address of a peer, which does not mean that no port is left.
 */
const unusableAddresses = (nodes: ReadonlyArray<object>): ReadonlySet<unknown> =>
  new Set(nodes.flatMap((node) => {
    const members = readArray(node, "errors", 64)
    const unusable = members.filter(isUnusableAddress)
    return unusable.length < members.length ? unusable : []
  }))

/**
 * Classifies an error.
 *
 * **Details**
 *
 * The error and everything that it wraps (`cause`, `reason`, `error`, the `errors` of an `AggregateError`) are examined: at
 * most eight levels and 64 errors. Cycles, and getters that throw, do no harm. These decide, in this order:
 *
 * 1. Local exhaustion anywhere (`EMFILE`, `ENFILE`, `ENOBUFS`, no ephemeral port, the monitor's `ResourceExhausted`): the class
 *    is `LocalExhausted`, whatever the other errors are. `EADDRNOTAVAIL` counts only if all addresses of a host failed with it:
 *    a host without IPv6 reports it for each IPv6 address.
 * 2. The outermost known code: of Node, libuv, TLS, undici, HTTP/2, PostgreSQL, MySQL, Redis, MongoDB, NATS, AMQP, HTTP, gRPC
 *    and WebSocket. For an error without a code, its whole text is compared with those of known versions of drivers. Without a
 *    known code, the outermost known tag decides (errors of Effect, of clients without codes, and of this library). `Ambiguous`
 *    becomes `Transient` when it is certain that nothing was sent: because there never was a connection, or because an error
 *    says `sent: false`.
 * 3. The outermost `isRetryable`: with `false` the class is `Fatal`; with `true` it is `Transient` if it was `Fatal` or
 *    unknown. It changes neither `Ambiguous` nor `Redirect`, because it does not mean that the effect may be executed twice.
 * 4. Any other error is `Fatal`: an unknown error is not retried.
 *
 * A failed dial (see {@link ClassifyOptions}) is never `Ambiguous`, and an unknown error of a dial is `Transient`.
 *
 * `retryAfter` is the wait that the other side asked for: `Retry-After` as seconds or as a date, `retry-after-ms`, gRPC's
 * `grpc-retry-pushback-ms` and `RetryInfo`, or a `Duration` in a field `retryAfter` of any of the errors.
 *
 * **Gotchas**
 *
 * - `ENOTFOUND` is `Transient`, because a container's name may be registered after its client has started. So a misspelt name is retried
 *   too. Use `Failure.byCode({ ENOTFOUND: "Fatal" })` if all names exist from the start.
 * - A plain `new Error("...")` is `Fatal`. To have it retried, give it `isRetryable: true`, or give the policy a `classify`.
 * - A serialization failure or a deadlock of a database (`40001`, `40P01`, MySQL 1205 and 1213) is `Transient` for the whole transaction.
 *   Retry the whole transaction, never only its last statement.
 *
 * **Example** (Distinguishing a full host from a closed port)
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
 * @stability stable
 */
export const classify = (error: unknown, options?: ClassifyOptions): Failure => {
  const levels = Errors.levelsOf(error)
  const nodes = levels.flat()
  const recognised = new Map(nodes.map((node) => [node, Errors.recognise(node, options?.now)]))
  const coded = (node: object): Failure | undefined => recognised.get(node)
  const unusable = unusableAddresses(nodes)
  const local = Errors.firstDefined(nodes, (node) => {
    if (unusable.has(node)) return undefined
    const failure = coded(node) ?? Errors.byTag(node)
    return failure?.class === "LocalExhausted" ? failure : undefined
  })
  if (local !== undefined) return local
  const known = outermost(levels, coded) ?? outermost(levels, Errors.byTag)
  const certain = known === undefined ? undefined : complete(known, nodes)
  const stated = Errors.firstDefined(nodes, Errors.statedBy)
  const failure = complete(combine(certain, stated), nodes)
  const isDial = options?.dial ?? Errors.firstDefined(nodes, Errors.dialBy) ?? false
  return isDial ? ofDial(failure, known !== undefined || stated !== undefined || nodes.some(Errors.isMistake)) : failure
}

/**
 * Classifies an error. If it returns `undefined`, the next classifier decides, and at last `Failure.classify`. It is the type
 * of the `classify` option of a policy.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export type Classifier = (error: unknown) => Failure | undefined

/**
 * The result of a classifier: a class, or a failure with its wait.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export type Outcome = FailureClass | Failure

const failureOf = (outcome: Outcome, code: string | undefined): Failure =>
  typeof outcome === "string" ? make(outcome, { code }) : outcome

/** The outcome of the first name that has one. */
const lookUp = (outcomes: ReadonlyMap<string, Outcome>, names: ReadonlyArray<string>): Failure | undefined =>
  Errors.firstDefined(names, (name) => {
    const outcome = outcomes.get(name)
    return outcome === undefined ? undefined : failureOf(outcome, name)
  })

/** Classifies the error, then the errors that it wraps, from the outside in. The first result counts. */
const outsideIn = (f: (node: object) => Failure | undefined): Classifier => (error) =>
  Errors.firstDefined(Errors.levelsOf(error).flat(), f)

const codesOf = (node: object): ReadonlyArray<string> => {
  const named = Errors.recognise(node, undefined)?.code
  const code = read(node, "code")
  const own = typeof code === "string" || typeof code === "number" ? [String(code)] : []
  return named === undefined ? own : [named, ...own]
}

/**
 * Classifies by code: the `code` of an error, or the code that `Failure.classify` names (`HTTP_404`, `MYSQL_1205`, `READONLY`,
 * `UNAVAILABLE`). The error is examined first, then the errors that it wraps.
 *
 * **Example** (Changing the class of codes)
 *
 * ```ts
 * import { Effect } from "effect"
 * import * as Failure from "effect-sluice/Failure"
 * import * as RetryPolicy from "effect-sluice/RetryPolicy"
 *
 * const classify = Failure.byCode({
 *   // A name that cannot be resolved is a mistake here, not a container that starts.
 *   ENOTFOUND: "Fatal",
 *   // This service answers 404 until its data is loaded.
 *   HTTP_404: "Transient",
 *   // The codes of its own protocol.
 *   "4001": Failure.make("RemoteSaturated", { retryAfter: "2 seconds" })
 * })
 * const policy = RetryPolicy.make({ ...RetryPolicy.network, classify })
 *
 * const classes = [{ code: "ENOTFOUND" }, { status: 404 }, { cause: { code: 4001 } }, { code: "EPIPE" }].map((error) =>
 *   policy.classify?.(error)?.class
 * )
 * await Effect.runPromise(Effect.succeed(classes)) // => ["Fatal", "Transient", "RemoteSaturated", undefined]
 * ```
 *
 * @category classifiers
 * @since 0.1.0
 * @stability stable
 */
export const byCode = (outcomes: { readonly [code: string]: Outcome }): Classifier => {
  const known = new Map(Object.entries(outcomes))
  return outsideIn((node) => lookUp(known, codesOf(node)))
}

/**
 * Classifies by the names of an error: `_tag`, `name`, or the name of the class. The error is examined first, then the errors
 * that it wraps.
 *
 * **Gotchas**
 *
 * A minifier changes the names of classes. A `_tag` and a `name` that was set survive it.
 *
 * **Example** (Classifying errors of one's own)
 *
 * ```ts
 * import { Data, Effect } from "effect"
 * import * as Failure from "effect-sluice/Failure"
 *
 * class Overloaded extends Data.TaggedError("Overloaded") {}
 *
 * const classify = Failure.byTag({ Overloaded: "RemoteSaturated", Misconfigured: "Fatal" })
 *
 * const program = Effect.succeed([classify(new Overloaded()), classify(new Error("?"))])
 * await Effect.runPromise(program) // => [{ class: "RemoteSaturated", code: "Overloaded" }, undefined]
 * ```
 *
 * @category classifiers
 * @since 0.1.0
 * @stability stable
 */
export const byTag = (outcomes: { readonly [tag: string]: Outcome }): Classifier => {
  const known = new Map(Object.entries(outcomes))
  return outsideIn((node) => lookUp(known, namesOf(node)))
}

/**
 * Classifies errors with a predicate. The predicate is called with the error first, then with the errors that it wraps, so it
 * gets objects of any kind. The outcome may be a function of the error that was found.
 *
 * **Details**
 *
 * Use it for drivers whose errors have no code and are not known to `Failure.classify`. Then compare the whole text of a
 * message, which may change with the version of the driver.
 *
 * **Example** (Classifying an error without a code)
 *
 * ```ts
 * import { Effect } from "effect"
 * import * as Failure from "effect-sluice/Failure"
 *
 * // This driver reports with this message that its connection ended during a request.
 * const classify = Failure.when(
 *   (error): error is Error => error instanceof Error && error.message === "session lost",
 *   "Ambiguous"
 * )
 *
 * const lost = new Error("session lost")
 * await Effect.runPromise(Effect.succeed(classify({ cause: lost })?.class)) // => "Ambiguous"
 * ```
 *
 * **Example** (Reading a wait from an error)
 *
 * ```ts
 * import { Data, Duration, Effect } from "effect"
 * import * as Failure from "effect-sluice/Failure"
 *
 * class Throttled extends Data.TaggedError("Throttled")<{ readonly waitSeconds: number }> {}
 *
 * const classify = Failure.when(
 *   (error) => error instanceof Throttled,
 *   (error) => Failure.make("RemoteSaturated", { retryAfter: Duration.seconds(error.waitSeconds) })
 * )
 *
 * const wait = classify(new Throttled({ waitSeconds: 3 }))?.retryAfter ?? Duration.zero
 * await Effect.runPromise(Effect.succeed(Duration.toMillis(wait))) // => 3000
 * ```
 *
 * @category classifiers
 * @since 0.1.0
 * @stability stable
 */
export const when: {
  <A>(predicate: (error: unknown) => error is A, outcome: Outcome | ((error: A) => Outcome)): Classifier
  (predicate: (error: unknown) => boolean, outcome: Outcome | ((error: unknown) => Outcome)): Classifier
} = (predicate: (error: unknown) => boolean, outcome: Outcome | ((error: never) => Outcome)): Classifier => {
  const outcomeOf = (found: unknown): Outcome =>
    // The overloads guarantee that the value passed the predicate of the function's type.
    typeof outcome === "function" ? outcome(found as never) : outcome
  const nested = outsideIn((node) => predicate(node) ? failureOf(outcomeOf(node), undefined) : undefined)
  // A thrown text or number cannot wrap another error.
  return (error) =>
    isObject(error) ? nested(error) : predicate(error) ? failureOf(outcomeOf(error), undefined) : undefined
}

/**
 * Asks a second classifier about errors that the first one does not know.
 *
 * **Example** (Combining classifiers)
 *
 * ```ts
 * import { Effect, pipe } from "effect"
 * import * as Failure from "effect-sluice/Failure"
 *
 * const classify = pipe(
 *   Failure.byCode({ E_BUSY: "RemoteSaturated" }),
 *   Failure.orElse(Failure.byTag({ Overloaded: "RemoteSaturated" })),
 *   Failure.orElse((error) => typeof error === "string" ? Failure.make("Fatal") : undefined)
 * )
 *
 * const classes = [{ code: "E_BUSY" }, { _tag: "Overloaded" }, "text", {}].map((error) => classify(error)?.class)
 * await Effect.runPromise(Effect.succeed(classes)) // => ["RemoteSaturated", "RemoteSaturated", "Fatal", undefined]
 * ```
 *
 * @category classifiers
 * @since 0.1.0
 * @stability stable
 */
export const orElse: {
  (that: Classifier): (self: Classifier) => Classifier
  (self: Classifier, that: Classifier): Classifier
} = dual(2, (self: Classifier, that: Classifier): Classifier => (error) => self(error) ?? that(error))
