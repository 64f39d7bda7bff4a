/**
 * More requests at once than there are warm connections, and opening one takes far longer than a request. Whoever dials
 * for each of them opens dozens of connections that nobody needs by the time they are there.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Fiber } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { TestClock } from "effect/testing"
import { settle } from "../support/Pools.ts"
import * as Scripted from "../support/ScriptedConnector.ts"

const warm = 5
const requests = 50
const perRequest = 2

describe("spike", () => {
  it.effect("50 requests on 5 warm connections are served by those, and open at most two more", () =>
    Effect.gen(function*() {
      const { connector, ledger } = Scripted.make({ open: () => Effect.sleep("150 millis") })
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 50, maxTotal: 50 })
      const use = <A>(effect: Effect.Effect<A>) => ConnectionPool.use(pool, "db", () => effect)
      const latch = yield* Deferred.make<void>()
      const fork = Effect.forkChild({ startImmediately: true })
      const warming = yield* Effect.forEach(Array.from({ length: warm }), () => fork(use(Deferred.await(latch))))
      yield* TestClock.adjust("1 second")
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.joinAll(warming)
      assert.strictEqual(ledger.opened, warm)

      const start = yield* Clock.currentTimeMillis
      const done: Array<number> = []
      const request = Effect.gen(function*() {
        yield* use(Effect.sleep(perRequest))
        done.push((yield* Clock.currentTimeMillis) - start)
      })
      const running = yield* Effect.forEach(Array.from({ length: requests }), () => fork(request))
      // The loop turns before connections that were idle are leased, which takes no time of this clock.
      yield* settle
      for (let millis = 0; millis < 35; millis++) yield* TestClock.adjust(1)
      assert.strictEqual(done.length, requests, `${done.length} of ${requests} are done after 35 ms`)
      // What was dialled in vain arrives, and is of no use to anybody but does no harm.
      yield* TestClock.adjust("1 second")
      yield* Fiber.joinAll(running)
      assert.isAtMost(ledger.opened, warm + 2)
      assert.isAtMost(ledger.attempts, warm + 2)
      // The time that the warm connections need if they never pause.
      assert.strictEqual(Math.max(...done), requests * perRequest / warm)
    }).pipe(Effect.provide(ResourceMonitor.layerUnlimited)))
})
