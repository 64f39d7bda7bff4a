/**
 * Runs a command as the program of its process. A signal interrupts it, and an error is one line on standard error, never a stack
 * trace.
 *
 * @since 0.1.0
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Cause from "effect/Cause"
import * as CliError from "effect/cli/CliError"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import { version } from "../internal/version.ts"
import { recordSignals, teardown } from "./ExitStatus.ts"
import { oneLine, reportFailures, write } from "./Output.ts"

const complain = (text: string): Effect.Effect<void> => write(process.stderr, `${oneLine(text)}\n`)

/** Help as usual, but one line instead of a page after an invalid call. */
const presenter: CliOutput.Presenter = {
  present: (event) => {
    if (event._tag !== "InvalidInvocation") return CliOutput.defaultPresenter.present(event)
    const path = event.commandPath.join(" ")
    const reasons = event.errors.map((error) => error.message).join("; ")
    return complain(`${path}: ${reasons} (see ${path} --help)`)
  }
}

const messageOf = (error: unknown): string => error instanceof Error ? error.message : String(error)

/** Prints why the program failed, unless that is already printed or it was interrupted. */
const explain = (cause: Cause.Cause<unknown>): Effect.Effect<void> => {
  if (Cause.hasInterruptsOnly(cause)) return Effect.void
  const error = Cause.squash(cause)
  return CliError.isCliError(error) && error._tag === "ShowHelp" ? Effect.void : complain(messageOf(error))
}

/**
 * Runs a command with the arguments of the process. A signal interrupts it, and it closes what it opened.
 *
 * @see {@link teardown} for the exit status
 */
export const run = <Name extends string, Input, Context, E>(
  command: Command.Command<Name, Input, Context, E, NodeServices.NodeServices>
): void => {
  reportFailures()
  recordSignals()
  Command.run(command, { version }).pipe(
    Effect.tapCause(explain),
    Effect.provideService(CliOutput.Presenter, presenter),
    Effect.provide(NodeServices.layer),
    NodeRuntime.runMain({ disableErrorReporting: true, teardown })
  )
}
