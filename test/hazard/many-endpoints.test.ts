/**
 * A program with ten thousand endpoints: what an operator sees of them is bounded, and has those that matter.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as Operations from "effect-sluice/Operations"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { TestClock } from "effect/testing"
import { json, withOperations } from "../Operations/Program.ts"
import { valuesOf, withOwnMetrics } from "../Operations/support.ts"
import { fork, settle } from "../support/Pools.ts"

describe("ten thousand endpoints", () => {
  it.effect("make a snapshot of less than 100 kB and series of 20 endpoints, with those that are down", () => {
    const label = (key: number | string) => `database-number-${key}.a-rather-long-name.example.internal:5432`
    const failed = (key: string) => Effect.fail({ message: `connect to ${key} failed: ${"because ".repeat(200)}` })
    const connector = Connector.make({
      open: (key: string) => key.includes("number-down") ? failed(key) : Effect.succeed({ key })
    })
    return Effect.gen(function*() {
      const monitor = yield* ResourceMonitor.TestMonitor
      yield* monitor.set({ descriptorLimit: 1_000_000, connectionLimit: 1_000_000 })
      const pool = yield* ConnectionPool.make({
        name: "orders",
        connector,
        maxPerEndpoint: 1,
        maxTotal: 20_000,
        acquireTimeout: "1 second"
      })
      const latch = yield* Deferred.make<void>()
      const holders: Array<Fiber.Fiber<unknown>> = []
      for (let key = 0; key < 10_000; key++) {
        const use = ConnectionPool.use(pool, label(key), () => key < 100 ? Deferred.await(latch) : Effect.void).pipe(
          Effect.withSpan(`GET /a/rather/long/route/${key}`, {
            attributes: { "http.route": "/a/rather/long/route/:key" }
          })
        )
        if (key < 100) holders.push(yield* fork(Effect.exit(use)))
        else yield* use
      }
      for (let key = 0; key < 30; key++) {
        holders.push(yield* fork(Effect.exit(ConnectionPool.use(pool, label(`down-${key}`), () => Effect.void))))
      }
      yield* settle
      const snapshot = yield* Operations.snapshot()
      const [shown] = snapshot.pools
      assert.isAtLeast(shown?.counts.total ?? 0, 10_000)
      assert.lengthOf(shown?.endpoints ?? [], 20)
      for (const endpoint of shown?.endpoints ?? []) assert.strictEqual(endpoint.health, "Unavailable")
      assert.lengthOf(shown?.holders ?? [], 20)
      yield* Effect.andThen(TestClock.adjust("500 millis"), settle)
      for (const id of ["up", "used", "waiting"]) {
        assert.lengthOf(yield* valuesOf(`sluice.pool.endpoint.${id}`), 20, id)
      }
      const byHealth = (health: string) => valuesOf("sluice.pool.endpoints", { "sluice.endpoint.health": health })
      assert.deepStrictEqual([yield* byHealth("Healthy"), yield* byHealth("Unavailable")], [[10_000], [30]])
      assert.deepStrictEqual(new Set(yield* valuesOf("sluice.pool.endpoint.up")), new Set([0]))
      const text = yield* json()
      assert.isBelow(text.length, 100_000)
      yield* Deferred.succeed(latch, undefined)
      yield* TestClock.adjust("1 second")
      yield* Fiber.joinAll(holders)
      assert.isTrue(Exit.isSuccess(yield* Effect.exit(ConnectionPool.drain(pool, 0))))
    }).pipe(withOperations({ interval: "500 millis" }), withOwnMetrics)
  }, 120_000)
})
