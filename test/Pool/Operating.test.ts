/**
 * What a pool does besides lending and closing: sharing, keeping, watching, and being operated.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Duration, Effect, Exit, Fiber, Scope } from "effect"
import * as ConnectionBudget from "effect-sluice/ConnectionBudget"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { TestClock } from "effect/testing"
import { invalidOption } from "../support/InvalidOption.ts"
import { collectLogs, fork, hold, id, settle, test } from "../support/Pools.ts"
import * as Scripted from "../support/ScriptedConnector.ts"

const reasonOf = (error: unknown) => (error as ConnectionPool.PoolError).reason

describe("several borrowers on one connection", () => {
  it.effect("fill the connection up to its concurrency before another is opened, and the caps count connections", () =>
    test(Effect.gen(function*() {
      const { connector, ledger } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, concurrency: 3, maxPerEndpoint: 2, maxTotal: 2 })
      const latch = yield* Deferred.make<void>()
      const holders: Array<Fiber.Fiber<number, ConnectionPool.PoolError>> = []
      for (let turn = 0; turn < 7; turn++) {
        holders.push(yield* fork(hold(pool, "a", latch)))
        yield* settle
      }
      assert.deepInclude(yield* ConnectionPool.stats(pool), { active: 2, idle: 0, waiting: 1 })
      yield* Deferred.succeed(latch, undefined)
      const ids = yield* Fiber.joinAll(holders)
      assert.deepStrictEqual(ids.slice(0, 6), [1, 1, 1, 2, 2, 2])
      assert.strictEqual(ledger.peakTotal, 2)
    })))

  it.effect("a burst of waiters is served by as few connections as hold them", () =>
    test(Effect.gen(function*() {
      const { connector, ledger } = Scripted.make({ open: () => Effect.sleep("10 millis") })
      const pool = yield* ConnectionPool.make({ connector, concurrency: 10, maxPerEndpoint: 5, maxTotal: 5 })
      const latch = yield* Deferred.make<void>()
      const holders = yield* Effect.forEach(Array.from({ length: 20 }), () => fork(hold(pool, "a", latch)))
      yield* TestClock.adjust("10 millis")
      yield* settle
      assert.strictEqual(ledger.opened, 2)
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.joinAll(holders)
    })))

  it.effect("eviction and drain wait for all of them", () =>
    test(Effect.gen(function*() {
      const { connector, openNow } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, concurrency: 2, maxPerEndpoint: 1 })
      const [first, second] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const holders = [yield* fork(hold(pool, "a", first)), yield* fork(hold(pool, "a", second))]
      yield* settle
      yield* ConnectionPool.evict(pool)
      yield* Deferred.succeed(first, undefined)
      yield* settle
      assert.strictEqual(openNow(), 1)
      const drain = yield* fork(ConnectionPool.drain(pool, "5 seconds"))
      yield* settle
      assert.isUndefined(drain.pollUnsafe())
      yield* Deferred.succeed(second, undefined)
      yield* Fiber.join(drain)
      yield* Fiber.joinAll(holders)
      assert.strictEqual(openNow(), 0)
    })))

  it.effect("nobody shares a connection whose check is still running; those that wait get it when the check has passed", () =>
    test(Effect.gen(function*() {
      let [checks, uses] = [0, 0]
      const { connector, ledger } = Scripted.make({
        check: () => Effect.andThen(Effect.sync(() => checks++), Effect.sleep("100 millis"))
      })
      // The second one finds no room, and opens nothing either.
      const pool = yield* ConnectionPool.make({ connector, concurrency: 2, maxPerEndpoint: 2 })
      yield* ConnectionPool.use(pool, "a", id)
      yield* TestClock.adjust("1 second")
      const latch = yield* Deferred.make<void>()
      const use = ConnectionPool.use(pool, "a", (connection) => {
        uses++
        return Effect.as(Deferred.await(latch), connection.id)
      })
      const borrowers = [yield* fork(use), yield* fork(use)]
      yield* settle
      assert.deepStrictEqual([checks, uses], [1, 0])
      assert.deepInclude(yield* ConnectionPool.stats(pool), { active: 1, connecting: 0, waiting: 1 })
      yield* TestClock.adjust("100 millis")
      yield* settle
      assert.deepStrictEqual([checks, uses], [1, 2])
      yield* Deferred.succeed(latch, undefined)
      assert.deepStrictEqual(yield* Fiber.joinAll(borrowers), [1, 1])
      assert.strictEqual(ledger.opened, 1)
    })))

  it.effect("a check that fails, or ends with its borrower, leaves nobody waiting who would have shared the connection", () =>
    test(Effect.gen(function*() {
      const trouble: Array<
        (
          first: Fiber.Fiber<unknown, unknown>,
          pool: ConnectionPool.ConnectionPool<string, Scripted.Scripted>,
          one: Scripted.Scripted
        ) => Effect.Effect<unknown>
      > = [
        () => TestClock.adjust("100 millis"),
        (first) => Fiber.interrupt(first),
        (_, pool, one) => ConnectionPool.invalidate(pool, one),
        (_, pool) => ConnectionPool.evict(pool, "a"),
        (_, __, one) => Effect.sync(() => Deferred.doneUnsafe(one.died, Exit.void))
      ]
      for (const happens of trouble) {
        const { connector, ledger } = Scripted.make({
          check: () => Effect.andThen(Effect.sleep("100 millis"), Effect.fail(new Scripted.ScriptedFailure("EPIPE"))),
          // The slot of the broken connection stays taken, so that nobody is woken by its end.
          close: () => Effect.sleep("1 second")
        })
        const pool = yield* ConnectionPool.make({ connector, concurrency: 2, maxPerEndpoint: 2 })
        yield* ConnectionPool.use(pool, "a", id)
        yield* TestClock.adjust("1 second")
        const first = yield* fork(ConnectionPool.use(pool, "a", id))
        const second = yield* fork(ConnectionPool.use(pool, "a", id))
        yield* settle
        const [one] = ledger.live
        assert.isDefined(one)
        yield* happens(first, pool, one)
        yield* settle
        assert.isDefined(second.pollUnsafe())
        assert.strictEqual(yield* Fiber.join(second), 2)
        yield* Fiber.interrupt(first)
        const closing = yield* fork(ConnectionPool.drain(pool, 0))
        yield* TestClock.adjust("2 seconds")
        yield* Fiber.join(closing)
      }
    })))

  it.effect("a check that outlasts its borrower's deadline leaves the others enough of theirs", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make({ check: () => Effect.never, close: () => Effect.sleep("1 second") })
      const pool = yield* ConnectionPool.make({ connector, concurrency: 2, acquireTimeout: "1 second" })
      yield* ConnectionPool.use(pool, "a", id)
      yield* TestClock.adjust("1 second")
      const first = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", id)))
      yield* TestClock.adjust("500 millis")
      const second = yield* fork(ConnectionPool.use(pool, "a", id))
      yield* TestClock.adjust("500 millis")
      yield* settle
      assert.strictEqual(reasonOf(yield* Fiber.join(first))._tag, "AcquireTimeout")
      assert.isDefined(second.pollUnsafe())
      assert.strictEqual(yield* Fiber.join(second), 2)
      const closing = yield* fork(ConnectionPool.drain(pool, 0))
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(closing)
    })))

  it.effect("a connection that grows too old during its check is for nobody else", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make({ check: () => Effect.sleep("100 millis") })
      const pool = yield* ConnectionPool.make({
        connector,
        concurrency: 2,
        lifetimeJitter: 0,
        maxLifetime: "1050 millis"
      })
      yield* ConnectionPool.use(pool, "a", id)
      yield* TestClock.adjust("1 second")
      const latch = yield* Deferred.make<void>()
      const borrowers = [yield* fork(hold(pool, "a", latch)), yield* fork(hold(pool, "a", latch))]
      yield* settle
      yield* TestClock.adjust("100 millis")
      yield* settle
      assert.deepInclude(yield* ConnectionPool.stats(pool), { active: 2, waiting: 0 })
      yield* Deferred.succeed(latch, undefined)
      assert.deepStrictEqual(yield* Fiber.joinAll(borrowers), [1, 2])
    })))

  it.effect("maxWaiters does not count those that wait for a check to share its connection", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make({ check: () => Effect.sleep("100 millis") })
      const pool = yield* ConnectionPool.make({ connector, concurrency: 3, maxPerEndpoint: 1, maxWaiters: 0 })
      yield* ConnectionPool.use(pool, "a", id)
      yield* TestClock.adjust("1 second")
      const latch = yield* Deferred.make<void>()
      const borrowers = yield* Effect.forEach([1, 2, 3], () => fork(hold(pool, "a", latch)))
      yield* settle
      assert.strictEqual((yield* Effect.flip(ConnectionPool.use(pool, "a", id))).reason._tag, "QueueFull")
      yield* TestClock.adjust("100 millis")
      yield* Deferred.succeed(latch, undefined)
      assert.deepStrictEqual(yield* Fiber.joinAll(borrowers), [1, 1, 1])
    })))

  it.effect("an unbounded number of them may share one", () =>
    test(Effect.gen(function*() {
      const { connector, ledger } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, concurrency: Infinity, maxWaiters: 0 })
      const latch = yield* Deferred.make<void>()
      const holders = yield* Effect.forEach(Array.from({ length: 50 }), () => fork(hold(pool, "a", latch)))
      yield* settle
      assert.deepInclude(yield* ConnectionPool.stats(pool), { active: 1, waiting: 0 })
      yield* Deferred.succeed(latch, undefined)
      assert.lengthOf(yield* Fiber.joinAll(holders), 50)
      assert.strictEqual(ledger.opened, 1)
    })))

  it.effect("reserve keeps a connection for oneself until its scope ends", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, concurrency: 4, maxPerEndpoint: 1 })
      yield* Effect.scoped(Effect.gen(function*() {
        const connection = yield* ConnectionPool.get(pool, "a")
        const waiter = yield* Effect.scoped(Effect.gen(function*() {
          yield* ConnectionPool.reserve(pool, connection)
          const waiter = yield* fork(ConnectionPool.use(pool, "a", id))
          yield* settle
          assert.isUndefined(waiter.pollUnsafe())
          return waiter
        }))
        assert.strictEqual(yield* Fiber.join(waiter), 1)
      }))
    })))

  it.effect("a reservation that ends while afterReturn still runs lends nothing before it has ended", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const afterReturn = () => Effect.sleep("100 millis")
      const pool = yield* ConnectionPool.make({ connector, concurrency: 2, maxPerEndpoint: 1, hooks: { afterReturn } })
      const reservation = yield* Scope.make()
      yield* ConnectionPool.use(
        pool,
        "a",
        (connection) => Scope.provide(ConnectionPool.reserve(pool, connection), reservation)
      )
      yield* Scope.close(reservation, Exit.void)
      const next = yield* fork(ConnectionPool.use(pool, "a", id))
      yield* settle
      assert.isUndefined(next.pollUnsafe())
      assert.deepInclude(yield* ConnectionPool.stats(pool), { active: 1, idle: 0, waiting: 1 })
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(yield* Fiber.join(next), 1)
      yield* TestClock.adjust("100 millis")
      yield* settle
      assert.deepInclude(yield* ConnectionPool.stats(pool), { active: 0, idle: 1, total: 1 })
    })))
})

describe("keeping", () => {
  it.effect("minPerEndpoint is kept however long it is idle, and filled up again in the background", () =>
    test(Effect.gen(function*() {
      const { connector, kill, ledger, openNow } = Scripted.make()
      const pool = yield* ConnectionPool.make({
        connector,
        minPerEndpoint: 2,
        maxPerEndpoint: 3,
        idleTimeout: "1 second",
        maxLifetime: "Infinity"
      })
      yield* ConnectionPool.use(pool, "a", id)
      yield* settle
      assert.strictEqual(openNow(), 2)
      yield* TestClock.adjust("1 minute")
      yield* settle
      assert.strictEqual(openNow(), 2)
      assert.strictEqual(ledger.opened, 2)
      yield* Effect.forEach([...ledger.live], kill)
      yield* settle
      assert.strictEqual(openNow(), 2)
      assert.strictEqual(ledger.opened, 4)
    })))

  it.effect("an eviction spares what is opened in its place while it goes on", () =>
    test(Effect.gen(function*() {
      const { connector, ledger } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, minPerEndpoint: 2, maxPerEndpoint: 2, maxTotal: 3 })
      yield* ConnectionPool.use(pool, "a", id)
      yield* settle
      yield* ConnectionPool.use(pool, "b", id)
      yield* settle
      assert.strictEqual(ledger.opened, 3)
      yield* ConnectionPool.evict(pool)
      yield* settle
      assert.strictEqual(ledger.opened, 6)
      assert.strictEqual(ledger.live.size, 3)
    })))

  it.effect("an eviction makes no endpoint known: nothing is opened for one that nobody has used", () =>
    test(Effect.gen(function*() {
      const { connector, ledger } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, minPerEndpoint: 1 })
      yield* ConnectionPool.evict(pool, "a")
      yield* ConnectionPool.use(pool, "b", id)
      yield* ConnectionPool.suspend(pool)
      yield* ConnectionPool.resume(pool)
      yield* settle
      assert.deepStrictEqual([...(yield* ConnectionPool.stats(pool)).endpoints.keys()], ["b"])
      assert.strictEqual(ledger.opened, 1)
    })))

  it.effect("the minimum comes back although its connection closes slowly and nothing else happens in the pool", () =>
    test(Effect.gen(function*() {
      const { connector, kill, ledger } = Scripted.make({
        close: ({ key }) => key === "a" ? Effect.sleep("400 millis") : Effect.void
      })
      const pool = yield* ConnectionPool.make({
        connector,
        minPerEndpoint: 1,
        maxPerEndpoint: 2,
        idleTimeout: "10 minutes",
        maxLifetime: "10 minutes",
        retry: RetryPolicy.make({ maxAttempts: 5, initialDelay: 900, maxDelay: 900 })
      })
      // The look at the leases, a second after this, finds "a" closing.
      yield* ConnectionPool.use(pool, "b", id)
      yield* TestClock.adjust("700 millis")
      const gone = yield* fork(ConnectionPool.use(pool, "a", id))
      yield* Fiber.interrupt(gone)
      yield* settle
      for (const connection of ledger.live) if (connection.key === "a") yield* kill(connection)
      yield* settle
      yield* TestClock.adjust("5 seconds")
      assert.deepInclude((yield* ConnectionPool.stats(pool)).endpoints.get("a"), { total: 1, idle: 1 })
      const drain = yield* fork(ConnectionPool.drain(pool, 0))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(drain)
    })))

  it.effect("filling up backs off while the endpoint is down, and never evicts", () =>
    test(Effect.gen(function*() {
      let down = false
      const { connector, kill, ledger } = Scripted.make({
        open: (key) => down && key === "a" ? Effect.fail(new Scripted.ScriptedFailure("ECONNREFUSED")) : Effect.void
      })
      const pool = yield* ConnectionPool.make({
        connector,
        minPerEndpoint: 1,
        maxPerEndpoint: 1,
        maxTotal: 2,
        maxLifetime: "Infinity",
        retry: RetryPolicy.make({ maxAttempts: 1, initialDelay: 1000, maxDelay: 10_000, factor: 2, jitter: 0 })
      })
      yield* ConnectionPool.use(pool, "a", id)
      yield* ConnectionPool.use(pool, "b", id)
      down = true
      yield* Effect.forEach([...ledger.live].filter((_) => _.key === "a"), kill)
      yield* settle
      const attempts = ledger.attempts
      for (let second = 0; second < 60; second++) {
        yield* TestClock.adjust("1 second")
        yield* settle
      }
      // One each 0.84 to 1.05 s, which is the most that there is between two attempts of an endpoint that is down.
      assert.isAtLeast(ledger.attempts - attempts, 50)
      assert.isAtMost(ledger.attempts - attempts, 72)
      assert.strictEqual((yield* ConnectionPool.stats(pool)).evicted, 0)
      down = false
      yield* TestClock.adjust("10 seconds")
      yield* settle
      assert.deepStrictEqual([...ledger.live].map((_) => _.key).sort(), ["a", "b"])
    })))

  for (const concurrency of [1, 2]) {
    it.effect(`keepalive leaves the order of use as it is, and the longest idle one is evicted, concurrency ${concurrency}`, () =>
      test(Effect.gen(function*() {
        let opened = 0
        const closed: Array<number> = []
        const connector = Connector.make({
          open: (key: string) =>
            Effect.acquireRelease(
              Effect.sync(() => ({ key, number: ++opened })),
              ({ number }) => Effect.sync(() => closed.push(number))
            ),
          check: () => Effect.void
        })
        const limits = { maxPerEndpoint: 3, maxTotal: 3, checkAfterIdle: "1 minute" } as const
        const pool = yield* ConnectionPool.make({ connector, concurrency, keepalive: "10 seconds", ...limits })
        const number = Effect.scoped(Effect.map(ConnectionPool.get(pool, "a"), (connection) => connection.number))
        const scopes = yield* Effect.forEach([1, 2, 3], () => Scope.make())
        for (const scope of scopes) {
          for (let lease = 0; lease < concurrency; lease++) {
            yield* Scope.provide(ConnectionPool.get(pool, "a"), scope)
          }
        }
        for (const scope of scopes) {
          yield* Scope.close(scope, Exit.void)
          yield* TestClock.adjust("3 seconds")
        }
        // The first two are checked, and then the third one.
        yield* TestClock.adjust("4 seconds")
        assert.strictEqual(yield* number, 3)
        yield* TestClock.adjust("7 seconds")
        assert.strictEqual(yield* number, 3)
        yield* ConnectionPool.use(pool, "b", () => Effect.void)
        assert.deepStrictEqual(closed, [1])
      })))
  }

  it.effect("keepalive checks what is idle, and replaces nothing that is well", () =>
    test(Effect.gen(function*() {
      const checked: Array<number> = []
      let sick = 0
      const { connector, ledger } = Scripted.make({
        check: (connection) => {
          checked.push(connection.id)
          return connection.id === sick ? Effect.fail(new Scripted.ScriptedFailure("EPIPE")) : Effect.void
        }
      })
      const pool = yield* ConnectionPool.make({ connector, keepalive: "10 seconds", idleTimeout: "1 minute" })
      yield* ConnectionPool.use(pool, "a", id)
      yield* TestClock.adjust("25 seconds")
      yield* settle
      assert.deepStrictEqual(checked, [1, 1])
      sick = 1
      yield* TestClock.adjust("10 seconds")
      yield* settle
      assert.strictEqual(ledger.live.size, 0)
    })))

  it.effect("neither a keep-alive check nor a reset outlives the pool", () =>
    test(Effect.gen(function*() {
      for (const what of ["check", "afterReturn"]) {
        let [begun, ended] = [0, 0]
        const hangs = Effect.acquireUseRelease(
          Effect.sync(() => begun++),
          () => Effect.never,
          () => Effect.sync(() => ended++)
        )
        const { connector } = Scripted.make({ check: () => what === "check" ? hangs : Effect.void })
        const pool = yield* ConnectionPool.make({
          connector,
          keepalive: "10 seconds",
          connectTimeout: "1 minute",
          hooks: what === "check" ? {} : { afterReturn: () => hangs }
        })
        yield* ConnectionPool.use(pool, "a", id)
        yield* TestClock.adjust("10 seconds")
        yield* settle
        assert.deepStrictEqual([begun, ended], [1, 0], what)
        yield* ConnectionPool.drain(pool, 0)
        assert.deepStrictEqual([begun, ended], [1, 1], what)
      }
    })))

  it.effect("after a freeze, a wall-clock jump or a step back, nothing over-age is lent", () =>
    test(Effect.gen(function*() {
      const live = yield* Clock.Clock
      let [wall, monotonic] = [1_000_000, 0]
      // A clock of two hands that a test moves one by one. Its sleeps never end: the process is frozen.
      const clock: Clock.Clock = Object.assign(Object.create(live), {
        currentTimeMillisUnsafe: () => wall,
        monotonicTimeNanosUnsafe: () => BigInt(monotonic) * 1_000_000n,
        sleep: () => Effect.never
      })
      yield* Effect.gen(function*() {
        const { connector } = Scripted.make()
        const pool = yield* ConnectionPool.make({ connector, idleTimeout: "1 minute", maxLifetime: "Infinity" })
        assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 1)
        wall += 59_000
        assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 1)
        // The monotonic clock stood still while the wall clock went on.
        wall += 61_000
        assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 2)
        // A step back makes nothing young: what the monotonic clock says counts, as soon as anybody waits.
        wall -= 3_600_000
        monotonic += 30_000
        wall += 30_000
        assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 2)
        wall += 61_000
        monotonic += 61_000
        assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 3)
      }).pipe(Effect.scoped, Effect.provideService(Clock.Clock, clock))
    })))
})

describe("held too long", () => {
  it.effect("leakThreshold reports a lease once, with where and how long, and again when it comes back", () => {
    const { layer, lines } = collectLogs()
    return test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, leakThreshold: "10 seconds" })
      const latch = yield* Deferred.make<void>()
      const holding = ConnectionPool.use(pool, "a", () => Deferred.await(latch))
      const holder = yield* fork(Effect.withSpan(holding, "nightly report"))
      yield* settle
      yield* TestClock.adjust("1 minute")
      yield* settle
      assert.lengthOf(lines, 1)
      assert.match(
        lines[0] ?? "",
        /a connection to a has been held for 10s by nightly report .*Operating\.test\.ts:\d+/
      )
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(holder)
      yield* TestClock.adjust("1 second")
      yield* settle
      assert.lengthOf(lines, 2)
      assert.include(lines[1], "was returned after 1m")
      assert.strictEqual((yield* ConnectionPool.stats(pool)).leaksReported, 1)
    })).pipe(Effect.provide(layer))
  })

  it.effect("maxLease ends the borrower's effect with LeaseExpired, and its slot comes back", () =>
    test(Effect.gen(function*() {
      const { connector, openNow } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxLease: "10 seconds", maxTotal: 1 })
      let interrupted = false
      const holder = yield* fork(Effect.flip(ConnectionPool.use(
        pool,
        "a",
        () => Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted = true))
      )))
      yield* settle
      const waiter = yield* fork(ConnectionPool.use(pool, "a", id))
      yield* TestClock.adjust("10 seconds")
      const reason = reasonOf(yield* Fiber.join(holder))
      assert.strictEqual(reason._tag, "LeaseExpired")
      assert.include(reason.message, "held for longer than maxLease, which is 10s")
      assert.isTrue(interrupted)
      assert.strictEqual(yield* Fiber.join(waiter), 2)
      assert.strictEqual(openNow(), 1)
    })))

  it.effect("a lease that ends in time is left alone", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxLease: "10 seconds", leakThreshold: "5 seconds" })
      for (let turn = 0; turn < 5; turn++) {
        const holder = yield* fork(ConnectionPool.use(pool, "a", (_) => Effect.delay(id(_), "4 seconds")))
        yield* settle
        yield* TestClock.adjust("4 seconds")
        assert.strictEqual(yield* Fiber.join(holder), 1)
      }
      assert.deepInclude(yield* ConnectionPool.stats(pool), { leaksReported: 0, leasesExpired: 0 })
    })))
})

describe("nested borrows", () => {
  it.effect("one that can never be served fails at once with NestedAcquire", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 2, maxTotal: 2 })
      const nested = (depth: number): Effect.Effect<number, ConnectionPool.PoolError> =>
        ConnectionPool.use(pool, "a", (connection) => depth === 0 ? id(connection) : nested(depth - 1))
      assert.strictEqual(yield* nested(1), 2)
      const error = yield* Effect.flip(nested(2))
      assert.strictEqual(error.reason._tag, "NestedAcquire")
      assert.include(error.message, "it holds 2 of at most 2 connections of the endpoint")
      // Also for another endpoint, when the holder has every slot of the pool.
      const across = yield* Effect.flip(
        ConnectionPool.use(pool, "a", () => ConnectionPool.use(pool, "a", () => ConnectionPool.use(pool, "b", id)))
      )
      assert.strictEqual(across.reason._tag, "NestedAcquire")
      assert.deepInclude(yield* ConnectionPool.stats(pool), { active: 0, waiting: 0 })
    })))

  it.effect("one is told also where maxLease has its borrower run on a fiber of the pool's", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 2, maxTotal: 2, maxLease: "1 minute" })
      const nested = (depth: number): Effect.Effect<number, ConnectionPool.PoolError> =>
        ConnectionPool.use(pool, "a", (connection) => depth === 0 ? id(connection) : nested(depth - 1))
      assert.strictEqual(yield* nested(1), 2)
      const told = yield* fork(Effect.flip(nested(2)))
      yield* settle
      assert.isDefined(told.pollUnsafe())
      assert.strictEqual((yield* Fiber.join(told)).reason._tag, "NestedAcquire")
      // A fiber of the borrower's own is another one, as ever.
      const forked = yield* fork(
        ConnectionPool.use(
          pool,
          "a",
          () => ConnectionPool.use(pool, "a", () => Effect.forkDetach(ConnectionPool.use(pool, "a", id)))
        )
      )
      yield* settle
      assert.isTrue(Exit.isSuccess(yield* Fiber.await(yield* Fiber.join(forked))))
    })))

  it.effect("a forked borrow is not taken for a nested one: its parent may give its connection back", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1 })
      const forked = yield* ConnectionPool.use(pool, "a", () => fork(ConnectionPool.use(pool, "a", id)))
      assert.strictEqual(yield* Fiber.join(forked), 1)
    })))

  it.effect("one that merely may wait for itself is warned of, once", () => {
    const { layer, lines } = collectLogs()
    return test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 2 })
      const latch = yield* Deferred.make<void>()
      const other = yield* fork(hold(pool, "a", latch))
      yield* settle
      for (let turn = 0; turn < 3; turn++) {
        const nested = yield* fork(ConnectionPool.use(pool, "a", () => ConnectionPool.use(pool, "a", id)))
        yield* settle
        yield* Fiber.interrupt(nested)
      }
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(other)
      assert.lengthOf(lines.filter((line) => line.includes("waits for another")), 1)
    })).pipe(Effect.provide(layer))
  })
})

describe("hooks", () => {
  it.effect("afterOpen is a step of opening: its failure is a failure to open", () =>
    test(Effect.gen(function*() {
      const { connector, ledger, openNow } = Scripted.make()
      const pool = yield* ConnectionPool.make({
        connector,
        retry: RetryPolicy.make({ maxAttempts: 1 }),
        hooks: { afterOpen: (connection) => connection.id === 1 ? Effect.die("no") : Effect.void }
      })
      assert.strictEqual(reasonOf(yield* Effect.flip(ConnectionPool.use(pool, "a", id)))._tag, "ConnectFailed")
      yield* settle
      assert.strictEqual(openNow(), 0)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 2)
      assert.strictEqual(ledger.opened, 2)
    })))

  it.effect("beforeLend runs each time, and a connection that it refuses is replaced unseen", () =>
    test(Effect.gen(function*() {
      const seen: Array<number> = []
      const { connector, ledger } = Scripted.make()
      const pool = yield* ConnectionPool.make({
        connector,
        hooks: {
          beforeLend: (connection) => {
            seen.push(connection.id)
            return seen.length === 3 ? Effect.fail(new Scripted.ScriptedFailure("EPIPE")) : Effect.void
          }
        }
      })
      assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 1)
      assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 1)
      assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 2)
      assert.deepStrictEqual(seen, [1, 1, 1, 2])
      assert.strictEqual(ledger.live.size, 1)
    })))

  it.effect("beforeLend that fails on every new connection is a failure to open, with its backoff, and no storm of dials", () =>
    test(Effect.gen(function*() {
      const { connector, ledger } = Scripted.make()
      const pool = yield* ConnectionPool.make({
        connector,
        maxPerEndpoint: 1,
        retry: RetryPolicy.make({ maxAttempts: 3, initialDelay: 100, factor: 2, jitter: 0 }),
        hooks: { beforeLend: () => Effect.fail(new Scripted.ScriptedFailure("EPIPE")) }
      })
      const borrowers = yield* Effect.forEach([1, 2, 3], () => fork(Effect.flip(ConnectionPool.use(pool, "a", id))))
      const openedAt: Array<number> = []
      for (let turn = 0; turn < 50; turn++) {
        yield* settle
        openedAt.push(ledger.opened)
        yield* TestClock.adjust("10 millis")
      }
      // At once, after 100 ms, and after 200 ms more.
      assert.deepStrictEqual([openedAt[0], openedAt[9], openedAt[11], openedAt[29], openedAt[31]], [1, 1, 2, 2, 3])
      for (const borrower of borrowers) {
        assert.isDefined(borrower.pollUnsafe())
        const reason = reasonOf(yield* Fiber.join(borrower))
        assert.strictEqual(reason._tag, "ConnectFailed")
        assert.include(reason.message, "no connection to a: the connection to a was opened, but beforeLend failed")
      }
      assert.strictEqual(ledger.opened, 3)
      assert.deepInclude(yield* ConnectionPool.stats(pool), { total: 0, waiting: 0 })
    })))

  it.effect("a new connection that beforeLend has made ready ends the backoff of its endpoint", () =>
    test(Effect.gen(function*() {
      let failures = 3
      const { connector, ledger } = Scripted.make({ open: () => Effect.sleep("10 millis") })
      const pool = yield* ConnectionPool.make({
        connector,
        maxPerEndpoint: 3,
        retry: RetryPolicy.make({ maxAttempts: 3, initialDelay: 100, factor: 2, jitter: 0 }),
        hooks: {
          beforeLend: () => failures-- > 0 ? Effect.fail(new Scripted.ScriptedFailure("EPIPE")) : Effect.void
        }
      })
      const latch = yield* Deferred.make<void>()
      const borrowers = yield* Effect.forEach([1, 2, 3], () => fork(hold(pool, "a", latch)))
      const dialling: Array<number> = []
      for (let turn = 0; turn < 40; turn++) {
        yield* settle
        dialling.push((yield* ConnectionPool.stats(pool)).connecting)
        yield* TestClock.adjust("5 millis")
      }
      // Two at once and a third come to nothing, which counts as one attempt; a tenth of a second later one, and two again.
      assert.deepStrictEqual(dialling.filter((count, turn) => count !== dialling[turn - 1]), [2, 1, 0, 1, 2, 0])
      assert.deepStrictEqual([dialling.indexOf(0), dialling.lastIndexOf(0, 25)], [4, 21])
      assert.deepInclude(yield* ConnectionPool.stats(pool), { active: 3, waiting: 0 })
      assert.strictEqual(ledger.opened, 6)
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.joinAll(borrowers)
    })))

  it.effect("a connection that became idle before anybody had it is no new one", () =>
    test(Effect.gen(function*() {
      const { connector, ledger } = Scripted.make({
        open: () => Effect.sleep("100 millis"),
        check: (connection) => connection.id === 1 ? Effect.fail(new Scripted.ScriptedFailure("EPIPE")) : Effect.void
      })
      const pool = yield* ConnectionPool.make({
        connector,
        retry: RetryPolicy.make({ maxAttempts: 1 }),
        hooks: { beforeLend: () => Effect.void }
      })
      const borrower = yield* fork(ConnectionPool.use(pool, "a", id))
      yield* settle
      yield* ConnectionPool.suspend(pool)
      yield* TestClock.adjust("1 second")
      yield* settle
      assert.deepInclude(yield* ConnectionPool.stats(pool), { idle: 1, waiting: 1 })
      yield* ConnectionPool.resume(pool)
      yield* settle
      yield* TestClock.adjust("100 millis")
      yield* settle
      // Its check fails, which says nothing about the next dial.
      assert.isDefined(borrower.pollUnsafe())
      assert.strictEqual(yield* Fiber.join(borrower), 2)
      assert.strictEqual(ledger.opened, 2)
    })))

  it.effect("a connection that is gone when its check or its beforeLend has passed is not lent", () =>
    test(Effect.gen(function*() {
      for (const step of ["check", "beforeLend"]) {
        for (const limit of ["Infinity", "50 millis"] as const) {
          let isSlow = false
          const slowly = Effect.suspend(() => isSlow ? Effect.sleep("100 millis") : Effect.void)
          const { connector, kill, ledger } = Scripted.make({ check: () => step === "check" ? slowly : Effect.void })
          const pool = yield* ConnectionPool.make({
            connector,
            hooks: step === "check" ? {} : { beforeLend: () => slowly },
            retry: RetryPolicy.make({ maxAttempts: 1 }),
            // What it takes to check it is none of the lease's time.
            maxLease: limit
          })
          yield* ConnectionPool.use(pool, "a", id)
          yield* TestClock.adjust("1 second")
          isSlow = true
          const borrower = yield* fork(ConnectionPool.use(pool, "a", id))
          yield* settle
          yield* Effect.forEach(ledger.live, kill)
          isSlow = false
          yield* TestClock.adjust("100 millis")
          yield* settle
          assert.isDefined(borrower.pollUnsafe())
          assert.strictEqual(yield* Fiber.join(borrower), 2, `its ${step} passes, with leases of ${limit}`)
          assert.deepStrictEqual([...ledger.live].map((_) => _.id), [2])
        }
      }
    })))

  it.effect("a new connection that is closed by a drain while it is made ready is no failure of its endpoint", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const hooks = { beforeLend: () => Effect.sleep("100 millis") }
      const pool = yield* ConnectionPool.make({ connector, hooks, retry: RetryPolicy.make({ maxAttempts: 1 }) })
      const borrower = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", id)))
      yield* settle
      const drain = yield* fork(ConnectionPool.drain(pool, "50 millis"))
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(reasonOf(yield* Fiber.join(borrower))._tag, "PoolClosed")
      yield* Fiber.join(drain)
    })))

  it.effect("a connection that is only to be closed when it comes back is lent when its check has passed", () =>
    test(Effect.gen(function*() {
      const { connector, ledger } = Scripted.make({ check: () => Effect.sleep("100 millis") })
      const pool = yield* ConnectionPool.make({ connector })
      yield* ConnectionPool.use(pool, "a", id)
      yield* TestClock.adjust("1 second")
      const borrower = yield* fork(ConnectionPool.use(pool, "a", id))
      yield* settle
      yield* ConnectionPool.evict(pool)
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(yield* Fiber.join(borrower), 1)
      yield* settle
      assert.strictEqual(ledger.live.size, 0)
    })))

  it.effect("a connection that is closed under a check fails its borrower with PoolClosed", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make({ check: () => Effect.sleep("100 millis") })
      const pool = yield* ConnectionPool.make({ connector })
      yield* ConnectionPool.use(pool, "a", id)
      yield* TestClock.adjust("1 second")
      const borrower = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", id)))
      yield* settle
      const drain = yield* fork(ConnectionPool.drain(pool, "50 millis"))
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(reasonOf(yield* Fiber.join(borrower))._tag, "PoolClosed")
      yield* Fiber.join(drain)
    })))

  it.effect("beforeLend that is cut off by a borrower's deadline is no failure of the endpoint", () =>
    test(Effect.gen(function*() {
      let hangs = true
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({
        connector,
        acquireTimeout: "1 second",
        retry: RetryPolicy.make({ maxAttempts: 1 }),
        hooks: { beforeLend: () => hangs ? Effect.never : Effect.void }
      })
      const first = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", id)))
      yield* settle
      hangs = false
      yield* TestClock.adjust("1 second")
      assert.strictEqual(reasonOf(yield* Fiber.join(first))._tag, "AcquireTimeout")
      assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 2)
    })))

  it.effect("afterReturn resets a connection before anybody else gets it; one that dies in it is closed", () =>
    test(Effect.gen(function*() {
      const reset: Array<number> = []
      const { connector, ledger } = Scripted.make()
      const pool = yield* ConnectionPool.make({
        connector,
        maxPerEndpoint: 1,
        hooks: {
          afterReturn: (connection) =>
            Effect.andThen(
              Effect.yieldNow,
              Effect.suspend(() => reset.push(connection.id) === 2 ? Effect.die("no") : Effect.void)
            )
        }
      })
      assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 1)
      assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 1)
      assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 2)
      yield* settle
      assert.deepStrictEqual(reset, [1, 1, 2])
      assert.deepStrictEqual([...ledger.live].map((_) => _.id), [2])
      assert.deepInclude(yield* ConnectionPool.stats(pool), { active: 0, idle: 1 })
    })))

  it.effect("afterReturn that hangs costs its connection, not a slot", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({
        connector,
        maxTotal: 1,
        connectTimeout: "1 second",
        hooks: { afterReturn: (connection) => connection.id === 1 ? Effect.never : Effect.void }
      })
      assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 1)
      const next = yield* fork(ConnectionPool.use(pool, "a", id))
      yield* settle
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(next), 2)
    })))
})

describe("operating", () => {
  it.effect("suspend has borrowers wait until resume, within their deadlines", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, acquireTimeout: "5 seconds" })
      yield* ConnectionPool.use(pool, "a", id)
      yield* ConnectionPool.suspend(pool)
      const patient = yield* fork(ConnectionPool.use(pool, "a", id))
      yield* TestClock.adjust("4 seconds")
      assert.isUndefined(patient.pollUnsafe())
      assert.isTrue((yield* ConnectionPool.stats(pool)).isSuspended)
      yield* ConnectionPool.resume(pool)
      assert.strictEqual(yield* Fiber.join(patient), 1)
      yield* ConnectionPool.suspend(pool)
      const late = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", id)))
      yield* TestClock.adjust("5 seconds")
      const reason = reasonOf(yield* Fiber.join(late))
      assert.strictEqual(reason._tag === "AcquireTimeout" && reason.stalledBy, "Suspended")
    })))

  it.effect("suspend can refuse instead, those that wait already included", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1 })
      const latch = yield* Deferred.make<void>()
      const holder = yield* fork(hold(pool, "a", latch))
      yield* settle
      const waiter = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", id)))
      yield* ConnectionPool.suspend(pool, { mode: "fail" })
      assert.strictEqual(reasonOf(yield* Fiber.join(waiter))._tag, "PoolSuspended")
      assert.strictEqual(reasonOf(yield* Effect.flip(ConnectionPool.use(pool, "a", id)))._tag, "PoolSuspended")
      yield* Deferred.succeed(latch, undefined)
      assert.strictEqual(yield* Fiber.join(holder), 1)
      yield* ConnectionPool.resume(pool)
      assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 1)
    })))

  it.effect("resize: a raised cap serves those that wait, a lowered one closes what is over it", () =>
    test(Effect.gen(function*() {
      const { connector, openNow } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1, maxTotal: 4 })
      const latch = yield* Deferred.make<void>()
      const holders = yield* Effect.forEach([1, 2, 3, 4], () => fork(hold(pool, "a", latch)))
      yield* settle
      assert.strictEqual(openNow(), 1)
      yield* ConnectionPool.resize(pool, { maxPerEndpoint: 4 })
      yield* settle
      yield* settle
      assert.strictEqual(openNow(), 4)
      yield* ConnectionPool.resize(pool, { maxPerEndpoint: 2, maxTotal: 2 })
      assert.strictEqual(openNow(), 4)
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.joinAll(holders)
      yield* settle
      assert.strictEqual(openNow(), 2)
      const refused = yield* invalidOption(ConnectionPool.resize(pool, { maxPerEndpoint: 3 }))
      assert.include(refused.message, "maxPerEndpoint is 3, but it must be")
      const nonsense = yield* invalidOption(ConnectionPool.resize(pool, { maxTotal: Number.NaN }))
      assert.strictEqual(nonsense.option, "maxTotal")
    })))

  it.effect("a cap lowered below the minimum is kept, without opening and closing for ever", () =>
    test(Effect.gen(function*() {
      const { connector, ledger, openNow } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, minPerEndpoint: 2 })
      yield* ConnectionPool.use(pool, "a", id)
      yield* settle
      yield* ConnectionPool.resize(pool, { maxPerEndpoint: 1 })
      for (let turn = 0; turn < 20; turn++) {
        yield* TestClock.adjust("100 millis")
        yield* settle
      }
      assert.strictEqual(openNow(), 1)
      assert.isAtMost(ledger.opened, 3)
    })))

  it.effect("after resume an endpoint behind one that has to wait gets the connection that it has", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxTotal: 1, concurrency: 2 })
      const latch = yield* Deferred.make<void>()
      const holder = yield* fork(hold(pool, "b", latch))
      yield* settle
      yield* ConnectionPool.suspend(pool)
      const first = yield* fork(ConnectionPool.use(pool, "a", id))
      const second = yield* fork(ConnectionPool.use(pool, "b", id))
      yield* ConnectionPool.resume(pool)
      yield* settle
      assert.isDefined(second.pollUnsafe())
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.joinAll([holder, first, second])
    })))

  it.effect("a budget that pools share is taken before the dial and given back after the close", () =>
    test(Effect.gen(function*() {
      const scripted = Scripted.make()
      const budget = ConnectionBudget.makeInMemory(1)
      const make = ConnectionPool.make({ connector: scripted.connector, idleTimeout: "10 seconds" }).pipe(
        Effect.provideService(ConnectionBudget.ConnectionBudget, budget)
      )
      const [first, second] = [yield* make, yield* make]
      assert.strictEqual(yield* ConnectionPool.use(first, "a", id), 1)
      const other = yield* fork(ConnectionPool.use(second, "a", id))
      yield* settle
      assert.isUndefined(other.pollUnsafe())
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* Fiber.join(other), 2)
      assert.strictEqual(scripted.ledger.peakTotal, 1)
    })))

  it.effect("options of this room are refused with the option, the value and the rule", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const bad: Array<[Omit<ConnectionPool.Options<string, Scripted.Scripted, never, never>, "connector">, string]> = [
        [{ minPerEndpoint: -1 }, "option minPerEndpoint is -1"],
        [{ minPerEndpoint: 3 }, "option minPerEndpoint is 3, but it must be at most maxPerEndpoint, which is 2"],
        [{ concurrency: 0 }, "option concurrency is 0"],
        [{ keepalive: 0 }, "option keepalive is 0"],
        [{ maxLease: -1 }, "option maxLease is -1"],
        [{ leakThreshold: Number.NaN }, "option leakThreshold is NaN"]
      ]
      for (const [options, message] of bad) {
        const error = yield* invalidOption(ConnectionPool.make({ connector, ...options }))
        assert.include(error.message, message)
      }
      const { check: _, ...unchecked } = connector
      const error = yield* invalidOption(ConnectionPool.make({ connector: unchecked, keepalive: "1 minute" }))
      assert.include(error.message, "because the connector has no check")
    })))

  it.effect("a drained pool closes within the time of its slowest connection", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make({ close: () => Effect.sleep("1 second") })
      const scope = yield* Scope.make()
      const pool = yield* Scope.provide(ConnectionPool.make({ connector, maxPerEndpoint: 5, maxTotal: 5 }), scope)
      const latch = yield* Deferred.make<void>()
      const holders = yield* Effect.forEach([1, 2, 3, 4, 5], () => fork(hold(pool, "a", latch)))
      yield* settle
      yield* settle
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.joinAll(holders)
      const closing = yield* fork(Scope.close(scope, Exit.void))
      yield* TestClock.adjust(Duration.seconds(1))
      yield* Fiber.join(closing)
    })))
})
