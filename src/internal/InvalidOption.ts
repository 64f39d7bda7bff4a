/**
 * The error for invalid options, shared by every module that takes options.
 *
 * @since 0.1.0
 */
import { presentValue, safeMessage } from "./SafeText.ts"
import { TaggedError } from "./TaggedError.ts"

/**
 * An option is invalid. It is checked when the value that it belongs to is made, before anything is opened.
 *
 * **Details**
 *
 * The message has the module, the option, the value and the rule, so that one line in a log is enough to correct it.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class InvalidOption extends TaggedError("InvalidOption")<{
  /** The module whose options were refused, such as `ConnectionPool`. */
  readonly module: string
  /** The option's name, such as `maxTotal`. */
  readonly option: string
  /** The value as it was given. */
  readonly value: unknown
  /** The rule that the value breaks, as the rest of the sentence "it must ...". */
  readonly rule: string
}> {
  override get message(): string {
    return safeMessage(
      `${this.module}: option ${this.option} is ${shown(this)}, but it must ${this.rule}`
    )
  }
  override toJSON(): unknown {
    return Object.assign({}, super.toJSON(), { value: presentValue(this.option, this.value) })
  }
}

/** The value of an option whose name says that it is a secret is not shown. */
const shown = ({ option, value }: InvalidOption): string => {
  const presented = presentValue(option, value)
  return typeof value === "string" ? JSON.stringify(presented) : String(presented)
}
