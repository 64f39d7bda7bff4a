/**
 * Measures what sampling costs, alone in its process, and prints what it found as JSON.
 *
 * Arguments: `none`, `far` or `near`: no monitor, a whole one that is far from every limit, or a sampler alone that believes
 * itself so near to one that it ticks as often as it may; how many descriptors are open; for how many seconds.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { subscribe } from "node:diagnostics_channel"
import { openSync } from "node:fs"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { getHeapCodeStatistics } from "node:v8"
import * as Descriptors from "../src/Monitor/readings/Descriptors.ts"
import * as Probes from "../src/Monitor/readings/Probes.ts"
import * as Sampler from "../src/Monitor/readings/Sampler.ts"
import type { Cost } from "../src/Monitor/readings/Sampler.ts"
import * as ResourceMonitor from "../src/Monitor/ResourceMonitor.ts"
import { median } from "./measure.ts"
import type { MonitorFigures } from "./monitor.ts"

const [mode = "far", descriptorsText = "10000", secondsText = "30"] = process.argv.slice(2)
const millis = Number(secondsText) * 1000

const pause = (millis: number) => new Promise<void>((resolve) => setTimeout(resolve, millis))

/** Bytes of the heap and beside it that are in use, after everything that is due has run and the rest was collected. */
const bytesInUse = async (): Promise<number> => {
  for (let left = 10; left > 0; left--) {
    await pause(50)
    globalThis.gc?.()
  }
  const { external, heapUsed } = process.memoryUsage()
  return heapUsed + external
}

/** Bytes of these that are instructions and byte code, by V8's own account. What belongs to them beside that is as much again. */
const codeInUse = (): number => {
  const { bytecode_and_metadata_size: byteCode, code_and_metadata_size: machineCode } = getHeapCodeStatistics()
  return byteCode + machineCode
}

for (let left = Number(descriptorsText); left > 0; left--) openSync("/dev/null", "r")

let processes = 0
subscribe("child_process", () => processes++)

const scope = Scope.makeUnsafe()

/** What is running, and what it says of its own cost. */
interface Running {
  readonly cost: Effect.Effect<Cost>
}

const whole: Effect.Effect<Running, Error, Scope.Scope> = Effect.gen(function*() {
  // Fresh, because a further one would be the first one otherwise.
  const services = yield* Layer.build(Layer.fresh(ResourceMonitor.layerOptions({ maxDescriptors: Infinity })))
  const { cost } = Context.get(services, ResourceMonitor.ResourceMonitor)
  return { cost }
})

const alone: Effect.Effect<Running, Error, Scope.Scope> = Effect.gen(function*() {
  const probes = yield* Probes.make
  const sampler = yield* Sampler.make({
    probes,
    connections: () => new Map(),
    onSample: () => {},
    secondsToLimit: () => 0
  })
  return { cost: Effect.sync(sampler.cost) }
})

const ways: Record<string, Effect.Effect<Running | undefined, Error, Scope.Scope>> = {
  none: Effect.undefined,
  far: whole,
  near: alone
}

const furtherOnes = 20

/** What each further monitor keeps: its own data. What the first one keeps is mostly code, compiled. */
const bytesOfFurther = async (way: Effect.Effect<unknown, Error, Scope.Scope>): Promise<number> => {
  const before = await bytesInUse()
  const several = Effect.forEach(Array.from({ length: furtherOnes }), () => way)
  await Effect.runPromise(Scope.provide(several, scope))
  return (await bytesInUse() - before) / furtherOnes
}

class Any extends Context.Service<Any, { readonly get: Effect.Effect<number> }>()("benchmark/Any") {}

const anyLayer = Layer.effect(
  Any,
  Effect.gen(function*() {
    yield* Effect.acquireRelease(Effect.void, () => Effect.void)
    yield* Effect.forkScoped(Effect.sleep(1))
    const fork = Effect.runForkWith(yield* Effect.context<never>())
    fork(Effect.clockWith((clock) => clock.currentTimeMillis))
    return Any.of({ get: Effect.succeed(1) })
  })
)

/** What of Effect every program has compiled that has a service in a layer. */
const useEffect = Effect.flatMap(Layer.build(anyLayer), (services) => Context.get(services, Any).get).pipe(
  Effect.scoped
)

/** How long a look at all descriptors takes, and for how long at most it holds up the loop: medians of five looks. */
const lookDeep = async () => {
  const { files, reader } = await Effect.runPromise(Scope.provide(Probes.make, scope))
  const looks: Array<{ readonly took: number; readonly longest: number }> = []
  for (let left = 6; left > 0; left--) {
    const histogram = monitorEventLoopDelay({ resolution: 1 })
    histogram.enable()
    await pause(100)
    histogram.reset()
    const began = performance.now()
    await Effect.runPromise(Descriptors.take(reader, files))
    looks.push({ took: performance.now() - began, longest: histogram.max / 1e6 })
    histogram.disable()
  }
  // What is compiled at the first use is not what a look holds the loop up for.
  const later = looks.slice(1)
  return { took: median(later.map(({ took }) => took)), longest: median(later.map(({ longest }) => longest)) }
}

const measured = async (): Promise<MonitorFigures> => {
  const way = ways[mode]
  if (way === undefined) throw new Error(`no such way: ${mode}`)
  await Effect.runPromise(useEffect)
  const before = await bytesInUse()
  const codeBefore = codeInUse()
  const running = await Effect.runPromise(Scope.provide(way, scope))
  const cpuBefore = process.cpuUsage()
  const began = performance.now()
  await pause(millis)
  const { system, user } = process.cpuUsage(cpuBefore)
  const share = (system + user) / 1000 / (performance.now() - began)
  const cost = running === undefined ? undefined : await Effect.runPromise(running.cost)
  const bytes = await bytesInUse() - before
  const codeBytes = codeInUse() - codeBefore
  const furtherBytes = running === undefined ? 0 : await bytesOfFurther(way)
  const deep = running === undefined ? undefined : await lookDeep()
  await Effect.runPromise(Scope.close(scope, Exit.void))
  return {
    share,
    ownShare: cost?.share ?? 0,
    ticks: cost?.ticks ?? 0,
    worstTick: cost?.worstTick ?? 0,
    bytes,
    codeBytes,
    furtherBytes,
    processes,
    deep
  }
}

process.stdout.write(JSON.stringify(await measured()))
