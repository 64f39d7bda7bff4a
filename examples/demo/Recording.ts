/**
 * What is recorded during a run: one mutable record, which only the functions here change. Times are milliseconds since the start of
 * the load.
 */
import type { Outcome } from "./Messages.ts"

/** One request. */
export interface Request {
  /** When it was due. */
  readonly due: number
  readonly latency: number
  /** `ok`, or the reason why it was not answered. */
  readonly outcome: string
}

/** Connections of a contender at the server. */
export interface Connections {
  readonly at: number
  readonly open: number
  readonly accepted: number
}

/** The process of a contender. */
export interface ProcessSample {
  readonly at: number
  readonly descriptors: number | null
  /** CPU time so far, in milliseconds. */
  readonly cpu: number
}

/** What a contender says at its end; `null` is a figure that could not be read. */
export interface Closing {
  /** Descriptors before it opened its first connection, and after it has closed everything. */
  readonly before: number | null
  readonly after: number | null
  /** The most connections that it had at once. */
  readonly held: number | null
}

/** What is recorded of one contender. */
export interface Track {
  readonly requests: Array<Request>
  readonly connections: Array<Connections>
  readonly process: Array<ProcessSample>
  closing: Closing | undefined
}

/** What is recorded. */
export interface Recording {
  readonly tracks: ReadonlyArray<Track>
  /** How late requests were sent, by the 99th percentile, in milliseconds: the machine was so busy. */
  late: number
}

export const make = (contenders: number): Recording => ({
  tracks: Array.from({ length: contenders }, () => ({
    requests: [],
    connections: [],
    process: [],
    closing: undefined
  })),
  late: 0
})

/** Records requests that have ended. */
export const outcomes = ({ tracks }: Recording, ended: ReadonlyArray<Outcome>): void => {
  for (const [contender, due, latency, outcome] of ended) tracks[contender]?.requests.push({ due, latency, outcome })
}
