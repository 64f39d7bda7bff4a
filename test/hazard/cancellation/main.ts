/**
 * Sweeps a share of all cases of a cancellation. It prints how many trials there were, and before that the first one that
 * failed, if one did.
 *
 * Usage: node main.ts SHARE SHARES [every]
 *
 * With `every`, each case is interrupted at each scheduling step. That takes some 360 000 trials, which is too much
 * for every day; without it, each case is interrupted at every so many, others for each budget of operations.
 */
import { Context, Effect } from "effect"
import * as ResourceMonitor from "../../../src/Monitor/ResourceMonitor.ts"
import { type Case, describeCase, isStuck, outcomes, steps, subjects, Trial } from "./Trial.ts"

const [share = "0", shares = "1", density] = process.argv.slice(2)

// Thousands of scripted failures need no stacks.
Error.stackTraceLimit = 0

/** Operations of a borrow, its neighbour and what the pool does for them, in the middle of all cases. */
const operations = 320

/** A case, with the scheduling steps at which it is interrupted: the first one, and every so many after that. */
interface Sweep {
  readonly trial: Case
  readonly first: number
  readonly every: number
}

/** Every step, outcome, way and subject with every budget of operations. */
const sweeps = function*(): Generator<Sweep> {
  let number = 0
  for (let maxOps = 3; maxOps <= 64; maxOps++) {
    const every = density === "every" ? 1 : Math.ceil(operations / maxOps / 3)
    for (const step of steps) {
      for (const outcome of outcomes) {
        for (const by of ["use", "get"] as const) {
          for (const subject of subjects) {
            for (const watched of [false, true]) {
              // A prime, so that a case starts elsewhere with every budget.
              const mixed = number++ * 7919
              const drainAfter = mixed % Math.ceil(operations / maxOps / 2)
              yield { trial: { step, outcome, by, subject, watched, maxOps, drainAfter }, first: mixed % every, every }
            }
          }
        }
      }
    }
  }
}

const program = Effect.gen(function*() {
  const services = yield* Effect.context<ResourceMonitor.ResourceMonitor | ResourceMonitor.TestMonitor>()
  const monitor = Context.get(services, ResourceMonitor.TestMonitor)
  // What is left behind with its socket goes on to count, and must not be what the gate goes by in later trials.
  yield* monitor.set({ descriptorLimit: 1e9, connectionLimit: 1e9 })
  const account = Effect.all([monitor.tracked, monitor.reserved, monitor.waiting])
  const counted = () => {
    const [tracked, reserved, waiting] = Effect.runSyncWith(services)(account)
    return JSON.stringify({ tracked: [...tracked], reserved, waiting })
  }
  let [trials, number] = [0, 0]
  const run = async (trial: Case, after: number): Promise<boolean> => {
    const before = counted()
    const goesOn = await new Trial(trial, services).run(after)
    trials++
    if (counted() === before || isStuck(trial)) return goesOn
    throw new Error(`the monitor counted ${before} before and ${counted()} after`)
  }
  const sweep = async ({ every, first, trial }: Sweep): Promise<void> => {
    for (let after = first;; after += every) {
      try {
        if (!await run(trial, after)) return
      } catch (error) {
        throw new Error(`${describeCase(trial)}, interrupted after ${after} scheduling steps: ${String(error)}`)
      }
    }
  }
  const sweepAll = async (): Promise<void> => {
    for (const next of sweeps()) if (number++ % Number(shares) === Number(share)) await sweep(next)
  }
  yield* Effect.promise(() => sweepAll().catch((error) => void process.stdout.write(`${error}\n`)))
  process.stdout.write(`${trials} trials\n`)
})

await Effect.runPromise(Effect.provide(program, ResourceMonitor.layerTest))
