import { assert, describe, it } from "@effect/vitest"
import { Cause, Config, ConfigProvider, Deferred, Effect, Exit, Fiber, Layer, Scope } from "effect"
import * as Reading from "effect-sluice/Reading"
import * as Monitor from "effect-sluice/ResourceMonitor"
import { ResourceMonitor, TestMonitor } from "effect-sluice/ResourceMonitor"
import { TestClock } from "effect/testing"
import { invalidOption } from "../support/InvalidOption.ts"
import { limitsText, system } from "./support.ts"

const label = "db:5432"

const inTestMonitor = <A, E>(
  body: (
    monitor: ResourceMonitor["Service"],
    test: TestMonitor["Service"]
  ) => Effect.Effect<A, E, Scope.Scope>
) =>
  Effect.flatMap(Effect.all([ResourceMonitor, TestMonitor]), ([monitor, test]) => body(monitor, test)).pipe(
    Effect.scoped,
    Effect.provide(Monitor.layerTest)
  )

describe("reserve", () => {
  it.effect("admits exactly as many as fit, in a burst", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        yield* test.set({ descriptors: 900, connectionLimit: 10_000 })
        const exits = yield* Effect.forEach(
          Array.from({ length: 500 }),
          () => Effect.exit(monitor.reserve({ label })),
          { concurrency: "unbounded" }
        )
        assert.strictEqual(exits.filter(Exit.isSuccess).length, 1000 - 24 - 900)
        assert.strictEqual(yield* test.reserved, 76)
        assert.strictEqual((yield* monitor.usage).reserved, 76)
        assert.deepStrictEqual([yield* test.admitted, yield* test.refused], [76, 424])
      })
    ))

  it.effect("ends the reservation exactly once, however the scope ends", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        const claim = monitor.reserve({ label, descriptors: 3 })
        const during = yield* Effect.scoped(Effect.andThen(claim, test.reserved))
        assert.deepStrictEqual([during, yield* test.reserved], [3, 0])
        yield* Effect.exit(Effect.scoped(Effect.andThen(claim, Effect.fail("no"))))
        assert.strictEqual(yield* test.reserved, 0)
        yield* Effect.exit(Effect.scoped(Effect.andThen(claim, Effect.die("no"))))
        assert.strictEqual(yield* test.reserved, 0)
        const fiber = yield* Effect.scoped(Effect.andThen(claim, Effect.never)).pipe(
          Effect.forkChild({ startImmediately: true })
        )
        assert.strictEqual(yield* test.reserved, 3)
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(yield* test.reserved, 0)
        const scope = yield* Scope.make()
        yield* Scope.provide(claim, scope)
        yield* Scope.close(scope, Exit.void)
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual(yield* test.reserved, 0)
      })
    ))

  it.effect("leaves nothing reserved when a thousand fibers are interrupted at any point", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        yield* test.set({ descriptorLimit: 100_000, connectionLimit: 100_000 })
        const go = yield* Deferred.make<void>()
        const fibers = yield* Effect.forEach(
          Array.from({ length: 1000 }),
          (_, i) =>
            Effect.scoped(Effect.gen(function*() {
              if (i % 3 === 0) yield* Effect.yieldNow
              yield* monitor.reserve({ label })
              if (i % 3 === 1) yield* Effect.yieldNow
              yield* Deferred.await(go)
            })).pipe(Effect.forkChild({ startImmediately: i % 2 === 0 }))
        )
        yield* Fiber.interruptAll(fibers)
        assert.strictEqual(yield* test.reserved, 0)
      })
    ))

  it.effect("names the numbers when it refuses", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        yield* test.set({ descriptors: 974 })
        yield* monitor.reserve({ label })
        const refusal = yield* Effect.flip(monitor.reserve({ label, descriptors: 2 }))
        assert.strictEqual(
          refusal.message,
          "no room to open db:5432: 974 descriptors used + 1 reserved + 2 requested > limit 1000 - headroom 24 (level Critical)"
        )
        assert.deepStrictEqual([refusal._tag, refusal.isRetryable], ["ResourceExhausted", true])
      })
    ))

  it.effect("refuses a retry from Critical on, and says so, while first attempts pass", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        yield* test.set({ descriptors: 899 })
        yield* Effect.scoped(monitor.reserve({ label, attempt: 1 }))
        yield* test.set({ descriptors: 900 })
        const refusal = yield* Effect.flip(monitor.reserve({ label, attempt: 1 }))
        assert.strictEqual(
          refusal.message,
          "no room to open db:5432: 900 descriptors used + 0 reserved + 1 requested of limit 1000, " +
            "and retries are refused from level Critical on (level Critical)"
        )
        yield* monitor.reserve({ label, attempt: 0 })
      })
    ))

  it.effect("bounds own connections, open and opening together", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        yield* test.set({ connectionLimit: 5 })
        yield* Effect.forEach([1, 2, 3], () => monitor.track({ label }))
        yield* monitor.reserve({ label, descriptors: 4 })
        const scope = yield* Scope.make()
        yield* Scope.provide(monitor.reserve({ label }), scope)
        const refusal = yield* Effect.flip(monitor.reserve({ label }))
        assert.strictEqual(
          refusal.message,
          "no room to open db:5432: 3 connections used + 2 reserved + 1 requested > limit 5 - headroom 0 (level Normal)"
        )
        yield* Scope.close(scope, Exit.void)
        yield* monitor.reserve({ label })
      })
    ))

  it.effect("refuses for memory only when the limit is reached, retries too", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        yield* test.set({ memory: 999, memoryLimit: 1000 })
        assert.strictEqual(yield* monitor.level, "Critical")
        yield* monitor.reserve({ label })
        yield* monitor.reserve({ label, attempt: 3 })
        yield* test.set({ memory: 1000 })
        const refusal = yield* Effect.flip(monitor.reserve({ label }))
        assert.strictEqual(
          refusal.message,
          "no room to open db:5432: 1000 memory used >= limit 1000 bytes (level Exhausted)"
        )
      })
    ))

  it.effect("gates by the ledger where the count is unknown, and never refuses for that alone", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        const missing = Reading.unknown("Missing", "test")
        yield* test.set({ descriptors: missing, descriptorLimit: 100, connectionLimit: missing, memory: missing })
        assert.strictEqual(yield* monitor.level, "Normal")
        yield* Effect.forEach(Array.from({ length: 75 }), () => monitor.track({ label }))
        yield* monitor.reserve({ label })
        const refusal = yield* Effect.flip(monitor.reserve({ label }))
        assert.deepStrictEqual([refusal.used, refusal.reserved, refusal.limit], [75, 1, 100])
        yield* test.set({ descriptorLimit: missing })
        yield* monitor.reserve({ label })
      })
    ))

  it.effect("refuses when the count met EMFILE", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        yield* test.set({ descriptors: Reading.fromFailure({ code: "EMFILE" }, "test") })
        const refusal = yield* Effect.flip(monitor.reserve({ label }))
        assert.deepStrictEqual([refusal.resource, refusal.used, refusal.level], ["descriptors", 1000, "Exhausted"])
      })
    ))

  it.effect("asks and reserves nothing for a request of no descriptor", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        yield* test.set({ connectionLimit: 1 })
        yield* monitor.track({ label })
        yield* monitor.reserve({ label, descriptors: 0 })
        assert.strictEqual(yield* test.reserved, 0)
        yield* test.set({ descriptors: 977 })
        yield* Effect.flip(monitor.reserve({ label, descriptors: 0 }))
      })
    ))

  it.effect("dies on a count that is none, and the counters stay sound", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        for (const descriptors of [Number.NaN, -1, 1.5, Infinity]) {
          const exit = yield* Effect.exit(monitor.reserve({ label, descriptors }))
          assert(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
        }
        assert.strictEqual(yield* test.reserved, 0)
      })
    ))
})

