import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Duration, Effect, Exit, Fiber, Layer, Logger, Metric, References, Scope } from "effect"
import * as Monitor from "effect-sluice/ResourceMonitor"
import { ResourceMonitor, TestMonitor } from "effect-sluice/ResourceMonitor"
import { TestClock } from "effect/testing"
import { seeded } from "../../support/random.ts"
import { system } from "../support.ts"

type Test = TestMonitor["Service"]

const inTestMonitor = <A, E>(
  body: (monitor: ResourceMonitor["Service"], test: Test) => Effect.Effect<A, E, Scope.Scope>
) =>
  Effect.flatMap(Effect.all([ResourceMonitor, TestMonitor]), ([monitor, test]) => body(monitor, test)).pipe(
    Effect.scoped,
    Effect.provide(Monitor.layerTest),
    // What fails on purpose is no news.
    Effect.provideService(References.UnhandledLogLevel, undefined)
  )

const settled = Effect.forEach(Array.from({ length: 20 }), () => Effect.yieldNow, { discard: true })

/** Lets time pass, and the timer of a monitor ring once a second. */
const pass = (test: Test, seconds: number) =>
  Effect.forEach(
    Array.from({ length: seconds }),
    () => Effect.andThen(Effect.andThen(TestClock.adjust("1 second"), test.tick), settled),
    { discard: true }
  )

/** Callbacks that write down that they ran. */
const diary = () => {
  const ran: Array<string> = []
  return { ran, write: (name: string) => Effect.sync(() => void ran.push(name)) }
}

const tagsOf = (results: ReadonlyArray<Monitor.CleanupResult>) => results.map(({ _tag, name }) => `${name} ${_tag}`)

