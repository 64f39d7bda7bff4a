/**
 * Counts equal items.
 *
 * @since 0.1.0
 */

/** How often each item occurs, in the order of the first occurrences. */
export const countsOf = <A>(items: Iterable<A>): Map<A, number> => {
  const counts = new Map<A, number>()
  for (const item of items) addTo(counts, item)
  return counts
}

/** Counts one more item. */
export const addTo = <A>(counts: Map<A, number>, item: A): void => {
  counts.set(item, (counts.get(item) ?? 0) + 1)
}

/** The same counts, the most frequent item first. */
export const mostFirst = <A>(counts: ReadonlyMap<A, number>): ReadonlyMap<A, number> =>
  new Map(Array.from(counts).toSorted(([, left], [, right]) => right - left))
