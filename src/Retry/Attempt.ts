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
import { type Claim, CurrentClaim } from "../Monitor/Claim.ts"
import type { ResourceExhausted as NoRoom } from "../Monitor/Gate.ts"
import type { ResourceMonitor } from "../Monitor/Service.ts"
import type { Outcome, Ticket } from "./BreakerCircuit.ts"
import * as Decision from "./Decision.ts"
import type { Failure } from "./Failure.ts"
import * as Failures from "./Failure.ts"
import type { RetryPolicy } from "./Policy.ts"
import { circuitOpen, deadlineExceeded, resourceExhausted, stopped } from "./Refusal.ts"
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
  readonly retryAfter: number
  constructor(retryAfter: number) {
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
    : Effect.timeoutOrElse(effect, {
      duration: Duration.millis(Math.max(millis, 0)),
      orElse: () => Effect.fail(new TimeUp(true))
    })

/**
 * One run of the effect after the other, until one succeeds or the policy ends.
 *
 * What an attempt holds is given back once, on every path, in one of two ways. Where that is one step, as with a claim that
 * was made without an Effect, it is done by the continuation of the attempt, which the run loop calls in the same step in
 * which the attempt ends. Where it is not, because something has to be closed, there is a hook around the attempt. Both
 * are in place before anything is claimed, so that an interruption between two steps finds them.
 */
class Attempts<A, E, R> extends Run {
  readonly #effect: Effect.Effect<A, E, R>
  readonly #fiber: Fiber.Fiber<unknown, unknown>
  #isFirst = true
  /** The last failure of the effect. */
  #last: E | undefined
  // What follows is that of the attempt that is running.
  /** When the gate was asked, and when the effect was begun. */
  #askedAt: bigint
  #begunAt: bigint | undefined
  /** The claim that is given back in one step. */
  #claim: Claim | undefined
  /** Holds the claim that is not, and what the effect acquires, if the caller has a scope. */
  #claimScope: Scope.Closeable | undefined
  #acquired: Scope.Closeable | undefined
  #ticket: Ticket | undefined
  /** Whether there is a hook around it. */
  #isGuarded = false
  /** What the failure asks for. */
  #failure = unknownFailure

  constructor(
    effect: Effect.Effect<A, E, R>,
    fiber: Fiber.Fiber<unknown, unknown>,
    policy: RetryPolicy,
    options: Options
  ) {
    super(fiber.context, policy, options)
    this.#effect = effect
    this.#fiber = fiber
    this.#askedAt = this.startedAt
  }

  /** An attempt, and whatever follows it. */
  start(): Effect.Effect<A, RetryError<E>, R> {
    return Effect.matchCauseEffect(Effect.suspend(() => this.#enter()), {
      onSuccess: (value) => this.#succeeded(value),
      onFailure: (cause) => this.#didNotSucceed(cause)
    })
  }

  #enter(): Effect.Effect<A, E | NoAttempt, R> {
    const { circuit, rules } = this
    const now = this.#isFirst ? this.startedAt : this.clock.monotonicTimeNanosUnsafe()
    this.#askedAt = now
    this.#isGuarded = false
    if (rules.deadline !== Infinity && this.since(now) >= rules.deadline) return Effect.fail(new TimeUp(false))
    if (circuit === undefined && this.scope === undefined) {
      this.#claim = this.monitor.reserve.unsafe?.claim(this.request, now)
      if (this.#claim !== undefined) return this.#begin(now, this.#claim, this.context)
    }
    this.#isGuarded = true
    return Effect.onExitPrimitive(Effect.suspend(() => this.#enterGuarded(now)), (exit) => this.#leave(exit))
  }

  #enterGuarded(now: bigint): Effect.Effect<A, E | NoAttempt, R> {
    const { circuit, monitor: { reserve }, request } = this
    const refusedFor = circuit === undefined ? 0 : circuit.refusedFor(millisOf(now))
    if (refusedFor > 0) return Effect.fail(new NotAdmitted(refusedFor))
    this.#claim = reserve.unsafe?.claim(request, now)
    if (this.#claim !== undefined) return this.#admit(now, this.#claim)
    const scope = this.#claimScope = Scope.makeUnsafe()
    const reserving = Scope.provide(reserve(this.patientRequest(this.since(now))), scope)
    return Effect.flatMap(
      Effect.mapError(reserving, (error) => new Refused(error)),
      (claim) => this.#admit(this.clock.monotonicTimeNanosUnsafe(), claim)
    )
  }

  /** There is room: the breaker is the last to be asked. */
  #admit(now: bigint, claim: Claim): Effect.Effect<A, E | NoAttempt, R> {
    const { circuit, scope } = this
    let { context } = this
    if (circuit !== undefined) {
      this.#ticket = circuit.admit(millisOf(now))
      if (this.#ticket === undefined) return Effect.fail(new NotAdmitted(circuit.retryAfter(millisOf(now))))
      context = Context.add(context, PassedCircuits, { circuit, outer: Context.get(context, PassedCircuits) })
    }
    if (scope !== undefined) context = Context.add(context, Scope.Scope, this.#acquired = Scope.forkUnsafe(scope))
    return this.#begin(now, claim, context)
  }

  #begin(now: bigint, claim: Claim, context: Context.Context<never>): Effect.Effect<A, E | NoAttempt, R> {
    const { deadline } = this.rules
    this.observer?.passedGate(millisOf(now - this.#askedAt))
    this.spend()
    this.#begunAt = now
    this.#fiber.setContext(Context.add(Context.add(context, InsideRetry, true), CurrentClaim, claim))
    return deadline === Infinity ? this.#effect : within(this.#effect, deadline - this.since(now))
  }

  /** Gives back the claim that is given back in one step, and has the context be what it was. */
  #giveBack(): void {
    if (this.#begunAt !== undefined) this.#fiber.setContext(this.context)
    const claim = this.#claim
    if (claim === undefined) return
    this.#claim = undefined
    this.monitor.reserve.unsafe?.end(claim)
  }

  /** The attempt has succeeded, and holds nothing any more, or what is to live as long as the caller's scope. */
  #succeeded(value: A): Effect.Effect<A> {
    this.#giveBack()
    this.bucket?.succeeded()
    if (this.#isWatched) this.#tell("Succeeded", undefined)
    return Effect.succeed(value)
  }

  /** What an attempt holds that is not given back in one step. */
  #leave(exit: Exit.Exit<A, E | NoAttempt>): Effect.Effect<void> | undefined {
    if (this.#begunAt === undefined) return this.#close(exit)
    this.#fiber.setContext(this.context)
    if (Exit.isFailure(exit)) {
      // Whatever happens in there, what the attempt holds is given back.
      return Effect.onExitPrimitive(this.#diagnose(exit.cause), () => this.#close(exit))
    }
    this.#settle("Success", undefined)
    // What holds nothing is closed: a scope that lives as long as the program would otherwise grow with every call.
    if (this.#acquired !== undefined && this.#acquired.state._tag !== "Open") Scope.closeUnsafe(this.#acquired, exit)
    this.#acquired = undefined
    return this.#close(exit)
  }

  /** Closes what a failed attempt has acquired, and only then gives back its claim. */
  #close(exit: Exit.Exit<A, E | NoAttempt>): Effect.Effect<void> | undefined {
    this.#settle("Ignored", undefined)
    const closing = this.#acquired === undefined ? undefined : Scope.closeUnsafe(this.#acquired, exit)
    this.#acquired = undefined
    return closing === undefined ? this.#closeClaim() : Effect.onExitPrimitive(closing, () => this.#closeClaim())
  }

  #closeClaim(): Effect.Effect<void> | undefined {
    this.#giveBack()
    const scope = this.#claimScope
    this.#claimScope = undefined
    return scope === undefined ? undefined : Scope.closeUnsafe(scope, Exit.void)
  }

  /** Looks into a failure where it happens, before anything that the effect has acquired is closed. */
  #diagnose(cause: Cause.Cause<E | NoAttempt>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const found = failureOf(cause)
      if (Result.isFailure(found)) return Effect.sync(() => this.#tell("Passed", undefined))
      const error = found.success
      if (error instanceof TimeUp) return Effect.sync(() => this.#timedOut(error))
      if (error instanceof Refused || error instanceof NotAdmitted) return Effect.void
      return Effect.map(this.diagnose(error), (failure) => this.#note(error, failure))
    })
  }

  /** The time was up while the effect was running: whoever was asked did not answer in it. */
  #timedOut({ interrupted }: TimeUp): void {
    if (!interrupted) return
    this.bucket?.failed()
    this.#settle("Failure", undefined)
    this.#tell("TimedOut", undefined)
  }

  #note(error: E, failure: Failure): void {
    this.#failure = failure
    this.#settle(Decision.isDown(failure) ? "Failure" : "Ignored", Decision.hintOf(failure))
    this.#record(error, failure)
    this.#tell(failure.class, failure.code)
  }

  #record(error: E, failure: Failure): void {
    const { history, progress } = this
    const begunAt = this.since(this.#begunAt ?? this.startedAt)
    history.add({ run: progress.runs + 1, begunAt, endedAt: this.elapsed(), failure, error })
  }

  /** Tells the breaker what came of the attempt, once. */
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
    const millis = this.elapsed() - this.since(this.#begunAt ?? this.startedAt)
    this.observer?.ended(ending, millis, attempt)
    this.#span?.event("retry.attempt", this.clock.currentTimeNanosUnsafe(), {
      "retry.label": this.label,
      "retry.attempt": attempt,
      "retry.outcome": ending,
      "retry.duration_ms": millis,
      ...(code === undefined ? undefined : { "retry.code": code })
    })
  }

  #didNotSucceed(cause: Cause.Cause<E | NoAttempt>): Effect.Effect<A, RetryError<E>, R> {
    this.#giveBack()
    const isUnknown = !this.#isGuarded && this.#begunAt !== undefined
    const decide = Effect.suspend(() => this.#next(cause))
    const next = isUnknown ? Effect.andThen(this.#diagnose(cause), decide) : decide
    if (!this.#isFirst) return next
    this.#isFirst = false
    // Whatever interrupts the wait for a retry gives its token back. It is one hook for all retries of this run.
    return Effect.onExitPrimitive(next, () => {
      this.refund()
      return undefined
    })
  }

  /** What follows an attempt that did not succeed. */
  #next(cause: Cause.Cause<E | NoAttempt>): Effect.Effect<A, RetryError<E>, R> {
    const found = failureOf(cause)
    if (Result.isFailure(found)) return Effect.failCause(found.failure)
    const error = found.success
    if (error instanceof TimeUp) {
      return Effect.fail(deadlineExceeded(this, { interrupted: error.interrupted, cause: this.#last }))
    }
    if (error instanceof NotAdmitted) return Effect.fail(circuitOpen(this, this.#last, error.retryAfter))
    return error instanceof Refused ? this.#afterRefusal(error.error) : this.#afterFailure(error)
  }

  #afterRefusal(cause: NoRoom): Effect.Effect<A, RetryError<E>, R> {
    const { decision, situation } = this.afterRefusal(this.since(this.#askedAt))
    if (decision._tag === "Wait") return this.#again(decision.delay)
    const retryAfter = Math.max(decision.retryAfter ?? 0, Duration.toMillis(cause.retryAfter))
    const met = this.#last === undefined ? cause : cause.after(this.#last)
    return Effect.fail(resourceExhausted<E>(this, situation, { cause: met, retryAfter }))
  }

  #afterFailure(error: E): Effect.Effect<A, RetryError<E>, R> {
    this.#last = error
    const { decision, situation } = this.afterFailure(this.#failure)
    if (decision._tag === "Wait") return this.#again(decision.delay)
    return Effect.fail(stopped(this, situation, { cause: error, decision }))
  }

  /** Nothing of the failed attempt is kept while the run waits. The stack does not grow with the attempts. */
  #again(delay: number): Effect.Effect<A, RetryError<E>, R> {
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
  Effect.withFiber((fiber) => new Attempts(effect, fiber, policy, options).start())
