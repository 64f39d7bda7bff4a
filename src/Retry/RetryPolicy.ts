/**
 * Whether, when and how often to try again.
 *
 * A policy is a value. {@link retry} runs an effect under one: each attempt first passes the gate of the
 * `ResourceMonitor`, each failure is classed by its code, and each wait is jittered inside its cap.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { dual } from "effect/Function"
import * as Schedule from "effect/Schedule"
import { checkOptions } from "../internal/Options.ts"
import type { ResourceMonitor } from "../Monitor/Service.ts"
import { run } from "./Attempt.ts"
import type { RetryPolicy } from "./Policy.ts"
import type { RetryError } from "./RetryError.ts"
import * as Run from "./Run.ts"

export { InvalidOption } from "../internal/InvalidOption.ts"
export * from "./Policy.ts"
export * from "./RetryError.ts"
export type { Ending, RetryObserver } from "./RetryObserver.ts"
export { InsideRetry } from "./Run.ts"

/**
 * Options of {@link retry} and {@link schedule}.
 *
 * @category models
 * @since 0.1.0
 */
export interface RetryOptions {
  /**
   * What is retried, such as the text of an endpoint. It appears in errors and at the gate.
   *
   * @default "effect"
   */
  readonly label?: string | undefined
  /**
   * Attempts that were made before, by whoever repeats the call: a whole number of at least 0. The gate stops retries
   * earlier than first attempts, and lets them wait behind those.
   *
   * @default 0
   */
  readonly previousAttempts?: number | undefined
}

const { whole } = checkOptions("RetryPolicy")

const checked = (options: RetryOptions = {}): RetryOptions => {
  if (options.previousAttempts !== undefined) whole("previousAttempts", options.previousAttempts, { min: 0 })
  return options
}

/**
 * Runs an effect until it succeeds or the policy ends.
 *
 * **Details**
 *
 * - Before each attempt, the first included, the gate of the `ResourceMonitor` is asked for the policy's `descriptors`, and
 *   then the breaker, if there is one. An open circuit is told before the gate is asked, and fails with `CircuitOpen`.
 * - A failure is decided in this order: its class, an outer retry (see {@link InsideRetry}), the number of attempts, the
 *   deadline (the delay and an attempt as long as those before must fit), the budget, and a look at the breaker. Then the
 *   delay is slept, then the gate is asked, then the breaker, then the attempt begins. Each refusal has a reason of its own
 *   in {@link RetryError}, with `retryAfter` and the `history` of the attempts.
 * - `Fatal` and `Redirect` are not retried; `Ambiguous` is only if the policy says `idempotent: true`.
 * - No room on this host is no attempt: it waits up to the deadline or, without one, for 30 seconds. When the gate says
 *   so, that is in the gate's line, first come first served and retries behind first attempts; when the failure says so
 *   (`EMFILE` and the like), there is a backoff of at most 5 seconds before.
 * - A failure that may pass, met while no descriptor is free, is put down to that: it is `LocalExhausted` whatever its code
 *   says, for then the look-up of a name says `ENOTFOUND` or `ECONNREFUSED`.
 * - The claim ends when a `TcpConnection` in the effect has its socket, else with the attempt.
 * - A `Retry-After` of the server lengthens the delay, beyond `maxDelay` too: up to 60 seconds, spread upwards by 20 %.
 * - What a failed attempt acquired in the caller's scope is closed before the next one begins. What the successful one
 *   acquired lives as long as the caller's scope.
 * - Interruption and defects pass through, and are never retried.
 *
 * **Gotchas**
 *
 * - At the deadline the running attempt is interrupted, and its finalizers are awaited. An uninterruptible region of the
 *   effect holds the caller for as long as it takes.
 * - An effect that takes the scope to use it only after it has succeeded, and acquires nothing before, finds it closed.
 *
 * **Example** (Retrying what may pass)
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

/** Waits at the gate until it grants the claim, which is given back at once. Ends with the schedule's end. */
const waitForRoom = /*#__PURE__*/ Effect.fnUntraced(
  function*(run: Run.Run): Effect.fn.Return<void, Cause.Done<number>> {
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
 * A policy as a plain `Schedule`, for `Effect.retry` and whatever else takes one. Its output is the number of attempts
 * that were made.
 *
 * **Details**
 *
 * It has the delays, the attempts, the deadline and the classes of the policy, and it asks the gate before it lets an
 * attempt follow. When the policy ends, the schedule is done, and `Effect.retry` fails with the last failure as it is.
 * {@link retry} and the dialer of a `ConnectionPool` decide by the same step.
 *
 * **Gotchas**
 *
 * What a schedule alone cannot do, and {@link retry} does:
 *
 * - It does not see the first attempt, which passes no gate.
 * - It asks the gate before the delay, and cannot hold the claim through the attempt: others may take the room meanwhile.
 * - It does not know how long an attempt has run, so that `stableAfter` is without effect.
 * - It cannot interrupt the running attempt at the deadline, nor close what a failed attempt acquired.
 * - It does not mark the attempts, so that a {@link retry} inside them multiplies. Inside a {@link retry} it is done at once.
 * - It takes tokens from the budget, but sees no success and so earns none; interrupted in the delay, it gives none back.
 * - It looks at the breaker, but neither asks it to let an attempt in nor tells it what came of one.
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
 */
export const schedule = (
  policy: RetryPolicy,
  options?: RetryOptions
): Schedule.Schedule<number, unknown, never, ResourceMonitor> => {
  const runOptions = checked(options)
  return Schedule.fromStep(Effect.map(Effect.context<ResourceMonitor>(), (context) => {
    const run = new Run.Run(context, policy, runOptions)
    return Effect.fnUntraced(function*(
      _now: number,
      error: unknown
    ): Effect.fn.Return<[number, Duration.Duration], Cause.Done<number>> {
      const { decision } = run.afterFailure(yield* run.diagnose(error), 0)
      if (decision._tag !== "Wait") return yield* Cause.done(run.progress.attempts)
      yield* Effect.onExitPrimitive(waitForRoom(run), (exit) => {
        // Once there is room the attempt follows, as far as a schedule can tell.
        if (Exit.isSuccess(exit)) run.spend()
        else run.refund()
        return undefined
      })
      return [run.progress.attempts, Duration.millis(decision.delay)]
    })
  }))
}
