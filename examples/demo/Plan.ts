/**
 * The schedule of a run: the load, and when the server fails in which manner. Times are milliseconds since the start of the load.
 */

/** The manner in which the server fails. */
export type FaultKind = "down" | "frozen" | "restart" | "slow"

/** A time in which the server fails. */
export interface Fault {
  readonly kind: FaultKind
  readonly from: number
  readonly to: number
}

/** A run. */
export interface Plan {
  /** Load before the start, which no figure counts: it loads and compiles the code of each process. */
  readonly warmUp: number
  readonly duration: number
  readonly faults: ReadonlyArray<Fault>
  /** Requests per second to each contender. */
  readonly rate: number
  readonly seed: number
}

/** What each fault is, for a reader. */
export const explanations: Readonly<Record<FaultKind, string>> = {
  down: "all connections are reset, and dials are refused",
  frozen: "dials are accepted, and nothing is answered",
  restart: "all connections are ended (FIN), and dials are refused until the server is back",
  slow: "each answer takes 50 ms more"
}

/** The time that the network adds in each direction while the server is slow. */
export const slowness = 25

interface Timetable {
  readonly duration: number
  readonly faults: ReadonlyArray<Fault>
}

const full: Timetable = {
  duration: 19_500,
  faults: [
    { kind: "down", from: 2000, to: 5000 },
    { kind: "frozen", from: 7500, to: 10_500 },
    { kind: "restart", from: 13_000, to: 13_500 },
    { kind: "slow", from: 15_500, to: 17_500 }
  ]
}

const quick: Timetable = {
  duration: 7000,
  faults: [
    { kind: "down", from: 750, to: 1750 },
    { kind: "frozen", from: 2750, to: 3750 },
    { kind: "restart", from: 4750, to: 4950 },
    { kind: "slow", from: 5750, to: 6250 }
  ]
}

/** The plan of a full or of a quick run. */
export const make = (options: { readonly quick: boolean; readonly rate: number; readonly seed: number }): Plan => ({
  ...(options.quick ? quick : full),
  warmUp: 500,
  rate: options.rate,
  seed: options.seed
})

/** The fault at a time. */
export const faultAt = ({ faults }: Plan, time: number): Fault | undefined =>
  faults.find(({ from, to }) => time >= from && time < to)

/** How long a run takes, about: processes have to start and to end. */
export const wholeSeconds = ({ duration, warmUp }: Plan): number => Math.ceil((duration + warmUp + 4000) / 1000)
