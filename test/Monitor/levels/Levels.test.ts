import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Duration, Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import * as Reading from "effect-sluice/Reading"
import * as Monitor from "effect-sluice/ResourceMonitor"
import { ResourceMonitor, TestMonitor } from "effect-sluice/ResourceMonitor"
import { TestClock } from "effect/testing"
import * as Levels from "../../../src/Monitor/levels/Levels.ts"
import { limitsText, system } from "../support.ts"

const inTestMonitor = <A, E>(
  body: (monitor: ResourceMonitor["Service"], test: TestMonitor["Service"]) => Effect.Effect<A, E, Scope.Scope>
) =>
  Effect.flatMap(Effect.all([ResourceMonitor, TestMonitor]), ([monitor, test]) => body(monitor, test)).pipe(
    Effect.scoped,
    Effect.provide(Monitor.layerTest)
  )

const seconds = (test: TestMonitor["Service"], count: number, readings: (second: number) => Monitor.TestReadings) =>
  Effect.forEach(
    Array.from({ length: count }, (_, second) => second),
    (second) => Effect.andThen(test.set(readings(second)), TestClock.adjust("1 second")),
    { discard: true }
  )

const messages = (monitor: ResourceMonitor["Service"]) =>
  Effect.map(monitor.recentAlerts(), (alerts) => alerts.map(({ message }) => message))

