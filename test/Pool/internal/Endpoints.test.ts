import { assert, describe, it } from "@effect/vitest"
import { Endpoints } from "../../../src/Pool/internal/Endpoints.ts"

describe("a directory of endpoints with a minimum", () => {
  it("looks only at those that may have less", () => {
    const endpoints = new Endpoints<string, string>(1)
    const [full, empty] = [endpoints.add("full"), endpoints.add("empty")]
    full.connecting = 1
    assert.deepStrictEqual([...endpoints.lacking()], [empty])
    full.connecting = 0
    assert.deepStrictEqual([...endpoints.lacking()], [empty], "nobody has said that it has lost a slot")
    assert.strictEqual(endpoints.lost(full), Infinity)
    assert.deepStrictEqual([...endpoints.lacking()], [empty, full])
  })

  it("says when one that is down may be dialled", () => {
    const endpoints = new Endpoints<string, string>(1)
    const down = endpoints.add("down")
    down.dialAt = 5000
    assert.strictEqual(endpoints.lost(down), 5000)
  })

  it("has none of them without a minimum", () => {
    const endpoints = new Endpoints<string, string>(0)
    assert.strictEqual(endpoints.lost(endpoints.add("a")), Infinity)
    assert.deepStrictEqual([...endpoints.lacking()], [])
  })
})
