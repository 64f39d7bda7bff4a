/**
 * Whether, when and how often to try again.
 *
 * A policy is a value. {@link retry} runs an effect under one: each attempt first passes the gate of the
 * `ResourceMonitor`, each failure is classified by its code, and each delay has jitter within its cap.
 *
 * @since 0.1.0
 * @stability stable
 */
import * as Cause from "effect/Cause"
import type * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { dual } from "effect/Function"
import * as Pipeable from "effect/Pipeable"
import * as Schedule from "effect/Schedule"
import { optionsFromConfig } from "../internal/ConfigOptions.ts"
import { aboveZero, checkOptions, refusing } from "../internal/Options.ts"
import type { ResourceMonitor } from "../Monitor/Service.ts"
import { type Breaker, TypeId as breakerTypeId } from "./Breaker.ts"
import type { Failure } from "./Failure.ts"
import * as Backoff from "./internal/Backoff.ts"
import * as Decision from "./internal/Decision.ts"
import { RetryRun, run } from "./internal/RetryLoop.ts"
import { type RetryBudget, TypeId as budgetTypeId } from "./RetryBudget.ts"
import type { RetryError } from "./RetryError.ts"

export { InvalidOption } from "../internal/InvalidOption.ts"
export { type Ending, type RetryObserver, TypeId } from "./internal/Decision.ts"
export { InsideRetry } from "./internal/RetryLoop.ts"
export {
  type AttemptRecord,
  AttemptsExhausted,
  BudgetExhausted,
  CircuitOpen,
  DeadlineExceeded,
  NotRetryable,
  ResourceExhausted,
  RetryError,
  type RetryErrorReason
} from "./RetryError.ts"

/**
 * The type of {@link TypeId}.
 *
 * @category type IDs
 * @since 0.1.0
 * @stability stable
 */
export type TypeId = typeof Decision.TypeId

/**
 * The options of a policy. Every default is that of {@link standard}.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Options {
  /**
   * The delay before the second attempt, without jitter. Above 0.
   *
   * @default "100 millis"
   */
  readonly initialDelay?: Duration.Input | undefined
  /**
   * The upper bound of every delay, jitter included. If the server asks for a longer wait (`Retry-After`), that applies, up to
   * 72 seconds. Finite, at least `initialDelay`.
   *
   * @default "30 seconds"
   */
  readonly maxDelay?: Duration.Input | undefined
  /**
   * The factor from one delay to the next. A finite number of at least 1.
   *
   * @default 2
   */
  readonly factor?: number | undefined
  /**
   * The spread of delays: a fraction from 0 to 1 spreads a delay `d` over `d * (1 - jitter)` to `d * (1 + jitter)`,
   * `"full"` over 0 to `d`. If that would exceed `maxDelay`, the interval keeps its width and ends at `maxDelay`.
   * `"full"` suits many clients of one server.
   *
   * @default 0.1
   */
  readonly jitter?: number | "full" | undefined
  /**
   * The most attempts, the first included. A whole number of at least 1, or `Infinity`. A wait for room on this host is
   * not an attempt.
   *
   * @default 3
   */
  readonly maxAttempts?: number | undefined
  /**
   * For a long-running effect, such as a subscription that is opened and read until it breaks. An attempt that ran for this
   * time before it failed, and for at least the delay before it, counts as a success: its failure resets the attempts and the
   * delays. Above 0; `"Infinity"` for never.
   *
   * Do not set it for an effect that may fail only after a long time: it would be retried forever.
   *
   * @default "Infinity"
   */
  readonly stableAfter?: Duration.Input | undefined
  /**
   * The time for attempts, delays and waits at the gate together. Above 0; `"Infinity"` for no limit. No attempt begins after
   * it, and a running attempt is interrupted.
   *
   * @default "Infinity"
   */
  readonly deadline?: Duration.Input | undefined
  /**
   * Limits retries to a share of the successes: `RetryBudget.make` or `RetryBudget.makeKeyed`. `undefined` for no limit
   * besides `maxAttempts`.
   *
   * @default undefined
   */
  readonly budget?: RetryBudget | undefined
  /**
   * Refuses attempts while an endpoint is down: `Breaker.make`. `undefined` for no breaker.
   *
   * @default undefined
   */
  readonly breaker?: Breaker | undefined
  /**
   * Classifies failures before `Failure.classify` does. If it returns `undefined`, `Failure.classify` decides.
   *
   * @default () => undefined
   */
  readonly classify?: ((error: unknown) => Failure | undefined) | undefined
  /**
   * How many descriptors an attempt reserves at the gate: a whole number. With 0 it asks the gate but reserves nothing, which
   * is for an effect that opens no connection itself.
   *
   * @default 1
   */
  readonly descriptors?: number | undefined
  /**
   * Whether the effect may be executed twice. Only then is an `Ambiguous` failure retried, such as a connection that broke
   * after the request was sent. It is `true` in the presets for opening connections.
   *
   * @default false
   */
  readonly idempotent?: boolean | undefined
  /**
   * Receives the events of retries under this policy. `RetryTelemetry.record` makes one.
   *
   * @default undefined
   */
  readonly observer?: Decision.RetryObserver | undefined
}

