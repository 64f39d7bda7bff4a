/**
 * What follows a failed attempt, as one pure function.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import type { Backoff } from "./Backoff.ts"
import { atLeast, delay } from "./Backoff.ts"
import type { Failure } from "./Failure.ts"

/** The decoded policy. Times are in milliseconds. */
export interface Rules {
  readonly backoff: Backoff
  /** The backoff of waits for room on this host. */
  readonly localBackoff: Backoff
  /** Counts the first attempt. `Infinity` for no bound. */
  readonly maxAttempts: number
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

/** Why a run ends. */
export type StopReason = "NotRetryable" | "DeadlineExceeded" | "AttemptsExhausted" | "ResourceExhausted"

/** What follows: another attempt after a wait in milliseconds, or the end, with its reason. */
export type Decision<Reason extends StopReason = StopReason> =
  | { readonly _tag: "Wait"; readonly delay: number }
  | { readonly _tag: "Stop"; readonly reason: Reason }

/** What a decision depends on. */
export interface Situation {
  readonly rules: Rules
  /** With the failure counted. */
  readonly progress: Progress
  readonly failure: Failure
  /** Milliseconds since the start of the run. */
  readonly elapsed: number
  /** Whether an outer retry decides instead. */
  readonly nested: boolean
  /** A random number from 0 (inclusive) to 1 (exclusive). */
  readonly u: number
}

/** Without a deadline, a run that finds no room on this host for this long gives up. */
export const maxLocalWait = 30_000

const wait = (delay: number): Decision<never> => ({ _tag: "Wait", delay })
const stop = <Reason extends StopReason>(reason: Reason): Decision<Reason> => ({ _tag: "Stop", reason })

const isRefused = (failure: Failure, rules: Rules): boolean =>
  failure.class === "Fatal" || failure.class === "Redirect" ||
  (failure.class === "Ambiguous" && failure.sent !== false && !rules.idempotent)

/** Until when a run may wait for room, if it began to at `since`. */
const localLimit = (rules: Rules, since: number): number =>
  rules.deadline === Infinity ? since + maxLocalWait : rules.deadline

/** How long the gate may keep a request waiting that is made now, in milliseconds. */
export const localPatience = (rules: Rules, { localFailures, localSince }: Progress, elapsed: number): number =>
  Math.max(0, localLimit(rules, localFailures === 0 ? elapsed : localSince) - elapsed)

/**
 * Decides what follows when this host has no room: wait for it, for as long as the run may. A gate that keeps requests
 * waiting has used up that time; after a failure, or with a gate that does not, the next request comes after a pause.
 */
export const decideLocal = (situation: Situation): Decision<"ResourceExhausted"> => {
  const { elapsed, nested, progress, rules, u } = situation
  if (nested) return stop("ResourceExhausted")
  const pause = delay(rules.localBackoff, progress.localFailures, u)
  return elapsed + pause > localLimit(rules, progress.localSince) ? stop("ResourceExhausted") : wait(pause)
}

/**
 * Decides what follows a failure. The order is part of the contract: class, nested retry, attempts, deadline. Whoever
 * acts on a `Wait` sleeps, then asks the gate, then runs the attempt.
 */
export const decide = (situation: Situation): Decision => {
  const { elapsed, failure, nested, progress, rules, u } = situation
  if (failure.class === "LocalExhausted") return decideLocal(situation)
  if (isRefused(failure, rules)) return stop("NotRetryable")
  if (nested || progress.attempts >= rules.maxAttempts) return stop("AttemptsExhausted")
  const hint = failure.retryAfter === undefined ? undefined : Duration.toMillis(failure.retryAfter)
  const pause = atLeast(delay(rules.backoff, progress.attempts, u), hint, u)
  return elapsed + pause >= rules.deadline ? stop("DeadlineExceeded") : wait(pause)
}
