/**
 * All figures in a real process under a real `ulimit -n`.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ChildProcess from "node:child_process"
import * as Path from "node:path"
import type { FiguresReport } from "../children/figures.ts"

const child = Path.join(import.meta.dirname, "..", "children", "figures.ts")

const under = (limit: number) =>
  Effect.callback<FiguresReport>((resume) => {
    const args = ["-c", `ulimit -n ${limit}; exec "$@"`, "sh", process.execPath, "--no-warnings", child, String(limit)]
    const running = ChildProcess.execFile("sh", args, { timeout: 50_000 }, (error, stdout, stderr) =>
      resume(
        error === null
          ? Effect.sync(() => JSON.parse(stdout) as FiguresReport)
          : Effect.die(new Error(`${error.message}\n${stderr}`))
      ))
    return Effect.sync(() => running.kill())
  })

const countOf = (figures: Record<string, string | number>): number => {
  assert.isNumber(figures["descriptors"])
  return Number(figures["descriptors"])
}

describe("when every descriptor is used", { timeout: 60_000 }, () => {
  for (const [limit, least, most] of [[64, 4, 4], [700, 8, 14]] as const) {
    it.live(`of ${limit}, every figure is read as before, and nobody goes without for the monitor's sake`, () =>
      Effect.gen(function*() {
        const { after, before, beyond, filled, full, held, kinds, victim } = yield* under(limit)
        assert.isTrue(held >= least && held <= most, `${held} are held`)
        const { descriptors, ...others } = full
        assert.deepStrictEqual({ descriptors: countOf(before), ...others }, before)
        assert.strictEqual(Number(descriptors) + held, limit + beyond)
        assert.strictEqual(Number(descriptors), countOf(before) + filled)
        assert.isAtLeast(kinds["device"] ?? 0, filled)
        assert.strictEqual(Object.values(kinds).reduce((sum, count) => sum + count, 0), limit + beyond - held)
        assert.deepStrictEqual(victim, { opened: 300, failed: [] })
        assert.deepStrictEqual(after, before)
      }))
  }
})

describe("a process that only samples", { timeout: 60_000 }, () => {
  it.live("ends by itself", () =>
    Effect.gen(function*() {
      const module = (name: string) =>
        Path.join(import.meta.dirname, "..", "..", "..", "src", "Monitor", "readings", name)
      const program = `
        import { Effect, Scope } from "effect"
        import * as Probes from ${JSON.stringify(module("Probes.ts"))}
        import * as Sampler from ${JSON.stringify(module("Sampler.ts"))}
        let samples = 0
        const make = Effect.flatMap(Probes.make, (probes) =>
          Sampler.make({ probes, connections: () => new Map(), onSample: () => samples++, secondsToLimit: () => 0 }))
        await Effect.runPromise(Scope.provide(make, Scope.makeUnsafe()))
        setTimeout(() => {}, 400)
        process.on("exit", () => console.log(samples))
      `
      const samples = yield* Effect.callback<number>((resume) => {
        const args = ["--no-warnings", "--input-type=module", "-e", program]
        ChildProcess.execFile(process.execPath, args, { timeout: 50_000 }, (error, stdout) =>
          resume(error === null ? Effect.succeed(Number(stdout)) : Effect.die(error)))
      })
      // One when it was made, and one 250 ms later.
      assert.isAtLeast(samples, 2)
    }))
})
