import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Context, Deferred, Duration, Effect, Exit, Fiber, Layer, Logger, Scheduler, Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { LeakCheck } from "effect-sluice/Testing"
import { TestClock } from "effect/testing"
import { CloseTimeout } from "../../../src/internal/CloseTimeout.ts"
import { loopTurn } from "../../../src/internal/Timer.ts"
import { PoolRegistry, stayingOpen } from "../../../src/Pool/PoolRegistry.ts"
import { freezeBetween, hiddenBetween } from "../../../src/Serverless/internal/FreezeDetector.ts"
import { LazyRuntime } from "../../../src/Serverless/internal/LazyRuntime.ts"
import { invocationBudget, shutdownBudget } from "../../../src/Serverless/internal/ShutdownBudget.ts"
import { WarmInstance } from "../../../src/Serverless/internal/WarmInstance.ts"
import type { InvocationError } from "../../../src/Serverless/InvocationError.ts"
import { LateClock } from "../../support/LateClock.ts"
import * as Scripted from "../../support/ScriptedConnector.ts"
import { leavesDescriptors } from "../../support/setup.ts"

leavesDescriptors("a warm instance keeps what it has, its monitor included, until the platform ends it")

const fork = Effect.forkChild({ startImmediately: true })

/** The loop really goes round, so that what waits for that goes on; the clock stands still. */
const settle = Effect.forEach(Array.from({ length: 12 }), () => loopTurn, { discard: true })

/** Lets time pass in small steps, in each of which everything that can run has run. */
const advance = (millis: number, step = 5) =>
  Effect.gen(function*() {
    yield* settle
    for (let passed = 0; passed < millis; passed += step) {
      yield* TestClock.adjust(Math.min(step, millis - passed))
      yield* settle
    }
  })

type Databases = ConnectionPool.ConnectionPool<string, Scripted.Scripted>
class Database extends Context.Service<Database, Databases>()("test/Database") {}

const budget = invocationBudget(3000, 300)

const reasonOf = (exit: Exit.Exit<unknown, unknown>) => {
  assert.isTrue(Exit.isFailure(exit), "it succeeded")
  const [reason] = (exit as Exit.Failure<unknown, unknown>).cause.reasons
  return (reason as unknown as { readonly error: InvocationError }).error.reason
}

const poolLayer = (
  connector: Connector.Connector<string, Scripted.Scripted, Scripted.ScriptedFailure>,
  options: Partial<ConnectionPool.Options<string, Scripted.Scripted, never, never>> = {}
) =>
  Layer.effect(
    Database,
    ConnectionPool.make({ ...ConnectionPool.serverless, maxPerEndpoint: 50, maxTotal: 50, ...options, connector })
  ).pipe(Layer.provide(ResourceMonitor.layerUnlimited))

const instanceOf = <R, E>(layer: Layer.Layer<R, E>, between: "keep" | "closeIdle" | "closeAll" = "keep") =>
  Effect.map(Clock.Clock, (clock) => new WarmInstance({ layer, between, context: Context.make(Clock.Clock, clock) }))

const use = <A, E, R>(f: (connection: Scripted.Scripted) => Effect.Effect<A, E, R>) =>
  Effect.flatMap(Database, (pool) => ConnectionPool.use(pool, "db", f))

const id = use((connection) => Effect.succeed(connection.id))

class Store extends Context.Service<Store, Databases>()("test/Store") {}

/**
 * A pool whose connections use another one when they have closed, as the permits of a budget do that are given back. That other one
 * stays open, and has one connection.
 */
const withStore = (close: Effect.Effect<void>) => {
  const outcomes: Array<string> = []
  const { connector: storeConnector, openNow } = Scripted.make()
  const useStore = (store: Databases) => ConnectionPool.use(store, "store", () => Effect.void)
  const store = Layer.effect(
    Store,
    Effect.gen(function*() {
      const registry = stayingOpen(yield* PoolRegistry)
      const options = { ...ConnectionPool.serverless, connector: storeConnector }
      const store = yield* Effect.provideService(ConnectionPool.make(options), PoolRegistry, registry)
      yield* Effect.orDie(useStore(store))
      return store
    })
  ).pipe(Layer.provide(ResourceMonitor.layerUnlimited))
  const database = Layer.unwrap(Effect.map(Store, (store) => {
    const giveBack = Effect.map(Effect.exit(useStore(store)), (exit) => void outcomes.push(exit._tag))
    return poolLayer(Scripted.make({ close: () => Effect.andThen(close, giveBack) }).connector)
  }))
  return { outcomes, openNow, stored: Layer.provide(database, store) }
}

/** Opens so many connections at once and gives them back. */
const open = (count: number) => {
  const latch = Deferred.makeUnsafe<void>()
  let held = 0
  const hold = use(() =>
    Effect.andThen(
      Effect.sync(() => ++held === count ? void Deferred.doneUnsafe(latch, Exit.void) : undefined),
      Deferred.await(latch)
    )
  )
  return Effect.forEach(Array.from({ length: count }), () => hold, { concurrency: "unbounded", discard: true })
}

describe("the budget", () => {
  it("of an invocation end before the platform's timeout, and keep back no more than half of what is left", () => {
    for (const remaining of [-5, 0, 1, 10, 299, 600, 601, 3000, 900_000]) {
      for (const margin of [0, 1, 300, 1e6]) {
        const { finalize, force, run, total } = invocationBudget(remaining, margin)
        const left = Math.max(remaining, 0)
        assert.isAtMost(run + finalize + force, total + 1e-9)
        assert.isAtMost(total, left)
        assert.isAtLeast(run, left / 2)
        assert.isAtLeast(run, left - margin)
      }
    }
    assert.strictEqual(invocationBudget(Number.NaN, 300).run, 0)
    assert.strictEqual(invocationBudget(Infinity, 300).run, Infinity)
    assert.deepStrictEqual(invocationBudget(3000, 300), { run: 2700, finalize: 150, force: 30, total: 2955 })
  })

  it("of a shutdown end before the window does", () => {
    const { close, drain, invocations, layers, pools, total } = shutdownBudget(300)
    assert.isAtMost(invocations + layers + pools, total)
    assert.strictEqual(total, 270)
    assert.isAtMost(drain + close, pools)
  })
})

