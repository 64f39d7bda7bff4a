/**
 * Whether an endpoint can be counted on, as a pure function of what a pool has met there.
 *
 * @since 0.1.0
 */
import type { Establishment } from "./Establishment.ts"

/**
 * What a pool knows of an endpoint from its dials, its checks and its borrowers.
 *
 * - `Healthy`: nothing has gone wrong since the last success, or nothing is known of the endpoint.
 * - `Degraded`: something has gone wrong since the last success, or the endpoint is back and its queue is being served.
 * - `Unavailable`: the last dial failed and every open connection is known to be dead, or enough has gone wrong since the last
 *   success; and borrowers wait, a dial is under way, or the next attempt is not due. Otherwise it is `Degraded`.
 *
 * **Details**
 *
 * - A success is a borrow that succeeded and left its connection fit to be leased again, or a check that passed. A dial is one only
 *   after a dial that failed: an endpoint that has fallen silent accepts too.
 * - Three of these are enough: failed dials, waits until `acquireTimeout`, failed checks of connections that were of no use yet, and
 *   first uses of connections that failed with an error that `Failure.classify` knows.
 * - Ten of these are enough: first uses that were interrupted or failed with an unknown error, which may be an answer, and waits that
 *   ended at `maxTotal`.
 * - A failed check of a connection that was of use before makes an endpoint `Degraded` and never `Unavailable`: a new connection
 *   may be good.
 * - A failure for lack of descriptors or ports of this process counts as nothing, and so does a wait for the monitor's gate, for the
 *   budget or for `resume`.
 * - The next attempt is due when the next dial is, or after the first delay of `retry`. A caller that asks only endpoints that are not
 *   `Unavailable` makes the attempt that finds out whether an endpoint is back.
 * - After an outage an endpoint is `Healthy` as soon as a dial has succeeded and no borrower waits, or no more can be opened.
 *
 * @category models
 * @since 0.1.0
 */
export type Health = "Healthy" | "Degraded" | "Unavailable"

/**
 * What something that went wrong says of an endpoint.
 *
 * - `Failure`: a new connection is of no use, or there is none.
 * - `Unclear`: the same, or it has another reason.
 * - `Stale`: a connection that was of use before is dead. A new one may be good.
 */
export type Evidence = "Failure" | "Unclear" | "Stale"

/** What has gone wrong at an endpoint since the last success. */
export interface Setbacks {
  /** The more, the less likely is a success. */
  readonly suspicion: number
  readonly failures: number
  /** When the first of them was, and when another attempt makes sense, on the pool's steady clock. */
  readonly since: number
  readonly retryAt: number
  /** What failed last, if it is known. */
  readonly last: unknown
}

/** Of an endpoint at which nothing has gone wrong since the last success. */
export const noSetbacks: Setbacks = { suspicion: 0, failures: 0, since: 0, retryAt: 0, last: undefined }

const weights = { Failure: 4, Unclear: 1 } as const

/** Three failures, or ten of what is less clear. */
const condemned = 10

export const afterSetback = (
  before: Setbacks,
  evidence: Evidence,
  { error, now, retryAt }: { readonly now: number; readonly retryAt: number; readonly error: unknown }
): Setbacks => ({
  failures: before.failures + 1,
  since: before.failures === 0 ? now : before.since,
  suspicion: evidence === "Stale" ? Math.max(before.suspicion, 1) : before.suspicion + weights[evidence],
  retryAt: Math.max(retryAt, before.retryAt),
  last: error ?? before.last
})

/** What the health of an endpoint follows from. */
export interface Facts {
  readonly phase: Establishment["phase"]
  readonly suspicion: number
  /** A connection is open and not known to be dead. */
  readonly isConnected: boolean
  readonly connecting: number
  readonly waiting: number
  /** Whether the caps leave room for another connection. */
  readonly hasRoom: boolean
  /** It is not time yet for another attempt. */
  readonly isTooEarly: boolean
}

/** The health of an endpoint of which this is known. */
export const healthOf = (facts: Facts): Health => {
  const { connecting, hasRoom, isConnected, isTooEarly, phase, suspicion, waiting } = facts
  const isDown = phase === "Down"
  const isUseless = suspicion >= condemned || isDown && !isConnected
  if (isUseless && (connecting > 0 || waiting > 0 || isTooEarly)) return "Unavailable"
  const isServing = phase === "Recovering" && waiting > 0 && hasRoom
  return isDown || suspicion > 0 || isServing ? "Degraded" : "Healthy"
}
