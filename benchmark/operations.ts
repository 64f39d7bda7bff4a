/**
 * What a borrow costs with `Operations`, beside one of a pool that nothing observes, in turns in one process; and what a look at ten
 * thousand endpoints costs.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { LiveList } from "../src/internal/LiveList.ts"
import * as ResourceMonitor from "../src/Monitor/ResourceMonitor.ts"
import * as Operations from "../src/Operations/Operations.ts"
import * as ConnectionPool from "../src/Pool/ConnectionPool.ts"
import { recordPool } from "../src/Pool/PoolRecorder.ts"
import { PoolRegistry, type RegisteredPool } from "../src/Pool/PoolRegistry.ts"
import * as Connector from "../src/Resource/Connector.ts"
import { type Contestant, interleaved, median, ratio, type Rounds, show } from "./measure.ts"
import type { Table } from "./report.ts"

const connector = Connector.make({
  open: (name: string) => Effect.acquireRelease(Effect.sync(() => ({ name })), () => Effect.void),
  check: () => Effect.void,
  closed: () => Effect.never
})

type Pool = ConnectionPool.ConnectionPool<string, { readonly name: string }>

interface Made {
  readonly pool: Pool
  readonly registered: RegisteredPool
  readonly operations: Operations.Operations["Service"] | undefined
}

/** A pool in a registry of its own, which `Operations` watches or not. */
const made = (isWatched: boolean, maxTotal: number) =>
  Effect.gen(function*() {
    const registry = new LiveList<RegisteredPool>()
    const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 10, maxTotal, acquireTimeout: "30 seconds" })
      .pipe(
        Effect.provideService(PoolRegistry, registry)
      )
    const operations = isWatched
      ? Context.get(
        yield* Layer.build(Operations.layerOptions({ scope: "context" })).pipe(
          Effect.provideService(PoolRegistry, registry)
        ),
        Operations.Operations
      )
      : undefined
    const [registered] = registry.all
    return registered === undefined
      ? yield* Effect.die("the pool has not registered itself")
      : { pool, registered, operations }
  })

const settled = Promise.resolve()
const microtask = Effect.callback<void>((resume) => void settled.then(() => resume(Effect.void)))

const cases = [
  { name: "1 borrower, used at once", borrowers: 1, times: 200_000, body: Effect.void },
  { name: "1 borrower, held for a microtask", borrowers: 1, times: 100_000, body: microtask },
  { name: "100 borrowers, held for a microtask", borrowers: 100, times: 1000, body: microtask }
] as const

const ways = ["not observed", "not observed, again", "with Operations"] as const

/** The targets hold after the spread of two pools that nothing observes. */
const aim = 1.05

const repeated = (times: number, borrow: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.suspend(() => {
    let left = times
    return Effect.whileLoop({ while: () => left-- > 0, body: () => borrow, step: () => {} })
  })

const many = 10_000

/** Milliseconds of one reading of all metrics of a pool with many endpoints, of its snapshot, and the characters of its JSON. */
const looks = ({ operations, pool, registered }: Made, rounds: Rounds) =>
  Effect.gen(function*() {
    for (let key = 0; key < many; key++) {
      yield* ConnectionPool.use(pool, `database-number-${key}.internal:5432`, () => Effect.void)
    }
    const recorder = recordPool(registered, "many", yield* Effect.context<never>())
    const ticks: Array<number> = []
    const snapshots: Array<number> = []
    let size = 0
    for (let round = 0; round < rounds.warmUp + rounds.measured; round++) {
      const begin = performance.now()
      recorder.read()
      const between = performance.now()
      const snapshot = operations === undefined ? undefined : yield* operations.snapshot()
      const end = performance.now()
      if (snapshot !== undefined) {
        size = JSON.stringify(yield* Schema.encodeEffect(Operations.Snapshot)(snapshot)).length
      }
      if (round < rounds.warmUp) continue
      ticks.push(between - begin)
      snapshots.push(end - between)
    }
    recorder.end()
    return { tick: median(ticks), snapshot: median(snapshots), size }
  })

const spreadOf = (values: ReadonlyArray<number>): number => Math.abs(values.length === 0 ? 0 : median(values) - 1)

const measured = (rounds: Rounds, scale: number) =>
  Effect.gen(function*() {
    const pools = new Map<string, Pool>()
    for (const way of ways) pools.set(way, (yield* made(way === "with Operations", 10)).pool)
    const rows: Array<ReadonlyArray<string>> = []
    const targets: Array<Table["targets"][number]> = []
    for (const { body, borrowers, name, times } of cases) {
      const count = Math.ceil(times * scale)
      const contestants = ways.flatMap((way): ReadonlyArray<Contestant> => {
        const pool = pools.get(way)
        if (pool === undefined) return []
        const all = Array.from({ length: borrowers }, () =>
          repeated(
            count,
            Effect.suspend(() => Effect.orDie(ConnectionPool.use(pool, "db.internal:5432", () => body)))
          ))
        const run = () =>
          // oxlint-disable-next-line effecttsgo/run-effect-inside-effect
          Effect.runPromise(Effect.all(all, { concurrency: "unbounded", discard: true }))
        return [{ name: way, operations: borrowers * count, run }]
      })
      const valuesOf = yield* Effect.promise(() => interleaved(contestants, rounds))
      const [plain, again, observed] = ways.map(valuesOf)
      if (plain === undefined || again === undefined || observed === undefined) continue
      const spread = spreadOf(again.map((value, round) => value / (plain[round] ?? Number.NaN)))
      rows.push([name, show(plain), show(again), show(observed), ratio(observed, plain).toFixed(3), spread.toFixed(3)])
      targets.push({ what: `${name}: with Operations to without`, ratio: ratio(observed, plain), atMost: aim + spread })
    }
    const { size, snapshot, tick } = yield* looks(yield* made(true, 2 * many), rounds)
    const title = `${many} endpoints`
    rows.push([
      title,
      "",
      "",
      `tick ${tick.toFixed(2)} ms, snapshot ${snapshot.toFixed(2)} ms, ${size} characters`,
      "",
      ""
    ])
    targets.push({ what: `${title}: ms of a tick`, ratio: tick, atMost: 5 })
    targets.push({ what: `${title}: kB of JSON`, ratio: size / 1000, atMost: 100 })
    return { rows, targets }
  })

export const operations = async (rounds: Rounds, scale: number): Promise<Table> => {
  const scope = Scope.makeUnsafe()
  const program = Scope.provide(measured(rounds, scale), scope).pipe(
    Effect.provide(ResourceMonitor.layerUnlimited),
    Effect.provideService(Metric.MetricRegistry, new Map())
  )
  const { rows, targets } = await Effect.runPromise(program)
  await Effect.runPromise(Scope.close(scope, Exit.void))
  return {
    title: "Operations",
    columns: ["ns for a borrow", ...ways, "with to without", "spread of the same"],
    rows,
    targets
  }
}
