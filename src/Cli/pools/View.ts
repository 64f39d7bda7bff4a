/**
 * A snapshot as lines of text: what is down and since when, levels, pools, endpoints, holders, leaks and failures.
 *
 * @since 0.1.0
 */
import type { Finding, Resource, Severity } from "../../Operations/internal/page/client/Findings.ts"
import { countOf, findingsOf } from "../../Operations/internal/page/client/Findings.ts"
import { count, duration, figure, plural, shortSite, time } from "../../Operations/internal/page/client/Format.ts"
import type { Snapshot } from "../../Operations/Snapshot.ts"
import { type Cell, type Line, line, span, table, type Tone } from "./Line.ts"

type Pool = Snapshot["pools"][number]
type Endpoint = Pool["endpoints"][number]
type Of<A> = A & { readonly pool: string }

/** Some lines with a title. `most` of a list is shown, and `all` is how many there are. */
interface Section {
  readonly lines: ReadonlyArray<Line>
  readonly isList: boolean
  readonly all: number
}

const fixed = (lines: ReadonlyArray<Line>): Section => ({ lines, isList: false, all: lines.length })

const severityTones: Readonly<Record<Severity, Tone>> = { down: "down", warning: "warning", note: "dim" }
const signs: Readonly<Record<Severity, string>> = { down: "OUTAGE", warning: "WARNING", note: "NOTE" }

/** The most findings that are shown. */
const mostFindings = 10

const findingLines = ({ detail, facts, pool, severity, since, title }: Finding, now: number): ReadonlyArray<Line> => {
  const begun = since === undefined ? [] : [`for ${duration(Math.max(0, now - since))}, since ${time(since, now)}`]
  const about = [...begun, ...facts].join(" - ")
  const tone = severityTones[severity]
  return [
    line(
      span(signs[severity].padEnd(8), tone),
      span(pool === undefined ? title : `${title} (pool ${pool})`, "bold"),
      about === "" ? "" : `  ${about}`
    ),
    ...detail === undefined ? [] : [line(`        ${detail}`)]
  ]
}

const findingSection = (snapshot: Snapshot): Section => {
  const findings = findingsOf(snapshot)
  const lines = findings.slice(0, mostFindings).flatMap((finding) => findingLines(finding, snapshot.at))
  if (findings.length > mostFindings) {
    lines.push(line(span(`        and ${findings.length - mostFindings} more`, "dim")))
  }
  return fixed(lines.length > 0 ? lines : [line(span("All is well: nothing is down, full or suspended", "good"))])
}

const readinessLines = ({ readiness: { isReady, reasons } }: Snapshot): ReadonlyArray<Line> =>
  isReady
    ? []
    : [line(span("not ready", "warning"), `: ${reasons.slice(0, 3).map(({ message }) => message).join("; ")}`)]

/** The process and the time of the snapshot. */
export const titleOf = (target: string, { at, process: { library, pid, runtime, uptime } }: Snapshot): Line =>
  line(
    span(target, "bold"),
    `  process ${pid}, up ${duration(uptime)}  `,
    span(`effect-sluice ${library}, ${runtime}  `, "dim"),
    time(at, at)
  )

const barWidth = 24

/** Parts of a whole as a bar, each with its own character. A part that is not 0 is seen. */
export const bar = (parts: ReadonlyArray<readonly [character: string, value: number]>, whole: number): string => {
  let text = ""
  for (const [character, value] of parts) {
    if (value <= 0 || whole <= 0) continue
    const width = Math.max(1, Math.round(value / whole * barWidth))
    text += character.repeat(Math.min(width, barWidth - text.length))
  }
  return text.padEnd(barWidth, ".")
}

const levelTones: Readonly<Record<Resource["level"], Tone>> = {
  Normal: "good",
  Warning: "warning",
  Critical: "down",
  Exhausted: "down"
}

const resourceLine = ({ level, limit, note, reserved, resource, unit, used }: Resource): Line => {
  const now = used === undefined ? "unknown" : figure(used, unit)
  const share = used === undefined || limit === undefined || limit === 0 ? undefined : Math.floor(used / limit * 100)
  const drawn = limit === undefined || used === undefined ? "" : `[${bar([["#", used], ["+", reserved]], limit)}] `
  return line(
    span(resource.padEnd(13), "bold"),
    drawn,
    span(level.padEnd(9), levelTones[level]),
    ` ${now}${limit === undefined ? "" : ` of ${figure(limit, unit)}`}${share === undefined ? "" : ` (${share} %)`}`,
    reserved === 0 ? "" : `, ${figure(reserved, unit)} reserved`,
    note === undefined ? "" : span(`  ${note}`, "dim")
  )
}