describe("cleanup", () => {
  it.effect("runs all callbacks by priority, and those of one priority in the order of their registration", () =>
    inTestMonitor((monitor) =>
      Effect.gen(function*() {
        const { ran, write } = diary()
        for (const [name, priority] of [["a", 0], ["b", 5], ["c", -1], ["d", 5], ["e", undefined]] as const) {
          yield* monitor.onPressure({ name, priority, run: write(name) })
        }
        const results = yield* monitor.cleanup
        assert.deepStrictEqual(ran, ["b", "d", "a", "e", "c"])
        assert.deepStrictEqual(tagsOf(results), ["b Done", "d Done", "a Done", "e Done", "c Done"])
      })
    ))

  it.effect("of one that succeeds, one that fails, one that dies and one that hangs: all run, and each result is right", () =>
    inTestMonitor((monitor) =>
      Effect.gen(function*() {
        const { ran, write } = diary()
        yield* monitor.onPressure({
          name: "hangs",
          timeout: "2 seconds",
          run: Effect.andThen(write("hangs"), Effect.never)
        })
        yield* monitor.onPressure({ name: "dies", run: Effect.andThen(write("dies"), Effect.die(new Error("bug"))) })
        yield* monitor.onPressure({ name: "fails", run: Effect.andThen(write("fails"), Effect.fail("no")) })
        yield* monitor.onPressure({ name: "ok", run: Effect.andThen(Effect.sleep("1 second"), write("ok")) })
        const fiber = yield* Effect.forkChild(monitor.cleanup, { startImmediately: true })
        for (let i = 0; i < 40; i++) yield* Effect.andThen(TestClock.adjust("100 millis"), settled)
        const results = yield* Fiber.join(fiber)
        assert.deepStrictEqual(ran, ["hangs", "dies", "fails", "ok"])
        assert.deepStrictEqual(tagsOf(results), ["hangs TimedOut", "dies Died", "fails Failed", "ok Done"])
        assert.deepStrictEqual(results.map(({ duration }) => Duration.toMillis(duration)), [2000, 0, 0, 1000])
        const [, died, failed] = results
        assert(died?._tag === "Died" && failed?._tag === "Failed")
        assert.match(String(Cause.squash(died.cause)), /bug/)
        assert.strictEqual(Cause.squash(failed.cause), "no")
        assert.deepStrictEqual(results.map(({ message }) => message), [
          "hangs had not ended after 2s",
          "dies died after less than 1ms",
          "fails failed after less than 1ms",
          "ok is done after 1s"
        ])
      })
    ))

  it.live("leaves the event loop free, also for one that hangs and cannot be interrupted", () =>
    inTestMonitor((monitor) =>
      Effect.gen(function*() {
        const { ran, write } = diary()
        const isOver = yield* Deferred.make<void>()
        yield* monitor.onPressure({
          name: "deaf",
          timeout: "50 millis",
          run: Effect.uninterruptible(Deferred.await(isOver))
        })
        yield* monitor.onPressure({ name: "busy", timeout: "50 millis", run: Effect.forever(Effect.yieldNow) })
        const throws = (): Effect.Effect<void> => {
          throw new Error("at once")
        }
        yield* monitor.onPressure({ name: "throws", run: throws })
        yield* monitor.onPressure({ name: "last", run: write("last") })
        let turns = 0
        const counting = yield* Effect.forkScoped(
          Effect.forever(Effect.andThen(Effect.sleep("5 millis"), Effect.sync(() => turns++)))
        )
        const results = yield* monitor.cleanup
        assert.deepStrictEqual(tagsOf(results), ["deaf TimedOut", "busy TimedOut", "throws Died", "last Done"])
        assert.deepStrictEqual(ran, ["last"])
        assert.isAbove(turns, 2)
        yield* Fiber.interrupt(counting)
        yield* Deferred.succeed(isOver, undefined)
      })
    ))

  it.effect("is one run for all who ask at the same time, which goes on when one of them is interrupted", () =>
    inTestMonitor((monitor) =>
      Effect.gen(function*() {
        const { ran, write } = diary()
        yield* monitor.onPressure({ name: "slow", run: Effect.andThen(Effect.sleep("1 second"), write("slow")) })
        const fibers = yield* Effect.forEach(Array.from({ length: 10 }), () =>
          Effect.forkChild(monitor.cleanup, { startImmediately: true }))
        yield* settled
        const [first, ...others] = fibers
        assert(first !== undefined)
        yield* Fiber.interrupt(first)
        yield* TestClock.adjust("1 second")
        const all = yield* Fiber.joinAll(others)
        assert.deepStrictEqual(ran, ["slow"])
        assert.isTrue(all.every((results) =>
          tagsOf(results).join() === "slow Done"
        ))
        // The next one is a run of its own, without any pause.
        const again = yield* Effect.forkChild(monitor.cleanup, { startImmediately: true })
        yield* settled
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(again)
        assert.deepStrictEqual(ran, ["slow", "slow"])
      })
    ))

  it.effect("inside a callback does not wait for itself, and later from what it started is a run of its own", () =>
    inTestMonitor((monitor) =>
      Effect.gen(function*() {
        const inside: Array<ReadonlyArray<string>> = []
        const note = Effect.map(monitor.cleanup, (results) => inside.push(tagsOf(results)))
        const go = yield* Deferred.make<void>()
        let started = false
        const { ran, write } = diary()
        yield* monitor.onPressure({ name: "first", priority: 1, run: write("first") })
        yield* monitor.onPressure({
          name: "asks",
          run: Effect.suspend(() => {
            if (started) return Effect.void
            started = true
            return Effect.andThen(note, Effect.forkDetach(Effect.andThen(Deferred.await(go), note)))
          })
        })
        assert.deepStrictEqual(tagsOf(yield* monitor.cleanup), ["first Done", "asks Done"])
        assert.deepStrictEqual(inside, [["first Done"]])
        yield* Deferred.succeed(go, undefined)
        yield* settled
        assert.deepStrictEqual(inside, [["first Done"], ["first Done", "asks Done"]])
        assert.lengthOf(ran, 2)
      })
    ))

  it.effect("has nothing to do without callbacks", () =>
    inTestMonitor((monitor) => Effect.map(monitor.cleanup, (results) => assert.deepStrictEqual(results, []))))

  it.effect("skips a callback whose scope closed before its turn, and runs none of a scope that is closed", () =>
    inTestMonitor((monitor) =>
      Effect.gen(function*() {
        const { ran, write } = diary()
        const scope = yield* Scope.make()
        yield* monitor.onPressure({ name: "closes", priority: 1, run: Scope.close(scope, Exit.void) })
        yield* Scope.provide(monitor.onPressure({ name: "closed", run: write("closed") }), scope)
        const results = yield* monitor.cleanup
        assert.deepStrictEqual(tagsOf(results), ["closes Done", "closed Skipped"])
        assert.strictEqual(results[1]?.message, "closed was skipped: Unregistered")
        assert.deepStrictEqual(tagsOf(yield* monitor.cleanup), ["closes Done"])
        assert.deepStrictEqual(ran, [])
      })
    ))

  it.effect("gives a callback the readings of its moment, and the services of its registration", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        const seen: Array<unknown> = []
        yield* monitor.onPressure({ priority: 1, run: test.set({ descriptors: 100 }) })
        yield* monitor.onPressure({
          run: (usage) =>
            Effect.map(References.MinimumLogLevel, (level) => seen.push(usage.descriptors.used, usage.level, level))
        }).pipe(Effect.provideService(References.MinimumLogLevel, "Fatal"))
        yield* test.set({ descriptors: 950 })
        yield* settled
        yield* monitor.cleanup
        assert.deepStrictEqual(seen.slice(-3).map((value) => (value as { value?: number }).value ?? value), [
          100,
          "Normal",
          "Fatal"
        ])
      })
    ))

  it.effect("names callbacks that have no name", () =>
    inTestMonitor((monitor) =>
      Effect.gen(function*() {
        yield* monitor.onPressure({ run: Effect.void })
        yield* monitor.onPressure({ run: Effect.void })
        assert.deepStrictEqual(tagsOf(yield* monitor.cleanup), ["callback 1 Done", "callback 2 Done"])
      })
    ))

  it.effect("calls a callback that interrupts itself failed", () =>
    inTestMonitor((monitor) =>
      Effect.gen(function*() {
        yield* monitor.onPressure({ name: "stops itself", run: Effect.interrupt })
        yield* monitor.onPressure({ name: "next", run: Effect.void })
        assert.deepStrictEqual(tagsOf(yield* monitor.cleanup), ["stops itself Failed", "next Done"])
      })
    ))

  it.effect("holds together in any order of events: one callback at a time, and everybody is answered", () =>
    Effect.forEach(Array.from({ length: 40 }, (_, seed) => seed), (seed) =>
      Effect.gen(function*() {
        const random = seeded(seed)
        const below = (count: number) => Math.floor(random() * count)
        const monitorScope = yield* Scope.make()
        const context = yield* Layer.buildWithScope(Layer.fresh(Monitor.layerTest), monitorScope)
        const [monitor, test] = yield* Effect.all([ResourceMonitor, TestMonitor]).pipe(Effect.provideContext(context))
        const scopes: Array<Scope.Closeable> = []
        const asked: Array<Fiber.Fiber<ReadonlyArray<Monitor.CleanupResult>>> = []
        let running = 0
        let most = 0
        const run = (ending: Effect.Effect<unknown, string>) =>
          Effect.acquireUseRelease(
            Effect.sync(() => {
              most = Math.max(most, ++running)
            }),
            () => ending,
            () => Effect.sync(() => running--)
          )
        const endings: ReadonlyArray<Effect.Effect<unknown, string>> = [
          Effect.void,
          Effect.sleep("300 millis"),
          Effect.never,
          Effect.fail("no"),
          Effect.die("bug"),
          Effect.andThen(Effect.sleep("100 millis"), test.set({ descriptors: 100 })),
          Effect.andThen(monitor.cleanup, Effect.sleep("100 millis"))
        ]
        const register = Effect.gen(function*() {
          const scope = yield* Scope.make()
          scopes.push(scope)
          const ending = endings[below(endings.length)] ?? Effect.void
          const options = { priority: below(3), periodic: random() < 0.5, timeout: 500 }
          yield* Scope.provide(monitor.onPressure({ ...options, run: run(ending) }), scope)
        })
        const actions: ReadonlyArray<Effect.Effect<unknown>> = [
          register,
          register,
          Effect.suspend(() =>
            Effect.forEach(scopes.splice(below(scopes.length), 1), (_) => Scope.close(_, Exit.void))
          ),
          Effect.map(Effect.forkDetach(monitor.cleanup, { startImmediately: true }), (fiber) => asked.push(fiber)),
          Effect.suspend(() => Effect.forEach(asked.splice(below(asked.length), 1), Fiber.interrupt)),
          Effect.forkDetach(test.maintain, { startImmediately: true }),
          Effect.suspend(() => test.setLevel((["Normal", "Critical", "Exhausted"] as const)[below(3)] ?? "Normal")),
          Effect.suspend(() => TestClock.adjust(below(600))),
          Effect.suspend(() => TestClock.adjust(below(40_000)))
        ]
        for (let step = 0; step < 60; step++) {
          yield* actions[below(actions.length)] ?? Effect.void
          if (random() < 0.5) yield* settled
        }
        if (random() < 0.5) {
          for (let i = 0; i < 40; i++) yield* Effect.andThen(TestClock.adjust("500 millis"), settled)
        } else yield* Scope.close(monitorScope, Exit.void)
        yield* settled
        for (const fiber of asked) assert.isDefined(fiber.pollUnsafe(), `seed ${seed}: nobody is left waiting`)
        // A round of maintenance that the test itself has started ends with its timeout.
        yield* Effect.andThen(TestClock.adjust("1 second"), settled)
        assert.isAtMost(most, 1, `seed ${seed}: one at a time`)
        assert.strictEqual(running, 0, `seed ${seed}: nothing runs on`)
        yield* Scope.close(monitorScope, Exit.void)
      }), { discard: true }).pipe(Effect.provideService(References.UnhandledLogLevel, undefined)))

  it.effect("ends with the monitor: what has not run is skipped, and waiting callers receive a result", () =>
    Effect.gen(function*() {
      const { ran, write } = diary()
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(Monitor.layerTest, scope)
      const monitor = yield* Effect.provideContext(ResourceMonitor, context)
      yield* monitor.onPressure({ name: "hangs", timeout: "1 hour", run: Effect.never })
      yield* monitor.onPressure({ name: "next", run: write("next") })
      const fiber = yield* Effect.forkChild(monitor.cleanup, { startImmediately: true })
      yield* settled
      yield* Scope.close(scope, Exit.void)
      const results = yield* Fiber.join(fiber)
      assert.deepStrictEqual(results.map(({ message }) => message), [
        "hangs was skipped: MonitorClosed",
        "next was skipped: MonitorClosed"
      ])
      assert.deepStrictEqual(tagsOf(yield* monitor.cleanup), ["hangs Skipped", "next Skipped"])
      assert.deepStrictEqual(ran, [])
    }).pipe(Effect.scoped))
})

