/**
 * The loop of attempts. It acts on what `Run` decides.
 *
 * An attempt that succeeds at once is what matters for the cost of a retry: it runs in the caller's fiber and takes four
 * steps of the run loop, without a timer, a fiber or a generator.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import type * as Tracer from "effect/Tracer"
import { millisOf } from "../internal/MonotonicTime.ts"
import { timeoutOrElse } from "../internal/Timeout.ts"
import type { ResourceExhausted as NoRoom } from "../Monitor/Service.ts"
import { CurrentReservation } from "../Monitor/Service.ts"
import type { Reservation, ResourceMonitor } from "../Monitor/Service.ts"
import type { BreakerCircuit, Outcome, Ticket } from "./BreakerCircuit.ts"
import * as Decision from "./Decision.ts"
import type { Failure } from "./Failure.ts"
import * as Failures from "./Failure.ts"
import type { RetryPolicy } from "./Policy.ts"
import { deadlineExceeded, notAdmitted, refused, resourceExhausted, stopped } from "./Refusal.ts"
import type { RetryError } from "./RetryError.ts"
import type { Ending } from "./RetryObserver.ts"
import { InsideRetry, type Options, PassedCircuits, Run } from "./Run.ts"

/** The gate refused: the effect was not run. */
class Refused {
  readonly error: NoRoom
  constructor(error: NoRoom) {
    this.error = error
  }
}

/** The circuit let the attempt not in: the effect was not run. */
class NotAdmitted {
  readonly circuit: BreakerCircuit
  readonly retryAfter: number
  constructor(circuit: BreakerCircuit, retryAfter: number) {
    this.circuit = circuit
    this.retryAfter = retryAfter
  }
}

/** The time was up before the effect was run, or while it was running. */
class TimeUp {
  readonly interrupted: boolean
  constructor(interrupted: boolean) {
    this.interrupted = interrupted
  }
}

/** The only attempt has failed: what is to be known for a step of the policy. */
export class AttemptFailed<E> {
  readonly error: E
  readonly failure: Failure
  /** For how long it had run, in milliseconds. */
  readonly lived: number
  constructor(error: E, failure: Failure, lived: number) {
    this.error = error
    this.failure = failure
    this.lived = lived
  }
}

/** What the failure of an attempt is, where it is not this loop that decides what follows. */
type Leave<E, F> = (error: E, failure: Failure, lived: number) => F

type NoAttempt = Refused | NotAdmitted | TimeUp

/**
 * The failure of an attempt, unless there is a defect or an interruption beside it: those pass through, and a failure
 * beside them is not retried.
 */
const failureOf = <E>(cause: Cause.Cause<E>): Result.Result<E, Cause.Cause<never>> => {
  const others = cause.reasons.filter((reason) => !Cause.isFailReason(reason))
  return others.length > 0 ? Result.fail(Cause.fromReasons(others)) : Cause.findError(cause)
}

const unknownFailure = Failures.make("Fatal")

const within = <A, E, R>(effect: Effect.Effect<A, E, R>, millis: number): Effect.Effect<A, E | TimeUp, R> =>
  millis === Infinity
    ? effect
    : timeoutOrElse(effect, {
      duration: Duration.millis(Math.max(millis, 0)),
      orElse: () => Effect.fail(new TimeUp(true))
    })

/**
 * One run of the effect after the other, until one succeeds or the policy ends.
 *
 * What an attempt holds is given back once, on every path, by one hook around it. The hook is in place before anything is
 * claimed, so that an interruption between two steps finds it; and it runs where a continuation would not, when the fiber is
 * interrupted.
 */