describe("an alert", () => {
  it.effect("is given once for each level that is reached, with the numbers", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        yield* monitor.reserve({ label: "db:5432", descriptors: 20 })
        yield* seconds(test, 5, () => ({ descriptors: 690 }))
        yield* seconds(test, 5, () => ({ descriptors: 880 }))
        yield* seconds(test, 5, () => ({ descriptors: 980 }))
        assert.deepStrictEqual(yield* messages(monitor), [
          "descriptors: Normal -> Warning, 690 used + 20 reserved of 1000 (71 %)",
          "descriptors: Warning -> Critical, 880 used + 20 reserved of 1000 (90 %)",
          "descriptors: Critical -> Exhausted, 980 used + 20 reserved of 1000 (100 %)"
        ])
      })
    ))

  it.effect("tells the peak and the duration of what is over", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        yield* seconds(test, 10, () => ({ descriptors: 750 }))
        yield* seconds(test, 10, () => ({ descriptors: 960 }))
        yield* seconds(test, 11, () => ({ descriptors: 700 }))
        yield* seconds(test, 11, () => ({ descriptors: 100 }))
        const alerts = yield* monitor.recentAlerts()
        assert.deepStrictEqual(alerts.map(({ _tag, level }) => [_tag, level]), [
          ["Raised", "Warning"],
          ["Raised", "Critical"],
          ["Recovered", "Warning"],
          ["Recovered", "Normal"]
        ])
        const [, , fromCritical, fromWarning] = alerts
        assert(fromCritical?._tag === "Recovered" && fromWarning?._tag === "Recovered")
        assert.deepInclude(fromCritical, { from: "Critical", peak: 960, used: 700, duration: Duration.seconds(20) })
        assert.deepInclude(fromWarning, { from: "Warning", peak: 960, used: 100, duration: Duration.seconds(41) })
        assert.strictEqual(
          fromWarning.message,
          "descriptors: Warning -> Normal, 100 used of 1000 (10 %); peak 960, above Normal for 41s"
        )
      })
    ))

  it.effect("is one recovery where a figure falls through several levels at once", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        yield* seconds(test, 5, () => ({ descriptors: 1000 }))
        yield* seconds(test, 11, () => ({ descriptors: 10 }))
        const alerts = yield* monitor.recentAlerts()
        assert.deepStrictEqual(alerts.map(({ _tag, level }) => [_tag, level]), [
          ["Raised", "Exhausted"],
          ["Recovered", "Normal"]
        ])
        assert(alerts[1]?._tag === "Recovered")
        assert.deepInclude(alerts[1], { from: "Exhausted", peak: 1000, duration: Duration.seconds(15) })
      })
    ))

  it.effect("is none where a reading fails, whatever was before", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        yield* test.set({ descriptors: 950 })
        const unreadable: ReadonlyArray<Monitor.TestReadings> = [
          { descriptors: Reading.unknown("Missing", "test") },
          { descriptors: Reading.unknown("Denied", "test") },
          { descriptors: 10, descriptorLimit: Reading.unknown("Unsupported", "test") },
          { descriptors: Number.NaN, descriptorLimit: 1000 },
          { descriptors: 10, descriptorLimit: Number.NaN }
        ]
        for (const readings of unreadable) {
          yield* seconds(test, 60, () => readings)
          assert.strictEqual(yield* monitor.level, "Critical")
        }
        assert.lengthOf(yield* monitor.recentAlerts(), 1)
      })
    ))

  it.effect("says that the count itself met EMFILE", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        yield* test.set({ descriptors: Reading.fromFailure({ code: "EMFILE" }, "test") })
        assert.deepStrictEqual(yield* messages(monitor), [
          "descriptors: Normal -> Exhausted, EMFILE while counting, of 1000"
        ])
        yield* seconds(test, 11, () => ({ descriptors: 10 }))
        const [, recovered] = yield* monitor.recentAlerts()
        assert(recovered?._tag === "Recovered")
        assert.deepInclude(recovered, { peak: 1000, from: "Exhausted", level: "Normal" })
      })
    ))

  it.effect("is a recovery where the limit is lifted", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        yield* test.set({ memory: 950 * 1024 * 1024, memoryLimit: 1000 * 1024 * 1024 })
        yield* seconds(test, 11, () => ({ memoryLimit: Reading.unlimited("test") }))
        assert.deepStrictEqual(yield* messages(monitor), [
          "memory: Normal -> Critical, 950 MiB used of 1000 MiB (95 %)",
          "memory: Critical -> Normal, 950 MiB used of no limit; peak 950 MiB, above Normal for 10s"
        ])
      })
    ))

  it.effect("names the figure, of which each has a level of its own", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        yield* test.set({ descriptors: 750, memory: 1024 * 1024 * 1000, connectionLimit: 2 })
        yield* Effect.andThen(monitor.track({ label: "a" }), monitor.track({ label: "b" }))
        yield* test.tick
        const alerts = yield* monitor.recentAlerts()
        assert.deepStrictEqual(alerts.map(({ level, resource }) => [resource, level]), [
          ["descriptors", "Warning"],
          ["memory", "Critical"],
          ["connections", "Exhausted"]
        ])
        assert.strictEqual(yield* monitor.level, "Exhausted")
      })
    ))

  it("names the places that have most connections open", () => {
    const usage: Monitor.Usage = {
      descriptors: { used: Reading.known(95, 0, "test"), limit: Reading.known(100, 0, "test") },
      reserved: 0,
      memory: { used: Reading.known(0, 0, "test"), limit: Reading.unlimited("test") },
      connections: { used: Reading.known(0, 0, "test"), limit: Reading.unlimited("test") },
      level: "Critical"
    }
    const rules = {
      warningThreshold: 0.7,
      errorThreshold: 0.9,
      band: 0.1,
      samples: 3,
      hold: 10_000,
      horizon: 60
    }
    const sites = () => [{ site: "load (users.ts:12:5)", open: 60 }, { site: "save (users.ts:40:9)", open: 9 }]
    const { alerts } = Levels.observe(Levels.initial, { usage, own: 0, at: 0, now: 0 }, rules, sites)
    assert.deepStrictEqual(alerts.map(({ message }) => message), [
      "descriptors: Normal -> Critical, 95 used of 100 (95 %); open from load (users.ts:12:5) (60), save (users.ts:40:9) (9)"
    ])
  })
})