describe("a freeze", () => {
  const before = { wall: 1000, monotonic: 50 }

  it("is as long as the clock says that says more", () => {
    assert.strictEqual(freezeBetween(before, { wall: 61_000, monotonic: 60 }).millis, 60_000)
    assert.strictEqual(freezeBetween(before, { wall: 900, monotonic: 60_050 }).millis, 60_000)
  })

  it("stopped the machine only if the monotonic clock stood still", () => {
    assert.isTrue(freezeBetween(before, { wall: 61_000, monotonic: 60 }).wasStopped)
    assert.isFalse(freezeBetween(before, { wall: 61_000, monotonic: 60_050 }).wasStopped)
    assert.isFalse(freezeBetween(before, { wall: 900, monotonic: 60_050 }).wasStopped)
  })
})

describe("the platform's word", () => {
  const startAt = (wall: number, monotonic: number, deadline: number | undefined) => ({
    at: { wall, monotonic },
    deadline
  })

  it("gives the time that neither clock shows", () => {
    const before = startAt(1000, 50, 4000)
    // A minute has passed, on no clock, on either and on both.
    assert.strictEqual(hiddenBetween(before, startAt(1000, 50, 64_000)), 60_000)
    assert.strictEqual(hiddenBetween(before, startAt(61_000, 50, 64_000)), 0)
    assert.strictEqual(hiddenBetween(before, startAt(1000, 60_050, 64_000)), 0)
    assert.strictEqual(hiddenBetween(before, startAt(61_000, 60_050, 64_000)), 0)
    assert.strictEqual(hiddenBetween(before, startAt(11_000, 10_050, 64_000)), 50_000)
    // The wall clock was set, or the invocation began late.
    assert.strictEqual(hiddenBetween(before, startAt(99_000, 60_050, 64_000)), 0)
    assert.strictEqual(hiddenBetween(startAt(1000, 50, undefined), startAt(1000, 50, 64_000)), 0)
    assert.strictEqual(hiddenBetween(before, startAt(1000, 50, undefined)), 0)
  })

  it("counts as a freeze that no clock shows from a second on", () => {
    const still = { wall: 1000, monotonic: 50 }
    assert.deepStrictEqual(freezeBetween(still, still, 999), { millis: 999, wasStopped: false, wasHidden: false })
    assert.deepStrictEqual(freezeBetween(still, still, 1000), { millis: 1000, wasStopped: true, wasHidden: true })
  })
})

describe("the services", () => {
  it.effect("are built by the first invocation and kept", () =>
    Effect.gen(function*() {
      const { connector, ledger } = Scripted.make()
      const instance = yield* instanceOf(poolLayer(connector))
      assert.strictEqual(ledger.attempts, 0)
      assert.deepStrictEqual([yield* instance.invoke(id, budget), yield* instance.invoke(id, budget)], [1, 1])
    }))

  it.effect("are built anew after a failure, and invocations that wait for one build share it", () =>
    Effect.gen(function*() {
      let builds = 0
      let closed = 0
      const layer = Layer.effect(
        Database,
        Effect.gen(function*() {
          const build = ++builds
          yield* Effect.addFinalizer(() => Effect.sync(() => closed++))
          yield* Effect.sleep("10 millis")
          if (build === 1) return yield* Effect.fail("refused" as const)
          return { build } as never
        })
      )
      const instance = yield* instanceOf(layer)
      const both = yield* fork(Effect.all(
        [Effect.exit(instance.invoke(Effect.void, budget)), Effect.exit(instance.invoke(Effect.void, budget))],
        { concurrency: 2 }
      ))
      yield* advance(20)
      const failures: ReadonlyArray<unknown> = yield* Fiber.join(both)
      assert.deepStrictEqual(failures, [Exit.fail("refused"), Exit.fail("refused")])
      assert.deepStrictEqual([builds, closed], [1, 1])
      const third = yield* fork(instance.invoke(Effect.as(Database, "fine"), budget))
      yield* advance(20)
      assert.strictEqual(yield* Fiber.join(third), "fine")
      assert.deepStrictEqual([builds, closed], [2, 1])
    }))

  it.effect("of a build that hangs are given up with the last invocation that waits for them", () =>
    Effect.gen(function*() {
      let builds = 0
      let closed = 0
      const layer = Layer.effectDiscard(Effect.gen(function*() {
        yield* Effect.addFinalizer(() => Effect.sync(() => closed++))
        if (++builds === 1) return yield* Effect.never
      }))
      const instance = yield* instanceOf(layer)
      const first = yield* fork(Effect.exit(instance.invoke(Effect.void, invocationBudget(100, 20))))
      yield* advance(90)
      assert.strictEqual(reasonOf(yield* Fiber.join(first))._tag, "InvocationTimeout")
      assert.deepStrictEqual([builds, closed], [1, 1])
      assert.strictEqual(yield* instance.invoke(Effect.succeed("fine"), budget), "fine")
    }))

  it.effect("that are being built are abandoned when they are closed, even if a fiber waits for them", () =>
    Effect.gen(function*() {
      let closed = 0
      const layer = Layer.effectDiscard(
        Effect.andThen(Effect.addFinalizer(() => Effect.sync(() => closed++)), Effect.never)
      )
      const runtime = new LazyRuntime(layer, Context.empty())
      const waiting = yield* fork(Effect.exit(runtime.services))
      yield* runtime.close
      assert.isTrue(Exit.isFailure(yield* Fiber.join(waiting)))
      assert.strictEqual(closed, 1)
    }))

  it.effect("of a build that ends after it was given up are closed", () =>
    Effect.gen(function*() {
      let builds = 0
      let closed = 0
      const layer = Layer.effectDiscard(Effect.gen(function*() {
        yield* Effect.addFinalizer(() => Effect.sync(() => closed++))
        if (++builds === 1) yield* Effect.uninterruptible(Effect.sleep("1 second"))
      }))
      const instance = yield* instanceOf(layer)
      const first = yield* fork(Effect.exit(instance.invoke(Effect.void, invocationBudget(100, 20))))
      yield* advance(100)
      yield* Fiber.join(first)
      yield* instance.invoke(Effect.void, budget)
      assert.deepStrictEqual([builds, closed], [2, 0])
      yield* advance(1000, 100)
      assert.deepStrictEqual([builds, closed], [2, 1])
    }))
})

