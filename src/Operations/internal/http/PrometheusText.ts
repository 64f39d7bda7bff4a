/**
 * Effect's metrics in the text format of Prometheus, with the names that an OpenTelemetry collector gives to the same metrics if
 * Effect exports them by OTLP: `db.client.connection.wait_time` in `s` is `db_client_connection_wait_time_seconds`.
 *
 * @since 0.1.0
 */
import type * as Metric from "effect/Metric"
import { safeText } from "../../../internal/SafeText.ts"

type Snapshot = Metric.Metric.Snapshot
type Attributes = Readonly<Record<string, string>>

/** The kinds of Prometheus. A sum that may fall is a gauge there. */
type Kind = "counter" | "gauge" | "histogram" | "summary"

/** The units of UCUM, as the collector spells them in names. A unit without an entry is used as it is. */
const units: ReadonlyMap<string, string> = new Map([
  ["d", "days"],
  ["h", "hours"],
  ["min", "minutes"],
  ["s", "seconds"],
  ["ms", "milliseconds"],
  ["us", "microseconds"],
  ["ns", "nanoseconds"],
  ["By", "bytes"],
  ["KiBy", "kibibytes"],
  ["MiBy", "mebibytes"],
  ["GiBy", "gibibytes"],
  ["KBy", "kilobytes"],
  ["MBy", "megabytes"],
  ["GBy", "gigabytes"],
  ["m", "meters"],
  ["V", "volts"],
  ["A", "amperes"],
  ["J", "joules"],
  ["W", "watts"],
  ["g", "grams"],
  ["Cel", "celsius"],
  ["Hz", "hertz"],
  ["%", "percent"],
  ["1", ""]
])

const perUnits: ReadonlyMap<string, string> = new Map([
  ["s", "second"],
  ["m", "minute"],
  ["h", "hour"],
  ["d", "day"],
  ["w", "week"],
  ["mo", "month"],
  ["y", "year"]
])

/** The names of units that Effect's exporter translates before it sends them. */
const effectUnits: ReadonlyMap<string, string> = new Map([
  ["nanoseconds", "ns"],
  ["microseconds", "us"],
  ["milliseconds", "ms"],
  ["seconds", "s"],
  ["bytes", "By"]
])

/** The unit of a metric, which has no attribute of its own in Effect. Effect's exporter sends `1` for a metric without a unit. */
const unitOf = (attributes: Attributes): string => {
  const unit = attributes["unit"] ?? attributes["time_unit"]
  return unit === undefined ? "1" : effectUnits.get(unit) ?? unit
}

/** One part of a unit, as a part of a name. An annotation such as `{connection}` is dropped. */
const unitToken = (part: string | undefined, names: ReadonlyMap<string, string>): string => {
  const unit = part?.trim() ?? ""
  return /[{}]/.test(unit) ? "" : (names.get(unit) ?? unit).replace(/[^a-zA-Z0-9:]+/g, "_").replace(/^_|_$/g, "")
}

/** The parts that the unit adds to a name: `By/s` adds `bytes` and `per_second`. */
const unitTokens = (unit: string): ReadonlyArray<string> => {
  const slash = unit.indexOf("/")
  const main = unitToken(slash === -1 ? unit : unit.slice(0, slash), units)
  const per = slash === -1 ? "" : unitToken(unit.slice(slash + 1), perUnits)
  return [main, per === "" ? "" : `per_${per}`].filter((token) => token !== "")
}

const kindOf = (metric: Snapshot): Kind => {
  switch (metric.type) {
    case "Counter":
      return metric.state.incremental ? "counter" : "gauge"
    case "Frequency":
      return "counter"
    case "Gauge":
      return "gauge"
    case "Histogram":
      return "histogram"
    case "Summary":
      return "summary"
  }
}

/** The name of a family. Each suffix is there once, at the end. */
const nameOf = (metric: Snapshot, kind: Kind, unit: string): string => {
  const tokens = metric.id.split(/[^a-zA-Z0-9:]+/).filter((token) => token !== "")
  const last = kind === "counter" ? "total" : metric.type === "Gauge" && unit === "1" ? "ratio" : undefined
  const named = [...tokens, ...unitTokens(unit).filter((token) => !tokens.includes(token))]
  const name = (last === undefined ? named : [...named.filter((token) => token !== last), last]).join("_")
  return /^\d/.test(name) ? `_${name}` : name
}

