/**
 * The ledger's account of who has what open, and the list and the stream of leaks.
 */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Layer, Logger, Scope, Stream } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Monitor from "effect-sluice/ResourceMonitor"
import { ResourceMonitor } from "effect-sluice/ResourceMonitor"
import { TestClock } from "effect/testing"
import * as Ledger from "../../../src/Monitor/Ledger.ts"
import * as Scripted from "../../support/ScriptedConnector.ts"

const held = (label: string): Monitor.LeakFacts => ({
  _tag: "Held",
  kind: "Lease",
  label,
  site: `borrow (file:///app.ts:${label}:1)`,
  span: undefined,
  age: Duration.seconds(3)
})

/** Everything that was logged. */
const collectLogs = () => {
  const lines: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => void lines.push(`${logLevel} ${String(message)}`))
  return { lines, layer: Logger.layer([logger]) }
}

describe("the ledger", () => {
  it("counts what is open by the place that asked for it, and keeps nothing of what is closed", () => {
    const ledger = Ledger.make()
    const open = (site: string | undefined) => Ledger.recordOpen(ledger, "db", () => site)
    const entries = ["a", "b", "b", undefined, "c", "b", "c"].map(open)
    assert.deepStrictEqual(Ledger.topSites(ledger, 2), [
      { site: "b", open: 3, leases: 0 },
      { site: "c", open: 2, leases: 0 }
    ])
    for (const entry of entries) Ledger.recordClosed(ledger, entry)
    assert.deepStrictEqual(Ledger.topSites(ledger, 10), [])
    assert.deepStrictEqual([ledger.sites.size, ledger.labels.size, Ledger.open(ledger)], [0, 0, 0])
  })

  it("asks who opened a connection for each of the first 2000, and then for one in 16 that stands for all", () => {
    const ledger = Ledger.make()
    let asked = 0
    const site = (name: string) => () => {
      asked++
      return name
    }
    const early = Array.from({ length: 2000 }, () => Ledger.recordOpen(ledger, "db", site("early")))
    assert.strictEqual(asked, 2000)
    const late = Array.from({ length: 8000 }, () => Ledger.recordOpen(ledger, "db", site("late")))
    assert.strictEqual(asked, 2000 + 500)
    assert.deepStrictEqual(Ledger.topSites(ledger, 2), [
      { site: "late", open: 8000, leases: 0 },
      { site: "early", open: 2000, leases: 0 }
    ])
    assert.strictEqual(Ledger.open(ledger), 10_000)
    for (const entry of [...early, ...late]) Ledger.recordClosed(ledger, entry)
    assert.deepStrictEqual([ledger.sites.size, Ledger.open(ledger)], [0, 0])
  })

  it("adds the leases of every registered pool, and asks each for a limited number", () => {
    const ledger = Ledger.make()
    Ledger.recordOpen(ledger, "db", () => "a")
    const asked: Array<number> = []
    ledger.lenders.add((most) => {
      asked.push(most)
      return ["b", "b", undefined, "a"].map((site) => ({ label: "db", site }))
    })
    assert.deepStrictEqual(Ledger.topSites(ledger, 5), [
      { site: "a", open: 1, leases: 1 },
      { site: "b", open: 0, leases: 2 }
    ])
    assert.deepStrictEqual(asked, [1000])
    assert.deepStrictEqual(Ledger.topSites(ledger, 0), [])
    assert.deepStrictEqual(Ledger.topOpeners(ledger, 5), [{ site: "a", open: 1 }])
    for (const count of [-1, 0.5, Number.NaN]) assert.throws(() => Ledger.topSites(ledger, count), /option count/)
  })

  it.effect("forgets a pool that has ended", () =>
    Effect.gen(function*() {
      const monitor = yield* ResourceMonitor
      let asked = 0
      const lender = () => {
        asked++
        return []
      }
      yield* Effect.scoped(Effect.andThen(monitor.trackLeases(lender), monitor.topSites(3)))
      yield* monitor.topSites(3)
      assert.strictEqual(asked, 1)
      // An account that is opened twice is closed twice.
      const tracked = monitor.track({ label: "a", site: () => "twice" })
      yield* Effect.scoped(Effect.gen(function*() {
        yield* tracked
        yield* Effect.scoped(tracked)
        assert.deepStrictEqual(yield* monitor.topSites(3), [{ site: "twice", open: 1, leases: 0 }])
      }))
      assert.deepStrictEqual(yield* monitor.topSites(3), [])
    }).pipe(Effect.provide(Monitor.layerTest)))
})

