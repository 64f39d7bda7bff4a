/**
 * The policy as a value: its options, how they are checked, and the presets. `RetryPolicy` exports all of it.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Pipeable from "effect/Pipeable"
import { checkOptions } from "../internal/Options.ts"
import * as Backoff from "./Backoff.ts"
import { type Breaker, TypeId as breakerTypeId } from "./Breaker.ts"
import type { Rules } from "./Decision.ts"
import type { Failure } from "./Failure.ts"
import { type RetryBudget, TypeId as budgetTypeId } from "./RetryBudget.ts"
import type { RetryObserver } from "./RetryObserver.ts"

/**
 * Marks a policy, and holds what it was decoded to.
 *
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId = "~effect-sluice/Retry/RetryPolicy"

/**
 * The type of {@link TypeId}.
 *
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = typeof TypeId

/**
 * The options of a policy. Every default is that of {@link standard}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * The delay before the second attempt, before jitter. Above 0.
   *
   * @default "100 millis"
   */
  readonly initialDelay?: Duration.Input | undefined
  /**
   * No delay is above this, jitter included, unless the other side asks for a longer one (`Retry-After`), which counts up to
   * 72 seconds. Finite, at least `initialDelay`.
   *
   * @default "30 seconds"
   */
  readonly maxDelay?: Duration.Input | undefined
  /**
   * By how much the delay grows with each attempt. A finite number of at least 1.
   *
   * @default 2
   */
  readonly factor?: number | undefined
  /**
   * How far delays are spread: a fraction from 0 to 1 spreads a delay `d` over `d * (1 - jitter)` to `d * (1 + jitter)`,
   * `"full"` over 0 to `d`. Where that would pass `maxDelay`, the interval keeps its width and is moved down to end there.
   * Many clients of one server do best with `"full"`.
   *
   * @default 0.1
   */
  readonly jitter?: number | "full" | undefined
  /**
   * How many attempts there are, the first included. A whole number of at least 1, or `Infinity`. Waits for room on this
   * host are no attempts.
   *
   * @default 3
   */
  readonly maxAttempts?: number | undefined
  /**
   * For an effect that is meant to go on, such as a subscription that is opened and read until it breaks: an attempt that
   * has run for so long before it failed, and for at least the delay before it, was a success in its time. Attempts and delays
   * begin anew with its failure. Above 0; `"Infinity"` for never.
   *
   * An effect that merely takes long to fail must not have this, since it would be retried for ever.
   *
   * @default "Infinity"
   */
  readonly stableAfter?: Duration.Input | undefined
  /**
   * The time for everything: attempts, waits and the gate. Above 0; `"Infinity"` for none. No attempt begins after it, and
   * the one that is running is interrupted.
   *
   * @default "Infinity"
   */
  readonly deadline?: Duration.Input | undefined
  /**
   * Bounds retries to a share of the successes: `RetryBudget.make` or `RetryBudget.makeKeyed`. `undefined` for no bound
   * besides `maxAttempts`.
   *
   * @default undefined
   */
  readonly budget?: RetryBudget | undefined
  /**
   * Stops asking an endpoint that does not answer: `Breaker.make`. `undefined` for none.
   *
   * @default undefined
   */
  readonly breaker?: Breaker | undefined
  /**
   * Classes failures before `Failure.classify` does; `undefined` leaves the failure to it.
   *
   * @default () => undefined
   */
  readonly classify?: ((error: unknown) => Failure | undefined) | undefined
  /**
   * How many descriptors an attempt claims at the gate. A whole number; 0 asks the gate and claims nothing, for an effect
   * that opens nothing itself.
   *
   * @default 1
   */
  readonly descriptors?: number | undefined
  /**
   * Whether the effect may be done twice. Only then is a failure retried that is `Ambiguous`, such as a connection that
   * broke after the request was sent. The presets for opening connections say `true`.
   *
   * @default false
   */
  readonly idempotent?: boolean | undefined
  /**
   * Receives what retries under this policy do. `RetryTelemetry.record` makes one.
   *
   * @default undefined
   */
  readonly observer?: RetryObserver | undefined
}

