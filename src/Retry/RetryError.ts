/**
 * How a retried effect fails.
 *
 * @since 0.1.0
 */
import type { YieldableError } from "effect/Cause"
import * as Duration from "effect/Duration"
import { measured } from "../internal/MeasuredTime.ts"
import { errorText, safeMessage } from "../internal/SafeText.ts"
import { TaggedError } from "../internal/TaggedError.ts"
import type { ResourceExhausted as NoRoom } from "../Monitor/Service.ts"
import type { Failure } from "./Failure.ts"

/**
 * One execution of the effect, and how it failed.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface AttemptRecord {
  /** The number of this execution, from 1. Executions that failed for lack of room on this host are counted too. */
  readonly run: number
  /** The time from the start of the first execution to the start of this one. */
  readonly begunAfter: Duration.Duration
  readonly took: Duration.Duration
  readonly failure: Failure
  /** The first 200 characters of the error's message. */
  readonly message: string
}

/** The fields of every reason. */
interface Outcome {
  /** What was retried. */
  readonly label: string
  /** The number of attempts. Those that failed for lack of room on this host are not counted. */
  readonly attempts: number
  /** The time from the start of the first attempt to this error. */
  readonly elapsed: Duration.Duration
}

/** Further fields of every reason, which the constructor of a reason need not get. */
interface Circumstances {
  /**
   * The time after which another attempt makes sense: that of the server, the breaker, the gate or the budget, or else the next
   * delay of the policy. `undefined` if another attempt does not help, or if the time is unknown.
   */
  readonly retryAfter: Duration.Duration | undefined
  /** The failed executions, oldest first: at most ten, of which the first is kept. */
  readonly history: ReadonlyArray<AttemptRecord>
}

/** The common fields of the reason with which a series of attempts ends. */
export interface RetrySummary extends Outcome, Circumstances {}

/** The class of one reason: a tagged error with the common fields, of which the constructor needs only the outcome. */
const reasonWith = <Tag extends string>(tag: Tag) => {
  class Reason extends TaggedError(tag)<RetrySummary> {
    constructor(props: Outcome & Partial<Circumstances>) {
      super({ retryAfter: undefined, history: [], ...props })
    }
  }
  // The class takes the further fields of any reason.
  return Reason as unknown as new<Fields>(props: Fields & Outcome & Partial<Circumstances>) =>
    & YieldableError
    & { readonly _tag: Tag }
    & RetrySummary
    & Readonly<Fields>
}

const count = (attempts: number): string => `${attempts} ${attempts === 1 ? "attempt" : "attempts"}`

const after = (outcome: Outcome): string => `after ${count(outcome.attempts)} in ${measured(outcome.elapsed)}`

/** The last failure, if there is one. */
const lastOf = (cause: unknown): string => cause === undefined ? "" : `; last failure: ${errorText(cause)}`

const last = (failure: Failure, cause: unknown): string => {
  const text = errorText(cause)
  const code = failure.code === undefined || text.includes(failure.code) ? "" : ` ${failure.code}`
  const advice = failure.advice === undefined ? "" : `; ${failure.advice}`
  return `last failure (${failure.class}${code}): ${text}${advice}`
}

/**
 * All attempts that the policy allows have failed. Inside another retry it allows one.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class AttemptsExhausted<E = unknown> extends reasonWith("AttemptsExhausted")<{
  /** The limit of the policy, the first attempt included. 1 inside another retry. */
  readonly maxAttempts: number
  readonly failure: Failure
  readonly cause: E
}> {
  /** The failure may be temporary: a later call may succeed. */
  readonly isRetryable = true
  override get message(): string {
    return safeMessage(
      `${this.label} failed ${after(this)}, of at most ${this.maxAttempts}; ${last(this.failure, this.cause)}`
    )
  }
}

