/**
 * Whether the program has been stopped since it last did something, as a pure function of two clocks.
 *
 * @since 0.1.0
 */
import type { Clock } from "effect/Clock"

/** Both clocks at one moment, in milliseconds. */
export interface Moment {
  readonly wall: number
  readonly monotonic: number
}

/** The time in which the program did nothing. */
export interface Pause {
  /** Milliseconds, by whichever clock says more. */
  readonly millis: number
  /**
   * The wall clock has gone on without the monotonic one: the machine stood still, and its kernel with it. What its peers
   * sent meanwhile may never have arrived.
   */
  readonly wasStopped: boolean
}

/** Clocks that are set while a program runs differ by less than this, in milliseconds. */
const tolerance = 1000

export const momentOf = (clock: Clock): Moment => ({
  wall: clock.currentTimeMillisUnsafe(),
  monotonic: Number(clock.monotonicTimeNanosUnsafe()) / 1e6
})

export const pauseBetween = (before: Moment, now: Moment): Pause => {
  const wall = now.wall - before.wall
  const monotonic = now.monotonic - before.monotonic
  return { millis: Math.max(wall, monotonic), wasStopped: wall - monotonic >= tolerance }
}
