/**
 * Who is warned of a borrow inside a borrow.
 */
import { assert, describe, it } from "@effect/vitest"
import { type Context, Deferred, Effect, Fiber } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import { TestClock } from "effect/testing"
import { collectLogs, fork, hold, id, settle, test } from "../../support/Pools.ts"
import * as Scripted from "../../support/ScriptedConnector.ts"

describe("a nested borrow that may wait for itself", () => {
  const isWarning = (line: string) => line.includes("waits for another")

  it.effect("is warned of once for a call site, however many endpoints it nests in", () => {
    const { layer, lines } = collectLogs()
    return test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 2, maxTotal: 100 })
      for (let number = 0; number < 20; number++) {
        const key = `tenant ${number}`
        yield* ConnectionPool.use(pool, key, () => ConnectionPool.use(pool, key, id))
      }
      assert.lengthOf(lines.filter(isWarning), 1)
    })).pipe(Effect.provide(layer))
  })

  it.effect("is warned of at each call site, although they nest in the same endpoint", () => {
    const { layer, lines } = collectLogs()
    return test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 2 })
      const latch = yield* Deferred.make<void>()
      const other = yield* fork(hold(pool, "a", latch))
      yield* settle
      const first = yield* fork(ConnectionPool.use(pool, "a", () => ConnectionPool.use(pool, "a", id)))
      yield* settle
      yield* Fiber.interrupt(first)
      const second = yield* fork(ConnectionPool.use(pool, "a", () => ConnectionPool.use(pool, "a", id)))
      yield* settle
      yield* Fiber.interrupt(second)
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(other)
      assert.lengthOf(lines.filter(isWarning), 2)
    })).pipe(Effect.provide(layer))
  })
})

describe("a nested borrow where leases are limited", () => {
  const limited = Effect.suspend(() =>
    ConnectionPool.make({ connector: Scripted.make().connector, maxTotal: 1, maxLease: "1 hour", drainTimeout: 0 })
  )

  const unlimited = Effect.suspend(() =>
    ConnectionPool.make({ connector: Scripted.make().connector, maxTotal: 1, drainTimeout: 0 })
  )

  for (const [what, outer] of [["limited", limited], ["unlimited", unlimited]] as const) {
    it.effect(`is the borrower's own, also through another pool, of one that is ${what}`, () =>
      test(Effect.gen(function*() {
        const [orders, reports] = [yield* outer, yield* limited]
        const nested = ConnectionPool.use(
          orders,
          "a",
          () => ConnectionPool.use(reports, "a", () => ConnectionPool.use(orders, "b", id))
        )
        assert.strictEqual((yield* Effect.flip(nested)).reason._tag, "NestedAcquire")
      })))
  }

  it.effect("is the borrower's own, also in a context from further outside", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1, maxTotal: 2, maxLease: "1 hour" })
      const nested = ConnectionPool.use(pool, "a", () =>
        Effect.contextWith((outer: Context.Context<never>) =>
          ConnectionPool.use(pool, "b", () =>
            Effect.provide(ConnectionPool.use(pool, "a", id), outer))
        ))
      assert.strictEqual((yield* Effect.flip(nested)).reason._tag, "NestedAcquire")
    })))

  it.effect("of a fiber that the borrower has forked is that fiber's", () =>
    test(Effect.gen(function*() {
      const pool = yield* limited
      const forked = ConnectionPool.use(
        pool,
        "a",
        () => Effect.flatMap(Effect.forkChild(ConnectionPool.use(pool, "b", id)), Fiber.join)
      )
      const borrower = yield* fork(Effect.flip(forked))
      yield* settle
      assert.strictEqual((yield* ConnectionPool.stats(pool)).waiting, 1)
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual((yield* Fiber.join(borrower)).reason._tag, "AcquireTimeout")
    })))
})
