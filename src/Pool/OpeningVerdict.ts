/**
 * What follows a failed attempt to open a connection, as a pure function.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import { atLeast } from "../Retry/Backoff.ts"
import * as Failure from "../Retry/Failure.ts"
import * as RetryPolicy from "../Retry/RetryPolicy.ts"
import { ConnectionDied, NotReady } from "./PoolError.ts"

/** An endpoint after a failed attempt. */
export interface Situation {
  readonly policy: RetryPolicy.RetryPolicy
  /** No delay of the policy is longer than this, in milliseconds: a lone prober may ask more often than a crowd. */
  readonly maxRedialDelay: number
  /** How the attempt failed: a `RetryError` of a single attempt, or a defect. */
  readonly error: unknown
  /** Attempts that were made for those who wait, this one included. */
  readonly attempts: number
  /** Failures that count for the delay, whoever has learnt of them. */
  readonly failures: number
  /** Milliseconds since the first of them. */
  readonly elapsed: number
  /** A random number from 0 (inclusive) to 1 (exclusive). */
  readonly u: number
}

/**
 * Dial again after `delay` milliseconds for those who wait, or tell them. Whoever comes after that gets the next attempt, which
 * is no sooner: an endpoint that is down is not dialled once for every borrower, however soon each of them is told.
 */
export type Verdict =
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
  { failures, maxRedialDelay, policy, u }: Pick<Situation, "policy" | "maxRedialDelay" | "failures" | "u">
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

/** Whether an attempt failed for want of something of our own, such as descriptors. */
export const isLocal = (error: unknown): boolean =>
  error instanceof RetryPolicy.RetryError && error.reason._tag === "ResourceExhausted" ||
  failureOf(error).class === "LocalExhausted"

/** The error of all the attempts, from that of the last one. */
const summed = (last: unknown, { attempts, elapsed, policy }: Situation): unknown => {
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
export const judge = (situation: Situation): Verdict => {
  const { attempts, elapsed, error, policy, u } = situation
  const delay = redialDelay(situation)
  // The single attempt has used up its policy, so that only this reason of a `RetryError` says that another may help.
  const isRetryError = error instanceof RetryPolicy.RetryError
  const mayPass = isRetryError
    ? error.reason._tag === "AttemptsExhausted"
    : error instanceof ConnectionDied || error instanceof NotReady
  const hint = failureOf(error).retryAfter
  const patient = atLeast(delay, hint === undefined ? undefined : Duration.toMillis(hint), u)
  return mayPass && attempts < policy.maxAttempts && elapsed + patient < Duration.toMillis(policy.deadline)
    ? { _tag: "Again", delay: patient }
    : { _tag: "GiveUp", delay: patient, error: summed(error, situation) }
}
