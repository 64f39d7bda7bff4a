/**
 * The command of the demo: its flags, its report and its exit status.
 */
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as CommandLine from "../../src/Cli/CommandLine.ts"
import { endpointRule, flag, parseEndpoint } from "../../src/Cli/Flags.ts"
import { printJson, write } from "../../src/Cli/Output.ts"
import * as Report from "./Report.ts"
import * as Run from "./Run.ts"

/**
 * The run broke a promise. The report, which is printed before this failure, lists the broken ones.
 */
export class DemoFailed extends Data.TaggedError("DemoFailed")<{ readonly broken: ReadonlyArray<string> }> {
  override readonly [Runtime.errorExitCode] = 1
  override readonly [Runtime.errorReported] = false
  override get message(): string {
    return `sluice demo: ${this.broken.join("; ")}`
  }
}

const endpoint = Flag.String("endpoint").pipe(
  Flag.withMetavar("host:port"),
  Flag.withDescription("Run the load against your own JSON-RPC server (method ping) instead"),
  Flag.mapTryCatch(parseEndpoint, endpointRule),
  Flag.optional
)

const positive = (name: string, byDefault: number, most: number, description: string): Flag.Flag<number> =>
  Flag.Int(name).pipe(
    Flag.filter((n) => n >= 1 && n <= most, () => `a whole number from 1 to ${most}`),
    Flag.withDefault(byDefault),
    Flag.withDescription(`${description} (default ${byDefault})`)
  )

const flags = {
  naive: flag("naive", "Dial for each operation, as if there were no pool, for comparison"),
  endpoint,
  requests: positive("requests", 2000, 1_000_000, "How many requests to make"),
  fibers: positive("fibers", 200, 100_000, "How many fibers make them"),
  seed: Flag.Int("seed").pipe(
    Flag.withDefault(1),
    Flag.withDescription("Which requests go where; the same seed makes the same requests (default 1)")
  ),
  json: flag("json", "Print the report as one JSON object; progress goes to standard error either way")
}

const print = (report: Report.Report, json: boolean): Effect.Effect<void> =>
  json ? printJson(report) : write(process.stdout, Report.text(report))

/**
 * The naive mode makes no promise, so a run always succeeds.
 */
const settle = ({ interrupted, report }: Run.Outcome): Effect.Effect<void, DemoFailed> =>
  interrupted
    ? Effect.interrupt
    : report.ok || report.mode === "naive"
    ? Effect.void
    : Effect.fail(new DemoFailed({ broken: report.broken }))

/**
 * The command. It starts a server process that misbehaves on schedule, makes requests from many fibers through one pool,
 * and prints a report. The exit status is 0 if every promise was kept, 1 if not, 130 after SIGINT and 143 after SIGTERM.
 * Everything is closed first in each case.
 */
const demo = Command.make("npm run demo --", flags, ({ endpoint, fibers, json, naive, requests, seed }) =>
  // An interrupted run prints its report too, before the interruption goes on.
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const outcome = yield* Run.run(
        { mode: naive ? "naive" : "pooled", requests, fibers, seed, endpoint: Option.getOrUndefined(endpoint) },
        restore
      )
      yield* print(outcome.report, json)
      yield* settle(outcome)
    }).pipe(Effect.scoped)
  ).pipe(Effect.provide(ResourceMonitor.layer))).pipe(
    Command.withDescription("Run a load against servers that misbehave, and report what was opened, closed and kept")
  )

/** Runs the demo with the arguments of the process. */
export const run = (): void => CommandLine.run(demo)
