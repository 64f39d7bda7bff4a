import { assert, describe, it } from "@effect/vitest"
import { withToken } from "../../../src/Clients/internal/ApplicationName.ts"

describe("the name of a session", () => {
  it("is that of the program where there is no token", () => {
    assert.strictEqual(withToken("shop", undefined), "shop")
    assert.isUndefined(withToken(undefined, undefined))
  })

  it("ends with the token", () => {
    assert.strictEqual(withToken("shop", "17"), "shop [sluice:17]")
    assert.strictEqual(withToken(undefined, "17"), "[sluice:17]")
  })

  it("has at most 63 bytes, of which the token is never cut", () => {
    for (const name of ["x".repeat(100), "é".repeat(40), "🚰".repeat(20)]) {
      const named = withToken(name, "g3k9x0a1bcd") ?? ""
      assert.isAtMost(Buffer.byteLength(named), 63)
      assert.isAtLeast(Buffer.byteLength(named), 60)
      assert.match(named, / \[sluice:g3k9x0a1bcd\]$/)
    }
  })
})
