/**
 * The errors of invocations that the library has ended.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import { safeMessage } from "../internal/SafeText.ts"
import { ReasonError, TaggedError } from "../internal/TaggedError.ts"

/**
 * The invocation took too long, and was interrupted before the platform's own timeout.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class InvocationTimeout extends TaggedError("InvocationTimeout")<{
  /** How long it could run: the remaining time minus the margin. */
  readonly after: Duration.Duration
  /** Whether the invocation and its finalizers had ended by the time of the answer. */
  readonly hasEnded: boolean
}> {
  /** It is unknown what the invocation has done. */
  readonly isRetryable = false
  override get message(): string {
    return safeMessage(
      `the invocation was interrupted after ${Duration.format(this.after)}, before the platform's own timeout` +
        (this.hasEnded ? "" : "; it has not ended, and still runs")
    )
  }
}

/**
 * The platform is ending this instance.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class InstanceClosing extends TaggedError("InstanceClosing")<{
  /** The invocation had started, and was interrupted. */
  readonly hasBegun: boolean
}> {
  get isRetryable(): boolean {
    return !this.hasBegun
  }
  override get message(): string {
    return safeMessage(
      this.hasBegun
        ? "the invocation was interrupted, because the platform is ending this instance"
        : "the invocation was not started, because the platform is ending this instance"
    )
  }
}

/**
 * Why the library ended an invocation.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export type InvocationErrorReason = InvocationTimeout | InstanceClosing

/**
 * The library ended an invocation; `reason` says why.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class InvocationError extends ReasonError("InvocationError")<InvocationErrorReason> {}