describe("an invocation", () => {
  it.effect("has a scope of its own, which is closed before it answers", () =>
    Effect.gen(function*() {
      const events: Array<string> = []
      const instance = yield* instanceOf(Layer.empty)
      const note = (what: string) => Effect.sync(() => void events.push(what))
      const invocation = instance.invoke(
        Effect.andThen(Effect.addFinalizer(() => note("finalized")), note("ran")),
        budget
      )
      yield* Effect.andThen(invocation, note("answered"))
      assert.deepStrictEqual(events, ["ran", "finalized", "answered"])
    }))

  it.effect("is interrupted in time, and its finalizers run before the answer", () =>
    Effect.gen(function*() {
      const { connector, ledger } = Scripted.make()
      const instance = yield* instanceOf(poolLayer(connector))
      let finalized = false
      const slow = use(() => Effect.onInterrupt(Effect.never, () => Effect.sync(() => finalized = true)))
      const fiber = yield* fork(Effect.exit(instance.invoke(slow, budget)))
      yield* advance(2690, 100)
      assert.isUndefined(fiber.pollUnsafe())
      yield* advance(20)
      const reason = reasonOf(yield* Fiber.join(fiber))
      const after = Duration.millis(2700)
      assert.deepInclude(reason, { _tag: "InvocationTimeout", hasEnded: true, isRetryable: false, after })
      assert.isTrue(finalized)
      // Nobody knows what the interrupted one has left on its connection.
      assert.strictEqual(yield* instance.invoke(id, budget), 2)
      assert.strictEqual(ledger.closed, 1)
    }))

  it.effect("that cannot be interrupted is answered for in time, and its connections are closed under it", () =>
    Effect.gen(function*() {
      const { connector, openNow } = Scripted.make()
      const instance = yield* instanceOf(poolLayer(connector))
      const stuck = use(() => Effect.uninterruptible(Effect.never))
      const fiber = yield* fork(Effect.exit(instance.invoke(stuck, budget)))
      yield* advance(2800, 100)
      assert.strictEqual(openNow(), 1)
      assert.isUndefined(fiber.pollUnsafe())
      yield* advance(100)
      const reason = reasonOf(yield* Fiber.join(fiber))
      assert.deepInclude(reason, { _tag: "InvocationTimeout", hasEnded: false })
      assert.strictEqual(openNow(), 0)
      // What cannot be ended goes on after the test.
    }).pipe(LeakCheck.ignore))

  it.effect("is answered in time although each timer is late", () =>
    Effect.gen(function*() {
      const clock = new LateClock(40)
      const context = Context.make(Clock.Clock, clock)
      const instance = new WarmInstance({ layer: Layer.empty, between: "closeIdle", context })
      const hangs = Effect.ensuring(Effect.never, Effect.never)
      const exit = yield* Effect.exit(Effect.provideService(instance.invoke(hangs, budget), Clock.Clock, clock))
      assert.deepInclude(reasonOf(exit), { _tag: "InvocationTimeout", hasEnded: false })
      // 40 of the 150 ms for finalizers have passed before they began, and no time is left to wait for anything else.
      assert.deepStrictEqual(clock.sleeps, [budget.run, budget.finalize - 40])
      assert.isAtMost(clock.now, budget.total)
    }))

  it.effect("that waits for its peer alone ends when its connection is closed under it", () =>
    Effect.gen(function*() {
      const closed = yield* Deferred.make<void>()
      const { connector } = Scripted.make({ close: () => Effect.asVoid(Deferred.succeed(closed, undefined)) })
      const instance = yield* instanceOf(poolLayer(connector))
      const waiting = use(() => Effect.uninterruptible(Deferred.await(closed)))
      const fiber = yield* fork(Effect.exit(instance.invoke(waiting, budget)))
      yield* advance(2900, 100)
      assert.deepInclude(reasonOf(yield* Fiber.join(fiber)), { _tag: "InvocationTimeout", hasEnded: true })
    }))

  it.effect("that hangs does not cost another one its connection", () =>
    Effect.gen(function*() {
      const { connector, openNow } = Scripted.make()
      const instance = yield* instanceOf(poolLayer(connector))
      const other = yield* fork(Effect.exit(instance.invoke(use(() => Effect.never), budget)))
      const stuck = use(() => Effect.uninterruptible(Effect.never))
      const fiber = yield* fork(Effect.exit(instance.invoke(stuck, invocationBudget(300, 100))))
      yield* advance(300, 20)
      assert.deepInclude(reasonOf(yield* Fiber.join(fiber)), { _tag: "InvocationTimeout", hasEnded: false })
      assert.strictEqual(openNow(), 2)
      assert.isUndefined(other.pollUnsafe())
      yield* Fiber.interrupt(other)
      // What cannot be ended goes on after the test.
    }).pipe(LeakCheck.ignore))

  it.effect("that hangs beside another one loses its connections when that one ends", () =>
    Effect.gen(function*() {
      const { connector, openNow } = Scripted.make()
      const instance = yield* instanceOf(poolLayer(connector))
      const latch = yield* Deferred.make<void>()
      const other = yield* fork(instance.invoke(use(() => Deferred.await(latch)), budget))
      const stuck = use(() => Effect.uninterruptible(Effect.never))
      const fiber = yield* fork(Effect.exit(instance.invoke(stuck, invocationBudget(300, 100))))
      yield* advance(300, 20)
      assert.deepInclude(reasonOf(yield* Fiber.join(fiber)), { _tag: "InvocationTimeout", hasEnded: false })
      assert.strictEqual(openNow(), 2)
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(other)
      yield* settle
      assert.strictEqual(openNow(), 0)
      // What cannot be ended goes on after the test.
    }).pipe(LeakCheck.ignore))

  it.effect("without any time left is not started", () =>
    Effect.gen(function*() {
      const instance = yield* instanceOf(Layer.empty)
      let begun = false
      const exit = yield* Effect.exit(instance.invoke(Effect.sync(() => begun = true), invocationBudget(0, 300)))
      assert.strictEqual(reasonOf(exit)._tag, "InvocationTimeout")
      assert.isFalse(begun)
    }))

  it.effect("that is interrupted by its caller leaves the instance usable", () =>
    Effect.gen(function*() {
      const { connector, openNow } = Scripted.make()
      const instance = yield* instanceOf(poolLayer(connector), "closeIdle")
      for (let turn = 0; turn < 20; turn++) {
        const fiber = yield* fork(instance.invoke(use(() => Effect.never), budget))
        if (turn % 2 === 0) yield* settle
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(openNow(), 0)
      }
      assert.strictEqual(typeof (yield* instance.invoke(id, budget)), "number")
    }))
})

