import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Duration, Effect, Exit, Fiber, Layer, Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { LeakCheck } from "effect-sluice/Testing"
import { TestClock } from "effect/testing"
import { invalidOption } from "../support/InvalidOption.ts"
import { fork, id, settle, test } from "../support/Pools.ts"
import * as Scripted from "../support/ScriptedConnector.ts"

const once = RetryPolicy.make({ maxAttempts: 1 })

/** Holds a connection until the latch opens. */
const hold = <K, A>(pool: ConnectionPool.ConnectionPool<K, A>, key: K, latch: Deferred.Deferred<void>) =>
  ConnectionPool.use(pool, key, (connection) => Effect.as(Deferred.await(latch), connection))

describe("ConnectionPool", () => {
  it.effect("lends one connection again and again", () =>
    test(Effect.gen(function*() {
      const { connector, ledger } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector })
      for (let turn = 0; turn < 1000; turn++) {
        assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 1)
      }
      assert.strictEqual(ledger.opened, 1)
      const stats = yield* ConnectionPool.stats(pool)
      assert.deepInclude(stats, { total: 1, active: 0, idle: 1, opened: 1, borrowed: 1000, waiting: 0 })
    })))

  it.effect("closes everything when its scope ends", () =>
    test(Effect.gen(function*() {
      const { connector, ledger, openNow } = Scripted.make()
      const scope = yield* Scope.make()
      const pool = yield* Scope.provide(ConnectionPool.make({ connector }), scope)
      yield* Effect.forEach(["a", "b", "c"], (key) => ConnectionPool.use(pool, key, id))
      assert.strictEqual(openNow(), 3)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(openNow(), 0)
      assert.strictEqual(ledger.closed, 3)
      const error = yield* Effect.flip(ConnectionPool.use(pool, "a", id))
      assert.strictEqual(error.reason._tag, "PoolClosed")
    })))

  it.effect("get lends until the scope ends", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1 })
      yield* Effect.scoped(Effect.gen(function*() {
        assert.strictEqual((yield* ConnectionPool.get(pool, "a")).id, 1)
        assert.strictEqual((yield* ConnectionPool.stats(pool)).active, 1)
      }))
      assert.deepInclude(yield* ConnectionPool.stats(pool), { active: 0, idle: 1 })
    })))

  describe("caps", () => {
    it.effect("never passes maxPerEndpoint nor maxTotal, and serves everybody", () =>
      test(Effect.gen(function*() {
        const scripted = Scripted.make({ open: () => Effect.yieldNow })
        const pool = yield* ConnectionPool.make({ connector: scripted.connector, maxPerEndpoint: 2, maxTotal: 3 })
        let served = 0
        yield* Effect.forEach(
          Array.from({ length: 500 }, (_, index) => `key ${index % 7}`),
          (key) => ConnectionPool.use(pool, key, () => Effect.andThen(Effect.yieldNow, Effect.sync(() => served++))),
          { concurrency: "unbounded", discard: true }
        )
        assert.strictEqual(served, 500)
        assert.isAtMost(scripted.ledger.peakPerKey, 2)
        assert.isAtMost(scripted.ledger.peakTotal, 3)
      })))

    it.effect("an idle connection of another endpoint gives way at once", () =>
      test(Effect.gen(function*() {
        const { connector, ledger } = Scripted.make()
        const pool = yield* ConnectionPool.make({ connector, maxTotal: 1 })
        yield* ConnectionPool.use(pool, "a", id)
        assert.strictEqual(yield* ConnectionPool.use(pool, "b", id), 2)
        assert.deepStrictEqual([...ledger.live].map((_) => _.key), ["b"])
        assert.strictEqual((yield* ConnectionPool.stats(pool)).evicted, 1)
      })))

    it.effect("exactly one connection gives way, the longest idle one", () =>
      test(Effect.gen(function*() {
        const { connector, ledger } = Scripted.make()
        const pool = yield* ConnectionPool.make({ connector, maxTotal: 3 })
        for (const key of ["a", "b", "c"]) {
          yield* ConnectionPool.use(pool, key, id)
          yield* TestClock.adjust("1 second")
        }
        yield* ConnectionPool.use(pool, "a", id)
        yield* ConnectionPool.use(pool, "d", id)
        assert.deepStrictEqual([...ledger.live].map((_) => _.key).sort(), ["a", "c", "d"])
      })))

    it.effect("a request that its own endpoint cap blocks costs nobody a connection", () =>
      test(Effect.gen(function*() {
        const { connector, ledger } = Scripted.make()
        const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1, maxTotal: 2 })
        yield* ConnectionPool.use(pool, "idle", id)
        const latch = yield* Deferred.make<void>()
        const holder = yield* fork(hold(pool, "a", latch))
        yield* settle
        const waiter = yield* fork(ConnectionPool.use(pool, "a", id))
        yield* settle
        assert.isTrue([...ledger.live].some((_) => _.key === "idle"))
        yield* Deferred.succeed(latch, undefined)
        yield* Fiber.join(holder)
        yield* Fiber.join(waiter)
        assert.isTrue([...ledger.live].some((_) => _.key === "idle"))
      })))

    it.effect("a slot is free only when the connection is really closed", () =>
      test(Effect.gen(function*() {
        const gate = yield* Deferred.make<void>()
        const { connector, ledger } = Scripted.make({ close: () => Deferred.await(gate) })
        const pool = yield* ConnectionPool.make({ connector, maxTotal: 1 })
        yield* ConnectionPool.use(pool, "a", id)
        const other = yield* fork(ConnectionPool.use(pool, "b", id))
        yield* settle
        assert.strictEqual(ledger.attempts, 1)
        assert.deepInclude(yield* ConnectionPool.stats(pool), { total: 1, closing: 1, waiting: 1 })
        yield* Deferred.succeed(gate, undefined)
        assert.strictEqual(yield* Fiber.join(other), 2)
        assert.strictEqual(ledger.peakTotal, 1)
      })))
  })

  describe("waiting", () => {
    it.effect("is first come, first served, and a newcomer does not barge in", () =>
      test(Effect.gen(function*() {
        const { connector } = Scripted.make()
        const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1 })
        const order: Array<number> = []
        const latch = yield* Deferred.make<void>()
        const holder = yield* fork(hold(pool, "a", latch))
        yield* settle
        const waiters = yield* Effect.forEach(
          Array.from({ length: 50 }, (_, index) => index),
          (index) => fork(ConnectionPool.use(pool, "a", () => Effect.sync(() => order.push(index))))
        )
        yield* Deferred.succeed(latch, undefined)
        yield* Fiber.join(holder)
        yield* ConnectionPool.use(pool, "a", () => Effect.sync(() => order.push(50)))
        yield* Fiber.joinAll(waiters)
        assert.deepStrictEqual(order, Array.from({ length: 51 }, (_, index) => index))
      })))

    it.effect("ends with AcquireTimeout, which says what stalled it", () =>
      test(Effect.gen(function*() {
        const { connector } = Scripted.make()
        const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1, acquireTimeout: "5 seconds" })
        const latch = yield* Deferred.make<void>()
        yield* fork(Effect.withSpan(hold(pool, "a", latch), "slow report"))
        yield* settle
        yield* TestClock.adjust("2 seconds")
        const first = yield* fork(Effect.exit(ConnectionPool.use(pool, "a", id)))
        const second = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", id)))
        yield* TestClock.adjust("4999 millis")
        assert.isUndefined(first.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        const error = yield* Fiber.join(second)
        const { reason } = error as ConnectionPool.PoolError
        assert.strictEqual(reason._tag, "AcquireTimeout")
        if (reason._tag !== "AcquireTimeout") return
        assert.strictEqual(reason.stalledBy, "EndpointCap")
        assert.deepInclude(reason.endpoint, { total: 1, active: 1, idle: 0 })
        assert.deepStrictEqual(reason.holders.map((_) => [_.span, Duration.toMillis(_.age)]), [["slow report", 7000]])
        assert.include(reason.message, "no connection to a within 5s: all of the endpoint's connections are in use")
        assert.match(reason.message, /held longest by slow report( at hold \(.*:\d+:\d+\))? for 7s/)
        assert.deepInclude(yield* ConnectionPool.stats(pool), { waiting: 0, active: 1, timeouts: 2 })
        assert.isTrue(Exit.isFailure(yield* Fiber.join(first)))
        yield* Deferred.succeed(latch, undefined)
      })))

    it.effect("an interrupted waiter leaves the queue, and the others keep their order", () =>
      test(Effect.gen(function*() {
        const { connector } = Scripted.make()
        const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1 })
        const latch = yield* Deferred.make<void>()
        const holder = yield* fork(hold(pool, "a", latch))
        yield* settle
        const order: Array<number> = []
        const waiters = yield* Effect.forEach(
          [0, 1, 2],
          (index) => fork(ConnectionPool.use(pool, "a", () => Effect.sync(() => order.push(index))))
        )
        yield* Fiber.interrupt(waiters[1] as Fiber.Fiber<number, unknown>)
        assert.strictEqual((yield* ConnectionPool.stats(pool)).waiting, 2)
        yield* Deferred.succeed(latch, undefined)
        yield* Fiber.join(holder)
        yield* Fiber.awaitAll(waiters)
        assert.deepStrictEqual(order, [0, 2])
      })))

    it.effect("maxWaiters refuses with QueueFull", () =>
      test(Effect.gen(function*() {
        const { connector } = Scripted.make()
        const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1, maxWaiters: 1 })
        const latch = yield* Deferred.make<void>()
        yield* fork(hold(pool, "a", latch))
        yield* settle
        yield* fork(hold(pool, "a", latch))
        const error = yield* Effect.flip(ConnectionPool.use(pool, "a", id))
        assert.strictEqual(error.reason._tag, "QueueFull")
        assert.include(error.message, "maxWaiters is 1")
        yield* Deferred.succeed(latch, undefined)
      })))

    it.effect("a flooded endpoint does not starve the others: round-robin at the total cap", () =>
      test(Effect.gen(function*() {
        const { connector } = Scripted.make()
        const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1, maxTotal: 1 })
        const order: Array<string> = []
        const work = (key: string) =>
          ConnectionPool.use(
            pool,
            key,
            () => Effect.andThen(Effect.sleep("5 millis"), Effect.sync(() => order.push(key)))
          )
        const hot = yield* Effect.forEach(Array.from({ length: 20 }), () => fork(work("hot")))
        const cold = yield* fork(work("cold"))
        for (let turn = 0; turn < 120; turn++) {
          yield* TestClock.adjust("1 millis")
          yield* settle
        }
        yield* Fiber.joinAll([...hot, cold])
        assert.isAtMost(order.indexOf("cold"), 2)
      })))
  })

  describe("opening", () => {
    it.effect("is retried under the policy, and its failure is what all waiters learn", () =>
      test(Effect.gen(function*() {
        const { connector, ledger, openNow } = Scripted.make({
          open: () => Effect.fail(new Scripted.ScriptedFailure("ECONNREFUSED"))
        })
        const retry = RetryPolicy.make({ maxAttempts: 3, initialDelay: 100, factor: 2, jitter: 0 })
        const pool = yield* ConnectionPool.make({ connector, retry })
        const waiters = yield* Effect.forEach(
          Array.from({ length: 20 }),
          () => fork(Effect.flip(ConnectionPool.use(pool, "a", id)))
        )
        yield* settle
        yield* TestClock.adjust("300 millis")
        for (const waiter of waiters) {
          const error = yield* Fiber.join(waiter)
          const { reason } = error as ConnectionPool.PoolError
          assert.strictEqual(reason._tag, "ConnectFailed")
          assert.include(reason.message, "no connection to a: ")
        }
        assert.strictEqual(openNow(), 0)
        assert.deepInclude(yield* ConnectionPool.stats(pool), { total: 0, waiting: 0 })
        assert.isAtMost(ledger.attempts, 4)
      })))

    it.effect("while an endpoint is down, one attempt at a time is in flight", () =>
      test(Effect.gen(function*() {
        let down = true
        const { connector, ledger } = Scripted.make({
          open: () =>
            Effect.andThen(
              Effect.sleep("10 millis"),
              Effect.suspend(() => down ? Effect.fail(new Scripted.ScriptedFailure("ECONNREFUSED")) : Effect.void)
            )
        })
        const retry = RetryPolicy.make({ maxAttempts: Infinity, initialDelay: 100, maxDelay: 1000, jitter: 0 })
        const pool = yield* ConnectionPool.make({ connector, retry, maxPerEndpoint: 5, maxTotal: 5 })
        const waiters = yield* Effect.forEach(
          Array.from({ length: 200 }),
          () => fork(ConnectionPool.use(pool, "a", id))
        )
        yield* TestClock.adjust("1 second")
        ledger.peakDialling = 0
        for (let turn = 0; turn < 100; turn++) yield* TestClock.adjust("100 millis")
        assert.strictEqual(ledger.peakDialling, 1)
        assert.isAtMost(ledger.attempts, 20)
        down = false
        yield* TestClock.adjust("1010 millis")
        yield* settle
        yield* Fiber.joinAll(waiters)
      })))

    it.effect("a connection whose borrower has gone goes to idle", () =>
      test(Effect.gen(function*() {
        const { connector, ledger } = Scripted.make({ open: () => Effect.sleep("100 millis") })
        const pool = yield* ConnectionPool.make({ connector })
        const borrower = yield* fork(ConnectionPool.use(pool, "a", id))
        yield* settle
        yield* Fiber.interrupt(borrower)
        yield* TestClock.adjust("100 millis")
        yield* settle
        assert.deepInclude(yield* ConnectionPool.stats(pool), { total: 1, idle: 1, active: 0 })
        assert.strictEqual(ledger.opened, 1)
      })))

    it.effect("that takes longer than connectTimeout fails, and what it had acquired is released", () =>
      test(Effect.gen(function*() {
        const { connector, openNow } = Scripted.make({ open: () => Effect.never })
        const pool = yield* ConnectionPool.make({ connector, retry: once, connectTimeout: "1 second" })
        const borrower = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", id)))
        yield* settle
        assert.strictEqual(openNow(), 1)
        yield* TestClock.adjust("1 second")
        const error = yield* Fiber.join(borrower)
        assert.include(error.message, "connecting to a took longer than 1s")
        yield* settle
        assert.strictEqual(openNow(), 0)
      })))

    it.effect("that dies is a typed failure and costs no slot", () =>
      test(Effect.gen(function*() {
        let fail = true
        const { connector } = Scripted.make({ open: () => fail ? Effect.die(new Error("boom")) : Effect.void })
        const pool = yield* ConnectionPool.make({ connector, retry: once, maxTotal: 1 })
        const error = yield* Effect.flip(ConnectionPool.use(pool, "a", id))
        assert.strictEqual(error.reason._tag, "ConnectFailed")
        assert.include(error.message, "boom")
        fail = false
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 1)
      })))

    it.effect("whoever comes after a failure shares the next attempt, which is no sooner for that", () =>
      test(Effect.gen(function*() {
        const { connector, ledger } = Scripted.make({ open: () => Effect.fail(new Scripted.ScriptedFailure("EACCES")) })
        const retry = RetryPolicy.make({ maxAttempts: 5, initialDelay: 100, jitter: 0 })
        const pool = yield* ConnectionPool.make({ connector, retry, maxPerEndpoint: 10, maxTotal: 10 })
        yield* Effect.flip(ConnectionPool.use(pool, "a", id))
        const borrowers = yield* Effect.forEach(
          Array.from({ length: 20 }),
          () => fork(Effect.flip(ConnectionPool.use(pool, "a", id)))
        )
        yield* TestClock.adjust(99)
        yield* settle
        assert.strictEqual(ledger.attempts, 1)
        yield* TestClock.adjust(1)
        const errors = yield* Effect.forEach(borrowers, Fiber.join)
        assert.isTrue(errors.every((error) => error.reason._tag === "ConnectFailed"))
        assert.strictEqual(ledger.attempts, 2)
      })))

    it.effect("an endpoint that comes back is dialled in a ramp while borrowers wait, and as before when they are served", () =>
      test(Effect.gen(function*() {
        let down = true
        const dial = Effect.suspend(() =>
          Effect.andThen(
            Effect.sleep(10),
            down ? Effect.fail(new Scripted.ScriptedFailure("ECONNREFUSED")) : Effect.void
          )
        )
        const { connector, ledger } = Scripted.make({ open: () => dial })
        const retry = RetryPolicy.make({ maxAttempts: Infinity, initialDelay: 100, jitter: 0 })
        const pool = yield* ConnectionPool.make({ connector, retry, maxPerEndpoint: 30, maxTotal: 30, drainTimeout: 0 })
        const borrow = fork(ConnectionPool.use(pool, "a", () => Effect.never))
        yield* Effect.forEach(Array.from({ length: 25 }), () => borrow)
        yield* TestClock.adjust(10)
        yield* settle
        assert.strictEqual(ledger.attempts, 2, "both dials of an endpoint of which nothing bad is known")
        down = false
        const widths: Array<number> = []
        yield* TestClock.adjust(90)
        for (let round = 0; round < 6; round++) {
          yield* settle
          widths.push((yield* ConnectionPool.stats(pool)).connecting)
          yield* TestClock.adjust(10)
        }
        assert.deepStrictEqual(widths, [0, 1, 2, 8, 8, 6])
      })))

    it.effect("passes the monitor's gate: nothing opens when there is no room for it", () =>
      Effect.gen(function*() {
        const { connector, ledger } = Scripted.make()
        const retry = RetryPolicy.make({ maxAttempts: 2, initialDelay: 10, jitter: 0, deadline: "100 millis" })
        const pool = yield* ConnectionPool.make({ connector, retry })
        const borrower = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", id)))
        yield* settle
        yield* TestClock.adjust("1 second")
        const error = yield* Fiber.join(borrower)
        assert.strictEqual(error.reason._tag, "ConnectFailed")
        assert.strictEqual(ledger.attempts, 0)
      }).pipe(Effect.provide(ResourceMonitor.layerOptions({ maxConnections: 1, maxDescriptors: 17 }))))
  })

  describe("staying alive", () => {
    it.effect("a connection that nobody borrows is closed after idleTimeout", () =>
      test(Effect.gen(function*() {
        const { connector, openNow } = Scripted.make()
        const pool = yield* ConnectionPool.make({ connector, idleTimeout: "10 seconds" })
        yield* ConnectionPool.use(pool, "a", id)
        yield* TestClock.adjust("9999 millis")
        yield* settle
        assert.strictEqual(openNow(), 1)
        yield* TestClock.adjust("1 millis")
        yield* settle
        assert.strictEqual(openNow(), 0)
        assert.strictEqual((yield* ConnectionPool.stats(pool)).expired, 1)
      })))

    it.effect("a connection that is used all the time is replaced after maxLifetime", () =>
      test(Effect.gen(function*() {
        const { connector } = Scripted.make()
        const pool = yield* ConnectionPool.make({ connector, maxLifetime: "10 seconds", lifetimeJitter: 0 })
        for (let second = 0; second < 10; second++) {
          assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 1)
          yield* TestClock.adjust("1 second")
        }
        assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 2)
      })))

    it.effect("lifetimes are spread by their jitter", () =>
      test(Effect.gen(function*() {
        const { connector, ledger, openNow } = Scripted.make()
        const pool = yield* ConnectionPool.make({
          connector,
          maxPerEndpoint: 50,
          maxTotal: 50,
          maxLifetime: "100 seconds",
          idleTimeout: "Infinity"
        })
        const latch = yield* Deferred.make<void>()
        const holders = yield* Effect.forEach(Array.from({ length: 50 }), () => fork(hold(pool, "a", latch)))
        yield* settle
        yield* settle
        assert.strictEqual(ledger.opened, 50)
        yield* Deferred.succeed(latch, undefined)
        yield* Fiber.joinAll(holders)
        yield* TestClock.adjust("74 seconds")
        yield* settle
        assert.strictEqual(openNow(), 50)
        yield* TestClock.adjust("13 seconds")
        yield* settle
        assert.isAbove(openNow(), 10)
        assert.isBelow(openNow(), 40)
        yield* TestClock.adjust("14 seconds")
        yield* settle
        assert.strictEqual(openNow(), 0)
      })))

    it.effect("an idle connection that dies is gone before anybody borrows it", () =>
      test(Effect.gen(function*() {
        const { connector, kill, ledger } = Scripted.make()
        const pool = yield* ConnectionPool.make({ connector })
        yield* ConnectionPool.use(pool, "a", id)
        for (const connection of ledger.live) yield* kill(connection)
        yield* settle
        assert.deepInclude(yield* ConnectionPool.stats(pool), { total: 0, died: 1 })
        assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 2)
      })))

    it.effect("a lent connection that dies is closed when it comes back", () =>
      test(Effect.gen(function*() {
        const { connector, kill, openNow } = Scripted.make()
        const pool = yield* ConnectionPool.make({ connector })
        yield* ConnectionPool.use(pool, "a", kill)
        yield* settle
        assert.strictEqual(openNow(), 0)
      })))

    it.effect("a connection that was idle for long is checked, and one that fails is replaced", () =>
      test(Effect.gen(function*() {
        let checks = 0
        const { connector, ledger } = Scripted.make({
          check: (connection) => {
            checks++
            return connection.id === 1 ? Effect.fail(new Scripted.ScriptedFailure("EPIPE")) : Effect.void
          }
        })
        const pool = yield* ConnectionPool.make({ connector })
        yield* ConnectionPool.use(pool, "a", id)
        yield* ConnectionPool.use(pool, "a", id)
        assert.strictEqual(checks, 0)
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 2)
        assert.strictEqual(checks, 1)
        yield* settle
        assert.deepStrictEqual([...ledger.live].map((_) => _.id), [2])
      })))

    it.effect("a connection whose check was cut off is not lent unchecked", () =>
      test(Effect.gen(function*() {
        let hangs = true
        const { connector } = Scripted.make({ check: () => hangs ? Effect.never : Effect.void })
        const pool = yield* ConnectionPool.make({ connector })
        yield* ConnectionPool.use(pool, "a", id)
        yield* TestClock.adjust("1 second")
        const borrower = yield* fork(ConnectionPool.use(pool, "a", id))
        yield* settle
        yield* Fiber.interrupt(borrower)
        hangs = false
        assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 2)
      })))

    it.effect("a check that hangs is bounded by the borrow's deadline", () =>
      test(Effect.gen(function*() {
        const { connector, openNow } = Scripted.make({ check: () => Effect.never })
        const pool = yield* ConnectionPool.make({ connector, acquireTimeout: "3 seconds" })
        yield* ConnectionPool.use(pool, "a", id)
        yield* TestClock.adjust("1 second")
        const borrower = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", id)))
        yield* TestClock.adjust("3 seconds")
        const error = yield* Fiber.join(borrower)
        assert.strictEqual((error as ConnectionPool.PoolError).reason._tag, "AcquireTimeout")
        yield* settle
        assert.strictEqual(openNow(), 0)
      })))
  })

  describe("ending", () => {
    it.effect("drain fails the waiters, waits for the holders, and forces at the deadline", () =>
      test(Effect.gen(function*() {
        const { connector, openNow } = Scripted.make()
        const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1 })
        const latch = yield* Deferred.make<void>()
        yield* fork(hold(pool, "a", latch))
        yield* settle
        const waiter = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", id)))
        const drain = yield* fork(ConnectionPool.drain(pool, "5 seconds"))
        const again = yield* fork(ConnectionPool.drain(pool, "5 seconds"))
        const error = yield* Fiber.join(waiter)
        assert.strictEqual((error as ConnectionPool.PoolError).reason._tag, "PoolClosed")
        yield* TestClock.adjust("4999 millis")
        assert.strictEqual(openNow(), 1)
        assert.isUndefined(drain.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        yield* Fiber.join(drain)
        yield* Fiber.join(again)
        assert.strictEqual(openNow(), 0)
      })))

    it.effect("a dial that is under way is given up", () =>
      test(Effect.gen(function*() {
        const { connector, openNow } = Scripted.make({ open: () => Effect.never })
        const pool = yield* ConnectionPool.make({ connector })
        const waiter = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", id)))
        yield* settle
        assert.strictEqual(openNow(), 1)
        yield* ConnectionPool.drain(pool, "1 second")
        assert.strictEqual(openNow(), 0)
        assert.strictEqual(((yield* Fiber.join(waiter)) as ConnectionPool.PoolError).reason._tag, "PoolClosed")
      })))

    it.effect("many connections close at once, each with its own deadline, and one that hangs is left behind", () =>
      test(LeakCheck.ignore(Effect.gen(function*() {
        const { connector, ledger } = Scripted.make({
          close: (connection) => connection.id === 7 ? Effect.never : Effect.sleep("1 second")
        })
        const pool = yield* ConnectionPool.make({
          connector,
          maxPerEndpoint: 20,
          maxTotal: 20,
          closeTimeout: "2 seconds"
        })
        const latch = yield* Deferred.make<void>()
        const holders = yield* Effect.forEach(Array.from({ length: 20 }), () => fork(hold(pool, "a", latch)))
        yield* settle
        yield* Deferred.succeed(latch, undefined)
        yield* Fiber.joinAll(holders)
        const drain = yield* fork(ConnectionPool.drain(pool, "5 seconds"))
        yield* settle
        yield* TestClock.adjust("1 second")
        yield* settle
        assert.strictEqual(ledger.closed, 19)
        assert.isUndefined(drain.pollUnsafe())
        yield* TestClock.adjust("2 seconds")
        yield* Fiber.join(drain)
      }))))

    it.effect("a finalizer that dies costs no slot", () =>
      test(Effect.gen(function*() {
        const { connector } = Scripted.make({ close: () => Effect.die(new Error("cannot close")) })
        const pool = yield* ConnectionPool.make({ connector, maxTotal: 1 })
        yield* ConnectionPool.use(pool, "a", id)
        assert.strictEqual(yield* ConnectionPool.use(pool, "b", id), 2)
      })))
  })

  it.effect("evict closes the idle ones at once and the lent ones when they come back", () =>
    test(Effect.gen(function*() {
      const { connector, ledger } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector })
      yield* ConnectionPool.use(pool, "b", id)
      const latch = yield* Deferred.make<void>()
      const holder = yield* fork(hold(pool, "a", latch))
      yield* settle
      yield* ConnectionPool.evict(pool)
      yield* settle
      assert.deepStrictEqual([...ledger.live].map((_) => _.key), ["a"])
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(holder)
      yield* settle
      assert.strictEqual(ledger.live.size, 0)
    })))

  it.effect("invalidate closes the connection instead of lending it again", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector })
      yield* ConnectionPool.use(pool, "a", (connection) => ConnectionPool.invalidate(pool, connection))
      assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 2)
    })))

  it.effect("a borrower that fails gives its connection back", () =>
    test(Effect.gen(function*() {
      const { connector, ledger } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxTotal: 1 })
      yield* Effect.exit(ConnectionPool.use(pool, "a", () => Effect.fail("no")))
      assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 1)
      assert.strictEqual(ledger.opened, 1)
    })))

  it.effect("a borrower that dies or is interrupted gives its slot back, and its connection closes", () =>
    test(Effect.gen(function*() {
      const { connector, ledger, openNow } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxTotal: 1 })
      yield* Effect.exit(ConnectionPool.use(pool, "a", () => Effect.die("no")))
      assert.strictEqual(openNow(), 0)
      yield* Effect.exit(ConnectionPool.use(pool, "a", (): Effect.Effect<never> => {
        throw new Error("no")
      }))
      assert.strictEqual(openNow(), 0)
      const fiber = yield* fork(ConnectionPool.use(pool, "a", () => Effect.never))
      yield* settle
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(openNow(), 0)
      assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 4)
      assert.strictEqual(ledger.closed, 3)
    })))

  it.effect("an endpoint that was used once leaves no trace", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, idleTimeout: "1 second" })
      for (let index = 0; index < 200; index++) yield* ConnectionPool.use(pool, `key ${index}`, id)
      yield* TestClock.adjust("2 seconds")
      yield* settle
      yield* TestClock.adjust("2 minutes")
      yield* settle
      assert.strictEqual((yield* ConnectionPool.stats(pool)).endpoints.size, 0)
    })))

  it.effect("bad options are refused with the option, the value and the rule", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const bad: Array<[Omit<ConnectionPool.Options<string, Scripted.Scripted, never, never>, "connector">, string]> = [
        [{ maxPerEndpoint: 0 }, "option maxPerEndpoint is 0, but it must be a whole number of at least 1"],
        [{ maxPerEndpoint: -1 }, "option maxPerEndpoint is -1"],
        [{ maxPerEndpoint: 1.5 }, "option maxPerEndpoint is 1.5"],
        [{ maxTotal: Number.NaN }, "option maxTotal is NaN"],
        [{ maxPerEndpoint: 4, maxTotal: 3 }, "option maxPerEndpoint is 4, but it must be at most maxTotal, which is 3"],
        [{ idleTimeout: 0 }, "option idleTimeout is 0, but it must be a duration above 0"],
        [{ maxLifetime: -5 }, "option maxLifetime is -5"],
        [
          { acquireTimeout: "Infinity" },
          "option acquireTimeout is \"Infinity\", but it must be a finite duration above 0"
        ],
        [{ connectTimeout: 0 }, "option connectTimeout is 0"],
        [{ closeTimeout: -1 }, "option closeTimeout is -1"],
        [{ lifetimeJitter: 2 }, "option lifetimeJitter is 2, but it must be a number from 0 to 1"],
        [{ maxWaiters: -1 }, "option maxWaiters is -1, but it must be a whole number of at least 0, or Infinity"]
      ]
      for (const [options, message] of bad) {
        const error = yield* invalidOption(ConnectionPool.make({ connector, ...options }))
        assert.include(error.message, `ConnectionPool: ${message}`)
      }
    })))

  it.effect("Service makes a class with a layer and accessors", () =>
    Effect.gen(function*() {
      const scripted = Scripted.make()
      class Pool extends ConnectionPool.Service<Pool>()("test/Pool", { connector: scripted.connector }) {}
      const program = Effect.gen(function*() {
        assert.strictEqual(yield* Pool.withConnection("a", id), 1)
        yield* Effect.scoped(
          Effect.flatMap(Pool.connection("a"), (connection) => Effect.sync(() => assert.strictEqual(connection.id, 1)))
        )
        assert.strictEqual((yield* Pool.stats).borrowed, 2)
      })
      yield* program.pipe(Effect.provide(Pool.layer.pipe(Layer.provide(ResourceMonitor.layerUnlimited))))
      assert.strictEqual(scripted.openNow(), 0)
    }))

  it.effect("the cause of a failing use is its own", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector })
      const exit = yield* Effect.exit(ConnectionPool.use(pool, "a", () => Effect.fail("mine")))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasFails(exit.cause))
    })))
})
