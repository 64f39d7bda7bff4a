import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, References, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Probes from "../../src/Monitor/Probes.ts"
import { ProcReader } from "../../src/Monitor/ProcReader.ts"
import * as Sampler from "../../src/Monitor/Sampler.ts"
import { system } from "./support.ts"

const sampling = (options: Partial<Sampler.SamplerOptions> = {}) =>
  Effect.gen(function*() {
    const { calls, reader, script } = system()
    const samples: Array<Sampler.Sample> = []
    const probes = yield* Effect.provideService(Probes.make, ProcReader, reader)
    const sampler = yield* Sampler.make({
      probes,
      connections: () => new Map(),
      onSample: (sample) => samples.push(sample),
      ...options
    })
    return { calls, script, samples, sampler }
  })

/** Passes time in steps, so that each timer that rings can set the next one. */
const pass = (millis: number, step = 50) =>
  Effect.forEach(
    Array.from({ length: millis / step }),
    () => Effect.andThen(TestClock.adjust(step), Effect.yieldNow),
    { discard: true }
  )

describe("the interval", () => {
  it("is a tenth of the time that is left, within a quarter of a second and five seconds", () => {
    const rows = [[0, 250], [-1, 250], [2.5, 250], [10, 1000], [50, 5000], [51, 5000], [Infinity, 5000]] as const
    for (const [seconds, millis] of rows) assert.strictEqual(Sampler.nextInterval(seconds), millis)
  })

  it("of a time that is not known is the longest", () => {
    assert.strictEqual(Sampler.nextInterval(Number.NaN), 5000)
  })
})

describe("Sampler", () => {
  it.effect("takes the first sample at once, and then one every five seconds when no limit is near", () =>
    Effect.gen(function*() {
      const { samples } = yield* sampling()
      assert.strictEqual(samples.length, 1)
      yield* pass(4950)
      assert.strictEqual(samples.length, 1)
      yield* pass(50)
      assert.strictEqual(samples.length, 2)
      yield* pass(20_000)
      assert.deepStrictEqual(samples.map(({ at }) => at), [0, 5000, 10_000, 15_000, 20_000, 25_000])
    }))

  it.effect("samples more often the nearer the limit is", () =>
    Effect.gen(function*() {
      let secondsToLimit = 20
      const { samples } = yield* sampling({ secondsToLimit: () => secondsToLimit })
      yield* pass(4000)
      assert.deepStrictEqual(samples.map(({ at }) => at), [0, 2000, 4000])
      secondsToLimit = 0
      yield* pass(3000)
      assert.deepStrictEqual(samples.slice(3).map(({ at }) => at), [6000, 6250, 6500, 6750, 7000])
    }))

  it.effect("reads the slow figures on every tenth tick only, and on demand", () =>
    Effect.gen(function*() {
      const { sampler, samples, script } = yield* sampling({ secondsToLimit: () => 0 })
      script.limits = script.limits.replace("1024", "2048")
      const limitOf = ({ figures: { descriptorLimit } }: Sampler.Sample) =>
        descriptorLimit._tag === "Known" ? descriptorLimit.value : descriptorLimit._tag
      yield* pass(2250)
      assert.deepStrictEqual(samples.map(limitOf), Array.from({ length: 10 }, () => 1024))
      yield* pass(250)
      assert.strictEqual(limitOf(sampler.latest()), 2048)
      script.limits = script.limits.replace("2048", "4096")
      assert.strictEqual(limitOf(sampler.sampleNow()), 4096)
      assert.strictEqual(samples.length, 12)
    }))

  it.effect("ends with its scope", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { samples } = yield* Scope.provide(sampling(), scope)
      yield* Scope.close(scope, Exit.void)
      yield* pass(20_000)
      assert.strictEqual(samples.length, 1)
    }))

  it.effect("goes on when the look at a sample throws, or the question for the time that is left", () =>
    Effect.gen(function*() {
      let looks = 0
      const fault = (): never => {
        throw new Error("a fault in the look")
      }
      yield* sampling({
        onSample: () => {
          looks++
          fault()
        },
        secondsToLimit: fault
      })
      yield* pass(10_000)
      assert.strictEqual(looks, 3)
    }).pipe(Effect.provideService(References.UnhandledLogLevel, undefined)))
})
