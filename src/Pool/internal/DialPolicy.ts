/**
 * When and how often an endpoint is dialed, as pure functions: its state, the number of dials at once, the delay before the next
 * dial, and the health that follows. The state of an endpoint here is not the circuit breaker of a retry policy, which is in
 * `Retry/internal/BreakerCircuit`.
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

/** Dials at once to an endpoint that answers. A short spike of borrowers is often over before further dials would have ended. */
const dialsWhenHealthy = 2

/** Dials at once to an endpoint that has just come back and whose borrowers have queued meanwhile. */
const mostDialsWhenRecovering = 8

/**
 * The state of an endpoint's dials.
 *
 * - `Healthy`: the last dial succeeded.
 * - `Down`: the last dial failed, or its connection died too soon. One dial at a time finds out whether the endpoint is back. The failure
 *   of that dial counts for all waiting borrowers.
 * - `Recovering`: the endpoint is back, and borrowers have queued. Each success doubles the number of dials at once. A failure leads to
 *   `Down`.
 */
export interface EndpointState {
  readonly phase: "Healthy" | "Down" | "Recovering"
  /** Dials that may be under way at once. */
  readonly maxConcurrentDials: number
  /**
   * The number of failures from which the next delay is computed. A success while borrowers wait halves it, for endpoints that
   * flap.
   */
  readonly failures: number
  /** The endpoint has accepted a connection that died unused. The next dial counts as a success only after a successful borrow. */
  readonly unproven: boolean
}

/** The state of a new endpoint. */
export const healthy: EndpointState = {
  phase: "Healthy",
  maxConcurrentDials: dialsWhenHealthy,
  failures: 0,
  unproven: false
}

const down = { phase: "Down", maxConcurrentDials: 1 } as const

/** The state after a dial that failed while other dials go on. The outcome of the others counts. */
export const afterRedundant = (before: EndpointState): EndpointState => ({ ...before, ...down })

/** The state after a dial that failed. */
export const afterFailure = (before: EndpointState): EndpointState => ({
  ...before,
  ...down,
  failures: before.failures + 1
})

/** The state after a connection that died before its first success. It counts as a failed dial, and the endpoint is `unproven`. */
export const afterLoss = (before: EndpointState): EndpointState => ({ ...afterFailure(before), unproven: true })

/**
 * The state after a local failure such as EMFILE, which says nothing of the endpoint: one dial at a time, and all else as before.
 */
export const afterLocalFailure = (before: EndpointState): EndpointState => ({ ...before, maxConcurrentDials: 1 })

/** The state when nothing waits for the endpoint any more. The next dial is the first of a new series, with the first delay after it. */
export const afterSeries = (before: EndpointState): EndpointState =>
  before.failures === 0 ? before : { ...before, failures: 0 }

/** The state after a dial that succeeded. `isWanted`: borrowers wait for more connections than are being opened. */
export const afterSuccess = (before: EndpointState, isWanted: boolean): EndpointState =>
  before.phase === "Healthy" || !isWanted ? healthy : {
    phase: "Recovering",
    maxConcurrentDials: Math.min(before.maxConcurrentDials * 2, mostDialsWhenRecovering),
    failures: Math.floor(before.failures / 2),
    unproven: false
  }

/** A connection that is leased at this age, in milliseconds, shows that the endpoint keeps the connections that it accepts. */
const stableAfter = 10_000

/** A server may close unused connections at any time. A server that does so within these milliseconds counts as down. */
const soon = 1000

/** A connection on which no borrow has succeeded. Times are in milliseconds. */
export interface UnprovenConnection {
  readonly age: number
  readonly isLeased: boolean
  /** The longest possible delay before its dial. */
  readonly delay: number
}

/** Whether a connection of this age, in milliseconds, has just been opened. */
export const isNew = (age: number): boolean => age < soon

/** Whether the age of a connection shows that the endpoint keeps the connections that it accepts. */
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
  /** The previous attempts for the waiting borrowers, if there were any. */
  readonly series: Decision.Series | undefined
  /** The number of failures from which the delay is computed. Failures that were reported to borrowers are included. */
  readonly failures: number
  /** Milliseconds of the monotonic clock. */
  readonly now: number
  /** Draws a random number from 0 (inclusive) to 1 (exclusive). */
  readonly random: () => number
}

