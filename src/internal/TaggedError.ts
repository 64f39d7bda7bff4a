/**
 * The base of this library's errors: Effect's tagged error whose JSON and inspection are safe to print.
 *
 * @since 0.1.0
 */
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