describe("an interruption at any step", () => {
  it.effect("leaves nothing open and no invocation counted, for any budget of operations", () =>
    Effect.gen(function*() {
      let steps = 0
      for (const maxOps of [3, 7]) {
        for (let yields = 0; yields < 30; yields++) {
          const { connector, ledger, openNow } = Scripted.make({ open: () => Effect.yieldNow })
          let built = 0
          let ended = 0
          const counted = Layer.effectDiscard(Effect.acquireRelease(
            Effect.sync(() => built++),
            () => Effect.sync(() => ended++)
          ))
          const instance = yield* instanceOf(Layer.provideMerge(counted, poolLayer(connector)), "closeAll")
          const fiber = yield* fork(
            instance.invoke(use(() => Effect.andThen(Effect.yieldNow, Effect.yieldNow)), budget).pipe(
              Effect.provideService(Scheduler.MaxOpsBeforeYield, maxOps)
            )
          )
          for (let turn = 0; turn < yields; turn++) yield* Effect.yieldNow
          if (fiber.pollUnsafe() === undefined) steps++
          yield* Fiber.interrupt(fiber)
          yield* settle
          assert.deepStrictEqual([openNow(), ended], [0, built], `${maxOps} operations, ${yields} yields`)
          assert.strictEqual(ledger.opened, ledger.closed)
          // If it still counted, nothing would be closed after the next one.
          yield* instance.invoke(id, budget)
          assert.deepStrictEqual([openNow(), ended], [0, built], `after ${maxOps} operations, ${yields} yields`)
        }
      }
      assert.isAbove(steps, 20)
    }))
})

describe("a shutdown at any step of an invocation", () => {
  it.effect("leaves nothing open, and answers every invocation", () =>
    Effect.gen(function*() {
      const reached = new Set<string>()
      for (const maxOps of [3, 5, 7, 11]) {
        for (let yields = 0; yields < 40; yields++) {
          const { connector, ledger, openNow } = Scripted.make({ open: () => Effect.yieldNow })
          let built = 0
          let ended = 0
          const counted = Layer.effectDiscard(Effect.acquireRelease(
            Effect.sync(() => built++),
            () => Effect.sync(() => ended++)
          ))
          const instance = yield* instanceOf(Layer.provideMerge(counted, poolLayer(connector)))
          const fiber = yield* fork(
            Effect.exit(instance.invoke(use(() => Effect.andThen(Effect.yieldNow, Effect.yieldNow)), budget)).pipe(
              Effect.provideService(Scheduler.MaxOpsBeforeYield, maxOps)
            )
          )
          for (let turn = 0; turn < yields; turn++) yield* Effect.yieldNow
          const at = `${maxOps} operations, ${yields} yields`
          assert.deepInclude(yield* instance.shutdown(300), { isComplete: true, connections: 0 }, at)
          assert.deepStrictEqual([openNow(), ended, ledger.closed], [0, built, ledger.opened], at)
          const exit = yield* Fiber.join(fiber)
          reached.add(Exit.isSuccess(exit) ? "ended" : `${reasonOf(exit)._tag} ${built}`)
          yield* settle
          assert.deepStrictEqual([openNow(), ended], [0, built], `later, after ${at}`)
        }
      }
      // Before the layer was built, after that, and when it was over.
      assert.sameMembers([...reached], ["InstanceClosing 0", "InstanceClosing 1", "ended"])
    }))
})

describe("between two invocations", () => {
  it.effect("closeIdle closes the connections and keeps the services; closeAll closes both", () =>
    Effect.gen(function*() {
      for (const [between, builds] of [["keep", 1], ["closeIdle", 1], ["closeAll", 2]] as const) {
        const { connector, ledger, openNow } = Scripted.make({ close: () => Effect.sleep("20 millis") })
        let built = 0
        const counted = Layer.effectDiscard(Effect.sync(() => built++))
        const instance = yield* instanceOf(Layer.merge(poolLayer(connector), counted), between)
        for (let turn = 0; turn < 2; turn++) {
          const fiber = yield* fork(instance.invoke(id, budget))
          yield* advance(30)
          yield* Fiber.join(fiber)
          assert.strictEqual(openNow(), between === "keep" ? 1 : 0, between)
        }
        assert.strictEqual(ledger.opened, between === "keep" ? 1 : 2, between)
        assert.strictEqual(built, builds, between)
      }
    }))

  it.effect("a peer that does not let a connection close holds no answer past the platform's time", () =>
    Effect.gen(function*() {
      const { connector } = Scripted.make({ close: () => Effect.never })
      const instance = yield* instanceOf(poolLayer(connector, { closeTimeout: "1 minute" }), "closeIdle")
      const fiber = yield* fork(instance.invoke(id, invocationBudget(1000, 200)))
      yield* advance(960, 20)
      assert.isUndefined(fiber.pollUnsafe())
      yield* advance(20)
      assert.strictEqual(yield* Fiber.join(fiber), 1)
    }))

  it.effect("a connection that is still being opened delays no answer for longer than a close may take", () =>
    Effect.gen(function*() {
      const { connector } = Scripted.make({ open: () => Effect.uninterruptible(Effect.sleep("10 seconds")) })
      const options = { acquireTimeout: "1 second", closeTimeout: "200 millis" } as const
      const instance = yield* instanceOf(poolLayer(connector, options), "closeIdle")
      const fiber = yield* fork(instance.invoke(Effect.exit(id), invocationBudget(30_000, 300)))
      yield* advance(1690, 10)
      assert.isUndefined(fiber.pollUnsafe())
      yield* advance(20)
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "Failure")
      yield* advance(20_000, 100)
    }))

  it.effect("other invocations keep what they have", () =>
    Effect.gen(function*() {
      const { connector, openNow } = Scripted.make()
      const instance = yield* instanceOf(poolLayer(connector), "closeAll")
      const latch = yield* Deferred.make<void>()
      const long = yield* fork(instance.invoke(use(() => Deferred.await(latch)), budget))
      yield* settle
      yield* instance.invoke(id, budget)
      assert.strictEqual(openNow(), 2)
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(long)
      assert.strictEqual(openNow(), 0)
    }))
})