/**
 * The options that may come from `Config`.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface ConfigOptions extends Omit<Options, "budget" | "breaker" | "classify" | "observer"> {}

/**
 * Whether, when and how often to try again: an immutable value. Its fields are options of {@link make}, so that
 * `make({ ...policy, maxAttempts: 5 })` is a policy that differs in one of them.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface RetryPolicy extends Pipeable.Pipeable, Decision.Policy {
  readonly initialDelay: Duration.Duration
  readonly maxDelay: Duration.Duration
  readonly factor: number
  readonly jitter: number | "full"
  readonly maxAttempts: number
  readonly stableAfter: Duration.Duration
  readonly idempotent: boolean
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
  check.duration(option, value ?? Infinity, { ...aboveZero, infinite: true })

const checkMaxDelay = (value: unknown, initialDelay: Duration.Duration): Duration.Duration => {
  const maxDelay = check.duration("maxDelay", value, aboveZero)
  const rule = () => `be at least initialDelay (${Duration.format(initialDelay)})`
  check.require(Duration.isGreaterThanOrEqualTo(maxDelay, initialDelay), "maxDelay", value, rule)
  return maxDelay
}

/** The longest delay between two requests for room on this host. It is short, because such a request is cheap. */
const maxLocalDelay = 5_000

const isMarked = (value: unknown, mark: string): boolean =>
  value === undefined || (typeof value === "object" && value !== null && mark in value)

const rulesOf = (policy: Omit<RetryPolicy, TypeId | "pipe">): Decision.PolicyRules => {
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
 * Makes a policy. An invalid option throws `InvalidOption` with the option, its value and the rule.
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
 * @stability stable
 */
export const make = (options: Options = {}): RetryPolicy => {
  const initialDelay = check.duration("initialDelay", options.initialDelay ?? 100, aboveZero)
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
  const self: RetryPolicy = Object.assign(Object.create(Pipeable.Prototype), policy, {
    [Decision.TypeId]: rulesOf(policy)
  })
  return Object.freeze(self)
}

/**
 * The policy with options from `Config`: a record of one for each option, or one for all. `base` has the others, a preset for example. It fails
 * with `ConfigError` when a value is missing, cannot be parsed, or is invalid as the option.
 *
 * **Example** (Attempts from the environment)
 *
 * ```ts
 * import { Config, ConfigProvider, Effect } from "effect"
 * import * as RetryPolicy from "effect-sluice/RetryPolicy"
 *
 * const policy = RetryPolicy.makeConfig({ maxAttempts: Config.Int("ATTEMPTS") }, RetryPolicy.network)
 *
 * const program = Effect.map(policy, ({ maxAttempts }) => maxAttempts).pipe(
 *   Effect.provide(ConfigProvider.layer(ConfigProvider.fromUnknown({ ATTEMPTS: "9" })))
 * )
 *
 * await Effect.runPromise(program) // => 9
 * ```
 *
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const makeConfig = (
  config: Config.Wrap<ConfigOptions>,
  base: Options = {}
): Effect.Effect<RetryPolicy, Config.ConfigError> =>
  optionsFromConfig(config, (options: ConfigOptions) => refusing(() => make({ ...base, ...options })))

/**
 * 3 attempts, 100 ms doubling up to 30 s, jitter 0.1.
 *
 * @category presets
 * @since 0.1.0
 * @stability stable
 */
export const standard: RetryPolicy = /*#__PURE__*/ make()

/**
 * For calls over a network: 5 attempts, 250 ms doubling up to 15 s, jitter 0.2.
 *
 * @category presets
 * @since 0.1.0
 * @stability stable
 */
export const network: RetryPolicy = /*#__PURE__*/ make({
  maxAttempts: 5,
  initialDelay: 250,
  maxDelay: 15_000,
  factor: 2,
  jitter: 0.2
})

/**
 * For dialing TCP: 6 attempts, 500 ms growing by 1.5 up to 60 s, jitter 0.25.
 *
 * @category presets
 * @since 0.1.0
 * @stability stable
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
 * @stability stable
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
 * A call whose connection broke is not repeated, because the server may have executed it. If it may run twice, use
 * `make({ ...mcpOperations, idempotent: true })`.
 *
 * @category presets
 * @since 0.1.0
 * @stability stable
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
 * @stability stable
 */
export const delay = (policy: RetryPolicy, failures: number, u: number): Duration.Duration =>
  Duration.millis(Backoff.delay(policy[Decision.TypeId].backoff, failures, u))

/**
 * Options of {@link retry} and {@link schedule}.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface RetryOptions {
  /**
   * The name of the effect in errors and at the gate, such as the text of an endpoint.
   *
   * @default "effect"
   */
  readonly label?: string | undefined
  /**
   * Attempts that the caller made before this call: a whole number of at least 0. The gate refuses retries earlier than
   * first attempts, and queues them behind those.
   *
   * @default 0
   */
  readonly previousAttempts?: number | undefined
}

