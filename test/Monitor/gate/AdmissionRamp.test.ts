import { assert, describe, it } from "@effect/vitest"
import * as AdmissionRamp from "../../../src/Monitor/gate/Queue.ts"

/** Lets in as many as the ramp allows at each of these moments, of so many that wait. */
const admitAt = (moments: ReadonlyArray<number>, waiting = Infinity): ReadonlyArray<number> => {
  let ramp = AdmissionRamp.standstill
  let left = waiting
  return moments.map((now) => {
    let admitted = 0
    for (
      let next = AdmissionRamp.admit(ramp, now);
      next !== undefined && left > 0;
      next = AdmissionRamp.admit(ramp, now)
    ) {
      ramp = next
      left -= 1
      admitted += 1
    }
    return admitted
  })
}

const windows = (count: number, from = 0): ReadonlyArray<number> =>
  Array.from({ length: count }, (_, i) => from + i * AdmissionRamp.windowMillis)

describe("Ramp", () => {
  it("lets in 1, 2, 4, 8 and so on, from whatever time the clock shows", () => {
    for (const from of [0, 7, 1e6 + 49.9, 12_345_678.9]) {
      assert.deepStrictEqual(admitAt(windows(8, from)), [1, 2, 4, 8, 16, 32, 64, 128])
    }
  })

  it("lets in no more however often it is asked within a window", () => {
    assert.deepStrictEqual(admitAt([0, 1, 49.99, 50, 51, 99, 100]), [1, 0, 0, 2, 0, 0, 4])
  })

  it("lets a thousand in within ten windows", () => {
    const admitted = admitAt(windows(11), 1000)
    assert.deepStrictEqual(admitted, [1, 2, 4, 8, 16, 32, 64, 128, 256, 489, 0])
    assert.strictEqual(AdmissionRamp.leastMillis(1000), 10 * AdmissionRamp.windowMillis)
  })

  it("follows the pace at which room came back, and at most doubles it", () => {
    let ramp = AdmissionRamp.standstill
    const windowWith = (window: number, wanted: number): number => {
      let admitted = 0
      for (let i = 0; i < wanted; i++) {
        const next = AdmissionRamp.admit(ramp, window * AdmissionRamp.windowMillis)
        if (next === undefined) break
        ramp = next
        admitted += 1
      }
      return admitted
    }
    const wanted = [9, 9, 9, 3, 9, 9, 0, 9]
    assert.deepStrictEqual(wanted.map((count, window) => windowWith(window, count)), [1, 2, 4, 3, 6, 9, 0, 1])
  })

  it("starts from one again after a pause", () => {
    assert.deepStrictEqual(admitAt([0, 50, 100, 250, 300]), [1, 2, 4, 1, 2])
  })

  it("knows how long a line takes at least", () => {
    for (const count of [1, 2, 3, 4, 7, 8, 100, 1000]) {
      const needed = admitAt(windows(20), count).findLastIndex((admitted) => admitted > 0) + 1
      assert.strictEqual(AdmissionRamp.leastMillis(count), needed * AdmissionRamp.windowMillis, `${count}`)
    }
    assert.strictEqual(AdmissionRamp.leastMillis(0), 0)
  })
})
