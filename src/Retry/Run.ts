/**
 * The loop of attempts: it acts on what `Decision` decides.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import type { ReserveRequest, ResourceExhausted as NoRoom } from "../Monitor/Gate.ts"
import { ResourceMonitor } from "../Monitor/Service.ts"
import { attempt, Failed, failureOf, Refused, TimeUp } from "./Attempt.ts"
import * as Backoff from "./Backoff.ts"
import * as Decision from "./Decision.ts"
import type { Failure } from "./Failure.ts"
import * as Failures from "./Failure.ts"
import type { RetryPolicy } from "./Policy.ts"
import { TypeId } from "./Policy.ts"
import { AttemptsExhausted, DeadlineExceeded, NotRetryable, ResourceExhausted, RetryError } from "./RetryError.ts"

/**
 * Whether this code runs inside an attempt of {@link retry}. There a `retry` makes one attempt only, so that nested
 * policies do not multiply: 3 attempts of 3 attempts stay 3.
 *
 * **Details**
 *
 * The inner `retry` still asks the gate and keeps its deadline. It fails with a `RetryError` whose `cause` is the failure,
 * and the outer one decides by that failure.
 *
 * **Gotchas**
 *
 * - Both claim room at the gate, so that a host with room for one opening has none for the inner one. A policy around
 *   something that retries by itself opens nothing itself: give it `descriptors: 0`.
 * - Fibers that are forked in an attempt inherit it. A background loop that outlives the attempt and has to retry by itself
 *   opts out: `Effect.provideService(loop, RetryPolicy.InsideRetry, false)`.
 *
 * @category references
 * @since 0.1.0
 */
export const InsideRetry: Context.Reference<boolean> = Context.Reference("effect-sluice/Retry/InsideRetry", {
  defaultValue: () => false
})

/** What does not change during a run. */
export interface Run {
  readonly policy: RetryPolicy
  readonly rules: Decision.Rules
  readonly label: string
  readonly previousAttempts: number
  readonly monitor: ResourceMonitor["Service"]
  readonly scope: Scope.Scope | undefined
  readonly nested: boolean
  /** The random numbers of this run alone. */
  readonly random: () => number
  /** The time of the day, in milliseconds since 1970. */
  readonly now: () => number
  /** Milliseconds since the start, by the monotonic clock. */
  readonly elapsed: () => number
}

/** What a run is told besides its policy. */
export interface Options {
  readonly label?: string | undefined
  readonly previousAttempts?: number | undefined
}

/** Begins a run now. */
export const begin = (context: Context.Context<ResourceMonitor>, policy: RetryPolicy, options: Options): Run => {
  const clock = Context.get(context, Clock.Clock)
  const start = clock.monotonicTimeNanosUnsafe()
  return {
    policy,
    rules: policy[TypeId],
    label: options.label ?? "effect",
    previousAttempts: options.previousAttempts ?? 0,
    monitor: Context.get(context, ResourceMonitor),
    scope: Context.getOrUndefined(context, Scope.Scope),
    nested: Context.get(context, InsideRetry),
    random: Backoff.session(() => Context.get(context, Random.Random).nextDoubleUnsafe()),
    now: () => clock.currentTimeMillisUnsafe(),
    elapsed: () => Number(clock.monotonicTimeNanosUnsafe() - start) / 1e6
  }
}

/** What an attempt asks of the gate at this moment: it waits for room there for as long as the run may. */
export const requestOf = (run: Run, progress: Decision.Progress): ReserveRequest => ({
  label: run.label,
  descriptors: run.policy.descriptors,
  attempt: run.previousAttempts + progress.runs,
  maxWait: Duration.millis(run.nested ? 0 : Decision.localPatience(run.rules, progress, run.elapsed()))
})

/** A custom `classify` is asked about what an inner retry wraps as well, since that is the failure itself. */
export const classify = ({ now, policy }: Run, error: unknown): Failure => {
  let current = error
  while (policy.classify !== undefined) {
    const own = policy.classify(current)
    if (own !== undefined) return own
    if (!(current instanceof RetryError)) break
    current = current.cause
  }
  return Failures.classify(error, { now: now() })
}

/**
 * What a failure asks for, told where it happened. One that may pass is put down to this host if no descriptor is free:
 * then the look-up of a name fails as if there were no such name, and nothing was sent.
 */
export const diagnose = (run: Run, error: unknown): Effect.Effect<Failure> => {
  const failure = classify(run, error)
  if (failure.class !== "Transient") return Effect.succeed(failure)
  return Effect.map(
    run.monitor.shortage({ label: run.label, cause: error }),
    (shortage) => shortage === undefined ? failure : Failures.make("LocalExhausted", { code: failure.code })
  )
}

const situationOf = (run: Run, progress: Decision.Progress, failure: Failure, elapsed: number): Decision.Situation => ({
  rules: run.rules,
  progress,
  failure,
  elapsed,
  nested: run.nested,
  u: run.random()
})

