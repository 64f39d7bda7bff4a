/**
 * The lines with which a service logs the begin and the end of its end. The texts are pure.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { measured } from "../../internal/MeasuredTime.ts"
import type { ProgramEnd, RunLog } from "../../internal/ProgramEnd.ts"
import { type Ending, plural } from "./MainExit.ts"

/** What is under way when a program begins to end. */
export interface UnderWay {
  readonly requests: number
  /** Leased connections of all pools. */
  readonly leases: number
}

const whyOf = (ending: Ending): string => {
  switch (ending._tag) {
    case "Signalled":
      return ending.signal
    case "Uncaught":
      return ending.origin === "unhandledRejection" ? "an unhandled rejection" : "an uncaught exception"
    case "Ended":
      return "it has failed, or was interrupted"
    case "Starved":
      return "the event loop is empty"
  }
}

const time = (millis: number): string =>
  measured(Duration.millis(millis < 1000 ? millis : Math.round(millis / 100) * 100))

/** The first line. `window` is the longest time of the end, in milliseconds. */
export const beginText = (ending: Ending, { leases, requests }: UnderWay, window: number): string =>
  `The program ends: ${whyOf(ending)}. It waits for ${plural(requests, "request")} and ${
    plural(leases, "leased connection")
  }, and closes its layers, for at most ${time(window)}`

/** The last line, after so many milliseconds. */
export const endText = (millis: number): string =>
  `Everything is closed, ${time(millis)} after the program began to end`

/** Writes the lines with the loggers of the program's own layers, if one of these has given them. */
export class EndLog implements ProgramEnd {
  #run: RunLog | undefined

  logWith(run: RunLog): void {
    this.#run = run
  }

  write(text: string): void {
    this.#run?.(Effect.logInfo(text))
  }
}
