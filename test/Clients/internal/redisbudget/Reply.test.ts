import { assert, describe, it } from "@effect/vitest"
import { toldOf } from "../../../../src/Clients/internal/redisbudget/Reply.ts"

describe("a message of the store", () => {
  it("is read with the limit at its end", () => {
    assert.strictEqual(toldOf("id granted 1000 60000 9007199254740 7")?.reply.limit, 7)
    assert.strictEqual(toldOf("id refused 3")?.reply.limit, 3)
  })

  it.each([
    "id granted 1000 60000 9007199254740",
    "id granted 1000 60000 9007199254740 7 8",
    "id granted 1000 60000 9007199254740 many",
    "id refused",
    "id refused -1",
    "id",
    ""
  ])("says nothing if it is %j", (message) => {
    assert.isUndefined(toldOf(message))
  })
})
