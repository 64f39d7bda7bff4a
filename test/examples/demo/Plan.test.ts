import { assert, describe, it } from "@effect/vitest"
import * as Plan from "../../../examples/demo/Plan.ts"

describe.each([true, false])("the plan, quick: %s", (quick) => {
  const plan = Plan.make({ quick, rate: 60, seed: 1 })

  it("has each fault once, one after another, each with time to recover before the next one", () => {
    assert.deepStrictEqual(plan.faults.map(({ kind }) => kind), ["down", "frozen", "restart", "slow"])
    let last = 0
    for (const { from, to } of plan.faults) {
      assert.isAtLeast(from - last, 750)
      assert.isAbove(to, from)
      last = to
    }
    assert.isAtLeast(plan.duration - last, 750)
  })

  it("names the fault of a time", () => {
    const [down] = plan.faults
    assert.isDefined(down)
    assert.strictEqual(Plan.faultAt(plan, down.from), down)
    assert.strictEqual(Plan.faultAt(plan, down.to), undefined)
    assert.strictEqual(Plan.faultAt(plan, 0), undefined)
  })

  it("takes at most 25 seconds in all", () => assert.isAtMost(Plan.wholeSeconds(plan), 25))
})