const checked = (options: RetryOptions = {}): RetryOptions => {
  if (options.previousAttempts !== undefined) check.whole("previousAttempts", options.previousAttempts, { min: 0 })
  return options
}

/**
 * Executes an effect until it succeeds or the policy allows no further attempt.
 *
 * **Details**
 *
 * - Before each attempt, the first included, the gate of the `ResourceMonitor` is asked for the policy's `descriptors`, and then the
 *   breaker, if there is one. An open circuit fails with `CircuitOpen` before the gate is asked.
 * - After a failure these decide, in this order: its class, an outer retry (see {@link InsideRetry}), the number of attempts, the deadline
 *   (the delay and an attempt of typical duration must fit), the budget, and the breaker. Then the delay passes, the gate and the breaker
 *   are asked, and the attempt begins. Each refusal has its own reason in {@link RetryError}, with `retryAfter` and the `history` of the
 *   attempts.
 * - `Fatal` and `Redirect` are not retried; `Ambiguous` is only if the policy says `idempotent: true`.
 * - Lack of room on this host does not count as an attempt. The retry waits for room until the deadline or, without one, for 30 seconds. A
 *   request that the gate cannot grant waits in the gate's queue, in order of arrival, retries behind first attempts. After a failure such
 *   as `EMFILE`, a delay of at most 5 seconds precedes the request.
 * - A transient failure that occurs while no descriptor is free is `LocalExhausted` whatever its code, because a name lookup then fails
 *   with `ENOTFOUND` or `ECONNREFUSED`.
 * - The reservation ends when a `TcpConnection` in the effect has its socket, or else with the attempt.
 * - A `Retry-After` of the server lengthens the delay, even beyond `maxDelay`: up to 60 seconds, plus a jitter of up to 20 %.
 * - Resources that a failed attempt acquired in the caller's scope are closed before the next attempt. Those of the successful attempt live
 *   as long as the caller's scope.
 * - Interruptions and defects are passed on, and never retried.
 *
 * **Gotchas**
 *
 * - At the deadline the running attempt is interrupted, and the caller waits for its finalizers and for uninterruptible regions.
 * - Each attempt has its own scope. If the effect acquires nothing in it, the scope is closed when the effect succeeds, so code that kept
 *   the scope cannot add to it later.
 *
 * **Example** (Retrying a transient failure)
 *
 * ```ts
 * import { Data, Effect } from "effect"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 * import * as RetryPolicy from "effect-sluice/RetryPolicy"
 *
 * class Busy extends Data.TaggedError("Busy")<{ readonly isRetryable: boolean }> {}
 *
 * const policy = RetryPolicy.make({ initialDelay: "1 millis", maxAttempts: 3 })
 * let calls = 0
 * const call = Effect.suspend(() =>
 *   ++calls < 3 ? Effect.fail(new Busy({ isRetryable: true })) : Effect.succeed(`answered call ${calls}`)
 * )
 *
 * const program = call.pipe(
 *   RetryPolicy.retry(policy, { label: "greeter" }),
 *   Effect.provide(ResourceMonitor.layerUnlimited)
 * )
 * await Effect.runPromise(program) // => "answered call 3"
 * ```
 *
 * **Example** (Handling one reason)
 *
 * ```ts
 * import { Effect } from "effect"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 * import * as RetryPolicy from "effect-sluice/RetryPolicy"
 *
 * const refused = Object.assign(new Error("certificate"), { code: "CERT_HAS_EXPIRED" })
 *
 * const program = Effect.fail(refused).pipe(
 *   RetryPolicy.retry(RetryPolicy.tcpConnection),
 *   Effect.catchReason("RetryError", "NotRetryable", (reason) => Effect.succeed([reason.attempts, reason.failure.class])),
 *   Effect.provide(ResourceMonitor.layerUnlimited)
 * )
 * await Effect.runPromise(program) // => [1, "Fatal"]
 * ```
 *
 * @see {@link schedule} for a policy as a plain `Schedule`
 * @category combinators
 * @since 0.1.0
 * @stability stable
 */
