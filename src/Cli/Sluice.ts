/**
 * The `sluice` command and its subcommands.
 *
 * Exit status: 0 after success, 1 after a failure, 2 after an invalid call, 3 when a watched process is at `Critical` or worse at
 * the end, 130 after SIGINT, 143 after SIGTERM.
 *
 * @since 0.1.0
 */
import * as Command from "effect/cli/Command"
import * as CommandLine from "./CommandLine.ts"
import { fleet } from "./fleet/Command.ts"
import { pools } from "./pools/Command.ts"
import { probe } from "./probe/Command.ts"
import { top } from "./top/Command.ts"
import { watch } from "./watch/Command.ts"

/**
 * The command with all its subcommands. Its type has names of Effect that a declaration cannot write.
 *
 * @internal
 */
export const sluice = Command.make("sluice").pipe(
  Command.withDescription("Connections that open, close, on every exit path"),
  Command.withSubcommands([probe, watch, pools, top, fleet])
)

/** Runs the command with the arguments of the process. */
export const run = (): void => CommandLine.run(sluice)