describe("track", () => {
  it.effect("counts open connections by label until their scopes close", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        yield* Scope.provide(monitor.track({ label: "a" }), scope)
        yield* monitor.track({ label: "a" })
        yield* monitor.track({ label: "b" })
        assert.deepStrictEqual([...yield* test.tracked], [["a", 2], ["b", 1]])
        yield* Scope.close(scope, Exit.void)
        assert.deepStrictEqual([...yield* test.tracked], [["a", 1], ["b", 1]])
        const { connections } = yield* monitor.usage
        assert.deepStrictEqual(connections.used, Reading.known(2, 0, "ledger"))
      })
    ))

  it.effect("forgets a label with its last connection", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        yield* Effect.scoped(monitor.track({ label: "a" }))
        assert.strictEqual((yield* test.tracked).size, 0)
      })
    ))

  it.effect("does the same without a scope: an entry ends once", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        yield* test.set({ connectionLimit: 2 })
        const claim = yield* monitor.reserve({ label: "a" })
        const { unsafe } = monitor.track
        assert.isDefined(unsafe)
        const [first, second] = [
          unsafe({ label: "a" }, claim),
          unsafe({ label: "a" }, yield* Monitor.CurrentReservation)
        ]
        assert.deepStrictEqual([...yield* test.tracked], [["a", 2]])
        second.end()
        second.end()
        assert.deepStrictEqual([...yield* test.tracked], [["a", 1]])
        first.end()
        assert.deepStrictEqual([...yield* test.tracked], [])
      })
    ))
})

