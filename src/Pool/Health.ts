/**
 * Whether an endpoint can be counted on, as far as a pool has seen.
 *
 * @since 0.1.0
 */
import type { KeyPool } from "./PoolState.ts"

/**
 * What a pool knows of an endpoint from its own outcomes.
 *
 * - `Healthy`: the last connection could be opened, or none was ever asked for.
 * - `Degraded`: the last attempt failed, and there are open connections left or it is time for another attempt, which the next
 *   borrower makes; or the endpoint is back and its queue is being served.
 * - `Unavailable`: the last attempt failed, nothing is open, and another attempt is under way or has to wait for its time.
 *
 * An endpoint that nobody asks for so goes from `Unavailable` to `Degraded` after a while. Whoever asks only what is not
 * `Unavailable` makes the one attempt that finds out whether it is back.
 *
 * A failure for want of descriptors or ports of our own says nothing of the endpoint.
 *
 * @category models
 * @since 0.1.0
 */
export type Health = "Healthy" | "Degraded" | "Unavailable"

export const healthOf = <K, A>(keyPool: KeyPool<K, A>, now: number): Health => {
  const { connecting, connections, dialAt, establishment } = keyPool
  switch (establishment.phase) {
    case "Healthy":
      return "Healthy"
    case "Recovering":
      return "Degraded"
    case "Down":
      return connections.length === 0 && (connecting > 0 || now < dialAt) ? "Unavailable" : "Degraded"
  }
}
