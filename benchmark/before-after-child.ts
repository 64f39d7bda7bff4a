/**
 * What one borrow costs with the copy of the library at PATH, in a process of its own. Prints nanoseconds of the thread's CPU
 * for each case as JSON.
 *
 * Usage: node --expose-gc benchmark/before-after-child.ts PATH SCALE
 */
import { load, repeatIn } from "./copy.ts"
import { median } from "./measure.ts"

const scale = Number(process.argv[3] ?? "1")

const copy = await load(process.argv[2] ?? ".")
const { ConnectionPool, Connector, Effect, ResourceMonitor } = copy
const repeat = repeatIn(copy)

const poolSize = 10
const key = "db.internal:5432"

/** It says when a connection has died, as every real one does, so that the pool looks out for that. */
const connector = Connector.make({
  open: (name: string) => Effect.acquireRelease(Effect.sync(() => ({ name })), () => Effect.void),
  check: () => Effect.void,
  closed: () => Effect.never
})

const settled = Promise.resolve()
const microtask = Effect.callback<void>((resume) => void settled.then(() => resume(Effect.void)))

interface Case {
  readonly name: string
  readonly borrowers: number
  readonly times: number
  readonly body: () => import("effect/Effect").Effect<void>
}

// The time of a thread is counted in steps of four milliseconds on some systems, so that a round has to take long.
const cases: ReadonlyArray<Case> = [
  { name: "1 borrower, used at once", borrowers: 1, times: 400_000 * scale, body: () => Effect.void },
  { name: "1 borrower, held for a microtask", borrowers: 1, times: 300_000 * scale, body: () => microtask },
  { name: "100 borrowers, held for a microtask", borrowers: 100, times: 2000 * scale, body: () => microtask },
  { name: "10 000 borrowers, held for a microtask", borrowers: 10_000, times: 20 * scale, body: () => microtask },
  { name: "1 borrower, each borrow in a turn of its own", borrowers: 1, times: 40_000 * scale, body: () => Effect.void }
]

const program = Effect.scoped(Effect.gen(function*() {
  const pool = yield* ConnectionPool.make({
    connector,
    maxPerEndpoint: poolSize,
    maxTotal: poolSize,
    acquireTimeout: "30 seconds"
  })
  const figures: Record<string, number> = {}
  for (const { body, borrowers, name, times } of cases) {
    const once = () => ConnectionPool.use(pool, key, body)
    const borrow = name.includes("turn of its own") ? () => Effect.andThen(once(), Effect.yieldNow) : once
    const count = Math.ceil(times)
    const run = Effect.suspend(() =>
      Effect.all(Array.from({ length: borrowers }, () => repeat(count, borrow)), {
        concurrency: "unbounded",
        discard: true
      })
    )
    const values: Array<number> = []
    for (let round = -2; round < 3; round++) {
      globalThis.gc?.()
      const before = process.threadCpuUsage()
      yield* run
      const { system, user } = process.threadCpuUsage(before)
      if (round >= 0) values.push((system + user) * 1000 / (borrowers * count))
    }
    figures[name] = median(values)
  }
  return figures
})).pipe(Effect.provide(ResourceMonitor.layerUnlimited))

process.stdout.write(JSON.stringify(await Effect.runPromise(program)))
