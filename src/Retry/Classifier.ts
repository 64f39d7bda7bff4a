/**
 * Ways to say what errors ask for that `Failure.classify` does not know. `Failure` exports all of it.
 *
 * @since 0.1.0
 */
import { dual } from "effect/Function"
import { isObject, namesOf, read } from "../internal/SafeRead.ts"
import type { FailureClass } from "./Codes.ts"
import type { Failure } from "./FailureModel.ts"
import { make } from "./FailureModel.ts"
import { levelsOf, recognise } from "./Recognising.ts"

/**
 * Says what an error asks for, or `undefined` where it does not know, which leaves the error to the next classifier and in
 * the end to `Failure.classify`. It is the type of the `classify` option of a policy.
 *
 * @category models
 * @since 0.1.0
 */
export type Classifier = (error: unknown) => Failure | undefined

/**
 * What a classifier says of an error: a class, or a whole failure with its wait.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome = FailureClass | Failure

const failureOf = (outcome: Outcome, code: string | undefined): Failure =>
  typeof outcome === "string" ? make(outcome, { code }) : outcome

/** The first of a list of names that has an outcome. */
const lookUp = (outcomes: ReadonlyMap<string, Outcome>, names: ReadonlyArray<string>): Failure | undefined => {
  for (const name of names) {
    const outcome = outcomes.get(name)
    if (outcome !== undefined) return failureOf(outcome, name)
  }
  return undefined
}

/** Asks about the error and what it wraps, from the outside in; the first answer counts. */
const outsideIn = (f: (node: object) => Failure | undefined): Classifier => (error) => {
  for (const node of levelsOf(error).flat()) {
    const failure = f(node)
    if (failure !== undefined) return failure
  }
  return undefined
}

const codesOf = (node: object): ReadonlyArray<string> => {
  const named = recognise(node, undefined)?.code
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
 * Classifies by what errors call themselves: `_tag`, `name`, or the name of the class. The error is asked first, then what
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
    // The overloads give the function what the predicate has found to be of its type.
    typeof outcome === "function" ? outcome(found as never) : outcome
  const nested = outsideIn((node) => predicate(node) ? failureOf(outcomeOf(node), undefined) : undefined)
  // A thrown text or number is no object that could wrap another.
  return (error) =>
    isObject(error) ? nested(error) : predicate(error) ? failureOf(outcomeOf(error), undefined) : undefined
}

/**
 * Asks one classifier, and another one about what the first does not know.
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
