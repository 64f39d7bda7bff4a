import { assert, describe, it } from "@effect/vitest"
import { after } from "../../../examples/demo/Recovery.ts"
import { plan, requests } from "./Tracks.ts"

const [down, frozen] = plan.faults

const recovery = (fault: typeof down, outcomeOf: Parameters<typeof requests>[0]): number | null => {
  assert.isDefined(fault)
  return after(fault, plan, requests(outcomeOf))
}

describe("the time to recover", () => {
  it("is 0 if each request after the fault is answered promptly, whatever becomes of those before", () => {
    assert.strictEqual(recovery(down, (due) => due < 4000 ? [9000, "refused"] : [20, "ok"]), 0)
  })

  it("lasts to the last request that is not answered, or not promptly", () => {
    assert.strictEqual(recovery(down, (due) => due === 4300 ? [20, "refused"] : [20, "ok"]), 300)
    assert.strictEqual(recovery(down, (due) => due === 4300 ? [501, "ok"] : [20, "ok"]), 300)
    assert.strictEqual(recovery(down, (due) => due < 5000 ? [501, "ok"] : [20, "ok"]), 900)
  })

  it("ends with half a second of prompt answers: a failure after that is another matter", () => {
    assert.strictEqual(recovery(down, (due) => due === 4600 ? [20, "refused"] : [20, "ok"]), 0)
  })

  it("is null if it does not come before the next fault or the end", () => {
    assert.strictEqual(recovery(down, (due) => due < 7000 ? [20, "refused"] : [20, "ok"]), null)
    assert.strictEqual(recovery(down, (due) => due < 6700 ? [20, "refused"] : [20, "ok"]), null)
    assert.strictEqual(recovery(frozen, () => [20, "refused"]), null)
  })

  it("is null if there was no request", () => {
    assert.isDefined(down)
    assert.strictEqual(after(down, plan, []), null)
  })
})
