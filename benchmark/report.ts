/**
 * Tables, and what the figures in them are held against.
 */

/** A figure that is to be at most this share of what it is compared with. */
export interface Target {
  /** What is compared with what. */
  readonly what: string
  readonly ratio: number
  readonly atMost: number
}

export interface Table {
  readonly title: string
  readonly columns: ReadonlyArray<string>
  readonly rows: ReadonlyArray<ReadonlyArray<string>>
  readonly targets: ReadonlyArray<Target>
  /** What `--json` has beside the rows: every value, so that a plot can show how far the rounds differ. */
  readonly series?: ReadonlyArray<Series>
}

/** The values of a cell of a table, one for each round. */
export interface Series {
  readonly row: string
  readonly column: string
  readonly values: ReadonlyArray<number>
}

const widths = ({ columns, rows }: Table): ReadonlyArray<number> =>
  columns.map((column, index) => Math.max(column.length, ...rows.map((row) => row[index]?.length ?? 0)))

const line = (cells: ReadonlyArray<string>, width: ReadonlyArray<number>): string =>
  `| ${cells.map((cell, index) => cell.padEnd(width[index] ?? 0)).join(" | ")} |`

const targetText = ({ atMost, ratio, what }: Target): string =>
  `- ${ratio <= atMost ? "PASS" : "short of target"}: ${what}: ${ratio.toFixed(2)} (target: at most ${atMost})`

/** The table in Markdown, and under it what each target came to. */
export const render = (table: Table): string => {
  const width = widths(table)
  return [
    `## ${table.title}`,
    "",
    line(table.columns, width),
    line(width.map((each) => "-".repeat(each)), width),
    ...table.rows.map((row) => line(row, width)),
    "",
    ...table.targets.map(targetText),
    ""
  ].join("\n")
}
