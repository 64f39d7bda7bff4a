/**
 * A fleet of 100 to 100 000 instances with a budget, simulated: how long they wait, what their stores have to do, and from when on one is not enough.
 *
 * The rules and times of a process are those of the library, and the store is the model that the tests compare with its scripts. How long a script
 * takes is measured at a real Redis in the same run.
 */
import { cycles, ideal, type Result, runBudget, size } from "./budget.ts"
import { type Measured, measured } from "./fleet/measured.ts"
import { Server } from "./fleet/server.ts"
import { type Setting, type Shares, usual } from "./fleet/setting.ts"
import { type Outcome, simulate } from "./fleet/simulation.ts"
import { lostPermits, waitForOne, waitOfFleet } from "./fleet/theory.ts"
import type { Table, Target } from "./report.ts"
import { exponential, seeded } from "./simulation/random.ts"

let measuring: Promise<Measured> | undefined

/** All tables of a run use the same measurement. */
const measuredOnce = (): Promise<Measured> => measuring ??= measured(20_000)

const micros = (millis: number): string => `${(1000 * millis).toFixed(0)} µs`

const sourceOf = ({ service: { acquire, release, renew, wait } }: Measured): string =>
  `processor time of a real Redis in this run: acquire ${micros(acquire)}, a place in the queue ${
    micros(wait)
  }, release ${micros(release)}, renew ${micros(renew)}; assumed: ${usual.network} ms to Redis one way`

const fixed = (value: number, digits = 1): string => value.toFixed(digits)

/** The session of each instance is open for 5 % of the time, so a database with 97 is used to about 80 %. */
const databasesFor = (instances: number): number => Math.max(1, Math.ceil(instances * 0.05 / (usual.permits * 0.8)))

const steady = (instances: number, service: Setting["service"]): Setting => ({
  ...usual,
  service,
  instances,
  budgets: databasesFor(instances),
  ...(instances > 50_000 ? { warmUp: 500, end: 1500 } : { warmUp: 1000, end: 4000 })
})

/** What a table says of an outcome. */
const columns = ["wait mean ms", "p99 ms", "scripts/s", "busiest Redis", "most sessions", "failed"]

const cells = ({ failed, scripts, sessions, utilisation, wait }: Outcome): ReadonlyArray<string> => [
  fixed(wait.mean),
  fixed(wait.p99),
  fixed(scripts, 0),
  `${fixed(100 * utilisation, 0)} %`,
  String(sessions),
  String(failed)
]

/** 50 instances of a process share what it takes at once: its part of all permits. */
const sharesOf = (instances: number, databases: number, tenure: number): Shares => ({
  size: 50,
  permits: Math.max(1, Math.floor(usual.permits * databases / Math.ceil(instances / 50))),
  tenure
})

interface Plan {
  readonly instances: number
  readonly stores: number
  readonly isShared?: boolean
}

const plans = (isQuick: boolean): ReadonlyArray<Plan> => [
  ...[100, 1000, 10_000].map((instances) => ({ instances, stores: 1 })),
  ...(isQuick ? [] : [{ instances: 100_000, stores: 1 }, { instances: 100_000, stores: 16 }]),
  { instances: isQuick ? 10_000 : 100_000, stores: 1, isShared: true }
]

/** Each instance needs a session once a second, for 50 ms. */
export const steadyFleets = async (isQuick: boolean): Promise<Table> => {
  const parameters = await measuredOnce()
  const rows = plans(isQuick).map((plan) => {
    const { instances, isShared = false, stores } = plan
    const base = { ...steady(instances, parameters.service), stores }
    const shares = isShared ? sharesOf(instances, base.budgets, 10_000) : undefined
    const way = shares === undefined ? "a permit for each" : `${shares.size} share ${shares.permits}`
    return [instances, base.budgets, stores, way, ...cells(simulate({ ...base, shares }))].map(String)
  })
  return {
    title: `A session of 50 ms once a second for each instance, 97 for each database (simulated; ${
      sourceOf(parameters)
    })`,
    columns: ["instances", "databases", "Redis", "permits", ...columns],
    rows,
    targets: []
  }
}

const loads = [0.5, 0.8, 0.95, 1.1]

