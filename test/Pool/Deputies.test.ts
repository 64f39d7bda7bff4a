import { assert, describe, it } from "@effect/vitest"
import { Deputies, type Deputy } from "../../src/Pool/Deputies.ts"

const deputyOf = (fiberId: number, deputyId: number): Deputy => ({ fiberId, deputyId, nextDeputy: undefined })

describe("deputies", () => {
  it("are known for as long as they are there, also several in one chain", () => {
    const deputies = new Deputies()
    const chain = [deputyOf(1, 5), deputyOf(2, 5 + 1024), deputyOf(3, 5 + 2048)]
    for (const deputy of chain) deputies.add(deputy)
    assert.deepStrictEqual([5, 5 + 1024, 5 + 2048, 5 + 3072, 6].map((id) => deputies.borrowerOn(id)), [
      1,
      2,
      3,
      3077,
      6
    ])
    for (const [index, deputy] of [chain[1], chain[2], chain[0]].entries()) {
      if (deputy === undefined) continue
      deputies.remove(deputy)
      assert.strictEqual(deputies.borrowerOn(deputy.deputyId), deputy.deputyId)
      if (index < 2) assert.strictEqual(deputies.borrowerOn(5), 1)
    }
  })

  it("that never began leave the others alone, however often they are removed", () => {
    const deputies = new Deputies()
    const deputy = deputyOf(1, 5)
    deputies.add(deputy)
    for (const never of [deputyOf(2, 0), deputyOf(3, 5)]) deputies.remove(never)
    assert.strictEqual(deputies.borrowerOn(5), 1)
    deputies.remove(deputy)
    deputies.remove(deputy)
    deputies.add(deputy)
    assert.strictEqual(deputies.borrowerOn(5), 1)
  })
})
