/**
 * How a retried effect fails.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import { errorText, safeMessage } from "../internal/SafeText.ts"
import { TaggedError } from "../internal/TaggedError.ts"
import type { ResourceExhausted as NoRoom } from "../Monitor/Service.ts"
import type { Failure } from "./Failure.ts"

/**
 * One run of the effect, and how it failed.
 *
 * @category models
 * @since 0.1.0
 */
export interface AttemptRecord {
  /** The number of the run, from 1. Runs that found no room on this host are counted too. */
  readonly run: number
  /** From the start of the first run to that of this one. */
  readonly begunAfter: Duration.Duration
  readonly took: Duration.Duration
  readonly failure: Failure
  /** The message of the error, at most 200 characters of it. */
  readonly message: string
}

/** What every reason carries. */
interface Account {
  /** What was retried. */
  readonly label: string
  /** Attempts that were made. Those that failed for lack of room on this host are not among them. */
  readonly attempts: number
  /** From the start of the first attempt to the end. */
  readonly elapsed: Duration.Duration
}

/** What a reason carries besides; a reason that is made by hand may leave it out. */
interface Circumstances {
  /**
   * When it makes sense to try again, at the earliest, as far as is known: what the server, the breaker, the gate or the
   * budget said, or else the next delay of the policy. `undefined` where trying again does not help, or nobody knows.
   */
  readonly retryAfter: Duration.Duration | undefined
  /** The runs that failed, the oldest first: the first one and the last nine, if there were more. */
  readonly history: ReadonlyArray<AttemptRecord>
}

const unknownCircumstances: Circumstances = { retryAfter: undefined, history: [] }

const count = (attempts: number): string => `${attempts} ${attempts === 1 ? "attempt" : "attempts"}`

const after = (account: Account): string => `after ${count(account.attempts)} in ${Duration.format(account.elapsed)}`

const last = (failure: Failure, cause: unknown): string => {
  const text = errorText(cause)
  const code = failure.code === undefined || text.includes(failure.code) ? "" : ` ${failure.code}`
  const advice = failure.advice === undefined ? "" : `; ${failure.advice}`
  return `last failure (${failure.class}${code}): ${text}${advice}`
}

interface AttemptsExhaustedFields<E> extends Account {
  /** What the policy grants, the first attempt included. 1 inside another retry. */
  readonly maxAttempts: number
  readonly failure: Failure
  readonly cause: E
}

/**
 * Every attempt that the policy grants was made. Inside another retry that is one attempt.
 *
 * @category errors
 * @since 0.1.0
 */
export class AttemptsExhausted<E = unknown>
  extends TaggedError("AttemptsExhausted")<AttemptsExhaustedFields<E> & Circumstances>
{
  constructor(props: AttemptsExhaustedFields<E> & Partial<Circumstances>) {
    super({ ...unknownCircumstances, ...props })
  }
  /** The failure may pass: a later call may succeed. */
  readonly isRetryable = true
  override get message(): string {
    return safeMessage(
      `${this.label} failed ${after(this)}, of at most ${this.maxAttempts}; ${last(this.failure, this.cause)}`
    )
  }
}

interface NotRetryableFields<E> extends Account {
  readonly failure: Failure
  readonly cause: E
}

/**
 * The failure is of a class that is not retried: `Fatal`, `Redirect`, or `Ambiguous` where the policy says that the effect
 * must not run twice.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotRetryable<E = unknown> extends TaggedError("NotRetryable")<NotRetryableFields<E> & Circumstances> {
  constructor(props: NotRetryableFields<E> & Partial<Circumstances>) {
    super({ ...unknownCircumstances, ...props })
  }
  readonly isRetryable = false
  override get message(): string {
    return safeMessage(
      `${this.label} failed ${after(this)} and is not retried; ${last(this.failure, this.cause)}`
    )
  }
}

interface DeadlineExceededFields<E> extends Account {
  readonly deadline: Duration.Duration
  /** `true` when an attempt was running at the deadline and was interrupted. */
  readonly interrupted: boolean
  /** The last failure, or `undefined` when the deadline interrupted the first attempt. */
  readonly cause: E | undefined
}

/**
 * The deadline of the policy has passed, or the next attempt would begin after it.
 *
 * @category errors
 * @since 0.1.0
 */
