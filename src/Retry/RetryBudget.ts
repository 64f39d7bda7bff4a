/**
 * Limits retries to a share of the successes. Otherwise the retries of many clients can keep a server down that would recover
 * without them.
 *
 * **Details**
 *
 * The rules are those of gRPC's retry throttling (gRFC A6): each success adds a part of a token, each failure takes one, and
 * there are no retries while less than half of the tokens are left. There are two additions. The floor grants a retry now and
 * then without tokens, so that an empty budget notices when the server is up again. And the token of a retry that was
 * interrupted before it began is returned.
 *
 * @since 0.1.0
 * @stability stable
 */
import * as Clock from "effect/Clock"
import type * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { optionsFromConfig } from "../internal/ConfigOptions.ts"
import { monotonicMillis } from "../internal/MonotonicTime.ts"
import { aboveZero, checkOptions, refusing } from "../internal/Options.ts"
import { Bucket, type BucketRules, Floor, KeyedBuckets, token } from "./internal/TokenBucket.ts"

export { InvalidOption } from "../internal/InvalidOption.ts"

/**
 * Marks a budget, and holds its buckets.
 *
 * @category type IDs
 * @since 0.1.0
 * @stability stable
 */
export const TypeId = "~effect-sluice/Retry/RetryBudget"

/**
 * The type of {@link TypeId}.
 *
 * @category type IDs
 * @since 0.1.0
 * @stability stable
 */
export type TypeId = typeof TypeId

/**
 * The options of a budget.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Options {
  /**
   * The maximum number of tokens, with which a budget begins. A failure costs one token, and a retry needs half of them:
   * without a success there are at most half as many retries. A finite number of at least 1.
   *
   * Each new process has a full budget. With a small capacity, many processes that start while a server is down make few
   * retries.
   *
   * @default 10
   */
  readonly capacity?: number | undefined
  /**
   * The tokens that a success adds, rounded to six decimals: from 0 to 1. In the long run it is the number of retries for each
   * success.
   *
   * @default 0.1
   */
  readonly deposit?: number | undefined
  /**
   * In each interval of this length, one retry is granted even without tokens. Above 0; `"Infinity"` for none.
   *
   * In an outage there are no successes, and only the floor grants retries. So `N` processes make `N / floor` retries per
   * second. A server recovers by itself only if these and its ordinary requests together stay below its capacity.
   *
   * @default "10 seconds"
   */
  readonly floor?: Duration.Input | undefined
}

/**
 * A budget for retries: state of this process, which several policies may share.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface RetryBudget {
  readonly [TypeId]: Buckets
}

interface Buckets {
  readonly bucketOf: (label: string) => Bucket
  /** The lowest balance of all, in tokens. */
  readonly lowest: () => number
}

const check = checkOptions("RetryBudget")

/** Checks an amount of tokens, and returns it in the unit of the buckets. */
const amountOf = (
  option: "capacity" | "deposit",
  value: number,
  range: readonly [min: number, max: number]
): number => {
  const [min, max] = range
  const valid = Number.isFinite(value) && value >= min && value <= max
  check.require(
    valid,
    option,
    value,
    max === Infinity ? `be a finite number of at least ${min}` : `be ${min} to ${max}`
  )
  return Math.round(value * token)
}

const rulesOf = (options: Options): BucketRules => ({
  capacity: amountOf("capacity", options.capacity ?? 10, [1, Infinity]),
  deposit: amountOf("deposit", options.deposit ?? 0.1, [0, 1])
})

const floorOf = (options: Options): Floor =>
  new Floor(check.millis("floor", options.floor ?? "10 seconds", { ...aboveZero, infinite: true }))

/**
 * A budget for all retries, whatever their label: of one pool, or of one server under many names. An invalid option throws
 * `InvalidOption`.
 *
 * **Example** (Retrying no more than the budget allows)
 *
 * ```ts
 * import { Effect } from "effect"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 * import * as RetryBudget from "effect-sluice/RetryBudget"
 * import * as RetryPolicy from "effect-sluice/RetryPolicy"
 *
 * const budget = RetryBudget.make({ capacity: 4 })
 * const policy = RetryPolicy.make({ initialDelay: "1 millis", maxDelay: "1 millis", maxAttempts: 100, budget })
 *
 * let calls = 0
 * const call = Effect.suspend(() => {
 *   calls++
 *   return Effect.fail({ code: "ECONNREFUSED" })
 * })
 *
 * const program = call.pipe(
 *   RetryPolicy.retry(policy),
 *   Effect.catchReason("RetryError", "BudgetExhausted", (reason) => Effect.succeed([reason.attempts, reason.balance])),
 *   Effect.provide(ResourceMonitor.layerUnlimited)
 * )
 * // Tokens pay for two retries and the floor for one. The fourth failure meets an empty budget.
 * await Effect.runPromise(program) // => [4, 0]
 * ```
 *
 * @see {@link makeKeyed} for one budget for each endpoint
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const make = (options: Options = {}): RetryBudget => {
  const bucket = new Bucket(rulesOf(options), floorOf(options))
  return { [TypeId]: { bucketOf: () => bucket, lowest: () => bucket.balance } }
}

/**
 * A budget for each label, so that an endpoint that is down does not affect the others. All labels share one floor, which
 * limits the whole process. An invalid option throws `InvalidOption`.
 *
 * **Details**
 *
 * It keeps at most 1000 labels, so that labels may come from untrusted input. Labels with a full budget are dropped first,
 * which changes nothing. If too many remain, labels with the most tokens are dropped, which have a full budget when they are
 * used again.
 *
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const makeKeyed = (options: Options = {}): RetryBudget => {
  const buckets = new KeyedBuckets(rulesOf(options), floorOf(options))
  return { [TypeId]: { bucketOf: (label) => buckets.get(label), lowest: () => buckets.lowest } }
}

/**
 * {@link make} with options from `Config`: a record of one for each option, or one for all. It fails with `ConfigError` when a value
 * is missing, cannot be parsed, or is invalid as the option.
 *
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const makeConfig = (config: Config.Wrap<Options>): Effect.Effect<RetryBudget, Config.ConfigError> =>
  optionsFromConfig(config, (options: Options) => refusing(() => make(options)))

/**
 * {@link makeKeyed} with options from `Config`, as {@link makeConfig} reads them.
 *
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const makeKeyedConfig = (config: Config.Wrap<Options>): Effect.Effect<RetryBudget, Config.ConfigError> =>
  optionsFromConfig(config, (options: Options) => refusing(() => makeKeyed(options)))

/**
 * The remaining tokens; if the budget is keyed, those of this label.
 *
 * @category getters
 * @since 0.1.0
 * @stability stable
 */
export const balance = (self: RetryBudget, label = ""): Effect.Effect<number> =>
  Effect.sync(() => self[TypeId].bucketOf(label).balance)

/**
 * The time until a retry would be granted; if the budget is keyed, one of this label. Zero if one is granted now, `Infinity` if
 * none is granted before there are successes.
 *
 * @category getters
 * @since 0.1.0
 * @stability stable
 */
export const retryAfter = (self: RetryBudget, label = ""): Effect.Effect<Duration.Duration> =>
  Effect.map(Clock.Clock, (clock) => Duration.millis(self[TypeId].bucketOf(label).refusedFor(monotonicMillis(clock))))
