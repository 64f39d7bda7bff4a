/**
 * The statistics of the demo.
 */

/** The value below which a share `p` (0 to 1) of the values lies, by the nearest rank; `undefined` of none. */
export const percentile = (values: ReadonlyArray<number>, p: number): number | undefined =>
  values.toSorted((a, b) => a - b)[Math.max(0, Math.ceil(p * values.length) - 1)]

/** The largest value that is known; `undefined` of none. */
export const largest = (values: Iterable<number | null>): number | undefined => {
  let most: number | undefined
  for (const value of values) if (value !== null && (most === undefined || value > most)) most = value
  return most
}
