/**
 * One figure and how it is read.
 *
 * @since 0.1.0
 */
import * as Reading from "./Reading.ts"

/**
 * One figure and how it is read.
 *
 * @category models
 * @since 0.1.0
 */
export interface Probe {
  /** Reads the figure. It never throws. `now` is the wall-clock time in milliseconds for the reading. */
  readonly read: (now: number) => Reading.Reading
  /** Whether a reading takes microseconds whatever the load, so that every decision may take a new one. */
  readonly cheap: boolean
}

/**
 * The reading that an attempt yields, or what its failure says.
 *
 * @category combinators
 * @since 0.1.0
 */
export const guarded = (source: string, read: () => Reading.Reading): Reading.Reading => {
  try {
    return read()
  } catch (cause) {
    return Reading.fromFailure(cause, source)
  }
}

/**
 * What an attempt yields, `undefined` when it fails.
 *
 * @category combinators
 * @since 0.1.0
 */
export const attempt = <A>(act: () => A): A | undefined => {
  try {
    return act()
  } catch {
    return undefined
  }
}

/**
 * The smaller of two limits. One that is `Known` counts before any that is not; of two that are not, `Unlimited` does only
 * when both are.
 *
 * @category combinators
 * @since 0.1.0
 */
export const smaller = (left: Reading.Reading, right: Reading.Reading): Reading.Reading => {
  if (left._tag === "Known") return right._tag === "Known" && right.value < left.value ? right : left
  return right._tag === "Known" || left._tag === "Unlimited" ? right : left
}