/** What becomes of a fleet as one store comes to its limit. */
export const saturation = async (): Promise<Table> => {
  const { service } = await measuredOnce()
  const most = 1000 / (service.acquire + service.release)
  const rows = loads.map((load) => {
    const instances = Math.round(load * most * 1.05)
    return [
      `${fixed(load * 100, 0)} %`,
      String(instances),
      ...cells(simulate({ ...steady(instances, service), end: 4000 }))
    ]
  })
  return {
    title: `One Redis can open and close ${most.toFixed(0)} sessions a second at most: near this limit (simulated)`,
    columns: ["of the limit", "instances", ...columns],
    rows,
    targets: []
  }
}

const burst = (instances: number, service: Setting["service"]): Setting => ({
  ...usual,
  service,
  instances,
  arrivals: { _tag: "Burst", rounds: 1, after: 1000 },
  onStoreError: "fail",
  end: 300_000
})

/** All want a session of one database at the same moment. */
export const bursts = async (): Promise<Table> => {
  const { service } = await measuredOnce()
  const rows = [100, 1000, 10_000].flatMap((instances) => {
    const setting = { ...burst(instances, service), patience: 30_000 }
    const best = Math.ceil(instances / setting.permits) * setting.hold.mean
    const shares = sharesOf(instances, 1, 1000)
    const ways: ReadonlyArray<readonly [string, Partial<Setting>]> = [
      ["poll", {}],
      ["subscribe", { wake: "subscribe" }],
      [`${shares.size} share ${shares.permits}, poll`, { shares }]
    ]
    return ways.map(([name, way]) => {
      const outcome = simulate({ ...setting, ...way })
      const each = [fixed(outcome.took / best, 2), fixed(outcome.scriptsEach, 2)]
      return [String(instances), name, fixed(best / 1000, 2), ...each, ...cells(outcome)]
    })
  })
  return {
    title: "All at once for one database with 97 sessions, 50 ms each (simulated; the store is never bypassed)",
    columns: ["instances", "wake", "ideal s", "of ideal", "scripts each", ...columns],
    rows,
    targets: []
  }
}

/** The store does not answer for ten seconds. */
export const awayFleets = async (): Promise<Table> => {
  const { service } = await measuredOnce()
  const away = { from: 5000, to: 15_000 }
  const rows = (["share", "fail", "allow"] as const).map((onStoreError) => {
    const setting = { ...steady(1800, service), budgets: 1, patience: 5000, onStoreError, away, end: 25_000 }
    const outcome = simulate(setting)
    return [onStoreError, String(outcome.served), fixed(outcome.wait.max, 0), ...cells(outcome)]
  })
  return {
    title:
      "1800 instances that wait for 5 s at most, one database with 97 sessions, the store away for 10 s (simulated)",
    columns: ["onStoreError", "served", "longest wait ms", ...columns],
    rows,
    targets: []
  }
}

const losses = [[0.0001, 60_000], [0.001, 60_000], [0.001, 20_000], [0.001, 4000]] as const

/** Holders end without giving their permits back. */
export const crashes = async (): Promise<Table> => {
  const { service } = await measuredOnce()
  const rows = losses.map(([share, lease]) => {
    // The session of a lost holder ends with its socket.
    const setting = {
      ...steady(1000, service),
      lease,
      losses: { share, sessionLives: 60 },
      warmUp: 70_000,
      end: 130_000
    }
    const outcome = simulate(setting)
    const rate = outcome.served / (setting.end - setting.warmUp)
    const expected = lostPermits(rate, share, lease)
    return [
      `${100 * share} %`,
      `${lease / 1000} s`,
      fixed(expected),
      fixed(outcome.lost),
      ...cells(outcome)
    ]
  })
  return {
    title: "Permits that lost holders keep: 1000 instances, one database with 97 sessions (simulated)",
    columns: ["lost", "lease", "permits lost, Little", "simulated", ...columns],
    rows,
    targets: []
  }
}

/** The mean wait before a store, of so many calls at random. */
const waitAtStore = (utilisation: number, calls: number): number => {
  const random = seeded(3)
  const server = new Server()
  let [now, waited] = [0, 0]
  for (let index = 0; index < calls; index++) {
    now += exponential(random, 1 / utilisation)
    waited += server.serve(now, 1) - now - 1
  }
  return waited / calls
}

const mean = (values: ReadonlyArray<number>): number => values.reduce((sum, value) => sum + value, 0) / values.length

/** A figure that is known, and what the simulation makes of the same. */
export interface Check {
  readonly what: string
  readonly known: number
  readonly simulated: number
}

