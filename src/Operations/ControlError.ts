/**
 * Why something that an operator asked for was not done.
 *
 * @since 0.1.0
 */
import { safeMessage, safeText } from "../internal/SafeText.ts"
import { TaggedError } from "../internal/TaggedError.ts"

/** The most names that a message lists. */
const mostListed = 10

const listOf = (names: ReadonlyArray<string>): string =>
  `${names.slice(0, mostListed).map((name) => safeText(name, 100)).join(", ")}${
    names.length > mostListed ? ` and ${names.length - mostListed} more` : ""
  }`

/** The end of a message that says that there is no pool of some name: the names of the pools that are there. */
export const existingPools = (names: ReadonlyArray<string>): string =>
  names.length === 0 ? "; there is no pool at all" : `; the pools are ${listOf(names)}`

/**
 * There is no pool, endpoint or lease with this name.
 *
 * @category errors
 * @since 0.1.0
 * @stability experimental
 */
export class ControlError extends TaggedError("ControlError")<{
  readonly what: "pool" | "endpoint" | "lease"
  readonly name: string
  /** The names of the pools that are there, if it is a pool that is not. */
  readonly pools?: ReadonlyArray<string>
}> {
  override get message(): string {
    return safeMessage(
      `there is no ${this.what} ${this.name}${this.pools === undefined ? "" : existingPools(this.pools)}`
    )
  }
}