describe("after a thaw", () => {
  it.effect("no invocation gets a connection whose end was reported late", () =>
    Effect.gen(function*() {
      const { connector, ledger } = Scripted.make()
      const instance = yield* instanceOf(poolLayer(connector))
      yield* instance.invoke(id, budget)
      for (let turn = 1; turn <= 50; turn++) {
        const [connection] = ledger.live
        assert.isDefined(connection)
        // The invocation comes first, and the report of the dead connection in the same turn of the loop, as after SIGCONT.
        const next = yield* fork(instance.invoke(id, budget))
        setImmediate(() => Deferred.doneUnsafe((connection as Scripted.Scripted).died, Exit.void))
        assert.strictEqual(yield* Fiber.join(next), turn + 1)
      }
    }))

  it.effect("nor does another one that comes with it", () =>
    Effect.gen(function*() {
      const { connector, ledger } = Scripted.make()
      const instance = yield* instanceOf(poolLayer(connector))
      for (let turn = 0; turn < 20; turn++) {
        yield* instance.invoke(open(2), budget)
        const dead = [...ledger.live]
        assert.lengthOf(dead, 2)
        const borrow = use((connection) => Effect.andThen(loopTurn, Effect.succeed(connection)))
        const both = [yield* fork(instance.invoke(borrow, budget)), yield* fork(instance.invoke(borrow, budget))]
        setImmediate(() => {
          for (const { died } of dead) Deferred.doneUnsafe(died, Exit.void)
        })
        for (const connection of yield* Fiber.joinAll(both)) assert.notInclude(dead, connection)
      }
    }))

  it.effect("connections are as old as the wall clock says, although the monotonic clock stood still", () =>
    Effect.gen(function*() {
      const { connector, ledger } = Scripted.make()
      const clock = yield* Clock.Clock
      let frozen = 0
      let steppedBack = 0
      const skewed: Clock.Clock = {
        currentTimeMillis: Effect.sync(() => skewed.currentTimeMillisUnsafe()),
        currentTimeNanos: Effect.sync(() => skewed.currentTimeNanosUnsafe()),
        monotonicTimeNanos: Effect.sync(() => skewed.monotonicTimeNanosUnsafe()),
        currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + frozen,
        monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe() + BigInt(steppedBack) * 1_000_000n,
        currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe() + BigInt(frozen) * 1_000_000n,
        sleep: (duration) => clock.sleep(duration)
      }
      const unchecked = { open: connector.open, closed: connector.closed }
      const instanceWith = (options: { readonly isChecked: boolean }) =>
        new WarmInstance({
          layer: poolLayer(options.isChecked ? connector : unchecked),
          between: "keep",
          context: Context.make(Clock.Clock, skewed)
        })
      const checked = instanceWith({ isChecked: true })
      assert.deepStrictEqual([yield* checked.invoke(id, budget), yield* checked.invoke(id, budget)], [1, 1])
      frozen += 2000
      // It is younger than its idle time, and its connector can ask the server whether it still works.
      assert.strictEqual(yield* checked.invoke(id, budget), 1)
      frozen += 31_000
      assert.strictEqual(yield* checked.invoke(id, budget), 2)
      // Nobody can ask, and the machine was deaf: the connection is replaced.
      const trusting = instanceWith({ isChecked: false })
      assert.deepStrictEqual([yield* trusting.invoke(id, budget), yield* trusting.invoke(id, budget)], [3, 3])
      frozen += 2000
      assert.deepStrictEqual([yield* trusting.invoke(id, budget), yield* trusting.invoke(id, budget)], [4, 4])
      // The wall clock was set back while the process was frozen, and no timer has rung.
      steppedBack += 31_000
      assert.strictEqual(yield* trusting.invoke(id, budget), 5)
      assert.strictEqual(ledger.opened, 5)
      // One freeze costs each connection once, however many invocations come after it.
      frozen += 2000
      const both = [yield* fork(trusting.invoke(id, budget)), yield* fork(trusting.invoke(id, budget))]
      yield* Fiber.joinAll(both)
      const last = ledger.opened
      assert.isAtMost(last, 7)
      for (let turn = 0; turn < 2; turn++) yield* trusting.invoke(id, budget)
      assert.strictEqual(ledger.opened, last)
    }))
})

