/**
 * A borrow on its way from the queue to its connection.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import { fork, hold, id, settle, test } from "../../support/Pools.ts"
import * as Scripted from "../../support/ScriptedConnector.ts"

describe("a woken borrower that was interrupted", () => {
  it.effect("passes its connection on unused", () =>
    test(Effect.gen(function*() {
      const { connector, ledger } = Scripted.make()
      const pool = yield* ConnectionPool.make({
        // As `TcpConnection` does it: whoever was interrupted may have left half an answer.
        connector: { ...connector, isReusable: (_, exit) => exit === undefined || Exit.isSuccess(exit) },
        maxPerEndpoint: 1
      })
      const latch = yield* Deferred.make<void>()
      const holder = yield* fork(hold(pool, "a", latch))
      let touched = false
      const woken = yield* fork(ConnectionPool.use(pool, "a", () => Effect.sync(() => touched = true)))
      const next = yield* fork(ConnectionPool.use(pool, "a", id))
      yield* settle
      // The connection comes back and is granted to the first that waits, who goes on in a microtask.
      holder.addObserver(() => woken.interruptUnsafe())
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(holder)
      const id1 = yield* Fiber.join(next)
      assert.isFalse(touched)
      assert.deepStrictEqual({ id: id1, opened: ledger.opened }, { id: 1, opened: 1 })
    })))
})
