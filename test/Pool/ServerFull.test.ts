/**
 * A server that refuses connections for lack of room is waited for, and the pool that it has refused keeps nothing that others may need.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { TestClock } from "effect/testing"
import { fork, id, settle, test } from "../support/Pools.ts"
import * as Scripted from "../support/ScriptedConnector.ts"

const refusals: Record<string, object> = {
  "PostgreSQL": Object.assign(new Error("sorry, too many clients already"), { code: "53300", severity: "FATAL" }),
  "MySQL": Object.assign(new Error("Too many connections"), {
    code: "ER_CON_COUNT_ERROR",
    errno: 1040,
    sqlState: "08004"
  }),
  "Redis": Object.assign(new Error("ERR max number of clients reached"), { name: "ErrorReply" })
}

const once = RetryPolicy.make({ maxAttempts: 1 })

describe("a server that has no room for another connection", () => {
  for (const [server, refusal] of Object.entries(refusals)) {
    it.effect(`${server}: is waited for, however often it refuses`, () =>
      test(Effect.gen(function*() {
        let dials = 0
        const { connector } = Scripted.make({
          open: () => ++dials <= 20 ? Effect.fail(refusal as Scripted.ScriptedFailure) : Effect.void
        })
        const pool = yield* ConnectionPool.make({ connector, retry: once, acquireTimeout: "1 minute" })
        const borrower = yield* fork(ConnectionPool.use(pool, "db", id))
        yield* settle
        yield* TestClock.adjust("1 minute")
        assert.isDefined(borrower.pollUnsafe())
        assert.strictEqual(yield* Fiber.join(borrower), 1)
        assert.strictEqual(dials, 21)
      })))
  }

  it.effect("is named at the deadline, with what it has said and what helps", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make({
        open: () => Effect.fail(refusals["PostgreSQL"] as Scripted.ScriptedFailure)
      })
      const pool = yield* ConnectionPool.make({ connector, retry: once, acquireTimeout: "5 seconds" })
      const borrower = yield* fork(Effect.flip(ConnectionPool.use(pool, "db", id)))
      yield* settle
      yield* TestClock.adjust("6 seconds")
      const { reason } = yield* Fiber.join(borrower)
      assert(reason._tag === "AcquireTimeout")
      assert.deepInclude(reason, { stalledBy: "Connecting", isServerFull: true })
      assert.include(reason.message, "sorry, too many clients already")
      assert.include(
        reason.message,
        "close connections between invocations, run fewer instances or smaller pools, or share a pooler"
      )
    })))

  it.effect("gets back what the pool does not use, for half a minute after the refusal", () =>
    test(Effect.gen(function*() {
      let isFull = false
      const { connector, ledger } = Scripted.make({
        open: () => isFull ? Effect.fail(refusals["PostgreSQL"] as Scripted.ScriptedFailure) : Effect.void
      })
      const pool = yield* ConnectionPool.make({ connector, retry: once, maxConnections: 2 })
      const first = yield* fork(ConnectionPool.use(pool, "db", () => Effect.sleep("2 seconds")))
      yield* settle
      isFull = true
      const second = yield* fork(ConnectionPool.use(pool, "db", id))
      yield* settle
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.joinAll([first, second])
      yield* settle
      const { closedBy, idle } = yield* ConnectionPool.stats(pool)
      assert.deepStrictEqual([ledger.closed, idle, closedBy.evicted_for_other], [1, 0, 1])
      isFull = false
      yield* TestClock.adjust("31 seconds")
      yield* ConnectionPool.use(pool, "db", id)
      assert.strictEqual((yield* ConnectionPool.stats(pool)).idle, 1)
    })))

  it.effect("gets back no more than is above the minimum", () =>
    test(Effect.gen(function*() {
      let dials = 0
      const { connector, ledger } = Scripted.make({
        open: () => ++dials === 2 ? Effect.fail(refusals["PostgreSQL"] as Scripted.ScriptedFailure) : Effect.void
      })
      const pool = yield* ConnectionPool.make({ connector, retry: once, maxConnections: 2, minPerEndpoint: 1 })
      const holders = [1, 2].map(() => fork(ConnectionPool.use(pool, "db", () => Effect.sleep("5 seconds"))))
      const fibers = yield* Effect.all(holders)
      yield* settle
      yield* TestClock.adjust("20 seconds")
      yield* Fiber.joinAll(fibers)
      assert.deepStrictEqual([ledger.closed, (yield* ConnectionPool.stats(pool)).idle], [1, 1])
    })))
})
