/**
 * Classifies failures by their codes, never by words in a text.
 *
 * @since 0.1.0
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
 */
export interface ClassifyOptions {
  /**
   * The time in milliseconds since 1970, by which a `Retry-After` that is a date is understood if its answer has no `Date`.
   *
   * @default undefined, which leaves such a date unread
   */
  readonly now?: number | undefined
  /**
   * Whether the error comes from opening a connection, before any request was sent. Then `Ambiguous` and unknown failures are
   * `Transient`, and `sent` is `false`. Codes of credentials, names and configuration stay `Fatal`, and so do mistakes in the
   * program (`TypeError`, `ReferenceError`). A pool sets it for every failure of its connector.
   *
   * @default false, unless the error says that it is about opening a connection, as `TcpConnection`'s `DialFailed` does
   */
  readonly dial?: boolean | undefined
}

const isDefined = <A>(value: A | undefined): value is A => value !== undefined

/**
 * Of several failures on one level, such as those of several addresses, the first class of this list decides. A request that
 * may have been executed must not be repeated blindly. `Transient` precedes `Fatal`, since one good address is enough.
 */
const precedence: ReadonlyArray<FailureClass> = ["Ambiguous", "RemoteSaturated", "Transient", "Redirect", "Fatal"]

/** The failure of the outermost level that is recognised. */
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
  // `isRetryable` is more specific than a code, but it does not say that the effect may run twice.
  if (stated === false) return { ...known, ...make("Fatal", { code: known?.code }) }
  if (stated === true && (known === undefined || known.class === "Fatal")) {
    return { ...known, ...make("Transient", { code: known?.code }) }
  }
  return known ?? make("Fatal")
}

/** Adds the facts from the whole chain: whether a request was sent, and how long to wait. */
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

/** The failure of a dial: no request was sent, so that only a known `Fatal` failure is `Fatal`. */
const ofDial = (failure: Failure, isKnown: boolean): Failure => ({
  ...failure,
  ...(failure.class === "Ambiguous" || !isKnown ? { class: "Transient" } : undefined),
  sent: false
})

const isUnusableAddress = (error: unknown): boolean => isObject(error) && read(error, "code") === "EADDRNOTAVAIL"

/**
 * The members of an aggregate whose own address cannot be used, if other members have another failure. A host without IPv6
 * reports `EADDRNOTAVAIL` for each IPv6 address of a peer, which is no lack of ports.
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
 * The error and everything it wraps (`cause`, `reason`, `error`, the `errors` of an `AggregateError`) are examined, eight
 * levels deep and 64 errors wide. Cycles, and getters that throw, are safe. These decide, in this order:
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
 * 4. Any other error is `Fatal`: an unknown error is not retried.
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
 * Classifies an error, or returns `undefined`. Then the next classifier decides, and finally `Failure.classify`. It is the type
 * of the `classify` option of a policy.
 *
 * @category models
 * @since 0.1.0
 */
export type Classifier = (error: unknown) => Failure | undefined

/**
 * The result of a classifier: a class, or a failure with its wait.
 *
 * @category models
 * @since 0.1.0
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

/** Classifies the error, then what it wraps, from the outside in. The first answer counts. */
const outsideIn = (f: (node: object) => Failure | undefined): Classifier => (error) =>
  Errors.firstDefined(Errors.levelsOf(error).flat(), f)

const codesOf = (node: object): ReadonlyArray<string> => {
  const named = Errors.recognise(node, undefined)?.code
  const code = read(node, "code")
  const own = typeof code === "string" || typeof code === "number" ? [String(code)] : []
  return named === undefined ? own : [named, ...own]
}

/**
 * Classifies by code: the `code` of an error, or the code that `Failure.classify` names (`HTTP_404`, `MYSQL_1205`,
 * `READONLY`, `UNAVAILABLE`). The error is asked first, then what it wraps.
 *
 * **Example** (Changing what codes mean)
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
 */
export const byCode = (outcomes: { readonly [code: string]: Outcome }): Classifier => {
  const known = new Map(Object.entries(outcomes))
  return outsideIn((node) => lookUp(known, codesOf(node)))
}

/**
 * Classifies by the names of an error: `_tag`, `name`, or the name of the class. The error is asked first, then what
 * it wraps.
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
 */
export const byTag = (outcomes: { readonly [tag: string]: Outcome }): Classifier => {
  const known = new Map(Object.entries(outcomes))
  return outsideIn((node) => lookUp(known, namesOf(node)))
}

/**
 * Classifies the errors of which a predicate is true. The error is asked first, then what it wraps, so that the predicate
 * meets objects of any kind. The outcome may depend on the one that was found.
 *
 * **Details**
 *
 * This is the place for drivers that give no code and are not known to `Failure.classify`. What is compared is then a whole
 * text of one version of the driver.
 *
 * **Example** (Classifying what has no code)
 *
 * ```ts
 * import { Effect } from "effect"
 * import * as Failure from "effect-sluice/Failure"
 *
 * // A driver that says no more than this when its connection ends under a request.
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
 */
export const orElse: {
  (that: Classifier): (self: Classifier) => Classifier
  (self: Classifier, that: Classifier): Classifier
} = dual(2, (self: Classifier, that: Classifier): Classifier => (error) => self(error) ?? that(error))
