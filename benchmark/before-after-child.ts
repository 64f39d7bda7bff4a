/**
 * What one borrow costs with the library at PATH, in a process of its own: a checkout with `src`, or an installed package with
 * `dist`. It brings its own copy of Effect. Prints nanoseconds of the thread's CPU for each case as JSON.
 *
 * Usage: node --expose-gc benchmark/before-after-child.ts PATH SCALE
 */
import { existsSync } from "node:fs"
import { createRequire } from "node:module"
import { join, resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { median } from "./measure.ts"

type EffectModule = typeof import("effect/Effect")
type Pools = typeof import("../src/Pool/ConnectionPool.ts")
type Connectors = typeof import("../src/Resource/Connector.ts")
type Monitors = typeof import("../src/Monitor/ResourceMonitor.ts")

const root = resolve(process.argv[2] ?? ".")
const scale = Number(process.argv[3] ?? "1")

const isCheckout = existsSync(join(root, "src")) && existsSync(join(root, "node_modules"))

/** What is loaded has the shape of the module of that name here, as far as it is used. */
const ofLibrary = async <Module>(name: string): Promise<Module> =>
  import(pathToFileURL(join(root, isCheckout ? `src/${name}.ts` : `dist/${name}.js`)).href) as Promise<Module>

const resolveFrom = createRequire(join(root, "package.json"))
const Effect = await import(pathToFileURL(resolveFrom.resolve("effect/Effect")).href) as EffectModule
const ConnectionPool = await ofLibrary<Pools>("Pool/ConnectionPool")
const Connector = await ofLibrary<Connectors>("Resource/Connector")
const ResourceMonitor = await ofLibrary<Monitors>("Monitor/ResourceMonitor")

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

const repeat = <E>(times: number, body: () => import("effect/Effect").Effect<void, E>) => {
  let left = times
  return Effect.whileLoop({ while: () => left > 0, body, step: () => void left-- })
}

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
    // A loop counts down once, so that each run has its own.
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
