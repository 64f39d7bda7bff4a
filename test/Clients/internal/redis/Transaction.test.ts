import { assert, describe, it } from "@effect/vitest"
import { after, noTransaction } from "../../../../src/Clients/internal/redis/Transaction.ts"

describe("what commands leave open", () => {
  it.each(
    [
      ["nothing", ""],
      ["nothing", "MULTI EXEC"],
      ["nothing", "watch multi discard"],
      ["nothing", "WATCH UNWATCH"],
      ["a transaction", "MULTI"],
      ["a transaction", "MULTI UNWATCH"],
      ["watched keys", "WATCH"],
      ["both", "WATCH MULTI"]
    ] as const
  )("is %s after %s", (left, commands) => {
    const { isOpen, isWatching } = commands.split(" ").filter((each) => each !== "").reduce(after, noTransaction)
    const found = isOpen ? isWatching ? "both" : "a transaction" : isWatching ? "watched keys" : "nothing"
    assert.strictEqual(found, left)
  })
})
