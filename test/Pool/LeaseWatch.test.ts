/**
 * Leases that are held for too long: what is reported, and what a borrower gets whose lease is ended.
 */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Option } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import { TestClock } from "effect/testing"
import { collectLogs, fork, hold, id, settle, test } from "../support/Pools.ts"
import * as Scripted from "../support/ScriptedConnector.ts"

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
      yield* settle
      assert.lengthOf(held, 1)
      assert.include(held[0], "has been held for 1s")
      assert.lengthOf(lines.filter((line) => line.includes("has come back")), 1)
    })).pipe(Effect.provide(layer))
  })
})