/**
 * `Again`: dial again after `delay` milliseconds for the waiting borrowers. `Wait`: the same, and the attempt does not count. `GiveUp`:
 * fail these borrowers, and dial for later borrowers after `delay`. All borrowers share one attempt, so an endpoint that is down is dialed once per delay and not once per
 * borrower.
 */
export type RedialDecision =
  | { readonly _tag: "Again"; readonly delay: number; readonly series: Decision.Series }
  | { readonly _tag: "Wait"; readonly delay: number }
  | { readonly _tag: "GiveUp"; readonly delay: number; readonly error: unknown }

type Unusable = ConnectionDied | NotReady

const isUnusable = (error: unknown): error is Unusable => error instanceof ConnectionDied || error instanceof NotReady

/** A new connection may reach another server, so a `Redirect` from the hook `beforeLend` is `Transient` here. */
const unusable = (policy: RetryPolicy.RetryPolicy, error: Unusable): AttemptFailed<Unusable> => {
  const failure = classify(policy, error, { dial: true })
  return new AttemptFailed(error, failure.class === "Redirect" ? { ...failure, class: "Transient" } : failure, 0)
}

/** The classification of an error. That of the policy counts if there is one, because a policy may have its own classifier. */
const failureOf = (error: unknown): Failure.Failure => {
  if (error instanceof AttemptFailed) return error.failure
  if (!(error instanceof RetryPolicy.RetryError)) return Failure.classify(error, { dial: true })
  return "failure" in error.reason ? error.reason.failure : Failure.classify(error.cause, { dial: true })
}

/** Whether an attempt failed for a local reason, such as a lack of descriptors. */
export const isLocal = (error: unknown): boolean => failureOf(error).class === "LocalExhausted"

/**
 * Whether the server has refused a connection because it has no room for another one: PostgreSQL's 53300, MySQL's 1040, Redis' limit of
 * clients. A breaker that is open is no such answer.
 */
export const isFull = (error: unknown): boolean => {
  const failure = failureOf(error)
  return failure.class === "RemoteSaturated" && Decision.isRemote(failure)
}

/** After such a refusal a pool keeps no idle connections for this long, in milliseconds, because others may wait for room. */
export const refusalLasts = 30_000

/** The delay before the next dial in milliseconds, after this number of failures. */
export const redialDelay = (policy: RetryPolicy.RetryPolicy, failures: number, u: number): number =>
  Duration.toMillis(RetryPolicy.delay(policy, Math.max(failures, 1), u))

/**
 * Decides without the policy, after an attempt that was not made or has died. The next attempt comes after a delay nevertheless.
 */
const giveUp = ({ error, failures, policy, random }: FailedDial): RedialDecision => {
  const u = random()
  const delay = atLeast(redialDelay(policy, failures, u), hintOf(failureOf(error)), u)
  return { _tag: "GiveUp", delay, error }
}

/**
 * Decides what follows a failed dial, by one step of `RetryPolicy.schedule`. The step takes from the policy's budget and asks the
 * policy's breaker. It does not ask the monitor's gate, because the next attempt does so itself, after the delay.
 */
export const decideRedial = (failed: FailedDial): RedialDecision => {
  const { error, failures, label, now, policy, random, series } = failed
  const attempt = isUnusable(error) ? unusable(policy, error) : error
  if (!(attempt instanceof AttemptFailed)) return giveUp(failed)
  // A server that is full is waited for until the borrowers run out of time. It costs no attempt, and no token of the budget.
  if (isFull(attempt)) return { _tag: "Wait", delay: giveUp(failed).delay }
  const before = series ?? Decision.begin(now - attempt.lived, random())
  const { failure, lived } = attempt
  const failedAttempt = { error: attempt.error, failure, lived, now, failures: Math.max(failures, 1) }
  const [after, verdict] = Decision.step({ policy, label }, before, failedAttempt)
  if (verdict._tag === "Again") return { ...verdict, series: after }
  return isUnusable(error) ? { ...verdict, error } : verdict
}

