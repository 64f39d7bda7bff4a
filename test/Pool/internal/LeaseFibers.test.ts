import { assert, describe, it } from "@effect/vitest"
import { LeaseFibers } from "../../../src/Pool/internal/Leases.ts"
import type { LeaseFiber } from "../../../src/Pool/internal/PoolState.ts"

const leaseFiberOf = (fiberId: number, leaseFiberId: number): LeaseFiber => ({
  fiberId,
  leaseFiberId,
  nextLeaseFiber: undefined
})

describe("deputies", () => {
  it("are known for as long as they are there, also several in one chain", () => {
    const leaseFibers = new LeaseFibers()
    const chain = [leaseFiberOf(1, 5), leaseFiberOf(2, 5 + 1024), leaseFiberOf(3, 5 + 2048)]
    for (const leaseFiber of chain) leaseFibers.add(leaseFiber)
    assert.deepStrictEqual([5, 5 + 1024, 5 + 2048, 5 + 3072, 6].map((id) => leaseFibers.borrowerOn(id)), [
      1,
      2,
      3,
      3077,
      6
    ])
    for (const [index, leaseFiber] of [chain[1], chain[2], chain[0]].entries()) {
      if (leaseFiber === undefined) continue
      leaseFibers.remove(leaseFiber)
      assert.strictEqual(leaseFibers.borrowerOn(leaseFiber.leaseFiberId), leaseFiber.leaseFiberId)
      if (index < 2) assert.strictEqual(leaseFibers.borrowerOn(5), 1)
    }
  })

  it("that never began leave the others alone, however often they are removed", () => {
    const leaseFibers = new LeaseFibers()
    const leaseFiber = leaseFiberOf(1, 5)
    leaseFibers.add(leaseFiber)
    for (const never of [leaseFiberOf(2, 0), leaseFiberOf(3, 5)]) leaseFibers.remove(never)
    assert.strictEqual(leaseFibers.borrowerOn(5), 1)
    leaseFibers.remove(leaseFiber)
    leaseFibers.remove(leaseFiber)
    leaseFibers.add(leaseFiber)
    assert.strictEqual(leaseFibers.borrowerOn(5), 1)
  })
})
