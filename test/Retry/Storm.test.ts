import { assert, describe, it } from "@effect/vitest"
import { outcomesOf, type Trials, worst } from "../../benchmark/storm.ts"
import { our, plain } from "../../benchmark/storm/policies.ts"

const trials = { load: 0.8, seeds: [5, 2] } satisfies Partial<Trials>

describe("a server that was slow for ten seconds", () => {
  it.each([200, 500])(
    "recovers from %i processes no later than with a plain breaker, and with fewer arrivals",
    (fleet) => {
      const [ours, plainly] = [our, plain].map((policy) => worst(outcomesOf({ ...trials, policy, fleet })))
      assert(ours !== undefined && plainly !== undefined)
      assert.isAtMost(ours.recovery, plainly.recovery)
      assert.isAtLeast(ours.dip, 0.95)
      assert.isAtMost(ours.peak, Math.max(1.6, plainly.peak))
      assert.isBelow(ours.peak, 0.9 * plainly.peak)
      // The control is the breaker that is known to need 1 and 4 seconds.
      assert.strictEqual(plainly.recovery, fleet === 200 ? 1 : 4)
    }
  )
})
