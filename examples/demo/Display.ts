/**
 * The progress of a run: a display that is redrawn in place on a terminal, a line per second elsewhere.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { write } from "../../src/Cli/Output.ts"
import * as Terminal from "../../src/Cli/Terminal.ts"
import { explanations, faultAt, type Plan } from "./Plan.ts"
import type { Recording, Track } from "./Recording.ts"
import { time } from "./Rows.ts"
import { isAnswered } from "./Series.ts"
import { percentile } from "./Statistics.ts"

/** A run at one time. */
export interface Moment {
  readonly plan: Plan
  readonly names: ReadonlyArray<string>
  readonly recording: Recording
  readonly elapsed: number
}

const seconds = (millis: number): string => `${Math.max(0, millis / 1000).toFixed(1)} s`

const header = ({ elapsed, plan }: Moment): string =>
  elapsed < 0
    ? "warming up"
    : `${seconds(elapsed)} of ${seconds(plan.duration)}  [${Terminal.bar(elapsed / plan.duration)}]`

const faultLine = ({ elapsed, plan }: Moment): string => {
  const fault = faultAt(plan, elapsed)
  return fault === undefined ? "the server works" : `the server is ${fault.kind}: ${explanations[fault.kind]}`
}

/** The state of one contender in the last second. */
const stateOf = (track: Track, elapsed: number) => {
  const ended = track.requests.filter(({ due, latency }) => due + latency > elapsed - 1000)
  const answered = ended.filter(isAnswered)
  return {
    answered: answered.length,
    failed: ended.length - answered.length,
    p99: percentile(answered.map(({ latency }) => latency), 0.99),
    open: track.connections.at(-1)?.open ?? 0,
    accepted: track.connections.at(-1)?.accepted ?? 0,
    descriptors: track.process.at(-1)?.descriptors ?? null
  }
}

const levels = "▁▂▃▄▅▆▇█"

/** The share of answered requests for each half second so far, as bars; `·` where nothing was due. */
export const sparkline = (track: Track, elapsed: number): string => {
  const slices = Array.from({ length: Math.max(0, Math.floor(elapsed / 500)) }, () => ({ all: 0, answered: 0 }))
  for (const request of track.requests) {
    const slice = slices[Math.floor(request.due / 500)]
    if (slice === undefined) continue
    slice.all++
    if (isAnswered(request)) slice.answered++
  }
  return slices.map(({ all, answered }) => all === 0 ? "·" : levels[Math.floor(7 * answered / all)]).join("")
}

const columns = [["answered/s", 10], ["failed/s", 8], ["p99", 7], ["at server", 9], ["dials", 6], ["fds", 5]] as const

/** The lines of the display, without colours. */
export const lines = (moment: Moment): ReadonlyArray<string> => {
  const { elapsed, names, recording } = moment
  const width = Math.max(...names.map(({ length }) => length))
  const nameOf = (index: number) => (names[index] ?? "").padEnd(width)
  const row = (name: string, cells: ReadonlyArray<string>) =>
    [name, ...cells.map((cell, index) => cell.padStart(columns[index]?.[1] ?? 0))].join(" ")
  return [
    header(moment),
    faultLine(moment),
    row("".padEnd(width), columns.map(([title]) => title)),
    ...recording.tracks.map((track, index) => {
      const { accepted, answered, descriptors, failed, open, p99 } = stateOf(track, elapsed)
      const cells = [answered, failed, p99 === undefined ? "-" : time(p99), open, accepted, descriptors ?? "?"].map(
        String
      )
      return row(nameOf(index), cells)
    }),
    "the share that was answered, by half seconds",
    ...recording.tracks.map((track, index) => `${nameOf(index)} ${sparkline(track, elapsed)}`.trimEnd())
  ]
}

/** The same state in one line. */
export const line = (moment: Moment): string => {
  const { elapsed, names, plan, recording } = moment
  const states = recording.tracks.map((track, index) => {
    const { answered, failed, open } = stateOf(track, elapsed)
    return `${names[index]} ${answered} answered, ${failed} failed, ${open} connections`
  })
  return `${elapsed < 0 ? "warming up" : seconds(elapsed)} (${faultAt(plan, elapsed)?.kind ?? "ok"}): ${
    states.join("; ")
  }`
}

const coloured = (text: string): string =>
  text.startsWith("the server is")
    ? `\u001b[31m${text}\u001b[0m`
    : text.startsWith("the server works")
    ? `\u001b[32m${text}\u001b[0m`
    : text

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