describe("layer", () => {
  const refused: ReadonlyArray<readonly [Monitor.Options, string]> = [
    [{ maxDescriptors: Number.NaN }, "maxDescriptors is NaN, but it must be a whole number of at least 1, or Infinity"],
    [{ maxDescriptors: 0 }, "maxDescriptors is 0, but it must be a whole number of at least 1, or Infinity"],
    [{ maxMemory: -1 }, "maxMemory is -1, but it must be a whole number of at least 1, or Infinity"],
    [{ maxConnections: 1.5 }, "maxConnections is 1.5, but it must be a whole number of at least 1, or Infinity"],
    [{ errorThreshold: 1.1 }, "errorThreshold is 1.1, but it must be above 0 and at most 1"],
    [{ errorThreshold: Number.NaN }, "errorThreshold is NaN, but it must be above 0 and at most 1"],
    [{ warningThreshold: 0 }, "warningThreshold is 0, but it must be above 0 and at most errorThreshold 0.9"],
    [{ warningThreshold: 0.95 }, "warningThreshold is 0.95, but it must be above 0 and at most errorThreshold 0.9"],
    [{ recoveryBand: -0.1 }, "recoveryBand is -0.1, but it must be from 0 to 0.9"],
    [{ recoveryBand: 1 }, "recoveryBand is 1, but it must be from 0 to 0.9"],
    [{ recoverySamples: 0 }, "recoverySamples is 0, but it must be a whole number of at least 1"],
    [{ recoveryHold: "-1 second" }, "recoveryHold is \"-1 second\", but it must be a finite duration of at least 0"],
    [{ recoveryHold: Infinity }, "recoveryHold is Infinity, but it must be a finite duration of at least 0"],
    [{ forecastHorizon: -1 }, "forecastHorizon is -1, but it must be a finite duration of at least 0"],
    [{ cleanupCooldown: Infinity }, "cleanupCooldown is Infinity, but it must be a finite duration of at least 0"],
    [{ maintenanceInterval: 0 }, "maintenanceInterval is 0, but it must be a duration above 0"],
    [{ headroom: -1 }, "headroom is -1, but it must be a whole number of at least 0"],
    [{ headroom: 1024 }, "headroom is 1024, but it must be below the limit of 1024 descriptors"]
  ]
  for (const [options, message] of refused) {
    it.effect(`refuses: ${message}`, () =>
      Effect.gen(function*() {
        const error = yield* invalidOption(
          Layer.build(Monitor.layerOptions(options).pipe(Layer.provide(system().layer)))
        )
        assert.strictEqual(error.message, `ResourceMonitor: option ${message}`)
      }))
  }

  it.effect("is one for all that are provided with the layer, which needs no call", () =>
    Effect.gen(function*() {
      const seen: Array<ResourceMonitor["Service"]> = []
      const user = () =>
        Layer.effectDiscard(Effect.map(ResourceMonitor, (monitor) => seen.push(monitor))).pipe(
          Layer.provide(Monitor.layer)
        )
      yield* Effect.scoped(Layer.build(Layer.merge(user(), user()).pipe(Layer.provide(system().layer))))
      assert.lengthOf(seen, 2)
      assert.strictEqual(seen[0], seen[1])
    }))

  const configured = (config: Config.Wrap<Monitor.Options>, environment: Record<string, string>) =>
    Effect.flatMap(ResourceMonitor, (monitor) => monitor.usage).pipe(
      Effect.map(({ connections: { limit } }) => limit._tag === "Known" ? limit.value : limit._tag),
      Effect.provide(
        Monitor.layerConfig(config).pipe(
          Layer.provide([system().layer, ConfigProvider.layer(ConfigProvider.fromUnknown(environment))])
        )
      )
    )

  it.effect("takes its options from Config, each by itself or all at once", () =>
    Effect.gen(function*() {
      const maxConnections = Config.Int("CONNECTIONS")
      assert.strictEqual(yield* configured({ maxConnections }, { CONNECTIONS: "7" }), 7)
      assert.strictEqual(yield* configured(Config.all({ maxConnections }), { CONNECTIONS: "8" }), 8)
    }))

  it.effect("fails with ConfigError when what comes from Config is missing, is no number, or makes no sense", () =>
    Effect.gen(function*() {
      const messageOf = (environment: Record<string, string>, name: keyof Monitor.Options = "maxConnections") =>
        Effect.map(Effect.flip(configured({ [name]: Config.Int("LIMIT") }, environment)), (error) => {
          assert.strictEqual(error._tag, "ConfigError")
          return error.message
        })
      assert.include(yield* messageOf({}), "LIMIT")
      assert.include(yield* messageOf({ LIMIT: "many" }), "LIMIT")
      assert.include(yield* messageOf({ LIMIT: "0" }), "option maxConnections is 0, but it must be a whole number")
      assert.include(yield* messageOf({ LIMIT: "1024" }, "headroom"), "option headroom is 1024, but it must be below")
    }))

  const usageOf = (options: Monitor.Options, script: Parameters<typeof system>[0] = {}) =>
    Effect.flatMap(ResourceMonitor, (monitor) => monitor.usage).pipe(
      Effect.provide(Layer.fresh(Monitor.layerOptions(options)).pipe(Layer.provide(system(script).layer)))
    )

  it.effect("stays under the smaller of the configured and the process's own limit", () =>
    Effect.gen(function*() {
      const limitOf = (options: Monitor.Options, soft: string) =>
        Effect.map(usageOf(options, { limits: limitsText(soft) }), ({ descriptors: { limit } }) =>
          limit._tag === "Known" ? limit.value : limit._tag)
      assert.strictEqual(yield* limitOf(Monitor.conservative, "1024"), 1000)
      assert.strictEqual(yield* limitOf(Monitor.conservative, "512"), 512)
      assert.strictEqual(yield* limitOf(Monitor.conservative, "unlimited"), 1000)
      assert.strictEqual(yield* limitOf(Monitor.conservative, "nonsense"), 1000)
      assert.strictEqual(yield* limitOf({ maxDescriptors: Infinity }, "512"), 512)
      assert.strictEqual(yield* limitOf({ maxDescriptors: Infinity }, "unlimited"), "Unlimited")
      assert.strictEqual(yield* limitOf({ maxDescriptors: Infinity }, "nonsense"), "Unknown")
      assert.strictEqual(yield* limitOf(Monitor.highPerformance, "100000"), 2000)
      assert.strictEqual(yield* limitOf(Monitor.constrained, "100000"), 500)
    }))

  it.effect("has the soft limit less what stays free where no limit is given, and no other limit", () =>
    Effect.gen(function*() {
      const limitsOf = (soft: string, options: Monitor.Options = {}) =>
        Effect.map(
          usageOf(options, { limits: limitsText(soft) }),
          ({ connections, descriptors, memory }) =>
            [descriptors, memory, connections].map(({ limit }) => limit._tag === "Known" ? limit.value : limit._tag)
        )
      assert.deepStrictEqual(yield* limitsOf("1024"), [1000, "Unlimited", "Unlimited"])
      assert.deepStrictEqual(yield* limitsOf("20000"), [19976, "Unlimited", "Unlimited"])
      assert.deepStrictEqual(yield* limitsOf("64"), [48, "Unlimited", "Unlimited"])
      assert.deepStrictEqual(yield* limitsOf("1024", { headroom: 100 }), [924, "Unlimited", "Unlimited"])
      assert.deepStrictEqual(yield* limitsOf("unlimited"), ["Unlimited", "Unlimited", "Unlimited"])
      assert.deepStrictEqual(yield* limitsOf("nonsense"), ["Unknown", "Unlimited", "Unlimited"])
    }))

  it.effect("admits up to that limit, and keeps free what it says", () =>
    Effect.gen(function*() {
      // Three of these are the monitor's own.
      const { layer, script } = system({ size: 999 + 3 })
      yield* Effect.gen(function*() {
        const monitor = yield* ResourceMonitor
        yield* Effect.scoped(monitor.reserve({ label }))
        script.size = 1000 + 3
        const refusal = yield* Effect.flip(monitor.reserve({ label }))
        assert.deepInclude(refusal, { used: 1000, limit: 1000, headroom: 0, reserve: 24 })
      }).pipe(Effect.scoped, Effect.provide(Monitor.layer.pipe(Layer.provide(layer))))
    }))

  it.effect("the presets set the levels and limits that they name", () =>
    Effect.gen(function*() {
      const soft = limitsText("100000")
      const at = (options: Monitor.Options, used: number) =>
        Effect.map(usageOf(options, { limits: soft, size: used + 3 }), ({ level }) => level)
      assert.strictEqual(yield* at(Monitor.highPerformance, 1599), "Normal")
      assert.strictEqual(yield* at(Monitor.highPerformance, 1600), "Warning")
      assert.strictEqual(yield* at(Monitor.highPerformance, 1900), "Critical")
      assert.strictEqual(yield* at(Monitor.constrained, 299), "Normal")
      assert.strictEqual(yield* at(Monitor.constrained, 300), "Warning")
      assert.strictEqual(yield* at(Monitor.constrained, 400), "Critical")
      const { connections, memory } = yield* usageOf(Monitor.constrained)
      assert.deepInclude(connections.limit, { value: 50 })
      assert.deepInclude(memory.limit, { value: 512 * 1024 * 1024 })
    }))

  it.effect("counts its own descriptors against the process's own limit, in the level and in the gate", () =>
    Effect.gen(function*() {
      const { layer, script } = system({ limits: limitsText("128"), size: 127 })
      yield* Effect.gen(function*() {
        const monitor = yield* ResourceMonitor
        yield* Effect.scoped(monitor.reserve({ label }))
        script.size = 128
        const { descriptors, level } = yield* monitor.usage
        assert.deepInclude(descriptors.used, { value: 125 })
        assert.strictEqual(level, "Exhausted")
        const refusal = yield* Effect.flip(monitor.reserve({ label }))
        assert.deepStrictEqual([refusal.used, refusal.headroom], [125, 3])
      }).pipe(Effect.scoped, Effect.provide(Monitor.layerOptions({ headroom: 0 }).pipe(Layer.provide(layer))))
    }))

  it.effect("sees a change of the process's limit within a second", () =>
    Effect.gen(function*() {
      const { layer, script } = system({ limits: limitsText("512") })
      yield* Effect.gen(function*() {
        const monitor = yield* ResourceMonitor
        script.limits = limitsText("256")
        yield* TestClock.adjust("1 second")
        assert.deepInclude((yield* monitor.usage).descriptors.limit, { value: 232 })
      }).pipe(Effect.provide(Monitor.layer.pipe(Layer.provide(layer))))
    }))

  it.effect("between two listings estimates to the safe side, and a sample lists at once", () =>
    Effect.gen(function*() {
      const { calls, layer, script } = system({ size: 0, entries: { "/proc/self/fd": 53 } })
      yield* Effect.gen(function*() {
        const monitor = yield* ResourceMonitor
        const used = Effect.map(monitor.usage, ({ descriptors }) => descriptors.used)
        assert.deepInclude(yield* used, { value: 50, exact: true })
        const connection = yield* Scope.make()
        for (let i = 0; i < 10; i++) {
          yield* Effect.scoped(monitor.reserve({ label }))
          yield* Scope.provide(monitor.track({ label }), connection)
        }
        assert.deepInclude(yield* used, { value: 60, exact: false })
        yield* Scope.close(connection, Exit.void)
        assert.deepInclude(yield* used, { value: 50, exact: false })
        assert.strictEqual(calls.entries, 1)
        script.entries["/proc/self/fd"] = 73
        assert.deepInclude((yield* monitor.sample).descriptors.used, { value: 70, exact: true })
        assert.strictEqual(calls.entries, 2)
      }).pipe(Effect.provide(Monitor.layer.pipe(Layer.provide(layer))))
    }))
})

