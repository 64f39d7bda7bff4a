/**
 * The plots: what a borrow costs, a storm with and without, recovery from it, and recovery after an outage.
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { circle, path, type Picture, type Point, rect, text, width } from "./svg.ts"
import { numberIn, tableAfter } from "./tables.ts"

const margin = 12

/** The look of this library and of the others. */
const lookOf = (name: string): string =>
  name.startsWith("effect-sluice") || name.startsWith("RetryBudget") || name === "a pool" ? "a" : "c"

interface Cost {
  readonly name: string
  readonly median: number
  readonly least: number
  readonly most: number
  readonly ratio: string
}

const costIn = (name: string, cell: string): Cost => {
  const ratio = /x([\d.]+)$/.exec(cell)?.[1]
  return {
    name,
    median: numberIn(cell, /^(\d+)/),
    least: numberIn(cell, /\((\d+)-/),
    most: numberIn(cell, /-(\d+)\)/),
    ratio: ratio === undefined ? "1" : `x${ratio}`
  }
}

/** What a borrow and its return cost, for each number of borrowers, with the range of the rounds. */
export const borrowCost = (root: string): Picture => {
  const [head = [], ...rows] = tableAfter(
    root,
    "docs/reference/performance.md",
    "## Borrow and return, each pool with an acquire timeout of 30 s"
  )
  const pools = rows.filter(([name = ""]) => !name.startsWith("no pool"))
  const [from, to] = [800, 48_000]
  const [left, right] = [132, width - 52]
  const x = (nanos: number): number => left + (right - left) * Math.log(nanos / from) / Math.log(to / from)
  const marks = [1000, 3000, 10_000, 30_000]
  const rowHeight = 21
  const panelHeight = pools.length * rowHeight + 34
  const top = 62
  const panel = (column: number): ReadonlyArray<string> => {
    const y = top + (column - 1) * panelHeight
    const bottom = y + 12 + pools.length * rowHeight
    return [
      text(head[column] ?? "", margin, y, "strong"),
      ...marks.map((mark) => path([[x(mark), y + 10], [x(mark), bottom]], "grid")),
      ...pools.flatMap((row, index) => {
        const { least, median, most, name, ratio } = costIn(row[0] ?? "", row[column] ?? "")
        const center = y + 22 + index * rowHeight
        const look = lookOf(name)
        return [
          text(name.replace("effect-sluice, every option on", "… every option on"), left - 8, center + 4, "small end"),
          path([[x(least), center], [x(most), center]], `range ${look}`),
          circle(x(median), center, 4.5, look),
          text(ratio, width - margin, center + 4, "small end")
        ]
      })
    ]
  }
  const height = top + (head.length - 1) * panelHeight + 16
  const cheapest = (column: number): string =>
    pools.map((row) => costIn(row[0] ?? "", row[column] ?? "")).toSorted((a, b) => a.median - b.median)
      .map(({ median, name }) => `${name} ${median}`).join(", ")
  return {
    title: "The cost of a borrow and its return",
    description: "Nanoseconds, medians of eleven rounds. "
      + head.slice(1).map((name, index) => `${name}: ${cheapest(index + 1)}.`).join(" "),
    height,
    pieces: [
      text("ns for a borrow and its return, log scale; less is better", margin, 24, "small"),
      text("dot: median; band: all rounds; right: ratio to effect-sluice", margin, 40, "small muted"),
      ...head.slice(1).flatMap((_, index) => panel(index + 1)),
      ...marks.map((mark) =>
        text(mark.toLocaleString("en").replace(",", " "), x(mark), height - 14, "small muted middle")
      )
    ]
  }
}

interface Course {
  readonly columns: ReadonlyArray<string>
  readonly courses: ReadonlyArray<ReadonlyArray<number>>
}

