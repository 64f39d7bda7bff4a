/**
 * A borrow that ran out of time because its dial waited at the monitor's gate says what was full.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Monitor from "effect-sluice/ResourceMonitor"
import { TestMonitor } from "effect-sluice/ResourceMonitor"
import { ScriptedConnector } from "effect-sluice/Testing"
import { TestClock } from "effect/testing"

describe("a borrow whose dial waits at the gate until its deadline", () => {
  it.effect("names the memory that is full, as its cause and in its message", () =>
    Effect.gen(function*() {
      const test = yield* TestMonitor
      yield* test.set({ containerMemory: 130, containerMemoryLimit: 128 })
      const pool = yield* ConnectionPool.make({
        connector: ScriptedConnector.make().connector,
        acquireTimeout: "3 seconds"
      })
      const borrow = yield* Effect.forkChild(Effect.flip(ConnectionPool.use(pool, "db", () => Effect.void)), {
        startImmediately: true
      })
      yield* TestClock.adjust("3 seconds")
      const { message, reason } = yield* Fiber.join(borrow)
      assert(reason._tag === "AcquireTimeout")
      assert.strictEqual(reason.stalledBy, "Connecting")
      assert.instanceOf(reason.cause, Monitor.ResourceExhausted)
      assert.deepInclude(reason.cause, { resource: "memory", used: 130, limit: 128 })
      assert.include(message, "no room to open db: 130 memory used >= limit 128 bytes (level Exhausted)")
      assert.strictEqual(yield* test.refused, 0)
    }).pipe(Effect.scoped, Effect.provide(Monitor.layerTest)))
})
