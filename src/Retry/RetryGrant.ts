/**
 * Whether a retry is granted that nothing else speaks against: by the budget, and then by the circuit.
 *
 * @since 0.1.0
 */
import type { BreakerCircuit, FailedCall } from "./BreakerCircuit.ts"
import type { Bucket, Withdrawal } from "./Bucket.ts"
import { isDown, isRemote, type Refused } from "./Decision.ts"
import type { Failure } from "./Failure.ts"

/** A retry that is asked for. */
export interface RetryRequest extends FailedCall {
  readonly failure: Failure
  /** How long the retry waits before it begins, in milliseconds. */
  readonly delay: number
}

/** The retry may follow. Its token is spent when it begins, and given back when it never does. */
export interface Granted {
  readonly _tag: "Granted"
  readonly withdrawal: Withdrawal | undefined
}

const free: Granted = { _tag: "Granted", withdrawal: undefined }

const askBudget = (bucket: Bucket, { delay, now }: RetryRequest): Granted | Refused => {
  const withdrawal = bucket.withdraw(now)
  return withdrawal === undefined
    ? { _tag: "Refused", by: bucket, retryAfter: bucket.retryAfter(now, delay) }
    : { _tag: "Granted", withdrawal }
}

/** A failure that says nothing about the endpoint is held against nothing but an open circuit. */
const askCircuit = (circuit: BreakerCircuit, request: RetryRequest): Refused | undefined => {
  const { delay, failure, now } = request
  const retryAfter = isDown(failure) ? circuit.deniesRetryFor(request) : circuit.refusedFor(now)
  return retryAfter > delay ? { _tag: "Refused", by: circuit, retryAfter } : undefined
}

/** Asks the budget, which counts the failure, and then the circuit. */
export const askForRetry = (
  bucket: Bucket | undefined,
  circuit: BreakerCircuit | undefined,
  request: RetryRequest
): Granted | Refused => {
  const byBudget = bucket === undefined || !isRemote(request.failure) ? free : askBudget(bucket, request)
  if (byBudget._tag === "Refused" || circuit === undefined) return byBudget
  const byCircuit = askCircuit(circuit, request)
  if (byCircuit === undefined) return byBudget
  byBudget.withdrawal?.refund()
  return byCircuit
}