class Attempts<A, E, R, F> extends Run {
  readonly #effect: Effect.Effect<A, E, R>
  readonly #fiber: Fiber.Fiber<unknown, unknown>
  readonly #leaveTo: Leave<E, F> | undefined
  #isFirst = true
  /** The last failure of the effect. */
  #last: E | undefined
  // What follows is that of the attempt that is running.
  /** When the gate was asked, and when the effect was begun. */
  #askedAt: bigint
  #begunAt: bigint | undefined
  #claim: Reservation | undefined
  /** Holds the claim of an attempt that has waited for it. */
  #claimScope: Scope.Closeable | undefined
  /** Holds what the effect acquires, if the caller has a scope. */
  #acquired: Scope.Closeable | undefined
  #ticket: Ticket | undefined
  /** What the failure asks for, and what went wrong while that was found out. */
  #failure = unknownFailure
  /** For how long the failed effect had run, in milliseconds. */
  #ran = 0
  #defect: { readonly value: unknown } | undefined

  constructor(
    effect: Effect.Effect<A, E, R>,
    fiber: Fiber.Fiber<unknown, unknown>,
    policy: RetryPolicy,
    { leaveTo, options }: { readonly options: Options; readonly leaveTo?: Leave<E, F> | undefined }
  ) {
    super(fiber.context, policy, options)
    this.#effect = effect
    this.#fiber = fiber
    this.#leaveTo = leaveTo
    this.#askedAt = this.startedAt
  }

