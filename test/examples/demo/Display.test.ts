import { assert, describe, it } from "@effect/vitest"
import * as Contenders from "../../../examples/demo/Contenders.ts"
import * as Display from "../../../examples/demo/Display.ts"
import * as Plan from "../../../examples/demo/Plan.ts"
import { fit, frame } from "../../../src/Cli/Terminal.ts"
import { plan, recording, requests, track } from "./Tracks.ts"

const moment = (elapsed: number): Display.Moment => ({
  plan,
  names: ["ours", "theirs"],
  recording: recording(track(), track()),
  elapsed
})

describe("the live display", () => {
  it("never reaches the last column, so that no line wraps", () => {
    for (const columns of [1, 2, 20, 80]) {
      for (const line of Display.lines(moment(10_000))) {
        assert.isAtMost(fit(line, columns).length, Math.max(1, columns - 1))
      }
    }
  })

  it.each([["embedded", Contenders.embedded], ["postgres", Contenders.postgres]] as const)(
    "fits into 80 columns with all figures, to the end of the run: %s",
    (_, { entrants }) => {
      const names = entrants.map(({ name }) => name)
      const whole = Plan.make({ quick: false, rate: 60, seed: 1 })
      const tracks = recording(...names.map(() => track()))
      const lines = Display.lines({ plan: whole, names, recording: tracks, elapsed: whole.duration })
      for (const line of lines) assert.strictEqual(fit(line, 80), line)
      for (const name of names) assert.strictEqual(lines.filter((line) => line.startsWith(name)).length, 2)
    }
  )

  it("goes up by as many rows as the last frame has on the terminal, also when that has become narrower", () => {
    assert.match(frame(["a"], [], 80), /^\r/)
    assert.include(frame(["a"], ["x".repeat(79), "y"], 80), "\u001b[2A")
    assert.include(frame(["a"], ["x".repeat(79), "y"], 40), "\u001b[3A")
  })

  it("names the fault while there is one", () => {
    assert.include(Display.lines(moment(1000)), "the server works")
    assert.include(Display.lines(moment(7500)), "the server is frozen: dials are accepted, and nothing is answered")
    assert.include(Display.line(moment(7500)), "7.5 s (frozen): ours")
    assert.match(Display.line(moment(-500)), /^warming up/)
  })

  it("draws the share of answered requests for each half second", () => {
    const half = track({ requests: requests((due) => [20, due % 200 === 0 || due >= 1000 ? "ok" : "refused"]) })
    assert.strictEqual(Display.sparkline(half, 1500), "▅▃█")
    assert.strictEqual(Display.sparkline(track({ requests: [] }), 1000), "··")
    assert.strictEqual(Display.sparkline(track(), -500), "")
  })
})
