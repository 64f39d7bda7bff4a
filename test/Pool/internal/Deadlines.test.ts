/**
 * Borrowers whose time is up, at the same moment and one after the other.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as ConnectionBudget from "effect-sluice/ConnectionBudget"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { TestClock } from "effect/testing"
import { fork, id, settle, test } from "../../support/Pools.ts"
import * as Scripted from "../../support/ScriptedConnector.ts"

/** Has the dial of "a" wait for a permit for as long as somebody wants it. */
const withoutPermits = Effect.provideService(ConnectionBudget.ConnectionBudget, {
  take: ({ label }) => label === "a" ? Effect.never : Effect.succeed({})
})

describe("borrowers whose time is up at once", () => {
  it.effect("leave their queues once each, also when the slot of the first one could have served a later one", () =>
    test(Effect.gen(function*() {
      let works = false
      const { connector } = Scripted.make({
        open: () => works ? Effect.void : Effect.fail(new Scripted.ScriptedFailure("EACCES"))
      })
      const retry = RetryPolicy.make({ maxAttempts: 1, initialDelay: "1 millis" })
      const pool = yield* withoutPermits(
        ConnectionPool.make({ connector, maxTotal: 1, acquireTimeout: "1 second", retry })
      )
      const borrow = (key: string) => fork(Effect.flip(ConnectionPool.use(pool, key, id)))
      const [first, second] = [yield* borrow("a"), yield* borrow("b")]
      yield* settle
      yield* TestClock.adjust("1 second")
      yield* settle
      assert.strictEqual((yield* Fiber.join(first)).reason._tag, "AcquireTimeout")
      assert.strictEqual((yield* Fiber.join(second)).reason._tag, "AcquireTimeout")
      assert.deepInclude(yield* ConnectionPool.stats(pool), { total: 0, waiting: 0, timeouts: 2 })
      works = true
      yield* TestClock.adjust("10 seconds")
      const later = yield* fork(ConnectionPool.use(pool, "b", id))
      yield* settle
      assert.isDefined(later.pollUnsafe(), "the endpoint is served again")
    })))
})
