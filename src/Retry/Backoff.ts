/**
 * How long to wait before the next attempt, as pure functions of the step and of one random number.
 *
 * @since 0.1.0
 */

/**
 * An exponential backoff with a cap and jitter. Times are in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Backoff {
  /** The delay of step 1 before jitter, above 0. */
  readonly initialDelay: number
  /** No delay is ever above this, jitter included. Finite, at least `initialDelay`. */
  readonly maxDelay: number
  /** By how much the delay grows from step to step, at least 1. */
  readonly factor: number
  /** A fraction from 0 to 1, or `"full"`. */
  readonly jitter: number | "full"
}

/**
 * The interval that the delay of one step is drawn from, in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Interval {
  readonly low: number
  readonly high: number
}

/**
 * The delay of a step before jitter: `min(maxDelay, initialDelay * factor^(step - 1))`.
 *
 * **Details**
 *
 * Steps count from 1. The power may overflow to `Infinity` for a late step; the cap makes it finite again, so that any
 * step has a finite delay in constant time and memory.
 *
 * @category combinators
 * @since 0.1.0
 */
export const nominal = (backoff: Backoff, step: number): number =>
  Math.min(backoff.maxDelay, backoff.initialDelay * backoff.factor ** (step - 1))

/**
 * The interval that the delay of a step is drawn from.
 *
 * **Details**
 *
 * With `d` for the nominal delay and `j` for the jitter:
 *
 * - `"full"` spreads over `[0, d)`, the "full jitter" of the AWS architecture blog ("Exponential Backoff And Jitter").
 * - A fraction spreads over `[d * (1 - j), d * (1 + j))` while that stays below `maxDelay`.
 * - Where it would pass `maxDelay`, the interval keeps its width and is moved down until it ends at `maxDelay`:
 *   `[maxDelay - 2 * j * d, maxDelay)`. At the cap that is `[maxDelay * (1 - 2 * j), maxDelay)`. What would begin below 0
 *   (`j` above 0.5) begins at 0.
 *
 * Cutting the jittered delay at the cap instead would give most clients of a long outage the very same delay, and they
 * would all come back together. Moving the interval keeps them as far apart as below the cap.
 *
 * @category combinators
 * @since 0.1.0
 */
export const interval = (backoff: Backoff, step: number): Interval => {
  const d = nominal(backoff, step)
  if (backoff.jitter === "full") return { low: 0, high: d }
  const high = Math.min(backoff.maxDelay, d * (1 + backoff.jitter))
  return { low: Math.max(0, high - 2 * backoff.jitter * d), high }
}

/**
 * The delay of a step in milliseconds, for a random number `u` from 0 (inclusive) to 1 (exclusive).
 *
 * @category combinators
 * @since 0.1.0
 */
export const delay = (backoff: Backoff, step: number, u: number): number => {
  const { high, low } = interval(backoff, step)
  // The sum may round to one unit in the last place above `high`; the cap is a promise, so it is kept exactly.
  return Math.min(high, low + u * (high - low))
}

/** Nobody waits longer than this because a server said so. */
const maxHint = 60_000

/**
 * The delay in milliseconds when a server said how long to wait.
 *
 * **Details**
 *
 * The hint is a lower bound. It is cut at 60 seconds, so that a broken server cannot put a client to sleep for a day, and
 * then spread upwards by up to 20 %: every client got the same number, and must not come back at the same moment.
 *
 * @category combinators
 * @since 0.1.0
 */
export const atLeast = (delay: number, hint: number | undefined, u: number): number =>
  hint === undefined ? delay : Math.max(delay, Math.min(hint, maxHint) * (1 + 0.2 * u))
