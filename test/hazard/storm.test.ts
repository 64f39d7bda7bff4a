import { assert, describe, it } from "@effect/vitest"
import { outcomesOf, worst } from "../../benchmark/storm.ts"
import { noBudget, noRetry, our, plain, type Policy } from "../../benchmark/storm/policies.ts"

const fleets = [20, 200, 500, 1000]

const under = (policy: Policy, fleet: number, load: number, seeds: readonly [number, number]) =>
  outcomesOf({ policy, fleet, load, seeds })

describe("a server that was slow for ten seconds, and many processes that call it", () => {
  it("without retries it takes 21 seconds, and with retries that nothing bounds it never recovers", () => {
    assert.closeTo(worst(under(noRetry, 20, 0.8, [1, 3])).recovery, 21, 2)
    assert.strictEqual(Math.min(...under(noBudget, 20, 0.8, [1, 3]).map((_) => _.recovery)), Infinity)
  })

  it.each(fleets)(
    "%i processes, seeds 5 to 11: sooner or as soon as with a plain breaker, no later dip, no higher peak",
    (fleet) => {
      const [ours, plainly] = [our, plain].map((policy) => worst(under(policy, fleet, 0.8, [5, 7])))
      assert(ours !== undefined && plainly !== undefined)
      assert.isAtMost(ours.recovery, plainly.recovery)
      assert.isAtLeast(ours.dip, 0.95)
      assert.isAtMost(ours.peak, Math.max(1.6, plainly.peak))
    }
  )

  it.each(fleets)(
    "%i processes, seeds that nothing was chosen by: each one no later than with a plain breaker",
    (fleet) => {
      const seeds = [12, 19] as const
      const plainly = under(plain, fleet, 0.8, seeds)
      const ours = under(our, fleet, 0.8, seeds)
      for (const [index, outcome] of ours.entries()) assert.isAtMost(outcome.recovery, plainly[index]?.recovery ?? NaN)
      assert.isAtMost(worst(ours).peak, Math.max(1.6, worst(plainly).peak))
      assert.isAtLeast(worst(ours).goodput, worst(plainly).goodput - 0.002)
      // Where the window of the recovery itself has less than 95 %, it has at least the 93 % that make it the recovery.
      assert.isAtMost(ours.filter((outcome) => outcome.dip < 0.95).length, 2)
    }
  )
})
