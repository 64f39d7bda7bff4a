/**
 * What a pool gives back when the process runs out of room.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { TestClock } from "effect/testing"
import * as Scripted from "../support/ScriptedConnector.ts"

const test = <A, E>(
  effect: Effect.Effect<A, E, Scope.Scope | ResourceMonitor.ResourceMonitor | ResourceMonitor.TestMonitor>
) => effect.pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerTest))

const settle = Effect.gen(function*() {
  for (let turn = 0; turn < 20; turn++) yield* Effect.yieldNow
  yield* TestClock.adjust(0)
  for (let turn = 0; turn < 20; turn++) yield* Effect.yieldNow
})

type Pool = ConnectionPool.ConnectionPool<string, Scripted.Scripted>

const hold = (pool: Pool, key: string, latch: Deferred.Deferred<void>) =>
  Effect.forkChild(
    ConnectionPool.use(pool, key, (connection) => Effect.as(Deferred.await(latch), connection.id)),
    { startImmediately: true }
  )

/** A pool with so many idle connections of each key. */
const poolWithIdle = (counts: Record<string, number>, options: { readonly minPerEndpoint?: number } = {}) =>
  Effect.gen(function*() {
    const scripted = Scripted.make()
    const pool = yield* ConnectionPool.make({
      connector: scripted.connector,
      maxPerEndpoint: 10,
      maxTotal: 50,
      ...options
    })
    const latch = yield* Deferred.make<void>()
    const holders: Array<Fiber.Fiber<number, ConnectionPool.PoolError>> = []
    for (const [key, count] of Object.entries(counts)) {
      for (let i = 0; i < count; i++) holders.push(yield* hold(pool, key, latch))
    }
    yield* settle
    yield* Deferred.succeed(latch, undefined)
    yield* Fiber.joinAll(holders)
    return { pool, ...scripted }
  })

describe("a pool under pressure", () => {
  it.effect("closes what is idle when the level becomes Critical, and leaves what is lent", () =>
    test(Effect.gen(function*() {
      const monitor = yield* ResourceMonitor.TestMonitor
      const { openNow, pool } = yield* poolWithIdle({ a: 4, b: 3 })
      const latch = yield* Deferred.make<void>()
      const holder = yield* hold(pool, "a", latch)
      yield* settle
      assert.deepInclude(yield* ConnectionPool.stats(pool), { active: 1, idle: 6 })
      yield* monitor.setLevel("Warning")
      yield* settle
      assert.deepInclude(yield* ConnectionPool.stats(pool), { active: 1, idle: 6 })
      yield* monitor.setLevel("Critical")
      yield* settle
      assert.deepInclude(yield* ConnectionPool.stats(pool), { active: 1, idle: 0, closing: 0 })
      assert.strictEqual(openNow(), 1)
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(holder)
      assert.deepInclude(yield* ConnectionPool.stats(pool), { active: 0, idle: 1 })
    })))

  it.effect("keeps the minimum of each endpoint, lent connections counted", () =>
    test(Effect.gen(function*() {
      const monitor = yield* ResourceMonitor.TestMonitor
      const { pool } = yield* poolWithIdle({ a: 4, b: 3, c: 1 }, { minPerEndpoint: 2 })
      const latch = yield* Deferred.make<void>()
      const holder = yield* hold(pool, "a", latch)
      yield* settle
      yield* monitor.setLevel("Exhausted")
      yield* settle
      const { endpoints } = yield* ConnectionPool.stats(pool)
      assert.deepInclude(endpoints.get("a"), { active: 1, idle: 1 })
      assert.deepInclude(endpoints.get("b"), { active: 0, idle: 2 })
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(holder)
    })))

  it.effect("has closed them when its callback is done, so that the next reading sees it", () =>
    test(Effect.gen(function*() {
      const { ResourceMonitor: Monitor } = ResourceMonitor
      const monitor = yield* Monitor
      const { openNow, steps } = yield* poolWithIdle({ a: 3 })
      steps.close = () => Effect.sleep("1 second")
      let seen = -1
      yield* monitor.onPressure({ name: "after", run: Effect.sync(() => seen = openNow()) })
      const fiber = yield* Effect.forkChild(monitor.cleanup, { startImmediately: true })
      yield* settle
      assert.deepStrictEqual([openNow(), seen], [3, -1])
      yield* TestClock.adjust("1 second")
      yield* settle
      const results = yield* Fiber.join(fiber)
      assert.deepStrictEqual(results.map(({ _tag, name }) => [name, _tag]), [
        ["idle connections of a pool", "Done"],
        ["after", "Done"]
      ])
      assert.strictEqual(seen, 0)
    })))

  it.effect("goes on lending: what was closed is dialled again", () =>
    test(Effect.gen(function*() {
      const { ResourceMonitor: Monitor } = ResourceMonitor
      const { ledger, pool } = yield* poolWithIdle({ a: 2 })
      yield* Effect.flatMap(Monitor, (monitor) => monitor.cleanup)
      assert.strictEqual(yield* ConnectionPool.use(pool, "a", ({ id }) => Effect.succeed(id)), 3)
      assert.deepInclude(ledger, { opened: 3, closed: 2 })
    })))

  it.effect("takes its callback away with it", () =>
    test(Effect.gen(function*() {
      const { ResourceMonitor: Monitor } = ResourceMonitor
      const scope = yield* Scope.make()
      yield* Scope.provide(poolWithIdle({ a: 2 }), scope)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* Effect.flatMap(Monitor, (monitor) => monitor.cleanup), [])
    })))
})
