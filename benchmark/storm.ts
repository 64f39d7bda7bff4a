/**
 * How a server recovers from a storm of retries under each policy.
 */
import type { Table, Target } from "./report.ts"
import { noBudget, noRetry, our, plain, plainLong, policies, type Policy } from "./storm/policies.ts"
import { course, type Outage, type Outcome, simulate } from "./storm/simulation.ts"

const fleets = [20, 200, 500, 1000]
const firstSeed = 5
const usualLoad = 0.8
const usualOutage: Outage = { seconds: 10, speed: 0.3 }

/** What ours has to reach, whatever the size of the fleet. */
const bounds = { dip: 0.95, peak: 1.6 }

/** The worst of several seeds. */
export const worst = (outcomes: ReadonlyArray<Outcome>): Outcome => ({
  recovery: Math.max(...outcomes.map((_) => _.recovery)),
  peak: Math.max(...outcomes.map((_) => _.peak)),
  dip: Math.min(...outcomes.map((_) => _.dip)),
  goodput: Math.min(...outcomes.map((_) => _.goodput))
})

/** A policy under so many seeds, from the first one on. */
export interface Trials {
  readonly policy: Policy
  readonly fleet: number
  readonly load: number
  readonly seeds: readonly [first: number, count: number]
  readonly outage?: Outage
}

export const outcomesOf = (
  { fleet, load, outage = usualOutage, policy, seeds: [first, count] }: Trials
): ReadonlyArray<Outcome> =>
  Array.from({ length: count }, (_, index) => simulate(policy, { fleet, load, outage, seed: first + index }))

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`

const show = ({ dip, peak, recovery }: Outcome): string =>
  recovery === Infinity ? `never, ${peak.toFixed(2)}x` : `${recovery} s, ${percent(dip)}, ${peak.toFixed(2)}x`

const what = "seconds to recover, least goodput of five seconds from then on, most arrivals in a second to the capacity"

/** Ours against the plain breaker. */
const targetsOf = (fleet: number, own: Outcome, plainly: Outcome): ReadonlyArray<Target> => {
  const of = (figure: string) => `${fleet} processes, ${our.name}: ${figure}`
  const peak = Math.max(bounds.peak, plainly.peak)
  return [
    { what: of("seconds to recover"), ratio: own.recovery, atMost: plainly.recovery },
    { what: of("the bound of later goodput, to its least"), ratio: bounds.dip / own.dip, atMost: 1 },
    { what: of(`peak, to ${peak.toFixed(2)}`), ratio: own.peak / peak, atMost: 1 }
  ]
}

/** The model is the one in which these are known to need 21 s, and for ever. */
const controlsOf = (found: (policy: Policy) => Outcome): ReadonlyArray<Target> => [
  { what: `${noRetry.name}: seconds off the known 21`, ratio: Math.abs(found(noRetry).recovery - 21), atMost: 2 },
  { what: `${noBudget.name}: seconds to recover, inverted`, ratio: 1 / found(noBudget).recovery, atMost: 0 }
]

/** What each policy of a list came to, in each fleet. */
const runAll = (each: ReadonlyArray<Policy>, trials: Omit<Trials, "policy" | "fleet">) => {
  const found = new Map(each.map((policy) => [
    policy,
    fleets.map((fleet) => worst(outcomesOf({ ...trials, policy, fleet })))
  ]))
  return (policy: Policy): ReadonlyArray<Outcome> => found.get(policy) ?? []
}

/** Every policy in every fleet. */
export const storm = (seeds: number): Promise<Table> => {
  const found = runAll(policies, { load: usualLoad, seeds: [firstSeed, seeds] })
  const of = (policy: Policy, index: number): Outcome => found(policy)[index] ?? worst([])
  return Promise.resolve({
    title: `A storm of retries (simulated, worst of ${seeds} seeds: ${what})`,
    columns: ["policy", ...fleets.map((fleet) => `${fleet} processes`)],
    rows: policies.map((policy) => [policy.name, ...found(policy).map(show)]),
    targets: fleets.flatMap((fleet, index) => [
      ...targetsOf(fleet, of(our, index), of(plain, index)),
      ...controlsOf((policy) => of(policy, index))
    ])
  })
}

const loads = [0.5, 0.8, 0.95]
const unseenSeed = 12

/** Ours and the plain breaker under other loads, with seeds that nothing was chosen by. */
export const stormLoads = (seeds: number): Promise<Table> => {
  const rows = loads.flatMap((load) => {
    const found = runAll([plain, our], { load, seeds: [unseenSeed, seeds] })
    return [plain, our].map((policy) => [String(load), policy.name, ...found(policy).map(show)])
  })
  return Promise.resolve({
    title: `The same with other loads and seeds (worst of ${seeds})`,
    columns: ["load", "policy", ...fleets.map((fleet) => `${fleet} processes`)],
    rows,
    targets: []
  })
}

const longOutages: ReadonlyArray<Outage> = [60, 300].flatMap((seconds) =>
  [0.05, 0.3].map((speed) => ({ seconds, speed }))
)

/** The breakers after outages of minutes. */
export const stormOutages = (seeds: number): Promise<Table> => {
  const rows = longOutages.flatMap((outage) => {
    const breakers = [plainLong, plain, our]
    const found = runAll(breakers, { load: usualLoad, outage, seeds: [firstSeed, seeds] })
    const of = `${outage.seconds} s at ${100 * outage.speed} %`
    return breakers.map((policy) => [of, policy.name, ...found(policy).map(show)])
  })
  return Promise.resolve({
    title: `The same after longer outages (worst of ${seeds} seeds)`,
    columns: ["outage", "policy", ...fleets.map((fleet) => `${fleet} processes`)],
    rows,
    targets: []
  })
}

/** One storm, second by second, for a plot. */
export const stormCourse = (): Promise<Table> => {
  const shown = [noRetry, noBudget, our]
  const courses = shown.map((policy) =>
    course(policy, { fleet: 200, load: usualLoad, outage: usualOutage, seed: firstSeed }).slice(0, 120)
  )
  const seconds = Array.from(courses[0] ?? [], (_, second) => second)
  return Promise.resolve({
    title: `The share of calls that succeed in each second (200 processes, seed ${firstSeed}, slow from 30 to 40 s)`,
    columns: ["second", ...shown.map(({ name }) => name)],
    rows: seconds.map((second) => [String(second), ...courses.map((each) => (each[second] ?? 0).toFixed(3))]),
    targets: []
  })
}
