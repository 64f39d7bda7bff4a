/**
 * When and how often an endpoint is dialed, as pure functions: its state, the dials at once, the delay before the next dial,
 * and the health that follows. It is the circuit breaker of the endpoint.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Failure from "../../Retry/Failure.ts"
import { atLeast, isStable } from "../../Retry/internal/Backoff.ts"
import * as Decision from "../../Retry/internal/Decision.ts"
import { AttemptFailed, classify, hintOf } from "../../Retry/internal/Decision.ts"
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
  /** It has accepted a connection that served no borrower, so that the next one is a success only when it has served a borrower. */
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

/** An endpoint after a failed dial. */
export interface FailedDial {
  /** The policy that the dialer steps. */
  readonly policy: RetryPolicy.RetryPolicy
  /** The endpoint's text. */
  readonly label: string
  /** How the dial failed: an `AttemptFailed`, a connection that cannot be used, a `RetryError`, or a defect. */
  readonly error: unknown
  /** The attempts before, for the borrowers that wait, if there were any. */
  readonly series: Decision.Series | undefined
  /** Failures that count for the delay, whether or not they have been reported to borrowers. */
  readonly failures: number
  /** Milliseconds of the monotonic clock. */
  readonly now: number
  /** Draws a random number from 0 (inclusive) to 1 (exclusive). */
  readonly random: () => number
}

/**
 * Dial again after `delay` milliseconds for the borrowers that wait, or fail them. Later borrowers share the next scheduled attempt,
 * so an endpoint that is down is dialed once per delay, not once per borrower.
 */
export type RedialDecision =
  | { readonly _tag: "Again"; readonly delay: number; readonly series: Decision.Series }
  | { readonly _tag: "GiveUp"; readonly delay: number; readonly error: unknown }

type Unusable = ConnectionDied | NotReady

const isUnusable = (error: unknown): error is Unusable => error instanceof ConnectionDied || error instanceof NotReady

/** A hook that meets another server than it wants meets, with a new connection, perhaps the right one. */
const unusable = (policy: RetryPolicy.RetryPolicy, error: Unusable): AttemptFailed<Unusable> => {
  const failure = classify(policy, error, { dial: true })
  return new AttemptFailed(error, failure.class === "Redirect" ? { ...failure, class: "Transient" } : failure, 0)
}

/** The policy may have its own classifier, so that what it has found counts, where it has found anything. */
const failureOf = (error: unknown): Failure.Failure => {
  if (error instanceof AttemptFailed) return error.failure
  if (!(error instanceof RetryPolicy.RetryError)) return Failure.classify(error, { dial: true })
  return "failure" in error.reason ? error.reason.failure : Failure.classify(error.cause, { dial: true })
}

/** Whether an attempt failed for a local reason, such as a lack of descriptors. */
export const isLocal = (error: unknown): boolean => failureOf(error).class === "LocalExhausted"

/** The delay before the next dial, after so many failures, in milliseconds. */
export const redialDelay = (policy: RetryPolicy.RetryPolicy, failures: number, u: number): number =>
  Duration.toMillis(RetryPolicy.delay(policy, Math.max(failures, 1), u))

/** What the policy is not asked about: the attempt was not made, or has died. The next one comes after a delay all the same. */
const giveUp = ({ error, failures, policy, random }: FailedDial): RedialDecision => {
  const u = random()
  const delay = atLeast(redialDelay(policy, failures, u), hintOf(failureOf(error)), u)
  return { _tag: "GiveUp", delay, error }
}

/**
 * Decides what follows a failed dial, by one step of the policy: the step of its `RetryPolicy.schedule`, which pays from its budget
 * and looks at its breaker. The gate is not asked here: the next attempt reserves by itself, after the delay.
 */
export const decideRedial = (failed: FailedDial): RedialDecision => {
  const { error, failures, label, now, policy, random, series } = failed
  const attempt = isUnusable(error) ? unusable(policy, error) : error
  if (!(attempt instanceof AttemptFailed)) return giveUp(failed)
  const before = series ?? Decision.begin(now - attempt.lived, random())
  const { failure, lived } = attempt
  const failedAttempt = { error: attempt.error, failure, lived, now, failures: Math.max(failures, 1) }
  const [after, verdict] = Decision.step({ policy, label }, before, failedAttempt)
  if (verdict._tag === "Again") return { ...verdict, series: after }
  return isUnusable(error) ? { ...verdict, error } : verdict
}

/** What a dial failed with. */
export const failureIn = (error: unknown): unknown =>
  error instanceof AttemptFailed
    ? error.error
    : error instanceof RetryPolicy.RetryError && error.cause !== undefined
    ? error.cause
    : error

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
 * - `Failure`: a new connection cannot be used, or there is none.
 * - `Unclear`: the same, or it has another reason.
 * - `Stale`: a connection that has served a borrower is dead. A new one may be good.
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
