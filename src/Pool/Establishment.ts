/**
 * How connections to one endpoint are established, as a pure state machine: many at once while it answers, one prober while
 * it does not, and a ramp in between.
 *
 * @since 0.1.0
 */

/** Dials at once to an endpoint that answers. More would be opened for a spike that is over before they are there. */
const healthyWidth = 2

/** Dials at once to an endpoint that has just come back and whose borrowers have queued meanwhile. */
const widestRamp = 8

/**
 * - `Healthy`: the last dial succeeded.
 * - `Down`: the last one failed. One dial at a time asks whether the endpoint is back, and its failure is everybody's.
 * - `Recovering`: it is back and there is a queue. Each success doubles the dials that may be under way, a failure ends it.
 */
export interface Establishment {
  readonly phase: "Healthy" | "Down" | "Recovering"
  /** Dials that may be under way at once. */
  readonly width: number
  /** Failures that the next delay is drawn from. Success halves them: an endpoint that flaps is not trusted at once. */
  readonly failures: number
}

/** Of an endpoint that nothing bad is known of. */
export const healthy: Establishment = { phase: "Healthy", width: healthyWidth, failures: 0 }

/** After a dial that failed while others go on: what they find out counts. */
export const afterSurplus = ({ failures }: Establishment): Establishment => ({ phase: "Down", width: 1, failures })

/** After a dial that failed. */
export const afterFailure = ({ failures }: Establishment): Establishment => ({
  phase: "Down",
  width: 1,
  failures: failures + 1
})

/** After a dial that failed for want of something of our own. It says nothing of the endpoint; one at a time is enough for us. */
export const afterLocalFailure = ({ failures, phase }: Establishment): Establishment => ({ phase, width: 1, failures })

/** After a dial that succeeded; `isWanted` says whether borrowers go on waiting for more connections. */
export const afterSuccess = (before: Establishment, isWanted: boolean): Establishment =>
  before.phase === "Healthy" || !isWanted ? healthy : {
    phase: "Recovering",
    width: Math.min(before.width * 2, widestRamp),
    failures: Math.floor(before.failures / 2)
  }
