/**
 * What lasts longer than it should: Effect's pools under ours, and the fibers that watch connections.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Logger, Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import type * as EffectPool from "effect/Pool"
import { TestClock } from "effect/testing"
import { vi } from "vitest"

const counted = vi.hoisted(() => ({ made: 0, ended: 0 }))

// Effect's pools tell nobody that they have ended; a finalizer beside theirs does.
vi.mock("effect/Pool", async (original) => {
  const real = await original<typeof EffectPool>()
  const makeWithStrategy: typeof real.makeWithStrategy = (options) =>
    Effect.andThen(
      Effect.acquireRelease(Effect.sync(() => counted.made++), () => Effect.sync(() => counted.ended++)),
      real.makeWithStrategy(options)
    )
  return { ...real, makeWithStrategy }
})

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

  it.effect("none of Effect's pools: one ends with the last of the connections that share it, the others with ours", () =>
    Effect.gen(function*() {
      const { account, connector } = watched()
      Object.assign(counted, { made: 0, ended: 0 })
      const lines: Array<unknown> = []
      const collect = Logger.layer([Logger.make(({ message }) => void lines.push(message))])
      const scope = yield* Scope.make()
      const pool = yield* Scope.provide(
        ConnectionPool.make({ connector, maxTotal: 1000, idleTimeout: "1 second", closeTimeout: "1 millis" }),
        scope
      ).pipe(Effect.provide(collect))
      yield* useAll(pool, 300)
      yield* settle
      // 64 connections share one, so that an endpoint costs no pool of Effect's.
      assert.deepStrictEqual(counted, { made: 5, ended: 0 })
      yield* ConnectionPool.evict(pool, "endpoint 0")
      yield* settle
      assert.strictEqual(account.open, 299)
      // One that ended under those that still share it would wait for them, which would be reported.
      yield* TestClock.adjust("900 millis")
      yield* settle
      assert.deepStrictEqual(lines, [])
      assert.deepStrictEqual(counted, { made: 5, ended: 0 })
      yield* TestClock.adjust("2 seconds")
      yield* settle
      assert.strictEqual(account.open, 0)
      // The last one still takes new connections.
      assert.deepStrictEqual(counted, { made: 5, ended: 4 })
      yield* TestClock.adjust("2 minutes")
      yield* settle
      assert.strictEqual((yield* ConnectionPool.stats(pool)).endpoints.size, 0)
      yield* useAll(pool, 10)
      assert.deepStrictEqual(counted, { made: 5, ended: 4 })
      yield* Scope.close(scope, Exit.void)
      yield* settle
      assert.deepStrictEqual(counted, { made: 5, ended: 5 })
    }).pipe(Effect.provide(ResourceMonitor.layerUnlimited)))
})
