/**
 * The loop of attempts: it executes the effect, and after a failure does what `Decision` has decided.
 *
 * Most calls succeed at the first attempt, so that path is short: it takes four steps of the caller's fiber, without a timer, a
 * second fiber or a generator.
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
import { safeLabel } from "../../internal/SafeText.ts"
import { timeoutOrElse } from "../../internal/Timeout.ts"
import * as Monitor from "../../Monitor/Service.ts"
import * as Failures from "../Failure.ts"
import type { RetryError } from "../RetryError.ts"
import { session } from "./Backoff.ts"
import type { BreakerCircuit, Outcome, Ticket } from "./BreakerCircuit.ts"
import * as Decision from "./Decision.ts"
import type { Bucket, Withdrawal } from "./TokenBucket.ts"

/**
 * Whether this code runs inside an attempt of {@link retry}. Inside, a `retry` makes only one attempt, so that attempts do not
 * multiply: two nested policies of 3 attempts make 3 attempts, not 9.
 *
 * **Details**
 *
 * The inner `retry` still asks the gate and its breaker, and keeps its deadline, but does not use its budget. It fails with a
 * `RetryError`, and the outer `retry` decides by the `cause` of that error.
 *
 * **Gotchas**
 *
 * - Both reserve descriptors at the gate. If only one is free, the inner `retry` finds none. So give the outer policy `descriptors: 0` if
 *   its effect opens connections only in an inner `retry`.
 * - Fibers that are forked in an attempt inherit the value. For a background loop that outlives the attempt and has to retry by itself, set
 *   it to `false`: `Effect.provideService(loop, RetryPolicy.InsideRetry, false)`.
 *
 * @category references
 * @since 0.1.0
 * @stability stable
 */
export const InsideRetry: Context.Reference<boolean> = Context.Reference("effect-sluice/Retry/InsideRetry", {
  defaultValue: () => false
})

/** A circuit that has admitted the running attempt, and the circuits that have admitted the attempts around it. */
interface Passed {
  readonly circuit: BreakerCircuit
  readonly outer: Passed | undefined
}

/**
 * The circuits that have admitted the current attempts. An inner retry with the same circuit does not ask it again: if the
 * outer attempt is the probe, the circuit would refuse the inner one.
 */
const PassedCircuits = Context.Reference<Passed | undefined>("effect-sluice/Retry/PassedCircuits", {
  defaultValue: () => undefined
})

const isPassed = (circuit: BreakerCircuit, passed: Passed | undefined): boolean =>
  passed !== undefined && (passed.circuit === circuit || isPassed(circuit, passed.outer))

/** The options of a retry besides its policy. */
export interface Options {
  readonly label?: string | undefined
  readonly previousAttempts?: number | undefined
  /**
   * Closes resources of a failed attempt that are not in the caller's scope: after the failure has been classified, and before
   * the next attempt.
   */
  readonly release?: (() => Effect.Effect<void>) | undefined
  /** Whether the effect opens a connection, so that no request was sent when it fails. */
  readonly dial?: boolean | undefined
}

const asLocal = ({ code }: Failures.Failure): Failures.Failure => Failures.make("LocalExhausted", { code })

/** The class of every refusal of the gate. */
const noRoom = Failures.make("LocalExhausted", { code: "ResourceExhausted" })

/** The state of one series of attempts, and its decisions. Values that are needed only after a failure are computed then. */
export class RetryRun {
  readonly policy: Decision.Policy
  readonly rules: Decision.PolicyRules
  readonly label: string
  readonly options: Options
  readonly context: Context.Context<never>
  readonly clock: Clock.Clock
  readonly monitor: Monitor.ResourceMonitor["Service"]
  /** Counts the successes and failures. Inside another retry it is `undefined`, because the outer retry counts. */
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

  /** The next random number of this series, which does not depend on other uses of the program's source. */
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

  /** The same request, which waits at the gate for as long as the policy allows at this time. */
  patientRequest(elapsed: number): Monitor.ReserveRequest {
    const patience = this.nested ? 0 : Decision.localPatience(this.rules, this.progress, elapsed)
    return { ...this.request, maxWait: Duration.millis(patience) }
  }

