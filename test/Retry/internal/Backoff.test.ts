import { assert, describe, it } from "@effect/vitest"
import { Effect, Random } from "effect"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import * as Backoff from "../../../src/Retry/internal/Backoff.ts"

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
    assert.strictEqual(Backoff.atLeast(500, Infinity, 0.5), 66_000)
  })

  it.effect("a thousand clients that were told the same wait do not come back together", () =>
    Effect.gen(function*() {
      const waits = yield* draws(of(0), 1, 1000, "hint").pipe(
        Effect.andThen(Random.next.pipe(Effect.replicateEffect(1000), Random.withSeed("hint"))),
        Effect.map((us) => us.map((u) => Backoff.atLeast(0, 10_000, u)))
      )
      assert.isAtLeast(waits.reduce((a, b) => Math.min(a, b)), 10_000)
      assert.isAtMost(waits.reduce((a, b) => Math.max(a, b)), 12_000)
      assert.closeTo(mean(waits), 11_000, 60)
      // Over 2000 ms they are 50 in each tenth of a second.
      assert.isAtMost(crowd(waits, 100), 80)
    }))
})

/** The delays of step `step` of a fleet: one session for each client, all from one seeded source. */
const fleet = (backoff: Backoff.Backoff, step: number, clients: number, seed: string) =>
  Effect.gen(function*() {
    const source = yield* Random.Random
    return Array.from({ length: clients }, () => {
      const uniform = Backoff.session(() => source.nextDoubleUnsafe())
      let u = 0
      for (let n = 1; n <= step; n++) u = uniform()
      return Backoff.delay(backoff, step, u)
    })
  }).pipe(Random.withSeed(seed))

interface Spread {
  readonly jitter: number | "full"
  readonly step: number
  readonly low: number
  readonly high: number
  /** Bounds of the most that come back within 100 ms of each other, of 1000. */
  readonly wave: readonly [least: number, most: number]
}

/**
 * Below the cap (step 3: 400 ms, step 5: 1600 ms) and at it (step 30: 10 s). 1000 clients over a width of w ms are
 * 100 000 / w in each tenth of a second on average; the largest of so many Poisson counts lies within these bounds.
 */
const spreads: ReadonlyArray<Spread> = [
  { jitter: 0, step: 30, low: 10_000, high: 10_000, wave: [1000, 1000] },
  { jitter: 0.1, step: 5, low: 1440, high: 1760, wave: [312, 380] },
  { jitter: 0.1, step: 30, low: 8000, high: 10_000, wave: [50, 80] },
  { jitter: 0.2, step: 30, low: 6000, high: 10_000, wave: [25, 48] },
  { jitter: 0.25, step: 5, low: 1200, high: 2000, wave: [125, 165] },
  { jitter: 0.25, step: 30, low: 5000, high: 10_000, wave: [20, 40] },
  { jitter: 1, step: 3, low: 0, high: 800, wave: [125, 165] },
  { jitter: 1, step: 30, low: 0, high: 10_000, wave: [10, 26] },
  { jitter: "full", step: 5, low: 0, high: 1600, wave: [62, 95] },
  { jitter: "full", step: 30, low: 0, high: 10_000, wave: [10, 26] }
]

describe("Backoff of a fleet", () => {
  it.effect.each(spreads)(
    "jitter $jitter at step $step: uniform over $low to $high ms, and the first wave is $wave of 1000",
    ({ high, jitter, low, step, wave }) =>
      Effect.gen(function*() {
        const values = yield* fleet(of(jitter), step, 20_000, `fleet ${jitter} ${step}`)
        const [least, most] = [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))]
        const width = high - low
        assert.isTrue(least >= low && most <= high, `${least} to ${most}`)
        // 20 000 uniform draws reach within a thousandth of both ends, and their mean is within 0.7 % of the width.
        assert.isTrue(least - low <= width / 1000 && high - most <= width / 1000, `${least} to ${most}`)
        assert.closeTo(mean(values), (low + high) / 2, width * 0.007)
        assert.closeTo(deviation(values), width / Math.sqrt(12), width * 0.005)
        for (let from = 0; from < 20_000; from += 1000) {
          const first = crowd(values.slice(from, from + 1000), 100)
          assert.isTrue(first >= wave[0] && first <= wave[1], `${first} of 1000 within 100 ms`)
        }
      })
  )

  it.effect("a jitter that is cut at the cap would bring half of the fleet back at once, and this test sees it", () =>
    Effect.gen(function*() {
      const cut = (yield* fleet(of(0.25, { maxDelay: Infinity, factor: 1, initialDelay: 10_000 }), 1, 1000, "cut"))
        .map((delay) => Math.min(delay, 10_000))
      assert.isAtLeast(crowd(cut, 100), 450)
      assert.isAtMost(crowd(yield* fleet(of(0.25), 30, 1000, "cut"), 100), 40)
    }))
})

