import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"
import { measured, measuredSeconds } from "../../src/internal/MeasuredTime.ts"

describe("measured", () => {
  it("says what is less than a millisecond, and rounds the rest to whole ones", () => {
    const times = [0, 0.4, 0.999, 1, 1.5, 999.6, 61_020.3, Infinity]
    assert.deepStrictEqual(times.map((millis) => measured(Duration.millis(millis))), [
      "less than 1ms",
      "less than 1ms",
      "less than 1ms",
      "1ms",
      "2ms",
      "1s",
      "1m 1s 20ms",
      "Infinity"
    ])
  })
})

describe("measuredSeconds", () => {
  it("says what is less than a second, and rounds the rest to whole ones", () => {
    const times = [0, 0.9, 1, 1.5, 61.2]
    assert.deepStrictEqual(times.map((seconds) => measuredSeconds(Duration.seconds(seconds))), [
      "less than 1s",
      "less than 1s",
      "1s",
      "2s",
      "1m 1s"
    ])
  })
})
