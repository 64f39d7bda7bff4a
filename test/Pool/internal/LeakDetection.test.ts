/**
 * Leases that are held for too long: what is reported, and what a borrower gets whose lease is ended.
 */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Option } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import { TestClock } from "effect/testing"
import { collectLogs, fork, hold, id, settle, test } from "../../support/Pools.ts"
import * as Scripted from "../../support/ScriptedConnector.ts"

describe("a lease that is ended by maxLease", () => {
  it.effect("fails with LeaseExpired also when a finalizer of the borrower dies of it", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxLease: "1 second" })
      const rollback = Effect.die(new Error("rollback on a closed connection"))
      const borrower = yield* fork(Effect.exit(
        ConnectionPool.use(pool, "a", () => Effect.onInterrupt(Effect.never, () => rollback))
      ))
      yield* settle
      yield* TestClock.adjust("1 second")
      const exit = yield* Fiber.join(borrower)
      if (Exit.isSuccess(exit)) return assert.fail("nothing ended the lease")
      const error = Cause.findErrorOption(exit.cause)
      assert.strictEqual(Option.isSome(error) ? error.value.reason._tag : undefined, "LeaseExpired")
      assert.isTrue(Cause.hasDies(exit.cause))
      assert.isFalse(exit.cause.reasons.some((reason) => reason._tag === "Interrupt"))
    })))

  it.effect("fails with LeaseExpired also when its driver fails what is pending on a connection that closes", () =>
    test(Effect.gen(function*() {
      const connector = Connector.make({
        open: () =>
          Effect.acquireRelease(
            Deferred.make<void, Error>(),
            (pending) => Deferred.fail(pending, new Error("Connection terminated"))
          )
      })
      const pool = yield* ConnectionPool.make({ connector, maxLease: "1 second" })
      const query = ConnectionPool.use(pool, "a", (pending) => Deferred.await(pending))
      for (const effect of [query, Effect.uninterruptible(query)]) {
        const borrower = yield* fork(Effect.flip(effect))
        yield* settle
        yield* TestClock.adjust("1 second")
        const error = yield* Fiber.join(borrower)
        assert.strictEqual(
          error instanceof ConnectionPool.PoolError ? error.reason._tag : error.message,
          "LeaseExpired"
        )
      }
    })))

  it.live("is counted from the moment at which its borrower goes on with the connection", () =>
    test(Effect.gen(function*() {
      const many = 600
      let [closed, ranOnClosed] = [0, 0]
      const connector = Connector.make({
        open: () =>
          Effect.acquireRelease(
            Effect.sync(() => ({ isOpen: true })),
            (connection) => Effect.sync(() => void (connection.isOpen = false, closed++))
          )
      })
      const pool = yield* ConnectionPool.make({
        connector,
        maxPerEndpoint: many,
        maxTotal: many,
        minPerEndpoint: many,
        maxLease: "50 millis"
      })
      yield* ConnectionPool.use(pool, "a", () => Effect.void)
      yield* Effect.sleep("100 millis")
      yield* ConnectionPool.suspend(pool)
      // All are served at once, and the event loop turns in between: the last of them go on after maxLease.
      const busy = (connection: { readonly isOpen: boolean }) =>
        Effect.sync(() => {
          if (!connection.isOpen) ranOnClosed++
          const end = performance.now() + 0.25
          while (performance.now() < end);
        })
      const borrowers = yield* Effect.forEach(
        Array.from({ length: many }),
        () => fork(Effect.exit(ConnectionPool.use(pool, "a", busy)))
      )
      yield* ConnectionPool.resume(pool)
      yield* Effect.forEach(borrowers, Fiber.join)
      assert.deepStrictEqual({ closed, ranOnClosed }, { closed: 0, ranOnClosed: 0 })
    })))
})

describe("leakThreshold", () => {
  it.effect("reports a borrow that holds its second connection for too long, and its return once", () => {
    const { layer, lines } = collectLogs()
    return test(Effect.gen(function*() {
      const { connector, steps } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, connectTimeout: "2 seconds", leakThreshold: "1 second" })
      yield* ConnectionPool.use(pool, "a", id)
      yield* TestClock.adjust("1 second")
      steps.check = () => Effect.never
      const latch = yield* Deferred.make<void>()
      const borrower = yield* fork(hold(pool, "a", latch))
      yield* settle
      yield* TestClock.adjust("2 seconds")
      yield* settle
      const sofar = lines.length
      yield* TestClock.adjust("1 minute")
      yield* settle
      const held = lines.slice(sofar)
      yield* Deferred.succeed(latch, undefined)
      assert.strictEqual(yield* Fiber.join(borrower), 2)
      yield* TestClock.adjust("1 second")
      yield* settle
      assert.lengthOf(held, 1)
      assert.include(held[0], "has been held for 1s")
      assert.lengthOf(lines.filter((line) => line.includes("was returned")), 1)
    })).pipe(Effect.provide(layer))
  })
})
