/**
 * The counts of a run on the client's side: one mutable record, changed in single synchronous steps.
 */
import type { Endpoint } from "effect-sluice/Endpoint"

/** An endpoint of the demo, and its counts. */
export interface Target {
  readonly endpoint: Endpoint
  readonly label: string
  /** Nothing listens there, so its requests are expected to fail. */
  readonly dead: boolean
  succeeded: number
  failed: number
  /** Connections that are open now. */
  open: number
  /** Failed dials since the last successful one. */
  failedDials: number
}

/** The counts of a run. */
export interface Tally {
  readonly targets: ReadonlyArray<Target>
  /** Planned requests. */
  readonly planned: number
  started: number
  /** Attempts of all requests, including the first ones. */
  attempts: number
  /** Requests for which a connection was opened. */
  needingNew: number
  readonly byReason: Map<string, number>
  /** Of requests that succeeded, in milliseconds. */
  readonly latencies: Array<number>
  dials: number
  /** Failed dials of the endpoints that are not dead. */
  refused: number
  opened: number
  peakOpen: number
  /** Connections with a request under way. */
  busy: number
  peakDescriptors: number
}

/** Counts without requests. */
export const make = (targets: ReadonlyArray<Pick<Target, "endpoint" | "dead">>, planned: number): Tally => ({
  targets: targets.map(({ dead, endpoint }) => ({
    endpoint,
    dead,
    label: String(endpoint),
    succeeded: 0,
    failed: 0,
    open: 0,
    failedDials: 0
  })),
  planned,
  started: 0,
  attempts: 0,
  needingNew: 0,
  byReason: new Map(),
  latencies: [],
  dials: 0,
  refused: 0,
  opened: 0,
  peakOpen: 0,
  busy: 0,
  peakDescriptors: 0
})

const sum = (tally: Tally, value: (target: Target) => number): number =>
  tally.targets.reduce((total, target) => total + value(target), 0)

export const succeeded = (tally: Tally): number => sum(tally, (target) => target.succeeded)
export const failed = (tally: Tally): number => sum(tally, (target) => target.failed)
export const open = (tally: Tally): number => sum(tally, (target) => target.open)
export const finished = (tally: Tally): number => succeeded(tally) + failed(tally)

/** Attempts beyond the first one of each request that was started. */
export const retries = (tally: Tally): number => Math.max(0, tally.attempts - tally.started)

/** The share of finished requests for which no connection had to be opened; 0 of none. */
export const reusedShare = (tally: Tally): number => {
  const done = succeeded(tally)
  return done === 0 ? 0 : 1 - Math.min(done, tally.needingNew) / done
}

/** The value below which a share `p` (0 to 1) of the values lies, by the nearest rank; 0 of none. */
export const percentile = (values: ReadonlyArray<number>, p: number): number => {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(p * sorted.length) - 1)] ?? 0
}

const property = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null && name in value ? Reflect.get(value, name) : undefined

/**
 * The tag of the reason of a failed request. A retry error carries the last failure as its cause.
 */
export const reasonOf = (error: unknown): string => {
  const tag = property(error, "_tag")
  if (tag === "RetryError" && property(error, "cause") !== undefined) return reasonOf(property(error, "cause"))
  const reason = property(error, "reason")
  if (property(reason, "_tag") !== undefined) return reasonOf(reason)
  return typeof tag === "string" ? tag : String(error)
}
