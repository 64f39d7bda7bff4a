/**
 * The result as text.
 */
import { explanations } from "./Plan.ts"
import * as Rows from "./Rows.ts"
import type { Summary } from "./Summary.ts"

const seconds = (millis: number): string => `${millis / 1000} s`

/** The mark of the best value of a row. */
const mark = "*"

const table = ({ contenders }: Summary, rows: ReadonlyArray<Rows.Row>): ReadonlyArray<string> => {
  const cell = ({ best, cells }: Rows.Row, index: number) =>
    `${cells[index] ?? ""}${best.includes(index) ? ` ${mark}` : "  "}`
  const first = Math.max(...rows.map(({ title }) => title.length))
  const widths = contenders.map(({ name }, index) =>
    Math.max(name.length + 2, ...rows.map((row) => cell(row, index).length))
  )
  const line = (title: string, cells: ReadonlyArray<string>) =>
    [title.padEnd(first), ...cells.map((text, index) => text.padStart(widths[index] ?? 0))].join("  ").trimEnd()
  return [
    line("", contenders.map(({ name }) => `${name}  `)),
    ...rows.map((row) => line(row.title, contenders.map((_, index) => cell(row, index))))
  ]
}

/** The options of a contender in one paragraph. */
const optionsOf = (options: Readonly<Record<string, string>>): string =>
  Object.entries(options).map(([name, value]) => `${name} ${value}`).join(", ")

/** The load, in one sentence. */
export const loadOf = ({ plan }: Summary): string =>
  `${plan.rate} requests a second to each of them for ${
    seconds(plan.duration)
  }, at random times of the seed ${plan.seed}.`

/** The faults, as lines. */
export const faultsOf = ({ plan }: Summary): ReadonlyArray<string> =>
  plan.faults.map(({ from, kind, to }) => `${kind}, ${seconds(from)} to ${seconds(to)}: ${explanations[kind]}`)

/** Requests that were sent later than this say that the machine had no time for the load. */
const acceptable = 20

/** Later than this, nothing was measured but the machine. */
const hopeless = 200

/** What a reader should know of the machine; empty if it was quiet. */
export const busyNote = ({ late }: Summary): string => {
  const sent = `1 of 100 requests was sent ${late} ms late or more`
  return late <= acceptable
    ? ""
    : late <= hopeless
    ? `This machine was busy: ${sent}, which is part of the latencies of all of them.`
    : `This machine was too busy: ${sent}. The times and the requests answered say nothing of the contenders. Use a quiet machine, or --rate.`
}

/** The result in one sentence. */
export const verdict = ({ broken, contenders, ok }: Summary): string => {
  const [ours] = contenders
  const name = ours?.name ?? "the first"
  const { descriptors, dials } = ours?.figures ?? { descriptors: { before: null, after: null }, dials: 0 }
  const counted = descriptors.before === null ? "" : `, and it has ${descriptors.after} descriptors as before`
  return ok
    ? `All promises kept: ${name} has closed every one of ${dials} connections${counted}.`
    : `Promises broken by ${name}: ${broken.join("; ")}.`
}

/** The reasons why requests were not answered, as lines. */
const reasons = ({ contenders }: Summary): ReadonlyArray<string> =>
  contenders.flatMap(({ figures, name }) => {
    const all = Object.entries(figures.reasons).slice(0, 3).map(([reason, count]) => `${count} ${reason}`)
    return all.length === 0 ? [] : [`  ${name}: ${all.join("; ")}`]
  })

/** The result as text that ends with the verdict. */
export const text = (summary: Summary): string => {
  const rows = Rows.make(summary)
  const note = busyNote(summary)
  const failures = reasons(summary)
  return [
    loadOf(summary),
    ...faultsOf(summary).map((line) => `  ${line}`),
    "",
    ...table(summary, rows),
    "",
    `${mark} ${Rows.legend.join("\n")}`,
    ...summary.contenders.map((entry, index) => Rows.ahead(rows, entry, index)),
    "",
    ...(failures.length === 0 ? [] : ["Most requests that were not answered:", ...failures, ""]),
    "Options:",
    ...summary.contenders.map(({ name, options }) => `  ${name}: ${optionsOf(options)}`),
    "",
    ...(note === "" ? [] : [note]),
    verdict(summary),
    ""
  ].join("\n")
}
