/**
 * When requests come: at random, independent of each other and of the answers, as from many users (a Poisson process).
 */

/** Random numbers from 0 to 1 from a seed (Mulberry32). */
const seeded = (seed: number): () => number => {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** The times of all requests from `from` to `to` in milliseconds, in order. The same seed makes the same ones. */
export const between = (
  { from, rate, seed, to }: {
    readonly from: number
    readonly to: number
    readonly rate: number
    readonly seed: number
  }
): ReadonlyArray<number> => {
  const random = seeded(seed)
  const times: Array<number> = []
  let time = from
  for (;;) {
    time -= Math.log(1 - random()) * 1000 / rate
    if (time >= to) return times
    times.push(time)
  }
}
