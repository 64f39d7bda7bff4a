import { assert, describe, it } from "@effect/vitest"
import { largest, percentile } from "../../../examples/demo/Statistics.ts"

describe("the statistics of the demo", () => {
  it("take percentiles by the nearest rank", () => {
    const values = Array.from({ length: 100 }, (_, i) => 100 - i)
    assert.deepStrictEqual([0.5, 0.99, 1].map((p) => percentile(values, p)), [50, 99, 100])
    assert.strictEqual(percentile([], 0.5), undefined)
  })

  it("take the largest of the values that are known", () => {
    assert.strictEqual(largest([null, 3, 7, null]), 7)
    assert.strictEqual(largest([null]), undefined)
  })
})
