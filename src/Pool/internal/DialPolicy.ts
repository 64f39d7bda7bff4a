/**
 * When and how often an endpoint is dialed, as pure functions: its state, the dials at once, the delay before the next dial,
 * and the health that follows. It is the circuit breaker of the endpoint.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import { atLeast, isStable } from "../../Retry/Backoff.ts"
import * as Failure from "../../Retry/Failure.ts"
import * as RetryPolicy from "../../Retry/RetryPolicy.ts"
import { ConnectionDied, NotReady } from "../PoolError.ts"
import type { Health } from "../PoolStats.ts"

/** Dials at once to an endpoint that answers. More would be opened for a spike that is over before they are there. */
const dialsWhenHealthy = 2

/** Dials at once to an endpoint that has just come back and whose borrowers have queued meanwhile. */
const mostDialsWhenRecovering = 8

/**
 * - `Healthy`: the last dial succeeded.
 * - `Down`: the last one failed, or what it opened did not last. One dial at a time asks whether the endpoint is back, and its
 * failure counts for all borrowers that wait.
 * - `Recovering`: it is back and there is a queue. Each success doubles the dials that may be under way, a failure ends it.
 */
export interface EndpointState {
  readonly phase: "Healthy" | "Down" | "Recovering"
  /** Dials that may be under way at once. */
  readonly maxConcurrentDials: number
  /** Failures that the next delay is drawn from. Success halves them: an endpoint that flaps is not trusted at once. */
  readonly failures: number
  /** It has accepted a connection that was of no use, so that the next one is a success only when it has served a borrower. */
  readonly unproven: boolean
}

/** Of an endpoint that nothing bad is known of. */
export const healthy: EndpointState = {
  phase: "Healthy",
  maxConcurrentDials: dialsWhenHealthy,
  failures: 0,
  unproven: false
}

const down = { phase: "Down", maxConcurrentDials: 1 } as const

/** After a dial that failed while others go on: what they find out counts. */
export const afterRedundant = (before: EndpointState): EndpointState => ({ ...before, ...down })

/** After a dial that failed. */
export const afterFailure = (before: EndpointState): EndpointState => ({
  ...before,
  ...down,
  failures: before.failures + 1
})

/** After a connection that was opened, and died without having been of use. It is one more failure, and a worse one. */
export const afterLoss = (before: EndpointState): EndpointState => ({ ...afterFailure(before), unproven: true })

/** After a local failure such as EMFILE. The endpoint is not to blame: keep its state, dial one at a time. */
export const afterLocalFailure = (before: EndpointState): EndpointState => ({ ...before, maxConcurrentDials: 1 })

/** After a dial that succeeded; `isWanted` says whether borrowers go on waiting for more connections. */
export const afterSuccess = (before: EndpointState, isWanted: boolean): EndpointState =>
  before.phase === "Healthy" || !isWanted ? healthy : {
    phase: "Recovering",
    maxConcurrentDials: Math.min(before.maxConcurrentDials * 2, mostDialsWhenRecovering),
    failures: Math.floor(before.failures / 2),
    unproven: false
  }

/** A connection that was leased for so long, in milliseconds, has shown that the endpoint keeps what it accepts. */
const stableAfter = 10_000

/** A server may close unused connections at any time. One that does so this soon, in milliseconds, counts as down. */
const soon = 1000

/** A connection that no borrow has used with success. Times are in milliseconds. */
export interface UnprovenConnection {
  readonly age: number
  readonly isLeased: boolean
  /** The longest delay that may have gone before its dial. */
  readonly delay: number
}

/** Whether a connection of this age, in milliseconds, has just been opened. */
export const isNew = (age: number): boolean => age < soon

/** Whether its age shows that the endpoint keeps what it accepts. */
export const hasLasted = ({ age, delay, isLeased }: UnprovenConnection): boolean =>
  isLeased ? isStable(age, delay, stableAfter) : !isNew(age)

/** An endpoint after a failed attempt. */
export interface FailedDial {
  readonly policy: RetryPolicy.RetryPolicy
  /** No delay of the policy is longer than this, in milliseconds: a lone prober may ask more often than a crowd. */
  readonly maxRedialDelay: number
  /** How the attempt failed: a `RetryError` of a single attempt, or a defect. */
  readonly error: unknown
  /** Attempts that were made for those who wait, this one included. */
  readonly attempts: number
  /** Failures that count for the delay, whether or not they have been reported to borrowers. */
  readonly failures: number
  /** Milliseconds since the first of them. */
  readonly elapsed: number
  /** A random number from 0 (inclusive) to 1 (exclusive). */
  readonly u: number
}

