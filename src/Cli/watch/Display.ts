/**
 * Prints a watch: in place on a terminal, line by line elsewhere, or as JSON.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { printJson, write } from "../Output.ts"
import * as Terminal from "../Terminal.ts"
import * as JsonReport from "./JsonReport.ts"
import type { Ending, Show } from "./Loop.ts"
import * as TextView from "./TextView.ts"
import type { Moment } from "./Trend.ts"

/**
 * Prints the looks of a watch.
 *
 * @category models
 * @since 0.1.0
 */
export interface Display {
  readonly show: Show
  /** Prints how the watch ended. */
  readonly end: (ending: Ending) => Effect.Effect<void>
}

/**
 * How to print.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  readonly json: boolean
  /** There is one look only, so all of it is printed. */
  readonly once: boolean
  readonly mostPeers: number
}

const output = process.stdout

// When the reader of the output has ended, the watch ends too.
const isRead = Effect.sync(() => output.writable && output.errored === null)

const farewell = (ending: Ending): Effect.Effect<void> => {
  const text = TextView.farewell(ending)
  return text === undefined ? Effect.void : write(output, `${text}\n`)
}

const asJson = (mostPeers: number): Display => ({
  show: (moment) => Effect.andThen(printJson(JsonReport.lookOf(moment, mostPeers)), isRead),
  end: (ending) => printJson(JsonReport.endOf(ending))
})

const asPage = (mostPeers: number): Display => ({
  show: (moment) =>
    Effect.suspend(() => {
      const lines = TextView.lines(moment, { mostPeers, recent: [] })
      // `hasColors` respects NO_COLOR.
      const shown = output.isTTY && output.hasColors() ? lines.map(TextView.coloured) : lines
      return Effect.andThen(write(output, `${shown.join("\n")}\n`), isRead)
    }),
  end: farewell
})

const asLines: Display = {
  show: (moment) => {
    const alerts = moment.alerts.map(({ message }) => `${JsonReport.isoTime(moment.look.at)} ${message}\n`)
    return Effect.andThen(write(output, `${alerts.join("")}${TextView.line(moment)}\n`), isRead)
  },
  end: farewell
}

const alertsShown = 3

/** Keeps the last alerts, which the view shows. */
const recall = (): (moment: Moment) => ReadonlyArray<string> => {
  let recent: ReadonlyArray<string> = []
  return ({ alerts, look: { at } }) => {
    const time = JsonReport.isoTime(at).slice(11, 19)
    recent = [...recent, ...alerts.map(({ message }) => `${time}  ${message}`)].slice(-alertsShown)
    return recent
  }
}

const inPlace = (mostPeers: number): Display => {
  const draw = Terminal.drawing(output, TextView.coloured)
  const recentAt = recall()
  return {
    show: (moment) => Effect.andThen(draw(TextView.lines(moment, { mostPeers, recent: recentAt(moment) })), isRead),
    end: farewell
  }
}

/**
 * Chooses how to print a watch.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = ({ json, mostPeers, once }: Options): Effect.Effect<Display> =>
  Effect.map(Terminal.isTerminal(output), (isTerminal) => {
    if (json) return asJson(mostPeers)
    if (once) return asPage(mostPeers)
    return isTerminal ? inPlace(mostPeers) : asLines
  })
