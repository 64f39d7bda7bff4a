/**
 * What the end of a borrow says of its connection.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"

/**
 * Whether a borrower came to an end of its own: with a success, or with a failure that it knows of. One that was interrupted or
 * died may have asked for something that is still to come, and the next one would take it for its own.
 */
export const isCleanExit = (exit: Exit.Exit<unknown, unknown>): boolean =>
  Exit.isSuccess(exit) || !(Cause.hasInterrupts(exit.cause) || Cause.hasDies(exit.cause))

/** The same for a connection, in the place of a connector's `isReusable`. */
export const defaultIsReusable = (_: unknown, exit?: Exit.Exit<unknown, unknown>): boolean =>
  exit === undefined || isCleanExit(exit)