describe("defaultHeadroom", () => {
  it("is a quarter of a small limit and never more than 24", () => {
    assert.deepStrictEqual([4, 32, 64, 96, 128, 1000, 100_000].map(Monitor.defaultHeadroom), [1, 8, 16, 24, 24, 24, 24])
  })
})

describe("layerTest", () => {
  it.effect("drives the level by the memory of the container as well, as it does in a process", () =>
    Effect.gen(function*() {
      const [monitor, test] = [yield* ResourceMonitor, yield* TestMonitor]
      yield* test.set({ memory: 500, memoryLimit: 1000, containerMemory: 950, containerMemoryLimit: 1000 })
      assert.strictEqual(yield* monitor.level, "Critical")
      yield* test.set({ containerMemory: 1000 })
      const refusal = yield* Effect.flip(Effect.scoped(monitor.reserve({ label })))
      assert.deepInclude(refusal, { resource: "memory", used: 1000, limit: 1000 })
      yield* test.set({ containerMemory: Reading.unknown("Missing", "test") })
      assert.deepInclude((yield* monitor.usage).memory.used, { value: 500 })
    }).pipe(Effect.provide(Monitor.layerTest)))
})

describe("layerUnlimited", () => {
  it.effect("admits everything, and counts connections, reservations, leaks and leases", () =>
    Effect.gen(function*() {
      const monitor = yield* ResourceMonitor
      yield* Effect.forEach(Array.from({ length: 5000 }), () => monitor.reserve({ label, attempt: 1 }))
      yield* Effect.scoped(monitor.reserve({ label, descriptors: 3 }))
      const unsafe = monitor.reserve.unsafe
      assert(unsafe !== undefined)
      const reservation = unsafe.reserve({ label }, 0n)
      assert(reservation !== undefined)
      yield* monitor.track({ label, site: () => "open (a.ts:1:1)" })
      const closing = monitor.track.unsafe?.({ label }, reservation)
      const usage = yield* monitor.usage
      assert.strictEqual(usage.reserved, 5001)
      assert.deepInclude(usage.connections.used, { _tag: "Known", value: 2 })
      assert.deepStrictEqual((yield* monitor.figures).connections, new Map([[label, 2]]))
      closing?.end()
      unsafe.end(reservation)
      assert.deepInclude(yield* monitor.sample, { reserved: 5000 })
      assert.deepInclude((yield* monitor.usage).connections.used, { value: 1 })
      assert.deepStrictEqual(yield* monitor.topSites(9), [{ site: "open (a.ts:1:1)", open: 1, leases: 0 }])
      assert.deepInclude(yield* monitor.gate, { waiting: 0, admitted: 5002 })
      assert.isUndefined(yield* monitor.shortage({ label, cause: "ENOTFOUND" }))
    }).pipe(Effect.scoped, Effect.provide(Monitor.layerUnlimited)))

  it.effect("has no limit and reads nothing, which it says", () =>
    Effect.gen(function*() {
      const monitor = yield* ResourceMonitor
      const usage = yield* monitor.usage
      const limits = [usage.descriptors.limit, usage.memory.limit, usage.connections.limit].map(({ _tag }) => _tag)
      assert.deepStrictEqual(limits, ["Unlimited", "Unlimited", "Unlimited"])
      assert.strictEqual(usage.level, "Normal")
      const { connections: _, ...figures } = yield* monitor.figures
      for (const reading of [usage.descriptors.used, usage.memory.used, ...Object.values(figures)]) {
        assert.deepInclude(reading, { _tag: "Unknown", reason: "Missing", source: "layerUnlimited" })
      }
      assert.sameMembers(
        Object.keys(figures),
        Object.keys(
          yield* ResourceMonitor.pipe(Effect.flatMap(({ figures }) => figures), Effect.provide(Monitor.layerTest))
        )
          .filter((name) => name !== "connections")
      )
      assert.deepInclude(yield* Effect.flip(monitor.descriptorBreakdown), { reason: "Missing" })
      assert.strictEqual((yield* monitor.cost).ticks, 0)
    }).pipe(Effect.provide(Monitor.layerUnlimited)))

  it.effect("calls the callbacks of onPressure only for cleanup, and refuses invalid requests", () =>
    Effect.gen(function*() {
      const monitor = yield* ResourceMonitor
      let calls = 0
      yield* monitor.onPressure({ name: "free", run: Effect.sync(() => calls++) })
      yield* monitor.sample
      assert.strictEqual(calls, 0)
      const results = yield* monitor.cleanup
      assert.deepStrictEqual(results.map(({ _tag }) => _tag), ["Done"])
      assert.strictEqual(calls, 1)
      const exit = yield* Effect.exit(monitor.reserve({ label, descriptors: -1 }))
      assert.include(String(exit), "option descriptors is -1")
    }).pipe(Effect.scoped, Effect.provide(Monitor.layerUnlimited)))
})