/** The situation after a failure of the effect, which is counted. */
export const situationAfter = (run: Run, before: Decision.Progress, failure: Failure): Decision.Situation => {
  const elapsed = run.elapsed()
  return situationOf(run, Decision.failed(before, failure, elapsed), failure, elapsed)
}

/** The class of every refusal of the gate. */
const noRoom: Failure = Failures.make("LocalExhausted", { code: "ResourceExhausted" })

/** The situation after a refusal of the gate, which was asked at this time of the run, and which is counted. */
export const situationRefused = (run: Run, before: Decision.Progress, asked: number): Decision.Situation =>
  situationOf(run, Decision.refused(before, asked), noRoom, run.elapsed())

const duration = (millis: number): Duration.Duration => Duration.millis(Math.round(millis))

const deadlineExceeded = <E>(
  run: Run,
  attempts: number,
  details: { readonly interrupted: boolean; readonly cause: E | undefined }
): RetryError<E> =>
  new RetryError({
    reason: new DeadlineExceeded({
      label: run.label,
      attempts,
      elapsed: duration(run.elapsed()),
      deadline: run.policy.deadline,
      ...details
    })
  })

const resourceExhausted = <E>(run: Run, situation: Decision.Situation, cause: E | NoRoom): RetryError<E> =>
  new RetryError<E>({
    reason: new ResourceExhausted({
      label: run.label,
      attempts: situation.progress.attempts,
      elapsed: duration(situation.elapsed),
      waited: duration(situation.elapsed - situation.progress.localSince),
      failure: situation.failure,
      cause
    })
  })

const stopped = <E>(run: Run, situation: Decision.Situation, reason: Decision.StopReason, cause: E): RetryError<E> => {
  const { elapsed, failure, progress } = situation
  const fields = { label: run.label, attempts: progress.attempts, elapsed: duration(elapsed), failure, cause }
  switch (reason) {
    case "ResourceExhausted":
      return resourceExhausted(run, situation, cause)
    case "DeadlineExceeded":
      return deadlineExceeded(run, progress.attempts, { interrupted: false, cause })
    case "NotRetryable":
      return new RetryError<E>({ reason: new NotRetryable(fields) })
    case "AttemptsExhausted":
      return new RetryError<E>({
        reason: new AttemptsExhausted({ ...fields, maxAttempts: run.nested ? 1 : run.rules.maxAttempts })
      })
  }
}

/** What follows an attempt that did not succeed. */
type Next<E> =
  | { readonly _tag: "Again"; readonly delay: number; readonly progress: Decision.Progress }
  | { readonly _tag: "End"; readonly error: RetryError<E> }

const afterRefusal = <E>(run: Run, before: Decision.Progress, asked: number, error: NoRoom): Next<E> => {
  const situation = situationRefused(run, before, asked)
  const decision = Decision.decideLocal(situation)
  return decision._tag === "Wait"
    ? { _tag: "Again", delay: decision.delay, progress: situation.progress }
    : { _tag: "End", error: resourceExhausted<E>(run, situation, error) }
}

const afterFailure = <E>(run: Run, before: Decision.Progress, { error, failure }: Failed<E>): Next<E> => {
  const situation = situationAfter(run, before, failure)
  const decision = Decision.decide(situation)
  return decision._tag === "Wait"
    ? { _tag: "Again", delay: decision.delay, progress: situation.progress }
    : { _tag: "End", error: stopped(run, situation, decision.reason, error) }
}

/** Runs an effect under a policy. */
export const run = Effect.fnUntraced(function*<A, E, R>(
  effect: Effect.Effect<A, E, R>,
  policy: RetryPolicy,
  options: Options
): Effect.fn.Return<A, RetryError<E>, R | ResourceMonitor> {
  const run = begin(yield* Effect.context<ResourceMonitor>(), policy, options)
  const inside = Effect.provideService(effect, InsideRetry, true)
  let progress = Decision.started
  let last: E | undefined
  while (true) {
    const asked = run.elapsed()
    if (asked >= run.rules.deadline) {
      return yield* deadlineExceeded(run, progress.attempts, { interrupted: false, cause: last })
    }
    const exit = yield* Effect.exit(attempt(inside, {
      ...run,
      remaining: () => run.rules.deadline - run.elapsed(),
      request: requestOf(run, progress),
      diagnose: (error) => diagnose(run, error)
    }))
    if (Exit.isSuccess(exit)) return exit.value
    const failure = failureOf(exit.cause)
    if (Result.isFailure(failure)) return yield* Effect.failCause(failure.failure)
    const error = failure.success
    if (error instanceof TimeUp) {
      return yield* deadlineExceeded(run, progress.attempts + 1, { interrupted: true, cause: last })
    }
    const next = error instanceof Refused
      ? afterRefusal<E>(run, progress, asked, last === undefined ? error.error : error.error.after(last))
      : afterFailure(run, progress, error)
    if (next._tag === "End") return yield* next.error
    if (error instanceof Failed) last = error.error
    progress = next.progress
    yield* Effect.sleep(next.delay)
  }
})
