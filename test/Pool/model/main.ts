/**
 * Runs random histories against the reference model, in a process of its own, and prints the first that fails, cut to what
 * it takes.
 *
 * Usage: node main.ts SEED [HISTORIES]
 */
import { Context, Effect } from "effect"
import * as ResourceMonitor from "../../../src/Monitor/ResourceMonitor.ts"
import * as History from "./History.ts"
import { Model } from "./Model.ts"

const [first = "1", histories = "1"] = process.argv.slice(2)

// Thousands of scripted failures need no stacks.
Error.stackTraceLimit = 0

const program = Effect.gen(function*() {
  const provided = yield* Effect.context<ResourceMonitor.ResourceMonitor | ResourceMonitor.TestMonitor>()
  // The monitor outlives each history, and so would the timer of its log of leaks.
  const services = Context.add(provided, ResourceMonitor.ResourceMonitor, {
    ...Context.get(provided, ResourceMonitor.ResourceMonitor),
    reportLeak: () => Effect.void
  })
  const monitor = Context.get(services, ResourceMonitor.TestMonitor)
  const account = Effect.all([monitor.tracked, monitor.reserved, monitor.waiting])
  const counted = () => {
    const [tracked, reserved, waiting] = Effect.runSyncWith(services)(account)
    return JSON.stringify({ tracked: [...tracked], reserved, waiting })
  }
  const violation = async (history: History.History): Promise<string | undefined> => {
    const before = counted()
    try {
      await new Model(history, services).run()
      return counted() === before ? undefined : `the monitor counted ${before} before and ${counted()} after`
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    }
  }
  const firstViolation = async (): Promise<string> => {
    for (let seed = Number(first); seed < Number(first) + Number(histories); seed++) {
      const history = History.make(seed)
      if (await violation(history) === undefined) continue
      const shortest = await History.shrink(history, async (shorter) => await violation(shorter) !== undefined)
      return `${await violation(shortest)}\nin ${History.format(shortest)}\n`
    }
    return ""
  }
  process.stdout.write(yield* Effect.promise(firstViolation))
})

await Effect.runPromise(Effect.provide(program, ResourceMonitor.layerTest))
