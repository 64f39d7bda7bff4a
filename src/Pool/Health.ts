/**
 * Whether an endpoint can be counted on, as a pure function of what a pool has met there.
 *
 * @since 0.1.0
 */
import type { Establishment } from "./Establishment.ts"

/**
 * What a pool knows of an endpoint from its own outcomes: those of its dials, its checks and its borrowers.
 *
 * - `Healthy`: nothing has gone wrong since the last success, or nothing is known of the endpoint. After an outage it is so again as
 *   soon as a dial has succeeded and no borrower waits, or no more connections can be opened under the caps.
 * - `Degraded`: the last dial failed; or a check, the first use of a connection or a wait until `acquireTimeout` has failed and nothing
 *   has succeeded since; or the endpoint is back and its queue is being served.
 * - `Unavailable`: the last dial failed and no connection is open but those that are known to be dead; or so much has gone wrong
 *   without any success since that new connections are of no use either: three failed dials, first uses, checks of a connection that
 *   has never been of use, or waits, or ten of which it is less clear (an interrupted first use, a first use with a failure that
 *   `Failure.classify` does not know to be the endpoint's, a wait that ended at `maxTotal`). It is `Degraded` in its place when nobody waits, no dial is under
 *   way, and the time until the next attempt is over.
 *
 * **Details**
 *
 * A success is a borrow that ended with a success and left its connection fit to be leased again, a check that has passed, or, after a
 * dial that failed, a dial. The connection of a borrower that holds a dead one hides no outage. A failed check of a connection that was
 * of use before says that this connection is dead: it makes an endpoint `Degraded`, and never `Unavailable`.
 *
 * An endpoint that nobody asks for goes from `Unavailable` to `Degraded` when it is time for the next attempt, which the next borrower
 * makes. So a caller that asks only what is not `Unavailable` finds out that it is back.
 *
 * A failure for want of descriptors or ports of our own, and the wait for the monitor's gate, a budget or `resume`, say nothing of the
 * endpoint.
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
