/**
 * What a pool tells its observers of each borrow and each dial, and the counts of each endpoint.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { TestClock } from "effect/testing"
import type { RegisteredPool } from "../../src/Pool/PoolRegistry.ts"
import { TypeId } from "../../src/Pool/PoolRegistry.ts"
import { fork, hold, id, settle, test } from "../support/Pools.ts"
import * as Scripted from "../support/ScriptedConnector.ts"

type Options = Partial<ConnectionPool.Options<string, Scripted.Scripted, Scripted.ScriptedFailure, never>>

const refused = (code = "ECONNREFUSED") => Effect.fail(new Scripted.ScriptedFailure(code))

/** A pool, and what it tells. */
const watched = (options: Options = {}, script: Partial<Scripted.Script> = {}) =>
  Effect.gen(function*() {
    const scripted = Scripted.make(script)
    const pool = yield* ConnectionPool.make({ connector: scripted.connector, lifetimeJitter: 0, ...options })
    const told = {
      failed: Array<string>(),
      refused: Array<string>(),
      waited: Array<number>(),
      used: Array<number>()
    }
    const { registered } = pool[TypeId]
    registered.core.observers.add({
      failed: (label, cause) => void told.failed.push(`${label} ${cause instanceof Error ? cause.message : ""}`),
      refused: (tag, label) => void told.refused.push(`${tag} ${label}`),
      waited: (millis) => void told.waited.push(millis),
      used: (millis) => void told.used.push(millis)
    })
    return { pool, registered, scripted, told }
  })

const firstOf = ({ core }: RegisteredPool) => {
  const [first] = core.inspect(20).endpoints
  if (first === undefined) throw new Error("there is no endpoint")
  return first
}

