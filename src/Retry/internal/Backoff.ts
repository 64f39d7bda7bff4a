/**
 * The delay before the next attempt, as pure functions of the step and of one random number.
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
  /** The upper bound of every delay, jitter included. Finite, at least `initialDelay`. */
  readonly maxDelay: number
  /** The growth of the delay from step to step, at least 1. */
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
 * Cutting the jittered delay at the cap instead would give most clients of a long outage the same delay, and they would
 * reconnect together. Moving the interval keeps them as far apart as below the cap.
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
  // The sum may round to one unit in the last place above `high`, and no delay may exceed the cap.
  return Math.min(high, low + u * (high - low))
}

/** Spreads the bits of a 32-bit number over all of them: the last step of MurmurHash3. */
const mix = (bits: number): number => {
  const once = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b)
  const twice = Math.imul(once ^ (once >>> 13), 0xc2b2ae35)
  return (twice ^ (twice >>> 16)) >>> 0
}

/**
 * The n-th random number of a session, from 0 (inclusive) to 1 (exclusive), for a seed in the same range.
 *
 * **Details**
 *
 * It is a hash of both: each number has the same cost, and a session stores two numbers.
 *
 * @category random
 * @since 0.1.0
 */
export const uniform = (seed: number, n: number): number => {
  const scaled = seed * 2 ** 32
  const rest = Math.floor((scaled % 1) * 2 ** 32)
  return mix(Math.floor(scaled) ^ mix(rest + mix(n + 1))) / 2 ** 32
}

/**
 * The random numbers of one session of retries, such as one run of `retry`.
 *
 * **Details**
 *
 * A session draws one number from the source of the program when it needs its first one, and derives all others from it. So
 * sessions with the same policy and source are uncorrelated, the delays of a session do not depend on other sessions, and a
 * seeded source repeats all of them.
 *
 * @category random
 * @since 0.1.0
 */
export const session = (source: () => number): () => number => {
  let seed: number | undefined
  let drawn = 0
  return () => uniform(seed ??= source(), drawn++)
}

/**
 * Whether an attempt or a connection lived long enough to count as a success, which resets the delays. Times are in milliseconds.
 *
 * **Details**
 *
 * It must have lived for at least `least`, and for at least the delay before it. So a server that accepts and fails at once gets
 * fewer and fewer attempts. With a reset at each success, all of its clients would return at their shortest delay.
 *
 * @category combinators
 * @since 0.1.0
 */
export const isStable = (lived: number, delay: number, least: number): boolean => lived >= Math.max(least, delay)

/** The longest wait that a server can ask for. */
const maxHint = 60_000

/**
 * The delay in milliseconds, with the wait that a server asked for.
 *
 * **Details**
 *
 * The hint is a lower bound. It is limited to 60 seconds, so that a broken server cannot stop a client for a day. Then up to
 * 20 % are added: all clients get the same hint, and must not return at the same moment.
 *
 * @category combinators
 * @since 0.1.0
 */
export const atLeast = (delay: number, hint: number | undefined, u: number): number =>
  hint === undefined ? delay : Math.max(delay, Math.min(hint, maxHint) * (1 + 0.2 * u))
