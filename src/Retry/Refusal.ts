/**
 * The errors with which a run ends.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import type { ResourceExhausted as NoRoom } from "../Monitor/Service.ts"
import type { Account } from "./Account.ts"
import type { BreakerCircuit } from "./BreakerCircuit.ts"
import type * as Decision from "./Decision.ts"
import { type RetryPolicy, TypeId } from "./Policy.ts"
import {
  type AttemptRecord,
  AttemptsExhausted,
  DeadlineExceeded,
  NotRetryable,
  ResourceExhausted,
  RetryError,
  type RetryErrorReason
} from "./RetryError.ts"

/** A series of attempts that ends. */
export interface EndedSeries {
  readonly label: string
  readonly policy: RetryPolicy
  /** Whether an outer retry decides instead. */
  readonly nested: boolean
  readonly progress: Decision.Progress
  readonly history: { readonly records: ReadonlyArray<AttemptRecord> }
  /** Milliseconds since it began. */
  readonly elapsed: () => number
}

const duration = (millis: number): Duration.Duration => Duration.millis(Math.round(millis))

const accountOf = (series: EndedSeries, attempts: number, retryAfter: number | undefined): Account => ({
  label: series.label,
  attempts,
  elapsed: duration(series.elapsed()),
  retryAfter: retryAfter === undefined ? undefined : duration(retryAfter),
  history: series.history.records
})

const ended = <E>(series: EndedSeries, reason: RetryErrorReason<E>): RetryError<E> => {
  series.policy.observer?.refused(reason._tag)
  return new RetryError({ reason })
}

/** The deadline has passed: before an attempt, or while one was running. */
export const deadlineExceeded = <E>(
  series: EndedSeries,
  details: { readonly interrupted: boolean; readonly cause: E | undefined; readonly retryAfter?: number | undefined }
): RetryError<E> => {
  const attempts = series.progress.attempts + (details.interrupted ? 1 : 0)
  const { cause, interrupted, retryAfter } = details
  const account = accountOf(series, attempts, retryAfter)
  return ended(series, new DeadlineExceeded({ ...account, deadline: series.policy.deadline, interrupted, cause }))
}

/** There was no room for the whole time that the run could wait. */
export const resourceExhausted = <E>(
  series: EndedSeries,
  { progress, failure, elapsed }: Decision.Situation,
  { cause, retryAfter }: { readonly cause: E | NoRoom; readonly retryAfter: number | undefined }
): RetryError<E> =>
  ended(
    series,
    new ResourceExhausted<E>({
      ...accountOf(series, progress.attempts, retryAfter),
      waited: duration(elapsed - progress.localSince),
      failure,
      cause
    })
  )

/** The circuit did not let the attempt in. */
export const notAdmitted = <E>(
  series: EndedSeries,
  { circuit, retryAfter }: { readonly circuit: BreakerCircuit; readonly retryAfter: number },
  cause: E | undefined
): RetryError<E> => ended(series, circuit.refusal(accountOf(series, series.progress.attempts, retryAfter), cause))

/** The budget or the breaker is against the attempt that would have followed a failure. */
export const refused = <E>(
  series: EndedSeries,
  { failure, progress }: Decision.Situation,
  { cause, decision: { by, retryAfter } }: { readonly decision: Decision.Refused; readonly cause: E }
): RetryError<E> => ended(series, by.refusal(accountOf(series, progress.attempts, retryAfter), cause, failure))

/** What a decision to stop after a failure comes to. */
export const stopped = <E>(
  series: EndedSeries,
  situation: Decision.Situation,
  { cause, decision: { reason, retryAfter } }: { readonly decision: Decision.Stop; readonly cause: E }
): RetryError<E> => {
  const fields = { ...accountOf(series, situation.progress.attempts, retryAfter), failure: situation.failure, cause }
  switch (reason) {
    case "ResourceExhausted":
      return resourceExhausted(series, situation, { cause, retryAfter })
    case "DeadlineExceeded":
      return deadlineExceeded(series, { interrupted: false, cause, retryAfter })
    case "NotRetryable":
      return ended(series, new NotRetryable<E>(fields))
    case "AttemptsExhausted":
      return ended(
        series,
        new AttemptsExhausted({ ...fields, maxAttempts: series.nested ? 1 : series.policy[TypeId].maxAttempts })
      )
  }
}
