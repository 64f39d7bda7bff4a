/**
 * Figures out of the tables of the documentation. The plots are drawn from them, so that a plot and the table that it belongs to cannot
 * differ.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"

/** The rows of the first table of a page that comes after this heading, with the head as the first row. */
export const tableAfter = (root: string, page: string, heading: string): ReadonlyArray<ReadonlyArray<string>> => {
  const [, after] = Fs.readFileSync(Path.join(root, page), "utf8").split(`\n${heading}\n`)
  if (after === undefined) throw new Error(`${page} has no heading "${heading}"`)
  const lines = after.split("\n")
  const first = lines.findIndex((line) => line.startsWith("|"))
  const length = lines.slice(first).findIndex((line) => !line.startsWith("|"))
  return lines.slice(first, first + length).filter((_, index) => index !== 1).map((line) =>
    line.split("|").slice(1, -1).map((cell) => cell.trim().replaceAll("`", ""))
  )
}

/** The number that a pattern finds in a cell. */
export const numberIn = (cell: string | undefined, pattern: RegExp): number => {
  const found = pattern.exec(cell ?? "")?.[1]
  if (found === undefined) throw new Error(`no ${pattern.source} in "${cell}"`)
  return Number(found)
}
