import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { TestClock } from "effect/testing"
import { hasFreeSlot, isExhausted, isOverCap, needsMore } from "../../../src/Pool/internal/Admission.ts"
import { PoolEndpoint } from "../../../src/Pool/internal/PoolState.ts"
import { settingsOf } from "../../../src/Pool/PoolOptions.ts"
import * as Scripted from "../../support/ScriptedConnector.ts"

const fork = Effect.forkChild({ startImmediately: true })

const settle = Effect.forEach(Array.from({ length: 20 }), () => Effect.yieldNow, { discard: true })

/** Whether a slot of an endpoint that has so many goes to one that has so many. */
const goesOver = (own: number, other: number, { age = 0, hasWaited = 0 } = {}) =>
  needsMore({ slots: own, age }, { slots: other, hasWaited })

describe("who gets a slot that comes back to a full pool", () => {
  it("an endpoint that has none, or is two behind, at once", () => {
    assert.deepStrictEqual([goesOver(1, 0), goesOver(5, 0)], [true, true])
    assert.deepStrictEqual([goesOver(3, 1), goesOver(4, 2), goesOver(9, 3)], [true, true, true])
  })

  it("one that is one behind only after five seconds on both sides, and never one that has as many", () => {
    assert.isFalse(goesOver(3, 2))
    assert.isFalse(goesOver(3, 2, { age: 4999, hasWaited: 60_000 }))
    assert.isFalse(goesOver(3, 2, { age: 60_000, hasWaited: 4999 }))
    assert.isTrue(goesOver(3, 2, { age: 5000, hasWaited: 5000 }))
    assert.isFalse(goesOver(2, 2, { age: 60_000, hasWaited: 60_000 }))
    assert.isFalse(goesOver(1, 2, { age: 60_000, hasWaited: 60_000 }))
  })

  it.effect("an endpoint that comes late to a full pool is at most one connection behind as soon as uses end, and it stays so", () =>
    Effect.gen(function*() {
      const { connector, ledger } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 6, maxTotal: 6 })
      const busy = (key: string) =>
        Effect.forEach(
          Array.from({ length: 12 }),
          () => fork(Effect.forever(ConnectionPool.use(pool, key, () => Effect.sleep("10 millis"))))
        )
      const slots = Effect.map(
        ConnectionPool.stats(pool),
        ({ endpoints }) => ["a", "b"].map((key) => endpoints.get(key)?.total)
      )
      const pass = (millis: number) =>
        Effect.forEach(
          Array.from({ length: millis }),
          () => Effect.andThen(TestClock.adjust("1 milli"), settle),
          { discard: true }
        )
      const first = yield* busy("a")
      yield* pass(20)
      assert.deepStrictEqual(yield* slots, [6, undefined])
      const second = yield* busy("b")
      yield* pass(30)
      assert.deepStrictEqual(yield* slots, [3, 3])
      assert.strictEqual(ledger.opened, 9, "three of the six went over, each at once")
      yield* pass(500)
      assert.deepStrictEqual(yield* slots, [3, 3])
      assert.strictEqual(ledger.opened, 9, "a slot that would only turn the difference round stays")
      yield* Fiber.interruptAll([...first, ...second])
    }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerUnlimited)))
})

describe("the caps", () => {
  const settings = settingsOf({ connector: Scripted.make().connector, maxPerEndpoint: 2, maxTotal: 3 })
  const pool = (slots: number, closing = 0, idleCount = 0) => ({ slots, closing, idleCount })
  const endpointWith = (connecting: number, closing = 0) =>
    Object.assign(new PoolEndpoint<string, unknown>("db"), { connecting, closing })

  it("leave room until every slot is taken", () => {
    assert.deepStrictEqual([2, 3, 4].map((slots) => hasFreeSlot(pool(slots), settings)), [true, false, false])
  })

  it("leave nothing for any endpoint only where no slot will be free by itself or by an eviction, and none has room", () => {
    assert.isTrue(isExhausted(pool(3), settings, 0))
    assert.isFalse(isExhausted(pool(2), settings, 0))
    assert.isFalse(isExhausted(pool(3, 1), settings, 1))
    assert.isFalse(isExhausted(pool(3, 0, 1), settings, 0))
    assert.isFalse(isExhausted(pool(3), { ...settings, concurrency: 2 }, 0))
  })

  it("are exceeded by the connections that stay", () => {
    assert.isFalse(isOverCap(endpointWith(2), pool(3), settings))
    assert.isTrue(isOverCap(endpointWith(3), pool(3), settings))
    assert.isTrue(isOverCap(endpointWith(1), pool(4), settings))
    assert.isFalse(isOverCap(endpointWith(2, 2), pool(5, 2), settings))
    assert.isFalse(isOverCap(endpointWith(3), pool(4), settings, { ofEndpoint: 1, ofPool: 1 }))
  })
})
