import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as PoolTelemetry from "effect-sluice/PoolTelemetry"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { TestClock } from "effect/testing"
import * as Scripted from "../support/ScriptedConnector.ts"

const fork = Effect.forkChild({ startImmediately: true })

const settle = Effect.forEach(Array.from({ length: 20 }), () => Effect.yieldNow, { discard: true })

const retry = RetryPolicy.make({ maxAttempts: 1, initialDelay: 100, jitter: 0 })

const id = (connection: Scripted.Scripted) => Effect.succeed(connection.id)

/** A pool of two for servers that answer with this error as long as there is one. */
const scripted = (error: () => string | undefined) => {
  const connector = Scripted.make({
    open: () => {
      const code = error()
      // A dial that takes a step, so that the endpoint is seen while it is under way.
      return code === undefined ? Effect.yieldNow : Effect.fail(new Scripted.ScriptedFailure(code))
    }
  })
  return Effect.map(
    ConnectionPool.make({ connector: connector.connector, retry, maxPerEndpoint: 2, maxTotal: 2, drainTimeout: 0 }),
    (pool) => ({ ...connector, pool })
  )
}

describe("the health of an endpoint", () => {
  it.effect("follows the outcomes of its dials, each change once", () =>
    Effect.gen(function*() {
      let code: string | undefined
      const { ledger, kill, pool } = yield* scripted(() => code)
      const seen: Array<ConnectionPool.Health> = []
      yield* fork(Stream.runForEach(PoolTelemetry.health(pool, "db"), (health) => Effect.sync(() => seen.push(health))))
      yield* settle
      assert.strictEqual(yield* ConnectionPool.health(pool, "db"), "Healthy", "nothing is known of it")
      const holder = yield* fork(ConnectionPool.use(pool, "db", () => Effect.never))
      yield* settle
      code = "ECONNREFUSED"
      yield* Effect.flip(ConnectionPool.use(pool, "db", id))
      assert.strictEqual(yield* ConnectionPool.health(pool, "db"), "Degraded", "it is down, and a connection is left")
      yield* Effect.forEach([...ledger.live], kill)
      yield* Fiber.interrupt(holder)
      yield* settle
      assert.strictEqual(yield* ConnectionPool.health(pool, "db"), "Unavailable", "nothing is left")
      code = undefined
      yield* TestClock.adjust("1 second")
      yield* settle
      assert.strictEqual(yield* ConnectionPool.health(pool, "db"), "Degraded", "it is time to ask it again")
      yield* ConnectionPool.use(pool, "db", id)
      yield* settle
      assert.strictEqual(yield* ConnectionPool.health(pool, "db"), "Healthy")
      assert.deepStrictEqual(seen, ["Healthy", "Degraded", "Unavailable", "Degraded", "Unavailable", "Healthy"])
      assert.strictEqual(yield* ConnectionPool.health(pool, "other"), "Healthy")
    }).pipe(Effect.provide(ResourceMonitor.layer)))

  it.effect("lets whoever asks only what is not Unavailable find out that it is back", () =>
    Effect.gen(function*() {
      let code: string | undefined = "ECONNREFUSED"
      const { ledger, pool } = yield* scripted(() => code)
      const careful = Effect.gen(function*() {
        if ((yield* ConnectionPool.health(pool, "db")) === "Unavailable") return "fallback"
        return yield* Effect.match(ConnectionPool.use(pool, "db", id), {
          onFailure: () => "failed",
          onSuccess: () => "served"
        })
      })
      const answers: Array<string> = []
      for (let turn = 0; turn < 40; turn++) {
        answers.push(yield* careful)
        if (turn === 29) code = undefined
        yield* TestClock.adjust("100 millis")
        yield* settle
      }
      // Each failure is one of its own attempts, which come along the backoff; all the others had an answer at once.
      assert.strictEqual(answers.filter((answer) => answer === "failed").length, ledger.attempts - 1)
      assert.isAtLeast(answers.filter((answer) => answer === "fallback").length, 20)
      assert.strictEqual(answers.at(-1), "served")
    }).pipe(Effect.provide(ResourceMonitor.layer)))

  it.effect("does not suffer from a want of descriptors, which is our own", () =>
    Effect.gen(function*() {
      const { pool } = yield* scripted(() => "EMFILE")
      const borrower = yield* fork(Effect.flip(ConnectionPool.use(pool, "db", id)))
      yield* TestClock.adjust("31 seconds")
      yield* settle
      assert.strictEqual((yield* Fiber.join(borrower))._tag, "PoolError")
      assert.strictEqual(yield* ConnectionPool.health(pool, "db"), "Healthy")
    }).pipe(Effect.provide(ResourceMonitor.layer)))
})
