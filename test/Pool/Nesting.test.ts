/**
 * Who is warned of a borrow inside a borrow.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import { collectLogs, fork, hold, id, settle, test } from "../support/Pools.ts"
import * as Scripted from "../support/ScriptedConnector.ts"

describe("a nested borrow that may wait for itself", () => {
  const isWarning = (line: string) => line.includes("waits for another")

  it.effect("is warned of once for a call site, however many endpoints it nests in", () => {
    const { layer, lines } = collectLogs()
    return test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 2, maxTotal: 100 })
      for (let number = 0; number < 20; number++) {
        const key = `tenant ${number}`
        yield* ConnectionPool.use(pool, key, () => ConnectionPool.use(pool, key, id))
      }
      assert.lengthOf(lines.filter(isWarning), 1)
    })).pipe(Effect.provide(layer))
  })

  it.effect("is warned of at each call site, although they nest in the same endpoint", () => {
    const { layer, lines } = collectLogs()
    return test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 2 })
      const latch = yield* Deferred.make<void>()
      const other = yield* fork(hold(pool, "a", latch))
      yield* settle
      const first = yield* fork(ConnectionPool.use(pool, "a", () => ConnectionPool.use(pool, "a", id)))
      yield* settle
      yield* Fiber.interrupt(first)
      const second = yield* fork(ConnectionPool.use(pool, "a", () => ConnectionPool.use(pool, "a", id)))
      yield* settle
      yield* Fiber.interrupt(second)
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(other)
      assert.lengthOf(lines.filter(isWarning), 2)
    })).pipe(Effect.provide(layer))
  })
})
