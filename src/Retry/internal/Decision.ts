/**
 * Decides what follows a failed attempt. `retry`, the schedule of a policy and the dialer of a pool all use {@link stepAfter}.
 *
 * The order of one decision is part of the contract:
 *
 * 1. the class of the failure: is it retried, does it need room on this host, or does it end the retry?
 * 2. nesting: inside another retry, the outer one decides;
 * 3. the attempts that the policy grants;
 * 4. the deadline: the delay and a typical attempt must fit;
 * 5. the budget;
 * 6. the breaker: does it grant a retry after the delay?
 *
 * Then the delay passes, the gate is asked for room, the breaker admits the attempt, and the attempt begins. The gate is asked
 * before the breaker: otherwise an attempt that waits for a descriptor could be the only probe of its circuit.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import { errorText, safeLabel } from "../../internal/SafeText.ts"
import type { ResourceExhausted as NoRoom } from "../../Monitor/Service.ts"
import { type Breaker, TypeId as breakerTypeId } from "../Breaker.ts"
import * as Failures from "../Failure.ts"
import { type RetryBudget, TypeId as budgetTypeId } from "../RetryBudget.ts"
import {
  type AttemptRecord,
  AttemptsExhausted,
  DeadlineExceeded,
  NotRetryable,
  ResourceExhausted,
  RetryError,
  type RetryErrorReason,
  type RetrySummary
} from "../RetryError.ts"
import { atLeast, type Backoff, delay, isStable, nominal, uniform } from "./Backoff.ts"
import type { BreakerCircuit, FailedCall } from "./BreakerCircuit.ts"
import type { Bucket, Withdrawal } from "./TokenBucket.ts"

type Failure = Failures.Failure

/**
 * Marks a policy, and holds its decoded rules.
 *
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId = "~effect-sluice/Retry/RetryPolicy"

/** The decoded policy. Times are in milliseconds. */
export interface PolicyRules {
  readonly backoff: Backoff
  /** The backoff of waits for room on this host. */
  readonly localBackoff: Backoff
  /** Counts the first attempt. `Infinity` for no bound. */
  readonly maxAttempts: number
  /** An attempt that ran for at least this long resets the count of attempts. `Infinity` for never. */
  readonly stableAfter: number
  /** Counted from the start. `Infinity` for none. */
  readonly deadline: number
  /** Whether an ambiguous failure may be retried. */
  readonly idempotent: boolean
}

/**
 * How an attempt ended: successfully, with a failure of this class, `TimedOut` at the deadline of the policy, or `Passed`: with
 * a defect or an interruption, which are passed on and never retried.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export type Ending = "Succeeded" | Failures.FailureClass | "TimedOut" | "Passed"

/**
 * Receives the events of retries. Times are in milliseconds. Its functions are called inside the retry, and must neither throw
 * nor block.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface RetryObserver {
  /** An execution of the effect has ended. `run` is its number, from 1. */
  readonly ended: (how: Ending, millis: number, run: number) => void
  /** The gate has granted an attempt after this wait. */
  readonly passedGate: (millis: number) => void
  /** Another attempt follows after this delay. */
  readonly delayed: (millis: number) => void
  /** No further attempt follows, for this reason. */
  readonly refused: (reason: RetryErrorReason["_tag"]) => void
}

/** The part of a policy that retries read. */
export interface Policy {
  readonly [TypeId]: PolicyRules
  readonly deadline: Duration.Duration
  readonly budget: RetryBudget | undefined
  readonly breaker: Breaker | undefined
  readonly classify: ((error: unknown) => Failure | undefined) | undefined
  readonly descriptors: number
  readonly observer: RetryObserver | undefined
}

/** The code of a failure in which the breaker of an inner retry refused the attempt: nothing was sent. */
const circuitOpenCode = "CircuitOpen"

