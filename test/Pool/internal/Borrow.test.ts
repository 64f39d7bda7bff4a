/**
 * A borrow on its way from the queue to its connection.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
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

describe("a borrower that is interrupted in the step in which it gets a connection", () => {
  for (const by of ["isReusable", "a finalizer"] as const) {
    for (const concurrency of [1, 2]) {
      for (const checkAfterIdle of [0, 1000]) {
        const title = `by ${by} leaves it to others, concurrency ${concurrency}, checked after ${checkAfterIdle} ms`
        it.effect(title, () =>
          test(Effect.gen(function*() {
            let interrupt = () => {}
            let opened = 0
            const connector = Connector.make({
              open: (key: string) =>
                Effect.acquireRelease(
                  Effect.sync(() => ({ key, number: ++opened, isReusable: true })),
                  () => Effect.sync(() => by === "a finalizer" && interrupt())
                ),
              check: () => Effect.void,
              isReusable: (connection, exit) => {
                if (exit === undefined && by === "isReusable") interrupt()
                return connection.isReusable
              }
            })
            const limits = { maxPerEndpoint: 2, maxTotal: 2, drainTimeout: 0 }
            const pool = yield* ConnectionPool.make({ connector, concurrency, checkAfterIdle, ...limits })
            const borrow = Effect.scoped(ConnectionPool.get(pool, "a"))
            const all = Effect.all(Array.from({ length: 2 * concurrency }, () => ConnectionPool.get(pool, "a")))
            const connections = yield* Effect.scoped(all)
            const last = yield* borrow
            // The next borrower closes it and gets the other one.
            if (by === "a finalizer") { for (const each of connections) each.isReusable = each !== last }
            const borrower = Effect.withFiber((fiber) => {
              interrupt = () => fiber.interruptUnsafe()
              return ConnectionPool.use(pool, "a", () => Effect.void)
            })
            const exit = yield* Fiber.await(yield* fork(borrower))
            interrupt = () => {}
            assert.isTrue(Exit.hasInterrupts(exit))
            const { active, waiting } = yield* ConnectionPool.stats(pool)
            assert.deepStrictEqual({ active, waiting }, { active: 0, waiting: 0 })
            yield* Effect.scoped(Effect.all(Array.from({ length: 2 }, () => ConnectionPool.get(pool, "a"))))
          })))
      }
    }
  }
})
