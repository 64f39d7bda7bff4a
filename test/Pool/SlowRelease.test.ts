/**
 * A budget that takes long to take a permit back: what is known of a failed dial is known at once all the same.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as ConnectionBudget from "effect-sluice/ConnectionBudget"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { TestClock } from "effect/testing"
import { fork, id, settle, test } from "../support/Pools.ts"
import * as Scripted from "../support/ScriptedConnector.ts"

const slow = Effect.provideService(ConnectionBudget.ConnectionBudget, {
  take: () => Effect.as(Effect.addFinalizer(() => Effect.sleep("1 second")), {})
})

const once = RetryPolicy.make({ maxAttempts: 1 })

const seldom = RetryPolicy.make({ maxAttempts: 3, initialDelay: "10 seconds" })

const refused = Effect.fail(new Scripted.ScriptedFailure("ECONNREFUSED"))

const causeOf = ({ reason }: ConnectionPool.PoolError) => "cause" in reason ? reason.cause : undefined

/** Lets the last permits come back, for which the end of the test would wait for ever. */
const end = <K, A>(pool: ConnectionPool.ConnectionPool<K, A>) =>
  Effect.andThen(fork(ConnectionPool.drain(pool, 0)), TestClock.adjust("20 seconds"))

describe("a permit that comes back slowly after a failed dial", () => {
  const causes = { ECONNREFUSED: "AttemptsExhausted", EACCES: "NotRetryable", EMFILE: "ResourceExhausted" }
  for (const [code, reason] of Object.entries(causes)) {
    it.effect(`does not make a missed deadline of ${code}`, () =>
      test(Effect.gen(function*() {
        const { connector } = Scripted.make({ open: () => Effect.fail(new Scripted.ScriptedFailure(code)) })
        const retry = RetryPolicy.make({ maxAttempts: 1, deadline: "500 millis" })
        const pool = yield* slow(ConnectionPool.make({ connector, maxTotal: 1, retry }))
        const borrower = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", id)))
        yield* settle
        yield* TestClock.adjust("5 seconds")
        const cause = causeOf(yield* Fiber.join(borrower))
        assert.strictEqual(cause instanceof RetryPolicy.RetryError ? cause.reason._tag : cause, reason)
      })))
  }

  it.effect("does not keep the failure from whoever gives up waiting meanwhile", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make({ open: () => refused })
      const pool = yield* slow(
        ConnectionPool.make({ connector, maxTotal: 1, acquireTimeout: "500 millis", retry: seldom })
      )
      const borrower = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", id)))
      yield* settle
      yield* TestClock.adjust("500 millis")
      const cause = causeOf(yield* Fiber.join(borrower))
      yield* end(pool)
      assert.instanceOf(cause, Scripted.ScriptedFailure)
    })))

  it.effect("does not let a second dial go to a server that has just refused one", () =>
    test(Effect.gen(function*() {
      const { connector, ledger } = Scripted.make({ open: () => refused })
      const pool = yield* slow(
        ConnectionPool.make({ connector, maxPerEndpoint: 4, maxTotal: 4, acquireTimeout: "5 seconds", retry: seldom })
      )
      const first = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", id)))
      yield* settle
      yield* TestClock.adjust("500 millis")
      const health = yield* ConnectionPool.health(pool, "a")
      const second = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", id)))
      yield* settle
      const { attempts } = ledger
      yield* TestClock.adjust("20 seconds")
      yield* Fiber.joinAll([first, second])
      yield* end(pool)
      assert.deepStrictEqual({ attempts, health }, { attempts: 1, health: "Unavailable" })
    })))

  it.effect("does not have a failure fail borrowers after a later dial has succeeded", () =>
    test(Effect.gen(function*() {
      const dials = [Effect.andThen(Effect.sleep("100 millis"), refused), Effect.sleep("500 millis")]
      const { connector } = Scripted.make({ open: (_, attempt) => dials[attempt - 1] ?? Effect.sleep("2 seconds") })
      const pool = yield* slow(ConnectionPool.make({ connector, maxPerEndpoint: 2, maxTotal: 3, retry: once }))
      const hold = ConnectionPool.use(pool, "a", () => Effect.sleep("3 seconds"))
      const borrowers = [yield* fork(hold), yield* fork(hold), yield* fork(hold)]
      yield* settle
      yield* TestClock.adjust("20 seconds")
      const exits = borrowers.map((borrower) => borrower.pollUnsafe()?._tag)
      yield* end(pool)
      assert.deepStrictEqual(exits, ["Success", "Success", "Success"])
    })))

  it.effect("does not have room that has come back meanwhile deny that there was none", () =>
    Effect.gen(function*() {
      const monitor = yield* ResourceMonitor.TestMonitor
      const full = monitor.set({ descriptors: 1000, descriptorLimit: 1000 })
      const { connector } = Scripted.make({
        open: (_, attempt) => attempt === 1 ? Effect.andThen(full, refused) : Effect.void
      })
      const pool = yield* slow(ConnectionPool.make({ connector, maxTotal: 1, retry: once }))
      const borrower = yield* fork(ConnectionPool.use(pool, "a", id))
      yield* settle
      yield* TestClock.adjust("500 millis")
      yield* monitor.set({ descriptors: 0 })
      yield* TestClock.adjust("20 seconds")
      const exit = borrower.pollUnsafe()
      yield* end(pool)
      assert.strictEqual(exit?._tag, "Success")
    }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerTest)))
})
