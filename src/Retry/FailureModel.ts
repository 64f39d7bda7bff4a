/**
 * What is known about an error. `Failure` exports all of it.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import type { FailureClass, Meaning } from "./Codes.ts"
import { advice } from "./Codes.ts"

/**
 * What is known about an error.
 *
 * @category models
 * @since 0.1.0
 */
export interface Failure {
  readonly class: FailureClass
  /**
   * The code that decided, such as `ECONNREFUSED`, `53300` (a SQLSTATE), `HTTP_503`, `MYSQL_1040`, `MOVED`, `UNAVAILABLE`
   * or the tag of an error. `undefined` when no code was recognised.
   */
  readonly code: string | undefined
  /**
   * How long the other side asked us to wait (`Retry-After`, gRPC's pushback), as it said it: a policy cuts what is absurd
   * and spreads what is left upwards.
   */
  readonly retryAfter?: Duration.Duration | undefined
  /**
   * `false` when it is certain that nothing of the request reached the other side, as when there never was a connection;
   * `true` when some of it may have; absent when nothing is known. An `Ambiguous` failure of which nothing was sent may be
   * retried.
   */
  readonly sent?: boolean | undefined
  /** What an operator has to do before a later attempt can succeed, where a code says so. It completes a message. */
  readonly advice?: string | undefined
}

/**
 * Makes a failure, mostly for the `classify` option of a policy. `retryAfter` is any duration of at least 0.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (failureClass: FailureClass, options?: {
  readonly code?: string | undefined
  readonly retryAfter?: Duration.Input | undefined
  readonly sent?: boolean | undefined
  readonly advice?: string | undefined
}): Failure => ({
  class: failureClass,
  code: options?.code,
  ...(options?.retryAfter === undefined ? undefined : { retryAfter: Duration.fromInputUnsafe(options.retryAfter) }),
  ...(options?.sent === undefined ? undefined : { sent: options.sent }),
  ...(options?.advice === undefined ? undefined : { advice: options.advice })
})

/** The failure that a code stands for. `retryAfter` is in milliseconds. */
export const meaning = (means: Meaning, code: string | undefined, retryAfter?: number): Failure =>
  make(means === "Unsent" ? "Transient" : means, {
    code,
    retryAfter,
    sent: means === "Unsent" ? false : undefined,
    advice: code === undefined ? undefined : advice.get(code)
  })
