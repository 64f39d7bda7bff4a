/**
 * The progress of a run: a display that is redrawn in place on a terminal, a line per second elsewhere.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { write } from "../../src/Cli/Output.ts"
import * as Terminal from "../../src/Cli/Terminal.ts"
import { time } from "./Report.ts"
import * as Tally from "./Tally.ts"

/** The state of a run at one time. */
export interface Moment {
  readonly tally: Tally.Tally
  readonly elapsed: number
  readonly descriptors: number | undefined
}

const health = (target: Tally.Target): string =>
  target.failedDials > 0 ? "refuses" : target.open > 0 ? "up" : target.succeeded > 0 ? "idle" : "unknown"

const targetLine = (target: Tally.Target, width: number): string =>
  `${target.label.padEnd(width)}  ${health(target).padEnd(8)}${String(target.succeeded).padStart(5)} ok ` +
  `${String(target.failed).padStart(5)} failed ${String(target.open).padStart(4)} open`

/** The lines of the display, without colours. */
export const lines = ({ descriptors, elapsed, tally }: Moment): ReadonlyArray<string> => {
  const finished = Tally.finished(tally)
  const share = tally.planned === 0 ? 1 : finished / tally.planned
  const width = Math.max(...tally.targets.map((target) => target.label.length))
  return [
    `${finished}/${tally.planned}  ${time(elapsed)}  [${Terminal.bar(share)}]`,
    `requests     ${Tally.succeeded(tally)} ok, ${Tally.failed(tally)} failed, ` +
    `${tally.started - finished} under way, ${Tally.retries(tally)} retries`,
    `connections  ${Tally.open(tally)} open, ${tally.busy} busy, ${tally.opened} opened so far`,
    `descriptors  ${descriptors ?? "unknown"} now, ${tally.peakDescriptors} at peak`,
    ...tally.targets.map((target) => targetLine(target, width))
  ]
}

/** The same state in one line. */
export const line = ({ descriptors, elapsed, tally }: Moment): string =>
  `${time(elapsed)}: ${Tally.finished(tally)}/${tally.planned} requests, ${Tally.failed(tally)} failed, ` +
  `${Tally.retries(tally)} retries, ${Tally.open(tally)} connections open of ${tally.opened} opened, ` +
  `${descriptors ?? "unknown"} descriptors`

const colours: Readonly<Record<string, string>> = { refuses: "\u001b[31m", up: "\u001b[32m", idle: "\u001b[2m" }

const coloured = (text: string): string =>
  text.replace(/ {2}(refuses|up|idle) /, (all, word: string) => `${colours[word] ?? ""}${all}\u001b[0m`)

/**
 * Prints `moment` on standard error until the scope closes: five times a second in place on a terminal, and a line per
 * second otherwise.
 */
export const show = (moment: Effect.Effect<Moment>): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function*() {
    const stream = process.stderr
    if (yield* Terminal.isTerminal(stream)) {
      const redraw = Terminal.drawing(stream, coloured)
      const draw = Effect.flatMap(moment, (moment) => redraw(lines(moment)))
      yield* Effect.forkScoped(Effect.repeat(draw, Schedule.spaced("200 millis")))
      // The last frame stands above the report.
      yield* Effect.addFinalizer(() => draw)
    } else {
      const print = Effect.flatMap(moment, (moment) => write(stream, `${line(moment)}\n`))
      yield* Effect.forkScoped(Effect.delay(Effect.repeat(print, Schedule.fixed("1 second")), "1 second"))
    }
  })
