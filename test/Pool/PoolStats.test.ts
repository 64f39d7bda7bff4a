/**
 * What a pool tells of itself, as values and as metrics.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Metric, Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as PoolTelemetry from "effect-sluice/PoolTelemetry"
import { TestClock } from "effect/testing"
import { settle, test } from "../support/Pools.ts"
import * as Scripted from "../support/ScriptedConnector.ts"

describe("what a pool tells of itself", () => {
  it.effect("stats leaves no endpoint out: the endpoints add up to the pool", () =>
    test(Effect.gen(function*() {
      const connector = Connector.make({ open: (key: string | number) => Effect.succeed({ key }) })
      const pool = yield* ConnectionPool.make({ connector })
      yield* ConnectionPool.get(pool, 1)
      yield* ConnectionPool.get(pool, "1")
      const { endpoints, total } = yield* ConnectionPool.stats(pool)
      assert.strictEqual([...endpoints.values()].reduce((sum, counts) => sum + counts.total, 0), total)
    })))

  /** The metrics of a pool while it is open, and after its end. */
  const recorded = Effect.gen(function*() {
    const scope = yield* Scope.make()
    yield* Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector })
      yield* PoolTelemetry.record(pool, { name: "orders", interval: "1 second" })
      yield* ConnectionPool.use(pool, "a", () => Effect.void)
      yield* TestClock.adjust("1 second")
      yield* settle
    }).pipe(Scope.provide(scope))
    const open = yield* Metric.snapshot
    yield* Scope.close(scope, Exit.void)
    return { open, closed: yield* Metric.snapshot }
  }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))

  it.effect("a pool that is closed has no metrics", () =>
    test(Effect.gen(function*() {
      const { closed, open } = yield* recorded
      assert.isNotEmpty(open)
      assert.deepStrictEqual(closed.map(({ id }) => id), [])
    })))

  it.effect("the times are recorded with their unit", () =>
    test(Effect.gen(function*() {
      const times = (yield* recorded).open.filter(({ id }) => id.endsWith("_time"))
      assert.lengthOf(times, 3)
      for (const { attributes } of times) assert.strictEqual(attributes?.["unit"], "s")
    })))
})
