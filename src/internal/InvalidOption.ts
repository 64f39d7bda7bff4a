/**
 * The one error for options that make no sense, shared by every module that takes options.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"

/**
 * An option was refused at construction, before anything was opened.
 *
 * **Details**
 *
 * The message names the module, the option, the value and the rule, so that the line in a start-up log is enough to mend it.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidOption extends Data.TaggedError("InvalidOption")<{
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
    return `${this.module}: option ${this.option} is ${format(this.value)}, but it must ${this.rule}`
  }
}

const format = (value: unknown): string =>
  typeof value === "string" ? JSON.stringify(value) : typeof value === "bigint" ? `${value}n` : String(value)