// Most texts are names of pools and states. The search for secrets in other ones takes a hundred times as long.
const safe = (text: string): string => /^[\w.-]{0,200}$/.test(text) ? text : safeText(text)

const labelName = (name: string): string => {
  const clean = safe(name).replace(/[^a-zA-Z0-9]+/g, "_")
  return /^\d/.test(clean) ? `key_${clean}` : clean
}

const escaped = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")

const labelValue = (value: string): string => escaped(safe(value)).replaceAll("\"", "\\\"")

/** The labels of a series: sorted, without the unit, which is in the name. Values of attributes with the same label are joined. */
const labelsOf = (attributes: Attributes, more: Attributes = {}): ReadonlyMap<string, string> => {
  const labels = new Map<string, string>()
  for (const [attribute, value] of Object.entries({ ...attributes, ...more }).sort(([a], [b]) => a < b ? -1 : 1)) {
    if (attribute === "unit" || attribute === "time_unit") continue
    const name = labelName(attribute)
    const before = labels.get(name)
    labels.set(name, before === undefined ? labelValue(value) : `${before};${labelValue(value)}`)
  }
  return labels
}

const braced = (labels: ReadonlyMap<string, string>, extra?: readonly [name: string, value: string]): string => {
  const all = extra === undefined ? [...labels] : [...labels, extra]
  return all.length === 0 ? "" : `{${all.map(([name, value]) => `${name}="${value}"`).join(",")}}`
}

const numeral = (value: number | bigint): string =>
  value === Infinity ? "+Inf" : value === -Infinity ? "-Inf" : String(value)

/** The samples of a metric: the suffix of the name, the labels, and the value. */
const samplesOf = (
  metric: Snapshot
): ReadonlyArray<readonly [suffix: string, labels: string, value: number | bigint]> => {
  const attributes = metric.attributes ?? {}
  const labels = labelsOf(attributes)
  const plain = braced(labels)
  switch (metric.type) {
    case "Counter":
      return [["", plain, metric.state.count]]
    case "Gauge":
      return [["", plain, metric.state.value]]
    case "Frequency":
      return Array.from(metric.state.occurrences, ([key, count]) => ["", braced(labelsOf(attributes, { key })), count])
    case "Histogram": {
      const { buckets, count, sum } = metric.state
      const finite = buckets.filter(([boundary]) => boundary !== Infinity)
      return [
        ...finite.map(([boundary, below]) => ["_bucket", braced(labels, ["le", String(boundary)]), below] as const),
        ["_bucket", braced(labels, ["le", "+Inf"]), count],
        ["_sum", plain, sum],
        ["_count", plain, count]
      ]
    }
    case "Summary": {
      const { count, quantiles, sum } = metric.state
      return [
        ...quantiles.flatMap(([quantile, value]) =>
          value === undefined ? [] : [["", braced(labels, ["quantile", String(quantile)]), value] as const]
        ),
        ["_sum", plain, sum],
        ["_count", plain, count]
      ]
    }
  }
}

/** A family of series. */
interface Family {
  readonly kind: Kind
  readonly help: string | undefined
  /** Each series once: Prometheus refuses a page that has one twice. */
  readonly samples: Map<string, string>
}

/**
 * The page for Prometheus. Each family has its HELP and TYPE once. If two metrics of different kinds have the same name, the second one is
 * left out, because Prometheus refuses such a page.
 */
export const prometheusText = (snapshot: ReadonlyArray<Snapshot>): string => {
  const families = new Map<string, Family>()
  for (const metric of snapshot) {
    const kind = kindOf(metric)
    const name = nameOf(metric, kind, unitOf(metric.attributes ?? {}))
    const family = families.get(name) ?? { kind, help: metric.description, samples: new Map() }
    if (name === "" || family.kind !== kind) continue
    families.set(name, family)
    for (const [suffix, labels, value] of samplesOf(metric)) {
      const series = `${name}${suffix}${labels}`
      if (!family.samples.has(series)) family.samples.set(series, numeral(value))
    }
  }
  const lines: Array<string> = []
  for (const [name, { help, kind, samples }] of families) {
    if (help !== undefined && help !== "") lines.push(`# HELP ${name} ${escaped(safeText(help))}`)
    lines.push(`# TYPE ${name} ${kind}`)
    for (const [series, value] of samples) lines.push(`${series} ${value}`)
  }
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`
}
