import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { TestMonitor } from "effect-sluice/ResourceMonitor"
import { collectLogs } from "../support/Pools.ts"
import * as Scripted from "../support/ScriptedConnector.ts"

/** What is logged when a pool with this cap is made under these limits. */
const logged = (maxTotal: number, limits: ResourceMonitor.TestReadings) =>
  Effect.gen(function*() {
    const logs = collectLogs()
    const test = yield* TestMonitor
    yield* test.set(limits)
    const { connector } = Scripted.make()
    yield* Effect.scoped(ConnectionPool.make({ connector, maxTotal })).pipe(Effect.provide(logs.layer))
    return logs.lines
  }).pipe(Effect.provide(Layer.fresh(ResourceMonitor.layerTest)))

describe("maxTotal above a limit of the monitor", () => {
  it.effect("is reported when the pool is made, with each limit that is below it", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* logged(101, { connectionLimit: 100 }), [
        "ConnectionPool: maxTotal is 101, but ResourceMonitor admits at most 100 connections (from test): " +
        "the pool cannot open as many connections as it may"
      ])
      assert.deepStrictEqual(yield* logged(101, { connectionLimit: 50, descriptorLimit: 64 }), [
        "ConnectionPool: maxTotal is 101, but ResourceMonitor admits at most 50 connections (from test) and " +
        "64 descriptors (from test): the pool cannot open as many connections as it may"
      ])
    }))

  it.effect("is nothing to report where no limit is below it", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* logged(100, { connectionLimit: 100 }), [])
    }))
})
