/**
 * What is asked of idle connections.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import { TestClock } from "effect/testing"
import { id, settle, test } from "../../support/Pools.ts"
import * as Scripted from "../../support/ScriptedConnector.ts"

describe("keepalive", () => {
  it.effect("closes a connection that nobody would be lent any more, and does not look at it all the time", () =>
    test(Effect.gen(function*() {
      let [asked, isDirty] = [0, false]
      const { connector, ledger } = Scripted.make()
      const isReusable = () => {
        asked++
        return !isDirty
      }
      const pool = yield* ConnectionPool.make({ connector: { ...connector, isReusable }, keepalive: "50 millis" })
      yield* ConnectionPool.use(pool, "a", id)
      isDirty = true
      asked = 0
      yield* TestClock.adjust("49 millis")
      yield* settle
      assert.strictEqual(ledger.live.size, 1)
      yield* TestClock.adjust("1 millis")
      yield* settle
      assert.isAtMost(asked, 2)
      assert.strictEqual(ledger.live.size, 0)
    })))
})
