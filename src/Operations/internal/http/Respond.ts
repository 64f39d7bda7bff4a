/**
 * Answers requests that failed for lack of a connection.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Random from "effect/Random"
import { isObject, read, readArray } from "../../../internal/SafeRead.ts"
import { PoolError } from "../../../Pool/PoolError.ts"
import { RetryError } from "../../../Retry/RetryError.ts"

type Overload = PoolError | RetryError

/** A retry that ended with a failure that does not pass is a fault of the program, and no lack of capacity. */
const isPermanent = ({ reason }: RetryError): boolean =>
  reason._tag === "NotRetryable" && (reason.failure.class === "Fatal" || reason.failure.class === "Redirect")

const isOverload = (error: unknown): error is Overload =>
  error instanceof PoolError || error instanceof RetryError && !isPermanent(error)

/** How many errors are looked at. */
const mostErrors = 50

/** An error and its causes, the outer ones first, in the fields that Effect and Node use for causes. */
const errorsIn = (error: unknown): ReadonlyArray<object> => {
  const found = new Set<object>()
  const add = (value: unknown) => {
    if (isObject(value) && found.size < mostErrors) found.add(value)
  }
  add(error)
  // A set is iterated in the order of insertion, and what is added meanwhile is iterated too.
  for (const each of found) {
    add(read(each, "cause"))
    add(read(each, "reason"))
    for (const inner of readArray(each, "errors", mostErrors)) add(inner)
  }
  return Array.from(found)
}

/** The first error of ours in a cause: a failure or a defect, or what has caused one of them. */
export const overloadOf = (cause: Cause.Cause<unknown>): Overload | undefined => {
  for (const reason of cause.reasons) {
    if (reason._tag === "Interrupt") continue
    const found = errorsIn(reason._tag === "Fail" ? reason.error : reason.defect).find(isOverload)
    if (found !== undefined) return found
  }
  return undefined
}

/** The time after which another attempt makes sense, if the error or one of its causes says so. */
const hintOf = (overload: Overload): Duration.Duration | undefined =>
  errorsIn(overload).map((error) => read(error, "retryAfter")).find(Duration.isDuration)

/** Without a hint: about as long as a queue needs to become shorter. */
const usual = Duration.seconds(2)

/** A longer wait would outlast most outages. */
const most = Duration.minutes(1)

/** Whole seconds: at least the hint, and at most twice as long and one more, so that the clients do not all come back together. */
export const retryAfterOf = (overload: Overload, random: number): number => {
  const least = Math.max(Math.ceil(Duration.toSeconds(Duration.min(hintOf(overload) ?? usual, most))), 1)
  return least + Math.floor(random * (least + 1))
}

/** The answer to a request that failed with such an error. */
export const answerOf = (overload: Overload) =>
  Effect.map(Random.next, (random) => {
    const seconds = retryAfterOf(overload, random)
    return HttpServerResponse.text(`the server has no connection to spare; try again in ${seconds} s\n`, {
      status: 503,
      headers: { "retry-after": String(seconds), "cache-control": "no-store" }
    })
  })