describe("the observers of a pool", () => {
  it.effect("learn of each failed dial, with the connector's error", () =>
    test(Effect.gen(function*() {
      const open = (_: string, attempt: number) => attempt <= 2 ? refused() : Effect.void
      const { pool, registered, told } = yield* watched({}, { open })
      const borrow = yield* fork(ConnectionPool.use(pool, "a", id))
      yield* settle
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(borrow)
      assert.deepStrictEqual(told.failed, ["a scripted ECONNREFUSED", "a scripted ECONNREFUSED"])
      assert.strictEqual((yield* ConnectionPool.stats(pool)).failedAttempts, 2)
      assert.strictEqual(firstOf(registered).failedAttempts, 2)
    })))

  it.effect("learn of a new connection that is lost before its first use as of one failed dial", () =>
    test(Effect.gen(function*() {
      const { pool, scripted: { kill }, told } = yield* watched()
      const first = yield* fork(
        ConnectionPool.use(pool, "a", (connection) => Effect.andThen(kill(connection), refused()))
      )
      yield* Fiber.await(first)
      yield* settle
      assert.deepStrictEqual(told.failed, ["a the connection to a was closed before it was of use"])
      assert.strictEqual((yield* ConnectionPool.stats(pool)).failedAttempts, 1)
    })))

  it.effect("learn of a new connection that cannot be made ready as of one failed dial", () =>
    test(Effect.gen(function*() {
      const retry = RetryPolicy.make({ maxAttempts: 1 })
      const { pool, told } = yield* watched({ retry, hooks: { beforeLend: () => refused("EACCES") } })
      yield* Effect.flip(ConnectionPool.use(pool, "a", id))
      assert.deepStrictEqual(told.failed, ["a the connection to a was opened, but beforeLend failed: scripted EACCES"])
      assert.deepStrictEqual(told.refused, ["ConnectFailed a"])
    })))

  it.effect("learn of the wait of each borrow, which is 0 for one that gets its connection at once, and of its use", () =>
    test(Effect.gen(function*() {
      const { pool, told } = yield* watched({ maxPerEndpoint: 1, idleTimeout: "Infinity" })
      const latch = yield* Deferred.make<void>()
      yield* ConnectionPool.use(pool, "a", id)
      const holder = yield* fork(hold(pool, "a", latch))
      yield* settle
      const waiter = yield* fork(ConnectionPool.use(pool, "a", id))
      yield* settle
      const leaving = yield* fork(ConnectionPool.use(pool, "a", id))
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.interrupt(leaving)
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.joinAll([holder, waiter])
      assert.deepStrictEqual(told.waited, [0, 0, 2000])
      assert.deepStrictEqual(told.used, [0, 2000, 0])
    })))

  it.effect("learn of a borrow that runs out of time", () =>
    test(Effect.gen(function*() {
      const { pool, registered, told } = yield* watched({ acquireTimeout: "1 second" }, { open: () => Effect.never })
      const borrows = yield* Effect.forEach([1, 2], () => fork(ConnectionPool.use(pool, "a", id)))
      yield* TestClock.adjust("1 second")
      yield* Effect.forEach(borrows, Fiber.await)
      assert.deepStrictEqual(told.refused, ["AcquireTimeout a", "AcquireTimeout a"])
      assert.strictEqual(firstOf(registered).timeouts, 2)
      assert.deepStrictEqual(told.waited, [])
      assert.deepStrictEqual(told.used, [])
    })))

  it.effect("learn of a borrow whose queue is full", () =>
    test(Effect.gen(function*() {
      const { pool, told } = yield* watched({ maxWaiters: 0, maxPerEndpoint: 1 })
      yield* ConnectionPool.get(pool, "a")
      const other = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", id)))
      yield* Fiber.join(other)
      assert.deepStrictEqual(told.refused, ["QueueFull a"])
    })))

  it.effect("learn of a borrow that waits for itself", () =>
    test(Effect.gen(function*() {
      const { pool, told } = yield* watched({ maxPerEndpoint: 1 })
      yield* Effect.flip(ConnectionPool.use(pool, "a", () => ConnectionPool.use(pool, "a", id)))
      assert.deepStrictEqual(told.refused, ["NestedAcquire a"])
    })))

  it.effect("learn of the borrows that a suspended pool refuses, also of those that wait", () =>
    test(Effect.gen(function*() {
      const { pool, told } = yield* watched({}, { open: () => Effect.never })
      const waiting = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", id)))
      yield* settle
      yield* ConnectionPool.suspend(pool, { mode: "fail" })
      yield* Fiber.join(waiting)
      yield* Effect.flip(ConnectionPool.use(pool, "b", id))
      assert.deepStrictEqual(told.refused, ["PoolSuspended a", "PoolSuspended b"])
    })))

  it.effect("learn of the borrows that a closed pool refuses", () =>
    test(Effect.gen(function*() {
      const { pool, told } = yield* watched()
      yield* ConnectionPool.drain(pool, "1 second")
      yield* Effect.flip(ConnectionPool.use(pool, "a", id))
      yield* Effect.flip(Effect.scoped(ConnectionPool.get(pool, "b")))
      assert.deepStrictEqual(told.refused, ["PoolClosed a", "PoolClosed b"])
    })))

  it.effect("learn of a lease that expires, if its borrower fails by that", () =>
    test(Effect.gen(function*() {
      const { pool, told } = yield* watched({ maxLease: "1 second" })
      const late = yield* fork(ConnectionPool.use(pool, "a", () => Effect.never))
      yield* ConnectionPool.get(pool, "a")
      yield* settle
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.await(late)
      assert.deepStrictEqual(told.refused, ["LeaseExpired a"])
      assert.strictEqual((yield* ConnectionPool.stats(pool)).leasesExpired, 2)
    })))

  it.effect("learn of the borrows that fail at once because their endpoint is down", () =>
    test(Effect.gen(function*() {
      const { pool, told } = yield* watched({ whenUnavailable: "fail" }, { open: () => refused() })
      yield* Effect.flip(ConnectionPool.use(pool, "a", id))
      yield* Effect.flip(ConnectionPool.use(pool, "a", id))
      assert.deepStrictEqual(told.refused, ["EndpointUnavailable a", "EndpointUnavailable a"])
      const { refusals } = yield* ConnectionPool.stats(pool)
      assert.deepStrictEqual(Object.entries(refusals).filter(([, count]) => count > 0), [["EndpointUnavailable", 2]])
    })))
})

describe("an endpoint that is not healthy", () => {
  it.effect("is shown with the time since it was, and its last failure, until it is healthy again", () =>
    test(Effect.gen(function*() {
      const { pool, registered, scripted: { steps } } = yield* watched({
        retry: RetryPolicy.make({ maxAttempts: 100 })
      })
      yield* ConnectionPool.use(pool, "a", id)
      assert.deepInclude(firstOf(registered), { impairedFor: undefined, lastFailure: undefined, health: "Healthy" })
      steps.open = () => refused()
      yield* ConnectionPool.evict(pool)
      const borrow = yield* fork(ConnectionPool.use(pool, "a", id))
      yield* settle
      for (let second = 0; second < 5; second++) yield* TestClock.adjust("1 second")
      const { health, impairedFor, lastFailure } = firstOf(registered)
      assert.strictEqual(health, "Unavailable")
      assert.strictEqual(impairedFor && Duration.toSeconds(impairedFor), 5)
      assert.instanceOf(lastFailure?.cause, Scripted.ScriptedFailure)
      assert.isBelow(Duration.toSeconds(lastFailure?.age ?? Duration.infinity), 2)
      steps.open = () => Effect.void
      for (let second = 0; second < 5; second++) yield* TestClock.adjust("1 second")
      yield* Fiber.join(borrow)
      assert.deepInclude(firstOf(registered), { impairedFor: undefined, lastFailure: undefined, health: "Healthy" })
    })))
})
