/**
 * `maxWaiters` counts those that wait for something that somebody has to give back, and nobody else.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import { TestClock } from "effect/testing"
import { fork, id, settle, test } from "../support/Pools.ts"
import * as Scripted from "../support/ScriptedConnector.ts"

describe("maxWaiters", () => {
  it.effect("an idle connection of another endpoint gives way also where nobody may wait", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1, maxTotal: 1, maxWaiters: 0 })
      assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 1)
      assert.strictEqual(yield* ConnectionPool.use(pool, "b", id), 2)
    })))

  it.effect("a borrower is not refused because an old connection is still closing", () =>
    test(Effect.gen(function*() {
      const { connector, steps } = Scripted.make({ close: () => Effect.sleep("10 millis") })
      const pool = yield* ConnectionPool.make({
        connector,
        maxPerEndpoint: 1,
        maxWaiters: 0,
        idleTimeout: "1 second"
      })
      assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 1)
      yield* TestClock.adjust("1 second")
      const borrower = yield* fork(ConnectionPool.use(pool, "a", id))
      yield* settle
      yield* TestClock.adjust("10 millis")
      assert.strictEqual(yield* Fiber.join(borrower), 2)
      steps.close = () => Effect.void
    })))

  it.effect("a borrower is not refused because of a keep-alive check of the only connection", () =>
    test(Effect.gen(function*() {
      const { connector, steps } = Scripted.make()
      const pool = yield* ConnectionPool.make({
        connector,
        maxPerEndpoint: 1,
        maxWaiters: 0,
        keepalive: "1 second",
        checkAfterIdle: "Infinity"
      })
      assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 1)
      steps.check = () => Effect.sleep("10 millis")
      yield* TestClock.adjust("1 second")
      const borrower = yield* fork(ConnectionPool.use(pool, "a", id))
      yield* TestClock.adjust("10 millis")
      assert.strictEqual(yield* Fiber.join(borrower), 1)
    })))
})
