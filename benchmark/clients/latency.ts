/**
 * Rounds of a client: how long each request took, and the processor's time.
 */
import * as Effect from "effect/Effect"
import { type Contestant, median, type Rounds, timesAsMuch } from "../measure.ts"
import { crowdOfFibers } from "../peers/fibers.ts"

/** A client that is open: one request, and its end. */
export interface Client<E> {
  readonly request: () => Effect.Effect<unknown, E>
  readonly close: () => Promise<void>
}

/** Milliseconds of each request of one round, and microseconds of the process's processor time for each. */
interface Round {
  readonly latencies: Array<number>
  cpu: number
}

const timed = <E>(request: Client<E>["request"], { latencies }: Round) => () =>
  Effect.suspend(() => {
    const start = performance.now()
    return Effect.map(request(), () => {
      latencies.push(performance.now() - start)
    })
  })

const percentile = ({ latencies }: Round, share: number): number => {
  const sorted = Float64Array.from(latencies).sort()
  return sorted[Math.floor(sorted.length * share)] ?? Number.NaN
}

/** The rounds of several clients, each of which has so many borrowers at once. */
export class ClientRounds {
  readonly #borrowers: number
  readonly #rounds: Rounds
  readonly #seen = new Map<string, Array<Round>>()

  constructor(borrowers: number, rounds: Rounds) {
    this.#borrowers = borrowers
    this.#rounds = rounds
  }

  /** A client as a contestant: each borrower makes so many requests, one after another. */
  contestant<E>(name: string, { request }: Client<E>, times: number): Contestant {
    const operations = this.#borrowers * times
    return {
      name,
      operations,
      run: async () => {
        const round: Round = { latencies: [], cpu: 0 }
        const before = process.cpuUsage()
        await crowdOfFibers(timed(request, round))(this.#borrowers, times)
        const { system, user } = process.cpuUsage(before)
        round.cpu = (system + user) / operations
        this.#seen.set(name, [...this.#seen.get(name) ?? [], round])
      }
    }
  }

  cpu(name: string): string {
    return median(this.#counted(name).map(({ cpu }) => cpu)).toFixed(1)
  }

  percentile(name: string, share: number): string {
    return median(this.#counted(name).map((round) => percentile(round, share))).toFixed(2)
  }

  /** How many times as long a share of one client's requests took: the median of the ratios within the rounds. */
  percentileRatio(one: string, other: string, share: number): number {
    const others = this.#counted(other)
    return median(
      this.#counted(one).map((round, index) => {
        const beside = others[index]
        return beside === undefined ? Number.NaN : timesAsMuch(percentile(round, share), percentile(beside, share))
      })
    )
  }

  /** The rounds after those that warm up. */
  #counted(name: string): ReadonlyArray<Round> {
    return (this.#seen.get(name) ?? []).slice(-this.#rounds.measured)
  }
}