/**
 * Whether, when and how often to try again: an immutable value. Its fields are options of {@link make}, so that
 * `make({ ...policy, maxAttempts: 5 })` is a policy that differs in one of them.
 *
 * @category models
 * @since 0.1.0
 */
export interface RetryPolicy extends Pipeable.Pipeable {
  readonly [TypeId]: Rules
  readonly initialDelay: Duration.Duration
  readonly maxDelay: Duration.Duration
  readonly factor: number
  readonly jitter: number | "full"
  readonly maxAttempts: number
  readonly stableAfter: Duration.Duration
  readonly deadline: Duration.Duration
  readonly budget: RetryBudget | undefined
  readonly breaker: Breaker | undefined
  readonly classify: ((error: unknown) => Failure | undefined) | undefined
  readonly descriptors: number
  readonly idempotent: boolean
  readonly observer: RetryObserver | undefined
}

const check = checkOptions("RetryPolicy")

const checkJitter = (jitter: number | "full"): number | "full" => {
  const valid = jitter === "full" || (typeof jitter === "number" && jitter >= 0 && jitter <= 1)
  check.require(valid, "jitter", jitter, "be a number from 0 to 1, or \"full\"")
  return jitter
}

const checkFactor = (factor: number): number => {
  check.require(Number.isFinite(factor) && factor >= 1, "factor", factor, "be a finite number of at least 1")
  return factor
}

const unlimited = (option: string, value: unknown): Duration.Duration =>
  check.duration(option, value ?? Infinity, { min: 0, exclusive: true, infinite: true })

const checkMaxDelay = (value: unknown, initialDelay: Duration.Duration): Duration.Duration => {
  const maxDelay = check.duration("maxDelay", value, { min: 0, exclusive: true })
  const rule = () => `be at least initialDelay (${Duration.format(initialDelay)})`
  check.require(Duration.isGreaterThanOrEqualTo(maxDelay, initialDelay), "maxDelay", value, rule)
  return maxDelay
}

/** Asking this host for room again costs next to nothing, so that waits for it need not grow longer than this. */
const maxLocalDelay = 5_000

const isMarked = (value: unknown, mark: string): boolean =>
  value === undefined || (typeof value === "object" && value !== null && mark in value)

const rulesOf = (policy: Omit<RetryPolicy, TypeId | "pipe">): Rules => {
  const backoff: Backoff.Backoff = {
    initialDelay: Duration.toMillis(policy.initialDelay),
    maxDelay: Duration.toMillis(policy.maxDelay),
    factor: policy.factor,
    jitter: policy.jitter
  }
  return {
    backoff,
    localBackoff: {
      ...backoff,
      initialDelay: Math.min(backoff.initialDelay, maxLocalDelay),
      maxDelay: Math.min(backoff.maxDelay, maxLocalDelay)
    },
    maxAttempts: policy.maxAttempts,
    stableAfter: Duration.toMillis(policy.stableAfter),
    deadline: Duration.toMillis(policy.deadline),
    idempotent: policy.idempotent
  }
}

