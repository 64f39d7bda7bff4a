/**
 * What one borrow and its return cost: ours against every other pool.
 */
import { type Contestant, interleaved, ratio, type Rounds, show, type Values } from "./measure.ts"
import * as effectPool from "./peers/effect-pool.ts"
import * as genericPool from "./peers/generic-pool.ts"
import * as lightningPool from "./peers/lightning-pool.ts"
import * as none from "./peers/none.ts"
import type { OpenPeer, Peer } from "./peers/peer.ts"
import * as pgPool from "./peers/pg-pool.ts"
import * as sluice from "./peers/sluice.ts"
import * as tarn from "./peers/tarn.ts"
import type { Series, Table, Target } from "./report.ts"

const ours = "effect-sluice"
const oursInFull = "effect-sluice, every option on"
/** The same pool as a second contestant. Its ratio to the first shows what is noise. */
const oursAgain = "effect-sluice again"

/** As a service runs them: nobody waits longer than this, in milliseconds. */
const acquireTimeout = 30_000

interface Crowd {
  readonly borrowers: number
  /** How often each of them borrows in one round. */
  readonly times: number
}

const nameOf = ({ borrowers }: Pick<Crowd, "borrowers">): string =>
  borrowers === 1 ? "1 borrower" : `${borrowers} borrowers`

const crowdsOf = (scale: number): ReadonlyArray<Crowd> => [
  { borrowers: 1, times: 40_000 * scale },
  { borrowers: 100, times: 400 * scale },
  { borrowers: 10_000, times: Math.max(5 * scale, 3) }
]

const others: ReadonlyArray<readonly [string, OpenPeer]> = [
  ["generic-pool", genericPool.open],
  ["lightning-pool", lightningPool.open],
  ["pg-pool", pgPool.open],
  ["tarn", tarn.open],
  ["Effect Pool.use", effectPool.open]
]

const floors: ReadonlyArray<readonly [string, OpenPeer]> = [
  ["no pool, fibers", none.fibers],
  ["no pool, promises", none.promises]
]

const contestantOf = (name: string, peer: Peer, { borrowers, times }: Crowd): Contestant => ({
  name,
  operations: borrowers * times,
  run: () => peer.crowd(borrowers, times)
})

const cell = (values: Values, own: Values): string =>
  values === own ? show(values) : `${show(values)}, x${ratio(values, own).toFixed(2)}`

/** Ahead of everybody with one borrower and with a crowd; with a hundred the fastest other pool may be a little ahead. */
const targetOf = (name: string, borrowers: number): number => borrowers === 100 && name === "lightning-pool" ? 1.3 : 1

const isHeldTo = (name: string, borrowers: number): boolean => borrowers !== 100 || name === "lightning-pool"

/** Every pool with an acquire timeout. */
export const withTimeouts = async (rounds: Rounds, scale: number): Promise<Table> => {
  const all = [
    [ours, sluice.open] as const,
    [oursAgain, sluice.open] as const,
    [oursInFull, sluice.openWithEveryOption] as const,
    ...others,
    ...floors
  ]
  const peers = await Promise.all(all.map(async ([name, open]) => [name, await open(acquireTimeout)] as const))
  const rows = new Map(peers.map(([name]) => [name, [name]]))
  const targets: Array<Target> = []
  const series: Array<Series> = []
  for (const crowd of crowdsOf(scale)) {
    const of = await interleaved(peers.map(([name, peer]) => contestantOf(name, peer, crowd)), rounds)
    const own = of(ours)
    for (const [name, row] of rows) {
      row.push(cell(of(name), own))
      series.push({ row: name, column: nameOf(crowd), values: of(name).map(Math.round) })
    }
    const targetsOf = (mine: string): ReadonlyArray<Target> =>
      others.filter(([name]) => isHeldTo(name, crowd.borrowers)).map(([name]) => ({
        what: `${nameOf(crowd)}, ${mine} to ${name}`,
        ratio: ratio(of(mine), of(name)),
        atMost: targetOf(name, crowd.borrowers)
      }))
    targets.push(...targetsOf(ours), ...targetsOf(oursInFull))
  }
  for (const [, peer] of peers) await peer.close()
  return {
    title: "Borrow and return with an acquire timeout of 30 s (ns, median, least-most, times ours)",
    columns: ["pool", "1 borrower", "100 borrowers", "10 000 borrowers"],
    rows: [...rows.values()],
    targets,
    series
  }
}

interface BareCase {
  readonly name: string
  readonly atMost: number
  readonly operations: number
  readonly run: (peer: Awaited<ReturnType<typeof sluice.open>>) => Promise<void>
}

const bareCases = (scale: number): ReadonlyArray<BareCase> => [
  { name: "serial", atMost: 1.25, operations: 80_000 * scale, run: (peer) => peer.serial(80_000 * scale) },
  ...crowdsOf(scale).map(({ borrowers, times }) => ({
    name: nameOf({ borrowers }),
    atMost: borrowers === 1 ? 1.25 : borrowers === 100 ? 0.45 : 0.25,
    operations: borrowers * times,
    run: (peer: Peer) => peer.crowd(borrowers, times)
  }))
]

/** Ours, whose deadline is always on, against Effect's own pool without one. */
export const withoutTimeouts = async (rounds: Rounds, scale: number): Promise<Table> => {
  const own = await sluice.open(acquireTimeout)
  const bare = await effectPool.open(undefined)
  const rows: Array<ReadonlyArray<string>> = []
  const targets: Array<Target> = []
  for (const { atMost, name, operations, run } of bareCases(scale)) {
    const of = await interleaved([
      { name: ours, operations, run: () => run(own) },
      { name: "bare", operations, run: () => run(bare) }
    ], rounds)
    const share = ratio(of(ours), of("bare"))
    rows.push([name, show(of(ours)), show(of("bare")), share.toFixed(2)])
    targets.push({ what: `${name}, ours to Effect's Pool.use`, ratio: share, atMost })
  }
  await own.close()
  await bare.close()
  return {
    title: "Borrow and return against Effect's Pool.use without a timeout (ns, median, least-most)",
    columns: ["case", "effect-sluice", "Effect Pool.use", "ours to Effect's"],
    rows,
    targets
  }
}
