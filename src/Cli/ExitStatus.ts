/**
 * The exit status of a command: 0 after success, 1 after a failure or what the error sets, 2 after an invalid call, 130 after
 * SIGINT and 143 after SIGTERM.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as CliError from "effect/cli/CliError"
import * as Exit from "effect/Exit"
import * as Runtime from "effect/Runtime"

let first: NodeJS.Signals | undefined

const note = (signal: NodeJS.Signals): void => {
  first ??= signal
}

/** Records the first signal from now on. Effect's runner interrupts the program on SIGINT and SIGTERM, but does not say which. */
export const recordSignals = (): void => {
  process.once("SIGINT", note)
  process.once("SIGTERM", note)
}

/** The first signal that was recorded. */
export const firstSignal = (): NodeJS.Signals | undefined => first

const isInvalidCall = (exit: Exit.Exit<unknown, unknown>): boolean => {
  const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
  return CliError.isCliError(error) && error._tag === "ShowHelp" && error.errors.length > 0
}

/** Ends the process with the exit status of the command. */
export const teardown: Runtime.Teardown = (exit, onExit) =>
  Runtime.defaultTeardown(
    exit,
    (code) => onExit(code === 130 && first === "SIGTERM" ? 143 : isInvalidCall(exit) ? 2 : code)
  )
