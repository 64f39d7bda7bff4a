/**
 * A connection whose finalizers do not wait closes in the very step that asks for it, and what they do comes back to the pool
 * while that is still at it.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { TestClock } from "effect/testing"
import { TypeId } from "../../src/Pool/PoolRegistry.ts"
import { fork, settle, test } from "../support/Pools.ts"

interface Connection {
  readonly key: string
  readonly number: number
  users: number
}

/** A connector whose connections count their users, and do this when they close. */
const closingWith = (close: (connection: Connection) => Effect.Effect<unknown>) => {
  let opened = 0
  const closedUnderBorrowers: Array<number> = []
  const connector = Connector.make({
    open: (key: string) =>
      Effect.acquireRelease(Effect.sync((): Connection => ({ key, number: ++opened, users: 0 })), (connection) => {
        if (connection.users > 0) closedUnderBorrowers.push(connection.number)
        return close(connection)
      })
  })
  return { connector, closedUnderBorrowers }
}

type Pool = ConnectionPool.ConnectionPool<string, Connection>

/** Uses a connection for so long. */
const work = (pool: Pool, key: string, millis: number) =>
  ConnectionPool.use(pool, key, (connection) =>
    Effect.suspend(() => {
      connection.users++
      return Effect.ensuring(Effect.sleep(millis), Effect.sync(() => connection.users--))
    }))

/** Has an idle connection of each of these endpoints. */
const warmed = (pool: Pool, keys: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const borrowers = yield* Effect.forEach(keys, (key, index) => fork(work(pool, key, 1 + index)))
    yield* settle
    yield* TestClock.adjust(keys.length)
    yield* Fiber.joinAll(borrowers)
    assert.strictEqual((yield* ConnectionPool.stats(pool)).idle, keys.length)
  })

