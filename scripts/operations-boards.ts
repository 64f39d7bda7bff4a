/**
 * Writes docs/operations/dashboard.json (Grafana) and docs/operations/alerts.yml (Prometheus) from scripts/operations.
 *
 * With --check it fails if one of them is not current.
 *
 * Usage: node scripts/operations-boards.ts [--check] [--runbook URL]
 */
import * as Fs from "node:fs"
import * as Path from "node:path"
import { parseArgs } from "node:util"
import { type Alert, alerts } from "./operations/alerts.ts"
import { type Panel, type Row, rows, variables } from "./operations/board.ts"

/** Where the runbook is to be found. It is a placeholder: the project does not know where its users keep their copy. */
export const runbookPlaceholder = "https://replace-with-your-runbook.example/runbook.md"

const datasource = { type: "prometheus", uid: "${datasource}" }

const thresholdsOf = ({ thresholds = {} }: Panel) => ({
  mode: "absolute",
  steps: [
    { color: "green", value: null },
    ...(thresholds.orange === undefined ? [] : [{ color: "orange", value: thresholds.orange }]),
    ...(thresholds.red === undefined ? [] : [{ color: "red", value: thresholds.red }])
  ]
})

const mappingsOf = ({ texts = [] }: Panel) =>
  texts.length === 0
    ? []
    : [{
      type: "value",
      options: Object.fromEntries(texts.map(({ color, text, value }, index) => [value, { color, index, text }]))
    }]

const customOf = (panel: Panel) => {
  if (panel.type === "stat") return {}
  if (panel.type === "state-timeline") return { custom: { fillOpacity: 80, lineWidth: 0 } }
  const stacking = { group: "A", mode: panel.isStacked === true ? "normal" : "none" }
  const marks = panel.thresholds === undefined ? "off" : "dashed"
  return {
    custom: {
      fillOpacity: panel.isStacked === true ? 40 : 10,
      showPoints: "never",
      // A failed scrape leaves a gap, and not a line across it.
      spanNulls: false,
      stacking,
      thresholdsStyle: { mode: marks }
    }
  }
}

const optionsOf = ({ type }: Panel) =>
  type === "stat"
    ? { colorMode: "background", reduceOptions: { calcs: ["lastNotNull"], fields: "", values: false } }
    : {
      legend: { displayMode: "list", placement: "bottom", showLegend: true },
      tooltip: { mode: "multi", sort: "desc" }
    }

const height = 8

const panelOf = (panel: Panel, id: number, x: number, y: number) => ({
  id,
  title: panel.title,
  description: panel.description,
  type: panel.type,
  datasource,
  gridPos: { h: height, w: panel.width, x, y },
  fieldConfig: {
    defaults: {
      unit: panel.unit,
      min: 0,
      ...(panel.max === undefined ? {} : { max: panel.max }),
      color: { mode: panel.type === "timeseries" ? "palette-classic" : "thresholds" },
      mappings: mappingsOf(panel),
      thresholds: thresholdsOf(panel),
      ...customOf(panel)
    },
    overrides: []
  },
  options: optionsOf(panel),
  targets: panel.targets.map(({ expr, legend }, index) => ({
    refId: String.fromCharCode("A".charCodeAt(0) + index),
    datasource,
    editorMode: "code",
    expr,
    legendFormat: legend,
    range: true
  }))
})

const rowOf = ({ title }: Row, id: number, y: number) => ({
  id,
  title,
  type: "row",
  collapsed: false,
  gridPos: { h: 1, w: 24, x: 0, y },
  panels: []
})

/** The panels in their places: from left to right, on the next line where there is no room. */
const layout = (rows: ReadonlyArray<Row>): ReadonlyArray<object> => {
  const placed: Array<object> = []
  let y = 0
  for (const row of rows) {
    placed.push(rowOf(row, placed.length + 1, y))
    y += 1
    let x = 0
    for (const panel of row.panels) {
      if (x + panel.width > 24) {
        x = 0
        y += height
      }
      placed.push(panelOf(panel, placed.length + 1, x, y))
      x += panel.width
    }
    y += height
  }
  return placed
}

const variableOf = ({ label, name, selector, values }: typeof variables[number]) => {
  const query = `label_values(${selector}, ${values})`
  return {
    name,
    label,
    type: "query",
    datasource,
    definition: query,
    query: { query, refId: name },
    includeAll: true,
    multi: true,
    allValue: ".*",
    current: { selected: true, text: ["All"], value: ["$__all"] },
    // When the range of time changes, so that the pools of that time are offered.
    refresh: 2,
    sort: 1,
    hide: 0
  }
}

/** The dashboard, as Grafana imports it. */
export const dashboard = (): string =>
  JSON.stringify(
    {
      uid: "effect-sluice",
      title: "effect-sluice: connections",
      description: "Pools of connections and the resources of their process. Generated: do not edit it by hand.",
      tags: ["effect-sluice"],
      schemaVersion: 38,
      version: 1,
      editable: true,
      graphTooltip: 1,
      refresh: "30s",
      time: { from: "now-1h", to: "now" },
      timezone: "browser",
      annotations: { list: [] },
      links: [],
      templating: {
        list: [
          { name: "datasource", label: "Data source", type: "datasource", query: "prometheus", refresh: 1, hide: 0 },
          ...variables.map(variableOf)
        ]
      },
      panels: layout(rows)
    },
    null,
    2
  ) + "\n"

const text = (value: string): string => JSON.stringify(value)

const ruleOf = (alert: Alert, runbook: string): ReadonlyArray<string> => [
  `      - alert: ${alert.name}`,
  "        expr: |-",
  ...alert.expr.split("\n").map((line) => `          ${line}`),
  `        for: ${alert.for}`,
  ...(alert.keepFiringFor === undefined ? [] : [`        keep_firing_for: ${alert.keepFiringFor}`]),
  "        labels:",
  `          severity: ${alert.severity}`,
  "        annotations:",
  `          summary: ${text(alert.summary)}`,
  `          description: ${text(alert.description)}`,
  `          runbook_url: ${text(`${runbook}#${alert.name.toLowerCase()}`)}`
]

/** The rules, as Prometheus reads them. */
export const rules = (runbook = runbookPlaceholder): string =>
  [
    "# Generated: do not edit it by hand.",
    "groups:",
    "  - name: effect-sluice",
    "    rules:",
    ...alerts.flatMap((alert) => ruleOf(alert, runbook))
  ].join("\n") + "\n"

if (import.meta.main) {
  const { values } = parseArgs({ options: { check: { type: "boolean" }, runbook: { type: "string" } } })
  const files = { "dashboard.json": dashboard(), "alerts.yml": rules(values.runbook) }
  for (const [name, content] of Object.entries(files)) {
    const path = Path.join(import.meta.dirname, "../docs/operations", name)
    if (values.check !== true) Fs.writeFileSync(path, content)
    else if (!Fs.existsSync(path) || Fs.readFileSync(path, "utf8") !== content) {
      console.error(`docs/operations/${name} is not current: run npm run boards`)
      process.exitCode = 1
    }
  }
}
