/**
 * Wall clocks that are set, forwards and backwards.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Fiber } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import { TestClock } from "effect/testing"
import { fork, hold, settle, test } from "../support/Pools.ts"
import * as Scripted from "../support/ScriptedConnector.ts"

describe("time", () => {
  /** The test clock with a wall clock that can be set. */
  const withWall = <A, E, R>(program: (step: (millis: number) => void) => Effect.Effect<A, E, R>) =>
    Effect.gen(function*() {
      const clock = yield* Clock.Clock
      let stepped = 0
      const set: Clock.Clock = Object.assign(Object.create(clock), {
        currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + stepped
      })
      return yield* Effect.provideService(program((millis) => void (stepped += millis)), Clock.Clock, set)
    })

  it.effect("a wall clock that steps forward ends no lease that has just begun", () =>
    test(withWall((step) =>
      Effect.scoped(Effect.gen(function*() {
        const { connector } = Scripted.make()
        const pool = yield* ConnectionPool.make({ connector, maxLease: "10 seconds" })
        const latch = yield* Deferred.make<void>()
        const old = yield* fork(Effect.result(hold(pool, "a", latch)))
        yield* settle
        yield* TestClock.adjust("9 seconds")
        const young = yield* fork(Effect.result(hold(pool, "b", latch)))
        yield* settle
        step(3_600_000)
        yield* TestClock.adjust("1 second")
        yield* settle
        assert.isDefined(old.pollUnsafe())
        assert.isUndefined(young.pollUnsafe())
        yield* Deferred.succeed(latch, undefined)
        yield* Fiber.join(young)
      }))
    )))

  it.effect("after a freeze in which the wall clock was set back, nothing over-age is lent", () =>
    test(Effect.gen(function*() {
      const clock = yield* Clock.Clock
      let [wall, monotonic] = [10_000_000, 0]
      // No timer has rung since the process was frozen.
      const frozen: Clock.Clock = Object.assign(Object.create(clock), {
        currentTimeMillisUnsafe: () => wall,
        monotonicTimeNanosUnsafe: () => BigInt(monotonic) * 1_000_000n,
        sleep: () => Effect.never
      })
      yield* Effect.gen(function*() {
        const { connector } = Scripted.make()
        const pool = yield* ConnectionPool.make({ connector, idleTimeout: "1 minute" })
        const id = (connection: Scripted.Scripted) => Effect.succeed(connection.id)
        assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 1)
        wall -= 3_600_000
        monotonic += 120_000
        assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 2)
      }).pipe(Effect.scoped, Effect.provideService(Clock.Clock, frozen))
    })))
})
