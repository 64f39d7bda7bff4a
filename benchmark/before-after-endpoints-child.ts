/**
 * What 10 000 endpoints with one idle connection each take, in a process of its own: with the copy of the library at PATH, or with
 * one of the other ways to keep connections by key if that is named in the place of PATH. Prints bytes and milliseconds as JSON.
 *
 * Usage: node --expose-gc benchmark/before-after-endpoints-child.ts PATH SCALE
 */
import { fileURLToPath } from "node:url"
import { load, repeatIn } from "./copy.ts"
import { heapUsed, median } from "./measure.ts"
import { type Keep, sluiceOf, ways } from "./peers/keyed.ts"

const [path = ".", scale = "1"] = process.argv.slice(2)
const endpoints = 10_000
const repetitions = Math.max(1, Math.floor(3 * Number(scale)))

const way: Keep | undefined = ways[path]
const copy = await load(way === undefined ? path : fileURLToPath(new URL("..", import.meta.url)))
const { Effect, Exit, Scope } = copy
const make = way ?? sluiceOf(copy)
const repeat = repeatIn(copy)

const keys = Array.from({ length: endpoints }, (_, index) => `db-${index}.internal:5432`)
const idleTimeout = 600_000

interface Measured {
  /** Of the heap, for each endpoint. */
  readonly bytes: number
  /** Milliseconds of the thread's CPU, and of the clock, until all are closed. */
  readonly cpu: number
  readonly millis: number
}

/** Opens a connection for each endpoint, and closes them all. */
const measured = async (count: number): Promise<Measured> => {
  const scope = Scope.makeUnsafe()
  const heapBefore = await heapUsed()
  const use = await Effect.runPromise(
    Scope.provide(make({ endpoints: count, perEndpoint: 1, idleTimeout }), scope)
  )
  let index = 0
  await Effect.runPromise(repeat(count, () => use(keys[index++] ?? "", () => Effect.void)))
  const bytes = (await heapUsed() - heapBefore) / count
  const start = performance.now()
  const before = process.threadCpuUsage()
  await Effect.runPromise(Scope.close(scope, Exit.void))
  const { system, user } = process.threadCpuUsage(before)
  return { bytes, cpu: (system + user) / 1000, millis: performance.now() - start }
}

// What is compiled for the first endpoints is no part of what the others take.
await measured(1000)
const figures: Array<Measured> = []
for (let left = repetitions; left > 0; left--) figures.push(await measured(endpoints))

process.stdout.write(JSON.stringify({
  "heap for each endpoint (bytes)": median(figures.map(({ bytes }) => bytes)),
  "closing the pool (ms of the thread's CPU)": median(figures.map(({ cpu }) => cpu)),
  "closing the pool (ms)": median(figures.map(({ millis }) => millis))
}))
