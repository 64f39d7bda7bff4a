import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, Logger, References, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Probes from "../../../src/Monitor/readings/Probes.ts"
import { ProcReader } from "../../../src/Monitor/readings/Procfs.ts"
import * as Sampler from "../../../src/Monitor/readings/Sampler.ts"
import { type Script, system } from "../support.ts"

const sampling = (options: Partial<Sampler.SamplerOptions> = {}, overrides: Partial<Script> = {}) =>
  Effect.gen(function*() {
    const { calls, reader, script } = system(overrides)
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

  it.effect("takes the first sample after its delay, and reads nothing before", () =>
    Effect.gen(function*() {
      const { calls, samples } = yield* sampling({ delay: 1000 })
      const before = { ...calls }
      yield* pass(950)
      assert.deepStrictEqual({ ...calls }, before)
      assert.strictEqual(samples.length, 0)
      yield* pass(100)
      assert.strictEqual(samples.length, 1)
      yield* pass(5000)
      assert.strictEqual(samples.length, 2)
    }))

  it.effect("takes the first sample when it is asked for before the end of its delay", () =>
    Effect.gen(function*() {
      const { sampler, samples } = yield* sampling({ delay: 1000 })
      const first = sampler.latest()
      assert.deepStrictEqual(samples, [first])
      yield* pass(1100)
      assert.strictEqual(samples.length, 2)
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

/** The test's clock, on which time passes as well that no timer has seen. */
const skippingClock = Effect.clockWith((clock) => {
  let unseen = 0n
  const skipping: Clock.Clock = Object.assign(Object.create(clock), {
    monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe() + unseen
  })
  const passUnseen = (millis: number) => {
    unseen += BigInt(millis * 1e6)
  }
  return Effect.succeed({ clock: skipping, passUnseen })
})

describe("zombies", () => {
  const stat = (state: string) => `77 (sleep) ${state} 4242 2 3 0 -1 4 5 6 7 8 9 10 11 12 20 0 1 0 6000 0 0\n`
  const files = {
    "/proc/self/stat": "4242 (node) R 1 2 3 0 -1 4 5 6 7 8 9 10 11 12 20 0 7 0 1000 0 0\n",
    "/proc/self/task/4242/children": "77 ",
    "/proc/77/stat": stat("S")
  }
  const names = { "/proc/self/task": ["4242"] }

  it.effect("are reported with the tick after the slow one that saw them first, once", () =>
    Effect.gen(function*() {
      const reported: Array<number> = []
      const { sampler, script } = yield* sampling({
        secondsToLimit: () => 0,
        onZombie: ({ pid }) => reported.push(pid)
      }, { files, names })
      yield* pass(1000)
      script.files["/proc/77/stat"] = stat("Z")
      yield* pass(1250)
      assert.deepInclude(sampler.latest().figures.zombies, { value: 0 })
      // The tenth tick is the slow one.
      yield* pass(250)
      assert.deepStrictEqual(reported, [])
      yield* pass(250)
      assert.deepStrictEqual(reported, [77])
      assert.deepInclude(sampler.latest().figures.zombies, { value: 1 })
      yield* pass(10_000)
      assert.deepStrictEqual(reported, [77])
    }))

  it.effect("are logged without a callback", () => {
    const said: Array<string> = []
    return Effect.gen(function*() {
      yield* sampling({ secondsToLimit: () => 0 }, { files: { ...files, "/proc/77/stat": stat("Z") }, names })
      yield* pass(5000)
      assert.strictEqual(said.length, 1)
      assert.match(
        said[0] ?? "",
        /^child 77 \(sleep\), begun .* ago, is a zombie: .* it is the only one\. To prevent more, /
      )
    }).pipe(Effect.provide(Logger.layer([Logger.make(({ message }) => said.push(String(message)))])))
  })
})

describe("the cost of sampling", () => {
  it.effect("above 0.5 % of a core over a minute doubles the interval, and says so; below 0.1 % it halves again", () => {
    const said: Array<string> = []
    return Effect.gen(function*() {
      let millis = 100
      const { clock, passUnseen } = yield* skippingClock
      const { sampler, samples } = yield* sampling({ connections: () => (passUnseen(millis), new Map()) }).pipe(
        Effect.provideService(Clock.Clock, clock)
      )
      const intervals = (from: number) =>
        samples.slice(from).map(({ at }, i, all) => at - (all[i - 1]?.at ?? Number.NaN)).slice(1)
      assert.deepInclude(sampler.cost(), { ticks: 1, worstTick: 100, slowdown: 1 })
      // 100 ms in 5 s are 2 % of a core.
      yield* pass(60_000)
      assert.deepStrictEqual(Array.from(new Set(intervals(0))), [5000])
      assert.approximately(sampler.cost().share, 0.02, 0.002)
      assert.strictEqual(sampler.cost().slowdown, 2)
      const before = samples.length - 1
      yield* pass(120_000)
      assert.strictEqual(sampler.cost().slowdown, 4)
      assert.include(intervals(before), 10_000)
      assert.include(intervals(before), 20_000)
      // 100 ms in 20 s are 0.5 %, which is bearable.
      yield* pass(240_000)
      assert.strictEqual(sampler.cost().slowdown, 4)
      millis = 0
      yield* pass(300_000)
      assert.deepInclude(sampler.cost(), { slowdown: 1, share: 0, worstTick: 100 })
      yield* pass(10_000)
      assert.strictEqual(intervals(0).at(-1), 5000)
      assert.strictEqual(said.length, 4)
      assert.match(said[0] ?? "", /took 2\.\d\d % of a core: its intervals are now 2 times as long as usual/)
    }).pipe(
      Effect.provide(Logger.layer([Logger.make(({ message }) => said.push(String(message)))]))
    )
  })
})

describe("the figures of the event loop", () => {
  const loopOf = ({ figures: { loopDelay, loopUtilization } }: Sampler.Sample) => [loopDelay, loopUtilization]

  it.effect("are those of the last window, never since the start", () =>
    Effect.gen(function*() {
      const { samples, script, sampler } = yield* sampling()
      assert.deepInclude(loopOf(sampler.latest())[1], { _tag: "Unknown", reason: "Missing" })
      script.loop = { active: 5000, idle: 0 }
      yield* pass(5000)
      assert.deepInclude(loopOf(sampler.latest())[1], { _tag: "Known", value: 1, exact: true })
      script.loop = { active: 6000, idle: 4000 }
      yield* pass(5000)
      assert.deepInclude(loopOf(sampler.latest())[1], { _tag: "Known", value: 0.2 })
      script.loop = { active: 7000, idle: 4000 }
      // A sample out of turn closes no window.
      assert.deepStrictEqual(loopOf(sampler.sampleNow()), loopOf(samples[2] ?? sampler.latest()))
      yield* pass(5000)
      assert.deepInclude(loopOf(sampler.latest())[1], { value: 1 })
    }))

  it.effect("tell how late the timer rang", () =>
    Effect.gen(function*() {
      const { clock, passUnseen } = yield* skippingClock
      const { sampler, script } = yield* Effect.provideService(sampling(), Clock.Clock, clock)
      script.loop = { active: 200, idle: 4900 }
      passUnseen(100)
      yield* pass(5000)
      assert.deepInclude(loopOf(sampler.latest())[0], { _tag: "Known", value: 100, exact: false })
    }))

  it.effect("of a process that stood still are not known", () =>
    Effect.gen(function*() {
      const { clock, passUnseen } = yield* skippingClock
      const { sampler, script } = yield* Effect.provideService(sampling(), Clock.Clock, clock)
      passUnseen(60_000)
      script.loop = { active: 10, idle: 65_000 }
      yield* pass(5000)
      const stale = { _tag: "Unknown", reason: "Stale" } as const
      for (const reading of loopOf(sampler.latest())) assert.deepInclude(reading, stale)
      // A loop that was busy all that time was late indeed.
      passUnseen(60_000)
      script.loop = { active: 60_010, idle: 70_000 }
      yield* pass(5000)
      assert.deepInclude(loopOf(sampler.latest())[0], { _tag: "Known", value: 60_000 })
    }))
})
