/**
 * What the log and the page say of an endpoint that is `Unavailable`.
 *
 * @since 0.1.0
 */
import { PoolError } from "../../Pool/PoolError.ts"
import { answerIn } from "../../Retry/ServerAnswers.ts"

/**
 * - `Down`: no connection to the server can be opened or used.
 * - `NotServing`: the server accepts connections, but no borrower is served. All connections are in use and none comes back (the server is
 *   silent, or borrowers keep what they have), or the server refuses every request.
 */
export type OutageKind = "Down" | "NotServing"

/** The words for each kind, after the endpoint's name. */
export const outageWords: Readonly<Record<OutageKind, string>> = { Down: "is down", NotServing: "serves no borrower" }

/** Whether this is the error of a borrower that has waited for connections which are all in use. */
export const isHeld = (cause: unknown): boolean =>
  cause instanceof PoolError && cause.reason._tag === "AcquireTimeout" &&
  (cause.reason.stalledBy === "EndpointCap" || cause.reason.stalledBy === "TotalCap")

/** The kind of an outage, by its last error. Without an error, failed attempts show that no connection can be opened. */
export const outageKindOf = (
  { attempts, cause }: { readonly attempts: number; readonly cause: unknown }
): OutageKind => {
  if (cause === undefined) return attempts > 0 ? "Down" : "NotServing"
  return isHeld(cause) || answerIn(cause) !== undefined ? "NotServing" : "Down"
}