/**
 * Dial again after `delay` milliseconds for the borrowers that wait, or fail them. Later borrowers share the next scheduled attempt,
 * so an endpoint that is down is dialed once per delay, not once per borrower.
 */
export type RedialDecision =
  | { readonly _tag: "Again"; readonly delay: number }
  | { readonly _tag: "GiveUp"; readonly delay: number; readonly error: unknown }

/** What is cut at `maxRedialDelay` is spread over so large a share of it, downwards. */
const spread = 0.2

/**
 * The delay after so many failures, in milliseconds: the policy's, or one in the upper fifth of `maxRedialDelay` if that is
 * shorter. A wider spread would make more attempts for the same longest delay, which is what decides when the last of a fleet
 * is back.
 */
export const redialDelay = (
  { failures, maxRedialDelay, policy, u }: Pick<FailedDial, "policy" | "maxRedialDelay" | "failures" | "u">
): number =>
  Math.min(
    Duration.toMillis(RetryPolicy.delay(policy, failures, u)),
    maxRedialDelay * (1 - spread + spread * u)
  )

/** The policy may have its own classifier, so that what it has found counts, where it has found anything. */
const failureOf = (error: unknown): Failure.Failure => {
  if (!(error instanceof RetryPolicy.RetryError)) return Failure.classify(error, { dial: true })
  return "failure" in error.reason ? error.reason.failure : Failure.classify(error.cause, { dial: true })
}

/** Whether an attempt failed for a local reason, such as a lack of descriptors. */
export const isLocal = (error: unknown): boolean =>
  error instanceof RetryPolicy.RetryError && error.reason._tag === "ResourceExhausted" ||
  failureOf(error).class === "LocalExhausted"

/** The error of all the attempts, from that of the last one. */
const summed = (last: unknown, { attempts, elapsed, policy }: FailedDial): unknown => {
  if (!(last instanceof RetryPolicy.RetryError)) return last
  const { reason } = last
  if (reason._tag !== "AttemptsExhausted") return last
  return new RetryPolicy.RetryError({
    reason: new RetryPolicy.AttemptsExhausted({
      label: reason.label,
      attempts,
      maxAttempts: policy.maxAttempts,
      elapsed: Duration.sum(Duration.millis(Math.round(elapsed)), reason.elapsed),
      retryAfter: reason.retryAfter,
      history: reason.history,
      failure: reason.failure,
      cause: reason.cause
    })
  })
}

/** Decides what follows a failed attempt. */
export const decideRedial = (failedDial: FailedDial): RedialDecision => {
  const { attempts, elapsed, error, policy, u } = failedDial
  const delay = redialDelay(failedDial)
  // The single attempt has used up its policy, so that only this reason of a `RetryError` says that another may help.
  const isRetryError = error instanceof RetryPolicy.RetryError
  const mayPass = isRetryError
    ? error.reason._tag === "AttemptsExhausted"
    : error instanceof ConnectionDied || error instanceof NotReady
  const hint = failureOf(error).retryAfter
  const patient = atLeast(delay, hint === undefined ? undefined : Duration.toMillis(hint), u)
  return mayPass && attempts < policy.maxAttempts && elapsed + patient < Duration.toMillis(policy.deadline)
    ? { _tag: "Again", delay: patient }
    : { _tag: "GiveUp", delay: patient, error: summed(error, failedDial) }
}

/** What a single attempt failed with. */
export const failureIn = (error: unknown): unknown =>
  error instanceof RetryPolicy.RetryError && error.cause !== undefined ? error.cause : error

/** After a dial that failed with this error. */
export const afterFailedDial = (before: EndpointState, error: unknown): EndpointState =>
  isLocal(error)
    ? afterLocalFailure(before)
    : error instanceof ConnectionDied
    ? afterLoss(before)
    : afterFailure(before)

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
  /** When the first of them was, and when another attempt makes sense, on the pool's age clock. */
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
export interface HealthFacts {
  readonly phase: EndpointState["phase"]
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
export const healthOf = (facts: HealthFacts): Health => {
  const { connecting, hasRoom, isConnected, isTooEarly, phase, suspicion, waiting } = facts
  const isDown = phase === "Down"
  const isUseless = suspicion >= condemned || isDown && !isConnected
  if (isUseless && (connecting > 0 || waiting > 0 || isTooEarly)) return "Unavailable"
  const isServing = phase === "Recovering" && waiting > 0 && hasRoom
  return isDown || suspicion > 0 || isServing ? "Degraded" : "Healthy"
}