/**
 * Classifies an error. The `classify` of the policy also gets the error that an inner retry has wrapped, because that is the
 * failure itself.
 */
export const classify = (policy: Policy, error: unknown, options: Failures.ClassifyOptions): Failure => {
  let current = error
  while (true) {
    const own = policy.classify?.(current)
    if (own !== undefined) return own
    if (!(current instanceof RetryError)) break
    const { reason } = current
    if (reason._tag === "CircuitOpen") {
      return Failures.make("RemoteSaturated", { code: circuitOpenCode, retryAfter: reason.retryAfter })
    }
    current = reason.cause
  }
  return Failures.classify(error, options)
}

/** The state of a series of attempts. */
export interface Progress {
  /** Attempts that count against `maxAttempts`, the last one included. */
  readonly attempts: number
  /**
   * Executions of the effect, including those that failed for lack of room. The gate gets this number, because it refuses
   * retries earlier than first attempts.
   */
  readonly runs: number
  /** Consecutive failures for lack of room on this host. */
  readonly localFailures: number
  /** When the first of these failures happened, in milliseconds since the start. */
  readonly localSince: number
}

/** Before the first attempt. */
export const started: Progress = { attempts: 0, runs: 0, localFailures: 0, localSince: 0 }

/** Counts a refusal of the gate, which was asked at this time: the effect was not executed. */
export const refused = (progress: Progress, asked: number): Progress => ({
  ...progress,
  localFailures: progress.localFailures + 1,
  localSince: progress.localFailures === 0 ? asked : progress.localSince
})

/** Counts a failure. Lack of room on this host is counted separately; any other failure resets that count. */
export const failed = (progress: Progress, failure: Failure, elapsed: number): Progress => {
  const runs = progress.runs + 1
  return failure.class === "LocalExhausted"
    ? { ...refused(progress, elapsed), runs }
    : { attempts: progress.attempts + 1, runs, localFailures: 0, localSince: 0 }
}

/** Resets the count of attempts if the failed attempt had run long enough. `lived` is in milliseconds. */
export const countedOn = (progress: Progress, { backoff, stableAfter }: PolicyRules, lived: number): Progress =>
  isStable(lived, progress.attempts === 0 ? 0 : nominal(backoff, progress.attempts), stableAfter)
    ? { ...progress, attempts: 0 }
    : progress

/** Why a series ends after a failure. */
export type StopReason = "NotRetryable" | "AttemptsExhausted" | "DeadlineExceeded" | "ResourceExhausted"

/** Another attempt after a wait in milliseconds. */
export interface Wait {
  readonly _tag: "Wait"
  readonly delay: number
}

/** No further attempt. `retryAfter` is the time in milliseconds after which another call makes sense, if it is known. */
export interface Stop<Reason extends StopReason = StopReason> {
  readonly _tag: "Stop"
  readonly reason: Reason
  readonly retryAfter: number | undefined
}

/** No further attempt, because the budget or the breaker refuses it. */
export interface Refused {
  readonly _tag: "Refused"
  /**
   * The budget or the circuit that refuses. Each makes the reason itself, so that a bundle without a breaker does not contain
   * the breaker's reason.
   */
  readonly by: {
    readonly refusal: <E>(summary: RetrySummary, cause: E, failure: Failure) => RetryErrorReason<E>
  }
  readonly retryAfter: number | undefined
}

/** What a decision depends on. */
export interface DecisionInput {
  readonly rules: PolicyRules
  /** The progress in which the failure is already counted. */
  readonly progress: Progress
  readonly failure: Failure
  /** The number of failures that determines the delay, if it is not the number of attempts of this series. At least 1. */
  readonly failures?: number | undefined
  /** Milliseconds since the start. */
  readonly elapsed: number
  /** The typical duration of an attempt in milliseconds; 0 if unknown. */
  readonly typical: number
  /** Whether an outer retry decides instead. */
  readonly nested: boolean
  /** A random number from 0 (inclusive) to 1 (exclusive). */
  readonly u: number
}

