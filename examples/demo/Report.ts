/**
 * The report of a run: its figures, and the promises that it broke.
 */
import type { Account } from "./server/Account.ts"
import * as Tally from "./Tally.ts"

/** `pooled`: through one pool with retry and gate. `naive`: a dial for each operation, and nothing else. */
export type Mode = "pooled" | "naive"

/** The requests to one endpoint. */
interface EndpointReport {
  readonly succeeded: number
  readonly failed: number
  /** Nothing listens there, on purpose. */
  readonly dead: boolean
}

/** All figures of a run. Times are in milliseconds; `null` is a figure that could not be read or does not exist. */
export interface Report {
  readonly mode: Mode
  /** The run kept every promise. */
  readonly ok: boolean
  /** The broken promises, as sentences. */
  readonly broken: ReadonlyArray<string>
  readonly interrupted: string | null
  readonly elapsed: number
  readonly requests: {
    /** Planned requests. An interrupted run finishes fewer. */
    readonly total: number
    readonly succeeded: number
    readonly failed: number
    readonly byEndpoint: Readonly<Record<string, EndpointReport>>
    /** Failed requests by the tag of the reason. */
    readonly byReason: Readonly<Record<string, number>>
  }
  readonly connections: {
    readonly opened: number
    /** The most that were open at once. */
    readonly peak: number
    /** The share of requests, 0 to 1, for which no connection had to be opened. */
    readonly reusedShare: number
    readonly dials: number
    /** Dials of live endpoints that failed. */
    readonly failedDials: number
  }
  readonly retries: number
  readonly latency: { readonly p50: number; readonly p99: number }
  readonly descriptors: {
    readonly before: number | null
    readonly peak: number | null
    readonly after: number | null
  }
  readonly server: Account | null
}

/** The facts for a report. */
export interface Facts {
  readonly mode: Mode
  readonly tally: Tally.Tally
  readonly elapsed: number
  readonly interrupted: string | undefined
  readonly before: number | undefined
  readonly after: number | undefined
  /** The requests went to the server of the demo, not to one of the user. */
  readonly withServer: boolean
  /** `undefined` if there was none, or if it did not answer. */
  readonly server: Account | undefined
}

/** A short run may open more than a tenth of its requests: the server breaks some connections on schedule in any run. */
const fewestAllowed = 30

const round = (value: number): number => Math.round(value * 10) / 10

const liveShare = ({ targets }: Tally.Tally): number => {
  const live = targets.filter((target) => !target.dead)
  const good = live.reduce((total, target) => total + target.succeeded, 0)
  const all = live.reduce((total, target) => total + target.succeeded + target.failed, 0)
  return all === 0 ? 1 : good / all
}

const leaks = ({ after, before, server, withServer }: Facts): ReadonlyArray<string> => [
  ...(before === undefined || after === undefined
    ? ["descriptors could not be counted"]
    : before !== after
    ? [`${before} descriptors were open before and ${after} after`]
    : []),
  ...(withServer && server === undefined ? ["the server gave no account"] : []),
  ...(server !== undefined && server.open > 0 ? [`the server still has ${server.open} connections open`] : [])
]

/** The promises that a run broke. */
const broken = (facts: Facts): ReadonlyArray<string> => {
  const { interrupted, tally } = facts
  const allowed = Math.max(fewestAllowed, tally.planned / 10)
  const share = liveShare(tally)
  return [
    ...leaks(facts),
    ...(tally.opened > allowed
      ? [`${tally.opened} connections were opened, more than ${allowed} for ${tally.planned} requests`]
      : []),
    ...(share < 0.99 ? [`only ${percent(share)} of the requests to live endpoints succeeded`] : []),
    ...(interrupted === undefined && Tally.finished(tally) < tally.planned
      ? [`only ${Tally.finished(tally)} of ${tally.planned} requests were finished`]
      : [])
  ]
}

