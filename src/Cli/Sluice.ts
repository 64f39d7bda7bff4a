/**
 * The `sluice` command and its subcommands.
 *
 * Exit status: 0 when all is well, 1 when a command failed, 2 when it was called wrongly, 3 when a watched process is at
 * `Critical` or worse at the end, 130 after SIGINT, 143 after SIGTERM. What went wrong is one line on standard error, never a stack trace.
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
import * as Exit from "effect/Exit"
import * as Runtime from "effect/Runtime"
import { version } from "../internal/version.ts"
import { demo } from "./Demo.ts"
import { reportFailures, write } from "./Output.ts"
import { probe } from "./Probe.ts"
import { oneLine } from "./ProbeText.ts"
import * as Signal from "./Signal.ts"
import { watch } from "./Watch.ts"

const sluice = Command.make("sluice").pipe(
  Command.withDescription("Connections that open, close, on every exit path"),
  Command.withSubcommands([probe, demo, watch])
)

const complain = (text: string): Effect.Effect<void> => write(process.stderr, `${oneLine(text)}\n`)

/** Help as usual, but a wrong call gets one line instead of a page. */
const presenter: CliOutput.Presenter = {
  present: (event) => {
    if (event._tag !== "InvalidInvocation") return CliOutput.defaultPresenter.present(event)
    const path = event.commandPath.join(" ")
    const reasons = event.errors.map((error) => error.message).join("; ")
    return complain(`${path}: ${reasons} (see ${path} --help)`)
  }
}

const messageOf = (error: unknown): string => error instanceof Error ? error.message : String(error)

/** Says why the program failed, unless that has been said or it was interrupted. */
const explain = (cause: Cause.Cause<unknown>): Effect.Effect<void> => {
  if (Cause.hasInterruptsOnly(cause)) return Effect.void
  const error = Cause.squash(cause)
  return CliError.isCliError(error) && error._tag === "ShowHelp" ? Effect.void : complain(messageOf(error))
}

const isWrongCall = (exit: Exit.Exit<unknown, unknown>): boolean => {
  const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
  return CliError.isCliError(error) && error._tag === "ShowHelp" && error.errors.length > 0
}

reportFailures()

const teardown: Runtime.Teardown = (exit, onExit) =>
  Runtime.defaultTeardown(
    exit,
    (code) => onExit(code === 130 && Signal.firstSignal() === "SIGTERM" ? 143 : isWrongCall(exit) ? 2 : code)
  )

/** Runs the command that the process was called with. From here on a signal interrupts it, and it closes what it opened. */
export const run = (): void => {
  Signal.listen()
  Command.run(sluice, { version }).pipe(
    Effect.tapCause(explain),
    Effect.provideService(CliOutput.Presenter, presenter),
    Effect.provide(NodeServices.layer),
    NodeRuntime.runMain({ disableErrorReporting: true, teardown })
  )
}