  /** An attempt, and whatever follows it. */
  start(): Effect.Effect<A, RetryError<E> | F, R> {
    return Effect.catchCause(
      Effect.onExitPrimitive(Effect.suspend(() => this.#enter()), (exit) => this.#leave(exit)),
      (cause) => this.#didNotSucceed(cause)
    )
  }

  #enter(): Effect.Effect<A, E | NoAttempt, R> {
    const { circuit, rules } = this
    const now = this.#isFirst ? this.startedAt : this.clock.monotonicTimeNanosUnsafe()
    this.#askedAt = now
    if (rules.deadline !== Infinity && this.since(now) >= rules.deadline) return Effect.fail(new TimeUp(false))
    if (circuit !== undefined) {
      const refusedFor = circuit.refusedFor(millisOf(now))
      if (refusedFor > 0) return Effect.fail(new NotAdmitted(circuit, refusedFor))
    }
    this.#claim = this.monitor.reserve.unsafe?.reserve(this.request, now)
    if (this.#claim !== undefined) return this.#begin(now, this.#claim)
    return this.#wait(now)
  }

  /** Waits at the gate, or asks one that cannot be asked in one step. */
  #wait(now: bigint): Effect.Effect<A, E | NoAttempt, R> {
    const scope = this.#claimScope = Scope.makeUnsafe()
    const reserving = Scope.provide(this.monitor.reserve(this.patientRequest(this.since(now))), scope)
    return Effect.flatMap(
      Effect.mapError(reserving, (error) => new Refused(error)),
      (claim) => this.#begin(this.clock.monotonicTimeNanosUnsafe(), claim)
    )
  }

  /** There is room: the breaker is the last to be asked. */
  #begin(now: bigint, claim: Reservation): Effect.Effect<A, E | NoAttempt, R> {
    const { circuit, rules: { deadline }, scope } = this
    let context = Context.add(Context.add(this.context, InsideRetry, true), CurrentReservation, claim)
    if (circuit !== undefined) {
      this.#ticket = circuit.admit(millisOf(now))
      if (this.#ticket === undefined) return Effect.fail(new NotAdmitted(circuit, circuit.retryAfter(millisOf(now))))
      context = Context.add(context, PassedCircuits, { circuit, outer: Context.get(context, PassedCircuits) })
    }
    this.policy.observer?.passedGate(millisOf(now - this.#askedAt))
    this.spend()
    this.#begunAt = now
    if (scope !== undefined) context = Context.add(context, Scope.Scope, this.#acquired = Scope.forkUnsafe(scope))
    this.#fiber.setContext(context)
    return deadline === Infinity ? this.#effect : within(this.#effect, deadline - this.since(now))
  }

  #leave(exit: Exit.Exit<A, E | NoAttempt>): Effect.Effect<void> | undefined {
    if (this.#begunAt === undefined) return this.#giveBack()
    this.#fiber.setContext(this.context)
    if (Exit.isFailure(exit)) return this.#leaveFailed(exit)
    if (this.#ticket !== undefined) this.#settle("Success", undefined)
    // What holds nothing is closed: a scope that lives as long as the program would otherwise grow with every call.
    if (this.#acquired?.state._tag === "Empty") Scope.closeUnsafe(this.#acquired, exit)
    this.bucket?.succeeded()
    const givenBack = this.#giveBack()
    if (!this.#isWatched) return givenBack
    const tell = Effect.sync(() => this.#tell("Succeeded", undefined))
    return givenBack === undefined ? tell : Effect.andThen(givenBack, tell)
  }

  /** What the failed attempt has acquired is closed, and only then its claim is given back. */
  #leaveFailed(exit: Exit.Failure<A, E | NoAttempt>): Effect.Effect<void> | undefined {
    const isQuick = this.monitor.reserve.unsafe !== undefined
    if (isQuick) this.#diagnoseNow(exit.cause)
    const closing = this.#acquired === undefined ? this.release?.() : Scope.closeUnsafe(this.#acquired, exit)
    if (isQuick && closing === undefined) return this.#giveBack()
    return Effect.onExitPrimitive(
      isQuick ? closing ?? Effect.void : Effect.ensuring(this.#diagnose(exit.cause), closing ?? Effect.void),
      () => this.#giveBack()
    )
  }

  /** Gives back the claim, and the place of a probe of which nothing was learnt. */
  #giveBack(): Effect.Effect<void> | undefined {
    this.#acquired = undefined
    if (this.#ticket !== undefined) this.#settle("Ignored", undefined)
    const claim = this.#claim
    this.#claim = undefined
    if (claim !== undefined) this.monitor.reserve.unsafe?.end(claim)
    const scope = this.#claimScope
    if (scope === undefined) return undefined
    this.#claimScope = undefined
    return Scope.closeUnsafe(scope, Exit.void)
  }

  #didNotSucceed(cause: Cause.Cause<E | NoAttempt>): Effect.Effect<A, RetryError<E> | F, R> {
    const next = Effect.suspend(() => this.#next(cause))
    if (!this.#isFirst) return next
    this.#isFirst = false
    // Whatever interrupts the wait for a retry gives its token back. It is one hook for all retries of this run.
    return Effect.onExitPrimitive(next, () => {
      this.refund()
      return undefined
    })
  }

  /** Looks into a failure where it happens, before anything that the effect has acquired is closed. */
  #diagnose(cause: Cause.Cause<E | NoAttempt>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const error = this.#errorOf(cause)
      if (error === undefined) return Effect.void
      return Effect.map(this.diagnose(error.value), (failure) => this.#note(error.value, failure))
    })
  }

  /** The same in one step. */
  #diagnoseNow(cause: Cause.Cause<E | NoAttempt>): void {
    try {
      const error = this.#errorOf(cause)
      if (error !== undefined) this.#note(error.value, this.diagnoseNow(error.value))
    } catch (value) {
      this.#defect = { value }
    }
  }

  /** The failure of the effect that is to be looked into, if it is one. */
  #errorOf(cause: Cause.Cause<E | NoAttempt>): { readonly value: E } | undefined {
    const found = failureOf(cause)
    if (Result.isFailure(found)) this.#tell("Passed", undefined)
    else if (found.success instanceof TimeUp) this.#timedOut(found.success)
    else if (!(found.success instanceof Refused || found.success instanceof NotAdmitted)) {
      return { value: found.success }
    }
    return undefined
  }

  /** The time was up while the effect was running: the endpoint did not answer in it. */
  #timedOut({ interrupted }: TimeUp): void {
    if (!interrupted) return
    this.bucket?.failed()
    this.#settle("Failure", undefined)
    this.#tell("TimedOut", undefined)
  }

  #note(error: E, failure: Failure): void {
    this.#failure = failure
    this.#ran = this.#lived
    this.#settle(Decision.isDown(failure) ? "Failure" : "Ignored", Decision.hintOf(failure))
    this.#record(error, failure)
    this.#tell(failure.class, failure.code)
  }

  /** For how long the effect has been running, in milliseconds. */
  get #lived(): number {
    return this.elapsed() - this.since(this.#begunAt ?? this.startedAt)
  }

  #record(error: E, failure: Failure): void {
    const { history, progress } = this
    const begunAt = this.since(this.#begunAt ?? this.startedAt)
    history.add({ run: progress.runs + 1, begunAt, endedAt: this.elapsed(), failure, error })
  }

  /** Reports to the breaker what came of the attempt, once. */
  #settle(outcome: Outcome, hint: number | undefined): void {
    const ticket = this.#ticket
    if (ticket === undefined) return
    this.#ticket = undefined
    this.circuit?.settle(ticket, outcome, { now: this.now(), u: outcome === "Failure" ? this.random() : 0, hint })
  }

  get #span(): Tracer.Span | undefined {
    const { span } = this.#fiber.cache
    return span?._tag === "Span" ? span : undefined
  }

  get #isWatched(): boolean {
    return this.observer !== undefined || this.#span !== undefined
  }