/** Makes the report of these facts. */
export const make = (facts: Facts): Report => {
  const { after, before, elapsed, interrupted, mode, server, tally } = facts
  const promises = broken(facts)
  return {
    mode,
    ok: promises.length === 0 && interrupted === undefined,
    broken: promises,
    interrupted: interrupted ?? null,
    elapsed: Math.round(elapsed),
    requests: {
      total: tally.planned,
      succeeded: Tally.succeeded(tally),
      failed: Tally.failed(tally),
      byEndpoint: Object.fromEntries(
        tally.targets.map(({ dead, failed, label, succeeded }) => [label, { succeeded, failed, dead }])
      ),
      byReason: Object.fromEntries(tally.byReason)
    },
    connections: {
      opened: tally.opened,
      peak: tally.peakOpen,
      reusedShare: Math.round(Tally.reusedShare(tally) * 1e4) / 1e4,
      dials: tally.dials,
      failedDials: tally.refused
    },
    retries: Tally.retries(tally),
    latency: {
      p50: round(Tally.percentile(tally.latencies, 0.5)),
      p99: round(Tally.percentile(tally.latencies, 0.99))
    },
    descriptors: {
      before: before ?? null,
      peak: before === undefined ? null : Math.max(before, tally.peakDescriptors),
      after: after ?? null
    },
    server: server ?? null
  }
}

/** A share from 0 to 1 as a percentage. Rounds down, so that 100 % means all. */
const percent = (share: number): string => `${(Math.floor(share * 1000) / 10).toFixed(1)} %`

/** A time in milliseconds, as text. */
export const time = (millis: number): string =>
  millis < 1000 ? `${Math.round(millis)} ms` : `${(millis / 1000).toFixed(1)} s`

const count = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`

const requestRows = ({ requests }: Report): ReadonlyArray<readonly [string, string]> => {
  const dead = Object.values(requests.byEndpoint).filter((endpoint) => endpoint.dead)
  const lost = dead.reduce((total, endpoint) => total + endpoint.failed, 0)
  const reasons = Object.entries(requests.byReason).map(([reason, n]) => `${n} ${reason}`)
  return [
    ["requests", `${requests.succeeded} succeeded, ${requests.failed} failed, of ${requests.total}`],
    ...(dead.length === 0 ? [] : [["", `${lost} of the failures at the endpoint where nothing listens`] as const]),
    ...(reasons.length === 0 ? [] : [["reasons", reasons.join(", ")] as const])
  ]
}

const serverRows = (server: Account | null): ReadonlyArray<readonly [string, string]> => {
  if (server === null) return []
  const { misbehaviour: m } = server
  return [
    [
      "server saw",
      `${server.opened} opened, ${server.graceful} closed gracefully, ${server.reset} reset, ${server.open} open`
    ],
    [
      "server did",
      `${count(m.outages, "outage")}, ${count(m.idleCloses, "idle close")}, ${
        count(m.resets, "reset")
      } in mid-reply, ` +
      `${count(m.slow, "slow answer")}, ${count(m.mutes, "mute connection")}`
    ]
  ]
}

const rows = (report: Report): ReadonlyArray<readonly [string, string]> => {
  const { connections, descriptors, latency } = report
  const known = (n: number | null) => n ?? "unknown"
  return [
    ...requestRows(report),
    ["connections", `${connections.opened} opened, at most ${connections.peak} at once`],
    ["", `${percent(connections.reusedShare)} of the requests needed no new one`],
    ["retries", `${report.retries} of requests, ${connections.failedDials} dials failed at live endpoints`],
    ["latency", `p50 ${time(latency.p50)}, p99 ${time(latency.p99)}`],
    [
      "descriptors",
      `${known(descriptors.before)} before, ${known(descriptors.peak)} at peak, ${known(descriptors.after)} after`
    ],
    ...serverRows(report.server),
    ["elapsed", time(report.elapsed)]
  ]
}

/** The run in one sentence. */
export const verdict = (report: Report): string => {
  const { connections, requests } = report
  const leakFree = `every one of ${count(connections.opened, "connection")} was closed`
  const failures = report.broken.join("; ")
  if (report.interrupted !== null) {
    const made = `${requests.succeeded + requests.failed} of ${requests.total} requests`
    return `Interrupted by ${report.interrupted} after ${made}: ${failures === "" ? leakFree : failures}.`
  }
  return failures === ""
    ? `All promises kept: ${requests.total} requests, and ${leakFree}.`
    : `Promises broken: ${failures}.`
}

/** The report as text that ends with the verdict. */
export const text = (report: Report): string => {
  const title = `sluice demo, ${report.mode}`
  const body = rows(report).map(([name, value]) => `  ${name.padEnd(12)} ${value}`)
  return [title, "", ...body, "", verdict(report), ""].join("\n")
}
