/**
 * Why an invocation has no answer of its own.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import { safeMessage } from "../internal/SafeText.ts"
import { TaggedError } from "../internal/TaggedError.ts"

/**
 * The invocation ran out of time and was interrupted before the platform would have killed the process.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvocationTimeout extends TaggedError("InvocationTimeout")<{
  /** How long it was allowed to run: the time that was left, less the margin. */
  readonly after: Duration.Duration
  /** Whether it had ended, its finalizers included, when the answer was given. */
  readonly hasEnded: boolean
}> {
  /** Nobody knows what it has done. */
  readonly isRetryable = false
  override get message(): string {
    return safeMessage(
      `the invocation was interrupted after ${Duration.format(this.after)}, before the platform's own timeout` +
        (this.hasEnded ? "" : "; it does not end, and goes on")
    )
  }
}

/**
 * The platform is ending this instance.
 *
 * @category errors
 * @since 0.1.0
 */
export class InstanceClosing extends TaggedError("InstanceClosing")<{
  /** The invocation had begun, and was interrupted. */
  readonly hasBegun: boolean
}> {
  get isRetryable(): boolean {
    return !this.hasBegun
  }
  override get message(): string {
    return safeMessage(
      this.hasBegun
        ? "the invocation was interrupted, because the platform is ending this instance"
        : "the invocation was not begun, because the platform is ending this instance"
    )
  }
}

/**
 * Why an invocation has no answer of its own.
 *
 * @category errors
 * @since 0.1.0
 */
export type InvocationErrorReason = InvocationTimeout | InstanceClosing

/**
 * An invocation has no answer of its own; `reason` says why.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvocationError extends TaggedError("InvocationError")<{ readonly reason: InvocationErrorReason }> {
  override get message(): string {
    return this.reason.message
  }
  get isRetryable(): boolean {
    return this.reason.isRetryable
  }
}
