import { assert, describe, it } from "@effect/vitest"
import * as Levels from "../../../src/Monitor/levels/Levels.ts"
import { seeded } from "../../support/random.ts"

const limit = 1000

/** The seconds to the limit after each second of a series. */
const project = (series: ReadonlyArray<number>): ReadonlyArray<number | undefined> => {
  let trail: Levels.Trail = []
  return series.map((value, second) => {
    trail = Levels.extendTrail(trail, { at: second * 1000, value })
    return Levels.secondsAtRate(value, limit, Levels.growthRate(trail, limit / 20))
  })
}

const alarms = (series: ReadonlyArray<number>): number =>
  project(series).filter((seconds) => seconds !== undefined && seconds <= 60).length

const seconds = (count: number, at: (second: number) => number): ReadonlyArray<number> =>
  Array.from({ length: count }, (_, second) => at(second))

describe("the time to a limit", () => {
  it("is what is left divided by the growth", () => {
    assert.strictEqual(project(seconds(31, (second) => 100 + 10 * second)).at(-1), (1000 - 400) / 10)
  })

  it("is known after twelve readings, and not before", () => {
    const left = project(seconds(12, (second) => 100 + 10 * second))
    assert.deepStrictEqual([left[10], left[11]], [undefined, (1000 - 210) / 10])
  })

  it("is unknown where nothing grows", () => {
    assert.isUndefined(project(seconds(60, () => 500)).at(-1))
    assert.isUndefined(project(seconds(60, (second) => 900 - second)).at(-1))
  })

  it("is no alarm for noise, for a wave, for a heap that is collected, nor for a burst that is over", () => {
    for (const seed of [1, 2, 3, 4, 5]) {
      const random = seeded(seed)
      const noise = (percent: number) => 10 * percent * (2 * random() - 1)
      assert.strictEqual(alarms(seconds(3600, () => 850 + noise(5))), 0)
      assert.strictEqual(alarms(seconds(3600, () => 700 + noise(10))), 0)
      assert.strictEqual(alarms(seconds(3600, (at) => 800 + 40 * Math.sin(at / 600 * 2 * Math.PI) + noise(1.5))), 0)
      assert.strictEqual(alarms(seconds(3600, (at) => 300 + 150 * (at % 20) / 20)), 0)
      assert.strictEqual(alarms(seconds(600, (at) => at < 5 ? 100 * at : 500)), 0)
    }
  })

  it("is known eight seconds after a growth has begun, however long it was quiet before", () => {
    const left = project(seconds(400, (second) => 100 + 30 * Math.max(second - 300, 0)))
    assert.isUndefined(left[302])
    assert.strictEqual(left[308], (1000 - 340) / 30)
  })

  it("finds steady growth in noise", () => {
    const random = seeded(7)
    const series = seconds(45, (second) => 100 + 15 * second + 10 * random())
    const first = project(series).findIndex((left) => left !== undefined && left <= 60)
    assert.isAbove(first, 0)
    assert.isBelow(series[first] ?? Infinity, 700, "before 70 % are used")
  })
})

describe("the trail", () => {
  it("keeps half a minute, and no two points of one second", () => {
    let trail: Levels.Trail = []
    for (let quarter = 0; quarter < 400; quarter++) {
      trail = Levels.extendTrail(trail, { at: quarter * 250, value: quarter })
    }
    assert.isAtMost(trail.length, 32)
    assert.isTrue(trail.every((point, i) => i === 0 || point.at - (trail[i - 1]?.at ?? 0) >= 900))
  })
})

describe("the pace", () => {
  it("follows the last points at once", () => {
    const trail = [0, 0, 0, 10, 30].map((value, second) => ({ at: second * 1000, value }))
    assert.strictEqual(Levels.recentRate(trail), 15)
    assert.strictEqual(Levels.recentRate(trail.slice(0, 2)), 0)
    assert.isUndefined(Levels.recentRate(trail.slice(0, 1)))
  })
})
