/**
 * The loop of attempts: it runs the effect, and acts on what `Decision` says about a failure.
 *
 * The cost of a retry is the cost of an attempt that succeeds at once: it runs in the caller's fiber and takes four steps of
 * the run loop, without a timer, a fiber or a generator.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import type * as Tracer from "effect/Tracer"
import { millisOf, monotonicMillis } from "../../internal/MonotonicTime.ts"
import { timeoutOrElse } from "../../internal/Timeout.ts"
import * as Monitor from "../../Monitor/Service.ts"
import * as Failures from "../Failure.ts"
import type { RetryError } from "../RetryError.ts"
import { session } from "./Backoff.ts"
import type { BreakerCircuit, Outcome, Ticket } from "./BreakerCircuit.ts"
import * as Decision from "./Decision.ts"
import type { Bucket, Withdrawal } from "./TokenBucket.ts"

/**
 * Whether this code runs inside an attempt of {@link retry}. There a `retry` makes one attempt only, so that nested
 * policies do not multiply: 3 attempts of 3 attempts stay 3.
 *
 * **Details**
 *
 * The inner `retry` still asks the gate and its breaker, and keeps its deadline; it does not use its budget. It fails with a
 * `RetryError` whose `cause` is the failure, and the outer one decides by that failure.
 *
 * **Gotchas**
 *
 * - Both claim room at the gate, so that a host with room for one opening has none for the inner one. A policy around
 *   an effect that retries by itself opens nothing itself: give it `descriptors: 0`.
 * - Fibers that are forked in an attempt inherit it. A background loop that outlives the attempt and has to retry by itself
 *   opts out: `Effect.provideService(loop, RetryPolicy.InsideRetry, false)`.
 *
 * @category references
 * @since 0.1.0
 */
export const InsideRetry: Context.Reference<boolean> = Context.Reference("effect-sluice/Retry/InsideRetry", {
  defaultValue: () => false
})

/** A circuit that has admitted the running attempt, and those of the attempts around it. */
interface Passed {
  readonly circuit: BreakerCircuit
  readonly outer: Passed | undefined
}

/**
 * The circuits that have admitted the current attempts. An inner retry with the same breaker and label does not ask again:
 * if the outer attempt is the probe, the circuit would refuse the inner one.
 */
const PassedCircuits = Context.Reference<Passed | undefined>("effect-sluice/Retry/PassedCircuits", {
  defaultValue: () => undefined
})

const isPassed = (circuit: BreakerCircuit, passed: Passed | undefined): boolean =>
  passed !== undefined && (passed.circuit === circuit || isPassed(circuit, passed.outer))

/** The options of a run besides its policy. */
export interface Options {
  readonly label?: string | undefined
  readonly previousAttempts?: number | undefined
  /**
   * Closes what a failed attempt has left outside the caller's scope: after the failure has been classified, and before
   * another attempt follows.
   */
  readonly release?: (() => Effect.Effect<void>) | undefined
  /** Whether the effect opens a connection, so that no request was sent when it fails. */
  readonly dial?: boolean | undefined
}

const asLocal = ({ code }: Failures.Failure): Failures.Failure => Failures.make("LocalExhausted", { code })

/** The class of every refusal of the gate. */
const noRoom = Failures.make("LocalExhausted", { code: "ResourceExhausted" })

/** The state of one series of attempts, and its decisions. What only a failure needs is computed after a failure. */
export class RetryRun {
  readonly policy: Decision.Policy
  readonly rules: Decision.PolicyRules
  readonly label: string
  readonly options: Options
  readonly context: Context.Context<never>
  readonly clock: Clock.Clock
  readonly monitor: Monitor.ResourceMonitor["Service"]
  /** Counts the successes and failures of this run. Inside another retry the outer one counts. */
  readonly bucket: Bucket | undefined
  /** The circuit to ask, unless it has admitted an outer attempt. */
  readonly circuit: BreakerCircuit | undefined
  /** By the monotonic clock, in nanoseconds. */
  readonly startedAt: bigint
  progress = Decision.started
  /** The token of the next retry. */
  #withdrawal: Withdrawal | undefined
  #log: Decision.AttemptLog | undefined
  #random: (() => number) | undefined