const monitorSection = ({ monitor }: Snapshot): Section => {
  if (monitor === undefined) return fixed([])
  const { eventLoop: { lag, longestStall, stalls }, gate, resources, zombies = 0 } = monitor
  const refusals = Object.values(gate.refusals).reduce((sum, one) => sum + one, 0)
  const parts = [
    `event loop delay ${lag === undefined ? "unknown" : duration(lag)}`,
    ...stalls === 0 ? [] : [`${plural(stalls, "stall")}, the longest ${duration(longestStall)}`],
    ...gate.waiting === 0 ? [] : [`${plural(gate.waiting, "dial waits", "dials wait")} for room`],
    ...refusals === 0 ? [] : [`${plural(refusals, "dial")} refused`],
    ...zombies === 0 ? [] : [plural(zombies, "zombie")]
  ]
  return fixed([...resources.map(resourceLine), line(span("process".padEnd(13), "bold"), parts.join(", "))])
}

/** A list with a title. It is empty without rows. */
const list = (
  title: string,
  all: number,
  titles: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<Cell>>
): Section =>
  rows.length === 0
    ? { lines: [], isList: true, all: 0 }
    : { lines: [line(span(title, "bold")), ...table(titles, rows)], isList: true, all }

/** Lines of a list before its first row. */
const heading = 2

const number = (value: number, tone?: Tone): Cell => ({ text: count(value), tone, isNumber: true })
const millis = (value: number | undefined, tone?: Tone): Cell => ({
  text: value === undefined ? "-" : duration(value),
  tone,
  isNumber: true
})
const text = (value: string | undefined, tone?: Tone): Cell => ({ text: value ?? "-", tone })

const healthTones: Readonly<Record<Pool["health"], Tone>> = {
  Healthy: "good",
  Degraded: "warning",
  Unavailable: "down"
}
const badness: Readonly<Record<Pool["health"], number>> = { Unavailable: 2, Degraded: 1, Healthy: 0 }

const poolRow = (
  { counts, health, isRequired, maxTotal, name, oldestWait, status, totals }: Pool
): ReadonlyArray<Cell> => {
  const { active, closing, connecting, idle, waiting } = counts
  return [
    text(isRequired ? `${name} *` : name, "bold"),
    status === "Open" ? text(health, healthTones[health]) : text(status, "warning"),
    text(`[${bar([["#", active], ["=", idle], ["+", connecting + closing]], maxTotal)}]`),
    number(active),
    number(idle),
    number(connecting),
    number(maxTotal),
    number(waiting, waiting > 0 ? "warning" : undefined),
    millis(oldestWait),
    number(totals["timeouts"] ?? 0)
  ]
}

const poolSection = ({ pools }: Snapshot): Section =>
  list(
    "Pools  (# used, = idle, + connecting or closing; * required)",
    pools.length,
    ["pool", "state", "connections", "used", "idle", "connecting", "cap", "waiting", "longest wait", "timeouts"],
    pools.map(poolRow)
  )

/** What is of all pools, with their names. */
const ofAll = <A>({ pools }: Snapshot, of: (pool: Pool) => ReadonlyArray<A>): ReadonlyArray<Of<A>> =>
  pools.flatMap((pool) => of(pool).map((item) => ({ ...item, pool: pool.name })))

const isWorse = (one: Endpoint, other: Endpoint): number =>
  badness[other.health] - badness[one.health] || other.counts.waiting - one.counts.waiting ||
  other.counts.active - one.counts.active

const failureText = ({ lastFailure, nextDialIn }: Endpoint): string =>
  [
    ...nextDialIn === undefined ? [] : [`next attempt in ${duration(nextDialIn)}`],
    ...lastFailure === undefined ? [] : [`${lastFailure.type}: ${lastFailure.message}`]
  ].join("; ")

const endpointSection = (snapshot: Snapshot): Section => {
  const endpoints = ofAll(snapshot, (pool) => pool.endpoints).toSorted(isWorse)
  const all = snapshot.pools.reduce(
    (sum, { endpointsByHealth: { Degraded, Healthy, Unavailable } }) => sum + Degraded + Healthy + Unavailable,
    0
  )
  return list(
    "Endpoints",
    all,
    ["health", "since", "endpoint", "pool", "used", "open", "waiting", "failed", "timeouts", "last failure"],
    endpoints.map((endpoint) => [
      text(endpoint.health, healthTones[endpoint.health]),
      text(endpoint.impairedSince === undefined ? "" : time(endpoint.impairedSince, snapshot.at)),
      text(endpoint.label, "bold"),
      text(endpoint.pool),
      number(endpoint.counts.active),
      number(endpoint.counts.total),
      number(endpoint.counts.waiting, endpoint.counts.waiting > 0 ? "warning" : undefined),
      number(endpoint.failedAttempts),
      number(endpoint.timeouts),
      text(failureText(endpoint))
    ])
  )
}

/** The name of the span, and the attributes that are not a part of it, as the method and the path of a route are. */
const routeOf = ({ attributes, span: route = "-" }: Pool["holders"][number]): string => {
  const others = Object.entries(attributes).filter(([, value]) => !route.split(" ").includes(value))
  return [route, ...others.map(([name, value]) => `${name}=${value}`)].join(" ")
}

