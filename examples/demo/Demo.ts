/**
 * The command of the demo: its flags, its report and its exit status.
 */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Runtime from "effect/Runtime"
import * as Os from "node:os"
import * as CommandLine from "../../src/Cli/CommandLine.ts"
import { flag } from "../../src/Cli/Flags.ts"
import { printJson, write } from "../../src/Cli/Output.ts"
import * as Contenders from "./Contenders.ts"
import * as Display from "./Display.ts"
import * as Plan from "./Plan.ts"
import * as Postgres from "./Postgres.ts"
import type { Recording } from "./Recording.ts"
import * as Page from "./report/Page.ts"
import * as ReportFile from "./ReportFile.ts"
import * as Run from "./Run.ts"
import * as Series from "./Series.ts"
import * as Summary from "./Summary.ts"
import * as TextReport from "./TextReport.ts"

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

const flags = {
  quick: flag("quick", "A run of 7 seconds instead of 20"),
  rate: Flag.Int("rate").pipe(
    Flag.filter((n) => n >= 10 && n <= 1000, () => "a whole number from 10 to 1000"),
    Flag.withDefault(60),
    Flag.withDescription("Requests per second to each contender (default 60)")
  ),
  seed: Flag.Int("seed").pipe(
    Flag.withDefault(1),
    Flag.withDescription("When requests come; the same seed makes the same times (default 1)")
  ),
  postgres: Flag.String("postgres").pipe(
    Flag.withMetavar("URL"),
    Flag.withDescription("Before this database instead of the demo's own server, beside pg.Pool and @effect/sql-pg"),
    Flag.optional
  ),
  report: Flag.String("report").pipe(
    Flag.withMetavar("FILE"),
    Flag.filter((path) => path !== "", () => "a path"),
    Flag.withDescription("Write the report with its plots to this file, as one HTML page"),
    Flag.optional
  ),
  json: flag("json", "Print the report as one JSON object; progress goes to standard error either way")
}

/** What will happen, before it does. */
const announcement = (plan: Plan.Plan, { entrants }: Contenders.Field): string =>
  `${entrants.length} HTTP APIs get ${plan.rate} requests a second each, and the server behind each of them fails ` +
  `${plan.faults.length} times: ${plan.faults.map(({ kind }) => kind).join(", ")}. ` +
  `The same load, the same faults and the same timeouts for ${entrants.map(({ name }) => name).join("; ")}. ` +
  `This takes about ${Plan.wholeSeconds(plan)} seconds.\n`

const environment = (): string =>
  `${Os.availableParallelism()} CPUs (${
    Os.cpus()[0]?.model.trim() ?? "unknown"
  }), ${Os.type()}, Node.js ${process.versions.node}`

const page = (summary: Summary.Summary, recording: Recording): string =>
  Page.make({
    summary,
    series: recording.tracks.map((track) => Series.make(track, summary.plan)),
    at: new Date(),
    environment: environment()
  })

/** The database of the user, if it can be used. */
const upstreamOf = (url: Option.Option<string>): Effect.Effect<Run.Upstream | undefined, Postgres.PostgresUnusable> =>
  Option.isNone(url) ? Effect.undefined : Postgres.parse(url.value).pipe(
    Effect.tap((upstream) => Postgres.check(upstream, Contenders.roomFor(Contenders.postgres)))
  )

const recorded = (plan: Plan.Plan, { entrants, limits }: Contenders.Field, upstream: Run.Upstream | undefined) =>
  Effect.gen(function*() {
    const running = yield* Run.start({ plan, limits, upstream, contenders: entrants.map(({ id }) => id) })
    const { elapsed, ended, recording } = running
    yield* Display.show(Effect.sync(() => ({
      plan,
      recording,
      names: entrants.map(({ name }) => name),
      elapsed: Math.min(plan.duration, elapsed())
    })))
    yield* ended
    return recording
  }).pipe(Effect.scoped)

/**
 * The command. It starts the contenders, the servers and the load, each as a process of its own, and prints a report. The exit status is
 * 0 if ours kept every promise, 1 if not, 130 after SIGINT and 143 after SIGTERM. All processes are ended first in each case.
 */
const demo = Command.make(
  "npm run demo --",
  flags,
  ({ json, postgres, quick, rate, report, seed }) =>
    Effect.gen(function*() {
      const plan = Plan.make({ quick, rate, seed })
      const field = Option.isNone(postgres) ? Contenders.embedded : Contenders.postgres
      if (Option.isSome(report)) yield* ReportFile.check(report.value)
      const upstream = yield* upstreamOf(postgres)
      yield* write(process.stderr, announcement(plan, field))
      const recording = yield* recorded(plan, field, upstream)
      const named = field.entrants.map(({ name, options }) => ({ name, options }))
      const summary = Summary.make(plan, named, recording, field.limits.connections)
      // The result is printed although the file could not be written, and written although it could not be printed.
      const written = yield* Effect.exit(
        Option.isSome(report) ? ReportFile.write(report.value, page(summary, recording)) : Effect.void
      )
      yield* json ? printJson(summary) : write(process.stdout, TextReport.text(summary))
      yield* written
      if (!summary.ok) return yield* new DemoFailed({ broken: summary.broken })
    })
).pipe(
  Command.withDescription("Load HTTP APIs whose server fails on a schedule, and compare their pools")
)

/** Runs the demo with the arguments of the process. */
export const run = (): void => CommandLine.run(demo)
