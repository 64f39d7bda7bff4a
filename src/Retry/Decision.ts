/**
 * What follows a failed attempt, as pure functions.
 *
 * The order of one decision is part of the contract:
 *
 * 1. the class of the failure: is it retried at all, or does it wait for room on this host?
 * 2. the guard: inside another retry that one decides;
 * 3. the attempts that the policy grants;
 * 4. the deadline: the delay and a typical attempt must fit;
 * 5. the budget, before anybody sleeps;
 * 6. the breaker: does it grant a retry after the delay?
 *
 * Then the delay is slept, the gate is asked for room, the breaker lets the attempt in, and the attempt begins. The gate
 * comes before the breaker, so that no probe's place is held by somebody who waits for a descriptor.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import type { Refuser } from "./Account.ts"
import type { Backoff } from "./Backoff.ts"
import { atLeast, delay, isStable, nominal } from "./Backoff.ts"
import type { Failure } from "./Failure.ts"

/** The decoded policy. Times are in milliseconds. */
export interface Rules {
  readonly backoff: Backoff
  /** The backoff of waits for room on this host. */
  readonly localBackoff: Backoff
  /** Counts the first attempt. `Infinity` for no bound. */
  readonly maxAttempts: number
  /** An attempt that has run for so long ends the row of those before it. `Infinity` for never. */
  readonly stableAfter: number
  /** Counted from the start. `Infinity` for none. */
  readonly deadline: number
  /** Whether an ambiguous failure may be tried again. */
  readonly idempotent: boolean
}

/** How far a run has come. */
export interface Progress {
  /** Attempts that count against the policy, the last one included. */
  readonly attempts: number
  /** How often the effect was run, also where it found no room: what the gate is told, since it stops retries earlier. */
  readonly runs: number
  /** Failures for lack of room on this host, in a row. */
  readonly localFailures: number
  /** When that row began, in milliseconds since the start of the run. */
  readonly localSince: number
}

/** Before the first attempt. */
export const started: Progress = { attempts: 0, runs: 0, localFailures: 0, localSince: 0 }

/** Counts a refusal of the gate, which was asked at this time: the effect was not run. */
export const refused = (progress: Progress, asked: number): Progress => ({
  ...progress,
  localFailures: progress.localFailures + 1,
  localSince: progress.localFailures === 0 ? asked : progress.localSince
})

/** Counts a failure: lack of room on this host counts apart, everything else ends the row of such failures. */
export const failed = (progress: Progress, failure: Failure, elapsed: number): Progress => {
  const runs = progress.runs + 1
  return failure.class === "LocalExhausted"
    ? { ...refused(progress, elapsed), runs }
    : { attempts: progress.attempts + 1, runs, localFailures: 0, localSince: 0 }
}

/** The count to go on with when an attempt has failed that had run for so long, in milliseconds: it may begin anew. */
export const countedOn = (progress: Progress, { backoff, stableAfter }: Rules, lived: number): Progress =>
  isStable(lived, progress.attempts === 0 ? 0 : nominal(backoff, progress.attempts), stableAfter)
    ? { ...progress, attempts: 0 }
    : progress

/** Why a run ends after a failure. */
export type StopReason =
  | "NotRetryable"
  | "AttemptsExhausted"
  | "DeadlineExceeded"
  | "ResourceExhausted"

/** Another attempt after a wait in milliseconds. */
export interface Wait {
  readonly _tag: "Wait"
  readonly delay: number
}

/** The end. `retryAfter` is when it makes sense to try again, in milliseconds from now, where that is known. */
export interface Stop<Reason extends StopReason = StopReason> {
  readonly _tag: "Stop"
  readonly reason: Reason
  readonly retryAfter: number | undefined
}

/** The end, because of the budget or the breaker. */
export interface Refused {
  readonly _tag: "Refused"
  readonly by: Refuser
  readonly retryAfter: number | undefined
}

