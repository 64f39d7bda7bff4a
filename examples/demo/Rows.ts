/**
 * The figures as rows of a table, for the terminal and for the page.
 */
import type { Entry, Figures, Summary } from "./Summary.ts"

/** A row: a text for each contender, and which of them is best. */
export interface Row {
  readonly title: string
  readonly cells: ReadonlyArray<string>
  /** The indexes of the contenders that are best: none where all are equal, or where no value is better. */
  readonly best: ReadonlyArray<number>
}

interface Column {
  readonly title: string
  readonly text: (figures: Figures) => string
  /** The smaller, the better; `undefined` where no value is better. `null` is unknown, and worst. */
  readonly rank?: ((figures: Figures) => number | null) | undefined
}

/** A time in milliseconds, as text. */
export const time = (millis: number | null): string =>
  millis === null ? "unknown" : millis < 1000 ? `${Math.round(millis)} ms` : `${(millis / 1000).toFixed(2)} s`

const known = (count: number | null): string => count === null ? "unknown" : String(count)

/** Rounds down, so that 100 % means all. */
const percent = (share: number): string => `${(Math.floor(share * 1000) / 10).toFixed(1)} %`

const recoveryRow = (index: number, fault: string): Column => ({
  title: `recovered from: ${fault}`,
  text: ({ recovery }) => {
    const millis = recovery[index]?.millis ?? null
    return millis === null ? "not in time" : `after ${time(millis)}`
  },
  rank: ({ recovery }) => recovery[index]?.millis ?? null
})

const columns = ({ plan: { faults } }: Summary): ReadonlyArray<Column> => [
  {
    title: "requests answered",
    text: ({ answered, requests }) => `${answered} of ${requests}`,
    rank: ({ answered }) => -answered
  },
  { title: "their share", text: ({ answered, requests }) => percent(requests === 0 ? 0 : answered / requests) },
  { title: "p50 of answered", text: ({ p50 }) => time(p50), rank: ({ p50 }) => p50 },
  { title: "p99 of answered", text: ({ p99 }) => time(p99), rank: ({ p99 }) => p99 },
  ...faults.map(({ kind }, index) => recoveryRow(index, kind)),
  { title: "dials accepted", text: ({ dials }) => String(dials), rank: ({ dials }) => dials },
  { title: "most at the server", text: ({ peak }) => String(peak), rank: ({ peak }) => peak },
  { title: "most held at once", text: ({ held }) => known(held), rank: ({ held }) => held },
  { title: "open at the end", text: ({ left }) => String(left), rank: ({ left }) => left },
  { title: "descriptors before", text: ({ descriptors }) => known(descriptors.before) },
  {
    title: "descriptors at peak",
    text: ({ descriptors }) => known(descriptors.peak),
    rank: ({ descriptors }) => descriptors.peak
  },
  { title: "descriptors after", text: ({ descriptors }) => known(descriptors.after) },
  { title: "CPU time", text: ({ cpu }) => time(cpu), rank: ({ cpu }) => cpu }
]

/** How much worse a value may be that counts as equal to the best: between two runs of one contender it differs by more. */
const tie = 0.01

/** What the mark of the best values means, and what is not the same for all. */
export const legend: ReadonlyArray<string> = [
  "the best of the row; values that look the same, or differ by less than 1 %, count as equal",
  "A dial may take as long for each of them. The delays between dials differ: see the options."
]

/** The indexes of the best values, unless all are equal: where two are equal and one is worse, the row shows which one. */
const bestOf = (ranks: ReadonlyArray<number | null>, cells: ReadonlyArray<string>): ReadonlyArray<number> => {
  const values = ranks.map((rank) => rank ?? Infinity)
  const least = Math.min(...values)
  const most = least + Math.abs(least) * tie
  const shown = cells[values.indexOf(least)]
  const best = values.flatMap((value, index) => value <= most || cells[index] === shown ? [index] : [])
  return best.length === values.length ? [] : best
}

/** The rows of a result. */
export const make = (summary: Summary): ReadonlyArray<Row> =>
  columns(summary).map(({ rank, text, title }) => {
    const cells = summary.contenders.map(({ figures }) => text(figures))
    return {
      title,
      cells,
      best: rank === undefined ? [] : bestOf(summary.contenders.map(({ figures }) => rank(figures)), cells)
    }
  })

const list = (titles: ReadonlyArray<string>): string => titles.length === 0 ? "in nothing" : `in ${titles.join(", ")}`

/** Where a contender is ahead of all others, as a sentence. */
export const ahead = (rows: ReadonlyArray<Row>, { name }: Entry, index: number): string =>
  `${name} is ahead ${
    list(rows.filter(({ best }) => best.length === 1 && best[0] === index).map(({ title }) => title))
  }.`