describe("onPressure", () => {
  const refused: ReadonlyArray<readonly [Partial<Monitor.PressureCallback>, RegExp]> = [
    [{ priority: Number.NaN }, /option priority is NaN, but it must be a finite number/],
    [{ priority: Infinity }, /option priority is Infinity, but it must be a finite number/],
    [{ timeout: 0 }, /option timeout is 0, but it must be a finite duration above 0/],
    [{ timeout: "-1 second" }, /option timeout is "-1 second", but it must be a finite duration above 0/],
    [{ timeout: Infinity }, /option timeout is Infinity, but it must be a finite duration above 0/]
  ]
  for (const [options, message] of refused) {
    it.effect(`dies: ${message.source}`, () =>
      inTestMonitor((monitor) =>
        Effect.gen(function*() {
          const exit = yield* Effect.exit(monitor.onPressure({ ...options, run: Effect.void }))
          assert(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
          assert.match(String(Cause.squash(exit.cause)), message)
          assert.deepStrictEqual(yield* monitor.cleanup, [])
        })
      ))
  }

  it.effect("runs when the level becomes Critical, also straight from Normal, and not at Warning", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        const { ran, write } = diary()
        yield* monitor.onPressure({ run: write("run") })
        yield* test.set({ descriptors: 750 })
        yield* settled
        assert.deepStrictEqual(ran, [])
        yield* test.set({ descriptors: 950 })
        yield* settled
        assert.deepStrictEqual(ran, ["run"])
      })
    ))

  it.effect("runs once for a level that lasts, and once more, after the pause, for one that is worse", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        const { ran, write } = diary()
        yield* monitor.onPressure({ run: write("run") })
        yield* test.set({ descriptors: 950 })
        yield* pass(test, 10)
        assert.lengthOf(ran, 1)
        yield* test.set({ descriptors: 1000 })
        yield* pass(test, 19)
        assert.lengthOf(ran, 1, "within the pause")
        yield* pass(test, 2)
        assert.lengthOf(ran, 2, "after the pause")
        yield* pass(test, 600)
        assert.lengthOf(ran, 2, "the level lasts")
      })
    ))

  it.effect("does not run after the pause for a level that is over by then", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        const { ran, write } = diary()
        yield* monitor.onPressure({ run: write("run") })
        yield* test.setLevel("Critical")
        yield* settled
        yield* test.setLevel("Normal")
        yield* test.setLevel("Critical")
        yield* settled
        yield* test.setLevel("Normal")
        yield* pass(test, 31)
        assert.lengthOf(ran, 1)
        // Nor has anything begun another pause.
        yield* test.setLevel("Critical")
        yield* settled
        assert.lengthOf(ran, 2)
      })
    ))

  it.effect("stops early when the pressure is gone, by the band and not by a hair", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        const { ran, write } = diary()
        const frees = (name: string, descriptors: number) =>
          monitor.onPressure({ name, run: Effect.andThen(write(name), test.set({ descriptors })) })
        yield* frees("frees a little", 899)
        yield* frees("frees more", 820)
        yield* frees("frees enough", 800)
        yield* monitor.onPressure({ name: "spared", run: write("spared") })
        yield* test.set({ descriptors: 950 })
        yield* settled
        assert.deepStrictEqual(ran, ["frees a little", "frees more", "frees enough"])
      })
    ))

  it.effect("does not take a reading that fails for the end of the pressure", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        const { ran, write } = diary()
        const blind: Monitor.TestReadings = {
          descriptors: { _tag: "Unknown", reason: "Missing", source: "test" }
        }
        yield* monitor.onPressure({ run: Effect.andThen(write("first"), test.set(blind)) })
        yield* monitor.onPressure({ run: write("second") })
        yield* test.set({ descriptors: 950 })
        yield* settled
        assert.deepStrictEqual(ran, ["first", "second"])
      })
    ))

  it.effect("runs all of them when a caller asks during a run that would stop early", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        yield* monitor.onPressure({
          name: "frees",
          run: Effect.andThen(Effect.sleep("1 second"), test.set({ descriptors: 0 }))
        })
        yield* monitor.onPressure({ name: "other", run: Effect.void })
        yield* test.set({ descriptors: 950 })
        yield* settled
        const asked = yield* Effect.forkChild(monitor.cleanup, { startImmediately: true })
        yield* TestClock.adjust("1 second")
        yield* settled
        assert.deepStrictEqual(tagsOf(yield* Fiber.join(asked)), ["frees Done", "other Done"])
      })
    ))

  it.effect("waits for a callback where the level is Critical before there is one", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        const { ran, write } = diary()
        yield* test.set({ descriptors: 950 })
        yield* pass(test, 5)
        yield* monitor.onPressure({ run: write("late") })
        yield* pass(test, 2)
        assert.deepStrictEqual(ran, ["late"])
        yield* pass(test, 60)
        assert.deepStrictEqual(ran, ["late"])
      })
    ))

  it.effect("logs and counts failures of automatic runs only", () =>
    Effect.gen(function*() {
      const logged: Array<string> = []
      const logger = Logger.make(({ logLevel, message }) => {
        logged.push(`${logLevel} ${String(Array.isArray(message) ? message[0] : message)}`)
      })
      const counted = Effect.map(
        Metric.snapshot,
        (metrics) => metrics.filter(({ id }) => id === "sluice.monitor.cleanup.failures").map(({ state }) => state)
      )
      yield* Effect.gen(function*() {
        const monitor = yield* ResourceMonitor
        const test = yield* TestMonitor
        yield* monitor.onPressure({ name: "fails", run: Effect.fail("no") })
        yield* monitor.onPressure({ name: "dies", periodic: true, run: Effect.die("bug") })
        yield* monitor.onPressure({ name: "ok", run: Effect.void })
        yield* monitor.cleanup
        assert.deepStrictEqual(logged, [])
        yield* pass(test, 60)
        yield* test.setLevel("Critical")
        yield* settled
        assert.deepStrictEqual(logged, [
          "Warn ResourceMonitor: cleanup: fails failed after less than 1ms",
          "Warn ResourceMonitor: cleanup: dies died after less than 1ms"
        ])
        yield* test.maintain
        assert.lengthOf(logged, 3)
        assert.deepStrictEqual((yield* counted).map((state) => "count" in state ? state.count : undefined), [3])
      }).pipe(
        Effect.scoped,
        Effect.provide(Layer.fresh(Monitor.layerTest)),
        Effect.provideService(References.UnhandledLogLevel, "Warn"),
        Effect.provideService(Metric.MetricRegistry, new Map()),
        Effect.provide(Logger.layer([logger]))
      )
    }))
})

