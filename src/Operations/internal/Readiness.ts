/**
 * Decides whether requests should be sent to the program, from what is known already: a pure function of facts.
 *
 * @since 0.1.0
 */
import { safeMessage, safeText } from "../../internal/SafeText.ts"
import type { Inspection } from "../../Pool/PoolInspection.ts"
import type { NotReady, Readiness } from "../Snapshot.ts"
import { type OutageKind, outageWords } from "./OutageKind.ts"

/** What is known of a pool. Times are in milliseconds. */
export interface PoolFacts {
  readonly isOver: boolean
  readonly isSuspended: boolean
  readonly endpointsByHealth: Inspection["endpointsByHealth"]
  /** The endpoint that needs attention most, and its last failure, if there is one. */
  readonly worst: {
    readonly label: string
    readonly failure: string | undefined
    /** `undefined`: it is not `Unavailable`. */
    readonly outage: OutageKind | undefined
  } | undefined
  readonly waiting: number
  readonly oldestWait: number
  /** How long no borrow has got a connection. */
  readonly sinceProgress: number
  /** How long ago a borrower ran out of time. `Infinity`: a borrow has got a connection since. */
  readonly sinceTimeout: number
}

/** What is known of the program. */
export interface Facts {
  readonly isRetiring: boolean
  /** How much of which resource is used. `undefined`: there is room. */
  readonly exhausted: string | undefined
  readonly required: Iterable<string>
  readonly poolOf: (name: string) => PoolFacts | undefined
  /** Whether there was a pool with this name before. */
  readonly wasThere: (name: string) => boolean
  /** The age of the program, or of what watches it, in milliseconds. */
  readonly age: number
  /** From this wait on a pool in which no borrower gets a connection counts as stalled, in milliseconds. */
  readonly stalledAfter: number
}

type Reason = typeof NotReady.Type

/** A pool that is not there yet counts as starting for this long, in milliseconds. */
const startsWithin = 30_000

/** A borrower that ran out of time longer ago than this says nothing of the present, in milliseconds. */
const recently = 5000

const seconds = (millis: number): string => `${Math.round(millis / 100) / 10} s`

/** A pool with several endpoints is down when all of them are: others serve their requests. */
const isDown = ({ endpointsByHealth: { Degraded, Healthy, Unavailable } }: PoolFacts): boolean =>
  Unavailable > 0 && Healthy === 0 && Degraded === 0

const isStalled = (pool: PoolFacts, stalledAfter: number): boolean =>
  pool.waiting > 0 && pool.oldestWait >= stalledAfter && pool.sinceProgress >= stalledAfter ||
  pool.sinceTimeout <= recently

const downText = ({ endpointsByHealth: { Unavailable }, waiting, worst }: PoolFacts): string => {
  const failure = worst?.failure === undefined ? "" : `: ${worst.failure}`
  const which = Unavailable === 1
    ? `its endpoint ${worst?.label ?? ""} ${outageWords[worst?.outage ?? "Down"]}`
    : `all of its ${Unavailable} endpoints are down, such as ${worst?.label ?? ""}`
  return `${which}${failure}; ${waiting} wait`
}

const stalledText = ({ oldestWait, sinceProgress, waiting }: PoolFacts): string =>
  waiting > 0
    ? `${waiting} borrowers wait, the first for ${seconds(oldestWait)}, and none has got a connection for ${
      seconds(sinceProgress)
    }`
    : `borrowers run out of time, and none has got a connection for ${seconds(sinceProgress)}`

const reasonOf = (name: string, pool: PoolFacts, stalledAfter: number): Omit<Reason, "pool"> | undefined => {
  if (pool.isOver) return { reason: "PoolClosed", message: `pool ${name} is being drained, or is closed` }
  if (pool.isSuspended) {
    return {
      reason: "PoolSuspended",
      message:
        `pool ${name} is suspended: a required pool that is suspended makes the program not ready until it is resumed`
    }
  }
  if (isDown(pool)) {
    const endpoint = pool.worst?.label
    const message = `pool ${name}: ${downText(pool)}`
    return endpoint === undefined ? { reason: "PoolDown", message } : { reason: "PoolDown", endpoint, message }
  }
  if (isStalled(pool, stalledAfter)) return { reason: "PoolStalled", message: `pool ${name}: ${stalledText(pool)}` }
  return undefined
}

const missing = (name: string, { age, wasThere }: Facts): Omit<Reason, "pool"> => {
  if (wasThere(name)) return { reason: "PoolClosed", message: `pool ${name} has ended` }
  if (age < startsWithin) return { reason: "Starting", message: `pool ${name} is not there yet` }
  return { reason: "PoolMissing", message: `there is no pool ${name}` }
}

/** The reasons for which the program is not ready. It is ready without one. */
export const readinessOf = (facts: Facts): Readiness => {
  const { exhausted, isRetiring, poolOf, required, stalledAfter } = facts
  const reasons: Array<Reason> = []
  if (isRetiring) reasons.push({ reason: "Retiring", message: "the program retires" })
  if (exhausted !== undefined) reasons.push({ reason: "Exhausted", message: `there is no room: ${exhausted}` })
  for (const name of new Set(required)) {
    const pool = poolOf(name)
    const found = pool === undefined ? missing(name, facts) : reasonOf(name, pool, stalledAfter)
    if (found !== undefined) {
      reasons.push({ ...found, pool: safeText(name, 200), message: safeMessage(found.message) })
    }
  }
  return { isReady: reasons.length === 0, reasons }
}