/**
 * The class of the failure is not retried: `Fatal`, `Redirect`, or `Ambiguous` if the policy is not `idempotent`.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class NotRetryable<E = unknown> extends reasonWith("NotRetryable")<{
  readonly failure: Failure
  readonly cause: E
}> {
  readonly isRetryable = false
  override get message(): string {
    return safeMessage(
      `${this.label} failed ${after(this)} and is not retried; ${last(this.failure, this.cause)}`
    )
  }
}

/**
 * The deadline of the policy has passed, or the next attempt would begin after it.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class DeadlineExceeded<E = unknown> extends reasonWith("DeadlineExceeded")<{
  readonly deadline: Duration.Duration
  /** Whether the deadline interrupted a running attempt. */
  readonly interrupted: boolean
  /** The last failure, or `undefined` when the deadline interrupted the first attempt. */
  readonly cause: E | undefined
}> {
  readonly isRetryable = true
  override get message(): string {
    const what = this.interrupted ? "was interrupted at" : "has no time for another attempt within"
    return safeMessage(
      `${this.label} ${what} its deadline of ${Duration.format(this.deadline)} ${after(this)}${lastOf(this.cause)}`
    )
  }
}

/**
 * This host had no room for as long as the retry could wait.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class ResourceExhausted<E = unknown> extends reasonWith("ResourceExhausted")<{
  /** The time spent waiting for room. */
  readonly waited: Duration.Duration
  readonly failure: Failure
  /** The refusal of the gate, or the failure of the effect. */
  readonly cause: E | NoRoom
}> {
  readonly isRetryable = true
  override get message(): string {
    const waited = Duration.isZero(this.waited) ? "" : ` for ${measured(this.waited)}`
    return safeMessage(
      `${this.label} found no room${waited} ${after(this)}; ` + last(this.failure, this.cause)
    )
  }
}

/**
 * The retry budget of the policy is spent: too many failures in relation to successes. The remaining attempts of the policy
 * were not made, because the retries of many clients keep a server from recovering.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class BudgetExhausted<E = unknown> extends /*#__PURE__*/ reasonWith("BudgetExhausted")<{
  /** The remaining tokens. */
  readonly balance: number
  /** The tokens of a full budget. A retry needs at least half of them. */
  readonly capacity: number
  readonly failure: Failure
  readonly cause: E
}> {
  /** The failure may be temporary, and successes refill the budget. */
  readonly isRetryable = true
  override get message(): string {
    const left = `${Number(this.balance.toFixed(2))} of ${this.capacity} tokens`
    return safeMessage(
      `${this.label} failed ${after(this)} and may not be retried with ${left} left in its budget; ` +
        last(this.failure, this.cause)
    )
  }
}

const circuitTexts: Record<CircuitOpen["state"], (failures: number) => string> = {
  Open: () => "is open",
  HalfOpen: () => "is being probed",
  Closed: (failures) =>
    failures > 1
      ? `has seen ${failures} failures in a row and grants no retries`
      : "has just closed and limits attempts"
}

/**
 * The circuit of the endpoint refused an attempt: it is open, its probe is in progress, it has just closed and limits
 * concurrent attempts, or consecutive calls fail and a retry would only add load.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class CircuitOpen<E = unknown> extends /*#__PURE__*/ reasonWith("CircuitOpen")<{
  readonly state: "Open" | "HalfOpen" | "Closed"
  /** Consecutive failed attempts, of all calls, since the circuit was last closed. */
  readonly consecutiveFailures: number
  /** The last failure, or `undefined` when no attempt was made. */
  readonly cause: E | undefined
}> {
  readonly isRetryable = true
  override get message(): string {
    const state = circuitTexts[this.state](this.consecutiveFailures)
    const again = this.retryAfter === undefined ? "" : `, retry after ${measured(this.retryAfter)}`
    return safeMessage(
      `${this.label} was not tried again ${after(this)}, because its circuit ${state}${again}${lastOf(this.cause)}`
    )
  }
}

/**
 * Why a retried effect failed.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export type RetryErrorReason<E = unknown> =
  | AttemptsExhausted<E>
  | NotRetryable<E>
  | BudgetExhausted<E>
  | DeadlineExceeded<E>
  | ResourceExhausted<E>
  | CircuitOpen<E>

/**
 * A retried effect failed. `reason` says why there is no further attempt, and `cause` is the last failure.
 * `Effect.catchReason("RetryError", "AttemptsExhausted", f)` handles one reason.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class RetryError<E = unknown> extends TaggedError("RetryError")<{
  readonly reason: RetryErrorReason<E>
  readonly cause: RetryErrorReason<E>["cause"]
}> {
  constructor(props: { readonly reason: RetryErrorReason<E> }) {
    super({ reason: props.reason, cause: props.reason.cause })
  }
  override get message(): string {
    return this.reason.message
  }
  get isRetryable(): boolean {
    return this.reason.isRetryable
  }
}
