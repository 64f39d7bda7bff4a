import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { TestMonitor } from "effect-sluice/ResourceMonitor"
import { collectLogs } from "../../support/Pools.ts"
import * as Scripted from "../../support/ScriptedConnector.ts"

/** What is logged when a pool with this cap is made under these limits. */
const logged = (maxTotal: number, limits: ResourceMonitor.TestReadings) =>
  Effect.gen(function*() {
    const logs = collectLogs()
    const test = yield* TestMonitor
    yield* test.set(limits)
    const { connector } = Scripted.make()
    class Databases extends ConnectionPool.Service<Databases>()("app/Databases", { connector, maxTotal }) {}
    yield* Effect.scoped(Layer.build(Databases.layer)).pipe(Effect.provide(logs.layer))
    return logs.lines
  }).pipe(Effect.provide(Layer.fresh(ResourceMonitor.layerTest)))

describe("maxTotal above a limit of the monitor", () => {
  it.effect("is reported when the pool is made, with each limit that is below it", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* logged(101, { connectionLimit: 100 }), [
        "ConnectionPool app/Databases: maxTotal is 101, but ResourceMonitor admits at most 100 connections (from test): " +
        "the pool cannot open as many connections as it may"
      ])
      assert.deepStrictEqual(yield* logged(101, { connectionLimit: 50, descriptorLimit: 64 }), [
        "ConnectionPool app/Databases: maxTotal is 101, but ResourceMonitor admits at most 50 connections (from test) and " +
        "48 descriptors (64 from test, less headroom 16): the pool cannot open as many connections as it may"
      ])
    }))

  it.effect("is nothing to report where no limit is below it", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* logged(100, { connectionLimit: 100 }), [])
    }))

  it.effect("is reported from the first connection on that the gate does not admit because of its headroom", () =>
    Effect.gen(function*() {
      const limits = { connectionLimit: Infinity, descriptorLimit: 1000 }
      const [line, ...others] = yield* logged(977, limits)
      assert.deepStrictEqual(others, [])
      assert.include(line, "at most 976 descriptors (1000 from test, less headroom 24)")
      assert.deepStrictEqual(yield* logged(976, limits), [])
    }))

  it.effect("names where a pool without a name was made", () =>
    Effect.gen(function*() {
      const logs = collectLogs()
      yield* (yield* TestMonitor).set({ connectionLimit: 1 })
      const { connector } = Scripted.make()
      yield* Effect.scoped(ConnectionPool.make({ connector, maxTotal: 2 })).pipe(Effect.provide(logs.layer))
      assert.match(logs.lines.join(), /^ConnectionPool made at .*LimitCheck\.test\.ts:\d+:\d+\)?: maxTotal is 2, but/)
    }).pipe(Effect.provide(Layer.fresh(ResourceMonitor.layerTest))))
})
