/**
 * Bounds retries to a share of what succeeds, so that the retries of many clients cannot keep a server down that would
 * otherwise recover.
 *
 * **Details**
 *
 * The rules are those of gRPC's retry throttling (gRFC A6): each success earns a part of a token, each failure costs one,
 * and nothing is retried while less than half of the tokens are left. Added are the floor, so that a budget that is empty
 * can notice that the server is back, and that a retry which was interrupted before it began gives its token back.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { monotonicMillis } from "../internal/MonotonicTime.ts"
import { checkOptions } from "../internal/Options.ts"
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
   * The most tokens, and how many there are at first. A failure costs one, and half of them must be left for a retry: at
   * most half as many retries follow each other without any success. A finite number of at least 1.
   *
   * It is paid by each process that starts, so it is small: many processes that meet a server in trouble may each retry so
   * often before their budgets hold them back.
   *
   * @default 10
   */
  readonly capacity?: number | undefined
  /**
   * What a success earns, in tokens and to six decimals: in the long run the share of retries among successes. From 0 to 1.
   *
   * @default 0.1
   */
  readonly deposit?: number | undefined
  /**
   * One retry in so much time is granted however few tokens there are; above 0, `"Infinity"` for none.
   *
   * In an outage nothing succeeds, and the floor is all that is left. With `N` processes whose floor is `m` retries a second,
   * a server with a load of `r` (offered by capacity `C`) recovers by itself only if `r + N * m / C` is below 1.
   *
   * @default "10 seconds"
   */
  readonly floor?: Duration.Input | undefined
}

/**
 * A budget for retries. It is state of this process that several policies share.
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
  new Floor(Duration.toMillis(
    check.duration("floor", options.floor ?? "10 seconds", { min: 0, exclusive: true, infinite: true })
  ))

/**
 * A budget for everything that is retried with it, whatever its label: of one pool, or of one server under many names. It
 * throws `InvalidOption` on an option that makes no sense.
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
 * // Two retries are paid with tokens and one is the floor's; the fourth failure finds an empty budget.
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
 * A budget for each label, so that an endpoint that is down costs the others nothing. The floor is one for all of them,
 * since it is what a whole process may do. It throws `InvalidOption` on an option that makes no sense.
 *
 * **Details**
 *
 * It remembers at most 1000 labels, so that labels may come from outside. Those that have all their tokens are forgotten
 * first, which changes nothing, and then those with the most tokens, which have a full budget when they come again.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeKeyed = (options: Options = {}): RetryBudget => {
  const buckets = new KeyedBuckets(rulesOf(options), floorOf(options))
  return { [TypeId]: { bucketOf: (label) => buckets.get(label), lowest: () => buckets.lowest } }
}

/**
 * The tokens that are left, of this label where the budget is keyed.
 *
 * @category getters
 * @since 0.1.0
 */
export const balance = (self: RetryBudget, label = ""): Effect.Effect<number> =>
  Effect.sync(() => self[TypeId].bucketOf(label).balance)

/**
 * How long it takes until a retry would be granted, of this label where the budget is keyed: zero when one is granted now,
 * `Infinity` when only successes can help.
 *
 * @category getters
 * @since 0.1.0
 */
export const retryAfter = (self: RetryBudget, label = ""): Effect.Effect<Duration.Duration> =>
  Effect.map(Clock.Clock, (clock) => Duration.millis(self[TypeId].bucketOf(label).refusedFor(monotonicMillis(clock))))