describe("a projection", () => {
  it.effect("comes once, before the threshold is met, with the remaining time", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        yield* seconds(test, 60, (second) => ({ descriptors: 100 + 15 * second }))
        const alerts = yield* monitor.recentAlerts()
        assert.deepStrictEqual(alerts.map(({ _tag }) => _tag), ["Forecast", "Raised", "Raised"])
        const [projected] = alerts
        assert(projected?._tag === "Forecast")
        assert.deepInclude(projected, { level: "Normal", used: 265, slope: 15, secondsToLimit: 49 })
        assert.strictEqual(
          projected.message,
          "descriptors: at its limit in 49 s at this rate (15 more each second), Normal, 265 used of 1000 (26.5 %)"
        )
      })
    ))

  it.effect("comes again only after the limit was far away for five horizons", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        const projections = Effect.map(
          monitor.recentAlerts(),
          (alerts) => alerts.filter(({ _tag }) => _tag === "Forecast").length
        )
        const swing = seconds(test, 60, (second) => ({ descriptors: 400 + 250 * Math.sin(second / 60 * 2 * Math.PI) }))
        for (let minute = 0; minute < 10; minute++) yield* swing
        assert.strictEqual(yield* projections, 1)
        const growth = seconds(test, 30, (second) => ({ descriptors: 100 + 15 * second }))
        yield* seconds(test, 200, () => ({ descriptors: 100 }))
        yield* growth
        assert.strictEqual(yield* projections, 1, "near again before five horizons have passed")
        yield* seconds(test, 330, () => ({ descriptors: 100 }))
        yield* growth
        assert.strictEqual(yield* projections, 2)
      })
    ))

  it.effect("is none where the limit is there already", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        yield* seconds(test, 20, (second) => ({ descriptors: 905 + 4 * second }))
        const alerts = yield* monitor.recentAlerts()
        assert.deepStrictEqual(alerts.map(({ _tag, level }) => [_tag, level]), [["Raised", "Critical"]])
      })
    ))
})

describe("recentAlerts", () => {
  const alert = (n: number) =>
    new Monitor.Raised({
      resource: "descriptors",
      at: n,
      used: n,
      code: undefined,
      reserved: 0,
      limit: 1000,
      level: "Warning",
      from: "Normal",
      sites: []
    })

  it.effect("are the last hundred, the oldest first", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        for (let n = 1; n <= 250; n++) yield* test.alert(alert(n))
        const at = (count?: number) => Effect.map(monitor.recentAlerts(count), (alerts) => alerts.map(({ at }) => at))
        assert.deepStrictEqual(yield* at(3), [248, 249, 250])
        assert.deepStrictEqual(yield* at(0), [])
        const all = yield* at()
        assert.deepStrictEqual([all.length, all[0], all.at(-1)], [100, 151, 250])
        assert.lengthOf(yield* at(1000), 100)
      })
    ))

  it.effect("die on a count that is none", () =>
    inTestMonitor((monitor) =>
      Effect.gen(function*() {
        for (const count of [-1, 1.5, Number.NaN]) {
          const exit = yield* Effect.exit(monitor.recentAlerts(count))
          assert(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
          assert.match(
            String(Cause.squash(exit.cause)),
            /option count is .*, but it must be a whole number of at least 0/
          )
        }
      })
    ))
})

/** Collects what a stream emits until the scope ends. */
const collected = <A>(stream: Stream.Stream<A>) =>
  Effect.gen(function*() {
    const seen: Array<A> = []
    const fiber = yield* Effect.forkScoped(Stream.runForEach(stream, (value) => Effect.sync(() => seen.push(value))), {
      startImmediately: true
    })
    return { seen, fiber }
  })

const settled = Effect.forEach(Array.from({ length: 10 }), () => Effect.yieldNow)

