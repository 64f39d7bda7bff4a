import { assert, describe, it } from "@effect/vitest"
import { between } from "../../../../examples/demo/load/Arrivals.ts"

describe("the arrivals of requests", () => {
  const load = { from: -1000, to: 20_000, rate: 60, seed: 1 }

  it("are the same for the same seed, and differ for another one", () => {
    assert.deepStrictEqual(between(load), between(load))
    assert.notDeepEqual(between(load), between({ ...load, seed: 2 }))
  })

  it("are in order, within the time, and as many as the rate says", () => {
    const times = between(load)
    assert.deepStrictEqual(times, times.toSorted((a, b) => a - b))
    assert.isAtLeast(times[0] ?? NaN, -1000)
    assert.isBelow(times.at(-1) ?? NaN, 20_000)
    // Of 1260 on average, with a standard deviation of 35.
    assert.approximately(times.length, 1260, 4 * 35)
  })

  it("come at random: the gaps are distributed exponentially, some short and some long", () => {
    const times = between({ ...load, to: 200_000 })
    const gaps = times.slice(1).map((time, index) => time - (times[index] ?? 0))
    const mean = 1000 / 60
    const share = gaps.filter((gap) => gap > mean).length / gaps.length
    assert.approximately(share, Math.exp(-1), 0.02)
  })
})
