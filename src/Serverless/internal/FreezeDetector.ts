/**
 * Detects that the process was frozen, from two clocks and the platform's deadlines. All functions are pure.
 *
 * @since 0.1.0
 */
import type { Clock } from "effect/Clock"
import { monotonicMillis } from "../../internal/MonotonicTime.ts"

/** Both clocks at one time, in milliseconds. */
export interface Moment {
  readonly wall: number
  readonly monotonic: number
}

/** When a request arrived, and its deadline by the platform. */
export interface Start {
  readonly at: Moment
  /** By the platform's clock, in milliseconds; `undefined` if the platform gives none. */
  readonly deadline: number | undefined
}

/** The time between two moments at which the process was active. */
export interface Freeze {
  /** Milliseconds, by the clock that shows the most. */
  readonly millis: number
  /**
   * The wall clock has advanced without the monotonic clock, so the whole machine was stopped. Packets from peers may be lost.
   */
  readonly wasStopped: boolean
  /** Both clocks were stopped too, so no age that the process has measured is correct. */
  readonly wasHidden: boolean
}

/** In milliseconds. A smaller difference between the clocks may come from an adjustment of the wall clock. */
const tolerance = 1000

export const momentOf = (clock: Clock): Moment => ({
  wall: clock.currentTimeMillisUnsafe(),
  monotonic: monotonicMillis(clock)
})

/**
 * Milliseconds that have passed between two requests on the platform's clock, but not on the clocks of the process. All
 * requests have the same time limit, so the time between two starts is the time between their deadlines.
 */
export const hiddenBetween = (before: Start, now: Start): number => {
  if (before.deadline === undefined || now.deadline === undefined) return 0
  const passed = Math.max(now.at.wall - before.at.wall, now.at.monotonic - before.at.monotonic)
  return Math.max(now.deadline - before.deadline - passed, 0)
}

export const freezeBetween = (before: Moment, now: Moment, hidden = 0): Freeze => {
  const wall = now.wall - before.wall
  const monotonic = now.monotonic - before.monotonic
  const wasHidden = hidden >= tolerance
  return {
    millis: Math.max(wall, monotonic) + hidden,
    wasStopped: wasHidden || wall - monotonic >= tolerance,
    wasHidden
  }
}
