/**
 * What the gate of a monitor has decided, as numbers.
 *
 * @since 0.1.0
 */
import type { ResourceExhausted } from "./gate/Decision.ts"

/**
 * The numbers of a gate. They only grow, except `waiting`.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface GateStats {
  /** Requests that wait for room now. */
  readonly waiting: number
  /** Requests that were admitted. */
  readonly admitted: number
  /** Requests that were refused, by the resource that had no room. */
  readonly refusals: Readonly<Record<ResourceExhausted["resource"], number>>
}

/**
 * An observer of a gate's decisions.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface GateObserver {
  /** A request was admitted after so many milliseconds; 0 if it did not have to wait. */
  readonly admitted: (millis: number) => void
  /** A request was refused because this resource had no room. */
  readonly refused: (resource: ResourceExhausted["resource"]) => void
}

/**
 * What is known of the event loop. A stall is a time of more than a second in which it did not turn.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface EventLoopStalls {
  /** How many there were. */
  readonly count: number
  /** The longest one, in milliseconds. */
  readonly longest: number
}
