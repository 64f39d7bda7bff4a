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
 * An error keeps the raw text of a peer or a driver in its fields, because a program may need it. `JSON.stringify`, `console.log`
 * and loggers print those fields, so they are masked, escaped and bounded here. A subclass does the same for its message.
 */
export const TaggedError = <Tag extends string>(tag: Tag): TaggedErrorClass<Tag> => {
  class SafeError extends Data.TaggedError(tag)<{}> {
    override toJSON(): object {
      return { _tag: tag, message: this.message, ...presentFields(this) }
    }
    /** What Node prints: the same error with safe fields. */
    override [NodeInspectSymbol](): unknown {
      const shown = Object.assign(new Error(), this.toJSON())
      shown.name = tag
      shown.stack = `${tag}: ${this.message}${framesOf(this.stack)}`
      return shown
    }
  }
  // The class takes the fields of any subclass, as the one of `Data` does, whose type is generic in them.
  return SafeError as unknown as TaggedErrorClass<Tag>
}

/** A case of an error, with its own message. */
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
  // The class takes the reasons of any subclass.
  return WithReason as unknown as new<R extends Reason>(props: { readonly reason: R }) =>
    & YieldableError
    & { readonly _tag: Tag; readonly reason: R; readonly isRetryable: boolean }
}