/** Without a deadline, waiting for room on this host ends after this time. */
export const maxLocalWait = 30_000

const wait = (delay: number): Wait => ({ _tag: "Wait", delay })

const stop = <Reason extends StopReason>(reason: Reason, retryAfter: number | undefined): Stop<Reason> => ({
  _tag: "Stop",
  reason,
  retryAfter
})

const isRefused = (failure: Failure, rules: PolicyRules): boolean =>
  failure.class === "Fatal" || failure.class === "Redirect" ||
  (failure.class === "Ambiguous" && failure.sent !== false && !rules.idempotent)

/** When a wait for room that began at `since` ends. */
const localLimit = (rules: PolicyRules, since: number): number =>
  rules.deadline === Infinity ? since + maxLocalWait : rules.deadline

/** How long a request that is made now may wait at the gate, in milliseconds. */
export const localPatience = (rules: PolicyRules, { localFailures, localSince }: Progress, elapsed: number): number =>
  Math.max(0, localLimit(rules, localFailures === 0 ? elapsed : localSince) - elapsed)

/** The wait that the server asked for, in milliseconds, if it did. */
export const hintOf = ({ retryAfter }: Failure): number | undefined =>
  retryAfter === undefined ? undefined : Duration.toMillis(retryAfter)

/** The delay before the next attempt in milliseconds, also if no attempt follows. */
const pauseOf = ({ failure, failures, progress, rules, u }: DecisionInput): number =>
  failure.class === "LocalExhausted"
    ? delay(rules.localBackoff, progress.localFailures, u)
    : atLeast(delay(rules.backoff, failures ?? progress.attempts, u), hintOf(failure), u)

/**
 * Decides what follows when this host has no room: a pause and another request to the gate, until the time for waiting is over.
 */
export const decideLocal = (input: DecisionInput): Wait | Stop<"ResourceExhausted"> => {
  const { elapsed, nested, progress, rules } = input
  const pause = pauseOf(input)
  const isOver = nested || elapsed + pause > localLimit(rules, progress.localSince)
  return isOver ? stop("ResourceExhausted", pause) : wait(pause)
}

/** Steps 1 to 4 of the decision. After a `Wait`, the budget and the breaker may still refuse. */
export const decide = (input: DecisionInput): Wait | Stop => {
  const { elapsed, failure, nested, progress, rules, typical } = input
  if (failure.class === "LocalExhausted") return decideLocal(input)
  if (isRefused(failure, rules)) return stop("NotRetryable", undefined)
  const pause = pauseOf(input)
  if (nested || progress.attempts >= rules.maxAttempts) return stop("AttemptsExhausted", pause)
  return elapsed + pause + typical >= rules.deadline ? stop("DeadlineExceeded", pause) : wait(pause)
}

/** Whether the failure indicates a down endpoint. One that is busy, or that answers, is up. */
export const isDown = (failure: Failure): boolean => failure.class === "Transient" || failure.class === "Ambiguous"

/** Whether the failure costs a token of the budget: failures of the endpoint do, and refusals on this host do not. */
export const isRemote = (failure: Failure): boolean =>
  (isDown(failure) || failure.class === "RemoteSaturated") && failure.code !== circuitOpenCode

/** The bucket from which retries of this label take their tokens, if the policy has a budget. */
export const bucketOf = ({ budget }: Policy, label: string): Bucket | undefined =>
  budget?.[budgetTypeId].bucketOf(label)

/** The circuit of this label, if the policy has a breaker. The time is in milliseconds of the monotonic clock. */
export const circuitOf = ({ breaker }: Policy, label: string, now: number): BreakerCircuit | undefined =>
  breaker?.[breakerTypeId].circuitOf(label, now)

