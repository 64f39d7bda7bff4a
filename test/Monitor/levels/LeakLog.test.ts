/**
 * How much of the leaks is logged: one line for each place in an interval, with the number of leaks.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Exit, Fiber, Layer, Logger, References, Scope, Stream } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Monitor from "effect-sluice/ResourceMonitor"
import { ResourceMonitor } from "effect-sluice/ResourceMonitor"
import { TestClock } from "effect/testing"
import * as Leak from "../../../src/Monitor/Leak.ts"
import * as LeakLog from "../../../src/Monitor/levels/LeakLog.ts"
import { collectLogs, settle } from "../../support/Pools.ts"
import * as Scripted from "../../support/ScriptedConnector.ts"

const facts = (site: string | undefined, label: string, span?: string) => ({
  kind: "Lease" as const,
  label,
  site,
  span,
  age: Duration.seconds(3)
})

const held = (site: string | undefined, label: string, span?: string) =>
  Leak.fromFacts({
    ...facts(site, label, span),
    _tag: "Held"
  })

const returned = (site: string, label: string) => Leak.fromFacts({ ...facts(site, label), _tag: "Returned" })

/** Everything that was logged, with its annotations. */
const collect = () => {
  const lines: Array<{ readonly level: string; readonly text: string; readonly annotations: Record<string, unknown> }> =
    []
  const logger = Logger.make(({ fiber, logLevel, message }) => {
    const annotations = { ...fiber.getRef(References.CurrentLogAnnotations) }
    lines.push({ level: logLevel, text: String(message), annotations })
  })
  return { lines, layer: Logger.layer([logger]) }
}

