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
  /** The factor from one step's delay to the next, at least 1. */
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
 * Steps count from 1. For a late step the power overflows to `Infinity`, but the cap keeps the delay finite.
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
 * - `"full"` spreads the delay over `[0, d)`. The AWS architecture blog calls this "full jitter" ("Exponential Backoff And Jitter").
 * - A fraction spreads the delay over `[d * (1 - j), d * (1 + j))`, if that ends below `maxDelay`.
 * - Otherwise the interval is moved down until it ends at `maxDelay`, and keeps its width: `[maxDelay - 2 * j * d, maxDelay)`. At the cap
 *   that is `[maxDelay * (1 - 2 * j), maxDelay)`. It never begins below 0, which matters for `j` above 0.5.
 *
 * If delays were cut at the cap instead, most clients of a long outage would have the same delay and reconnect together. Moving
 * the interval keeps their reconnections apart.
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
 * The n-th random number of a session, from 0 (inclusive) to 1 (exclusive). The seed is a number in the same range.
 *
 * **Details**
 *
 * It is a hash of the seed and `n`. So a session stores only these two numbers, and each result costs the same.
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
 * The random numbers of one session of retries, such as one call of `retry`.
 *
 * **Details**
 *
 * A session draws one seed from the program's source of random numbers when it needs its first number, and derives all numbers
 * from the seed. So the delays of a session do not depend on other sessions, and a seeded source repeats them.
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
 * It must have lived for at least `least`, and for at least the delay before it. So the delays for a server that accepts
 * connections and fails at once continue to grow. If each success reset them, all clients would return at their shortest delay.
 *
 * @category combinators
 * @since 0.1.0
 */
export const isStable = (lived: number, delay: number, least: number): boolean => lived >= Math.max(least, delay)

/** The longest wait that a server can ask for. */
const maxHint = 60_000

/**
 * The larger of a delay and of the wait that a server asked for (`hint`), in milliseconds.
 *
 * **Details**
 *
 * A hint above 60 seconds counts as 60 seconds, so that a broken server cannot stop a client for a day. Up to 20 % are added to
 * the hint, because all clients get the same one and must not return at the same moment.
 *
 * @category combinators
 * @since 0.1.0
 */
export const atLeast = (delay: number, hint: number | undefined, u: number): number =>
  hint === undefined ? delay : Math.max(delay, Math.min(hint, maxHint) * (1 + 0.2 * u))
