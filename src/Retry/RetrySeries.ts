/**
 * A series of failed attempts as a value, for what steps a policy without a fiber that waits in it: the dialer of a pool.
 *
 * @since 0.1.0
 */
import { uniform } from "./Backoff.ts"
import * as Decision from "./Decision.ts"
import type { Failure } from "./Failure.ts"
import { recordOf, remember } from "./History.ts"
import { type RetryPolicy, TypeId } from "./Policy.ts"
import { refused, stopped } from "./Refusal.ts"
import type { AttemptRecord, RetryError } from "./RetryError.ts"
import { bucketOf, circuitOf, type Step, stepAfter } from "./RetryStep.ts"

/** Attempts that have failed, one after the other, since the last success. */
export interface Series {
  /** When the first of them began, in milliseconds of the monotonic clock. */
  readonly startedAt: number
  readonly progress: Decision.Progress
  readonly records: ReadonlyArray<AttemptRecord>
  /** The random numbers of a series come from one, as those of a run of `retry` do. */
  readonly seed: number
  readonly drawn: number
}

/** A series whose first attempt began then. The seed is a random number from 0 (inclusive) to 1 (exclusive). */
export const begin = (startedAt: number, seed: number): Series => ({
  startedAt,
  progress: Decision.started,
  records: [],
  seed,
  drawn: 0
})

/** What is stepped. */
export interface Stepped {
  readonly policy: RetryPolicy
  /** Of the budget, the breaker and the errors. */
  readonly label: string
}

/** An attempt of the series. Times are in milliseconds of the monotonic clock. */
export interface Failed {
  readonly error: unknown
  readonly failure: Failure
  readonly now: number
  /** For how long the attempt had run. */
  readonly lived: number
  /** Failures that the delay is drawn from, this one included, where these are not the attempts of this series alone. */
  readonly failures?: number | undefined
}

/** Another attempt after `delay` milliseconds; or none, and this is how long the next series would have to wait. */
export type Verdict =
  | { readonly _tag: "Again"; readonly delay: number }
  | { readonly _tag: "GiveUp"; readonly delay: number; readonly error: RetryError }

const ended = ({ label, policy }: Stepped, { progress, records }: Series, step: Step, cause: unknown) => {
  const { decision, situation } = step
  const series = { label, policy, progress, nested: false, history: { records }, elapsed: () => situation.elapsed }
  switch (decision._tag) {
    case "Wait":
      return undefined
    case "Stop":
      return stopped(series, situation, { cause, decision })
    case "Refused":
      return refused(series, situation, { cause, decision })
  }
}

/**
 * Steps a policy by one failed attempt, in one go: the series after it, and what follows.
 *
 * **Details**
 *
 * It is the step of `RetryPolicy.schedule`, of which it leaves out one thing: it does not ask the gate. The schedule does so
 * before the delay and cannot hold the claim; whatever steps a series reserves by itself after the delay, for the attempt.
 * The token of the next attempt is spent here, as it is by the schedule when nothing stands in the way at the gate: it is what the
 * failure costs, and the failure has happened whether another attempt follows or not.
 */
export const step = (stepped: Stepped, before: Series, failed: Failed): readonly [Series, Verdict] => {
  const { label, policy } = stepped
  const { error, failure, failures, lived, now } = failed
  const elapsed = now - before.startedAt
  const stepper = {
    rules: policy[TypeId],
    nested: false,
    bucket: bucketOf(policy, label),
    circuit: circuitOf(policy, label, now)
  }
  const u = uniform(before.seed, before.drawn)
  const step = stepAfter(stepper, before.progress, { failure, failures, lived, elapsed, now, typical: 0, u })
  step.withdrawal?.spend()
  const { progress } = step.situation
  const record = recordOf({ run: progress.runs, begunAt: elapsed - lived, endedAt: elapsed, failure, error })
  const after = { ...before, progress, records: remember(before.records, record), drawn: before.drawn + 1 }
  const delay = Decision.pauseOf(step.situation)
  const gaveUp = ended(stepped, after, step, error)
  if (gaveUp !== undefined) return [after, { _tag: "GiveUp", delay, error: gaveUp }]
  policy.observer?.delayed(delay)
  return [after, { _tag: "Again", delay }]
}
