/**
 * The base of this library's errors: Effect's tagged error whose JSON and inspection are safe to print.
 *
 * @since 0.1.0
 */
import type { YieldableError } from "effect/Cause"
import * as Data from "effect/Data"
import { NodeInspectSymbol } from "effect/Inspectable"
import { framesOf, presentFields } from "./SafeText.ts"

type TaggedErrorClass<Tag extends string> = ReturnType<typeof Data.TaggedError<Tag>>

/**
 * `Data.TaggedError` with fields that are safe to print.
 *
 * The fields of an error contain the original text of a peer or a driver, because a program may need it. When `JSON.stringify`,
 * `console.log` or a logger prints the fields, secrets are masked, control characters are escaped, and long texts are cut. A
 * subclass has to do the same for its message.
 */
export const TaggedError = <Tag extends string>(tag: Tag): TaggedErrorClass<Tag> => {
  class SafeError extends Data.TaggedError(tag)<{}> {
    override toJSON(): object {
      return { _tag: tag, message: this.message, ...presentFields(this) }
    }
    /** The form that Node prints: the same error with safe fields. */
    override [NodeInspectSymbol](): unknown {
      const shown = Object.assign(new Error(), this.toJSON())
      shown.name = tag
      shown.stack = `${tag}: ${this.message}${framesOf(this.stack)}`
      return shown
    }
  }
  // The class accepts the fields of any subclass, like that of `Data`, whose type is generic in the fields.
  return SafeError as unknown as TaggedErrorClass<Tag>
}

/** One of the reasons for an error, with its own message. */
export interface Reason {
  readonly message: string
  readonly isRetryable: boolean
}

/** A tagged error that stands for one of several reasons, and has the message of its reason. */
export const ReasonError = <Tag extends string>(tag: Tag) => {
  class WithReason extends TaggedError(tag)<{ readonly reason: Reason }> {
    override get message(): string {
      return this.reason.message
    }
    get isRetryable(): boolean {
      return this.reason.isRetryable
    }
  }
  // The class accepts the reasons of any subclass.
  return WithReason as unknown as new<R extends Reason>(props: { readonly reason: R }) =>
    & YieldableError
    & { readonly _tag: Tag; readonly reason: R; readonly isRetryable: boolean }
}
