import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Logger } from "effect"
import * as Monitor from "effect-sluice/ResourceMonitor"
import { ResourceMonitor, TestMonitor } from "effect-sluice/ResourceMonitor"
import { TestClock } from "effect/testing"
import * as Fs from "node:fs"
import * as Levels from "../../../src/Monitor/levels/Levels.ts"
import { invalidOption } from "../../support/InvalidOption.ts"

const minute = 60_000
const window = 5 * minute

/** What is reported of a series with one reading a second, each with the minute in which it was found. */
const reports = (foreignAt: (second: number) => number, hours: number) => {
  let state = Levels.initialForeignGrowth
  const found: Array<Levels.GrowthFound & { readonly minute: number }> = []
  for (let second = 0; second < hours * 3600; second++) {
    const next = Levels.observeForeignGrowth(state, { foreign: foreignAt(second), now: second * 1000 }, window)
    state = next.state
    if (next.found !== undefined) found.push({ ...next.found, minute: Math.round(second / 60) })
  }
  return found
}

/** Numbers from 0 to 1 that are the same in each run. */
const seeded = (seed: number) => () => {
  seed = (seed * 1_664_525 + 1_013_904_223) % 2 ** 32
  return seed / 2 ** 32
}

/** A load that swings with the hour and from second to second, and is low for a moment now and then. */
const load = () => {
  const random = seeded(7)
  return (second: number) => Math.floor(Math.abs(Math.sin(second / 600)) * 200 * random()) + 20
}

describe("a load", () => {
  it("that swings for two days is no growth, however far it swings", () => {
    assert.deepStrictEqual(reports(load(), 48), [])
  })

  it("that settles higher is no growth", () => {
    assert.deepStrictEqual(reports((second) => second < 3600 ? 20 : 90, 6), [])
  })
})

describe("a leak", () => {
  it("of one descriptor a minute is found under a load that swings, once, within 25 minutes", () => {
    const swing = load()
    const found = reports((second) => swing(second) + Math.max(Math.floor(second / 60) - 60, 0), 4)
    assert.lengthOf(found, 1)
    assert.isAbove(found[0]?.minute ?? 0, 60 + 10)
    assert.isAtMost(found[0]?.minute ?? Infinity, 60 + 25)
    assert.isAtLeast(found[0]?.rise ?? 0, 10)
    assert.strictEqual(Duration.toMinutes(found[0]?.over ?? Duration.zero), 15)
  })

  it("that stops and begins again is reported again", () => {
    const leak = (second: number) => {
      const at = second / 60
      if (at < 60) return 20 + Math.floor(at)
      if (at < 120) return 80
      return 80 + Math.floor(at - 120)
    }
    const found = reports(leak, 4)
    assert.lengthOf(found, 2)
    assert.isBelow(found[0]?.minute ?? Infinity, 60)
    assert.isAbove(found[1]?.minute ?? 0, 120)
  })

  it("is not made up from what happened while the process stood still", () => {
    let state = Levels.initialForeignGrowth
    let found = 0
    for (let hour = 0; hour < 10; hour++) {
      for (let second = 0; second < 400; second++) {
        const reading = { foreign: 20 + hour, now: hour * 3_600_000 + second * 1000 }
        const next = Levels.observeForeignGrowth(state, reading, window)
        state = next.state
        if (next.found !== undefined) found++
      }
    }
    assert.strictEqual(found, 0)
  })
})

describe("the monitor", () => {
  it.effect("reports what is not in its ledger, once, and counts its own connections out", () =>
    Effect.gen(function*() {
      const monitor = yield* ResourceMonitor
      const test = yield* TestMonitor
      const tracked = monitor.track({ label: "db" })
      for (let step = 0; step < 40; step++) {
        // Its own connections rise as well, and nobody else's do, for the first 20 minutes.
        yield* tracked
        const foreign = step < 20 ? 30 : 30 + step
        yield* test.set({ descriptors: foreign + step + 1 })
        yield* TestClock.adjust("1 minute")
        if (step === 19) assert.lengthOf(yield* monitor.recentLeaks(), 0)
      }
      const leaks = yield* monitor.recentLeaks()
      assert.lengthOf(leaks, 1)
      const [drift] = leaks
      assert(drift?._tag === "ForeignGrowth")
      assert.isUndefined(drift.kinds)
      assert.match(
        drift.message,
        /^\d+ descriptors that are not effect-sluice's were opened within 15m and not closed; \d+ are open; their kinds could not be read$/
      )
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(Monitor.layerTest, Logger.layer([])))))

  it.live("says what the descriptors of the process are", () =>
    Effect.gen(function*() {
      const monitor = yield* ResourceMonitor
      const opened: Array<number> = []
      yield* Effect.addFinalizer(() => Effect.sync(() => opened.forEach((descriptor) => Fs.closeSync(descriptor))))
      for (let step = 0; step < 60 && (yield* monitor.recentLeaks()).length === 0; step++) {
        for (let count = 0; count < 5; count++) opened.push(Fs.openSync(import.meta.filename, "r"))
        yield* monitor.sample
        yield* Effect.sleep("20 millis")
      }
      const [drift] = yield* monitor.recentLeaks()
      assert(drift?._tag === "ForeignGrowth")
      assert.isAtLeast(drift.rise, 10)
      const files = drift.kinds?.find(({ kind }) => kind === "file")?.count ?? 0
      assert.isAtLeast(files, drift.rise)
      assert.match(drift.message, /; the process has \d+ file, \d+ /)
    }).pipe(
      Effect.scoped,
      Effect.provide(
        Layer.merge(
          Monitor.layerOptions({ foreignGrowthWindow: "60 millis", maxDescriptors: Infinity }),
          Logger.layer([])
        )
      )
    ))

  it.effect("refuses a window that makes no sense, and none is one", () =>
    Effect.gen(function*() {
      for (const foreignGrowthWindow of [0, -1]) {
        const error = yield* invalidOption(Effect.scoped(Layer.build(Monitor.layerOptions({ foreignGrowthWindow }))))
        assert.match(error.message, /option foreignGrowthWindow is/)
      }
      yield* Effect.scoped(Layer.build(Monitor.layerOptions({ foreignGrowthWindow: Infinity })))
    }))
})