  /**
   * Classifies a failure before anything is closed. If no descriptor is free, a `Transient` failure is `LocalExhausted`: a
   * look-up then fails as if the name did not exist, and nothing was sent. The same holds for an unknown failure of an
   * idempotent effect. An answer of the server is never reclassified.
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

  /** Counts a refusal of the gate, which was asked at this time, and decides what follows. */
  afterRefusal(asked: number) {
    const { nested, rules } = this
    const progress = this.progress = Decision.refused(this.progress, asked)
    const input: Decision.DecisionInput = { rules, progress, failure: noRoom, nested, ...this.#circumstances() }
    return { input, decision: Decision.decideLocal(input) }
  }

  /** Counts a failure of the effect, which took `lived` milliseconds, and decides what follows. */
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

/** Why the effect was not executed, or was interrupted at the deadline. */
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

/** Makes the error of a failed attempt for a caller that decides what follows. */
type Leave<E, F> = (error: E, failure: Failures.Failure, lived: number) => F

/**
 * The failure of an attempt, unless its cause also has a defect or an interruption. Those are passed on, and such an attempt is
 * not retried.
 */
const failureOf = <E>(cause: Cause.Cause<E>): Result.Result<E, Cause.Cause<never>> => {
  const others = cause.reasons.filter((reason) => !Cause.isFailReason(reason))
  return others.length > 0 ? Result.fail(Cause.fromReasons(others)) : Cause.findError(cause)
}

const unknownFailure = Failures.make("Fatal")

/**
 * Executes the effect until it succeeds or the policy allows no further attempt.
 *
 * One exit hook around each attempt releases everything that the attempt holds, exactly once. The hook is installed before
 * anything is reserved. So it is called even after an interruption between two steps, which skips continuations.
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
  /** The scope of the reservation, if the attempt had to wait for it. */
  #claimScope: Scope.Closeable | undefined
  /** The scope of the resources that the effect acquires, if the caller has a scope. */
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

  /** Asks the gate with an Effect, which may wait. */
  #wait(now: bigint): Effect.Effect<A, E | NoAttempt, R> {
    const { clock, monitor } = this.#run
    const scope = this.#claimScope = Scope.makeUnsafe()
    const reserving = Scope.provide(monitor.reserve(this.#run.patientRequest(this.#run.since(now))), scope)
    return Effect.flatMap(
      Effect.mapError(reserving, (error) => new NoAttempt({ _tag: "Refused", error })),
      (claim) => this.#begin(clock.monotonicTimeNanosUnsafe(), claim)
    )
  }

  /** There is room. The breaker is asked last, and then the effect is executed. */
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

  /** Closes the resources of the failed attempt first, and then releases its reservation. */
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

  /** Releases the reservation. If the attempt was a probe without a result, another attempt may be the probe. */
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
    // An interruption between two attempts returns the token of the next one. This one hook serves all retries of the series.
    return Effect.onExitPrimitive(next, () => {
      this.#run.refund()
      return undefined
    })
  }

  /** Classifies a failure before the resources of the effect are closed. */
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

  /** The failure of the effect, if there is one to classify. */
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
    const millis = this.#lived
    policy.observer?.ended(ending, millis, progress.runs + 1)
    this.#span?.event("retry.attempt", clock.currentTimeNanosUnsafe(), {
      "retry.label": safeLabel(label),
      "retry.attempt": progress.runs + 1,
      "retry.outcome": ending,
      "retry.duration_ms": millis,
      ...(code === undefined ? undefined : { "retry.code": code })
    })
  }

  /** Decides what follows an attempt that did not succeed. */
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

  /** Waits, and then makes the next attempt. Nothing of the failed attempt is kept meanwhile, and the stack does not grow. */
  #again(delay: number): Effect.Effect<A, RetryError<E> | F, R> {
    this.#run.policy.observer?.delayed(delay)
    this.#begunAt = undefined
    return Effect.flatMap(Effect.sleep(delay), () => this.start())
  }
}

/**
 * Executes an effect under a policy. With `leaveTo` there is one attempt only, and the caller decides what follows a failure.
 */
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
 * Makes one attempt, after the gate (which may wait for room) and the breaker. It fails with `AttemptFailed` when the effect
 * has failed: then the caller decides what follows. It fails with `RetryError` when the attempt was not made, or was
 * interrupted at the deadline.
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
