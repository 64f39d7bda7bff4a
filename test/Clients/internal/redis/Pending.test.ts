import { assert, describe, it } from "@effect/vitest"
import { Pending, type Sent } from "../../../../src/Clients/internal/redis/Pending.ts"

const add = (pending: Pending): Sent => pending.add(() => {})

describe("commands without an answer", () => {
  it("are late after more than so many ticks, the oldest first", () => {
    const pending = new Pending()
    const first = add(pending)
    assert.deepStrictEqual(pending.tick(2).expired, [])
    add(pending)
    assert.deepStrictEqual(pending.tick(2).expired, [])
    const second = add(pending)
    pending.settle(second, true)
    const { expired, isSilent } = pending.tick(2)
    assert.deepStrictEqual(expired, [first])
    assert.isFalse(isSilent)
    assert.strictEqual(pending.count, 2)
  })

  it("are all over when nothing was answered since the oldest was sent", () => {
    const pending = new Pending()
    pending.settle(add(pending), true)
    const sent = [add(pending), add(pending)]
    pending.tick(1)
    sent.push(add(pending))
    const { expired, isSilent } = pending.tick(1)
    assert.isTrue(isSilent)
    assert.deepStrictEqual(expired, sent)
    assert.isTrue(pending.hasExpired)
    assert.deepStrictEqual(pending.tick(1), { expired: [], isSilent: false })
  })

  it("are not over by the answer of an earlier one, and make their connection unfit only while nothing else is answered", () => {
    const pending = new Pending()
    const [earlier, late] = [add(pending), add(pending)]
    pending.tick(5)
    pending.tick(5)
    pending.settle(earlier, true)
    for (let tick = 0; tick < 4; tick++) pending.tick(5)
    assert.isTrue(late.isExpired)
    assert.isFalse(pending.hasExpired)
    pending.settle(late, true)
    assert.strictEqual(pending.count, 0)
  })

  it("that were never sent count as no answer", () => {
    const pending = new Pending()
    add(pending)
    pending.tick(1)
    pending.settle(add(pending), false)
    assert.isTrue(pending.tick(1).isSilent)
  })

  it("keep their order over a long queue", () => {
    const pending = new Pending()
    const all = Array.from({ length: 5000 }, () => add(pending))
    for (const sent of all.slice(0, 4000)) pending.settle(sent, true)
    assert.strictEqual(pending.count, 1000)
    pending.tick(0)
    assert.deepStrictEqual(all.filter(({ isExpired }) => isExpired), all.slice(4000))
    assert.strictEqual(pending.sent, 5000)
  })
})
