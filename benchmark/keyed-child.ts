/**
 * Measures one way to keep connections by key, alone in its process, and prints what it found as JSON.
 *
 * Arguments: the way, the number of endpoints, the seconds to idle.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { monitorEventLoopDelay } from "node:perf_hooks"
import type { KeyedFigures } from "./keyed.ts"
import { heapUsed, median, pause } from "./measure.ts"
import { repeat } from "./peers/fibers.ts"
import { fill, type Use, ways } from "./peers/keyed.ts"

const [way = "", endpointsText = "100000", idleText = "10", timeoutText = "600"] = process.argv.slice(2)
const endpoints = Number(endpointsText)
const idleMillis = Number(idleText) * 1000
const idleTimeout = Number(timeoutText) * 1000
const operations = 20_000
const settleMillis = 5000
const rounds = { warmUp: 3, measured: 9 }

const keys = Array.from({ length: endpoints }, (_, index) => `db-${index}.internal:5432`)
const keyAt = (index: number): string => keys[index] ?? ""

interface Kept {
  readonly use: Use
  readonly close: () => Promise<void>
}

/** Opens this many connections for each of the first so many keys. */
const keep = async (count: number, perEndpoint: number): Promise<Kept> => {
  const scope = Scope.makeUnsafe()
  const make = ways[way]
  if (make === undefined) throw new Error(`no such way: ${way}`)
  const use = await Effect.runPromise(
    Scope.provide(make({ endpoints: count, perEndpoint, idleTimeout }), scope)
  )
  let index = 0
  await Effect.runPromise(repeat(count, () => fill(use, keyAt(index++), perEndpoint)))
  return { use, close: () => Effect.runPromise(Scope.close(scope, Exit.void)) }
}

/** Nanoseconds of one look-up and use. The keys come in no order, as they do in a service. */
const lookUp = async (use: Use, count: number): Promise<number> => {
  const nanos: Array<number> = []
  const stride = 7919
  let index = 0
  const nothing = () => Effect.void
  for (let round = -rounds.warmUp; round < rounds.measured; round++) {
    const start = performance.now()
    await Effect.runPromise(repeat(operations, () => {
      index = (index + stride) % count
      return use(keyAt(index), nothing)
    }))
    if (round >= 0) nanos.push((performance.now() - start) * 1e6 / operations)
  }
  return median(nanos)
}

const lookUpAmong = async (count: number): Promise<number> => {
  const { close, use } = await keep(count, 1)
  const nanos = await lookUp(use, count)
  await close()
  return nanos
}

/** Bytes of one more idle connection of an endpoint: five for each endpoint against one. */
const connectionBytes = async (): Promise<number> => {
  const count = Math.max(Math.floor(endpoints / 10), 1)
  const more = 5
  const bytesWith = async (perEndpoint: number) => {
    const before = await heapUsed()
    const { close } = await keep(count, perEndpoint)
    const bytes = await heapUsed() - before
    await close()
    return bytes
  }
  const one = await bytesWith(1)
  return (await bytesWith(more) - one) / (count * (more - 1))
}

/** Milliseconds of CPU, and the longest time in which the event loop did not turn, while nothing is borrowed. */
const idling = async () => {
  const delays = monitorEventLoopDelay({ resolution: 10 })
  const before = process.cpuUsage()
  delays.enable()
  await pause(idleMillis)
  delays.disable()
  const { system, user } = process.cpuUsage(before)
  return { idleCpu: (user + system) / 1000, idleGap: delays.max / 1e6 }
}

const few = Math.min(1000, endpoints)
const atOne = await lookUpAmong(1)
const atFew = await lookUpAmong(few)
const bytesPerConnection = await connectionBytes()
const before = await heapUsed()
const start = performance.now()
const { close, use } = await keep(endpoints, 1)
const openAll = performance.now() - start
const bytesPerEndpoint = (await heapUsed() - before) / endpoints
const atAll = await lookUp(use, endpoints)
await heapUsed()
// V8 goes on sweeping in threads of its own what opening has left behind, the longer the more there was.
await pause(settleMillis)
const idle = await idling()
const closing = performance.now()
await close()
const closeAll = performance.now() - closing
const figures: KeyedFigures = {
  lookUp: [atOne, atFew, atAll],
  bytesPerEndpoint,
  bytesPerConnection,
  openAll,
  closeAll,
  ...idle
}
process.stdout.write(JSON.stringify(figures))