  /** Begins now. */
  constructor(context: Context.Context<never>, policy: Decision.Policy, options: Options) {
    this.policy = policy
    this.rules = policy[Decision.TypeId]
    this.label = options.label ?? "effect"
    this.options = options
    this.context = context
    this.clock = Context.get(context, Clock.Clock)
    // The type of every caller requires the monitor.
    this.monitor = Context.getUnsafe(context, Monitor.ResourceMonitor)
    this.startedAt = this.clock.monotonicTimeNanosUnsafe()
    this.bucket = policy.budget === undefined || this.nested ? undefined : Decision.bucketOf(policy, this.label)
    this.circuit = policy.breaker === undefined ? undefined : this.#circuitToAsk()
  }

  /** Whether an outer retry decides instead. */
  get nested(): boolean {
    return Context.get(this.context, InsideRetry)
  }

  /** Milliseconds of the monotonic clock. */
  now(): number {
    return monotonicMillis(this.clock)
  }

  /** Milliseconds from the start until then. */
  since(nanos: bigint): number {
    return millisOf(nanos - this.startedAt)
  }

  /** Milliseconds since the start. */
  elapsed(): number {
    return this.since(this.clock.monotonicTimeNanosUnsafe())
  }

  /** The random numbers of this run do not depend on other draws from the program's source. */
  random(): number {
    this.#random ??= session(() => Context.get(this.context, Random.Random).nextDoubleUnsafe())
    return this.#random()
  }

  get log(): Decision.AttemptLog {
    return this.#log ??= new Decision.AttemptLog()
  }

  /** The request of the next attempt to the gate. */
  get request(): Monitor.ReserveRequest {
    const { label, options, policy, progress } = this
    return { label, descriptors: policy.descriptors, attempt: (options.previousAttempts ?? 0) + progress.runs }
  }

  /** The same request, made at this time of the run. It waits at the gate for as long as the run may. */
  patientRequest(elapsed: number): Monitor.ReserveRequest {
    const patience = this.nested ? 0 : Decision.localPatience(this.rules, this.progress, elapsed)
    return { ...this.request, maxWait: Duration.millis(patience) }
  }

  /**
   * Classifies a failure before anything is closed. A failure that may pass is `LocalExhausted` if no descriptor is free: a
   * name lookup then fails as if the name did not exist, and nothing was sent. So is an unknown failure of an idempotent
   * effect. An answer of the server is never reclassified.
   */
  diagnose(error: unknown): Effect.Effect<Failures.Failure> {
    const failure = this.#classify(error)
    if (!this.#mayBeLocal(failure)) return Effect.succeed(failure)
    return Effect.map(
      this.monitor.shortage({ label: this.label, cause: error }),
      (shortage) => shortage === undefined ? failure : asLocal(failure)
    )
  }

  /** The same in one step, with a monitor that supports it. */
  diagnoseNow(error: unknown): Failures.Failure {
    const failure = this.#classify(error)
    return this.#mayBeLocal(failure) && this.monitor.reserve.unsafe?.isShort() === true ? asLocal(failure) : failure
  }

  #classify(error: unknown): Failures.Failure {
    const { dial } = this.options
    return Decision.classify(this.policy, error, { now: this.clock.currentTimeMillisUnsafe(), dial })
  }

