/**
 * What no caller can receive of an opening is logged.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Scheduler } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { TestClock } from "effect/testing"
import { collectLogs, fork, settle, test } from "../../support/Pools.ts"
import * as Scripted from "../../support/ScriptedConnector.ts"

const once = RetryPolicy.make({ maxAttempts: 1 })

describe("a dial that fails without a code that is known", () => {
  const attemptsOf = (failure: object | string, retry: RetryPolicy.RetryPolicy) =>
    test(Effect.gen(function*() {
      let attempts = 0
      const connector = Connector.make({
        open: (_key: string) => Effect.suspend(() => ++attempts < 3 ? Effect.fail(failure) : Effect.succeed("up"))
      })
      const pool = yield* ConnectionPool.make({ connector, retry })
      const borrower = yield* fork(Effect.exit(ConnectionPool.use(pool, "a", Effect.succeed)))
      yield* settle
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(borrower)
      return attempts
    }))

  const careful = RetryPolicy.make({ ...RetryPolicy.tcpConnection, idempotent: false })

  it.effect("is made again, since nothing was asked yet", () =>
    Effect.gen(function*() {
      for (const policy of [RetryPolicy.tcpConnection, careful]) {
        assert.strictEqual(yield* attemptsOf(new Error("greeting cut short"), policy), 3)
        assert.strictEqual(yield* attemptsOf("no error at all", policy), 3)
        assert.strictEqual(yield* attemptsOf({ code: "ECONNRESET", syscall: "read" }, policy), 3)
      }
    }))

  it.effect("is final where it is a mistake in the program, or its code says so", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* attemptsOf(new TypeError("Password must be a string"), careful), 1)
      assert.strictEqual(yield* attemptsOf(new ReferenceError("host is not defined"), careful), 1)
      assert.strictEqual(yield* attemptsOf({ code: "28P01" }, careful), 1)
    }))
})

describe("what no caller can receive", () => {
  it.effect("a connector that is left behind is reported", () => {
    const { layer, lines } = collectLogs()
    return test(Effect.gen(function*() {
      const { connector } = Scripted.make({ open: () => Effect.uninterruptible(Effect.never) })
      const pool = yield* ConnectionPool.make({ connector, connectTimeout: "1 second", retry: once })
      const borrower = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", () => Effect.void)))
      yield* settle
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Fiber.join(borrower)).reason._tag, "ConnectFailed")
      assert.lengthOf(lines, 1)
    })).pipe(Effect.provide(layer))
  })

  it.effect("a finalizer that dies after a failed dial is reported", () => {
    const { layer, lines } = collectLogs()
    return test(Effect.gen(function*() {
      const connector = Connector.make({
        open: (key: string) =>
          Effect.andThen(
            Effect.addFinalizer(() => Effect.die(new Error(`half open: ${key}`))),
            Effect.fail(new Scripted.ScriptedFailure("ECONNREFUSED"))
          )
      })
      const pool = yield* ConnectionPool.make({ connector, retry: once })
      const borrower = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", () => Effect.void)))
      yield* settle
      assert.strictEqual((yield* Fiber.join(borrower)).reason._tag, "ConnectFailed")
      assert.lengthOf(lines, 1)
    })).pipe(Effect.provide(layer))
  })
})

describe("two dials that fail at once", () => {
  for (const ops of [3, 7, 2048]) {
    it.effect(`leave one of them to carry the failure, where fibers yield after ${ops} steps`, () =>
      test(Effect.gen(function*() {
        const answer = yield* Deferred.make<void, Scripted.ScriptedFailure>()
        const { connector, ledger } = Scripted.make({ open: () => Deferred.await(answer) })
        const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 2, maxTotal: 4, retry: once })
        const borrow = fork(Effect.flip(ConnectionPool.use(pool, "a", () => Effect.void)))
        const borrowers = [yield* borrow, yield* borrow]
        yield* settle
        assert.strictEqual(ledger.attempts, 2)
        yield* Deferred.fail(answer, new Scripted.ScriptedFailure("ECONNREFUSED"))
        for (const borrower of borrowers) assert.strictEqual((yield* Fiber.join(borrower)).reason._tag, "ConnectFailed")
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(ledger.attempts, 2)
      })).pipe(Effect.provideService(Scheduler.MaxOpsBeforeYield, ops)))
  }

  for (const code of ["EMFILE", "ENOBUFS"]) {
    it.effect(`are followed by none that is sooner than room may be there again: ${code}`, () =>
      test(Effect.gen(function*() {
        const { connector, ledger } = Scripted.make({
          open: (_, attempt) =>
            attempt > 100
              ? Effect.never
              : Effect.andThen(Effect.sleep("1 millis"), Effect.fail(new Scripted.ScriptedFailure(code)))
        })
        const pool = yield* ConnectionPool.make({ connector, acquireTimeout: "2 seconds" })
        const borrow = fork(Effect.flip(ConnectionPool.use(pool, "a", () => Effect.void)))
        const borrowers = [yield* borrow, yield* borrow]
        yield* settle
        assert.strictEqual(ledger.attempts, 2)
        yield* TestClock.adjust("2 seconds")
        for (const borrower of borrowers) {
          assert.strictEqual((yield* Fiber.join(borrower)).reason._tag, "AcquireTimeout")
        }
        assert.isAtMost(ledger.attempts, 8)
      })))
  }
})

describe("a connection of the minimum that cannot be made ready", () => {
  it.effect("is a failure to open one, and is replaced after a delay", () =>
    test(Effect.gen(function*() {
      let [dials, isReady] = [0, true]
      const connector = Connector.make({ open: () => Effect.sync(() => ++dials) })
      const pool = yield* ConnectionPool.make({
        connector,
        minPerEndpoint: 1,
        maxPerEndpoint: 2,
        acquireTimeout: "10 seconds",
        retry: RetryPolicy.make({ initialDelay: "1 second", jitter: 0, maxAttempts: 3 }),
        maxRedialDelay: "Infinity",
        hooks: { beforeLend: () => isReady ? Effect.void : Effect.fail("read-only") }
      })
      yield* ConnectionPool.use(pool, "a", () => Effect.void)
      isReady = false
      dials = 0
      const borrower = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", () => Effect.void)))
      yield* settle
      assert.isAtMost(dials, 2)
      yield* TestClock.adjust("10 seconds")
      yield* settle
      assert.strictEqual((yield* Fiber.join(borrower)).reason._tag, "ConnectFailed")
      // The first one, and one after 1, 3 and 7 seconds.
      assert.isAtMost(dials, 4)
      assert.isAbove(dials, 1)
    })))
})
