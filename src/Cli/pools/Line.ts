/**
 * Lines of text with parts in colour, cut to the width of a terminal.
 *
 * @since 0.1.0
 */

/** How a part of a line is meant. */
export type Tone = "plain" | "bold" | "dim" | "down" | "warning" | "good"

/** A part of a line. */
export interface Span {
  readonly text: string
  readonly tone: Tone
}

/** A line. It has no control characters. */
export type Line = ReadonlyArray<Span>

export const span = (text: string, tone: Tone = "plain"): Span => ({ text, tone })

export const line = (...parts: ReadonlyArray<Span | string>): Line =>
  parts.map((part) => typeof part === "string" ? span(part) : part)

/** The text of a line. */
export const textOf = (parts: Line): string => parts.map(({ text }) => text).join("").trimEnd()

/** A line that is cut to so many columns. */
export const fit = (parts: Line, columns: number): Line => {
  let left = columns
  return parts.flatMap(({ text, tone }) => {
    const shown = Array.from(text).slice(0, left).join("")
    left -= Math.min(left, Array.from(text).length)
    return shown === "" ? [] : [{ text: shown, tone }]
  })
}

const codes: Readonly<Record<Tone, string>> = {
  plain: "",
  bold: "\u001b[1m",
  dim: "\u001b[2m",
  down: "\u001b[1;31m",
  warning: "\u001b[33m",
  good: "\u001b[32m"
}

/** The text of a line, in colour. */
export const styledOf = (parts: Line): string =>
  parts.map(({ text, tone }) => tone === "plain" ? text : `${codes[tone]}${text}\u001b[0m`).join("")

/** A cell of a table, which begins with two spaces unless it is the first. */
export interface Cell {
  readonly text: string
  readonly tone?: Tone | undefined
  readonly isNumber?: boolean | undefined
}

/** The longest text of a cell that is not in the last column. */
const widest = 44

const cut = (text: string): string => text.length <= widest ? text : `${text.slice(0, widest - 3)}...`

/** Rows below a title, each column as wide as its widest cell. The last column is not padded. */
export const table = (titles: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<Cell>>): ReadonlyArray<Line> => {
  const last = titles.length - 1
  const shown = rows.map((cells) => cells.map((cell, at) => at === last ? cell : { ...cell, text: cut(cell.text) }))
  const widths = titles.map((title, at) => Math.max(title.length, ...shown.map((cells) => cells[at]?.text.length ?? 0)))
  const pad = (text: string, at: number, isNumber: boolean): string => {
    const width = widths[at] ?? 0
    return (at === 0 ? "" : "  ") + (isNumber ? text.padStart(width) : at === last ? text : text.padEnd(width))
  }
  const numbers = titles.map((_, at) => shown[0]?.[at]?.isNumber === true)
  return [
    titles.map((title, at) => span(pad(title, at, numbers[at] ?? false), "dim")),
    ...shown.map((cells) => cells.map(({ isNumber = false, text, tone }, at) => span(pad(text, at, isNumber), tone)))
  ]
}
