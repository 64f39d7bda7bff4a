/**
 * The result as one HTML page, which loads nothing.
 */
import * as Rows from "../Rows.ts"
import type { Series, Values } from "../Series.ts"
import type { Summary } from "../Summary.ts"
import * as TextReport from "../TextReport.ts"
import { element, escape, tableRow } from "./Html.ts"
import * as Plot from "./Plot.ts"
import { style } from "./Style.ts"

/** A result, and what it was over time. */
export interface Report {
  readonly summary: Summary
  readonly series: ReadonlyArray<Series>
  /** When the run has ended. */
  readonly at: Date
  /** The machine and the programs, as one line. */
  readonly environment: string
}

/** The styles of the contenders, in their order. */
const styles = ["ours", "second", "third"]

const styleOf = (index: number): string => styles[index] ?? "third"

interface Chart extends Omit<Plot.Plot, "lines"> {
  readonly of: (series: Series) => Values
  readonly withOffered?: true
}

const charts: ReadonlyArray<Chart> = [
  {
    title: "Requests answered",
    about: "By when they were due; the thin line is what was due.",
    unit: "per second",
    scale: "linear",
    of: ({ answered }) => answered,
    withOffered: true
  },
  {
    title: "Median latency of answered requests",
    about: "From when they were due, on a logarithmic axis.",
    unit: "ms",
    scale: "log",
    of: ({ p50 }) => p50
  },
  {
    title: "99th percentile of their latency",
    about: "From when they were due, on a logarithmic axis.",
    unit: "ms",
    scale: "log",
    of: ({ p99 }) => p99
  },
  {
    title: "At the server",
    about: "A frozen server still has those that its client has closed.",
    unit: "connections",
    scale: "count",
    of: ({ open }) => open
  },
  {
    title: "Dials accepted",
    about: "Connections that the server has accepted.",
    unit: "per second",
    scale: "count",
    of: ({ dials }) => dials
  },
  {
    title: "Descriptors",
    about: "Of the process, the connections of its callers included.",
    unit: "open",
    scale: "linear",
    of: ({ descriptors }) => descriptors
  }
]

const plotOf = ({ series, summary }: Report, chart: Chart): Plot.Plot => {
  const lines = series.map((one, index) => ({
    name: summary.contenders[index]?.name ?? "",
    values: chart.of(one),
    style: styleOf(index)
  }))
  const offered = { name: "due", values: series[0]?.offered ?? [], style: "offered" }
  return { ...chart, lines: chart.withOffered ? [...lines, offered] : lines }
}

const number = (value: number | undefined): string => value === undefined ? "-" : String(Math.round(value * 10) / 10)

const head = (cells: ReadonlyArray<string>): string =>
  element("thead", {}, element("tr", {}, ...cells.map((cell) => element("th", { scope: "col" }, escape(cell)))))

/** The values of a plot as a table. */
const dataTable = ({ lines, title, unit }: Plot.Plot): string => {
  const times = lines[0]?.values.map((_, index) => Plot.timeOf(index)) ?? []
  const rows = times.map((time, index) =>
    tableRow(`${time / 1000} s`, lines.map(({ values }) => element("td", {}, number(values[index]))))
  )
  return element(
    "details",
    {},
    element("summary", {}, `Values: ${escape(title.toLowerCase())}, ${escape(unit)}`),
    element(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": `Values: ${title}` },
      element("table", {}, head(["time", ...lines.map(({ name }) => name)]), element("tbody", {}, ...rows))
    )
  )
}

const figure = (plot: Plot.Plot, { summary: { plan } }: Report): string =>
  element(
    "figure",
    {},
    element(
      "figcaption",
      {},
      `${escape(plot.title)}, ${escape(plot.unit)}`,
      element("span", {}, escape(plot.about))
    ),
    Plot.svg(plot, plan),
    dataTable(plot)
  )

const key = ({ summary }: Report): string =>
  element(
    "ul",
    { class: "key" },
    ...summary.contenders.map(({ name }, index) => {
      const line = element("path", { class: styleOf(index), d: "M1 5H39" })
      return element("li", {}, element("svg", { viewBox: "0 0 40 10", "aria-hidden": "true" }, line), escape(name))
    })
  )

const figures = ({ summary }: Report, rows: ReadonlyArray<Rows.Row>): string =>
  element(
    "table",
    { class: "figures" },
    head(["", ...summary.contenders.map(({ name }) => name)]),
    element(
      "tbody",
      {},
      ...rows.map(({ best, cells, title }) =>
        tableRow(
          title,
          cells.map((cell, index) =>
            best.includes(index)
              ? element("td", { class: "best" }, `${escape(cell)} *`)
              : element("td", {}, escape(cell))
          )
        )
      )
    )
  )

const list = (texts: ReadonlyArray<string>): string =>
  element("ul", {}, ...texts.map((text) => element("li", {}, escape(text))))

const options = ({ summary }: Report): string =>
  summary.contenders.map(({ name, options }) =>
    element(
      "details",
      {},
      element("summary", {}, escape(name)),
      element(
        "dl",
        {},
        ...Object.entries(options).map(([option, value]) =>
          element("dt", {}, escape(option)) + element("dd", {}, escape(value))
        )
      )
    )
  ).join("")

const failures = ({ summary }: Report): string => {
  const some = summary.contenders.filter(({ figures }) => figures.answered < figures.requests)
  return some.length === 0 ? list(["There were none."]) : some.map(({ figures, name }) =>
    element(
      "details",
      {},
      element("summary", {}, `${escape(name)}: ${figures.requests - figures.answered}`),
      list(Object.entries(figures.reasons).map(([reason, count]) => `${count}: ${reason}`))
    )
  ).join("")
}

const section = (title: string, ...content: ReadonlyArray<string>): string =>
  element("section", {}, element("h2", {}, escape(title)), ...content)

const body = (report: Report): string => {
  const { at, environment, summary } = report
  const rows = Rows.make(summary)
  const note = TextReport.busyNote(summary)
  return [
    element("h1", {}, "HTTP APIs whose server fails, with three ways to hold its connections"),
    element("p", { class: "verdict" }, escape(TextReport.verdict(summary))),
    ...(note === "" ? [] : [element("p", {}, escape(note))]),
    element("p", { class: "soft" }, escape(`${TextReport.loadOf(summary)} ${at.toISOString()}, ${environment}.`)),
    section("Figures", figures(report, rows), element("p", { class: "soft" }, escape(`* ${Rows.legend.join(". ")}`))),
    section(
      "Where each of them is ahead",
      list(summary.contenders.map((entry, index) => Rows.ahead(rows, entry, index)))
    ),
    section(
      "Over time",
      element("p", { class: "soft" }, "The shaded times are faults of the server."),
      list(TextReport.faultsOf(summary)),
      key(report),
      element("div", { class: "plots" }, ...charts.map((chart) => figure(plotOf(report, chart), report)))
    ),
    section("Requests that were not answered", failures(report)),
    section("Options", options(report))
  ].join("\n")
}

/** The page may load nothing, and runs no script. */
const policy = "default-src 'none'; style-src 'unsafe-inline'"

/** Makes the page. */
export const make = (report: Report): string =>
  `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="content-security-policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>effect-sluice demo</title>
<style>${style}</style>
</head>
<body>
<main>
${body(report)}
</main>
</body>
</html>
`
