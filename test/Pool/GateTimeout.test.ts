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
      assert.strictEqual(reason.stalledBy, "Gate")
      assert.instanceOf(reason.cause, Monitor.ResourceExhausted)
      assert.deepInclude(reason.cause, { resource: "memory", used: 130, limit: 128 })
      assert.include(message, ": the monitor's gate has no room to open one (")
      assert.notInclude(message, "last connect failure")
      assert.include(message, "; no room to open db: 130 memory used >= limit 128 bytes (level Exhausted)")
      assert.strictEqual(yield* test.refused, 0)
    }).pipe(Effect.scoped, Effect.provide(Monitor.layerTest)))

  const timeOut = (
    pool: ConnectionPool.ConnectionPool<string, ScriptedConnector.Scripted>,
    lapse: Effect.Effect<void>
  ) =>
    Effect.gen(function*() {
      const borrow = yield* Effect.forkChild(Effect.flip(ConnectionPool.use(pool, "db", () => Effect.void)), {
        startImmediately: true
      })
      yield* lapse
      yield* TestClock.adjust("3 seconds")
      const { reason } = yield* Fiber.join(borrow)
      assert(reason._tag === "AcquireTimeout")
      return reason
    })

  it.effect("does not name a gate that its dial has passed", () =>
    Effect.gen(function*() {
      const test = yield* TestMonitor
      const { connector } = ScriptedConnector.make({ open: () => Effect.never })
      const pool = yield* ConnectionPool.make({ connector, acquireTimeout: "3 seconds" })
      const reason = yield* timeOut(pool, test.set({ descriptors: 1000, descriptorLimit: 1000 }))
      assert.deepInclude(reason, { stalledBy: "Connecting", cause: undefined })
    }).pipe(Effect.scoped, Effect.provide(Monitor.layerTest)))
})