/** Closed forms, and what the simulation makes of the same. Times are milliseconds. */
export const closedForms = (): ReadonlyArray<Check> => {
  const free = { acquire: 0, wait: 0, release: 0, renew: 0 }
  const random = { ...usual, wake: "subscribe", network: 0, service: free, end: 100_000 } as const
  const crowded = { ...random, instances: 60, permits: 20, arrivals: { _tag: "Think", mean: 100 } } as const
  const lossy = { ...random, instances: 100, lease: 4000, losses: { share: 0.01, sessionLives: 60 } }
  const lost = simulate(lossy)
  return [
    ...[0.5, 0.9].map((utilisation) => ({
      what: `M/D/1: wait before a store that is used to ${100 * utilisation} %`,
      known: waitForOne(utilisation, 1),
      simulated: waitAtStore(utilisation, 500_000)
    })),
    {
      what: "M/M/c, 60 instances that want one of 20 permits again after 100 ms, and hold it for 50 ms: wait",
      known: waitOfFleet(60, 20, 100, 50),
      simulated: mean(
        [1, 2, 3, 4].map((seed) => simulate({ ...crowded, seed, hold: { mean: 50, isExponential: true } }).wait.mean)
      )
    },
    {
      what: "Little: permits of lost holders, 1 % of them with leases of 4 s",
      known: lostPermits(lost.served / (lossy.end - lossy.warmUp), 0.01, 4000),
      simulated: lost.lost
    }
  ]
}

/** How long the parts of a crowd work for one script, in milliseconds. */
export interface CrowdTimes {
  /** To Redis, one way. */
  readonly loopback: number
  /** At Redis. */
  readonly script: number
  /** In the process of the crowd. */
  readonly process: number
}

/** The crowd of `--only budget`, which is in one process. */
export const simulatedCrowd = (wake: "subscribe" | "poll", { loopback, process, script }: CrowdTimes): Outcome =>
  simulate({
    ...usual,
    wake,
    service: { acquire: script, wait: script, release: script, renew: script },
    processorTime: process,
    network: loopback,
    instances: size.contenders,
    permits: size.permits,
    arrivals: { _tag: "Burst", rounds: size.rounds, after: 1000 },
    // A timer of Node fires half a millisecond late on average.
    hold: { mean: size.hold + 0.5, isExponential: false },
    storeTimeout: 5000,
    onStoreError: "fail",
    end: 100_000
  })

const fastest = async (wake: "subscribe" | "poll", runs: number): Promise<Result> => {
  const found: Array<Result> = []
  for (let index = 0; index < runs; index++) found.push(await runBudget(wake))
  return found.reduce((best, each) => each.took < best.took ? each : best)
}

const checkCrowds = async (runs: number): Promise<ReadonlyArray<Check>> => {
  const { loopback } = await measuredOnce()
  const checks: Array<Check> = []
  for (const wake of ["subscribe", "poll"] as const) {
    const real = await fastest(wake, runs)
    const scripts = real.scripts ?? 1
    const simulated = simulatedCrowd(wake, {
      loopback,
      script: (real.atStore ?? 0) / scripts,
      process: (real.own ?? 0) / scripts
    })
    const of = (what: string) =>
      `${size.contenders} contenders for ${size.permits} permits in one process, ${wake}: ${what}`
    checks.push(
      { what: of("ms, of the ideal"), known: real.took / ideal, simulated: simulated.took / ideal },
      { what: of("scripts per cycle"), known: scripts / cycles, simulated: simulated.scriptsEach },
      { what: of("wait p50, ms"), known: real.p50, simulated: simulated.wait.p50 },
      { what: of("wait p99, ms"), known: real.p99, simulated: simulated.wait.p99 }
    )
  }
  return checks
}

const targetOf = ({ known, simulated, what }: Check, atMost: number): Target => ({
  what: `${what}: how far off`,
  ratio: Math.abs(simulated / known - 1),
  atMost
})

/** The simulation against closed forms, and against real processes at a real Redis. */
export const fleetChecks = async (runs: number): Promise<Table> => {
  const [closed, real] = [closedForms(), await checkCrowds(runs)]
  return {
    title: "The simulation of a fleet against the theory of queues and against a real run",
    columns: ["what", "known", "simulated"],
    rows: [...closed, ...real].map(({ known, simulated, what }) => [what, fixed(known, 2), fixed(simulated, 2)]),
    targets: [...closed.map((check) => targetOf(check, 0.05)), ...real.map((check) => targetOf(check, 0.2))]
  }
}