describe("a connection that closes at once", () => {
  const lowered = (pool: Pool) => ConnectionPool.resize(pool, { maxPerEndpoint: 1, maxTotal: 1 })
  const pressed = () => Effect.flatMap(ResourceMonitor.ResourceMonitor, (monitor) => monitor.cleanup)
  for (const [why, shrink] of [["a cap is lowered", lowered], ["descriptors are few", pressed]] as const) {
    it.effect(`and borrows another one for its farewell: that one is not closed under it when ${why}`, () =>
      test(Effect.gen(function*() {
        let farewell: Effect.Effect<unknown> | undefined
        const { closedUnderBorrowers, connector } = closingWith(() => {
          const once = farewell ?? Effect.void
          farewell = undefined
          return once
        })
        // Where the cap is 1 the finalizer waits in vain for another slot than its own.
        const [acquireTimeout, closeTimeout] = ["500 millis", "1 minute"] as const
        const pool = yield* ConnectionPool.make({
          connector,
          maxPerEndpoint: 3,
          maxTotal: 3,
          acquireTimeout,
          closeTimeout
        })
        yield* warmed(pool, ["a", "b", "c"])
        farewell = Effect.exit(work(pool, "b", 20))
        const shrinking = yield* fork(shrink(pool))
        yield* settle
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(shrinking)
        assert.deepStrictEqual(closedUnderBorrowers, [])
        assert.deepInclude(yield* ConnectionPool.stats(pool), { active: 0, closing: 0, waiting: 0 })
      })))
  }

  it.effect("and ends the borrower that was first in the queue: whoever is next is served, and once", () =>
    test(Effect.gen(function*() {
      let first: Fiber.Fiber<unknown, unknown> | undefined
      let dirty = 0
      const { connector } = closingWith(() => Effect.sync(() => first?.interruptUnsafe()))
      const isReusable = ({ number }: Connection) => number !== dirty
      const pool = yield* ConnectionPool.make({
        connector: { ...connector, isReusable },
        maxPerEndpoint: 2,
        maxTotal: 2,
        acquireTimeout: "1 second"
      })
      yield* warmed(pool, ["a", "a"])
      yield* ConnectionPool.suspend(pool)
      first = yield* fork(ConnectionPool.use(pool, "a", () => Effect.never))
      const second = yield* fork(ConnectionPool.use(pool, "a", ({ number }) => Effect.succeed(number)))
      yield* settle
      dirty = 2
      yield* ConnectionPool.resume(pool)
      yield* settle
      assert.strictEqual(yield* Fiber.join(second), 1)
      assert.deepInclude(yield* ConnectionPool.stats(pool), { active: 0, waiting: 0 })
      assert.strictEqual(yield* ConnectionPool.use(pool, "a", ({ number }) => Effect.succeed(number)), 1)
    })))

  it.effect("and ends all that wait before their dials start: none of these is counted any more", () =>
    test(Effect.gen(function*() {
      const waiting: Array<Fiber.Fiber<unknown, unknown>> = []
      let dirty = 0
      const { connector } = closingWith(() => Effect.sync(() => waiting.forEach((fiber) => fiber.interruptUnsafe())))
      const isReusable = ({ number }: Connection) => number !== dirty
      const pool = yield* ConnectionPool.make({
        connector: { ...connector, isReusable },
        maxPerEndpoint: 3,
        maxTotal: 3
      })
      // The endpoint stays known, because one connection of it stays in use.
      const holder = yield* fork(ConnectionPool.use(pool, "a", () => Effect.never))
      yield* settle
      yield* warmed(pool, ["a"])
      yield* ConnectionPool.suspend(pool)
      for (let borrower = 0; borrower < 2; borrower++) waiting.push(yield* fork(work(pool, "a", 1)))
      yield* settle
      dirty = 2
      yield* ConnectionPool.resume(pool)
      yield* Fiber.awaitAll(waiting)
      assert.deepStrictEqual(pool[TypeId].core.endpoints.map(({ redundant }) => redundant), [0])
      assert.deepInclude(yield* ConnectionPool.stats(pool), { connecting: 0, opened: 2, waiting: 0 })
      yield* Fiber.interrupt(holder)
    })))

  it.effect("and has all others close: thousands of them do, and use up no stack", () =>
    test(Effect.gen(function*() {
      const { connector } = closingWith(() => Effect.suspend(() => ConnectionPool.evict(pool)))
      const pool: Pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 3000, maxTotal: 3000 })
      const latch = yield* Deferred.make<void>()
      const borrowers = yield* Effect.forEach(
        Array.from({ length: 3000 }),
        () => fork(ConnectionPool.use(pool, "a", () => Deferred.await(latch)))
      )
      yield* settle
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.joinAll(borrowers)
      yield* ConnectionPool.evict(pool)
      for (let turn = 0; turn < 200; turn++) yield* settle
      assert.deepInclude(yield* ConnectionPool.stats(pool), { total: 0, closing: 0, closed: 3000 })
    })))
})

describe("a dial that fails at once", () => {
  for (const maxAttempts of [1, 3]) {
    it.effect(`is followed by the next one after its delay, with ${maxAttempts} attempts and many that wait`, () =>
      test(Effect.gen(function*() {
        let dials = 0
        const connector = Connector.make({
          open: () =>
            Effect.suspend(() => {
              dials++
              return Effect.fail(Object.assign(new Error("refused"), { code: "ECONNREFUSED" }))
            })
        })
        const pool = yield* ConnectionPool.make({
          connector,
          maxPerEndpoint: 4,
          minPerEndpoint: 1,
          retry: RetryPolicy.make({ maxAttempts, initialDelay: "1 second", jitter: 0 }),
          maxRedialDelay: "Infinity"
        })
        yield* ConnectionPool.suspend(pool)
        const borrowers = yield* Effect.forEach(
          [1, 2, 3, 4],
          () => fork(Effect.exit(ConnectionPool.use(pool, "a", () => Effect.void)))
        )
        yield* settle
        yield* ConnectionPool.resume(pool)
        yield* settle
        assert.strictEqual(dials, 1)
        yield* TestClock.adjust("3500 millis")
        yield* settle
        // After 1 and after 3 seconds.
        assert.strictEqual(dials, 3)
        const exits = yield* Effect.forEach(borrowers, Fiber.join)
        assert.isTrue(exits.every(Exit.isFailure))
      })))
  }
})
