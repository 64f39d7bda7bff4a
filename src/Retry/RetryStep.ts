/**
 * One step of a policy: what follows a failed attempt. It is the only place where that is decided: `retry`, the schedule of a
 * policy and the dialer of a pool all step by it.
 *
 * @since 0.1.0
 */
import { TypeId as breakerTypeId } from "./Breaker.ts"
import type { BreakerCircuit } from "./BreakerCircuit.ts"
import type { Bucket, Withdrawal } from "./Bucket.ts"
import * as Decision from "./Decision.ts"
import type { RetryPolicy } from "./Policy.ts"
import { TypeId as budgetTypeId } from "./RetryBudget.ts"
import { askForRetry } from "./RetryGrant.ts"

/** What the steps of one series of attempts have in common. */
export interface Stepper {
  readonly rules: Decision.Rules
  /** What retries are paid from, if the policy has a budget. */
  readonly bucket: Bucket | undefined
  /** The circuit to look at, if the policy has a breaker. */
  readonly circuit: BreakerCircuit | undefined
  /** Whether an outer retry decides instead. */
  readonly nested: boolean
}

/** The tokens that retries of this label take, if the policy has a budget. */
export const bucketOf = ({ budget }: RetryPolicy, label: string): Bucket | undefined =>
  budget?.[budgetTypeId].bucketOf(label)

/** The circuit of this label, if the policy has a breaker. The time is in milliseconds of the monotonic clock. */
export const circuitOf = ({ breaker }: RetryPolicy, label: string, now: number): BreakerCircuit | undefined =>
  breaker?.[breakerTypeId].circuitOf(label, now)

/** An attempt that has failed. Times are in milliseconds. */
export interface FailedAttempt extends Pick<Decision.Situation, "failure" | "failures" | "elapsed" | "typical" | "u"> {
  /** For how long it had run. */
  readonly lived: number
  /** By the monotonic clock, which the budget and the breaker go by. */
  readonly now: number
}

/** What follows. */
export interface Step {
  /** The attempt counted, and what the decision was made from. */
  readonly situation: Decision.Situation
  readonly decision: Decision.Wait | Decision.Stop | Decision.Refused
  /** The token of the attempt that follows, if one does and the policy has a budget. */
  readonly withdrawal: Withdrawal | undefined
}

/** Counts a failed attempt, decides by the policy, and then asks the budget and the breaker, which nothing else changes. */
export const stepAfter = (stepper: Stepper, before: Decision.Progress, attempt: FailedAttempt): Step => {
  const { bucket, circuit, nested, rules } = stepper
  const { elapsed, failure, failures, lived, now, typical, u } = attempt
  const progress = Decision.failed(Decision.countedOn(before, rules, lived), failure, elapsed)
  const situation = { rules, nested, progress, failure, failures, elapsed, typical, u }
  const decision = Decision.decide(situation)
  if (decision._tag === "Stop") {
    if (Decision.isRemote(failure)) bucket?.failed()
    return { situation, decision, withdrawal: undefined }
  }
  const { delay } = decision
  const answer = askForRetry(bucket, circuit, { now, failure, delay, failures: progress.attempts, lived })
  return answer._tag === "Refused"
    ? { situation, decision: answer, withdrawal: undefined }
    : { situation, decision, withdrawal: answer.withdrawal }
}
