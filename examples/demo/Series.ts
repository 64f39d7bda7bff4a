/**
 * What was recorded, as values over time: one for each slice of the run.
 */
import type { Plan } from "./Plan.ts"
import type { Request, Track } from "./Recording.ts"
import { largest, percentile } from "./Statistics.ts"

/** The length of a slice, in milliseconds. */
export const slice = 250

/** Values over time. `undefined` is a slice without a value. */
export type Values = ReadonlyArray<number | undefined>

/** One contender over time, in slices from the start of the load. */
export interface Series {
  /** Requests that were due, per second. */
  readonly offered: Values
  /** Requests that were due in the slice and were answered, now or later, per second. */
  readonly answered: Values
  /** Of the answered requests that were due in the slice, in milliseconds. */
  readonly p50: Values
  readonly p99: Values
  /** The most connections at the server. */
  readonly open: Values
  /** Connections that the server has accepted, per second. */
  readonly dials: Values
  readonly descriptors: Values
}

/** Sorts records into slices. Those outside the run are left out. */
const sliced = <A>(records: ReadonlyArray<A>, at: (record: A) => number, { duration }: Plan) => {
  const slices = Array.from({ length: Math.ceil(duration / slice) }, (): Array<A> => [])
  for (const record of records) slices[Math.floor(at(record) / slice)]?.push(record)
  return slices
}

const perSecond = (count: number): number => count * 1000 / slice

export const isAnswered = ({ outcome }: Request): boolean => outcome === "ok"

const latencies = (requests: ReadonlyArray<Request>) => requests.filter(isAnswered).map(({ latency }) => latency)

/** The growth from the end of each slice to the end of the next one that has a value. */
const growth = (ends: Values): Values => {
  let last = 0
  return ends.map((end) => {
    if (end === undefined) return undefined
    const grown = end - last
    last = end
    return grown
  })
}

/** Makes the series of one contender. */
export const make = (track: Track, plan: Plan): Series => {
  const requests = sliced(track.requests, ({ due }) => due, plan)
  const connections = sliced(track.connections, ({ at }) => at, plan)
  const processes = sliced(track.process, ({ at }) => at, plan)
  const before = track.connections.findLast(({ at }) => at < 0)?.accepted ?? 0
  const accepted = connections.map((records) => records.at(-1)?.accepted)
  return {
    offered: requests.map(({ length }) => perSecond(length)),
    answered: requests.map((records) => perSecond(records.filter(isAnswered).length)),
    p50: requests.map((records) => percentile(latencies(records), 0.5)),
    p99: requests.map((records) => percentile(latencies(records), 0.99)),
    open: connections.map((records) => largest(records.map(({ open }) => open))),
    dials: growth(accepted.map((end) => end === undefined ? undefined : end - before))
      .map((grown) => grown === undefined ? undefined : perSecond(grown)),
    descriptors: processes.map((records) => largest(records.map(({ descriptors }) => descriptors)))
  }
}
