/** The end of the dials that no borrower waits for, as a platform asks for it at the end of an invocation. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { TestClock } from "effect/testing"
import { LiveList } from "../../src/internal/LiveList.ts"
import * as PoolRegistry from "../../src/Pool/PoolRegistry.ts"

/** A pool whose dials fail, and the number of its dials for each key. */
const failing = Effect.gen(function*() {
  const registry = new LiveList<PoolRegistry.RegisteredPool>()
  const dials: Record<string, number> = {}
  const connector = Connector.make({
    open: (key: string) =>
      Effect.suspend(() => {
        dials[key] = (dials[key] ?? 0) + 1
        return Effect.fail(Object.assign(new Error("refused"), { code: "ECONNREFUSED" }))
      })
  })
  const retry = RetryPolicy.make({ initialDelay: "1 second", factor: 1, jitter: 0, maxAttempts: 3 })
  const pool = yield* ConnectionPool.make({ connector, retry, maxRedialDelay: "1 minute" }).pipe(
    Effect.provideService(PoolRegistry.PoolRegistry, registry)
  )
  const [registered] = registry.all
  assert(registered !== undefined)
  const borrow = (key: string) => Effect.flip(ConnectionPool.use(pool, key, () => Effect.void))
  const begin = (key: string) => Effect.forkChild(borrow(key), { startImmediately: true })
  return { dials, begin, borrow, endDials: Effect.sync(() => registered.core.endDials()) }
}).pipe(Effect.provide(ResourceMonitor.layerUnlimited))

describe("the end of dials", () => {
  it.effect("lets a later borrower dial at once, with all attempts", () =>
    Effect.gen(function*() {
      const { begin, dials, endDials } = yield* failing
      const first = yield* begin("a")
      yield* TestClock.adjust("1500 millis")
      yield* Fiber.interrupt(first)
      assert.deepStrictEqual(dials, { a: 2 })
      yield* endDials
      const second = yield* begin("a")
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(dials, { a: 3 })
      yield* TestClock.adjust("2 seconds")
      assert.include((yield* Fiber.join(second)).message, "3 attempts")
      assert.deepStrictEqual(dials, { a: 5 })
    }))

  it.effect("changes nothing for a borrower that waits", () =>
    Effect.gen(function*() {
      const { begin, dials, endDials } = yield* failing
      const borrower = yield* begin("a")
      yield* TestClock.adjust("1500 millis")
      yield* endDials
      yield* TestClock.adjust("499 millis")
      assert.deepStrictEqual(dials, { a: 2 })
      yield* TestClock.adjust("1 millis")
      assert.include((yield* Fiber.join(borrower)).message, "3 attempts")
      assert.deepStrictEqual(dials, { a: 3 })
    }))
})
