/**
 * `sluice watch`: the open descriptors of another process, its share of each limit, and the time until it reaches one.
 *
 * @since 0.1.0
 */
import type * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { isAtLeast } from "../../Monitor/Usage.ts"
import { flag } from "../Flags.ts"
import { printJson } from "../Output.ts"
import * as Display from "./Display.ts"
import * as Limits from "./Limits.ts"
import type { Ending } from "./Loop.ts"
import * as Loop from "./Loop.ts"
import { nameOf } from "./Target.ts"
import * as TextView from "./TextView.ts"
import * as WatchError from "./WatchError.ts"

const mostPids = 2 ** 22

const mostOf = 1_000_000_000

/** A flag with a whole number from 1 to `most`. */
export const whole = (name: string, most: number): Flag.Flag<number> =>
  Flag.Int(name).pipe(Flag.filter((n) => n >= 1 && n <= most, () => `a whole number from 1 to ${most}`))

const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000 }

const shortestInterval = 100
const longestInterval = 3_600_000

const intervalRule = "a time from 100ms to 60m, such as 500ms, 2s or 1m; without a unit it is in seconds"

/** The milliseconds of an interval as text; `undefined` for any other text. */
export const parseInterval = (text: string): number | undefined => {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)(ms|s|m)?$/.exec(text) ?? []
  const millis = Number(digits) * (units[unit ?? "s"] ?? Number.NaN)
  return millis >= shortestInterval && millis <= longestInterval ? millis : undefined
}

/** The flag for the time from one look to the next, in milliseconds. */
export const interval = Flag.String("interval").pipe(
  Flag.filterMap((text) => Option.fromUndefinedOr(parseInterval(text)), () => intervalRule),
  Flag.withDefault(1000),
  Flag.withMetavar("time"),
  Flag.withDescription("The time from one look to the next (default 1s)")
)

const config = {
  pid: whole("pid", mostPids).pipe(Flag.withMetavar("n"), Flag.withDescription("The process to watch")),
  interval,
  count: whole("count", mostOf).pipe(
    Flag.withMetavar("n"),
    Flag.withDescription("End after so many looks (default: when the process ends)"),
    Flag.optional
  ),
  once: flag("once", "Take one look and print all of it"),
  json: flag("json", "Print one JSON object for each look"),
  peers: whole("peers", mostOf).pipe(
    Flag.withDefault(5),
    Flag.withMetavar("n"),
    Flag.withDescription("How many peers to show, those with most connections first (default 5)")
  ),
  ...Limits.flags
}

interface Input extends Limits.Given {
  readonly pid: number
  readonly interval: number
  readonly count: Option.Option<number>
  readonly once: boolean
  readonly json: boolean
  readonly peers: number
}

const settingsOf = (input: Input): Effect.Effect<Loop.Settings, CliError.ShowHelp> =>
  Effect.gen(function*() {
    const { count, interval, once, pid } = input
    if (once && Option.isSome(count)) return yield* Limits.refuse("--once cannot be used together with --count")
    return {
      pid,
      interval: Duration.millis(interval),
      count: once ? 1 : Option.getOrElse(count, () => Infinity),
      limits: yield* Limits.limitsOf(input)
    }
  })

/** Fails if the process is at `Critical` or worse when the watch ends, for any reason. */
const settle = ({ last }: Ending): Effect.Effect<void, WatchError.EndedInDanger> =>
  isAtLeast(last.level, "Critical")
    ? Effect.fail(
      new WatchError.EndedInDanger({
        process: nameOf(last.look.stat),
        level: last.level,
        figures: TextView.worst(last)
      })
    )
    : Effect.void

const observe = (
  settings: Loop.Settings,
  input: Input
): Effect.Effect<void, WatchError.WatchFailed | WatchError.EndedInDanger> =>
  Effect.gen(function*() {
    const display = yield* Display.make({ json: input.json, once: settings.count === 1, mostPeers: input.peers })
    const ending = yield* Loop.run(settings, display.show)
    yield* display.end(ending)
    yield* settle(ending)
  }).pipe(
    Effect.tapErrorTag("WatchFailed", ({ reason }) =>
      input.json
        ? printJson({ type: "error", pid: settings.pid, reason: reason._tag, error: reason.message })
        : Effect.void)
  )

/**
 * The command. It shows what the process with a pid has open until the process ends: redrawn in place on a terminal, one
 * line for each look elsewhere. The exit status is 0 if the process is below `Critical` at the end, 3 if it is not, 1 if it
 * cannot be watched, 130 after SIGINT and 143 after SIGTERM.
 *
 * @category commands
 * @since 0.1.0
 */
export const watch = Command.make(
  "watch",
  config,
  (input) => Effect.flatMap(settingsOf(input), (settings) => observe(settings, input))
).pipe(
  Command.withDescription("Watch what another process has open, and how near it is to its limits"),
  Command.withExamples([
    { command: "sluice watch --pid 4242", description: "What does it have open, and does that grow?" },
    { command: "sluice watch --pid 4242 --once", description: "Health check: exit status 3 at Critical or worse" },
    {
      command: "sluice watch --pid 4242 --json --interval 10s --max-descriptors 1000",
      description: "One line of JSON every ten seconds, against a limit that you set"
    }
  ])
)