describe("after a thaw that no clock has noticed", () => {
  it.effect("no earlier connection is leased, whether its connector can check it or not", () =>
    Effect.gen(function*() {
      for (const isChecked of [true, false]) {
        const { connector, ledger } = Scripted.make()
        const { check: _, ...unchecked } = connector
        const instance = yield* instanceOf(poolLayer(isChecked ? connector : unchecked))
        const invoke = (remaining: number) => instance.invoke(id, budget, remaining)
        // Less than a second is nothing: an invocation may begin a little late.
        assert.deepStrictEqual([yield* invoke(2900), yield* invoke(3000), yield* invoke(2900)], [1, 1, 1])
        // The clocks of the test stand still, and the invocation ends a minute later than it would have.
        assert.strictEqual(yield* invoke(63_000), 2)
        // The clocks go on being wrong; nothing has happened since.
        assert.deepStrictEqual([yield* invoke(63_000), yield* invoke(63_000)], [2, 2])
        assert.strictEqual(yield* invoke(93_000), 3)
        yield* settle
        assert.deepStrictEqual([ledger.opened, ledger.live.size], [3, 1])
      }
    }))

  it.effect("nor is it by two invocations that come at once", () =>
    Effect.gen(function*() {
      const { connector } = Scripted.make()
      const instance = yield* instanceOf(poolLayer(connector))
      yield* instance.invoke(open(2), budget, 3000)
      const both = [
        yield* fork(instance.invoke(id, budget, 63_000)),
        yield* fork(instance.invoke(id, budget, 63_000))
      ]
      for (const leased of yield* Fiber.joinAll(both)) assert.isAbove(leased, 2)
    }))

  it.effect("a freeze without open connections does not affect later ones", () =>
    Effect.gen(function*() {
      const { connector } = Scripted.make()
      const instance = yield* instanceOf(poolLayer(connector))
      yield* instance.invoke(Effect.void, budget, 3000)
      assert.strictEqual(yield* instance.invoke(id, budget, 63_000), 1)
      assert.strictEqual(yield* instance.invoke(id, budget, 63_000), 1)
    }))
})

