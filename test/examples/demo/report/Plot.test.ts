import { assert, describe, it } from "@effect/vitest"
import * as Axis from "../../../../examples/demo/report/Axis.ts"
import * as Plot from "../../../../examples/demo/report/Plot.ts"
import { plan } from "../Tracks.ts"

describe("an axis", () => {
  it.each([[0], [1], [7], [60], [99], [100], [101], [760], [12_345]])(
    "has all values below its last tick: %d",
    (most) => {
      for (const scale of ["linear", "count", "log"] as const) {
        const axis = Axis.make(scale, [0, most])
        assert.isAtLeast(Number(axis.ticks.at(-1)), most, scale)
        assert.isAtLeast(axis.ticks.length, 2, scale)
        assert.isAtMost(axis.ticks.length, 8, scale)
        const heights = axis.ticks.map(axis.heightOf)
        assert.deepStrictEqual(heights, heights.toSorted((a, b) => a - b), scale)
        assert.isAtMost(Number(heights.at(-1)), 1, scale)
      }
    }
  )

  it("sets 0 apart from 1 where it counts", () => {
    const { heightOf, ticks } = Axis.make("count", [0, 760])
    assert.deepStrictEqual(ticks, [0, 1, 10, 100, 1000])
    assert.strictEqual(heightOf(0), 0)
    assert.isAbove(heightOf(1), 0.05)
    assert.approximately(heightOf(1000), 1, 1e-9)
  })

  it("exists without a value", () => {
    for (const scale of ["linear", "count", "log"] as const) assert.isAtLeast(Axis.make(scale, []).ticks.length, 2)
  })
})

describe("a plot", () => {
  const plot = (values: Plot.Line["values"]): Plot.Plot => ({
    title: "Latency <p99>",
    about: "From when & where.",
    unit: "ms",
    scale: "log",
    lines: [{ name: "ours", style: "ours", values }]
  })

  it("interrupts a line where a value is unknown, and never draws it as 0", () => {
    const axis = Axis.make("linear", [10])
    const path = Plot.pathOf([1, 2, undefined, 3, undefined], plan, axis)
    assert.match(path, /^M[\d.]+ [\d.]+h0L[\d.]+ [\d.]+M[\d.]+ [\d.]+h0$/)
  })

  it("shades each fault under its name", () => {
    const svg = Plot.svg(plot([1, 2]), plan)
    assert.strictEqual(svg.match(/class="fault"/g)?.length, 2)
    for (const kind of ["down", "frozen"]) assert.include(svg, `>${kind}</text>`)
  })

  it("has a text for those who cannot see it, with its markup escaped", () => {
    assert.include(Plot.svg(plot([]), plan), `role="img" aria-label="Latency &lt;p99&gt; (ms). From when &amp; where."`)
  })
})
