/**
 * Whom the error of a borrower that a cap stalled names.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import { TestClock } from "effect/testing"
import { fork, hold, id, settle, test } from "../../support/Pools.ts"
import * as Scripted from "../../support/ScriptedConnector.ts"

describe("AcquireTimeout", () => {
  it.effect("names the longest holders of the pool when it is the pool that is full", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1, maxTotal: 1, acquireTimeout: "1 second" })
      const latch = yield* Deferred.make<void>()
      const holder = yield* fork(Effect.withSpan(hold(pool, "a", latch), "nightly report"))
      yield* settle
      const waiter = yield* fork(Effect.flip(ConnectionPool.use(pool, "b", id)))
      yield* TestClock.adjust("1 second")
      const { message, reason } = yield* Fiber.join(waiter)
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(holder)
      assert.strictEqual(reason._tag === "AcquireTimeout" && reason.stalledBy, "TotalCap")
      assert.match(message, /held longest by nightly report( at hold \(.*:\d+:\d+\))? for 1s/)
    })))

  it.effect("names the place in the program of a holder without a span", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1, acquireTimeout: "1 second" })
      const latch = yield* Deferred.make<void>()
      const holder = yield* fork(ConnectionPool.use(pool, "a", () => Deferred.await(latch)))
      const waiter = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", id)))
      yield* TestClock.adjust("1 second")
      const { message, reason } = yield* Fiber.join(waiter)
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(holder)
      assert(reason._tag === "AcquireTimeout")
      assert.strictEqual(reason.holders[0]?.span, undefined)
      assert.match(reason.holders[0]?.site ?? "", /Diagnostics\.test\.ts:\d+:\d+/)
      assert.match(message, /held longest by \S*.*Diagnostics\.test\.ts:\d+:\d+\)? for 1s/)
    })))
})