describe("Backoff.session", () => {
  const numbers = (seed: number, count: number) => Array.from({ length: count }, (_, n) => Backoff.uniform(seed, n))

  it("draws once, when it is first asked, and makes the rest by itself", () => {
    let drawn = 0
    const uniform = Backoff.session(() => (drawn++, 0.123))
    assert.strictEqual(drawn, 0)
    assert.deepStrictEqual([uniform(), uniform(), uniform()], numbers(0.123, 3))
    assert.strictEqual(drawn, 1)
  })

  it.each([0, 0.123, 0.5, 1 - 2 ** -53])("seed %d: uniform, and no number tells the next", (seed) => {
    const values = numbers(seed, 50_000)
    assert.isTrue(values.every((value) => value >= 0 && value < 1))
    const buckets = new Array<number>(256).fill(0)
    for (const value of values) buckets[Math.floor(value * 256)] = (buckets[Math.floor(value * 256)] ?? 0) + 1
    const expected = values.length / 256
    const chiSquare = buckets.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
    // 255 degrees of freedom: the mean is 255, the deviation 22.6; this is four deviations.
    assert.closeTo(chiSquare, 255, 90)
    for (const lag of [1, 2, 3, 7]) {
      assert.isBelow(Math.abs(correlation(values.slice(lag), values.slice(0, -lag))), 0.02)
    }
  })

  it("is unrelated to a session whose seed differs in the last bit", () => {
    for (const difference of [2 ** -53, 2 ** -40, 2 ** -32, 2 ** -20, 0.25]) {
      const [one, other] = [numbers(0.3, 20_000), numbers(0.3 + difference, 20_000)]
      assert.isBelow(Math.abs(correlation(one, other)), 0.03, String(difference))
    }
    const neighbours = Array.from({ length: 20_000 }, (_, i) => Backoff.uniform(i * 2 ** -53, 0))
    assert.closeTo(deviation(neighbours), 1 / Math.sqrt(12), 0.01)
    assert.isBelow(Math.abs(correlation(neighbours.slice(1), neighbours.slice(0, -1))), 0.03)
  })

  it("costs the same at its millionth step, finite and inside the cap, and keeps nothing", () => {
    setFlagsFromString("--expose-gc")
    const collect: () => void = runInNewContext("gc")
    const backoff = of("full")
    const uniform = Backoff.session(() => 0.42)
    const million = (from: number) => {
      for (let step = from; step < from + 1e6; step++) {
        const delay = Backoff.delay(backoff, step, uniform())
        if (!(delay >= 0 && delay <= backoff.maxDelay)) assert.fail(`step ${step}: ${delay}`)
      }
    }
    million(1)
    collect()
    const before = process.memoryUsage().heapUsed
    million(1e6)
    collect()
    assert.isBelow(process.memoryUsage().heapUsed - before, 200_000)
  })
})

describe("Backoff.isStable", () => {
  it("is only what lived for the least time and for the delay before it", () => {
    const rows = [
      [9_999, 6_400, false],
      [10_000, 6_400, true],
      [10_000, 25_600, false],
      [25_599, 25_600, false],
      [25_600, 25_600, true],
      [0, 0, false]
    ] as const
    for (const [lived, delay, expected] of rows) {
      assert.strictEqual(Backoff.isStable(lived, delay, 10_000), expected, `lived ${lived} after ${delay}`)
    }
  })

  it("a server that accepts and fails meets ever fewer attempts, a stable one is back at the shortest delay", () => {
    const backoff = of(0)
    const attemptsIn = (millis: number, lives: number): number => {
      let [now, step, attempts] = [0, 0, 0]
      while (now < millis) {
        attempts++
        step = (Backoff.isStable(lives, step === 0 ? 0 : Backoff.nominal(backoff, step), 10_000) ? 0 : step) + 1
        now += lives + Backoff.nominal(backoff, step)
      }
      return attempts
    }
    // With a reset at each success there would be 300 attempts in a minute; the delays grow to 10 s instead.
    assert.strictEqual(attemptsIn(60_000, 100), 12)
    assert.strictEqual(attemptsIn(60_000, 11_900), 5)
  })
})
