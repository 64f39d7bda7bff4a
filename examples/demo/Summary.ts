/**
 * The result of a run: the figures of each contender, where ours is behind, and the promises that it broke.
 */
import type { FaultKind, Plan } from "./Plan.ts"
import type { Recording, Track } from "./Recording.ts"
import * as Recovery from "./Recovery.ts"
import { isAnswered } from "./Series.ts"
import { largest, percentile } from "./Statistics.ts"

/** The figures of one contender. Times are milliseconds; `null` is a figure that could not be read or does not exist. */
export interface Figures {
  readonly requests: number
  readonly answered: number
  /** Of the answered requests, from when they were due. */
  readonly p50: number | null
  readonly p99: number | null
  /** For each fault of the plan: from its end until requests are answered promptly again; `null` if that was not before the next one. */
  readonly recovery: ReadonlyArray<{ readonly fault: FaultKind; readonly millis: number | null }>
  /** Connections that the server has accepted. */
  readonly dials: number
  /** The most connections at the server at once. A frozen server also has those that the client has closed since. */
  readonly peak: number
  /** The most connections that the client had at once, from the dial to the close. */
  readonly held: number | null
  /** Connections at the server after the contender has closed everything. */
  readonly left: number
  readonly descriptors: {
    readonly before: number | null
    readonly peak: number | null
    readonly after: number | null
  }
  /** CPU time of its process during the load. */
  readonly cpu: number | null
  /** Requests that were not answered, by their reason. */
  readonly reasons: Readonly<Record<string, number>>
}

/** A contender and its figures. */
export interface Entry {
  readonly name: string
  readonly options: Readonly<Record<string, string>>
  readonly figures: Figures
}

/** The result of a run. The first contender is ours. */
export interface Summary {
  readonly plan: Plan
  readonly contenders: ReadonlyArray<Entry>
  /** Ours kept every promise. */
  readonly ok: boolean
  /** The promises that ours broke, as sentences. */
  readonly broken: ReadonlyArray<string>
  /** How late requests were sent, by the 99th percentile: the machine was so busy. */
  readonly late: number
}

const round = (value: number | undefined): number | null => value === undefined ? null : Math.round(value * 10) / 10

const reasonsOf = (track: Track): Readonly<Record<string, number>> => {
  const reasons = new Map<string, number>()
  for (const { due, outcome } of track.requests) {
    // Texts differ in their numbers and ports.
    const reason = outcome.replace(/\d+/g, "#")
    if (due >= 0 && outcome !== "ok") reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
  }
  return Object.fromEntries(Array.from(reasons).toSorted(([, a], [, b]) => b - a))
}

const cpuOf = ({ process }: Track): number | null => {
  const before = process.findLast(({ at }) => at < 0)?.cpu
  const after = process.at(-1)?.cpu
  return before === undefined || after === undefined ? null : Math.round(after - before)
}

/** The figures of one contender. */
export const figuresOf = (track: Track, plan: Plan): Figures => {
  const requests = track.requests.filter(({ due }) => due >= 0)
  const answered = requests.filter(isAnswered)
  const latencies = answered.map(({ latency }) => latency)
  const during = track.connections.filter(({ at }) => at >= 0)
  const last = track.connections.at(-1)
  const before = track.connections.findLast(({ at }) => at < 0)?.accepted ?? 0
  return {
    requests: requests.length,
    answered: answered.length,
    p50: round(percentile(latencies, 0.5)),
    p99: round(percentile(latencies, 0.99)),
    recovery: plan.faults.map((fault) => ({ fault: fault.kind, millis: Recovery.after(fault, plan, requests) })),
    dials: (last?.accepted ?? before) - before,
    peak: largest(during.map(({ open }) => open)) ?? 0,
    held: track.closing?.held ?? null,
    left: last?.open ?? 0,
    descriptors: {
      before: track.closing?.before ?? null,
      peak: largest(track.process.map(({ descriptors }) => descriptors)) ?? null,
      after: track.closing?.after ?? null
    },
    cpu: cpuOf(track),
    reasons: reasonsOf(track)
  }
}

const brokenBy = (track: Track, figures: Figures, cap: number): ReadonlyArray<string> => {
  const { answered, descriptors: { after, before }, held, left } = figures
  return [
    ...(track.closing === undefined ? ["it did not close everything in time"] : []),
    ...(held !== null && held > cap ? [`${held} connections were held at once, more than ${cap}`] : []),
    ...(left > 0 ? [`the server still has ${left} connections open`] : []),
    ...(before !== null && after !== null && after > before
      ? [`${before} descriptors were open before and ${after} after`]
      : []),
    ...(answered === 0 ? ["it answered no request"] : [])
  ]
}

/** Sums up a recording. The first contender is ours, and `cap` is the most connections that it may hold. */
export const make = (
  plan: Plan,
  contenders: ReadonlyArray<Omit<Entry, "figures">>,
  recording: Recording,
  cap: number
): Summary => {
  const figures = recording.tracks.map((track) => figuresOf(track, plan))
  const [ours] = recording.tracks
  const [first] = figures
  const broken = ours === undefined || first === undefined ? [] : brokenBy(ours, first, cap)
  return {
    plan,
    contenders: contenders.flatMap((contender, index) => {
      const own = figures[index]
      return own === undefined ? [] : [{ ...contender, figures: own }]
    }),
    ok: broken.length === 0,
    broken,
    late: Math.round(recording.late)
  }
}
