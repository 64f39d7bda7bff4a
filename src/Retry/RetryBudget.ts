/**
 * Limits retries to a share of the successes, so that the retries of many clients do not keep a server down that would
 * otherwise recover.
 *
 * **Details**
 *
 * The rules are those of gRPC's retry throttling (gRFC A6): each success earns a part of a token, each failure costs one,
 * and there are no retries while less than half of the tokens are left. There are two additions: the floor, by which an empty
 * budget notices that the server is back, and the refund of the token of a retry that was interrupted before it began.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { monotonicMillis } from "../internal/MonotonicTime.ts"
import { aboveZero, checkOptions } from "../internal/Options.ts"
import { Bucket, type BucketRules, Floor, KeyedBuckets, token } from "./internal/TokenBucket.ts"

export { InvalidOption } from "../internal/InvalidOption.ts"

/**
 * Marks a budget, and holds its buckets.
 *
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId = "~effect-sluice/Retry/RetryBudget"

/**
 * The type of {@link TypeId}.
 *
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = typeof TypeId

/**
 * The options of a budget.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * The maximum number of tokens, and the initial one. A failure costs one token, and a retry needs half of them: without a
   * success there are at most half as many retries. A finite number of at least 1.
   *
   * Each new process has a full budget. A small capacity limits the retries of many processes that start while a server is
   * in trouble.
   *
   * @default 10
   */
  readonly capacity?: number | undefined
  /**
   * The tokens that a success earns, to six decimals: in the long run the share of retries among successes. From 0 to 1.
   *
   * @default 0.1
   */
  readonly deposit?: number | undefined
  /**
   * One retry per interval of this length is granted without regard to the tokens. Above 0; `"Infinity"` for none.
   *
   * In an outage there are no successes, and only the floor grants retries. With `N` processes whose floor is `m` retries a second,
   * a server with a load of `r` (offered by capacity `C`) recovers by itself only if `r + N * m / C` is below 1.
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
 * which changes nothing. Then those with the most tokens are dropped, which have a full budget at their next use.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeKeyed = (options: Options = {}): RetryBudget => {
  const buckets = new KeyedBuckets(rulesOf(options), floorOf(options))
  return { [TypeId]: { bucketOf: (label) => buckets.get(label), lowest: () => buckets.lowest } }
}

/**
 * The remaining tokens; of this label where the budget is keyed.
 *
 * @category getters
 * @since 0.1.0
 */
export const balance = (self: RetryBudget, label = ""): Effect.Effect<number> =>
  Effect.sync(() => self[TypeId].bucketOf(label).balance)

/**
 * The time until a retry would be granted, of this label where the budget is keyed: zero when one is granted now,
 * `Infinity` when only successes can lead to one.
 *
 * @category getters
 * @since 0.1.0
 */
export const retryAfter = (self: RetryBudget, label = ""): Effect.Effect<Duration.Duration> =>
  Effect.map(Clock.Clock, (clock) => Duration.millis(self[TypeId].bucketOf(label).refusedFor(monotonicMillis(clock))))
