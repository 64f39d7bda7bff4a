/**
 * Lines that are redrawn in place on a terminal.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import { write } from "./Output.ts"

const barWidth = 24

/** A share from 0 to 1 as a bar. */
export const bar = (share: number): string => {
  const full = Math.round(Math.min(1, share) * barWidth)
  return "#".repeat(full) + ".".repeat(barWidth - full)
}

/** Cuts a line before the last column: a terminal wraps a longer one, which could not be redrawn in place. */
export const fit = (text: string, columns: number): string => text.slice(0, Math.max(1, columns - 1))

/**
 * The control sequences that replace the last frame with the next one. `drawn` are the lines of the last frame. They may take
 * several rows each if the terminal has become narrower.
 */
export const frame = (
  texts: ReadonlyArray<string>,
  drawn: ReadonlyArray<string>,
  columns: number
): string => {
  const rows = drawn.reduce((total, text) => total + Math.max(1, Math.ceil(text.length / columns)), 0)
  return `${rows > 0 ? `\u001b[${rows}A` : ""}\r\u001b[J${texts.map((text) => `${text}\n`).join("")}`
}

/** Whether a stream is a terminal on which lines can be redrawn. */
export const isTerminal = (stream: NodeJS.WriteStream): Effect.Effect<boolean> =>
  Config.String("TERM").pipe(
    Config.map((term) => stream.isTTY && term !== "dumb"),
    Effect.orElseSucceed(() => stream.isTTY)
  )

/** Makes a function that draws each frame over the last one, cut to the terminal's size. `coloured` colours a line. */
export const drawing = (
  stream: NodeJS.WriteStream,
  coloured: (line: string) => string
): (lines: ReadonlyArray<string>) => Effect.Effect<void> => {
  let drawn: ReadonlyArray<string> = []
  return (lines) =>
    Effect.suspend(() => {
      const columns = stream.columns || 80
      const next = lines.slice(0, Math.max(1, (stream.rows || 24) - 1)).map((text) => fit(text, columns))
      // `hasColors` respects NO_COLOR.
      const shown = stream.hasColors() ? next.map(coloured) : next
      const text = frame(shown, drawn, columns)
      drawn = next
      return write(stream, text)
    })
}