describe("a shutdown", () => {
  it.effect("closes 50 idle connections at once, and refuses invocations from then on", () =>
    Effect.gen(function*() {
      const { connector, openNow } = Scripted.make({ close: () => Effect.sleep("20 millis") })
      const instance = yield* instanceOf(poolLayer(connector))
      yield* instance.invoke(open(50), budget)
      assert.strictEqual(openNow(), 50)
      const shutdown = yield* fork(instance.shutdown(300))
      yield* advance(25)
      assert.strictEqual(openNow(), 0)
      assert.deepStrictEqual(yield* Fiber.join(shutdown), { isComplete: true, connections: 0, millis: 20 })
      const refused = yield* Effect.exit(instance.invoke(id, budget))
      assert.deepInclude(reasonOf(refused), { _tag: "InstanceClosing", hasBegun: false, isRetryable: true })
      assert.deepInclude(yield* instance.shutdown(300), { isComplete: true })
    }))

  it.effect("interrupts what runs, which answers that the instance is closing", () =>
    Effect.gen(function*() {
      const { connector, openNow } = Scripted.make()
      const instance = yield* instanceOf(poolLayer(connector))
      const events: Array<string> = []
      const running = use(() => Effect.never).pipe(
        // A finalizer of an invocation may still use the services.
        Effect.onInterrupt(() => Effect.map(Effect.orDie(id), (id) => void events.push(`flushed on ${id}`)))
      )
      const fiber = yield* fork(Effect.exit(instance.invoke(running, budget)))
      yield* settle
      const shutdown = yield* fork(instance.shutdown(300))
      yield* advance(10)
      assert.deepInclude(reasonOf(yield* Fiber.join(fiber)), { _tag: "InstanceClosing", hasBegun: true })
      assert.deepStrictEqual(events, ["flushed on 2"])
      assert.deepInclude(yield* Fiber.join(shutdown), { isComplete: true })
      assert.strictEqual(openNow(), 0)
    }))

  it.effect("lets a service that uses the pool end before the pool", () =>
    Effect.gen(function*() {
      const { connector } = Scripted.make()
      const events: Array<string> = []
      const flushing = Layer.effectDiscard(Effect.flatMap(Database, (pool) =>
        Effect.addFinalizer(() =>
          Effect.map(
            Effect.exit(ConnectionPool.use(pool, "db", () => Effect.void)),
            (exit) => void events.push(exit._tag)
          )
        )))
      const instance = yield* instanceOf(Layer.provideMerge(flushing, poolLayer(connector)))
      yield* instance.invoke(id, budget)
      assert.deepInclude(yield* instance.shutdown(300), { isComplete: true })
      assert.deepStrictEqual(events, ["Success"])
    }))

  it.effect("waits for what an invocation had begun to close", () =>
    Effect.gen(function*() {
      const { connector, openNow } = Scripted.make({ close: () => Effect.sleep("50 millis") })
      const instance = yield* instanceOf(poolLayer(connector), "closeAll")
      const fiber = yield* fork(instance.invoke(id, budget))
      yield* advance(10)
      assert.isUndefined(fiber.pollUnsafe())
      const shutdown = yield* fork(instance.shutdown(300))
      yield* advance(30)
      assert.isUndefined(shutdown.pollUnsafe())
      yield* advance(20)
      assert.deepInclude(yield* Fiber.join(shutdown), { isComplete: true, connections: 0 })
      assert.deepStrictEqual([yield* Fiber.join(fiber), openNow()], [1, 0])
    }))

  it.effect("ends within its window although peers, borrowers, finalizers and invocations hang", () =>
    Effect.gen(function*() {
      const { connector, ledger } = Scripted.make({ close: () => Effect.never })
      const healthy = Scripted.make()
      const hanging = Layer.effectDiscard(Effect.addFinalizer(() => Effect.never))
      class Other extends Context.Service<Other, Databases>()("test/Other") {}
      const other = Layer.effect(
        Other,
        ConnectionPool.make({ ...ConnectionPool.serverless, connector: healthy.connector, drainTimeout: "1 minute" })
      ).pipe(Layer.provide(ResourceMonitor.layerUnlimited))
      // The layer that hangs is closed first, and would hold up both pools.
      const layer = Layer.provideMerge(
        hanging,
        Layer.merge(other, poolLayer(connector, { closeTimeout: "1 minute", drainTimeout: "1 minute" }))
      )
      const instance = yield* instanceOf(layer)
      yield* instance.invoke(open(50), budget)
      yield* instance.invoke(
        Effect.flatMap(Other, (pool) => ConnectionPool.use(pool, "db", () => Effect.void)),
        budget
      )
      const latch = yield* Deferred.make<void>()
      const stuck = use(() => Effect.uninterruptible(Deferred.await(latch)))
      const invocation = yield* fork(Effect.exit(instance.invoke(stuck, budget)))
      yield* settle
      assert.deepStrictEqual([ledger.opened, healthy.openNow()], [50, 1])
      const shutdown = yield* fork(instance.shutdown(300))
      yield* advance(160)
      // The end of every connection had begun, and the pool that could was closed, when half of the window was over.
      assert.deepStrictEqual([ledger.live.size, healthy.openNow()], [0, 0])
      yield* advance(140)
      const { isComplete, millis } = yield* Fiber.join(shutdown)
      assert.isFalse(isComplete)
      assert.isAtMost(millis, 275)
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(invocation)
    }))

  it.effect("keeps a pool that stays open until the others have closed, also when all close at the same time", () =>
    Effect.gen(function*() {
      const { openNow, outcomes, stored } = withStore(Effect.sleep("84 millis"))
      const instance = yield* instanceOf(stored)
      yield* instance.invoke(id, budget)
      const shutdown = yield* fork(instance.shutdown(300))
      const { layers } = shutdownBudget(300)
      yield* advance(layers + 5)
      // The layers have not closed in time, so the pools close at the same time.
      assert.deepStrictEqual([outcomes, shutdown.pollUnsafe()], [[], undefined])
      yield* advance(10)
      assert.deepStrictEqual([outcomes, openNow()], [["Success"], 0])
      assert.deepInclude(yield* Fiber.join(shutdown), { isComplete: true, connections: 0 })
    }))

  it.effect("gives back the permit of a connection to a silent peer, which closes only at its time limit", () =>
    Effect.gen(function*() {
      const silent = Effect.flatMap(CloseTimeout, (_) => Effect.sleep(_.closeTimeout))
      const { openNow, outcomes, stored } = withStore(silent)
      // The layer that hangs is closed first, so the pool begins to close when all do.
      const hanging = Layer.effectDiscard(Effect.addFinalizer(() => Effect.never))
      const instance = yield* instanceOf(Layer.provideMerge(hanging, stored))
      yield* instance.invoke(id, budget)
      const shutdown = yield* fork(instance.shutdown(300))
      const { close, layers } = shutdownBudget(300)
      yield* advance(layers + close - 5)
      assert.deepStrictEqual(outcomes, [])
      yield* advance(10)
      assert.deepStrictEqual([outcomes, openNow()], [["Success"], 0])
      yield* advance(200)
      assert.deepInclude(yield* Fiber.join(shutdown), { isComplete: false, connections: 0 })
    }))

  it.effect("closes a pool that stays open within its window although the others hang", () =>
    Effect.gen(function*() {
      const { openNow, outcomes, stored } = withStore(Effect.never)
      const instance = yield* instanceOf(stored)
      yield* instance.invoke(id, budget)
      const shutdown = yield* fork(instance.shutdown(300))
      const { layers, pools } = shutdownBudget(300)
      yield* advance(layers + pools * 0.8)
      assert.strictEqual(openNow(), 1)
      yield* advance(pools * 0.1)
      assert.deepStrictEqual([outcomes, openNow()], [[], 0])
      yield* advance(100)
      const { isComplete, millis } = yield* Fiber.join(shutdown)
      assert.isFalse(isComplete)
      assert.isAtMost(millis, 275)
    }))

  it.effect("ends in time although each timer is late", () =>
    Effect.gen(function*() {
      const clock = new LateClock(40)
      const context = Context.make(Clock.Clock, clock)
      const layer = Layer.effectDiscard(Effect.addFinalizer(() => Effect.never))
      const instance = new WarmInstance({ layer, between: "keep", context })
      const stuck = Effect.provideService(
        instance.invoke(Effect.uninterruptible(Effect.never), budget),
        Clock.Clock,
        clock
      )
      yield* Effect.forkDetach(stuck, { startImmediately: true })
      clock.sleeps.length = clock.now = 0
      const end = yield* instance.shutdown(300)
      assert.isFalse(end.isComplete)
      // The steps are to end 75, 150 and 270 ms after the signal. The last one to wait is 40 ms late, and no other one follows it.
      assert.deepStrictEqual(clock.sleeps, [75, 35, 80])
      assert.strictEqual(end.millis, 310)
    }))

  it.effect("shortens pools with long timeouts", () =>
    Effect.gen(function*() {
      const { connector, openNow } = Scripted.make({
        close: () => Effect.flatMap(CloseTimeout, (_) => Effect.sleep(_.closeTimeout))
      })
      const layer = poolLayer(connector, { closeTimeout: "1 minute", drainTimeout: "1 minute" })
      // A lease of the layer belongs to no invocation, and is interrupted only when the pool closes.
      const borrowed = Layer.effectDiscard(Effect.flatMap(Database, (pool) =>
        Effect.forkDetach(
          ConnectionPool.use(pool, "db", () => Effect.never),
          { startImmediately: true }
        )))
      const instance = yield* instanceOf(Layer.provideMerge(borrowed, layer))
      yield* instance.invoke(Effect.void, budget)
      yield* settle
      assert.strictEqual(openNow(), 1)
      const shutdown = yield* fork(instance.shutdown(300))
      yield* advance(130)
      const { drain, close } = shutdownBudget(300)
      assert.deepStrictEqual(yield* Fiber.join(shutdown), { isComplete: true, connections: 0, millis: drain + close })
    }))

  it.effect("logs a finalizer that fails, because it has no caller, and goes on", () =>
    Effect.gen(function*() {
      const lines: Array<string> = []
      const logger = Logger.make(({ cause, message }) => void lines.push(`${String(message)}: ${Cause.pretty(cause)}`))
      const clock = yield* Clock.Clock
      const context = Context.make(Clock.Clock, clock).pipe(Context.add(Logger.CurrentLoggers, new Set([logger])))
      const { connector, openNow } = Scripted.make()
      const failing = Layer.effectDiscard(Effect.addFinalizer(() => Effect.die(new Error("the flush failed"))))
      const layer = Layer.provideMerge(failing, poolLayer(connector))
      const instance = new WarmInstance({ layer, between: "keep", context })
      yield* instance.invoke(id, budget)
      assert.deepInclude(yield* instance.shutdown(300), { isComplete: true, connections: 0 })
      assert.strictEqual(openNow(), 0)
      assert.lengthOf(lines, 1)
      assert.match(lines[0] ?? "", /^WarmInstance: closing the layer failed: Error: the flush failed/)
    }))

  it.effect("waits for a build that was given up, and cannot be interrupted yet", () =>
    Effect.gen(function*() {
      let closed = 0
      const layer = Layer.effectDiscard(Effect.andThen(
        Effect.acquireRelease(Effect.void, () => Effect.sync(() => closed++)),
        Effect.uninterruptible(Effect.sleep("150 millis"))
      ))
      const instance = yield* instanceOf(layer)
      const invocation = yield* fork(Effect.exit(instance.invoke(Effect.void, invocationBudget(100, 20))))
      yield* advance(100)
      assert.strictEqual(reasonOf(yield* Fiber.join(invocation))._tag, "InvocationTimeout")
      const shutdown = yield* fork(instance.shutdown(300))
      yield* advance(40)
      assert.deepStrictEqual([shutdown.pollUnsafe(), closed], [undefined, 0])
      yield* advance(20)
      assert.deepInclude(yield* Fiber.join(shutdown), { isComplete: true })
      assert.strictEqual(closed, 1)
    }))

  it.effect("closes what an uninterruptible build has opened", () =>
    Effect.gen(function*() {
      const events: Array<string> = []
      const latch = yield* Deferred.make<void>()
      const layer = Layer.effectDiscard(Effect.andThen(
        Effect.acquireRelease(Effect.void, () => Effect.sync(() => void events.push("closed"))),
        Effect.uninterruptible(Deferred.await(latch))
      ))
      const instance = yield* instanceOf(layer)
      const invocation = yield* fork(Effect.exit(instance.invoke(Effect.void, budget)))
      yield* settle
      const shutdown = yield* fork(instance.shutdown(300))
      const { invocations, layers } = shutdownBudget(300)
      yield* advance(invocations + layers + 10)
      assert.deepStrictEqual(events, ["closed"])
      yield* advance(300)
      assert.deepInclude(yield* Fiber.join(shutdown), { isComplete: false })
      yield* Deferred.succeed(latch, undefined)
      assert.strictEqual(reasonOf(yield* Fiber.join(invocation))._tag, "InstanceClosing")
      assert.deepStrictEqual(events, ["closed"])
    }))

  it.effect("shortens the close of resources outside of pools, wherever they were opened", () =>
    Effect.gen(function*() {
      const slow = Effect.acquireRelease(
        Effect.void,
        () => Effect.flatMap(CloseTimeout, (_) => Effect.sleep(_.closeTimeout))
      )
      const instance = yield* instanceOf(Layer.effectDiscard(slow))
      yield* instance.invoke(Effect.void, budget)
      const invocation = yield* fork(Effect.exit(instance.invoke(Effect.andThen(slow, Effect.never), budget)))
      yield* settle
      const shutdown = yield* fork(instance.shutdown(300))
      yield* advance(shutdownBudget(300).total)
      // After its own time limit, the invocation is not waited for.
      const millis = shutdownBudget(300).invocations + shutdownBudget(300).close
      assert.deepStrictEqual(yield* Fiber.join(shutdown), { isComplete: true, connections: 0, millis })
      assert.strictEqual(reasonOf(yield* Fiber.join(invocation))._tag, "InstanceClosing")
    }))

  it.effect("is not complete while an invocation does not end, although nothing is open", () =>
    Effect.gen(function*() {
      const instance = yield* instanceOf(Layer.empty)
      const latch = yield* Deferred.make<void>()
      const stuck = Effect.uninterruptible(Deferred.await(latch))
      const invocation = yield* fork(Effect.exit(instance.invoke(stuck, budget)))
      yield* settle
      const shutdown = yield* fork(instance.shutdown(300))
      yield* advance(300)
      assert.deepInclude(yield* Fiber.join(shutdown), { isComplete: false, connections: 0 })
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(invocation)
    }))

  it.effect("gives up a build that is under way", () =>
    Effect.gen(function*() {
      let closed = 0
      const layer = Layer.effectDiscard(
        Effect.andThen(Effect.addFinalizer(() => Effect.sync(() => closed++)), Effect.never)
      )
      const instance = yield* instanceOf(layer)
      const fiber = yield* fork(Effect.exit(instance.invoke(Effect.void, budget)))
      yield* settle
      assert.deepInclude(yield* instance.shutdown(300), { isComplete: true })
      assert.deepInclude(reasonOf(yield* Fiber.join(fiber)), { _tag: "InstanceClosing", hasBegun: true })
      assert.strictEqual(closed, 1)
    }))
})

describe("a pool without a registry", () => {
  it.effect("is made as ever, and one in a scope is forgotten with the scope", () =>
    Effect.gen(function*() {
      const { connector } = Scripted.make()
      const instance = yield* instanceOf(ResourceMonitor.layerUnlimited)
      const scope = yield* Scope.make()
      const pool = ConnectionPool.make({ connector })
      yield* instance.invoke(
        Effect.flatMap(Scope.provide(pool, scope), (pool) => ConnectionPool.use(pool, "db", () => Effect.void)),
        budget
      )
      yield* Scope.close(scope, Exit.void)
      assert.deepInclude(yield* instance.shutdown(300), { connections: 0, isComplete: true })
    }))
})
