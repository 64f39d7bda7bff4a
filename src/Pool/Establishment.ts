/**
 * How connections to one endpoint are established, as a pure state machine: many at once while it answers, one prober while
 * it does not, and a ramp in between. It is the circuit breaker of the endpoint.
 *
 * @since 0.1.0
 */
import { isStable } from "../Retry/Backoff.ts"

/** Dials at once to an endpoint that answers. More would be opened for a spike that is over before they are there. */
const healthyWidth = 2

/** Dials at once to an endpoint that has just come back and whose borrowers have queued meanwhile. */
const widestRamp = 8

/**
 * - `Healthy`: the last dial succeeded.
 * - `Down`: the last one failed, or what it opened did not last. One dial at a time asks whether the endpoint is back, and its
 *   failure is everybody's.
 * - `Recovering`: it is back and there is a queue. Each success doubles the dials that may be under way, a failure ends it.
 */
export interface Establishment {
  readonly phase: "Healthy" | "Down" | "Recovering"
  /** Dials that may be under way at once. */
  readonly width: number
  /** Failures that the next delay is drawn from. Success halves them: an endpoint that flaps is not trusted at once. */
  readonly failures: number
  /** It has accepted a connection that came to nothing, so that the next one is a success only when it has served somebody. */
  readonly isDoubted: boolean
}

/** Of an endpoint that nothing bad is known of. */
export const healthy: Establishment = { phase: "Healthy", width: healthyWidth, failures: 0, isDoubted: false }

const down = { phase: "Down", width: 1 } as const

/** After a dial that failed while others go on: what they find out counts. */
export const afterSurplus = (before: Establishment): Establishment => ({ ...before, ...down })

/** After a dial that failed. */
export const afterFailure = (before: Establishment): Establishment => ({
  ...before,
  ...down,
  failures: before.failures + 1
})

/** After a connection that was opened, and died without having been of use. It is one more failure, and a worse one. */
export const afterLoss = (before: Establishment): Establishment => ({ ...afterFailure(before), isDoubted: true })

/** After a dial that failed for want of something of our own. It says nothing of the endpoint; one at a time is enough for us. */
export const afterLocalFailure = (before: Establishment): Establishment => ({ ...before, width: 1 })

/** After a dial that succeeded; `isWanted` says whether borrowers go on waiting for more connections. */
export const afterSuccess = (before: Establishment, isWanted: boolean): Establishment =>
  before.phase === "Healthy" || !isWanted ? healthy : {
    phase: "Recovering",
    width: Math.min(before.width * 2, widestRamp),
    failures: Math.floor(before.failures / 2),
    isDoubted: false
  }

/** A connection that was lent for so long, in milliseconds, has shown that the endpoint keeps what it accepts. */
const stableAfter = 10_000

/** A server may close what nobody uses whenever it likes. One that does so this soon, in milliseconds, keeps nothing. */
const soon = 1000

/** A connection that was never of use to anybody. Times are in milliseconds. */
export interface Unproven {
  readonly age: number
  readonly isLent: boolean
  /** The longest delay that may have gone before its dial. */
  readonly delay: number
}

/** Whether a connection of this age, in milliseconds, has just been opened. */
export const isNew = (age: number): boolean => age < soon

/** Whether its age shows that the endpoint keeps what it accepts. */
export const hasLasted = ({ age, delay, isLent }: Unproven): boolean =>
  isLent ? isStable(age, delay, stableAfter) : !isNew(age)
