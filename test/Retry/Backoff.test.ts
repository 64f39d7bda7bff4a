import { assert, describe, it } from "@effect/vitest"
import { Effect, Random } from "effect"
import * as Backoff from "../../src/Retry/Backoff.ts"

const of = (jitter: number | "full", over: Partial<Backoff.Backoff> = {}): Backoff.Backoff => ({
  initialDelay: 100,
  maxDelay: 10_000,
  factor: 2,
  jitter,
  ...over
})

const draws = (backoff: Backoff.Backoff, step: number, count: number, seed: string) =>
  Random.next.pipe(
    Effect.map((u) => Backoff.delay(backoff, step, u)),
    Effect.replicateEffect(count),
    Random.withSeed(seed)
  )

const mean = (values: ReadonlyArray<number>): number => values.reduce((sum, value) => sum + value, 0) / values.length

const deviation = (values: ReadonlyArray<number>): number => {
  const m = mean(values)
  return Math.sqrt(mean(values.map((value) => (value - m) ** 2)))
}

const correlation = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): number => {
  const [ma, mb] = [mean(a), mean(b)]
  return mean(a.map((value, i) => (value - ma) * ((b[i] ?? 0) - mb))) / (deviation(a) * deviation(b))
}

/** The largest number of values that fall within a hundredth of the cap of each other. */
const crowd = (values: ReadonlyArray<number>, width: number): number =>
  Math.max(
    ...values.reduce((buckets, value) => {
      const bucket = Math.floor(value / width)
      return buckets.set(bucket, (buckets.get(bucket) ?? 0) + 1)
    }, new Map<number, number>()).values()
  )

describe("Backoff", () => {
  it("doubles from the initial delay up to the cap", () => {
    const delays = [1, 2, 3, 4, 7, 8, 9].map((step) => Backoff.nominal(of(0), step))
    assert.deepStrictEqual(delays, [100, 200, 400, 800, 6400, 10_000, 10_000])
  })

  it("without jitter is the nominal delay, whatever the random number", () => {
    for (const u of [0, 0.5, 0.999999]) assert.strictEqual(Backoff.delay(of(0), 3, u), 400)
  })

  it.each([0.1, 0.25, 0.5, 1, "full"] as const)(
    "stays finite, positive and inside the cap for every step (jitter %s)",
    (jitter) => {
      const backoff = of(jitter)
      for (const step of [...Array.from({ length: 2000 }, (_, i) => i + 1), 1e6, Number.MAX_SAFE_INTEGER]) {
        for (const u of [0, 0.5, 1 - Number.EPSILON]) {
          const delay = Backoff.delay(backoff, step, u)
          assert.isTrue(Number.isFinite(delay) && delay >= 0 && delay <= backoff.maxDelay, `step ${step}: ${delay}`)
        }
      }
    }
  )

  it("grows with the random number from the low end of its interval to the high end", () => {
    assert.deepStrictEqual(Backoff.interval(of(0.25), 2), { low: 150, high: 250 })
    assert.strictEqual(Backoff.delay(of(0.25), 2, 0), 150)
    assert.strictEqual(Backoff.delay(of(0.25), 2, 0.5), 200)
  })

  it("moves the interval below the cap and keeps its width", () => {
    // 6400 * 1.25 = 8000 fits; 9000 * 1.25 does not and is moved down by what it would pass.
    assert.deepStrictEqual(Backoff.interval(of(0.25), 7), { low: 4800, high: 8000 })
    assert.deepStrictEqual(Backoff.interval(of(0.25, { initialDelay: 9000 }), 1), { low: 5500, high: 10_000 })
    assert.deepStrictEqual(Backoff.interval(of(0.25), 50), { low: 5000, high: 10_000 })
    assert.deepStrictEqual(Backoff.interval(of(1), 50), { low: 0, high: 10_000 })
  })

  it.effect("is uniform over its interval", () =>
    Effect.gen(function*() {
      const values = yield* draws(of(0.2, { initialDelay: 1000 }), 1, 100_000, "uniform")
      assert.closeTo(mean(values), 1000, 2)
      // The deviation of a uniform distribution is its width over the square root of 12.
      assert.closeTo(deviation(values), 400 / Math.sqrt(12), 1)
      assert.isTrue(Math.min(...values.slice(0, 50_000)) >= 800 && Math.max(...values.slice(0, 50_000)) < 1200)
    }))

  it.effect("with full jitter is uniform from 0 to the delay", () =>
    Effect.gen(function*() {
      const values = yield* draws(of("full"), 40, 100_000, "full")
      assert.closeTo(mean(values), 5000, 30)
      assert.closeTo(deviation(values), 10_000 / Math.sqrt(12), 20)
    }))

  it.effect("fault 15, jitter added after the cap: no delay exceeds the maximum, and at the cap delays still differ", () =>
    Effect.gen(function*() {
      for (const jitter of [0.1, 0.25, "full"] as const) {
        const backoff = of(jitter)
        const values = yield* draws(backoff, 30, 10_000, `cap ${jitter}`)
        const width = jitter === "full" ? backoff.maxDelay : 2 * jitter * backoff.maxDelay
        assert.isAtMost(values.reduce((a, b) => Math.max(a, b)), backoff.maxDelay)
        assert.closeTo(deviation(values), width / Math.sqrt(12), width / 50)
        // Cutting after the jitter would put half of them into one bucket.
        assert.isAtMost(crowd(values, width / 10), 10_000 * 0.12)
      }
    }))

  it.effect("draws the same delays from the same seed, and unrelated ones from another", () =>
    Effect.gen(function*() {
      const first = yield* draws(of("full"), 5, 5000, "a")
      assert.deepStrictEqual(first, yield* draws(of("full"), 5, 5000, "a"))
      const other = yield* draws(of("full"), 5, 5000, "b")
      assert.isBelow(Math.abs(correlation(first, other)), 0.06)
    }))

  it("takes a hint as a lower bound, cuts it at a minute and spreads it upwards", () => {
    assert.strictEqual(Backoff.atLeast(500, undefined, 0.5), 500)
    assert.strictEqual(Backoff.atLeast(500, 100, 0.5), 500)
    assert.strictEqual(Backoff.atLeast(500, 2000, 0), 2000)
    assert.strictEqual(Backoff.atLeast(500, 2000, 0.5), 2200)
    assert.strictEqual(Backoff.atLeast(500, 86_400_000, 0), 60_000)
  })
})
