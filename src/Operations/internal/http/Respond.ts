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
import { classify, type Failure } from "../../../Retry/Failure.ts"
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

/**
 * Why a request got no connection, for the answer to it.
 *
 * @category models
 * @since 0.1.0
 * @stability experimental
 */
export interface Unavailable {
  /**
   * Whether the server behind this program is not available, as far as the error shows it. Otherwise there is a server, and no connection
   * or no room for one, or an operator has suspended the pool.
   */
  readonly isDown: boolean
  /** What `Retry-After` says, in whole seconds, from 1 to 121. */
  readonly retryAfter: number
  /** The error itself. Its message has names of hosts and places in the program, so do not send it to strangers. */
  readonly error: PoolError | RetryError
}

const isSaturated = (failure: Failure | undefined): boolean =>
  failure?.class === "RemoteSaturated" || failure?.class === "LocalExhausted"

const isDownFor = (reason: PoolError["reason"]): boolean => {
  switch (reason._tag) {
    case "EndpointUnavailable":
      return true
    case "ConnectFailed":
      return !isSaturated(classify(reason.cause))
    case "AcquireTimeout":
      return reason.stalledBy === "Connecting" && reason.cause !== undefined && !reason.isServerFull
    default:
      return false
  }
}

/** A retry may have ended with the error of a pool, which says more. */
const isDown = (overload: Overload): boolean => {
  const ofPool = errorsIn(overload).find((error) => error instanceof PoolError)
  if (ofPool !== undefined) return isDownFor(ofPool.reason)
  if (overload instanceof PoolError || overload.reason._tag === "ResourceExhausted") return false
  return !("failure" in overload.reason && isSaturated(overload.reason.failure))
}

/** The answer in plain text. */
export const plainAnswer = ({ isDown, retryAfter }: Unavailable): HttpServerResponse.HttpServerResponse => {
  const what = isDown ? "a server that this request needs is not available" : "the server has no connection to spare"
  return HttpServerResponse.text(`${what}; try again in ${retryAfter} s\n`, { status: 503 })
}

/** The answer to a request that failed with such an error. */
export const answerWith = (
  overload: Overload,
  answer: (unavailable: Unavailable) => HttpServerResponse.HttpServerResponse
): Effect.Effect<HttpServerResponse.HttpServerResponse> =>
  Effect.map(Random.next, (random) => {
    const retryAfter = retryAfterOf(overload, random)
    return HttpServerResponse.setHeaders(answer({ isDown: isDown(overload), retryAfter, error: overload }), {
      "retry-after": String(retryAfter),
      "cache-control": "no-store"
    })
  })