describe("levels", () => {
  it.effect("begin with the level in force, and then tell each change once", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        yield* test.set({ descriptors: 750 })
        const { seen } = yield* collected(monitor.levels)
        yield* settled
        assert.deepStrictEqual(seen, ["Warning"])
        yield* seconds(test, 5, () => ({ descriptors: 950 }))
        yield* seconds(test, 11, () => ({ descriptors: 100 }))
        yield* settled
        assert.deepStrictEqual(seen, ["Warning", "Critical", "Normal"])
        const second = yield* collected(monitor.levels)
        yield* settled
        assert.deepStrictEqual(second.seen, ["Normal"])
      })
    ))

  it.effect("agree with level, which is never better than the readings", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        const { seen } = yield* collected(monitor.levels)
        yield* monitor.reserve({ label: "a", descriptors: 750 })
        assert.strictEqual(yield* monitor.level, "Warning")
        yield* settled
        assert.deepStrictEqual(seen, ["Normal", "Warning"])
        yield* test.set({ descriptors: 200 })
        assert.deepStrictEqual([yield* monitor.level, (yield* monitor.usage).level], ["Critical", "Critical"])
        yield* test.set({ descriptors: 0, descriptorLimit: 100_000 })
        assert.deepStrictEqual([yield* monitor.level, (yield* monitor.usage).level], ["Critical", "Normal"])
      })
    ))

  it.effect("may be read again by a subscriber", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        const seen: Array<string> = []
        yield* Effect.forkScoped(
          Stream.runForEach(
            monitor.levels,
            (level) => Effect.map(monitor.level, (now) => seen.push(`${level} ${now}`))
          ),
          { startImmediately: true }
        )
        yield* test.setLevel("Exhausted")
        yield* settled
        assert.deepStrictEqual(seen, ["Normal Normal", "Exhausted Exhausted"])
      })
    ))

  it.effect("end with the monitor, and what is left of it does not fail", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(Monitor.layerTest, scope)
      const [monitor, test] = yield* Effect.all([ResourceMonitor, TestMonitor]).pipe(Effect.provideContext(context))
      const levels = yield* collected(monitor.levels)
      const alerts = yield* collected(monitor.alerts)
      yield* settled
      yield* Scope.close(scope, Exit.void)
      yield* Fiber.join(levels.fiber)
      yield* Fiber.join(alerts.fiber)
      yield* test.set({ descriptors: 950 })
      assert.strictEqual(yield* monitor.level, "Critical")
      assert.deepStrictEqual([levels.seen, alerts.seen], [["Normal"], []])
      const late = yield* Effect.all([Stream.runCollect(monitor.levels), Stream.runCollect(monitor.alerts)])
      assert.deepStrictEqual(late, [[], []])
    }))

  it.effect("a subscriber receives what was published before the end", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(Monitor.layerTest, scope)
      const [monitor, test] = yield* Effect.all([ResourceMonitor, TestMonitor]).pipe(Effect.provideContext(context))
      const levels = yield* collected(monitor.levels)
      const alerts = yield* collected(monitor.alerts)
      yield* settled
      for (let i = 0; i < 60; i++) {
        yield* test.setLevel("Critical")
        yield* test.setLevel("Normal")
      }
      yield* test.set({ descriptors: 950 })
      yield* Scope.close(scope, Exit.void)
      yield* Fiber.join(levels.fiber)
      yield* Fiber.join(alerts.fiber)
      assert.strictEqual(levels.seen.at(-1), "Critical")
      assert.lengthOf(alerts.seen, 100)
      assert.deepStrictEqual(alerts.seen, yield* monitor.recentAlerts())
    }))

  it.effect("a slow subscriber misses older ones, never the last, and delays no other", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        const seen: Array<string> = []
        const hold = yield* Deferred.make<void>()
        yield* Effect.forkScoped(
          Stream.runForEach(monitor.levels, (level) =>
            Effect.tap(Effect.sync(() => seen.push(level)), () => Deferred.await(hold))),
          { startImmediately: true }
        )
        for (let i = 0; i < 50; i++) {
          yield* test.setLevel("Warning")
          yield* test.setLevel("Normal")
        }
        yield* test.setLevel("Critical")
        yield* Deferred.succeed(hold, undefined)
        yield* Effect.forEach(Array.from({ length: 100 }), () =>
          Effect.yieldNow)
        assert.isBelow(seen.length, 50)
        assert.strictEqual(seen.at(-1), "Critical")
      })
    ))
})

