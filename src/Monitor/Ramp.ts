/**
 * How fast a line of waiting openings is let in once there is room again.
 *
 * @since 0.1.0
 */

/**
 * How many were let in during a window of time, and during the one before it.
 *
 * **Details**
 *
 * In each window at most twice as many are let in as in the window before, and one at least. So a thousand that have waited
 * do not dial in the tick in which room came back: they go in as 1, 2, 4, 8 and so on, ten windows in all. Where room comes
 * back bit by bit, the pace follows it, and after a pause it starts from one again. The idea is TCP's: slow start, and the
 * decay of a window that was not used (RFC 7661).
 *
 * @category models
 * @since 0.1.0
 */
export interface Ramp {
  /** The number of the window, counted on the monotonic clock. */
  readonly window: number
  readonly admitted: number
  readonly before: number
}

/** How long a window is, in milliseconds. */
export const windowMillis = 50

/**
 * A ramp on which nobody was let in.
 *
 * @category constructors
 * @since 0.1.0
 */
export const start: Ramp = { window: 0, admitted: 0, before: 0 }

/** The ramp in the window of this moment, which is a time of the monotonic clock in milliseconds. */
const movedTo = (ramp: Ramp, now: number): Ramp => {
  const window = Math.floor(now / windowMillis)
  if (window === ramp.window) return ramp
  return { window, admitted: 0, before: window === ramp.window + 1 ? ramp.admitted : 0 }
}

/**
 * The ramp after one more was let in at this moment, or `undefined` when nobody may be let in before the next window.
 *
 * @category combinators
 * @since 0.1.0
 */
export const admit = (ramp: Ramp, now: number): Ramp | undefined => {
  const moved = movedTo(ramp, now)
  return moved.admitted < Math.max(1, 2 * moved.before) ? { ...moved, admitted: moved.admitted + 1 } : undefined
}

/**
 * When the next window begins, in milliseconds of the monotonic clock.
 *
 * @category combinators
 * @since 0.1.0
 */
export const nextWindow = (now: number): number => (Math.floor(now / windowMillis) + 1) * windowMillis

/**
 * How long it takes at least until so many are let in, from a standstill: in `n` windows at most `2^n - 1` are.
 *
 * @category combinators
 * @since 0.1.0
 */
export const leastMillis = (waiting: number): number => Math.ceil(Math.log2(waiting + 1)) * windowMillis
