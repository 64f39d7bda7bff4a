import { assert, describe, it } from "@effect/vitest"
import { kindOf } from "../../../../src/Clients/internal/redis/CommandKind.ts"

describe("the kind of a command", () => {
  it.each(
    [
      ["Plain", "GET k"],
      ["Plain", "XREAD STREAMS block 0"],
      ["Blocking", "blpop k 0"],
      ["Blocking", "BZMPOP 0 1 k MIN"],
      ["Blocking", "XREAD COUNT 1 BLOCK 0 STREAMS s $"],
      ["Blocking", "xreadgroup GROUP g c block 0 STREAMS s >"],
      ["Transaction", "Watch k"],
      ["Transaction", "EXEC"],
      ["Session", "select 1"],
      ["Session", "PSUBSCRIBE *"],
      ["Session", "CLIENT reply OFF"],
      ["Plain", "CLIENT LIST"],
      ["Plain", "CLIENT"]
    ] as const
  )("is %s for %s", (kind, text) => {
    const [command = "", ...args] = text.split(" ")
    assert.strictEqual(kindOf(command, args), kind)
  })
})