/** What a decision depends on. */
export interface Situation {
  readonly rules: Rules
  /** With the failure counted. */
  readonly progress: Progress
  readonly failure: Failure
  /** Failures that the delay is drawn from, where these are not the attempts of this run alone. At least 1. */
  readonly failures?: number | undefined
  /** Milliseconds since the start of the run. */
  readonly elapsed: number
  /** How long an attempt takes, as far as is known, in milliseconds. */
  readonly typical: number
  /** Whether an outer retry decides instead. */
  readonly nested: boolean
  /** A random number from 0 (inclusive) to 1 (exclusive). */
  readonly u: number
}

/** Without a deadline, a run that finds no room on this host for this long gives up. */
export const maxLocalWait = 30_000

const wait = (delay: number): Wait => ({ _tag: "Wait", delay })

/** The end, for this reason. */
export const stop = <Reason extends StopReason>(reason: Reason, retryAfter: number | undefined): Stop<Reason> => ({
  _tag: "Stop",
  reason,
  retryAfter
})

const isRefused = (failure: Failure, rules: Rules): boolean =>
  failure.class === "Fatal" || failure.class === "Redirect" ||
  (failure.class === "Ambiguous" && failure.sent !== false && !rules.idempotent)

/** Until when a run may wait for room, if it began to at `since`. */
const localLimit = (rules: Rules, since: number): number =>
  rules.deadline === Infinity ? since + maxLocalWait : rules.deadline

/** How long the gate may keep a request waiting that is made now, in milliseconds. */
export const localPatience = (rules: Rules, { localFailures, localSince }: Progress, elapsed: number): number =>
  Math.max(0, localLimit(rules, localFailures === 0 ? elapsed : localSince) - elapsed)

/** How long the server asked us to wait, in milliseconds, if it did. */
export const hintOf = ({ retryAfter }: Failure): number | undefined =>
  retryAfter === undefined ? undefined : Duration.toMillis(retryAfter)

/** How long another attempt waits, should there be one, in milliseconds. */
export const pauseOf = ({ failure, failures, progress, rules, u }: Situation): number =>
  failure.class === "LocalExhausted"
    ? delay(rules.localBackoff, progress.localFailures, u)
    : atLeast(delay(rules.backoff, failures ?? progress.attempts, u), hintOf(failure), u)

/**
 * Decides what follows when this host has no room: wait for it, for as long as the run may. A gate that keeps requests
 * waiting has used up that time; after a failure, or with a gate that does not, the next request comes after a pause.
 */
export const decideLocal = (situation: Situation): Wait | Stop<"ResourceExhausted"> => {
  const { elapsed, nested, progress, rules } = situation
  const pause = pauseOf(situation)
  if (nested) return stop("ResourceExhausted", pause)
  return elapsed + pause > localLimit(rules, progress.localSince) ? stop("ResourceExhausted", pause) : wait(pause)
}

/** Steps 1 to 4. Whoever acts on a `Wait` asks the budget and the breaker before. */
export const decide = (situation: Situation): Wait | Stop => {
  const { elapsed, failure, nested, progress, rules, typical } = situation
  if (failure.class === "LocalExhausted") return decideLocal(situation)
  if (isRefused(failure, rules)) return stop("NotRetryable", undefined)
  const pause = pauseOf(situation)
  if (nested || progress.attempts >= rules.maxAttempts) return stop("AttemptsExhausted", pause)
  return elapsed + pause + typical >= rules.deadline ? stop("DeadlineExceeded", pause) : wait(pause)
}

/** The code of a failure that is a refusal of an inner breaker: nothing was sent. */
export const circuitOpenCode = "CircuitOpen"

/**
 * Whether the failure says that more load does the remote side no good: what costs a retry budget. A refusal of this host's
 * own making does not, nor does an answer that is not retried.
 */
export const isRemote = (failure: Failure): boolean =>
  (failure.class === "Transient" || failure.class === "RemoteSaturated" || failure.class === "Ambiguous") &&
  failure.code !== circuitOpenCode

/** Whether the failure says that the remote side is not there. One that is busy, or that answers, is there. */
export const isDown = (failure: Failure): boolean => failure.class === "Transient" || failure.class === "Ambiguous"