const shown = [
  { column: "no retry", name: "no retries", look: "c" },
  { column: "full jitter, no budget", name: "retries without a bound", look: "b" },
  { column: "effect-sluice: budget and breaker", name: "RetryBudget and Breaker", look: "a" }
]

/** How many calls succeed in each second of a storm. */
export const storm = (root: string): Picture => {
  const { columns, courses }: Course = JSON.parse(
    Fs.readFileSync(Path.join(root, "benchmark/results/storm-course.json"), "utf8")
  )
  const [left, right, top, bottom] = [46, width - 14, 92, 262]
  const seconds = 90
  const x = (second: number): number => left + (right - left) * second / seconds
  const y = (share: number): number => bottom - (bottom - top) * share
  const lines = shown.map(({ column, look }) => {
    const values = (courses[columns.indexOf(column)] ?? []).slice(0, seconds + 1)
    if (values.length === 0) throw new Error(`storm-course.json has no course of "${column}"`)
    return path(values.map((value, second): Point => [x(second), y(value)]), `line ${look}`)
  })
  return {
    title: "A storm of retries, with and without",
    description:
      "The share of calls that succeed in each second, in a simulation of 200 processes. The server is slow from second 30 to 40. "
      + "Without retries the calls succeed again 21 seconds later. With retries without a bound they never do. "
      + "With RetryBudget and Breaker they do at once.",
    height: 300,
    pieces: [
      text("calls that succeed; the server is slow in the grey time", margin, 24, "small"),
      ...shown.flatMap(({ look, name }, index) => [
        path([[margin, 40 + index * 16], [margin + 18, 40 + index * 16]], `line ${look}`),
        text(name, margin + 26, 44 + index * 16, "small")
      ]),
      rect(x(30), top, x(40) - x(30), bottom - top, "box", 0),
      ...[0, 0.5, 1].flatMap((share) => [
        path([[left, y(share)], [right, y(share)]], "grid"),
        text(`${100 * share} %`, left - 6, y(share) + 4, "small muted end")
      ]),
      ...lines,
      ...[0, 30, 40, 60, 90].map((second) =>
        text(
          second === 0 ? "0 s" : String(second),
          x(second),
          bottom + 18,
          `small muted ${second === 90 ? "end" : "middle"}`
        )
      )
    ]
  }
}

interface Bar {
  readonly name: string
  readonly value: number
  readonly label: string
  readonly look: string
}

/** Bars with their values at their ends, one below the other. `Infinity` goes to the edge. */
const bars = (
  title: string,
  of: ReadonlyArray<Bar>,
  top: number
): { readonly pieces: ReadonlyArray<string>; readonly height: number } => {
  const most = Math.max(...of.map(({ value }) => Number.isFinite(value) ? value : 0)) * 1.15
  const [left, right] = [178, width - 74]
  const length = (value: number): number => (right - left) * Math.min(1, value / most)
  return {
    height: 16 + of.length * 22 + 18,
    pieces: [
      text(title, margin, top + 4, "strong"),
      ...of.flatMap(({ label, look, name, value }, index) => {
        const center = top + 24 + index * 22
        return [
          text(name, left - 8, center + 4, "small end"),
          rect(left, center - 7, Math.max(1.5, length(value)), 14, look, 2),
          text(label, left + Math.max(1.5, length(value)) + 6, center + 4, "small")
        ]
      })
    ]
  }
}

const stacked = (
  head: ReadonlyArray<string>,
  panels: ReadonlyArray<readonly [title: string, bars: ReadonlyArray<Bar>]>
): Pick<Picture, "height" | "pieces"> => {
  const pieces = head.map((line, index) => text(line, margin, 24 + index * 16, index === 0 ? "small" : "small muted"))
  let top = 24 + head.length * 16 + 8
  for (const [title, each] of panels) {
    const panel = bars(title, each, top)
    pieces.push(...panel.pieces)
    top += panel.height
  }
  return { height: top, pieces }
}

