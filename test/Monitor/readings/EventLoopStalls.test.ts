/**
 * Stalls of the event loop: what counts as one, and how often one is logged.
 */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer } from "effect"
import * as Monitor from "effect-sluice/ResourceMonitor"
import { ResourceMonitor, TestMonitor } from "effect-sluice/ResourceMonitor"
import { TestClock } from "effect/testing"
import { makeRecord, resolution, stallOf, watch } from "../../../src/Monitor/readings/EventLoopStalls.ts"
import { ProcReader } from "../../../src/Monitor/readings/Procfs.ts"
import { collectLogs } from "../../support/Pools.ts"
import { stall } from "../../support/stall.ts"

describe("a check of the event loop", () => {
  it("finds a stall of more than a second, wherever between two measured turns it began", () => {
    for (const before of [0, 100, resolution]) {
      assert.strictEqual(stallOf({ active: 1200, longest: 1200 + before }), 1200)
    }
    assert.isUndefined(stallOf({ active: 900, longest: 900 + resolution }))
    assert.isUndefined(stallOf({ active: 0, longest: 0 }))
  })

  it("finds none when the process was suspended while the loop was idle", () => {
    assert.isUndefined(stallOf({ active: 3, longest: 60_000 }))
    assert.isUndefined(stallOf({ active: 2000, longest: 60_000 }))
  })

  it("finds none when the loop was busy and turned", () => {
    assert.isUndefined(stallOf({ active: 5000, longest: 600 }))
  })

  it("takes the time between two turns where the runtime does not say how long the loop was busy", () => {
    assert.strictEqual(stallOf({ active: undefined, longest: 2000 }), 2000)
    assert.isUndefined(stallOf({ active: undefined, longest: 900 }))
  })
})

describe("the stalls of a monitor", () => {
  it.live("are counted with the longest, and logged", () => {
    const { layer, lines } = collectLogs()
    return Effect.gen(function*() {
      const monitor = yield* ResourceMonitor
      assert.deepStrictEqual(yield* monitor.eventLoop, { count: 0, longest: 0 })
      // The first turn that is measured begins a time, and the next one ends it.
      yield* Effect.sleep("600 millis")
      stall(1300)
      const deadline = Effect.timeout(
        Effect.repeat(Effect.andThen(Effect.sleep("20 millis"), monitor.eventLoop), {
          until: ({ count }) => count > 0
        }),
        "5 seconds"
      )
      const { count, longest } = yield* deadline
      assert.strictEqual(count, 1)
      assert.isAtLeast(longest, 1200)
      assert.match(lines.join("\n"), /^ResourceMonitor: the event loop stood still for \d+\.\d s$/)
    }).pipe(Effect.provide(Layer.provideMerge(Layer.fresh(Monitor.layer), layer)))
  })

  it.live("are counted one by one, however often the count is read, and are the delay of a tick", () =>
    Effect.gen(function*() {
      const record = yield* makeRecord
      const { check, longestDelay } = yield* watch(yield* ProcReader, record)
      for (let i = 1; i <= 2; i++) {
        yield* Effect.repeat(Effect.andThen(Effect.sleep("20 millis"), Effect.sync(check)), { times: 30 })
        stall(1300)
        yield* Effect.sleep("50 millis")
        check()
        check()
        assert.strictEqual(record.stalls().count, i)
      }
      assert.isAtLeast(longestDelay(), 1000)
      yield* Effect.sleep("600 millis")
      assert.isBelow(longestDelay(), 1000)
      assert.strictEqual(record.stalls().count, 2)
    }))

  it.effect("have one line at once, and then one a minute with their number", () => {
    const { layer, lines } = collectLogs()
    return Effect.gen(function*() {
      const [monitor, test] = yield* Effect.all([ResourceMonitor, TestMonitor])
      yield* test.stall("1200 millis")
      assert.lengthOf(lines, 1)
      for (let i = 1; i <= 10; i++) yield* test.stall(Duration.seconds(i))
      yield* TestClock.adjust("59 seconds")
      assert.lengthOf(lines, 1)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(lines, [
        "ResourceMonitor: the event loop stood still for 1.2 s",
        "ResourceMonitor: the event loop stood still 10 times within 1m, for up to 10.0 s"
      ])
      assert.deepStrictEqual(yield* monitor.eventLoop, { count: 11, longest: 10_000 })
      // The next line comes at the end of the next minute, not at once.
      yield* test.stall("2 seconds")
      assert.lengthOf(lines, 2)
      yield* TestClock.adjust("1 minute")
      assert.lengthOf(lines, 3)
      yield* TestClock.adjust("1 minute")
      yield* test.stall("2 seconds")
      assert.lengthOf(lines, 4)
    }).pipe(Effect.provide(Layer.provideMerge(Monitor.layerTest, layer)))
  })
})
