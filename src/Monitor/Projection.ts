/**
 * How long a figure that grows takes to reach its limit.
 *
 * @since 0.1.0
 */

/**
 * One figure at one moment.
 *
 * @category models
 * @since 0.1.0
 */
export interface Point {
  /** In milliseconds, on a clock that does not go back. */
  readonly at: number
  readonly value: number
}

/**
 * The last points of a figure, the oldest first.
 *
 * @category models
 * @since 0.1.0
 */
export type Trail = ReadonlyArray<Point>

// About half a minute at one reading a second.
const most = 32

// Three readings for each quarter, over eight seconds: less says nothing about a trend.
const fewest = 12
const shortest = 8000

// The readings that show a growth which has only just begun.
const recent = 9

// Readings may come four times a second when the time runs out, and must not shorten the window then.
const apart = 900

/**
 * The trail with one more point, without the oldest ones. A point that follows the last one too closely is left out.
 *
 * @category combinators
 * @since 0.1.0
 */
export const extend = (trail: Trail, point: Point): Trail => {
  const last = trail.at(-1)
  return last !== undefined && point.at - last.at < apart ? trail : [...trail.slice(1 - most), point]
}

const lowest = (points: Trail): number => points.reduce((low, { value }) => Math.min(low, value), Infinity)

const begin = (points: Trail): number => points[0]?.at ?? Number.NaN

// Of a figure that grows, the lowest value is the first one.
const rise = (before: Trail, after: Trail): number => (lowest(after) - lowest(before)) / (begin(after) - begin(before))

const quarters = (trail: Trail): ReadonlyArray<Trail> => {
  const bounds = [0, 1, 2, 3, 4].map((quarter) => Math.round(quarter * trail.length / 4))
  return bounds.slice(1).map((end, quarter) => trail.slice(bounds[quarter], end))
}

/** The smallest rise from one quarter to the next, for each second. */
const growth = (trail: Trail): number => {
  const [first, last] = [trail[0], trail.at(-1)]
  if (first === undefined || last === undefined || last.at - first.at < shortest) return -Infinity
  const parts = quarters(trail)
  return Math.min(...parts.slice(1).map((after, before) => rise(parts[before] ?? after, after))) * 1000
}

/** Whether a figure is higher than in all readings before the recent ones, of which there must be as many. */
const isNewHigh = (trail: Trail, margin: number): boolean => {
  const before = trail.slice(0, -recent)
  const high = before.reduce((high, { value }) => Math.max(high, value), -Infinity)
  return before.length >= recent && (trail.at(-1)?.value ?? high) >= high + margin
}

/**
 * How fast a figure grows, for each second, or `undefined` while there are too few points.
 *
 * **Details**
 *
 * The points are cut into quarters. What counts is the lowest value of each, so that a load that swings and a heap that is
 * collected do not look like growth, and the smallest of the three rises, so that growth that has ended is not taken for
 * one that goes on.
 *
 * All points are looked at, and the last nine by themselves, because growth that has only just begun does not show in all
 * of them. So few points may be half a swing: they count only where they lead to a height, by `margin`, that the older
 * points have not seen.
 *
 * @category combinators
 * @since 0.1.0
 */
export const slope = (trail: Trail, margin: number): number | undefined => {
  if (trail.length < fewest) return undefined
  const sudden = isNewHigh(trail, margin) ? growth(trail.slice(-recent)) : -Infinity
  return Math.max(growth(trail), sudden)
}

/**
 * How fast a figure has grown lately, for each second: over the last three points, or two if there are no more. It follows
 * every swing.
 *
 * @category combinators
 * @since 0.1.0
 */
export const pace = (trail: Trail): number | undefined => {
  const before = trail.at(-3) ?? trail[0]
  const last = trail.at(-1)
  return before === undefined || last === undefined || last === before
    ? undefined
    : (last.value - before.value) / (last.at - before.at) * 1000
}

/**
 * Seconds until the figure reaches its limit at this rate, or `undefined` when it does not grow. It is 0 at the limit.
 *
 * @category combinators
 * @since 0.1.0
 */
export const secondsToLimit = (used: number, limit: number, slope: number | undefined): number | undefined =>
  slope === undefined || !(slope > 0) ? undefined : Math.max(limit - used, 0) / slope