export class DeadlineExceeded<E = unknown>
  extends TaggedError("DeadlineExceeded")<DeadlineExceededFields<E> & Circumstances>
{
  constructor(props: DeadlineExceededFields<E> & Partial<Circumstances>) {
    super({ ...unknownCircumstances, ...props })
  }
  readonly isRetryable = true
  override get message(): string {
    const what = this.interrupted ? "was interrupted at" : "has no time for another attempt within"
    const why = this.cause === undefined ? "" : `; last failure: ${errorText(this.cause)}`
    return safeMessage(
      `${this.label} ${what} its deadline of ${Duration.format(this.deadline)} ${after(this)}${why}`
    )
  }
}

interface ResourceExhaustedFields<E> extends Account {
  /** How long the run has waited for room. */
  readonly waited: Duration.Duration
  readonly failure: Failure
  /** The gate's refusal, or the failure that says that there is no room. */
  readonly cause: E | NoRoom
}

/**
 * There was no room on this host for the whole time that the run could wait.
 *
 * @category errors
 * @since 0.1.0
 */
export class ResourceExhausted<E = unknown>
  extends TaggedError("ResourceExhausted")<ResourceExhaustedFields<E> & Circumstances>
{
  constructor(props: ResourceExhaustedFields<E> & Partial<Circumstances>) {
    super({ ...unknownCircumstances, ...props })
  }
  readonly isRetryable = true
  override get message(): string {
    const waited = Duration.isZero(this.waited) ? "" : ` for ${Duration.format(this.waited)}`
    return safeMessage(
      `${this.label} found no room${waited} ${after(this)}; ` + last(this.failure, this.cause)
    )
  }
}

interface BudgetExhaustedFields<E> extends Account {
  /** Tokens that are left. */
  readonly balance: number
  /** Tokens that a full budget has. Half of them must be left for a retry. */
  readonly capacity: number
  readonly failure: Failure
  readonly cause: E
}

/**
 * The retry budget of the policy is spent: too many failures in relation to successes. The attempts that are left to the
 * policy were not made, because the retries of many clients are what keeps a server from recovering.
 *
 * @category errors
 * @since 0.1.0
 */
export class BudgetExhausted<E = unknown>
  extends /*#__PURE__*/ TaggedError("BudgetExhausted")<BudgetExhaustedFields<E> & Circumstances>
{
  constructor(props: BudgetExhaustedFields<E> & Partial<Circumstances>) {
    super({ ...unknownCircumstances, ...props })
  }
  /** The failure may pass, and successes fill the budget again. */
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
    failures > 1 ? `has seen ${failures} failures in a row and grants no retries` : "has just closed and lets in few"
}

interface CircuitOpenFields<E> extends Account {
  readonly state: "Open" | "HalfOpen" | "Closed"
  /** How many attempts of all calls have failed in a row, since the circuit was closed last. */
  readonly consecutiveFailures: number
  /** The last failure, or `undefined` when no attempt was made. */
  readonly cause: E | undefined
}

/**
 * The circuit of the endpoint is open, or its probe is under way, or it has just closed and limits the attempts under way, or
 * calls fail one after the other and a retry would be load without use: the attempt that would have followed was not made.
 *
 * @category errors
 * @since 0.1.0
 */
export class CircuitOpen<E = unknown>
  extends /*#__PURE__*/ TaggedError("CircuitOpen")<CircuitOpenFields<E> & Circumstances>
{
  constructor(props: CircuitOpenFields<E> & Partial<Circumstances>) {
    super({ ...unknownCircumstances, ...props })
  }
  readonly isRetryable = true
  override get message(): string {
    const state = circuitTexts[this.state](this.consecutiveFailures)
    const again = this.retryAfter === undefined ? "" : `, to be asked again in ${Duration.format(this.retryAfter)}`
    const why = this.cause === undefined ? "" : `; last failure: ${errorText(this.cause)}`
    return safeMessage(
      `${this.label} was not tried again ${after(this)}, because its circuit ${state}${again}${why}`
    )
  }
}

/**
 * Why a retried effect failed.
 *
 * @category errors
 * @since 0.1.0
 */
export type RetryErrorReason<E = unknown> =
  | AttemptsExhausted<E>
  | NotRetryable<E>
  | BudgetExhausted<E>
  | DeadlineExceeded<E>
  | ResourceExhausted<E>
  | CircuitOpen<E>

/**
 * A retried effect failed; `reason` says why the retrying ended, and its `cause` is the last failure.
 * `Effect.catchReason("RetryError", "AttemptsExhausted", f)` handles one reason.
 *
 * @category errors
 * @since 0.1.0
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
