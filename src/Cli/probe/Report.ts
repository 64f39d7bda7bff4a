/**
 * The report of a probe, as text and as one JSON object.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import { cut, showBytes } from "../../internal/Printable.ts"
import type { Reading } from "../../Monitor/Reading.ts"
import type { Attempt, Settings } from "./Probe.ts"

/** Smallest, middle and largest of some times, in milliseconds. */
export interface Spread {
  readonly min: number
  readonly median: number
  readonly max: number
}

/** The report of a successful probe. */
export interface Report {
  readonly endpoint: string
  readonly ok: true
  readonly attempts: number
  readonly connectMillis: Spread
  /** Only of attempts with an answer. */
  readonly answerMillis: Spread | undefined
  readonly bytesSent: number
  readonly bytesReceived: number
  /** The start of the last answer, escaped and in quotes. */
  readonly reply: string | undefined
  readonly mcpServer: string | undefined
  readonly closed: { readonly graceful: number; readonly reset: number; readonly forced: number }
  /** Open descriptors of this process; `null` if they cannot be counted. */
  readonly descriptors: { readonly before: number | null; readonly after: number | null }
}

const millis = (duration: Duration.Duration): number => Math.round(Duration.toMillis(duration) * 1000) / 1000

/** `undefined` without times. The median of an even number of times is the mean of the middle two. */
export const spread = (times: ReadonlyArray<Duration.Duration>): Spread | undefined => {
  const sorted = times.map(millis).sort((a, b) => a - b)
  const [min, max] = [sorted[0], sorted.at(-1)]
  const low = sorted[Math.floor((sorted.length - 1) / 2)]
  const high = sorted[Math.floor(sorted.length / 2)]
  if (min === undefined || max === undefined || low === undefined || high === undefined) return undefined
  return { min, median: Math.round((low + high) * 500) / 1000, max }
}

const none: Spread = { min: 0, median: 0, max: 0 }

const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((a, b) => a + b, 0)

const known = (reading: Reading): number | null => reading._tag === "Known" ? reading.value : null

/** The report of these attempts. */
export const make = (
  settings: Settings,
  attempts: ReadonlyArray<Attempt>,
  descriptors: { readonly before: Reading; readonly after: Reading }
): Report => {
  const last = attempts.at(-1)
  const ended = (how: Attempt["ending"]["how"]) => attempts.filter((attempt) => attempt.ending.how === how).length
  const server = last?.server?.serverInfo
  return {
    endpoint: String(settings.endpoint),
    ok: true,
    attempts: attempts.length,
    connectMillis: spread(attempts.map((attempt) => attempt.connect)) ?? none,
    answerMillis: spread(attempts.flatMap(({ answer }) => answer === undefined ? [] : [answer])),
    bytesSent: sum(attempts.map(({ ending }) => ending.bytesWritten)),
    bytesReceived: sum(attempts.map(({ ending }) => ending.bytesRead)),
    reply: last === undefined || last.reply.length === 0 ? undefined : showBytes(last.reply),
    mcpServer: server === undefined ? undefined : cut(`${server.name} ${server.version}`, 200),
    closed: { graceful: ended("Graceful"), reset: ended("Reset"), forced: ended("Forced") },
    descriptors: { before: known(descriptors.before), after: known(descriptors.after) }
  }
}

const showSpread = ({ max, median, min }: Spread, attempts: number): string =>
  attempts === 1 ? `${median} ms` : `min ${min} ms, median ${median} ms, max ${max} ms`

const showClosed = ({ closed }: Report): string => {
  const ways = [[closed.graceful, "gracefully"], [closed.reset, "by a reset"], [closed.forced, "by force"]] as const
  const [only, ...others] = ways.filter(([count]) => count > 0)
  return only !== undefined && others.length === 0 ? only[1] : ways.map(([count, way]) => `${count} ${way}`).join(", ")
}

const showDescriptors = ({ descriptors: { after, before } }: Report): string =>
  before === null || after === null ? "cannot be counted here" : `${before} before, ${after} after`

/** The report as text. A server's name and version are escaped like other bytes. */
export const text = (report: Report): string => {
  const bytes = (count: number): string => count === 1 ? "1 byte" : `${count} bytes`
  const rows: Array<readonly [string, string | undefined]> = [
    ["connections", report.attempts === 1 ? undefined : String(report.attempts)],
    ["connect", showSpread(report.connectMillis, report.attempts)],
    ["server", report.mcpServer === undefined ? undefined : showBytes(Buffer.from(report.mcpServer))],
    ["answer", report.answerMillis === undefined ? undefined : showSpread(report.answerMillis, report.attempts)],
    ["sent", bytes(report.bytesSent)],
    ["received", `${bytes(report.bytesReceived)}${report.reply === undefined ? "" : ` ${report.reply}`}`],
    ["closed", showClosed(report)],
    ["descriptors", showDescriptors(report)]
  ]
  const lines = rows.flatMap(([name, value]) => value === undefined ? [] : [`  ${name.padEnd(13)}${value}\n`])
  return `${report.endpoint} accepts connections\n${lines.join("")}`
}