/** The inputs that are the same for all steps of one series of attempts. */
export interface Stepper extends Pick<DecisionInput, "rules" | "nested"> {
  /** The bucket from which retries take their tokens, if the policy has a budget. */
  readonly bucket: Bucket | undefined
  /** The circuit to ask, if the policy has a breaker. */
  readonly circuit: BreakerCircuit | undefined
}

/** A failed attempt. Times are in milliseconds. */
export interface FailedAttempt extends Omit<DecisionInput, "rules" | "nested" | "progress"> {
  /** How long it had run. */
  readonly lived: number
  /** By the monotonic clock, which the budget and the breaker use. */
  readonly now: number
}

/** What follows. */
export interface Step {
  /** The inputs of the decision. The attempt is already counted in them. */
  readonly input: DecisionInput
  readonly decision: Wait | Stop | Refused
  /** The token of the attempt that follows, if one does and the policy has a budget. */
  readonly withdrawal: Withdrawal | undefined
}

/** A retry that is requested after a failure. */
export interface RetryRequest extends FailedCall {
  readonly failure: Failure
  /** The wait before the retry, in milliseconds. */
  readonly delay: number
}

/** The retry may follow. Its token is spent when the retry begins, and refunded if it never begins. */
export interface Granted {
  readonly _tag: "Granted"
  readonly withdrawal: Withdrawal | undefined
}

/**
 * Asks the budget, which counts the failure, and then the circuit. A closed circuit refuses only after a failure that shows
 * that the endpoint is down.
 */
export const askForRetry = (
  bucket: Bucket | undefined,
  circuit: BreakerCircuit | undefined,
  request: RetryRequest
): Granted | Refused => {
  const { delay, failure, now } = request
  const payer = isRemote(failure) ? bucket : undefined
  const withdrawal = payer?.withdraw(now)
  if (payer !== undefined && withdrawal === undefined) {
    return { _tag: "Refused", by: payer, retryAfter: payer.retryAfter(now, delay) }
  }
  const retryAfter = (isDown(failure) ? circuit?.deniesRetryFor(request) : circuit?.refusedFor(now)) ?? 0
  if (circuit === undefined || retryAfter <= delay) return { _tag: "Granted", withdrawal }
  withdrawal?.refund()
  return { _tag: "Refused", by: circuit, retryAfter }
}

/** Counts a failed attempt, decides by the policy, and then asks the budget and the breaker. */
export const stepAfter = (
  { bucket, circuit, nested, rules }: Stepper,
  before: Progress,
  attempt: FailedAttempt
): Step => {
  const { elapsed, failure, lived, now } = attempt
  const progress = failed(countedOn(before, rules, lived), failure, elapsed)
  const input = { ...attempt, rules, nested, progress }
  const decision = decide(input)
  if (decision._tag === "Stop") {
    if (isRemote(failure)) bucket?.failed()
    return { input, decision, withdrawal: undefined }
  }
  const { delay } = decision
  const answer = askForRetry(bucket, circuit, { now, failure, delay, failures: progress.attempts, lived })
  return answer._tag === "Refused"
    ? { input, decision: answer, withdrawal: undefined }
    : { input, decision, withdrawal: answer.withdrawal }
}

/** The most records, and the most durations, that are kept. */
const maxRecords = 10
const maxMessage = 200

/** An execution of the effect that failed. Times are in milliseconds since the first one began. */
export interface FailedRun {
  readonly run: number
  readonly begunAt: number
  readonly endedAt: number
  readonly failure: Failure
  readonly error: unknown
}

const recordOf = ({ begunAt, endedAt, error, failure, run }: FailedRun): AttemptRecord => ({
  run,
  begunAfter: duration(begunAt),
  took: duration(endedAt - begunAt),
  failure,
  message: errorText(error, maxMessage)
})

/** Adds an execution. The first record and the last ones are kept, because they show how the failures began and ended. */
const remember = (records: ReadonlyArray<AttemptRecord>, run: FailedRun): ReadonlyArray<AttemptRecord> => {
  const kept = records.length < maxRecords ? records : [...records.slice(0, 1), ...records.slice(2)]
  return [...kept, recordOf(run)]
}

