/**
 * A program that closes files when it runs out of descriptors: its alerts, its cleanup, its recovery.
 *
 * Run it with `node examples/pressure.ts` after `npm run build`.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Stream } from "effect"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as Fs from "node:fs"

/** Files that are kept open because opening them again takes time. */
const cache: Array<number> = []

const closeOldest = (count: number) => Effect.sync(() => cache.splice(0, count).forEach((file) => Fs.closeSync(file)))

const program = Effect.gen(function*() {
  const monitor = yield* ResourceMonitor.ResourceMonitor
  yield* Effect.forkScoped(Stream.runForEach(monitor.alerts, ({ message }) => Console.log(message)), {
    startImmediately: true
  })
  yield* monitor.onPressure({
    name: "file cache",
    // Close down to half of the limit.
    run: ({ descriptors: { limit, used } }) =>
      used._tag === "Known" && limit._tag === "Known" ? closeOldest(used.value - limit.value / 2) : Effect.void
  })
  yield* Effect.addFinalizer(() => closeOldest(cache.length))

  while ((yield* monitor.level) !== "Critical") cache.push(Fs.openSync("/dev/null", "r"))
  const opened = cache.length

  yield* Stream.runHead(Stream.filter(monitor.levels, (level) => level === "Normal"))
  yield* Console.log(
    cache.length < opened ? "some files were closed, and the others are still open" : "no file was closed"
  )
})

// Waiting for the monitor does not keep the process alive; `runMain` does.
NodeRuntime.runMain(program.pipe(
  Effect.scoped,
  // By default a level falls after ten seconds; here after one.
  Effect.provide(ResourceMonitor.layerOptions({ maxDescriptors: 200, recoveryHold: "1 second", recoverySamples: 1 }))
))
