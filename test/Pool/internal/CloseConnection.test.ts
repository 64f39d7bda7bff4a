/**
 * What a connection leaves behind when it is closed, and how often it is.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { TestClock } from "effect/testing"

const settle = Effect.forEach(Array.from({ length: 50 }), () => Effect.yieldNow, { discard: true })

const watched = () => {
  const account = { open: 0, watchers: 0 }
  const connector = Connector.make({
    open: (key: string) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          account.open++
          return { key }
        }),
        () => Effect.sync(() => account.open--)
      ),
    closed: () =>
      Effect.acquireUseRelease(
        Effect.sync(() => account.watchers++),
        () => Effect.never,
        () => Effect.sync(() => account.watchers--)
      )
  })
  return { account, connector }
}

/** Borrows once from so many endpoints. */
const useAll = <A>(pool: ConnectionPool.ConnectionPool<string, A>, endpoints: number) =>
  Effect.forEach(
    Array.from({ length: endpoints }, (_, index) => `endpoint ${index}`),
    (key) => ConnectionPool.use(pool, key, () => Effect.void),
    { discard: true }
  )

describe("nothing of a connection lasts longer than the connection", () => {
  it.effect("no watcher: whether it expires, is evicted, or is closed with the pool", () =>
    Effect.gen(function*() {
      const { account, connector } = watched()
      const scope = yield* Scope.make()
      const pool = yield* Scope.provide(
        ConnectionPool.make({ connector, maxTotal: 10, idleTimeout: "1 second" }),
        scope
      )
      yield* useAll(pool, 10)
      yield* settle
      assert.deepStrictEqual(account, { open: 10, watchers: 10 })
      yield* TestClock.adjust("2 seconds")
      yield* settle
      assert.deepStrictEqual(account, { open: 0, watchers: 0 })
      yield* useAll(pool, 10)
      yield* ConnectionPool.evict(pool, "endpoint 3")
      yield* settle
      assert.deepStrictEqual(account, { open: 9, watchers: 9 })
      yield* ConnectionPool.use(pool, "endpoint 4", (connection) => ConnectionPool.invalidate(pool, connection))
      yield* settle
      assert.deepStrictEqual(account, { open: 8, watchers: 8 })
      yield* Scope.close(scope, Exit.void)
      yield* settle
      assert.deepStrictEqual(account, { open: 0, watchers: 0 })
    }).pipe(Effect.provide(ResourceMonitor.layerUnlimited)))

  it.effect("each lets others run while its finalizer does", () =>
    Effect.gen(function*() {
      let isFlushed = false
      let steps = 0
      const flush = Effect.whileLoop({
        while: () => !isFlushed && steps < 1_000_000,
        body: () => Effect.sync(() => steps++),
        step: () => {}
      })
      for (const finalizer of [flush, Effect.forkDetach(flush)]) {
        const connector = Connector.make({
          open: (key: string) => Effect.acquireRelease(Effect.succeed({ key }), () => finalizer)
        })
        const pool = yield* ConnectionPool.make({ connector })
        yield* ConnectionPool.use(pool, "a", () => Effect.void)
        isFlushed = false
        steps = 0
        yield* ConnectionPool.evict(pool)
        yield* Effect.yieldNow
        isFlushed = true
        yield* settle
        assert.isBelow(steps, 100_000)
      }
    }).pipe(Effect.provide(ResourceMonitor.layerUnlimited)))

  it.effect("each is closed once, whoever asks for it and however often", () =>
    Effect.gen(function*() {
      const closed = new Map<string, number>()
      const connector = Connector.make({
        open: (key: string) =>
          Effect.acquireRelease(Effect.succeed({ key }), () =>
            Effect.andThen(
              Effect.sync(() => closed.set(key, (closed.get(key) ?? 0) + 1)),
              Effect.sleep("500 millis")
            ))
      })
      const scope = yield* Scope.make()
      const pool = yield* Scope.provide(ConnectionPool.make({ connector, maxTotal: 100 }), scope)
      yield* useAll(pool, 100)
      const close = Effect.all([
        ConnectionPool.evict(pool),
        ConnectionPool.drain(pool, "1 second"),
        ConnectionPool.evict(pool, "endpoint 7"),
        ConnectionPool.drain(pool, "1 millis"),
        Scope.close(scope, Exit.void)
      ], { concurrency: "unbounded", discard: true })
      const fiber = yield* Effect.forkChild(close)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.strictEqual(closed.size, 100)
      assert.deepStrictEqual(new Set(closed.values()), new Set([1]))
      assert.deepInclude(yield* ConnectionPool.stats(pool), { closing: 0, closed: 100, total: 0 })
    }).pipe(Effect.provide(ResourceMonitor.layerUnlimited)))
})
