import { assert, describe, it } from "@effect/vitest"
import { LeaseFibers } from "../../../src/Pool/internal/Leases.ts"

describe("lease fibers", () => {
  it("are known for as long as they are there", () => {
    const leaseFibers = new LeaseFibers()
    for (const [leaseFiberId, borrower] of [[5, 1], [6, 2], [7, 3]] as const) leaseFibers.add(leaseFiberId, borrower)
    assert.deepStrictEqual([5, 6, 7, 8].map((id) => leaseFibers.borrowerOn(id)), [1, 2, 3, 8])
    for (const leaseFiberId of [6, 7, 5]) {
      assert.notStrictEqual(leaseFibers.borrowerOn(5), 5)
      leaseFibers.remove(leaseFiberId)
      assert.strictEqual(leaseFibers.borrowerOn(leaseFiberId), leaseFiberId)
    }
  })

  it("that never began leave the others alone, however often they are removed", () => {
    const leaseFibers = new LeaseFibers()
    leaseFibers.add(5, 1)
    for (const never of [0, 6]) leaseFibers.remove(never)
    assert.strictEqual(leaseFibers.borrowerOn(5), 1)
    leaseFibers.remove(5)
    leaseFibers.remove(5)
    leaseFibers.add(5, 1)
    assert.strictEqual(leaseFibers.borrowerOn(5), 1)
  })
})
