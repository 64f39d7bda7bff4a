/**
 * Random numbers of simulations, the same for the same seed.
 */

/** Mulberry32: small, and good enough for arrivals. Numbers from 0 (inclusive) to 1 (exclusive). */
export const seeded = (seed: number): () => number => {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** A time until the next event of a Poisson process. */
export const exponential = (random: () => number, mean: number): number => -Math.log(1 - random()) * mean
