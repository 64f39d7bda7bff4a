import { assert, describe, it } from "@effect/vitest"
import { Lifetimes, nowhere } from "../../../src/Pool/internal/Expiry.ts"
import type { PooledConnection } from "../../../src/Pool/internal/PoolState.ts"
import { seeded } from "../../support/random.ts"

/** As much of a connection as is looked at. */
const connectionOf = (openedAt: number, lifetime: number): PooledConnection<string, string> =>
  ({ openedAt, lifetime, heapIndex: nowhere }) as never

const endOf = ({ lifetime, openedAt }: PooledConnection<string, string>): number => openedAt + lifetime

describe("the lifetimes of connections", () => {
  it("hands each one over once, when its life is over, and knows when the next one will be", () => {
    const lifetimes = new Lifetimes<PooledConnection<string, string>>()
    const [late, early, middle] = [connectionOf(0, 30), connectionOf(5, 5), connectionOf(15, 5)]
    for (const connection of [late, early, middle]) lifetimes.add(connection)
    assert.strictEqual(lifetimes.next, 10)
    assert.deepStrictEqual(lifetimes.takeOver(9), [])
    assert.deepStrictEqual(lifetimes.takeOver(20), [early, middle])
    assert.strictEqual(lifetimes.next, 30)
    // It is closed later, as one that was leased just then.
    lifetimes.remove(early)
    assert.deepStrictEqual(lifetimes.takeOver(30), [late])
    assert.strictEqual(lifetimes.next, Infinity)
  })

  it("loses none and keeps none, in whichever order they come and go", () => {
    const random = seeded(42)
    const whole = (below: number) => Math.floor(random() * below)
    for (let history = 0; history < 200; history++) {
      const lifetimes = new Lifetimes<PooledConnection<string, string>>()
      const present = new Set<PooledConnection<string, string>>()
      for (let now = 0; now < 200; now++) {
        const action = random()
        const known = [...present][whole(present.size)]
        if (action < 0.5) {
          const added = connectionOf(now, whole(100))
          lifetimes.add(added)
          present.add(added)
        } else if (action < 0.8 && known !== undefined) {
          lifetimes.remove(known)
          present.delete(known)
        } else {
          const expected = [...present].filter((connection) => endOf(connection) <= now)
          const over = lifetimes.takeOver(now)
          assert.isTrue(over.length === expected.length && expected.every((connection) => over.includes(connection)))
          assert.deepStrictEqual(over.map(endOf), expected.map(endOf).toSorted((a, b) => a - b))
          for (const connection of over) present.delete(connection)
        }
        assert.strictEqual(lifetimes.next, Math.min(Infinity, ...[...present].map(endOf)))
      }
    }
  })
})
