/**
 * Whether the exit of a borrow leaves its connection reusable.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"

/**
 * Whether an exit is a success or a typed failure. After an interruption or a defect an answer may still arrive, and the next
 * borrower would read it as its own.
 */
export const isCleanExit = (exit: Exit.Exit<unknown, unknown>): boolean =>
  Exit.isSuccess(exit) || !(Cause.hasInterrupts(exit.cause) || Cause.hasDies(exit.cause))

/** The default of a connector's `isReusable`. */
export const defaultIsReusable = (_: unknown, exit?: Exit.Exit<unknown, unknown>): boolean =>
  exit === undefined || isCleanExit(exit)

/** Whether a borrow has failed by itself. One that was only interrupted has not. */
export const hasFailed = (exit: Exit.Exit<unknown, unknown>): boolean =>
  Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)
