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

  it.effect("is not unavailable: a pool that fails for such endpoints waits for this one", () =>
    test(Effect.gen(function*() {
      const dead = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" })
      const answers = [dead, ...Array.from({ length: 6 }, () => refusals["PostgreSQL"])]
      const { connector } = Scripted.make({
        open: () => {
          const answer = answers.pop()
          return answer === undefined ? Effect.void : Effect.fail(answer as Scripted.ScriptedFailure)
        }
      })
      const retry = RetryPolicy.make({ maxAttempts: 1, initialDelay: 1000, factor: 1, jitter: 0 })
      const pool = yield* ConnectionPool.make({ connector, retry, whenUnavailable: "fail" })
      const borrower = yield* fork(Effect.exit(ConnectionPool.use(pool, "db", id)))
      yield* settle
      assert.strictEqual(yield* ConnectionPool.health(pool, "db"), "Degraded")
      for (let refusal = 0; refusal < 4; refusal++) {
        yield* TestClock.adjust("1010 millis")
        assert.strictEqual(yield* ConnectionPool.health(pool, "db"), "Degraded")
      }
      assert.isUndefined(borrower.pollUnsafe())
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* Fiber.join(borrower))._tag, "Failure", "the server is down at last")
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
