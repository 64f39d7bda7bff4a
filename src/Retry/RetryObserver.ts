/**
 * Who is told of what retries do, as it happens.
 *
 * @since 0.1.0
 */
import type { FailureClass } from "./Failure.ts"
import type { RetryErrorReason } from "./RetryError.ts"

/**
 * How one run of a retried effect ended: `TimedOut` at the deadline of the policy, `Passed` with a defect or an
 * interruption, which are not retried.
 *
 * @category models
 * @since 0.1.0
 */
export type Ending = "Succeeded" | FailureClass | "TimedOut" | "Passed"

/**
 * Is told what retries do. Times are in milliseconds. It is called in the middle of a retry and must neither throw nor take
 * long.
 *
 * @category models
 * @since 0.1.0
 */
export interface RetryObserver {
  /** A run of the effect has ended. `run` counts from 1. */
  readonly ended: (how: Ending, millis: number, run: number) => void
  /** A run was granted room at the gate, after so long. */
  readonly passedGate: (millis: number) => void
  /** Another run follows after this delay. */
  readonly delayed: (millis: number) => void
  /** No run follows, for this reason. */
  readonly refused: (reason: RetryErrorReason["_tag"]) => void
}
