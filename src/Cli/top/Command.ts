/**
 * `sluice top`: the pools of a running program, live.
 *
 * @since 0.1.0
 */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import { monotonicMillis } from "../../internal/MonotonicTime.ts"
import { oneLine, write } from "../Output.ts"
import * as Client from "../pools/Client.ts"
import { target, token, tokenOf } from "../pools/Command.ts"
import { textOf } from "../pools/Line.ts"
import { summaryOf } from "../pools/View.ts"
import { isTerminal } from "../Terminal.ts"
import { interval, whole } from "../watch/Command.ts"
import * as Screen from "./Screen.ts"
import * as Status from "./Status.ts"

const config = {
  target,
  interval,
  count: whole("count", 1_000_000_000).pipe(
    Flag.withMetavar("n"),
    Flag.withDescription("End after so many looks (default: never)"),
    Flag.optional
  ),
  token
}

interface Input {
  readonly target: URL
  readonly interval: number
  readonly count: Option.Option<number>
  readonly token: Option.Option<Redacted.Redacted>
}

/** Shows a status. The result says whether to go on. */
type Show = (status: Status.Status) => Effect.Effect<boolean>

/** From so many milliseconds without an answer on, the view says so. */
const patience = 1500

/** Asks the program again and again. It goes on while the program is away. */
const poll = (
  program: Client.Program,
  interval: number,
  count: number,
  show: Show
): Effect.Effect<void, never, HttpClient.HttpClient> =>
  Effect.gen(function*() {
    const clock = yield* Clock.Clock
    let status = Status.initial(program.target.href)
    for (let looks = 1;; looks++) {
      const begun = monotonicMillis(clock)
      const overdue = Effect.andThen(
        Effect.sleep(patience),
        Effect.suspend(() => show(Status.overdue(status, begun)))
      )
      const taken = yield* Effect.raceFirst(Effect.result(Client.takeSnapshot(program)), Effect.forever(overdue))
      status = Status.next(status, taken, monotonicMillis(clock))
      if (!(yield* show(status)) || looks >= count) return
      yield* Effect.sleep(Math.max(0, interval - (monotonicMillis(clock) - begun)))
    }
  })

/** One line for each look, where the output is no terminal. */
const asLines: Show = (status) =>
  Effect.gen(function*() {
    const clock = yield* Clock.Clock
    const away = Status.troubleLine(status, monotonicMillis(clock))
    const at = DateTime.formatIso(yield* DateTime.now)
    const text = away !== undefined
      ? textOf(away)
      : status.snapshot === undefined
      ? ""
      : summaryOf(status.snapshot)
    yield* write(process.stdout, `${oneLine(`${at} ${text}`)}\n`)
    return yield* Screen.isRead
  })

const inPlace = (program: Client.Program, interval: number, count: number) =>
  Effect.scoped(Effect.gen(function*() {
    const screen = yield* Screen.make
    yield* screen.show(Status.initial(program.target.href))
    const show: Show = (status) => Effect.andThen(screen.show(status), Screen.isRead)
    yield* Effect.raceFirst(poll(program, interval, count, show), screen.quit)
  }))

const run = (input: Input) =>
  Effect.gen(function*() {
    const program: Client.Program = { command: "top", target: input.target, token: yield* tokenOf(input.token) }
    const count = Option.getOrElse(input.count, () => Infinity)
    yield* (yield* isTerminal(process.stdout))
      ? inPlace(program, input.interval, count)
      : poll(program, input.interval, count, asLines)
  })

/**
 * The command. On a terminal it shows what the status page of a program shows, redrawn at an interval, until `q` or Ctrl-C; elsewhere it
 * prints a line for each look. While the program is away, a line says so, and the command tries again. The exit status is 0 after `q`
 * or the last look, 2 after an invalid call, 130 after SIGINT and Ctrl-C, and 143 after SIGTERM.
 *
 * @category commands
 * @since 0.1.0
 */
export const top = Command.make("top", config, (input) => Effect.provide(run(input), Client.layer)).pipe(
  Command.withDescription("Show the pools of a running program, live"),
  Command.withExamples([
    { command: "sluice top localhost:9464", description: "What is down, who holds what, and since when?" },
    { command: "sluice top https://ops.example.com/orders/ --interval 5s", description: "Behind a proxy, more rarely" }
  ])
)
