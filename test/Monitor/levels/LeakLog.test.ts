/**
 * How much of the leaks is logged: one line for each place in an interval, and the number of the others.
 */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Monitor from "effect-sluice/ResourceMonitor"
import { ResourceMonitor } from "effect-sluice/ResourceMonitor"
import { TestClock } from "effect/testing"
import * as Leak from "../../../src/Monitor/Leak.ts"
import * as Broadcast from "../../../src/Monitor/levels/Broadcast.ts"
import { collectLogs } from "../../support/Pools.ts"
import * as Scripted from "../../support/ScriptedConnector.ts"

const facts = (site: string | undefined, label: string, span?: string) => ({
  kind: "Lease" as const,
  label,
  site,
  span,
  age: Duration.seconds(3)
})

const held = (site: string | undefined, label: string, span?: string) => new Leak.Held(facts(site, label, span))

describe("the log of leaks", () => {
  it.effect("has the first of each place and verdict in an interval, and then how many more there were", () => {
    const { layer, lines } = collectLogs()
    return Effect.gen(function*() {
      const log = yield* Broadcast.makeLeakLogger(Duration.minutes(1))
      for (let i = 0; i < 100; i++) yield* log(held("load", String(i)))
      yield* log(new Leak.Returned(facts("load", "0")))
      yield* log(held("save", "0"))
      assert.lengthOf(lines, 3)
      yield* TestClock.adjust("59 seconds")
      assert.lengthOf(lines, 3)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(lines.slice(3), [
        "99 more reports of this kind from the same place within 1m, the last one: " +
        "ConnectionPool: a connection to 99 has been held for 3s by load"
      ])
      yield* log(held("load", "100"))
      assert.lengthOf(lines, 5)
    }).pipe(Effect.scoped, Effect.provide(layer))
  })

  it.effect("has the number at the end of the monitor where that comes first", () => {
    const { layer, lines } = collectLogs()
    return Effect.gen(function*() {
      const scope = yield* Scope.make()
      const log = yield* Scope.provide(Broadcast.makeLeakLogger(Duration.infinity), scope)
      for (let i = 0; i < 3; i++) yield* log(held("load", String(i)))
      yield* Scope.close(scope, Exit.void)
      assert.match(lines.join("\n"), /^ConnectionPool: a connection to 0 .*\n2 more reports of this kind/)
    }).pipe(Effect.provide(layer))
  })

  it.effect("has each one where the interval is 0", () => {
    const { layer, lines } = collectLogs()
    return Effect.gen(function*() {
      const log = yield* Broadcast.makeLeakLogger(Duration.zero)
      for (let i = 0; i < 100; i++) yield* log(held("load", String(i)))
      assert.lengthOf(lines, 100)
    }).pipe(Effect.scoped, Effect.provide(layer))
  })

  it.effect("is bounded where names of spans are without end", () => {
    const { layer, lines } = collectLogs()
    return Effect.gen(function*() {
      const log = yield* Broadcast.makeLeakLogger(Duration.minutes(1))
      for (let i = 0; i < 3000; i++) yield* log(held(undefined, "db", `span ${i}`))
      assert.lengthOf(lines, 1001)
      yield* TestClock.adjust("1 minute")
      assert.lengthOf(lines, 1002)
      assert.match(lines.at(-1) ?? "", /^1999 more reports/)
    }).pipe(Effect.scoped, Effect.provide(layer))
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
      assert.deepStrictEqual(lines.slice(2).map((line) => /^\d+ more/.exec(line)?.[0]), ["199 more", "199 more"])
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(Monitor.layerTest, layer)))
  })
})