  #mayBeLocal(failure: Failures.Failure): boolean {
    return failure.class === "Transient" ||
      failure.class === "Fatal" && failure.code === undefined && this.rules.idempotent
  }

  /** What a decision depends on besides the failure. */
  #circumstances() {
    return { elapsed: this.elapsed(), typical: this.#log?.typical ?? 0, u: this.random() }
  }

  /** Counts a refusal of the gate, which was asked at this time of the run, and decides what follows. */
  afterRefusal(asked: number) {
    const { nested, rules } = this
    const progress = this.progress = Decision.refused(this.progress, asked)
    const input: Decision.DecisionInput = { rules, progress, failure: noRoom, nested, ...this.#circumstances() }
    return { input, decision: Decision.decideLocal(input) }
  }

  /** Counts a failure of the effect, which had run for `lived` milliseconds, and decides what follows. */
  afterFailure(failure: Failures.Failure, lived: number): Decision.Step {
    const now = this.now()
    const step = Decision.stepAfter(this, this.progress, { failure, lived, now, ...this.#circumstances() })
    this.progress = step.input.progress
    this.#withdrawal = step.withdrawal
    return step
  }

  /** Spends the token of the next attempt, which has begun. */
  spend(): void {
    this.#withdrawal?.spend()
  }

  /** Returns the token of the next attempt, which will not be made. */
  refund(): void {
    this.#withdrawal?.refund()
  }

  #circuitToAsk(): BreakerCircuit | undefined {
    const circuit = Decision.circuitOf(this.policy, this.label, millisOf(this.startedAt))
    return circuit === undefined || isPassed(circuit, Context.get(this.context, PassedCircuits)) ? undefined : circuit
  }
}

/** Why the effect was not run, or was interrupted at the deadline. */
type NoAttemptReason =
  | { readonly _tag: "Refused"; readonly error: Monitor.ResourceExhausted }
  | { readonly _tag: "NotAdmitted"; readonly circuit: BreakerCircuit; readonly retryAfter: number }
  | { readonly _tag: "TimeUp"; readonly interrupted: boolean }

class NoAttempt {
  readonly reason: NoAttemptReason
  constructor(reason: NoAttemptReason) {
    this.reason = reason
  }
}

const noAttempt = (reason: NoAttemptReason): Effect.Effect<never, NoAttempt> => Effect.fail(new NoAttempt(reason))

/** Makes the error of a failed attempt, where the caller decides what follows. */
type Leave<E, F> = (error: E, failure: Failures.Failure, lived: number) => F

/**
 * The failure of an attempt, unless there is a defect or an interruption beside it: those pass through, and a failure
 * beside them is not retried.
 */
const failureOf = <E>(cause: Cause.Cause<E>): Result.Result<E, Cause.Cause<never>> => {
  const others = cause.reasons.filter((reason) => !Cause.isFailReason(reason))
  return others.length > 0 ? Result.fail(Cause.fromReasons(others)) : Cause.findError(cause)
}

const unknownFailure = Failures.make("Fatal")

/**
 * Runs the effect until one run succeeds or the policy ends.
 *
 * One hook around each attempt releases what it holds, once, on every path. The hook is installed before anything is claimed,
 * so that it also runs after an interruption between two steps, where a continuation would not.
 */
class RetryLoop<A, E, R, F> {
  readonly #effect: Effect.Effect<A, E, R>
  readonly #fiber: Fiber.Fiber<unknown, unknown>
  readonly #run: RetryRun
  readonly #leaveTo: Leave<E, F> | undefined
  #isFirst = true
  /** The last failure of the effect. */
  #last: E | undefined
  // The fields below belong to the running attempt.
  /** When the gate was asked, and when the effect began. */
  #askedAt: bigint
  #begunAt: bigint | undefined
  #claim: Monitor.Reservation | undefined
  /** Holds the claim of an attempt that has waited for it. */
  #claimScope: Scope.Closeable | undefined
  /** Holds what the effect acquires, if the caller has a scope. */
  #acquired: Scope.Closeable | undefined
  #ticket: Ticket | undefined
  /** The class of the failure, and the defect that occurred while it was classified. */
  #failure = unknownFailure
  #defect: { readonly value: unknown } | undefined
  /** How long the failed effect had run, in milliseconds. */
  #ran = 0

  constructor(
    effect: Effect.Effect<A, E, R>,
    fiber: Fiber.Fiber<unknown, unknown>,
    run: RetryRun,
    leaveTo?: Leave<E, F>
  ) {
    this.#effect = effect
    this.#fiber = fiber
    this.#run = run
    this.#leaveTo = leaveTo
    this.#askedAt = run.startedAt
  }

  /** An attempt, and what follows it. */
  start(): Effect.Effect<A, RetryError<E> | F, R> {
    return Effect.catchCause(
      Effect.onExitPrimitive(Effect.suspend(() => this.#enter()), (exit) => this.#leave(exit)),
      (cause) => this.#didNotSucceed(cause)
    )
  }

  #enter(): Effect.Effect<A, E | NoAttempt, R> {
    const { circuit, clock, monitor, rules: { deadline }, startedAt } = this.#run
    const now = this.#isFirst ? startedAt : clock.monotonicTimeNanosUnsafe()
    this.#askedAt = now
    if (deadline !== Infinity && this.#run.since(now) >= deadline) {
      return noAttempt({ _tag: "TimeUp", interrupted: false })
    }
    if (circuit !== undefined) {
      const retryAfter = circuit.refusedFor(millisOf(now))
      if (retryAfter > 0) return noAttempt({ _tag: "NotAdmitted", circuit, retryAfter })
    }
    this.#claim = monitor.reserve.unsafe?.reserve(this.#run.request, now)
    return this.#claim === undefined ? this.#wait(now) : this.#begin(now, this.#claim)
  }

  /** Waits at the gate, or asks one that cannot be asked in one step. */
  #wait(now: bigint): Effect.Effect<A, E | NoAttempt, R> {
    const { clock, monitor } = this.#run
    const scope = this.#claimScope = Scope.makeUnsafe()
    const reserving = Scope.provide(monitor.reserve(this.#run.patientRequest(this.#run.since(now))), scope)
    return Effect.flatMap(
      Effect.mapError(reserving, (error) => new NoAttempt({ _tag: "Refused", error })),
      (claim) => this.#begin(clock.monotonicTimeNanosUnsafe(), claim)
    )
  }

  /** There is room: the breaker is the last to be asked. */
  #begin(now: bigint, claim: Monitor.Reservation): Effect.Effect<A, E | NoAttempt, R> {
    const { circuit, context: outer, policy, rules: { deadline } } = this.#run
    let context = Context.add(Context.add(outer, InsideRetry, true), Monitor.CurrentReservation, claim)
    if (circuit !== undefined) {
      const at = millisOf(now)
      this.#ticket = circuit.admit(at)
      if (this.#ticket === undefined) {
        return noAttempt({ _tag: "NotAdmitted", circuit, retryAfter: circuit.retryAfter(at) })
      }
      context = Context.add(context, PassedCircuits, { circuit, outer: Context.get(outer, PassedCircuits) })
    }
    policy.observer?.passedGate(millisOf(now - this.#askedAt))
    this.#run.spend()
    this.#begunAt = now
    const scope = Context.getOrUndefined(outer, Scope.Scope)
    if (scope !== undefined) context = Context.add(context, Scope.Scope, this.#acquired = Scope.forkUnsafe(scope))
    this.#fiber.setContext(context)
    return deadline === Infinity ? this.#effect : timeoutOrElse(this.#effect, {
      duration: Duration.millis(Math.max(deadline - this.#run.since(now), 0)),
      orElse: () => noAttempt({ _tag: "TimeUp", interrupted: true })
    })
  }

  #leave(exit: Exit.Exit<A, E | NoAttempt>): Effect.Effect<void> | undefined {
    if (this.#begunAt === undefined) return this.#release()
    this.#fiber.setContext(this.#run.context)
    if (Exit.isFailure(exit)) return this.#leaveFailed(exit)
    if (this.#ticket !== undefined) this.#settle("Success", undefined)
    // An empty scope is closed: a parent scope that lives as long as the program would otherwise grow with every call.
    if (this.#acquired?.state._tag === "Empty") Scope.closeUnsafe(this.#acquired, exit)
    this.#run.bucket?.succeeded()
    const releasing = this.#release()
    if (this.#run.policy.observer === undefined && this.#span === undefined) return releasing
    const report = Effect.sync(() => this.#report("Succeeded", undefined))
    return releasing === undefined ? report : Effect.andThen(releasing, report)
  }

  /** What the failed attempt has acquired is closed first, and then its claim is released. */
  #leaveFailed(exit: Exit.Failure<A, E | NoAttempt>): Effect.Effect<void> | undefined {
    const { monitor, options } = this.#run
    const isQuick = monitor.reserve.unsafe !== undefined
    if (isQuick) this.#diagnoseNow(exit.cause)
    const closing = this.#acquired === undefined ? options.release?.() : Scope.closeUnsafe(this.#acquired, exit)
    if (isQuick && closing === undefined) return this.#release()
    return Effect.onExitPrimitive(
      isQuick ? closing ?? Effect.void : Effect.ensuring(this.#diagnose(exit.cause), closing ?? Effect.void),
      () => this.#release()
    )
  }

  /** Releases the claim, and the place of a probe that had no result. */
  #release(): Effect.Effect<void> | undefined {
    this.#acquired = undefined
    if (this.#ticket !== undefined) this.#settle("Ignored", undefined)
    const claim = this.#claim
    this.#claim = undefined
    if (claim !== undefined) this.#run.monitor.reserve.unsafe?.end(claim)
    const scope = this.#claimScope
    if (scope === undefined) return undefined
    this.#claimScope = undefined
    return Scope.closeUnsafe(scope, Exit.void)
  }

  #didNotSucceed(cause: Cause.Cause<E | NoAttempt>): Effect.Effect<A, RetryError<E> | F, R> {
    const next = Effect.suspend(() => this.#next(cause))
    if (!this.#isFirst) return next
    this.#isFirst = false
    // An interruption while a retry is pending returns its token. One hook serves all retries of this run.
    return Effect.onExitPrimitive(next, () => {
      this.#run.refund()
      return undefined
    })
  }

  /** Classifies a failure before what the effect has acquired is closed. */
  #diagnose(cause: Cause.Cause<E | NoAttempt>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const error = this.#errorOf(cause)
      if (error === undefined) return Effect.void
      return Effect.map(this.#run.diagnose(error.value), (failure) => this.#note(error.value, failure))
    })
  }

  /** The same in one step. */
  #diagnoseNow(cause: Cause.Cause<E | NoAttempt>): void {
    try {
      const error = this.#errorOf(cause)
      if (error !== undefined) this.#note(error.value, this.#run.diagnoseNow(error.value))
    } catch (value) {
      this.#defect = { value }
    }
  }

  /** The failure of the effect that is to be classified, if it is one. */
  #errorOf(cause: Cause.Cause<E | NoAttempt>): { readonly value: E } | undefined {
    const found = failureOf(cause)
    if (Result.isFailure(found)) this.#report("Passed", undefined)
    else if (!(found.success instanceof NoAttempt)) return { value: found.success }
    else if (found.success.reason._tag === "TimeUp" && found.success.reason.interrupted) {
      // The endpoint did not answer before the deadline.
      this.#run.bucket?.failed()
      this.#settle("Failure", undefined)
      this.#report("TimedOut", undefined)
    }
    return undefined
  }

  #note(error: E, failure: Failures.Failure): void {
    const { log, progress } = this.#run
    this.#failure = failure
    this.#ran = this.#lived
    this.#settle(Decision.isDown(failure) ? "Failure" : "Ignored", Decision.hintOf(failure))
    const begunAt = this.#run.since(this.#begunAt ?? this.#run.startedAt)
    log.add({ run: progress.runs + 1, begunAt, endedAt: this.#run.elapsed(), failure, error })
    this.#report(failure.class, failure.code)
  }

  /** How long the effect has been running, in milliseconds. */
  get #lived(): number {
    return this.#run.elapsed() - this.#run.since(this.#begunAt ?? this.#run.startedAt)
  }

  /** Reports the outcome of the attempt to the breaker, once. */
  #settle(outcome: Outcome, hint: number | undefined): void {
    const ticket = this.#ticket
    if (ticket === undefined) return
    this.#ticket = undefined
    const u = outcome === "Failure" ? this.#run.random() : 0
    this.#run.circuit?.settle(ticket, outcome, { now: this.#run.now(), u, hint })
  }

  get #span(): Tracer.Span | undefined {
    const { span } = this.#fiber.cache
    return span?._tag === "Span" ? span : undefined
  }

  /** Reports the end of the attempt to the observer and to the span. */
  #report(ending: Decision.Ending, code: string | undefined): void {
    const { clock, label, policy, progress } = this.#run
    const attempt = progress.runs + 1
    const millis = this.#lived
    policy.observer?.ended(ending, millis, attempt)
    this.#span?.event("retry.attempt", clock.currentTimeNanosUnsafe(), {
      "retry.label": label,
      "retry.attempt": attempt,
      "retry.outcome": ending,
      "retry.duration_ms": millis,
      ...(code === undefined ? undefined : { "retry.code": code })
    })
  }

  /** What follows an attempt that did not succeed. */
  #next(cause: Cause.Cause<E | NoAttempt>): Effect.Effect<A, RetryError<E> | F, R> {
    const found = failureOf(cause)
    if (Result.isFailure(found)) return Effect.failCause(found.failure)
    if (this.#defect !== undefined) return Effect.die(this.#defect.value)
    const error = found.success
    return error instanceof NoAttempt ? this.#afterNoAttempt(error.reason) : this.#afterFailure(error)
  }

  #afterNoAttempt(reason: NoAttemptReason): Effect.Effect<A, RetryError<E> | F, R> {
    const cause = this.#last
    switch (reason._tag) {
      case "Refused":
        return this.#afterRefusal(reason.error)
      case "NotAdmitted":
        return Effect.fail(Decision.notAdmitted(this.#run, reason, cause))
      case "TimeUp":
        return Effect.fail(Decision.deadlineExceeded(this.#run, { interrupted: reason.interrupted, cause }))
    }
  }

  #afterRefusal(cause: Monitor.ResourceExhausted): Effect.Effect<A, RetryError<E> | F, R> {
    const { decision, input } = this.#run.afterRefusal(this.#run.since(this.#askedAt))
    if (decision._tag === "Wait") return this.#again(decision.delay)
    const retryAfter = Math.max(decision.retryAfter ?? 0, Duration.toMillis(cause.retryAfter))
    const all = this.#last === undefined ? cause : cause.after(this.#last)
    return Effect.fail(Decision.resourceExhausted<E>(this.#run, input, { cause: all, retryAfter }))
  }

  #afterFailure(error: E): Effect.Effect<A, RetryError<E> | F, R> {
    if (this.#leaveTo !== undefined) return Effect.fail(this.#leaveTo(error, this.#failure, this.#ran))
    this.#last = error
    const { decision, input } = this.#run.afterFailure(this.#failure, this.#ran)
    if (decision._tag === "Wait") return this.#again(decision.delay)
    return Effect.fail(Decision.endedBy(this.#run, input, { cause: error, decision }))
  }

  /** Nothing of the failed attempt is kept during the wait. The stack does not grow with the attempts. */
  #again(delay: number): Effect.Effect<A, RetryError<E> | F, R> {
    this.#run.policy.observer?.delayed(delay)
    this.#begunAt = undefined
    return Effect.flatMap(Effect.sleep(delay), () => this.start())
  }
}

/** Runs an effect under a policy. With `leaveTo`, it runs once, and the caller decides what follows a failure. */
export const run = <A, E, R, F = never>(
  effect: Effect.Effect<A, E, R>,
  policy: Decision.Policy,
  options: Options,
  leaveTo?: Leave<E, F>
): Effect.Effect<A, RetryError<E> | F, R | Monitor.ResourceMonitor> =>
  Effect.withFiber((fiber) =>
    new RetryLoop(effect, fiber, new RetryRun(fiber.context, policy, options), leaveTo).start()
  )

/**
 * Runs an effect once, after the gate (with its waits for room) and the breaker. A failure of the effect is left to the
 * caller, who steps the policy; a `RetryError` says that the attempt was not made, or was interrupted at the deadline.
 */
export const attempt = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  policy: Decision.Policy,
  options: Options
): Effect.Effect<A, Decision.AttemptFailed<E> | RetryError<E>, R | Monitor.ResourceMonitor> =>
  run<A, E, R, Decision.AttemptFailed<E>>(
    effect,
    policy,
    options,
    (error, failure, lived) => new Decision.AttemptFailed(error, failure, lived)
  )
