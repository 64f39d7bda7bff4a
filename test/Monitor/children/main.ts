/**
 * A real process for tests of the monitor under a real limit. It prints one line of JSON.
 *
 * Usage: node main.ts limit | conservative | exhausted | granted | burst PORT gated|ungated [interrupt]
 */
import { Context, Effect, Exit, Fiber, Layer } from "effect"
import * as Fs from "node:fs"
import * as Net from "node:net"
import { ProcReader } from "../../../src/Monitor/readings/Procfs.ts"
import * as Monitor from "../../../src/Monitor/ResourceMonitor.ts"

const [mode, port, gate, interrupt] = process.argv.slice(2)

const descriptors = Effect.gen(function*() {
  const monitor = yield* Monitor.ResourceMonitor
  return (yield* monitor.usage).descriptors
})

const limit = Effect.provide(descriptors, Monitor.layer)

const conservative = Effect.provide(descriptors, Monitor.layerOptions(Monitor.conservative))

/** A platform without the exact count, where only the expensive readings are left. */
const fallbacksOnly = Layer.effect(
  ProcReader,
  Effect.map(ProcReader, (reader) => {
    const open = (path: string): number => {
      throw Object.assign(new Error(`ENOENT: ${path}`), { code: "ENOENT" })
    }
    return Object.assign({}, reader, { open })
  })
)

/** Opens files until the system says no. */
const fill = () => {
  const descriptors: Array<number> = []
  for (;;) {
    try {
      descriptors.push(Fs.openSync("/dev/null", "r"))
    } catch (error) {
      return { descriptors, code: (error as NodeJS.ErrnoException).code }
    }
  }
}

const exhausted = Effect.gen(function*() {
  const held = yield* Monitor.ResourceMonitor
  // Built in a scope of its own: both monitors exist before nothing is left.
  const bare = yield* Effect.map(
    Layer.build(Layer.fresh(Monitor.layer).pipe(Layer.provide(fallbacksOnly))),
    (context) => Context.get(context, Monitor.ResourceMonitor)
  )
  const { code, descriptors } = fill()
  const readings = [yield* held.sample, yield* bare.sample]
  const refusals = [
    yield* Effect.flip(held.reserve({ label: "a" })),
    yield* Effect.flip(bare.reserve({ label: "b" }))
  ]
  descriptors.forEach((descriptor) => Fs.closeSync(descriptor))
  const after = yield* Effect.all([held.sample, bare.sample])
  return { code, opened: descriptors.length, readings, refusals: refusals.map((error) => error.message), after }
}).pipe(Effect.scoped, Effect.provide(Monitor.layer))

/** Reserves all that there is without a headroom, and opens it after the first sample. */
const granted = Effect.gen(function*() {
  const monitor = yield* Monitor.ResourceMonitor
  let granted = 0
  while ((yield* Effect.exit(monitor.reserve({ label: "server" })))._tag === "Success") granted++
  yield* Effect.sleep("1500 millis")
  return { granted, opened: fill().descriptors.length }
}).pipe(Effect.scoped, Effect.provide(Monitor.layerOptions({ headroom: 0 })))

interface Outcomes {
  connected: number
  refused: number
  emfile: number
  interrupted: number
  other: Array<string>
}

const dial = (kept: Array<Net.Socket>) =>
  Effect.callback<void, NodeJS.ErrnoException>((resume) => {
    const socket = Net.connect(Number(port), "127.0.0.1")
    socket.once("connect", () => {
      kept.push(socket)
      resume(Effect.void)
    })
    socket.once("error", (error) => resume(Effect.fail(error)))
    return Effect.sync(() => socket.destroy())
  })

const tally = (outcomes: Outcomes, exit: Exit.Exit<void, unknown>) => {
  if (Exit.isSuccess(exit)) return outcomes.connected++
  if (Exit.hasInterrupts(exit)) return outcomes.interrupted++
  const error = exit.cause.reasons.find((reason) => reason._tag === "Fail")?.error
  if (error instanceof Monitor.ResourceExhausted) return outcomes.refused++
  if ((error as NodeJS.ErrnoException | undefined)?.code === "EMFILE") return outcomes.emfile++
  return outcomes.other.push(String(exit.cause))
}

const burst = Effect.gen(function*() {
  const monitor = yield* Monitor.ResourceMonitor
  const kept: Array<Net.Socket> = []
  const before = yield* monitor.sample
  const fork = Effect.runForkWith(yield* Effect.context<never>())
  const claim = gate === "gated" ? monitor.reserve({ label: "server" }) : Effect.void
  let started = 0
  let ticks = 0
  setImmediate(() => ticks++)
  const fibers = Array.from({ length: 500 }, () =>
    fork(Effect.scoped(Effect.gen(function*() {
      started++
      yield* claim
      yield* dial(kept)
    }))))
  const inOneTick = started === 500 && ticks === 0
  const atPeak = yield* monitor.usage
  if (interrupt === "interrupt") {
    yield* Effect.forEach(fibers.filter((_, i) => i % 2 === 0), Fiber.interrupt, { discard: true })
  }
  const outcomes: Outcomes = { connected: 0, refused: 0, emfile: 0, interrupted: 0, other: [] }
  for (const fiber of fibers) tally(outcomes, yield* Fiber.await(fiber))
  const open = yield* monitor.sample
  kept.forEach((socket) => socket.destroy())
  yield* Effect.sleep("50 millis")
  return { inOneTick, atPeak, outcomes, before, open, after: yield* monitor.sample }
}).pipe(Effect.scoped, Effect.provide(Monitor.layerOptions({ maxConnections: 1000 })))

const programs: Readonly<Record<string, () => Promise<unknown>>> = {
  limit: () => Effect.runPromise(limit),
  conservative: () => Effect.runPromise(conservative),
  granted: () => Effect.runPromise(granted),
  burst: () => Effect.runPromise(burst)
}
const run = programs[mode ?? ""] ?? (() => Effect.runPromise(exhausted))
console.log(JSON.stringify(await run()))
