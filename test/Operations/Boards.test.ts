/**
 * Each query of the dashboard and of the alerts selects series of a program that has been through an outage, a leak and a change of
 * level. So a metric, a label or a value that gets another name fails these tests.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Metric } from "effect"
import { Operations, ResourceMonitor } from "effect-sluice"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { alerts } from "../../scripts/operations/alerts.ts"
import { rows, variables } from "../../scripts/operations/board.ts"
import { prometheusText } from "../../src/Operations/internal/http/PrometheusText.ts"
import * as Incident from "../support/Incident.ts"
import { parse, problemsOf, type Series, seriesOf } from "../support/PromQl.ts"

const panels = rows.flatMap((row) => row.panels)

/** An expression with the variables of Grafana replaced. */
const filled = (expr: string): string =>
  expr.replaceAll("$__rate_interval", "1m").replaceAll(/\$(?:job|instance|pool)\b/g, ".*")

const labelsIn = (text: string, pattern: RegExp): ReadonlyArray<string> =>
  Array.from(text.matchAll(pattern), ([, label = ""]) => label)

/** Every expression, with the labels that the text beside it shows. */
const queries = [
  ...panels.flatMap(({ targets, title }) =>
    targets.map(({ expr, legend }) => ({
      of: title,
      expr: filled(expr),
      shown: labelsIn(legend, /\{\{(\w+)\}\}/g)
    }))
  ),
  ...alerts.map(({ description, expr, name, summary }) => ({
    of: name,
    expr,
    shown: labelsIn(summary + description, /\$labels\.(\w+)/g)
  })),
  ...variables.map(({ name, selector, values }) => ({ of: name, expr: filled(selector), shown: [values] }))
]

const problemsIn = (page: string): ReadonlyArray<string> => {
  const series = seriesOf(page, { job: "api", instance: "10.0.0.1:9464" })
  return queries.flatMap(({ expr, of, shown }) => problemsOf(expr, series, shown).map((problem) => `${of}: ${problem}`))
}

/** What `/metrics` says after the incident. */
const page = Effect.gen(function*() {
  const monitor = yield* ResourceMonitor.TestMonitor
  yield* monitor.set(Incident.readings)
  yield* Effect.flatten(Incident.make)
  yield* monitor.setLevel("Critical")
  yield* Effect.sleep("200 millis")
  return prometheusText(yield* Metric.snapshot)
}).pipe(
  Effect.scoped,
  Effect.provide(
    Operations.layerOptions({ interval: "50 millis", logs: false }).pipe(Layer.provideMerge(ResourceMonitor.layerTest))
  ),
  Effect.provideService(Metric.MetricRegistry, new Map())
)

const valueOf = (all: ReadonlyArray<Series>, name: string, labels: Readonly<Record<string, string>>): number =>
  all.filter((series) =>
    series.name === name && Object.entries(labels).every(([label, value]) => series.labels[label] === value)
  ).reduce((sum, { value }) => sum + value, 0)

const pool = { db_client_connection_pool_name: "orders" }

describe("the dashboard and the alerts", () => {
  it.live("select series of a program after an outage, a leak and a change of level", () =>
    Effect.map(page, (page) => {
      const all = seriesOf(page)
      // It has been through all of that.
      assert.isAbove(valueOf(all, "sluice_pool_connect_failures_total", { ...pool, error_type: "ECONNREFUSED" }), 0)
      assert.isAbove(valueOf(all, "db_client_connection_timeouts_total", pool), 0)
      assert.strictEqual(valueOf(all, "sluice_pool_endpoints", { ...pool, sluice_endpoint_health: "Unavailable" }), 1)
      assert.isAbove(valueOf(all, "sluice_pool_leases_leaked_total", { ...pool, sluice_verdict: "held" }), 0)
      assert.isAbove(valueOf(all, "sluice_breaker_open", {}), 0)
      assert.strictEqual(valueOf(all, "sluice_monitor_level", {}), 2)
      assert.deepStrictEqual(problemsIn(page), [])

      // The names of all metrics and labels that the queries use: if one is another one in the program, there is a problem.
      const metrics = new Set(queries.flatMap(({ expr }) => parse(expr).selectors.map(({ metric }) => metric)))
      for (const metric of metrics) {
        const renamed = page.replaceAll(new RegExp(`^${metric}(?=[{ ])`, "gm"), `${metric}_renamed`)
        assert.isNotEmpty(problemsIn(renamed), metric)
      }
      const labels = new Set(queries.flatMap(({ expr, shown }) => {
        const { labels, selectors } = parse(expr)
        return [...labels, ...shown, ...selectors.flatMap(({ matchers }) => matchers.map(({ label }) => label))]
      }))
      for (const label of labels) {
        if (label === "job" || label === "instance") continue
        assert.isNotEmpty(problemsIn(page.replaceAll(`${label}="`, `renamed_${label}="`)), label)
      }
    }))

  it("have five rows and each panel a description and a query", () => {
    assert.strictEqual(rows.length, 5)
    for (const { description, targets, title } of panels) {
      assert.match(description, /\.$/, title)
      assert.isNotEmpty(targets, title)
    }
    assert.strictEqual(new Set(panels.map(({ title }) => title)).size, panels.length)
  })

  it("have a section of the runbook for each alert, with four parts", () => {
    const runbook = Fs.readFileSync(Path.resolve(import.meta.dirname, "../../docs/how-to/runbook.md"), "utf8")
    for (const { name } of alerts) {
      const [, section = ""] = runbook.split(`\n## ${name}\n`)
      const [text = ""] = section.split("\n## ")
      for (const part of ["**What it means.**", "**Look at**", "**Do**", "**Do not**"]) {
        assert.include(text, part, name)
      }
    }
  })

  it("have a row for each alert in docs/how-to/operations.md", () => {
    const guide = Fs.readFileSync(Path.resolve(import.meta.dirname, "../../docs/how-to/operations.md"), "utf8")
    for (const { name, severity } of alerts) {
      assert.match(guide, new RegExp(`^\\| \`${name}\` .*\\| ${severity} +\\|$`, "m"))
    }
  })
})

describe("the reader of queries", () => {
  it("finds selectors and labels, and no functions, operators and numbers", () => {
    const expr = `histogram_quantile(0.99, sum by (pool, le) (rate(a_bucket{job=~"x|y",b!="1 by (c)"}[5m])))
      / ignoring (health) group_left d > 1e3 unless e{f="g"} offset 5m and max by (h) (i) >= bool 2`
    assert.deepStrictEqual(parse(expr), {
      selectors: [
        {
          metric: "a_bucket",
          matchers: [
            { label: "job", operator: "=~", value: "x|y" },
            { label: "b", operator: "!=", value: "1 by (c)" }
          ]
        },
        { metric: "d", matchers: [] },
        { metric: "e", matchers: [{ label: "f", operator: "=", value: "g" }] },
        { metric: "i", matchers: [] }
      ],
      labels: ["pool", "le", "health", "h"]
    })
  })

  it("reads series with escaped values", () => {
    const page = `# HELP a B.\n# TYPE a gauge\na{b="c\\"d\\\\\\n",e="{f}"} 1.5\ng 2\n`
    assert.deepStrictEqual(seriesOf(page), [
      { name: "a", labels: { b: "c\"d\\\n", e: "{f}" }, value: 1.5 },
      { name: "g", labels: {}, value: 2 }
    ])
  })
})