export const retry: {
  (
    policy: RetryPolicy,
    options?: RetryOptions
  ): <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, RetryError<E>, R | ResourceMonitor>
  <A, E, R>(
    effect: Effect.Effect<A, E, R>,
    policy: RetryPolicy,
    options?: RetryOptions
  ): Effect.Effect<A, RetryError<E>, R | ResourceMonitor>
} = /*#__PURE__*/ dual(
  (args) => Effect.isEffect(args[0]),
  <A, E, R>(
    effect: Effect.Effect<A, E, R>,
    policy: RetryPolicy,
    options?: RetryOptions
  ): Effect.Effect<A, RetryError<E>, R | ResourceMonitor> => run(effect, policy, checked(options))
)

/** Waits until the gate grants a reservation, and ends that at once. It ends the schedule when the time for waiting is over. */
const waitForRoom = /*#__PURE__*/ Effect.fnUntraced(
  function*(run: RetryRun): Effect.fn.Return<void, Cause.Done<number>> {
    while (true) {
      const asked = run.elapsed()
      const granted = yield* Effect.result(Effect.scoped(run.monitor.reserve(run.patientRequest(asked))))
      if (granted._tag === "Success") return
      const { decision } = run.afterRefusal(asked)
      if (decision._tag === "Stop") return yield* Cause.done(run.progress.attempts)
      yield* Effect.sleep(decision.delay)
    }
  }
)

/**
 * A policy as a plain `Schedule`, for `Effect.retry` and other functions that take one. Its output is the number of
 * attempts.
 *
 * **Details**
 *
 * It has the delays, the attempts, the deadline and the classes of the policy, and it asks the gate before each further
 * attempt. When the policy allows no further attempt, the schedule is done, and `Effect.retry` fails with the last failure.
 * {@link retry} and the dialer of a `ConnectionPool` use the same decision.
 *
 * **Gotchas**
 *
 * {@link retry} does what a schedule cannot:
 *
 * - A schedule does not see the first attempt, so the gate is not asked for it.
 * - It asks the gate before the delay and cannot keep a reservation for the attempt, so another connection may take the room.
 * - It does not know how long an attempt has run, so that `stableAfter` has no effect.
 * - It cannot interrupt the running attempt at the deadline, nor close what a failed attempt acquired.
 * - It does not mark the attempts with {@link InsideRetry}, so a {@link retry} inside them multiplies the attempts. Inside a {@link retry},
 *   the schedule is done at once.
 * - It takes tokens from the budget, but adds none, because it does not see successes. An interruption of the delay returns none.
 * - It reads the state of the breaker, but does not report its attempts to the breaker.
 *
 * **Example** (Retrying with a schedule)
 *
 * ```ts
 * import { Effect } from "effect"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 * import * as RetryPolicy from "effect-sluice/RetryPolicy"
 *
 * const policy = RetryPolicy.make({ initialDelay: "1 millis", maxAttempts: 4 })
 * let calls = 0
 * const call = Effect.suspend(() => {
 *   calls++
 *   return Effect.fail({ code: "ECONNREFUSED" })
 * })
 *
 * const program = call.pipe(
 *   Effect.retry(RetryPolicy.schedule(policy)),
 *   Effect.catch((error) => Effect.succeed([error.code, calls])),
 *   Effect.provide(ResourceMonitor.layerUnlimited)
 * )
 * await Effect.runPromise(program) // => ["ECONNREFUSED", 4]
 * ```
 *
 * @category combinators
 * @since 0.1.0
 * @stability stable
 */
export const schedule = (
  policy: RetryPolicy,
  options?: RetryOptions
): Schedule.Schedule<number, unknown, never, ResourceMonitor> => {
  const runOptions = checked(options)
  return Schedule.fromStep(Effect.map(Effect.context<ResourceMonitor>(), (context) => {
    const run = new RetryRun(context, policy, runOptions)
    return Effect.fnUntraced(function*(
      _now: number,
      error: unknown
    ): Effect.fn.Return<[number, Duration.Duration], Cause.Done<number>> {
      const { decision } = run.afterFailure(yield* run.diagnose(error), 0)
      if (decision._tag !== "Wait") return yield* Cause.done(run.progress.attempts)
      yield* Effect.onExitPrimitive(waitForRoom(run), (exit) => {
        // A schedule does not see when the attempt begins, so the attempt counts as begun when there is room.
        if (Exit.isSuccess(exit)) run.spend()
        else run.refund()
        return undefined
      })
      return [run.progress.attempts, Duration.millis(decision.delay)]
    })
  }))
}
