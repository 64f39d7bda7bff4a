/**
 * How a retried effect fails.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import type { ResourceExhausted as NoRoom } from "../Monitor/Gate.ts"
import type { Failure } from "./Failure.ts"

/** What every reason carries. */
interface Account {
  /** What was retried. */
  readonly label: string
  /** Attempts that were made. Those that failed for lack of room on this host are not among them. */
  readonly attempts: number
  /** From the start of the first attempt to the end. */
  readonly elapsed: Duration.Duration
}

const textOf = (cause: unknown): string => cause instanceof Error ? cause.message || cause.name : String(cause)

const count = (attempts: number): string => `${attempts} ${attempts === 1 ? "attempt" : "attempts"}`

const after = (account: Account): string => `after ${count(account.attempts)} in ${Duration.format(account.elapsed)}`

const last = (failure: Failure, cause: unknown): string => {
  const text = textOf(cause)
  const code = failure.code === undefined || text.includes(failure.code) ? "" : ` ${failure.code}`
  const advice = failure.advice === undefined ? "" : `; ${failure.advice}`
  return `last failure (${failure.class}${code}): ${text}${advice}`
}

/**
 * Every attempt that the policy grants was made. Inside another retry that is one attempt.
 *
 * @category errors
 * @since 0.1.0
 */
export class AttemptsExhausted<E = unknown> extends Data.TaggedError("AttemptsExhausted")<
  Account & {
    /** What the policy grants, the first attempt included. 1 inside another retry. */
    readonly maxAttempts: number
    readonly failure: Failure
    readonly cause: E
  }
> {
  /** The failure may pass: a later call may succeed. */
  readonly isRetryable = true
  override get message(): string {
    return `${this.label} failed ${after(this)}, of at most ${this.maxAttempts}; ${last(this.failure, this.cause)}`
  }
}

/**
 * The failure is of a class that is not retried: `Fatal`, `Redirect`, or `Ambiguous` where the policy says that the effect
 * must not run twice.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotRetryable<E = unknown> extends Data.TaggedError("NotRetryable")<
  Account & {
    readonly failure: Failure
    readonly cause: E
  }
> {
  readonly isRetryable = false
  override get message(): string {
    return `${this.label} failed ${after(this)} and is not retried; ${last(this.failure, this.cause)}`
  }
}

/**
 * The deadline of the policy has passed, or the next attempt would begin after it.
 *
 * @category errors
 * @since 0.1.0
 */
export class DeadlineExceeded<E = unknown> extends Data.TaggedError("DeadlineExceeded")<
  Account & {
    readonly deadline: Duration.Duration
    /** `true` when an attempt was running at the deadline and was interrupted. */
    readonly interrupted: boolean
    /** The last failure, or `undefined` when the deadline interrupted the first attempt. */
    readonly cause: E | undefined
  }
> {
  readonly isRetryable = true
  override get message(): string {
    const what = this.interrupted ? "was interrupted at" : "has no time for another attempt within"
    const why = this.cause === undefined ? "" : `; last failure: ${textOf(this.cause)}`
    return `${this.label} ${what} its deadline of ${Duration.format(this.deadline)} ${after(this)}${why}`
  }
}

/**
 * There was no room on this host for the whole time that the run could wait.
 *
 * @category errors
 * @since 0.1.0
 */
export class ResourceExhausted<E = unknown> extends Data.TaggedError("ResourceExhausted")<
  Account & {
    /** How long the run has waited for room. */
    readonly waited: Duration.Duration
    readonly failure: Failure
    /** The gate's refusal, or the failure that says that there is no room. */
    readonly cause: E | NoRoom
  }
> {
  readonly isRetryable = true
  override get message(): string {
    return `${this.label} found no room for ${Duration.format(this.waited)} ${after(this)}; ` +
      last(this.failure, this.cause)
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
  | DeadlineExceeded<E>
  | ResourceExhausted<E>

/**
 * A retried effect failed; `reason` says why the retrying ended, and its `cause` is the last failure.
 * `Effect.catchReason("RetryError", "AttemptsExhausted", f)` handles one reason.
 *
 * @category errors
 * @since 0.1.0
 */
export class RetryError<E = unknown> extends Data.TaggedError("RetryError")<{
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