/** The error of the connector in the error of a dial. */
export const failureIn = (error: unknown): unknown =>
  error instanceof AttemptFailed
    ? error.error
    : error instanceof RetryPolicy.RetryError && error.cause !== undefined
    ? error.cause
    : error

/** The state after a dial that failed with this error. */
export const afterFailedDial = (before: EndpointState, error: unknown): EndpointState =>
  isLocal(error)
    ? afterLocalFailure(before)
    : error instanceof ConnectionDied
    ? afterLoss(before)
    : afterFailure(before)

/**
 * What a setback says of its endpoint.
 *
 * - `Failure`: no connection can be opened, or a new connection cannot be used.
 * - `Unclear`: either that, or the setback has nothing to do with the endpoint.
 * - `Stale`: a connection that has served a borrower is dead. A new connection may work.
 * - `Silent`: borrowers wait, and no connection has had an answer for longer than `Silence` allows.
 * - `Full`: the server has answered that it has no room for another connection. It is not down.
 */
export type Evidence = "Failure" | "Unclear" | "Stale" | "Silent" | "Full"

/** The setbacks of an endpoint since its last success. */
export interface Setbacks {
  /** The sum of the weights of the setbacks. From {@link condemned} on, the endpoint counts as unavailable. */
  readonly suspicion: number
  /** The number of setbacks. */
  readonly failures: number
  /** When the first setback was, on the pool's age clock. */
  readonly since: number
  /** When another attempt makes sense, on the pool's age clock. */
  readonly retryAt: number
  /** The last setback was of the kind `Full`. */
  readonly isFull: boolean
  /** The error of the last setback, if it is known. */
  readonly last: unknown
}

/** The setbacks of an endpoint that has had none since its last success. */
export const noSetbacks: Setbacks = {
  suspicion: 0,
  failures: 0,
  since: 0,
  retryAt: 0,
  isFull: false,
  last: undefined
}

/** Three setbacks of the kind `Failure`, or ten of the kind `Unclear`, or one of the kind `Silent`. */
const condemned = 10

const weights = { Failure: 4, Unclear: 1, Silent: condemned } as const

/** The suspicion after a setback. `Full` contradicts what was suspected before. */
const suspicionAfter = (before: number, evidence: Evidence): number =>
  evidence === "Full" ? 1 : evidence === "Stale" ? Math.max(before, 1) : before + weights[evidence]

export const afterSetback = (
  before: Setbacks,
  evidence: Evidence,
  { error, now, retryAt }: { readonly now: number; readonly retryAt: number; readonly error: unknown }
): Setbacks => ({
  failures: before.failures + 1,
  since: before.failures === 0 ? now : before.since,
  suspicion: suspicionAfter(before.suspicion, evidence),
  retryAt: Math.max(retryAt, before.retryAt),
  isFull: evidence === "Full",
  last: error ?? before.last
})

/** The facts from which the health of an endpoint follows. */
export interface HealthFacts {
  readonly phase: EndpointState["phase"]
  readonly suspicion: number
  /** The last setback was that the server has no room for another connection. */
  readonly isFull: boolean
  /** A connection is open, is not known to be dead, and is not just held by a borrower that has had it since before the setbacks. */
  readonly isConnected: boolean
  /** A borrow or a check has succeeded since the last setback. */
  readonly hasSucceeded: boolean
  readonly connecting: number
  readonly waiting: number
  /** Whether the caps leave room for another connection. */
  readonly hasRoom: boolean
  /** The next attempt is not due yet. */
  readonly isTooEarly: boolean
}

/** The health that follows from these facts. */
export const healthOf = (facts: HealthFacts): Health => {
  const { connecting, hasRoom, hasSucceeded, isConnected, isFull, isTooEarly, phase, suspicion, waiting } = facts
  const isDown = phase === "Down"
  const isUseless = suspicion >= condemned || isDown && !isConnected && !isFull
  if (isUseless && (connecting > 0 || waiting > 0 || isTooEarly)) return "Unavailable"
  // Borrowers wait although more connections could be opened.
  const isHeldUp = phase !== "Healthy" && waiting > 0 && hasRoom
  return suspicion > 0 || isDown && !hasSucceeded || isHeldUp ? "Degraded" : "Healthy"
}
