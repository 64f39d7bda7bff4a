/**
 * Measuring several ways of doing the same, side by side.
 */

/** One way of doing something, and how many operations one run of it is. */
export interface Contestant {
  readonly name: string
  readonly operations: number
  readonly run: () => Promise<void>
}

/** Nanoseconds per operation over the rounds that count. */
export interface Figure {
  readonly median: number
  readonly min: number
  readonly max: number
}

export interface Rounds {
  /** Rounds that count; an odd number. */
  readonly measured: number
  /** Rounds before them, in which code is compiled and pools grow. */
  readonly warmUp: number
}

const summary = (values: ReadonlyArray<number>): Figure => {
  const sorted = values.toSorted((left, right) => left - right)
  const at = (index: number) => sorted[index] ?? Number.NaN
  return { median: at(Math.floor(sorted.length / 2)), min: at(0), max: at(sorted.length - 1) }
}

const nanosPerOperation = async ({ operations, run }: Contestant): Promise<number> => {
  // What the one before has left behind is not this one's to clear away.
  globalThis.gc?.()
  const start = performance.now()
  await run()
  return (performance.now() - start) * 1e6 / operations
}

/**
 * Runs all contestants once per round, and starts each round with another one, so that whatever else the machine does
 * falls on all of them alike.
 */
export const interleaved = async (
  contestants: ReadonlyArray<Contestant>,
  rounds: Rounds
): Promise<ReadonlyMap<string, Figure>> => {
  const values = new Map(contestants.map(({ name }) => [name, [] as Array<number>]))
  for (let round = -rounds.warmUp; round < rounds.measured; round++) {
    const first = (round + rounds.warmUp) % contestants.length
    for (const contestant of [...contestants.slice(first), ...contestants.slice(0, first)]) {
      const nanos = await nanosPerOperation(contestant)
      if (round >= 0) values.get(contestant.name)?.push(nanos)
    }
  }
  return new Map([...values].map(([name, all]) => [name, summary(all)]))
}
