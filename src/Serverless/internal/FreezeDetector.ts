/**
 * Whether the program has been stopped since it last did something, as pure functions of two clocks and the platform's word.
 *
 * @since 0.1.0
 */
import type { Clock } from "effect/Clock"

/** Both clocks at one moment, in milliseconds. */
export interface Moment {
  readonly wall: number
  readonly monotonic: number
}

/** When a request came in, and when the platform says that it ends. */
export interface Start {
  readonly at: Moment
  /** By the platform's own clock, in milliseconds; `undefined` if it says nothing. */
  readonly deadline: number | undefined
}

/** The time in which the program did nothing. */
export interface Freeze {
  /** Milliseconds, by whoever says most. */
  readonly millis: number
  /**
   * The wall clock has gone on without the monotonic one: the machine stood still, and its kernel with it. What its peers
   * sent meanwhile may never have arrived.
   */
  readonly wasStopped: boolean
  /** Both clocks stood still as well, so that nobody in the process knows the age of anything. */
  readonly wasHidden: boolean
}

/** Clocks that are set while a program runs differ by less than this, in milliseconds. */
const tolerance = 1000

export const momentOf = (clock: Clock): Moment => ({
  wall: clock.currentTimeMillisUnsafe(),
  monotonic: Number(clock.monotonicTimeNanosUnsafe()) / 1e6
})

/**
 * Milliseconds that have passed between two requests for the platform, and on no clock of the process. Every request has the
 * same time, so that their ends are as far apart as their beginnings.
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
