import { assert, describe, it } from "@effect/vitest"
import { KeyDirectory } from "../../src/Pool/KeyDirectory.ts"
import type { KeyPool } from "../../src/Pool/PoolState.ts"

/** As much of an endpoint as is looked at. */
const keyPoolOf = (key: string): KeyPool<string, string> =>
  ({
    key,
    connections: [],
    connecting: 0,
    dialAt: 0,
    closing: 0,
    detached: 0,
    kept: 0,
    leftBehind: 0,
    queue: { size: 0 }
  }) as never

describe("a directory of endpoints with a minimum", () => {
  it("looks only at those that may have less", () => {
    const directory = new KeyDirectory(keyPoolOf, 1)
    const [full, empty] = [directory.add("full"), directory.add("empty")]
    full.connecting = 1
    assert.deepStrictEqual([...directory.lacking()], [empty])
    full.connecting = 0
    assert.deepStrictEqual([...directory.lacking()], [empty], "nobody has said that it has lost a slot")
    assert.strictEqual(directory.lost(full), Infinity)
    assert.deepStrictEqual([...directory.lacking()], [empty, full])
  })

  it("says when one that is down may be dialled", () => {
    const directory = new KeyDirectory(keyPoolOf, 1)
    const down = directory.add("down")
    down.dialAt = 5000
    assert.strictEqual(directory.lost(down), 5000)
  })

  it("has none of them without a minimum", () => {
    const directory = new KeyDirectory(keyPoolOf, 0)
    assert.strictEqual(directory.lost(directory.add("a")), Infinity)
    assert.deepStrictEqual([...directory.lacking()], [])
  })
})
