import { assert, describe, it } from "@effect/vitest"
import * as Series from "../../../examples/demo/Series.ts"
import { plan, requests, track } from "./Tracks.ts"

const at = (millis: number): number => Math.floor(millis / Series.slice)

describe("the series of a contender", () => {
  const series = Series.make(track(), plan)

  it("has a value for each slice of the run, and none for what was not recorded", () => {
    for (const values of Object.values(series)) assert.strictEqual(values.length, 10_000 / Series.slice)
    assert.strictEqual(series.p50[at(3000)], undefined)
    assert.strictEqual(series.open[at(3000)], undefined)
  })

  it("counts a request where it was due, whenever it was answered", () => {
    const late = Series.make(track({ requests: requests((due) => [due === 100 ? 5000 : 20, "ok"]) }), plan)
    assert.strictEqual(late.answered[at(100)], late.offered[at(100)])
    assert.strictEqual(late.p99[at(100)], 5000)
    assert.strictEqual(late.p99[at(5100)], 20)
  })

  it("has rates per second, without the warm-up", () => {
    assert.strictEqual(series.offered[at(500)], 12)
    assert.strictEqual(series.answered[at(500)], 12)
    assert.strictEqual(series.answered[at(3000)], 0)
    assert.strictEqual(series.dials[at(1000)], 40)
    assert.strictEqual(series.dials[at(5000)], 80)
  })
})