  #tell(ending: Ending, code: string | undefined): void {
    const attempt = this.progress.runs + 1
    const millis = this.#lived
    this.observer?.ended(ending, millis, attempt)
    this.#span?.event("retry.attempt", this.clock.currentTimeNanosUnsafe(), {
      "retry.label": this.label,
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
    if (error instanceof TimeUp) {
      return Effect.fail(deadlineExceeded(this, { interrupted: error.interrupted, cause: this.#last }))
    }
    if (error instanceof NotAdmitted) return Effect.fail(notAdmitted(this, error, this.#last))
    return error instanceof Refused ? this.#afterRefusal(error.error) : this.#afterFailure(error)
  }

  #afterRefusal(cause: NoRoom): Effect.Effect<A, RetryError<E> | F, R> {
    const { decision, situation } = this.afterRefusal(this.since(this.#askedAt))
    if (decision._tag === "Wait") return this.#again(decision.delay)
    const retryAfter = Math.max(decision.retryAfter ?? 0, Duration.toMillis(cause.retryAfter))
    const met = this.#last === undefined ? cause : cause.after(this.#last)
    return Effect.fail(resourceExhausted<E>(this, situation, { cause: met, retryAfter }))
  }

  #afterFailure(error: E): Effect.Effect<A, RetryError<E> | F, R> {
    if (this.#leaveTo !== undefined) return Effect.fail(this.#leaveTo(error, this.#failure, this.#ran))
    this.#last = error
    const { decision, situation } = this.afterFailure(this.#failure, this.#ran)
    if (decision._tag === "Wait") return this.#again(decision.delay)
    return Effect.fail(
      decision._tag === "Stop"
        ? stopped(this, situation, { cause: error, decision })
        : refused(this, situation, { cause: error, decision })
    )
  }

  /** Nothing of the failed attempt is kept while the run waits. The stack does not grow with the attempts. */
  #again(delay: number): Effect.Effect<A, RetryError<E> | F, R> {
    this.observer?.delayed(delay)
    this.#begunAt = undefined
    return Effect.flatMap(Effect.sleep(delay), () => this.start())
  }
}

/** Runs an effect under a policy. */
export const run = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  policy: RetryPolicy,
  options: Options
): Effect.Effect<A, RetryError<E>, R | ResourceMonitor> =>
  Effect.withFiber((fiber) => new Attempts<A, E, R, never>(effect, fiber, policy, { options }).start())

/**
 * Runs an effect once, past the gate and the breaker, with the waits for room at the gate. A failure of the effect is left to the
 * caller, who steps the policy; a `RetryError` says that the attempt was not made, or was interrupted at the deadline.
 */
export const attempt = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  policy: RetryPolicy,
  options: Options
): Effect.Effect<A, AttemptFailed<E> | RetryError<E>, R | ResourceMonitor> =>
  Effect.withFiber((fiber) => {
    const leaveTo: Leave<E, AttemptFailed<E>> = (error, failure, lived) => new AttemptFailed(error, failure, lived)
    return new Attempts(effect, fiber, policy, { options, leaveTo }).start()
  })
