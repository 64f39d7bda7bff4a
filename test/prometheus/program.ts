/**
 * A program of its own, with the real monitor, that Prometheus scrapes: it has the same incident again and again, and many open files.
 * It prints the address of its server.
 */
import { Console, Effect, Layer } from "effect"
import { Main, Operations, ResourceMonitor } from "effect-sluice"
import * as OperationsHttp from "effect-sluice/OperationsHttp"
import * as Fs from "node:fs"
import * as Incident from "../support/Incident.ts"

const App = OperationsHttp.layerServer({ port: 0 }).pipe(
  Layer.provide(Operations.layerOptions({ interval: "200 millis", logs: false })),
  Layer.provideMerge(ResourceMonitor.layerOptions({ maxDescriptors: 300, headroom: 4 }))
)

const program = Effect.gen(function*() {
  const { url } = yield* OperationsHttp.Server
  yield* Console.log(url)
  const round = yield* Incident.make
  // Before the level rises, because at Critical the monitor refuses what the outage makes necessary: dials that are retries.
  yield* Effect.repeat(round, { times: 7 })
  const monitor = yield* ResourceMonitor.ResourceMonitor
  const { descriptors } = yield* monitor.usage
  const valueOf = (reading: typeof descriptors.used) => reading._tag === "Known" ? reading.value : 0
  // Critical begins at 90 %. They are closed with the process.
  const missing = Math.ceil(valueOf(descriptors.limit) * 0.92) - valueOf(descriptors.used)
  for (let count = 0; count < missing; count++) Fs.openSync("/dev/null", "r")
  return yield* Effect.forever(round)
})

Main.run(program, { layer: App })
