/**
 * Measuring several ways of doing the same, side by side.
 */

/** One way of doing something, and how many operations one run of it is. */
export interface Contestant {
  readonly name: string
  readonly operations: number
  readonly run: () => Promise<void>
}

/** One value for each round that counts. */
export type Values = ReadonlyArray<number>

export interface Rounds {
  /** Rounds that count; an odd number. */
  readonly measured: number
  /** Rounds before them, in which code is compiled and pools grow. */
  readonly warmUp: number
}

export const median = (values: Values): number =>
  values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)] ?? Number.NaN

/**
 * How many times as much one takes as another: the median over the rounds of the ratio within a round. A round is short,
 * so that what slows it down slows both down.
 */
export const ratio = (one: Values, other: Values): number =>
  median(one.map((value, round) => timesAsMuch(value, other[round] ?? Number.NaN)))

/** Nothing is as much as nothing. */
export const timesAsMuch = (one: number, other: number): number => one === other ? 1 : one / other

/** The median, and in brackets the least and the most. */
export const show = (values: Values): string =>
  `${median(values).toFixed(0)} (${Math.min(...values).toFixed(0)}-${Math.max(...values).toFixed(0)})`

export const pause = (millis: number) => new Promise<void>((resolve) => setTimeout(resolve, millis))

/** Bytes of the heap that are in use, after everything that is due has run and the rest was collected. */
export const heapUsed = async (): Promise<number> => {
  for (let left = 3; left > 0; left--) {
    await pause(20)
    globalThis.gc?.()
  }
  return process.memoryUsage().heapUsed
}

const nanosPerOperation = async ({ operations, run }: Contestant): Promise<number> => {
  // What the one before has left behind is not this one's to clear away.
  globalThis.gc?.()
  const start = performance.now()
  await run()
  return (performance.now() - start) * 1e6 / operations
}

/**
 * Runs all contestants once per round and yields the nanoseconds per operation of each. Every round starts with another
 * one, so that whatever else the machine does falls on all of them alike.
 */
export const interleaved = async (
  contestants: ReadonlyArray<Contestant>,
  rounds: Rounds
): Promise<(name: string) => Values> => {
  const values = new Map(contestants.map(({ name }) => [name, [] as Array<number>]))
  for (let round = -rounds.warmUp; round < rounds.measured; round++) {
    const first = (round + rounds.warmUp) % contestants.length
    for (const contestant of [...contestants.slice(first), ...contestants.slice(0, first)]) {
      const nanos = await nanosPerOperation(contestant)
      if (round >= 0) values.get(contestant.name)?.push(nanos)
    }
  }
  return (name) => values.get(name) ?? []
}

/** The same among few and among many. */
export interface Growth {
  readonly few: number
  readonly many: number
  /** Operations of one run, which are as many among few. */
  readonly operations: number
  /** The most that an operation among many may cost, in operations among few. */
  readonly bound: number
  readonly run: (count: number) => () => Promise<void>
  /** What there is so many of. */
  readonly among: (count: number) => string
}

/** Says what an operation costs among few and among many, and how many times as much. */
export const growth = async ({ among, bound, few, many, operations, run }: Growth, rounds: Rounds): Promise<string> => {
  const values = await interleaved(
    [few, many].map((count) => ({ name: String(count), operations, run: run(count) })),
    rounds
  )
  const [cheap, dear] = [values(String(few)), values(String(many))]
  return `ns per borrow with ${among(few)}: ${show(cheap)}\n` +
    `ns per borrow with ${among(many)}: ${show(dear)}\n` +
    `ratio: ${ratio(dear, cheap).toFixed(2)} (bound: ${bound})\n`
}
