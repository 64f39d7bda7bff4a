/**
 * What a run says of itself when it ends, and who may end it. Types only.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type { Failure } from "./Failure.ts"
import type { AttemptRecord, RetryErrorReason } from "./RetryError.ts"

/** What every reason is told of the run that it ends. */
export interface Account {
  readonly label: string
  readonly attempts: number
  readonly elapsed: Duration.Duration
  readonly retryAfter: Duration.Duration | undefined
  readonly history: ReadonlyArray<AttemptRecord>
}

/**
 * A budget or a circuit. Each makes the reason of its refusals itself, so that a bundle without one is without its reason too.
 */
export interface Refuser {
  /** Why the attempt after this failure is not made. */
  readonly refusal: <E>(account: Account, cause: E, failure: Failure) => RetryErrorReason<E>
}
