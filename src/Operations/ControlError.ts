/**
 * Why something that an operator asked for was not done.
 *
 * @since 0.1.0
 */
import { safeMessage } from "../internal/SafeText.ts"
import { TaggedError } from "../internal/TaggedError.ts"

/**
 * There is no pool, endpoint or lease with this name.
 *
 * @category errors
 * @since 0.1.0
 */
export class ControlError extends TaggedError("ControlError")<{
  readonly what: "pool" | "endpoint" | "lease"
  readonly name: string
}> {
  override get message(): string {
    return safeMessage(`there is no ${this.what} ${this.name}`)
  }
}
