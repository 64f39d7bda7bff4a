import { assert, describe, it } from "@effect/vitest"
import * as Levels from "../../../src/Monitor/levels/Levels.ts"
import { levelOfShare } from "../../../src/Monitor/Usage.ts"
import type { Level } from "../../../src/Monitor/Usage.ts"
import { seeded } from "../../support/random.ts"

const rules: Levels.RecoveryRules = { warningThreshold: 0.8, errorThreshold: 0.9, band: 0.1, samples: 3, hold: 10_000 }

/** The levels after readings of one a second. */
const after = (shares: ReadonlyArray<number | undefined>, by = rules, from: Level = "Normal"): ReadonlyArray<Level> => {
  let state = Levels.levelAt(from)
  return shares.map((share, second) => {
    state = Levels.advanceLevel(state, share, second * 1000, by)
    return state.level
  })
}

const times = <A>(count: number, value: A): ReadonlyArray<A> => Array.from({ length: count }, () => value)

const changes = (levels: ReadonlyArray<Level>): number =>
  levels.filter((level, i) => level !== (levels[i - 1] ?? "Normal")).length

describe("a level", () => {
  it("rises with one reading, to whatever level that has", () => {
    assert.deepStrictEqual(after([0.1, 0.8]), ["Normal", "Warning"])
    assert.deepStrictEqual(after([0.1, 0.95]), ["Normal", "Critical"])
    assert.deepStrictEqual(after([0.1, 1]), ["Normal", "Exhausted"])
    assert.deepStrictEqual(after([0.8, 0.9, 1]), ["Warning", "Critical", "Exhausted"])
  })

  it("is not left inside the band, however long", () => {
    assert.strictEqual(after([0.8, ...times(3600, 0.73)]).at(-1), "Warning")
    assert.strictEqual(after([0.9, ...times(3600, 0.82)]).at(-1), "Critical")
    assert.strictEqual(after([1, ...times(3600, 0.91)]).at(-1), "Exhausted")
  })

  it("is left below the band after the hold, and not before", () => {
    const levels = after([0.8, ...times(11, 0.71)])
    assert.deepStrictEqual([levels[10], levels[11]], ["Warning", "Normal"])
  })

  it("is left after so many readings, and not before, where they are few and far between", () => {
    const slow = { ...rules, hold: 0, samples: 4 }
    const levels = after([0.8, ...times(4, 0.71)], slow)
    assert.deepStrictEqual([levels[3], levels[4]], ["Warning", "Normal"])
  })

  it("begins to wait anew when one reading is back in the band", () => {
    const levels = after([0.8, ...times(10, 0.71), 0.73, ...times(11, 0.71)])
    assert.deepStrictEqual([levels[11], levels[21], levels[22]], ["Warning", "Warning", "Normal"])
  })

  it("falls to the worst level that one of the calm readings allows", () => {
    assert.strictEqual(after([1, ...times(5, 0.75), ...times(6, 0.1)]).at(-1), "Warning")
    assert.strictEqual(after([1, ...times(11, 0.1)]).at(-1), "Normal")
  })

  it("takes no reading that failed for a recovery, nor for a relapse", () => {
    assert.strictEqual(after([0.95, ...times(3600, undefined)]).at(-1), "Critical")
    assert.strictEqual(after([undefined, undefined]).at(-1), "Normal")
    const levels = after([0.95, ...times(5, 0.1), ...times(5, undefined), 0.1])
    assert.deepStrictEqual([levels[10], levels[11]], ["Critical", "Normal"])
  })

  it("changes at most once in an hour of noise around its threshold, where a plain threshold changes hundreds of times", () => {
    for (const seed of [1, 2, 3, 4, 5]) {
      const random = seeded(seed)
      const shares = Array.from(
        { length: 3600 },
        (_, second) => 0.8 + 0.04 * Math.sin(second / 600 * 2 * Math.PI) + 0.015 * (2 * random() - 1)
      )
      assert.isAtMost(changes(after(shares)), 1)
      assert.isAbove(changes(shares.map((share) => levelOfShare(share, rules))), 100)
    }
  })
})