const holderSection = (snapshot: Snapshot): Section => {
  const holders = ofAll(snapshot, (pool) => pool.holders).toSorted((one, other) =>
    Number(one.isStanding) - Number(other.isStanding) || other.age - one.age
  )
  const all = snapshot.pools.reduce((sum, { counts: { active } }) => sum + active, 0)
  return list(
    "Holders, the longest first",
    Math.max(all, holders.length),
    ["held for", "route", "pool", "endpoint", "call site"],
    holders.map((holder) => [
      millis(holder.age),
      text(holder.isStanding ? `${routeOf(holder)} (standing)` : routeOf(holder), "bold"),
      text(holder.pool),
      text(holder.endpoint),
      text(holder.site === undefined ? undefined : shortSite(holder.site))
    ])
  )
}

const verdicts = { held: "held too long", lost: "never returned", left_open: "left open" } as const

const leakSection = ({ at, monitor }: Snapshot): Section => {
  const leaks = monitor?.leaks ?? []
  return list(
    "Leaks by call site",
    leaks.length,
    ["times", "what", "longest", "last", "of", "call site"],
    leaks.map((leak) => [
      number(leak.count),
      text(verdicts[leak.verdict], "warning"),
      millis(leak.longest),
      text(time(leak.lastAt, at)),
      text(leak.pool === undefined ? leak.label : `${leak.pool}, ${leak.label}`),
      text(leak.site === undefined ? leak.span : shortSite(leak.site))
    ])
  )
}

const failureSection = (snapshot: Snapshot): Section => {
  const failures = ofAll(snapshot, (pool) => pool.failures).toSorted((one, other) => other.at - one.at)
  return list(
    "Failures, the last first",
    failures.length,
    ["time", "times", "pool", "endpoint", "error"],
    failures.map(({ at, count, endpoint, message, pool, type }) => [
      text(time(at, snapshot.at)),
      number(count),
      text(pool),
      text(endpoint),
      text(`${type}: ${message}`)
    ])
  )
}

/** Shows so many rows of a list, and how many there are besides. */
const shortened = ({ all, isList, lines }: Section, most: number): ReadonlyArray<Line> => {
  if (!isList) return lines
  const rows = Math.max(0, lines.length - heading)
  const shown = rows <= most ? rows : Math.max(1, most - 1)
  const left = Math.max(all, rows) - shown
  if (rows === 0) return []
  return [...lines.slice(0, heading + shown), ...left > 0 ? [line(span(`and ${count(left)} more`, "dim"))] : []]
}

/** The fewest rows of a list that are shown, however small the terminal is. */
const fewest = 3

/**
 * Sections that together have at most so many rows, with an empty line before each. Lists share what the others leave: the first ones
 * get more if not all is there.
 */
const within = (sections: ReadonlyArray<Section>, rows: number): ReadonlyArray<Line> => {
  const shown = sections.filter(({ lines }) => lines.length > 0)
  const most = shown.map(({ isList }) => isList ? fewest : Infinity)
  const layout = () =>
    shown.flatMap((section, at) => [...at === 0 ? [] : [line()], ...shortened(section, most[at] ?? fewest)])
  let lines = layout()
  for (let grown = true; grown;) {
    grown = false
    for (const [at, { isList, lines: own }] of shown.entries()) {
      const before = most[at] ?? fewest
      if (!isList || before >= own.length - heading) continue
      most[at] = before + 1
      const more = layout()
      if (more.length > rows) {
        most[at] = before
        continue
      }
      lines = more
      grown = true
    }
  }
  return lines.slice(0, Math.max(1, rows))
}

/** The whole view. With `rows`, it has at most so many lines. */
export const linesOf = (target: string, snapshot: Snapshot, rows = Infinity): ReadonlyArray<Line> => {
  const top = [titleOf(target, snapshot), ...readinessLines(snapshot)]
  return within([
    fixed(top),
    findingSection(snapshot),
    monitorSection(snapshot),
    poolSection(snapshot),
    endpointSection(snapshot),
    holderSection(snapshot),
    leakSection(snapshot),
    failureSection(snapshot)
  ], rows)
}

/** A snapshot in one line. */
export const summaryOf = (snapshot: Snapshot): string => {
  const findings = findingsOf(snapshot)
  const [worst] = findings
  const pools = snapshot.pools.map(({ counts: { active, waiting }, maxTotal, name }) =>
    `${name} ${active} of ${maxTotal} used${waiting === 0 ? "" : `, ${waiting} wait`}`
  )
  const parts = [
    snapshot.monitor === undefined ? [] : [`level ${snapshot.monitor.level}`],
    [plural(countOf(findings, "down"), "outage"), plural(countOf(findings, "warning"), "warning")],
    worst === undefined ? [] : [worst.pool === undefined ? worst.title : `${worst.title} (pool ${worst.pool})`],
    pools.slice(0, 10)
  ]
  return parts.flat().join("; ")
}
