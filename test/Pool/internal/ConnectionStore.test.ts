import { assert, describe, it } from "@effect/vitest"
import { Roster } from "../../../src/Pool/internal/ConnectionStore.ts"
import type { PooledConnection } from "../../../src/Pool/internal/PoolState.ts"

/** As much of a connection as is looked at. */
const connectionOf = (value: string): PooledConnection<string, string> => ({ value }) as never

describe("a roster", () => {
  it("finds a connection by its value as long as it is there", () => {
    const roster = new Roster<string, string>()
    const [first, second] = [connectionOf("a"), connectionOf("b")]
    roster.add(first)
    roster.add(second)
    assert.deepStrictEqual(roster.find("b"), [second])
    roster.remove(second)
    assert.deepStrictEqual(roster.find("b"), [])
    assert.deepStrictEqual([[...roster], roster.size], [[first], 1])
  })

  it("keeps connections of equal values apart", () => {
    const roster = new Roster<string, string>()
    const [first, second, third] = [connectionOf("a"), connectionOf("a"), connectionOf("a")]
    for (const connection of [first, second, third]) roster.add(connection)
    assert.deepStrictEqual([[...roster].length, roster.size], [3, 3])
    roster.remove(first)
    roster.remove(third)
    assert.strictEqual(roster.find("a")[0], second)
    roster.remove(second)
    assert.deepStrictEqual([[...roster], roster.size], [[], 0])
    roster.add(first)
    assert.strictEqual(roster.find("a")[0], first)
  })
})