describe("leaks", () => {
  it.effect("are logged as warnings, remembered up to a hundred, and streamed from now on", () => {
    const { layer, lines } = collectLogs()
    return Effect.gen(function*() {
      const monitor = yield* ResourceMonitor
      yield* monitor.reportLeak(held("0"))
      const heard = yield* Effect.forkChild(Stream.runCollect(Stream.take(monitor.leaks, 2)), {
        startImmediately: true
      })
      yield* Effect.yieldNow
      for (let count = 1; count <= 120; count++) {
        yield* monitor.reportLeak(held(String(count)))
        if (count === 50) yield* Effect.yieldNow
      }
      const [first, second] = yield* Fiber.join(heard)
      assert.deepInclude(first, { _tag: "Held", label: "1" })
      assert.deepInclude(second, { _tag: "Held", label: "2" })
      const recent = yield* monitor.recentLeaks()
      assert.lengthOf(recent, 100)
      assert.deepStrictEqual([recent[0], recent[99]].map((leak) => (leak as Monitor.Held).label), ["21", "120"])
      assert.lengthOf(yield* monitor.recentLeaks(3), 3)
      assert.deepStrictEqual(yield* monitor.recentLeaks(1), recent.slice(-1))
      const exit = yield* Effect.exit(monitor.recentLeaks(-1))
      assert.match(String(exit), /option count is -1/)
      yield* TestClock.adjust("1 second")
      assert.lengthOf(lines, 121)
      assert.strictEqual(
        lines[0],
        "Warn ConnectionPool: a connection to 0 has been held for 3s by borrow (file:///app.ts:0:1)"
      )
    }).pipe(Effect.provide(Layer.merge(Monitor.layerTest, layer)))
  })

  it.effect("of a slow reader are the newest hundred", () =>
    Effect.gen(function*() {
      const monitor = yield* ResourceMonitor
      const labels: Array<string> = []
      const reader = yield* Effect.forkChild(
        Stream.runForEach(monitor.leaks, (leak) =>
          Effect.andThen(Effect.sync(() => labels.push((leak as Monitor.Held).label)), Effect.sleep("1 second"))),
        { startImmediately: true }
      )
      yield* Effect.yieldNow
      for (let count = 1; count <= 300; count++) {
        yield* monitor.reportLeak(held(String(count)))
      }
      yield* TestClock.adjust("10 minutes")
      yield* Fiber.interrupt(reader)
      assert.strictEqual(labels.at(-1), "300")
      assert.isAtMost(labels.length, 102)
    }).pipe(Effect.provide(Layer.merge(Monitor.layerTest, Logger.layer([])))))

  it.effect("of two pools come in one list, with the verdicts in order", () =>
    Effect.gen(function*() {
      const monitor = yield* ResourceMonitor
      const borrow = Effect.fnUntraced(function*(key: string, threshold: Duration.Input) {
        const { connector } = Scripted.make()
        const pool = yield* ConnectionPool.make({ connector, leakThreshold: threshold })
        const scope = yield* Scope.fork(yield* Effect.scope)
        yield* Scope.provide(ConnectionPool.get(pool, key), scope)
        return scope
      })
      const borrowed = yield* borrow("orders", "10 seconds")
      yield* borrow("users", "20 seconds")
      yield* TestClock.adjust("30 seconds")
      yield* Scope.close(borrowed, Exit.void)
      yield* Effect.yieldNow
      const leaks = yield* monitor.recentLeaks(10)
      assert.deepStrictEqual(leaks.map((leak) => [leak._tag, (leak as Monitor.Held).label]), [
        ["Held", "orders"],
        ["Held", "users"],
        ["Returned", "orders"]
      ])
      assert.match(leaks[2]?.message ?? "", /was returned after 30s by .*Leaks\.test\.ts:\d+.*: it was no leak/)
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(Monitor.layerTest, Logger.layer([])))))
})