/**
 * Makes a policy. It throws `InvalidOption` when an option makes no sense, naming the option, its value and the rule.
 *
 * **Example** (Adjusting a preset)
 *
 * ```ts
 * import { Duration, Effect } from "effect"
 * import * as RetryPolicy from "effect-sluice/RetryPolicy"
 *
 * const patient = RetryPolicy.make({ ...RetryPolicy.network, jitter: "full", deadline: "1 minute" })
 *
 * const program = Effect.succeed([patient.maxAttempts, Duration.format(patient.deadline)])
 * await Effect.runPromise(program) // => [5, "1m"]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): RetryPolicy => {
  const initialDelay = check.duration("initialDelay", options.initialDelay ?? 100, { min: 0, exclusive: true })
  const { breaker, budget, classify } = options
  check.require(classify === undefined || typeof classify === "function", "classify", classify, "be a function")
  check.require(isMarked(budget, budgetTypeId), "budget", budget, "be made by RetryBudget")
  check.require(isMarked(breaker, breakerTypeId), "breaker", breaker, "be made by Breaker")
  const policy = {
    initialDelay,
    maxDelay: checkMaxDelay(options.maxDelay ?? 30_000, initialDelay),
    factor: checkFactor(options.factor ?? 2),
    jitter: checkJitter(options.jitter ?? 0.1),
    maxAttempts: check.whole("maxAttempts", options.maxAttempts ?? 3, { min: 1, infinite: true }),
    stableAfter: unlimited("stableAfter", options.stableAfter),
    deadline: unlimited("deadline", options.deadline),
    budget,
    breaker,
    classify,
    descriptors: check.whole("descriptors", options.descriptors ?? 1, { min: 0 }),
    idempotent: options.idempotent ?? false,
    observer: options.observer
  }
  const self: RetryPolicy = Object.assign(Object.create(Pipeable.Prototype), policy, { [TypeId]: rulesOf(policy) })
  return Object.freeze(self)
}

/**
 * 3 attempts, 100 ms doubling up to 30 s, jitter 0.1.
 *
 * @category presets
 * @since 0.1.0
 */
export const standard: RetryPolicy = /*#__PURE__*/ make()

/**
 * For calls over a network: 5 attempts, 250 ms doubling up to 15 s, jitter 0.2.
 *
 * @category presets
 * @since 0.1.0
 */
export const network: RetryPolicy = /*#__PURE__*/ make({
  maxAttempts: 5,
  initialDelay: 250,
  maxDelay: 15_000,
  factor: 2,
  jitter: 0.2
})

/**
 * For dialling TCP: 6 attempts, 500 ms growing by 1.5 up to 60 s, jitter 0.25.
 *
 * @category presets
 * @since 0.1.0
 */
export const tcpConnection: RetryPolicy = /*#__PURE__*/ make({
  maxAttempts: 6,
  initialDelay: 500,
  maxDelay: 60_000,
  factor: 1.5,
  jitter: 0.25,
  idempotent: true
})

/**
 * For opening a WebSocket: 4 attempts, 200 ms doubling up to 10 s, jitter 0.15.
 *
 * @category presets
 * @since 0.1.0
 */
export const websocket: RetryPolicy = /*#__PURE__*/ make({
  maxAttempts: 4,
  initialDelay: 200,
  maxDelay: 10_000,
  factor: 2,
  jitter: 0.15,
  idempotent: true
})

/**
 * For operations of an MCP server: 3 attempts, 150 ms growing by 1.8 up to 5 s, jitter 0.1.
 *
 * **Gotchas**
 *
 * A call that was cut off is not repeated, because it may have been done. Where it may be done twice, use
 * `make({ ...mcpOperations, idempotent: true })`.
 *
 * @category presets
 * @since 0.1.0
 */
export const mcpOperations: RetryPolicy = /*#__PURE__*/ make({
  maxAttempts: 3,
  initialDelay: 150,
  maxDelay: 5_000,
  factor: 1.8,
  jitter: 0.1
})

/**
 * The delay after a number of failed attempts, for a random number `u` from 0 (inclusive) to 1 (exclusive).
 *
 * **Details**
 *
 * Before jitter it is `min(maxDelay, initialDelay * factor^(failures - 1))`. It is finite for any number of failures.
 *
 * **Example** (The spread survives the cap)
 *
 * ```ts
 * import { Duration, Effect } from "effect"
 * import * as RetryPolicy from "effect-sluice/RetryPolicy"
 *
 * const policy = RetryPolicy.make({ initialDelay: 100, maxDelay: 1000, factor: 2, jitter: 0.25 })
 * const range = (failures: number) =>
 *   [0, 0.5].map((u) => Duration.toMillis(RetryPolicy.delay(policy, failures, u)))
 *
 * await Effect.runPromise(Effect.succeed([range(1), range(2), range(9)])) // => [[75, 100], [150, 200], [500, 750]]
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const delay = (policy: RetryPolicy, failures: number, u: number): Duration.Duration =>
  Duration.millis(Backoff.delay(policy[TypeId].backoff, failures, u))