/** How long a fleet takes to recover from a storm, under each policy. */
export const stormRecovery = (root: string): Picture => {
  const [head = [], ...rows] = tableAfter(root, "docs/reference/retry.md", "### A storm of retries")
  const barsOf = (column: number): ReadonlyArray<Bar> =>
    rows.map((row) => {
      const cell = row[column] ?? ""
      const name = row[0] ?? ""
      const value = cell.startsWith("never") ? Infinity : numberIn(cell, /^(\d+) s/)
      return {
        name,
        value,
        label: Number.isFinite(value) ? `${value} s` : "never",
        look: value === Infinity ? "b" : lookOf(name)
      }
    })
  const columns = head.flatMap((name, index) => name === "20 processes" || name === "1000 processes" ? [index] : [])
  return {
    title: "Recovery from a storm of retries",
    description: columns.map((column) =>
      `${head[column]}: ${barsOf(column).map(({ label, name }) => `${name} ${label}`).join(", ")}.`
    ).join(" "),
    ...stacked(
      ["seconds until calls succeed again; less is better", "simulated, worst of seven seeds"],
      columns.map((column) => [head[column] ?? "", barsOf(column)])
    )
  }
}

/** How many dials a server that is down gets, and how soon all connections are open again. */
export const recovery = (root: string): Picture => {
  const [head = [], ...rows] = tableAfter(root, "docs/reference/retry.md", "### All connections after an outage")
  const ways = head.slice(1, 4)
  const barsOf = (row: ReadonlyArray<string>, pattern: RegExp, unit: string): ReadonlyArray<Bar> =>
    ways.map((name, index) => {
      const value = numberIn(row[index + 1], pattern)
      return {
        name: name.replace("each borrower retries", "each retries"),
        value,
        label: `${value} ${unit}`,
        look: lookOf(name)
      }
    })
  const panels = [rows.at(0) ?? [], rows.at(-1) ?? []].flatMap((row) => [
    [`after ${row[0]}: until all are open`, barsOf(row, /^(\d+) ms/, "ms")] as const,
    [`after ${row[0]}: dials`, barsOf(row, /(\d+) dials/, "")] as const
  ])
  return {
    title: "All connections after an outage",
    description: panels.map(([title, each]) =>
      `${title}: ${each.map(({ label, name }) => `${name} ${label.trim()}`).join(", ")}.`
    )
      .join(" "),
    ...stacked(
      ["25 connections, medians of eleven seeds; less is better", "simulated; each panel has a scale of its own"],
      panels
    )
  }
}

/** What comes of 500 connects in one tick under a limit of 128 descriptors, without the gate and with it. */
export const exhaustion = (root: string): Picture => {
  const prose = Fs.readFileSync(Path.join(root, "docs/reference/monitor.md"), "utf8").replaceAll(/\s+/g, " ")
  const all = numberIn(prose, /would admit (\d+) connects in one tick/)
  const failed = numberIn(prose, /of which (\d+) fail with `EMFILE`/)
  const connected = numberIn(prose, /With it, (\d+) of the same/)
  const refused = numberIn(prose, /the other (\d+) are refused/)
  const barsOf = (counts: readonly [number, number, number]): ReadonlyArray<Bar> =>
    ["connected", "failed with EMFILE", "refused before the dial"].map((name, index) => {
      const value = counts[index] ?? 0
      return { name, value, label: String(value), look: (["c", "b", "a"] as const)[index] ?? "c" }
    })
  const panels = [
    ["a gate that only reads the count", barsOf([all - failed, failed, 0])],
    ["a gate that reserves", barsOf([connected, 0, refused])]
  ] as const
  return {
    title: "Connects in one tick under a limit of descriptors",
    description: panels.map(([title, each]) =>
      `${title}: ${each.map(({ label, name }) => `${label} ${name}`).join(", ")}.`
    )
      .join(" "),
    ...stacked([`${all} connects in one tick under ulimit -n 128`], panels)
  }
}