describe("the log of leaks", () => {
  it.effect("has one line for each call site and minute, with the number of leaks and the longest one", () => {
    const { layer, lines } = collect()
    return Effect.gen(function*() {
      const log = yield* LeakLog.makeLeakLogger(Duration.minutes(1))
      for (let i = 0; i < 100; i++) {
        yield* log(
          Leak.fromFacts({ ...facts("load", "db"), pool: "orders", age: Duration.seconds(i % 50), _tag: "Held" })
        )
      }
      yield* log(held("save", "db"))
      yield* TestClock.adjust(LeakLog.collectedFor)
      assert.deepStrictEqual(lines, [
        {
          level: "Warn",
          text: "ConnectionPool: a connection to db has been held for 49s by load; 99 more from the same place",
          annotations: {
            "sluice.verdict": "held",
            "sluice.count": 100,
            "db.client.connection.pool.name": "orders",
            "sluice.endpoint": "db",
            "sluice.site": "load",
            "sluice.longest": 49
          }
        },
        {
          level: "Warn",
          text: "ConnectionPool: a connection to db has been held for 3s by save",
          annotations: {
            "sluice.verdict": "held",
            "sluice.count": 1,
            "sluice.endpoint": "db",
            "sluice.site": "save",
            "sluice.longest": 3
          }
        }
      ])
      for (let i = 0; i < 10; i++) {
        yield* log(held("load", "db"))
        yield* TestClock.adjust("10 seconds")
      }
      assert.lengthOf(lines, 3)
      assert.match(lines[2]?.text ?? "", /; 5 more from the same place$/)
      // The next line is due a minute after the last one, also of a place that was silent in between.
      yield* TestClock.adjust("1 hour")
      assert.lengthOf(lines, 4)
      yield* log(held("load", "db"))
      yield* TestClock.adjust(LeakLog.collectedFor)
      assert.lengthOf(lines, 5)
    }).pipe(Effect.scoped, Effect.provide(layer))
  })

  it.effect("has the return of a lease as information, which is bounded too", () => {
    const { layer, lines } = collect()
    return Effect.gen(function*() {
      const log = yield* LeakLog.makeLeakLogger(Duration.minutes(1))
      for (let i = 0; i < 100; i++) yield* log(returned("load", "db"))
      yield* TestClock.adjust("59 seconds")
      assert.lengthOf(lines, 1)
      assert.deepInclude(lines[0], { level: "Info" })
      assert.match(lines[0]?.text ?? "", /was returned after 3s by load: it was no leak; 99 more from the same place$/)
      assert.deepInclude(lines[0]?.annotations, { "sluice.verdict": "returned", "sluice.count": 100 })
    }).pipe(Effect.scoped, Effect.provide(layer))
  })

  it.effect("has the number at the end of the monitor where that comes first", () => {
    const { layer, lines } = collectLogs()
    return Effect.gen(function*() {
      const scope = yield* Scope.make()
      const log = yield* Scope.provide(LeakLog.makeLeakLogger(Duration.infinity), scope)
      for (let i = 0; i < 3; i++) yield* log(held("load", String(i)))
      yield* TestClock.adjust("1 hour")
      assert.lengthOf(lines, 1)
      for (let i = 0; i < 4; i++) yield* log(held("load", String(i)))
      yield* Scope.close(scope, Exit.void)
      assert.match(lines.join("\n"), / 2 has .*; 2 more from the same place\nConnectionPool: .* 3 has .*; 3 more from/)
    }).pipe(Effect.provide(layer))
  })

  it.effect("has each one where the interval is 0", () => {
    const { layer, lines } = collectLogs()
    return Effect.gen(function*() {
      const log = yield* LeakLog.makeLeakLogger(Duration.zero)
      for (let i = 0; i < 100; i++) yield* log(held("load", String(i)))
      assert.lengthOf(lines, 100)
    }).pipe(Effect.scoped, Effect.provide(layer))
  })

  it.effect("is bounded where names of spans are without end", () => {
    const { layer, lines } = collectLogs()
    return Effect.gen(function*() {
      const log = yield* LeakLog.makeLeakLogger(Duration.minutes(1))
      for (let i = 0; i < 3000; i++) yield* log(held(undefined, "db", `span ${i}`))
      yield* TestClock.adjust(LeakLog.collectedFor)
      assert.lengthOf(lines, 1001)
      assert.match(lines.at(-1) ?? "", /; 1999 more from the same place$/)
    }).pipe(Effect.scoped, Effect.provide(layer))
  })

  it.effect("goes to the loggers of the first report, also at the end", () => {
    const { layer, lines } = collectLogs()
    return Effect.gen(function*() {
      yield* Effect.scoped(Effect.gen(function*() {
        const log = yield* LeakLog.makeLeakLogger(Duration.minutes(1))
        yield* Effect.provide(log(held("load", "db")), layer)
      }))
      assert.lengthOf(lines, 1)
    })
  })

  it.effect("has no secret, no newline and no escape sequence, neither in the line nor in its annotations", () => {
    const { layer, lines } = collect()
    return Effect.gen(function*() {
      const monitor = yield* ResourceMonitor
      const hostile = `GET /?password=hunter2 \u001b[31m"<b>\n2026 ERROR forged ${"x".repeat(10_000)}`
      yield* monitor.reportLeak({
        ...facts(hostile, "postgres://joe:hunter2@db\n:5432", hostile),
        pool: hostile,
        _tag: "Held"
      })
      yield* TestClock.adjust(LeakLog.collectedFor)
      const [line] = lines
      assert(line !== undefined)
      const texts = [line.text, ...Object.values(line.annotations).map(String)]
      const [leak] = yield* monitor.recentLeaks()
      assert(leak?._tag === "Held")
      for (const text of [...texts, leak.label, leak.pool, leak.site, leak.span]) {
        assert.notMatch(text ?? "", /hunter2|\p{Cc}/u)
        assert.isAtMost(text?.length ?? 0, 2100)
      }
    }).pipe(Effect.provide(Layer.merge(Monitor.layerTest, layer)))
  })

  it.effect("has one line for 100 holders at one call site, with the pool and the span", () => {
    const { layer, lines } = collect()
    return Effect.gen(function*() {
      const { connector } = Scripted.make()
      const caps = { maxPerEndpoint: 100, maxTotal: 100 }
      const pool = yield* ConnectionPool.make({ connector, name: "orders", ...caps, leakThreshold: "10 seconds" })
      const latch = yield* Deferred.make<void>()
      const holders = yield* Effect.forEach(Array.from({ length: 100 }), (_, index) =>
        // The borrows begin one after the other, as those of requests do.
        Effect.sleep(Duration.millis(5 * index)).pipe(
          Effect.andThen(ConnectionPool.use(pool, "db", () => Deferred.await(latch))),
          Effect.withSpan("GET /report"),
          Effect.forkChild({ startImmediately: true })
        ))
      for (let i = 0; i < 70; i++) yield* Effect.andThen(TestClock.adjust("1 second"), settle)
      const warnings = lines.filter(({ level }) => level === "Warn")
      assert.lengthOf(warnings, 1)
      assert.match(
        warnings[0]?.text ?? "",
        /held for .* by GET \/report .*LeakLog\.test\.ts:.*; 99 more from the same place$/
      )
      assert.deepInclude(warnings[0]?.annotations, {
        "sluice.verdict": "held",
        "sluice.count": 100,
        "db.client.connection.pool.name": "orders",
        "sluice.endpoint": "db",
        "sluice.span": "GET /report"
      })
      yield* Deferred.succeed(latch, undefined)
      yield* Effect.forEach(holders, Fiber.join)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(lines.slice(1).map(({ annotations, level }) => [level, annotations["sluice.count"]]), [
        ["Info", 100]
      ])
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(Monitor.layerTest, layer)))
  })

  it.effect("of a loop of slow leases has a few lines, while the stream has every leak", () => {
    const { layer, lines } = collectLogs()
    return Effect.gen(function*() {
      const monitor = yield* ResourceMonitor
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, leakThreshold: "10 millis" })
      const all = yield* Effect.forkChild(Stream.runCollect(Stream.take(monitor.leaks, 400)), {
        startImmediately: true
      })
      const slow = ConnectionPool.use(pool, "db", () => Effect.sleep("20 millis"))
      const borrower = yield* Effect.forkChild(Effect.replicateEffect(slow, 200), { startImmediately: true })
      for (let i = 0; i < 400; i++) yield* Effect.andThen(TestClock.adjust("10 millis"), Effect.yieldNow)
      yield* Fiber.join(borrower)
      assert.strictEqual((yield* Fiber.join(all)).length, 400)
      assert.lengthOf(lines, 2)
      yield* TestClock.adjust("1 minute")
      assert.lengthOf(lines, 4)
      const counts = lines.map((line) => Number(/(\d+) more/.exec(line)?.[1] ?? 0) + 1)
      assert.strictEqual(counts.reduce((sum, count) => sum + count), 400)
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(Monitor.layerTest, layer)))
  })
})