describe("the monitor of a process", () => {
  it.effect("looks by itself, and tells", () =>
    Effect.gen(function*() {
      const { layer, script } = system({ size: 3 })
      yield* Effect.gen(function*() {
        const monitor = yield* ResourceMonitor
        const levels = yield* collected(monitor.levels)
        const alerts = yield* collected(monitor.alerts)
        yield* settled
        script.size = 953
        for (let i = 0; i < 60; i++) yield* Effect.andThen(TestClock.adjust("100 millis"), Effect.yieldNow)
        assert.deepStrictEqual(levels.seen, ["Normal", "Critical"])
        assert.deepStrictEqual(alerts.seen.map(({ message }) => message), [
          "descriptors: Normal -> Critical, 950 used of 1000 (95 %)"
        ])
        script.size = 3
        for (let i = 0; i < 200; i++) yield* Effect.andThen(TestClock.adjust("100 millis"), Effect.yieldNow)
        assert.deepStrictEqual(levels.seen, ["Normal", "Critical", "Normal"])
      }).pipe(Effect.scoped, Effect.provide(Layer.fresh(Monitor.layer).pipe(Layer.provide(layer))))
    }))

  it.effect("reads more often the nearer a limit is, so that a forecast comes before a threshold is met", () =>
    Effect.gen(function*() {
      const { calls, layer, script } = system({ limits: limitsText("128"), size: 25 })
      yield* Effect.gen(function*() {
        const monitor = yield* ResourceMonitor
        const pass = (quarters: number, growth: number) =>
          Effect.forEach(Array.from({ length: quarters }), () =>
            Effect.suspend(() => {
              script.size = Number(script.size) + growth / 4
              return Effect.andThen(TestClock.adjust("250 millis"), Effect.yieldNow)
            }), { discard: true })
        yield* pass(160, 0)
        const before = calls.size
        yield* pass(80, 0)
        const calm = calls.size
        yield* pass(80, 3)
        assert.isAtLeast(calls.size - calm, 2 * (calm - before), "readings in twenty seconds")
        const alerts = yield* monitor.recentAlerts()
        assert.deepStrictEqual(alerts.map(({ _tag, level }) => [_tag, level]), [
          ["Forecast", "Normal"],
          ["Raised", "Warning"]
        ])
      }).pipe(Effect.provide(Layer.fresh(Monitor.layer).pipe(Layer.provide(layer))))
    }))

  it.effect("does not wait for the timer when the gate meets what is critical", () =>
    Effect.gen(function*() {
      const { layer, script } = system({ size: 3 })
      yield* Effect.gen(function*() {
        const monitor = yield* ResourceMonitor
        const { seen } = yield* collected(monitor.levels)
        yield* settled
        script.size = 753
        yield* Effect.scoped(monitor.reserve({ label: "a" }))
        yield* settled
        assert.deepStrictEqual(seen, ["Normal"], "the timer is soon enough for that")
        script.size = 983
        for (let i = 0; i < 5; i++) yield* Effect.exit(Effect.scoped(monitor.reserve({ label: "a" })))
        yield* settled
        assert.deepStrictEqual(seen, ["Normal", "Critical"])
        assert.lengthOf(yield* monitor.recentAlerts(), 1)
      }).pipe(Effect.scoped, Effect.provide(Layer.fresh(Monitor.layer).pipe(Layer.provide(layer))))
    }))

  it.effect("starts with the level that it finds", () =>
    Effect.gen(function*() {
      const { layer } = system({ size: 953 })
      const seen = yield* Effect.gen(function*() {
        const monitor = yield* ResourceMonitor
        const alerts = yield* monitor.recentAlerts()
        return [yield* Stream.runCollect(Stream.take(monitor.levels, 1)), alerts.length]
      }).pipe(Effect.provide(Layer.fresh(Monitor.layer).pipe(Layer.provide(layer))))
      assert.deepStrictEqual(seen, [["Critical"], 1])
    }))

  it.effect("counts its own descriptors against the process's limit in alerts too", () =>
    Effect.gen(function*() {
      const { layer } = system({ size: 1024 })
      const alerts = yield* Effect.flatMap(ResourceMonitor, (monitor) => monitor.recentAlerts()).pipe(
        Effect.provide(Layer.fresh(Monitor.layerOptions({ maxDescriptors: Infinity })).pipe(Layer.provide(layer)))
      )
      assert.deepStrictEqual(alerts.map(({ message }) => message), [
        "descriptors: Normal -> Exhausted, 1024 used of 1024 (100 %)"
      ])
    }))
})