/** The failed executions of one retry: the first one and the last ones. */
export class AttemptLog {
  #records: ReadonlyArray<AttemptRecord> = []
  /** How long the last attempts took, in milliseconds. */
  readonly #took: Array<number> = []

  add(run: FailedRun): void {
    this.#records = remember(this.#records, run)
    // An attempt without room on this host ends early, so its duration says nothing about the next one.
    if (run.failure.class === "LocalExhausted") return
    this.#took.push(run.endedAt - run.begunAt)
    if (this.#took.length > maxRecords) this.#took.shift()
  }

  get records(): ReadonlyArray<AttemptRecord> {
    return this.#records
  }

  /** The median duration of the failed attempts, 0 before the first one. */
  get typical(): number {
    return this.#took.toSorted((left, right) => left - right)[Math.floor(this.#took.length / 2)] ?? 0
  }
}

/** A series of attempts, as far as the error at its end shows it. */
export interface EndedSeries {
  readonly label: string
  readonly policy: Policy
  /** Whether an outer retry decides instead. */
  readonly nested: boolean
  readonly progress: Progress
  readonly log: { readonly records: ReadonlyArray<AttemptRecord> }
  /** Milliseconds since it began. */
  readonly elapsed: () => number
}

const duration = (millis: number): Duration.Duration => Duration.millis(Math.round(millis))

const summaryOf = (series: EndedSeries, attempts: number, retryAfter: number | undefined): RetrySummary => ({
  label: safeLabel(series.label),
  attempts,
  elapsed: duration(series.elapsed()),
  retryAfter: retryAfter === undefined ? undefined : duration(retryAfter),
  history: series.log.records
})

const ended = <E>(series: EndedSeries, reason: RetryErrorReason<E>): RetryError<E> => {
  series.policy.observer?.refused(reason._tag)
  return new RetryError({ reason })
}

/** The deadline has passed: before an attempt, or during one. */
export const deadlineExceeded = <E>(
  series: EndedSeries,
  details: { readonly interrupted: boolean; readonly cause: E | undefined; readonly retryAfter?: number | undefined }
): RetryError<E> => {
  const { cause, interrupted, retryAfter } = details
  const summary = summaryOf(series, series.progress.attempts + (interrupted ? 1 : 0), retryAfter)
  return ended(series, new DeadlineExceeded({ ...summary, deadline: series.policy.deadline, interrupted, cause }))
}

/** The series has waited for room for as long as it could. */
export const resourceExhausted = <E>(
  series: EndedSeries,
  { elapsed, failure, progress }: DecisionInput,
  { cause, retryAfter }: { readonly cause: E | NoRoom; readonly retryAfter: number | undefined }
): RetryError<E> => {
  const waited = duration(elapsed - progress.localSince)
  const summary = summaryOf(series, progress.attempts, retryAfter)
  return ended(series, new ResourceExhausted<E>({ ...summary, waited, failure, cause }))
}

/** The circuit did not admit the attempt. */
export const notAdmitted = <E>(
  series: EndedSeries,
  { circuit, retryAfter }: { readonly circuit: BreakerCircuit; readonly retryAfter: number },
  cause: E | undefined
): RetryError<E> => ended(series, circuit.refusal(summaryOf(series, series.progress.attempts, retryAfter), cause))

/** The error of a decision to end the series after a failure. */
export const endedBy = <E>(
  series: EndedSeries,
  input: DecisionInput,
  { cause, decision }: { readonly decision: Stop | Refused; readonly cause: E }
): RetryError<E> => {
  const { retryAfter } = decision
  const { failure } = input
  const summary = summaryOf(series, input.progress.attempts, retryAfter)
  if (decision._tag === "Refused") return ended(series, decision.by.refusal(summary, cause, failure))
  switch (decision.reason) {
    case "ResourceExhausted":
      return resourceExhausted(series, input, { cause, retryAfter })
    case "DeadlineExceeded":
      return deadlineExceeded(series, { interrupted: false, cause, retryAfter })
    case "NotRetryable":
      return ended(series, new NotRetryable<E>({ ...summary, failure, cause }))
    case "AttemptsExhausted": {
      const maxAttempts = series.nested ? 1 : series.policy[TypeId].maxAttempts
      return ended(series, new AttemptsExhausted({ ...summary, failure, cause, maxAttempts }))
    }
  }
}

/** Consecutive failed attempts as a value, for a caller that does not wait in a fiber, such as the dialer of a pool. */
export interface Series {
  /** When the first of them began, in milliseconds of the monotonic clock. */
  readonly startedAt: number
  readonly progress: Progress
  readonly records: ReadonlyArray<AttemptRecord>
  /** The source of the random numbers of this series. */
  readonly seed: number
  readonly drawn: number
}

/** Begins a series at this time. The seed is a random number from 0 (inclusive) to 1 (exclusive). */
export const begin = (startedAt: number, seed: number): Series => {
  return { startedAt, progress: started, records: [], seed, drawn: 0 }
}

/** The policy of a series, and the label in its budget, its breaker and its errors. */
export interface Stepped {
  readonly policy: Policy
  readonly label: string
}

/** A single attempt has failed: the input of a step of the policy. */
export class AttemptFailed<E> {
  readonly error: E
  readonly failure: Failure
  /** How long it had run, in milliseconds. */
  readonly lived: number
  constructor(error: E, failure: Failure, lived: number) {
    this.error = error
    this.failure = failure
    this.lived = lived
  }
}

/** An attempt of a series. Times are in milliseconds of the monotonic clock. */
export interface Failed extends Pick<FailedAttempt, "failure" | "failures" | "lived" | "now"> {
  readonly error: unknown
}

/**
 * `Again`: another attempt after `delay` milliseconds. `GiveUp`: no further attempt in this series; the next series may begin
 * after `delay`.
 */
export type Verdict =
  | { readonly _tag: "Again"; readonly delay: number }
  | { readonly _tag: "GiveUp"; readonly delay: number; readonly error: RetryError }

/**
 * Steps a policy by one failed attempt: returns the series after it, and what follows.
 *
 * **Details**
 *
 * It does the same as `RetryPolicy.schedule`, but without the gate: its caller asks the gate after the delay, for the attempt.
 * The token of the next attempt is spent here, because the failure costs it whether another attempt follows or not.
 */
export const step = ({ label, policy }: Stepped, before: Series, attempt: Failed): readonly [Series, Verdict] => {
  const { error, failure, failures, lived, now } = attempt
  const elapsed = now - before.startedAt
  const stepper = {
    rules: policy[TypeId],
    nested: false,
    bucket: bucketOf(policy, label),
    circuit: circuitOf(policy, label, now)
  }
  const u = uniform(before.seed, before.drawn)
  const { decision, input, withdrawal } = stepAfter(
    stepper,
    before.progress,
    { failure, failures, lived, elapsed, now, typical: 0, u }
  )
  withdrawal?.spend()
  const { progress } = input
  const run = { run: progress.runs, begunAt: elapsed - lived, endedAt: elapsed, failure, error }
  const after = { ...before, progress, records: remember(before.records, run), drawn: before.drawn + 1 }
  const delay = pauseOf(input)
  if (decision._tag === "Wait") {
    policy.observer?.delayed(delay)
    return [after, { _tag: "Again", delay }]
  }
  const series = { label, policy, progress, nested: false, log: after, elapsed: () => elapsed }
  return [after, { _tag: "GiveUp", delay, error: endedBy(series, input, { cause: error, decision }) }]
}
