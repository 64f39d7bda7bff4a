/**
 * Keys that others make up: what a pool keeps of them is bounded.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { TestClock } from "effect/testing"
import { fork, id, settle, test } from "../support/Pools.ts"
import * as Scripted from "../support/ScriptedConnector.ts"

const once = RetryPolicy.make({ maxAttempts: 1 })

const keys = Array.from({ length: 400 }, (_, index) => `made up ${index}`)

const endpoints = <K, A>(pool: ConnectionPool.ConnectionPool<K, A>) =>
  Effect.map(ConnectionPool.stats(pool), ({ endpoints }) => endpoints.size)

describe("an endpoint that was made up", () => {
  it.effect("is forgotten as soon as its last borrower has given up", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make({ open: () => Effect.never })
      const pool = yield* ConnectionPool.make({
        connector,
        maxPerEndpoint: 1,
        maxTotal: 1000,
        acquireTimeout: "1 second"
      })
      const borrowers = yield* Effect.forEach(
        keys,
        (key) => fork(Effect.flip(ConnectionPool.use(pool, key, id)))
      )
      yield* settle
      assert.strictEqual(yield* endpoints(pool), 400)
      yield* Effect.forEach(borrowers, Fiber.interrupt, { discard: true })
      yield* TestClock.adjust("11 seconds")
      yield* settle
      // Their dials have failed by now, which is remembered of the last of them.
      assert.isAtMost(yield* endpoints(pool), 256)
      yield* TestClock.adjust("1 minute")
      yield* settle
      assert.strictEqual(yield* endpoints(pool), 0)
    })))

  it.effect("is forgotten at once when nothing has failed there and nothing is open any more", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector })
      for (const key of keys) yield* ConnectionPool.use(pool, key, id)
      assert.strictEqual(yield* endpoints(pool), 5)
      yield* ConnectionPool.evict(pool)
      yield* settle
      assert.strictEqual(yield* endpoints(pool), 0)
      yield* ConnectionPool.suspend(pool, { mode: "fail" })
      yield* Effect.flip(ConnectionPool.use(pool, "refused", id))
      assert.strictEqual(yield* endpoints(pool), 0)
    })))

  for (const minPerEndpoint of [0, 1]) {
    it.effect(`is one of 256 that are remembered when they fail, with a minimum of ${minPerEndpoint}`, () =>
      test(Effect.gen(function*() {
        const { connector, ledger } = Scripted.make({
          open: () => Effect.fail(new Scripted.ScriptedFailure("ECONNREFUSED"))
        })
        const pool = yield* ConnectionPool.make({ connector, retry: once, minPerEndpoint })
        for (const key of keys) yield* Effect.flip(ConnectionPool.use(pool, key, id))
        assert.strictEqual(yield* endpoints(pool), 256)
        // The last ones are, so that the next dial to each of them waits for its delay.
        assert.strictEqual(yield* ConnectionPool.health(pool, "made up 399"), "Unavailable")
        assert.strictEqual(yield* ConnectionPool.health(pool, "made up 0"), "Healthy")
        const { attempts } = ledger
        yield* fork(Effect.exit(ConnectionPool.use(pool, "made up 399", id)))
        yield* settle
        assert.strictEqual(ledger.attempts, attempts)
      })))
  }
})
