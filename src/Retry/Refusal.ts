/**
 * The errors with which a run ends.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import type { ResourceExhausted as NoRoom } from "../Monitor/Gate.ts"
import type { Account } from "./Account.ts"
import type { BreakerCircuit } from "./BreakerCircuit.ts"
import type * as Decision from "./Decision.ts"
import {
  AttemptsExhausted,
  DeadlineExceeded,
  NotRetryable,
  ResourceExhausted,
  RetryError,
  type RetryErrorReason
} from "./RetryError.ts"
import type { Run } from "./Run.ts"

const duration = (millis: number): Duration.Duration => Duration.millis(Math.round(millis))

const accountOf = (run: Run, attempts: number, retryAfter: number | undefined): Account => ({
  label: run.label,
  attempts,
  elapsed: duration(run.elapsed()),
  retryAfter: retryAfter === undefined ? undefined : duration(retryAfter),
  history: run.history.records
})

const ended = <E>(run: Run, reason: RetryErrorReason<E>): RetryError<E> => {
  run.observer?.refused(reason._tag)
  return new RetryError({ reason })
}

/** The deadline has passed: before an attempt, or while one was running. */
export const deadlineExceeded = <E>(
  run: Run,
  details: { readonly interrupted: boolean; readonly cause: E | undefined; readonly retryAfter?: number | undefined }
): RetryError<E> => {
  const attempts = run.progress.attempts + (details.interrupted ? 1 : 0)
  const { cause, interrupted, retryAfter } = details
  const account = accountOf(run, attempts, retryAfter)
  return ended(run, new DeadlineExceeded({ ...account, deadline: run.policy.deadline, interrupted, cause }))
}

/** There was no room for the whole time that the run could wait. */
export const resourceExhausted = <E>(
  run: Run,
  { progress, failure, elapsed }: Decision.Situation,
  { cause, retryAfter }: { readonly cause: E | NoRoom; readonly retryAfter: number | undefined }
): RetryError<E> =>
  ended(
    run,
    new ResourceExhausted<E>({
      ...accountOf(run, progress.attempts, retryAfter),
      waited: duration(elapsed - progress.localSince),
      failure,
      cause
    })
  )

/** The circuit did not let the attempt in. */
export const notAdmitted = <E>(
  run: Run,
  { circuit, retryAfter }: { readonly circuit: BreakerCircuit; readonly retryAfter: number },
  cause: E | undefined
): RetryError<E> => ended(run, circuit.refusal(accountOf(run, run.progress.attempts, retryAfter), cause))

/** The budget or the breaker is against the attempt that would have followed a failure. */
export const refused = <E>(
  run: Run,
  { failure, progress }: Decision.Situation,
  { cause, decision: { by, retryAfter } }: { readonly decision: Decision.Refused; readonly cause: E }
): RetryError<E> => ended(run, by.refusal(accountOf(run, progress.attempts, retryAfter), cause, failure))

/** What a decision to stop after a failure comes to. */
export const stopped = <E>(
  run: Run,
  situation: Decision.Situation,
  { cause, decision: { reason, retryAfter } }: { readonly decision: Decision.Stop; readonly cause: E }
): RetryError<E> => {
  const fields = { ...accountOf(run, situation.progress.attempts, retryAfter), failure: situation.failure, cause }
  switch (reason) {
    case "ResourceExhausted":
      return resourceExhausted(run, situation, { cause, retryAfter })
    case "DeadlineExceeded":
      return deadlineExceeded(run, { interrupted: false, cause, retryAfter })
    case "NotRetryable":
      return ended(run, new NotRetryable<E>(fields))
    case "AttemptsExhausted":
      return ended(run, new AttemptsExhausted({ ...fields, maxAttempts: run.nested ? 1 : run.rules.maxAttempts }))
  }
}
