import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { keepsEvery } from "../../../../src/Clients/internal/redisbudget/Pace.ts"
import { deadlineOf } from "../../../../src/Clients/internal/redisbudget/Permits.ts"

describe("the end of a lease", () => {
  it.each([1000, 2000, 5000, 12_000, 19_000, 20_000, 60_000, 86_400_000])(
    "of %d ms is noticed before it has come at the store, with time to spare",
    (millis) => {
      const end = deadlineOf({ id: "id", since: 0, lease: millis })
      assert.isAtMost(end + 2 * keepsEvery({ _tag: "Warm", millis }), millis)
      assert.isAtMost(end + 2 * keepsEvery({ _tag: "Invocation", millis, remaining: Effect.succeed(0) }), millis)
    }
  )
})
