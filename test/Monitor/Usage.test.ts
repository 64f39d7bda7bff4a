import { assert, describe, it } from "@effect/vitest"
import * as Reading from "effect-sluice/Reading"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"

const thresholds = { warningThreshold: 0.7, errorThreshold: 0.9 }
const known = (value: number) => Reading.known(value, 0, "test")
const idle = { used: known(0), limit: known(100) }
const saturated = Reading.fromFailure({ code: "EMFILE" }, "test")
const missing = Reading.unknown("Missing", "test")

const levelOf = (used: Reading.Reading, limit: Reading.Reading, reserved = 0) =>
  ResourceMonitor.level({ descriptors: { used, limit }, reserved, memory: idle, connections: idle }, thresholds)

describe("level", () => {
  it("begins each level at its threshold and Exhausted at the limit", () => {
    const levels = [0, 69, 70, 89, 90, 99, 100, 150].map((used) => levelOf(known(used), known(100)))
    assert.deepStrictEqual(levels, [
      "Normal",
      "Normal",
      "Warning",
      "Warning",
      "Critical",
      "Critical",
      "Exhausted",
      "Exhausted"
    ])
  })

  it("counts what is reserved as used", () => {
    assert.strictEqual(levelOf(known(60), known(100), 10), "Warning")
    assert.strictEqual(levelOf(known(60), known(100), 30), "Critical")
    assert.strictEqual(levelOf(known(60), known(100), 40), "Exhausted")
  })

  it("is Exhausted when a reading met EMFILE, whatever the limit", () => {
    assert.strictEqual(levelOf(saturated, known(100)), "Exhausted")
    assert.strictEqual(levelOf(saturated, Reading.unlimited("test")), "Exhausted")
  })

  it("takes no level from what is unknown or unlimited", () => {
    assert.strictEqual(levelOf(missing, known(100)), "Normal")
    assert.strictEqual(levelOf(known(100), missing), "Normal")
    assert.strictEqual(levelOf(known(1e9), Reading.unlimited("test")), "Normal")
  })

  it("is that of the worst figure", () => {
    const full = { used: known(95), limit: known(100) }
    const worst = (memory: ResourceMonitor.Gauge, connections: ResourceMonitor.Gauge) =>
      ResourceMonitor.level({ descriptors: idle, reserved: 0, memory, connections }, thresholds)
    assert.strictEqual(worst(full, idle), "Critical")
    assert.strictEqual(worst(idle, full), "Critical")
  })

  it("has the same order for every comparison", () => {
    const order = ["Normal", "Warning", "Critical", "Exhausted"] as const
    for (const [i, level] of order.entries()) {
      for (const [j, floor] of order.entries()) assert.strictEqual(ResourceMonitor.isAtLeast(level, floor), i >= j)
    }
  })
})

describe("ratio", () => {
  it("exists only of two known figures and may exceed 1", () => {
    assert.strictEqual(Reading.ratio(known(65), known(64)), 65 / 64)
    assert.isUndefined(Reading.ratio(known(1), known(0)))
    assert.isUndefined(Reading.ratio(saturated, known(64)))
    assert.isUndefined(Reading.ratio(known(1), missing))
  })
})
