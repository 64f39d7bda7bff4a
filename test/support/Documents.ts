/**
 * The tables of the documentation, and what doc comments say of options, for the tests that compare them with the code.
 */
import type { Duration } from "effect"
import * as Fs from "node:fs"
import * as Path from "node:path"

/** The root of the repository. */
export const root = Path.resolve(import.meta.dirname, "../..")

/** A file of the repository. */
export const text = (name: string): string => Fs.readFileSync(Path.join(root, name), "utf8")

/** A table of a page. */
export interface Table {
  readonly header: ReadonlyArray<string>
  readonly rows: ReadonlyArray<ReadonlyArray<string>>
}

/** The cells of a row. */
export const cellsOf = (line: string): ReadonlyArray<string> => line.split("|").slice(1, -1).map((cell) => cell.trim())

/** A cell without the marks of code. */
export const plain = (cell: string | undefined): string => (cell ?? "").replaceAll("`", "")

/** The tables of a page, or of one of its sections, whose first column is called so. */
export const tablesOf = (page: string, first: string, heading = ""): ReadonlyArray<Table> => {
  const from = heading === "" ? 0 : text(page).indexOf(`\n${heading}\n`) + 1
  if (heading !== "" && from === 0) throw new Error(`${page} has no heading "${heading}"`)
  const lines = text(page).slice(from).split("\n")
  const level = heading.indexOf(" ")
  const end = lines.findIndex((line, index) =>
    index > 0 && level > 0 && /^#+ /.test(line) && line.indexOf(" ") <= level
  )
  const section = end < 0 ? lines : lines.slice(0, end)
  return section.flatMap((line, index) => {
    const header = cellsOf(line).map(plain)
    if (header[0] !== first) return []
    const rest = section.slice(index + 2)
    const length = rest.findIndex((row) => !row.startsWith("|"))
    return [{ header, rows: rest.slice(0, length < 0 ? undefined : length).map(cellsOf) }]
  })
}

/** The first column of these tables, to one other column. */
export const column = (tables: ReadonlyArray<Table>, name: string): ReadonlyMap<string, string> =>
  new Map(
    tables.flatMap(({ header, rows }) => rows.map((row) => [plain(row[0]), plain(row[header.indexOf(name)])] as const))
  )

/** The first column of these tables. */
export const namesIn = (tables: ReadonlyArray<Table>): ReadonlyArray<string> =>
  tables.flatMap(({ rows }) => rows.map((row) => plain(row[0])))

/** The `@default` of each member of an interface, as its doc comment has it. */
export const defaultsIn = (file: string, name: string): ReadonlyMap<string, string> => {
  const source = text(file)
  const from = source.search(new RegExp(`export interface ${name}\\b`))
  const body = source.slice(from, source.indexOf("\n}", from))
  return new Map(
    Array.from(
      body.matchAll(/\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*readonly (\w+)\?/g),
      ([, comment = "", option = ""]) => [option, plain(comment.split("@default")[1]?.trim())]
    )
  )
}

const units: Record<string, Duration.Unit> = {
  ms: "millis",
  s: "seconds",
  min: "minutes",
  second: "seconds",
  minute: "minutes"
}

/** Numbers, durations, texts in quotes and truth values of a default. */
export const valuesIn = (text: string): ReadonlyArray<string> =>
  Array.from(
    text.replace(/^off$/, "\"Infinity\"").matchAll(
      /"[^"]*"|\b(?:true|false)\b|(\d+)(?: (ms|millis|s|seconds?|min|minutes?)\b)?/g
    ),
    ([value, number, unit]) => number === undefined || unit === undefined ? value : `${number} ${units[unit] ?? unit}`
  )