describe("maintenance", () => {
  it.effect("runs the periodic callbacks, and those alone, whatever the level", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        const { ran, write } = diary()
        yield* monitor.onPressure({ name: "once", run: write("once") })
        yield* monitor.onPressure({ name: "always", periodic: true, run: write("always") })
        yield* test.maintain
        yield* test.maintain
        assert.deepStrictEqual(ran, ["always", "always"])
        yield* test.setLevel("Critical")
        yield* settled
        assert.deepStrictEqual(ran, ["always", "always", "once", "always"])
      })
    ))

  it.effect("is left out while a run is under way, and a run waits for maintenance to end", () =>
    inTestMonitor((monitor, test) =>
      Effect.gen(function*() {
        let running = 0
        let most = 0
        let runs = 0
        const run = Effect.acquireUseRelease(
          Effect.sync(() => {
            most = Math.max(most, ++running)
            runs++
          }),
          () => Effect.sleep("1 second"),
          () => Effect.sync(() => running--)
        )
        yield* monitor.onPressure({ periodic: true, run })
        const cleanup = yield* Effect.forkChild(monitor.cleanup, { startImmediately: true })
        yield* settled
        yield* test.maintain
        assert.strictEqual(runs, 1)
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(cleanup)
        const maintenance = yield* Effect.forkChild(test.maintain, { startImmediately: true })
        yield* settled
        const after = yield* Effect.forkChild(monitor.cleanup, { startImmediately: true })
        for (let i = 0; i < 3; i++) yield* Effect.andThen(TestClock.adjust("1 second"), settled)
        yield* Fiber.join(maintenance)
        assert.deepStrictEqual(tagsOf(yield* Fiber.join(after)), ["callback 1 Done"])
        assert.deepStrictEqual([runs, most], [3, 1])
      })
    ))

  const roundsIn = (options: Monitor.Options, time: Duration.Input) =>
    Effect.gen(function*() {
      const monitor = yield* ResourceMonitor
      const { ran, write } = diary()
      yield* monitor.onPressure({ periodic: true, run: write("round") })
      const steps = Math.round(Duration.toMillis(time) / 500)
      for (let i = 0; i < steps; i++) yield* Effect.andThen(TestClock.adjust("500 millis"), Effect.yieldNow)
      return ran.length
    }).pipe(
      Effect.scoped,
      Effect.provide(Layer.fresh(Monitor.layerOptions(options)).pipe(Layer.provide(system().layer)))
    )

  it.effect("comes every thirty seconds, or as the option states, or never", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* roundsIn({}, "95 seconds"), 3)
      assert.strictEqual(yield* roundsIn({ maintenanceInterval: "10 seconds" }, "95 seconds"), 9)
      assert.strictEqual(yield* roundsIn({ maintenanceInterval: Infinity }, "95 seconds"), 0)
    }))
})
