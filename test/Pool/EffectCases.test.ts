/**
 * What a user of Effect's `Pool` expects of a pool, asked of one endpoint of a `ConnectionPool`. The cases are those of Effect's own
 * test suite. Where a `ConnectionPool` differs by design, the name of the test says what it does.
 */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Schedule, Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { TestClock } from "effect/testing"
import { fork, hold, id, settle, test } from "../support/Pools.ts"
import * as Scripted from "../support/ScriptedConnector.ts"

const key = "db"

/** A failed attempt ends the borrow, as a failed acquisition does in Effect's Pool. */
const once = RetryPolicy.make({ maxAttempts: 1 })

type Tuning = Omit<ConnectionPool.Options<string, Scripted.Scripted, never, never>, "connector">

/** A pool for one endpoint, so that the cap of the endpoint is the only one. */
const makePool = (script: Partial<Scripted.Script>, size: number, tuning: Tuning = {}) => {
  const scripted = Scripted.make(script)
  const { connector } = scripted
  const pool = ConnectionPool.make({ connector, maxPerEndpoint: size, maxTotal: size, lifetimeJitter: 0, ...tuning })
  return Effect.map(pool, (pool) => ({ ...scripted, pool }))
}

type Pool = ConnectionPool.ConnectionPool<string, Scripted.Scripted>

const borrow = (pool: Pool) => ConnectionPool.use(pool, key, id)

/** So many borrowers that hold their connections until the latch opens. */
const crowd = (pool: Pool, size: number, latch: Deferred.Deferred<void>) =>
  Effect.tap(Effect.forEach(Array.from({ length: size }), () => fork(hold(pool, key, latch))), settle)

const reasonOf = <A>(exit: Exit.Exit<A, unknown>): string => {
  const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
  return error instanceof ConnectionPool.PoolError ? error.reason._tag : String(error)
}

describe("reuse", () => {
  it.effect("nothing is open before the first borrow, which also opens the minimum", () =>
    test(Effect.gen(function*() {
      const { openNow, pool } = yield* makePool({}, 10, { minPerEndpoint: 10 })
      yield* settle
      assert.strictEqual(openNow(), 0)
      yield* borrow(pool)
      yield* settle
      assert.strictEqual(openNow(), 10)
    })))

  it.effect("the first borrower gets the first connection", () =>
    test(Effect.gen(function*() {
      const { pool } = yield* makePool({}, 10)
      assert.strictEqual((yield* ConnectionPool.get(pool, key)).id, 1)
    })))

  it.effect("borrowers one after another share one connection, with use as with get", () =>
    test(Effect.gen(function*() {
      const { ledger, pool } = yield* makePool({}, 10)
      const got = Effect.scoped(Effect.map(ConnectionPool.get(pool, key), (connection) => connection.id))
      for (let turn = 0; turn < 50; turn++) assert.deepStrictEqual([yield* got, yield* borrow(pool)], [1, 1])
      assert.deepInclude(ledger, { attempts: 1, opened: 1, closed: 0 })
    })))

  it.effect("the connection that was used last is used next", () =>
    test(Effect.gen(function*() {
      const { pool } = yield* makePool({}, 3)
      const latches = yield* Effect.forEach([1, 2, 3], () => Deferred.make<void>())
      const holders: Array<Fiber.Fiber<number, ConnectionPool.PoolError>> = []
      for (const latch of latches) holders.push(...yield* crowd(pool, 1, latch))
      for (const turn of [1, 2, 0]) {
        yield* Effect.forEach(latches.slice(turn, turn + 1), (latch) => Deferred.succeed(latch, undefined))
        yield* settle
        assert.strictEqual(yield* borrow(pool), turn + 1)
      }
      yield* Fiber.joinAll(holders)
    })))

  it.effect("get keeps the connection until its scope ends, use until its effect ends", () =>
    test(Effect.gen(function*() {
      const { pool } = yield* makePool({}, 1)
      const scope = yield* Scope.make()
      yield* Scope.provide(ConnectionPool.get(pool, key), scope)
      assert.strictEqual((yield* ConnectionPool.stats(pool)).active, 1)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* ConnectionPool.stats(pool)).active, 0)
      yield* Effect.scoped(Effect.gen(function*() {
        yield* borrow(pool)
        assert.strictEqual((yield* ConnectionPool.stats(pool)).active, 0, "although the scope around it goes on")
      }))
    })))

  it.effect("a borrower that fails returns its connection, and its failure is its own", () =>
    test(Effect.gen(function*() {
      const { ledger, pool } = yield* makePool({}, 1)
      assert.strictEqual(yield* Effect.flip(ConnectionPool.use(pool, key, () => Effect.fail("mine"))), "mine")
      assert.strictEqual(yield* borrow(pool), 1)
      assert.strictEqual(ledger.closed, 0)
    })))

  it.effect("a borrower that is interrupted frees its slot; its connection is closed, since its state is not known", () =>
    test(Effect.gen(function*() {
      const { ledger, pool } = yield* makePool({}, 1)
      const borrower = yield* fork(ConnectionPool.use(pool, key, () => Effect.never))
      yield* settle
      yield* Fiber.interrupt(borrower)
      assert.strictEqual(yield* borrow(pool), 2)
      assert.deepInclude(ledger, { closed: 1, peakTotal: 1 })
    })))

  it.effect("with isReusable the connection of an interrupted borrower is used again", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({
        connector: { ...connector, isReusable: () => true },
        maxPerEndpoint: 1
      })
      const borrower = yield* fork(ConnectionPool.use(pool, key, () => Effect.never))
      yield* settle
      yield* Fiber.interrupt(borrower)
      assert.strictEqual(yield* borrow(pool), 1)
    })))
})

describe("size", () => {
  it.effect("a borrower waits while all connections are in use, and gets the first that is returned", () =>
    test(Effect.gen(function*() {
      const { pool } = yield* makePool({}, 10)
      const latch = yield* Deferred.make<void>()
      const nine = yield* crowd(pool, 9, latch)
      const scope = yield* Scope.make()
      const tenth = yield* Scope.provide(ConnectionPool.get(pool, key), scope)
      const borrower = yield* fork(borrow(pool))
      yield* settle
      assert.isUndefined(borrower.pollUnsafe())
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(yield* Fiber.join(borrower), tenth.id)
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.joinAll(nine)
    })))

  it.effect("a crowd opens as many connections as the cap allows and no more, and they shrink to the minimum when idle", () =>
    test(Effect.gen(function*() {
      const { ledger, openNow, pool } = yield* makePool({}, 15, { minPerEndpoint: 10, idleTimeout: "60 seconds" })
      const latch = yield* Deferred.make<void>()
      const holders = yield* crowd(pool, 40, latch)
      assert.strictEqual(openNow(), 15)
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.joinAll(holders)
      assert.strictEqual(openNow(), 15)
      yield* TestClock.adjust("60 seconds")
      yield* settle
      assert.strictEqual(openNow(), 10)
      assert.strictEqual(ledger.peakTotal, 15)
    })))

  it.effect("with concurrency 3 the cap counts connections, and each has three borrowers", () =>
    test(Effect.gen(function*() {
      const { ledger, openNow, pool } = yield* makePool({}, 15, { concurrency: 3, idleTimeout: "60 seconds" })
      const latch = yield* Deferred.make<void>()
      const holders = yield* crowd(pool, 46, latch)
      assert.deepInclude(yield* ConnectionPool.stats(pool), { active: 15, waiting: 1 })
      yield* Deferred.succeed(latch, undefined)
      const perConnection = new Map<number, number>()
      for (const connection of yield* Fiber.joinAll(holders.slice(0, 45))) {
        perConnection.set(connection, (perConnection.get(connection) ?? 0) + 1)
      }
      assert.deepStrictEqual([...perConnection.values()], Array.from({ length: 15 }, () => 3))
      yield* Fiber.joinAll(holders.slice(45))
      yield* TestClock.adjust("60 seconds")
      yield* settle
      assert.strictEqual(openNow(), 0)
      assert.strictEqual(ledger.peakTotal, 15)
    })))

  it.effect("10 000 borrows by 50 fibers leave no use counted", () =>
    test(Effect.gen(function*() {
      const { ledger, pool } = yield* makePool({ open: () => Effect.yieldNow }, 4, { concurrency: 2 })
      const work = ConnectionPool.use(pool, key, () => Effect.yieldNow)
      yield* Effect.forEach(Array.from({ length: 50 }), () => Effect.repeat(work, { times: 199 }), {
        concurrency: "unbounded",
        discard: true
      })
      assert.deepInclude(yield* ConnectionPool.stats(pool), { active: 0, waiting: 0, borrowed: 10_000 })
      assert.isAtMost(ledger.peakTotal, 4)
    })))
})

describe("time to live", () => {
  it.effect("idle connections are closed down to zero, at once when their time is over, and open again on demand", () =>
    test(Effect.gen(function*() {
      const { openNow, pool } = yield* makePool({}, 10, { idleTimeout: "60 seconds", maxLifetime: "Infinity" })
      const latch = yield* Deferred.make<void>()
      const holders = yield* crowd(pool, 10, latch)
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.joinAll(holders)
      yield* TestClock.adjust("59999 millis")
      yield* settle
      assert.strictEqual(openNow(), 10)
      yield* TestClock.adjust(1)
      yield* settle
      assert.strictEqual(openNow(), 0)
      assert.strictEqual(yield* borrow(pool), 11)
    })))

  it.effect("by usage: what is used stays, what is idle beside it goes", () =>
    test(Effect.gen(function*() {
      const { ledger, pool } = yield* makePool({}, 2, { idleTimeout: "60 seconds", maxLifetime: "Infinity" })
      const latch = yield* Deferred.make<void>()
      const holders = yield* crowd(pool, 2, latch)
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.joinAll(holders)
      for (let second = 0; second < 120; second += 10) {
        yield* borrow(pool)
        yield* TestClock.adjust("10 seconds")
        yield* settle
      }
      assert.strictEqual(ledger.live.size, 1)
      assert.strictEqual(ledger.closed, 1)
    })))

  it.effect("by usage: a connection that one of two borrowers holds is not idle", () =>
    test(Effect.gen(function*() {
      const { ledger, pool } = yield* makePool({}, 2, { concurrency: 2, idleTimeout: "60 seconds" })
      yield* Effect.scoped(Effect.gen(function*() {
        yield* ConnectionPool.get(pool, key)
        assert.strictEqual(yield* borrow(pool), 1)
        yield* TestClock.adjust("120 seconds")
        yield* settle
        assert.strictEqual(yield* borrow(pool), 1, "there is room on it still")
        const latch = yield* Deferred.make<void>()
        const holders = yield* crowd(pool, 3, latch)
        yield* Deferred.succeed(latch, undefined)
        assert.deepStrictEqual(yield* Fiber.joinAll(holders), [1, 2, 2])
      }))
      assert.deepInclude(ledger, { opened: 2, closed: 0 })
    })))

  it.effect("by creation: a connection in use outlives its time, and is closed when it is returned", () =>
    test(Effect.gen(function*() {
      const { ledger, pool } = yield* makePool({}, 15, { maxLifetime: "60 seconds", idleTimeout: "Infinity" })
      const latch = yield* Deferred.make<void>()
      const holders = yield* crowd(pool, 15, latch)
      yield* TestClock.adjust("61 seconds")
      yield* settle
      assert.deepInclude(ledger, { opened: 15, closed: 0 })
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.joinAll(holders)
      yield* settle
      assert.deepInclude(ledger, { opened: 15, closed: 15 })
    })))

  it.effect("by creation: an idle connection is closed although it was used a moment ago", () =>
    test(Effect.gen(function*() {
      const { openNow, pool } = yield* makePool({}, 2, { maxLifetime: "60 seconds", idleTimeout: "Infinity" })
      yield* borrow(pool)
      yield* TestClock.adjust("59 seconds")
      assert.strictEqual(yield* borrow(pool), 1)
      yield* TestClock.adjust("1 second")
      yield* settle
      assert.strictEqual(openNow(), 0)
      assert.strictEqual(yield* borrow(pool), 2)
    })))
})

describe("shutdown", () => {
  it.effect("closes all connections when the scope of the pool ends", () =>
    test(Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { ledger, openNow, pool } = yield* Scope.provide(makePool({}, 10, { minPerEndpoint: 10 }), scope)
      yield* borrow(pool)
      yield* settle
      assert.strictEqual(openNow(), 10)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(openNow(), 0)
      assert.deepInclude(ledger, { opened: 10, closed: 10 })
    })))

  it.effect("closes all connections although each finalizer dies", () =>
    test(Effect.gen(function*() {
      let closes = 0
      const close = () => Effect.andThen(Effect.sync(() => closes++), Effect.die(new Error("cannot close")))
      const scope = yield* Scope.make()
      const { openNow, pool } = yield* Scope.provide(makePool({ close }, 10, { minPerEndpoint: 10 }), scope)
      yield* borrow(pool)
      yield* settle
      assert.isTrue(Exit.isSuccess(yield* Effect.exit(Scope.close(scope, Exit.void))))
      assert.strictEqual(closes, 10)
      assert.strictEqual(openNow(), 0)
    })))

  it.effect("waits for borrowers that have a connection, and fails the others with PoolClosed, not with an interruption", () =>
    test(Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { openNow, pool } = yield* Scope.provide(makePool({}, 10), scope)
      const latch = yield* Deferred.make<void>()
      const borrowers = yield* crowd(pool, 100, latch)
      const closing = yield* fork(Scope.close(scope, Exit.void))
      yield* settle
      for (const waiter of borrowers.slice(10)) assert.strictEqual(reasonOf(yield* Fiber.await(waiter)), "PoolClosed")
      assert.isUndefined(closing.pollUnsafe())
      assert.strictEqual(openNow(), 10)
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.joinAll(borrowers.slice(0, 10))
      yield* Fiber.join(closing)
      assert.strictEqual(openNow(), 0)
    })))

  it.effect("in the middle of a crowd leaves nothing open and no borrower without an answer", () =>
    test(Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { openNow, pool } = yield* Scope.provide(makePool({ open: () => Effect.yieldNow }, 10), scope)
      const work = Effect.scoped(Effect.andThen(ConnectionPool.get(pool, key), Effect.yieldNow))
      const borrowers = yield* Effect.forEach(Array.from({ length: 100 }), () => fork(work))
      yield* Effect.forEach(borrowers.slice(0, 1), Fiber.join)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(openNow(), 0)
      for (const borrower of borrowers) {
        const exit = yield* Fiber.await(borrower)
        assert.isTrue(Exit.isSuccess(exit) || reasonOf(exit) === "PoolClosed")
      }
    })))

  it.effect("does not wait for a borrower beyond drainTimeout, but closes its connection under it", () =>
    test(Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { openNow, pool } = yield* Scope.provide(makePool({}, 1, { drainTimeout: "5 seconds" }), scope)
      const latch = yield* Deferred.make<void>()
      const holders = yield* crowd(pool, 1, latch)
      const closing = yield* fork(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(closing)
      assert.strictEqual(openNow(), 0)
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.joinAll(holders)
    })))

  it.effect("afterwards a borrow fails with PoolClosed, also one whose scope ends with the pool", () =>
    test(Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { pool } = yield* Scope.provide(makePool({}, 1), scope)
      yield* borrow(pool)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* Effect.flip(borrow(pool))).reason._tag, "PoolClosed")
      const exit = yield* Effect.exit(Scope.provide(ConnectionPool.get(pool, key), scope))
      assert.strictEqual(reasonOf(exit), "PoolClosed")
    })))
})

describe("interruption", () => {
  it.effect("a borrower that waits for a connection can be interrupted", () =>
    test(Effect.gen(function*() {
      const { pool } = yield* makePool({}, 10)
      const latch = yield* Deferred.make<void>()
      const holders = yield* crowd(pool, 10, latch)
      const waiter = yield* fork(Effect.scoped(ConnectionPool.get(pool, key)))
      yield* Fiber.interrupt(waiter)
      const exit = yield* Fiber.await(waiter)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.joinAll(holders)
    })))

  it.effect("a borrower whose connection is being opened can be interrupted; the dial goes on, for the next one", () =>
    test(Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const { ledger, pool } = yield* makePool({ open: () => Deferred.await(gate) }, 10)
      const borrower = yield* fork(borrow(pool))
      yield* settle
      assert.strictEqual(ledger.dialling, 1)
      yield* Fiber.interrupt(borrower)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(borrower)))
      const next = yield* fork(borrow(pool))
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual(yield* Fiber.join(next), 1)
      assert.strictEqual(ledger.attempts, 1)
    })))

  it.effect("many waiters that are interrupted at once leave no count behind", () =>
    test(Effect.gen(function*() {
      const { pool } = yield* makePool({}, 1)
      const latch = yield* Deferred.make<void>()
      const holders = yield* crowd(pool, 1, latch)
      const waiters = yield* Effect.forEach(Array.from({ length: 10 }), () => fork(borrow(pool)))
      assert.strictEqual((yield* ConnectionPool.stats(pool)).waiting, 10)
      yield* Fiber.interruptAll(waiters)
      assert.deepInclude(yield* ConnectionPool.stats(pool), { waiting: 0, active: 1 })
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.joinAll(holders)
      assert.deepInclude(yield* ConnectionPool.stats(pool), { waiting: 0, active: 0, idle: 1 })
      assert.strictEqual(yield* borrow(pool), 1)
    })))

  it.effect("a waiter that is interrupted when its connection comes passes it on", () =>
    test(Effect.gen(function*() {
      for (const order of ["return first", "interrupt first"]) {
        const { pool } = yield* makePool({}, 1)
        const latch = yield* Deferred.make<void>()
        const holders = yield* crowd(pool, 1, latch)
        const first = yield* fork(borrow(pool))
        const second = yield* fork(borrow(pool))
        const finish = Deferred.succeed(latch, undefined)
        const cancel = Effect.sync(() => first.interruptUnsafe())
        yield* order === "return first" ? Effect.andThen(finish, cancel) : Effect.andThen(cancel, finish)
        assert.isAtMost(yield* Fiber.join(second), 2, order)
        yield* Fiber.joinAll(holders)
        yield* settle
        assert.deepInclude(yield* ConnectionPool.stats(pool), { waiting: 0, active: 0 })
      }
    })))
})

describe("failed acquisitions", () => {
  it.effect("a borrow after the delay makes one attempt, and fails with the failure of that attempt", () =>
    test(Effect.gen(function*() {
      const open = (_: string, attempt: number) => Effect.fail(new Scripted.ScriptedFailure(`EFAIL${attempt}`))
      const { ledger, pool } = yield* makePool({ open }, 10, { retry: once })
      for (let attempt = 1; attempt <= 9; attempt++) {
        const borrower = yield* fork(Effect.flip(borrow(pool)))
        yield* TestClock.adjust("2 seconds")
        const error = yield* Fiber.join(borrower)
        assert.strictEqual((error as ConnectionPool.PoolError).reason._tag, "ConnectFailed")
        assert.include(String(error), `EFAIL${attempt}`)
      }
      assert.deepInclude(yield* ConnectionPool.stats(pool), { total: 0, waiting: 0, failedAttempts: 9 })
      assert.strictEqual(ledger.attempts, 9)
    })))

  it.effect("what a failed acquisition had acquired is released", () =>
    test(Effect.gen(function*() {
      const open = () => Effect.fail(new Scripted.ScriptedFailure("EACCES"))
      const { ledger, openNow, pool } = yield* makePool({ open }, 10, { retry: once })
      const borrowers = yield* Effect.forEach(Array.from({ length: 10 }), () => fork(Effect.exit(borrow(pool))))
      yield* TestClock.adjust("20 seconds")
      yield* Fiber.joinAll(borrowers)
      assert.isAbove(ledger.attempts, 0)
      assert.strictEqual(openNow(), 0)
    })))

  it.effect("a borrow that is retried after each failure does not use up the pool", () =>
    test(Effect.gen(function*() {
      const open = () => Effect.fail(new Scripted.ScriptedFailure("EACCES"))
      const { ledger, pool } = yield* makePool({ open }, 1, { retry: once })
      const borrower = yield* fork(Effect.flip(Effect.retry(borrow(pool), { times: 5 })))
      yield* TestClock.adjust("20 seconds")
      const error = yield* Fiber.join(borrower)
      assert.strictEqual((error as ConnectionPool.PoolError).reason._tag, "ConnectFailed")
      assert.strictEqual(ledger.attempts, 6)
    })))

  it.effect("a borrow that is retried gets the connection of the first attempt that succeeds", () =>
    test(Effect.gen(function*() {
      const open = (_: string, attempt: number) =>
        attempt <= 10 ? Effect.fail(new Scripted.ScriptedFailure("EACCES")) : Effect.void
      const { ledger, pool } = yield* makePool({ open }, 10, { retry: once })
      const borrower = yield* fork(Effect.retry(borrow(pool), Schedule.forever))
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(yield* Fiber.join(borrower), 1)
      assert.strictEqual(ledger.attempts, 11)
    })))

  it.effect("without a retry of its own a borrower is served when the endpoint is back, within its deadline", () =>
    test(Effect.gen(function*() {
      const open = (_: string, attempt: number) =>
        attempt <= 3 ? Effect.fail(new Scripted.ScriptedFailure("ECONNREFUSED")) : Effect.void
      const { pool } = yield* makePool({ open }, 10, { acquireTimeout: "30 seconds" })
      const borrower = yield* fork(borrow(pool))
      yield* TestClock.adjust("20 seconds")
      assert.strictEqual(yield* Fiber.join(borrower), 1)
    })))
})

describe("invalidate", () => {
  it.effect("closes an idle connection at once, and the next borrower gets another", () =>
    test(Effect.gen(function*() {
      const { ledger, pool } = yield* makePool({}, 10)
      const first = yield* ConnectionPool.use(pool, key, Effect.succeed)
      yield* ConnectionPool.invalidate(pool, first)
      yield* settle
      assert.deepInclude(ledger, { opened: 1, closed: 1 })
      assert.strictEqual(yield* borrow(pool), 2)
    })))

  it.effect("restores the minimum", () =>
    test(Effect.gen(function*() {
      const { ledger, openNow, pool } = yield* makePool({}, 10, { minPerEndpoint: 10 })
      const first = yield* ConnectionPool.use(pool, key, Effect.succeed)
      yield* settle
      yield* ConnectionPool.invalidate(pool, first)
      yield* TestClock.adjust("1 second")
      yield* settle
      assert.strictEqual(openNow(), 10)
      assert.isFalse(ledger.live.has(first))
      assert.deepInclude(ledger, { opened: 11, closed: 1, peakTotal: 10 })
    })))

  it.effect("of all connections does not hang the next borrower", () =>
    test(Effect.gen(function*() {
      const { ledger, pool } = yield* makePool({}, 2)
      const latch = yield* Deferred.make<void>()
      const holders = yield* crowd(pool, 2, latch)
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.joinAll(holders)
      for (const connection of [...ledger.live]) yield* ConnectionPool.invalidate(pool, connection)
      assert.strictEqual(yield* borrow(pool), 3)
      yield* settle
      assert.deepInclude(ledger, { opened: 3, closed: 2 })
    })))

  it.effect("of a connection in use closes it when it is returned; its replacement opens only then, so that the cap holds", () =>
    test(Effect.gen(function*() {
      const { ledger, pool } = yield* makePool({}, 1)
      const scope = yield* Scope.make()
      const first = yield* Scope.provide(ConnectionPool.get(pool, key), scope)
      const waiter = yield* fork(borrow(pool))
      yield* ConnectionPool.invalidate(pool, first)
      yield* settle
      assert.isUndefined(waiter.pollUnsafe())
      assert.deepInclude(ledger, { opened: 1, closed: 0 })
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(yield* Fiber.join(waiter), 2)
      assert.deepInclude(ledger, { closed: 1, peakTotal: 1 })
    })))

  it.effect("of a shared connection waits for its last borrower, and admits no further one", () =>
    test(Effect.gen(function*() {
      const { ledger, pool } = yield* makePool({}, 2, { concurrency: 2 })
      const [one, other] = [yield* Scope.make(), yield* Scope.make()]
      const first = yield* Scope.provide(ConnectionPool.get(pool, key), one)
      assert.strictEqual(yield* Scope.provide(ConnectionPool.get(pool, key), other), first)
      yield* ConnectionPool.invalidate(pool, first)
      yield* Scope.close(one, Exit.void)
      assert.strictEqual(yield* borrow(pool), 2)
      assert.isTrue(ledger.live.has(first))
      yield* Scope.close(other, Exit.void)
      yield* settle
      assert.isFalse(ledger.live.has(first))
    })))

  it.effect("twice closes once, and of a value of another pool does nothing", () =>
    test(Effect.gen(function*() {
      const { ledger, pool } = yield* makePool({}, 2)
      const other = yield* makePool({}, 2)
      const stranger = yield* ConnectionPool.use(other.pool, key, Effect.succeed)
      const first = yield* ConnectionPool.use(pool, key, Effect.succeed)
      yield* ConnectionPool.invalidate(pool, stranger)
      yield* ConnectionPool.invalidate(pool, first)
      yield* ConnectionPool.invalidate(pool, first)
      yield* settle
      assert.strictEqual(ledger.closed, 1)
      assert.strictEqual(other.ledger.closed, 0)
    })))
})

describe("reserve", () => {
  it.effect("keeps the room that is left on a connection away from others until its scope ends", () =>
    test(Effect.gen(function*() {
      const { pool } = yield* makePool({}, 2, { concurrency: 3 })
      yield* Effect.scoped(Effect.gen(function*() {
        const first = yield* ConnectionPool.get(pool, key)
        yield* Effect.scoped(Effect.gen(function*() {
          yield* ConnectionPool.reserve(pool, first)
          assert.strictEqual(yield* borrow(pool), 2)
        }))
        const latch = yield* Deferred.make<void>()
        const holders = yield* crowd(pool, 5, latch)
        yield* Deferred.succeed(latch, undefined)
        assert.deepStrictEqual((yield* Fiber.joinAll(holders)).sort((a, b) => a - b), [1, 1, 2, 2, 2])
      }))
    })))

  it.effect("held twice ends with its second end", () =>
    test(Effect.gen(function*() {
      const { pool } = yield* makePool({}, 1, { concurrency: 2 })
      yield* Effect.scoped(Effect.gen(function*() {
        const first = yield* ConnectionPool.get(pool, key)
        const [one, other] = [yield* Scope.make(), yield* Scope.make()]
        yield* Scope.provide(ConnectionPool.reserve(pool, first), one)
        yield* Scope.provide(ConnectionPool.reserve(pool, first), other)
        const next = yield* fork(borrow(pool))
        yield* Scope.close(one, Exit.void)
        yield* settle
        assert.isUndefined(next.pollUnsafe())
        yield* Scope.close(other, Exit.void)
        assert.strictEqual(yield* Fiber.join(next), 1)
      }))
    })))

  it.effect("without concurrency above 1 does nothing", () =>
    test(Effect.gen(function*() {
      const { pool } = yield* makePool({}, 1)
      yield* Effect.scoped(Effect.gen(function*() {
        yield* ConnectionPool.use(pool, key, (connection) => Effect.asVoid(ConnectionPool.reserve(pool, connection)))
        assert.strictEqual(yield* borrow(pool), 1)
      }))
    })))
})

describe("the queue", () => {
  it.effect("is first in, first out, and one that comes when a connection is returned does not overtake", () =>
    test(Effect.gen(function*() {
      const { pool } = yield* makePool({}, 1)
      const order: Array<string> = []
      const note = (name: string) => ConnectionPool.use(pool, key, () => Effect.sync(() => order.push(name)))
      const latch = yield* Deferred.make<void>()
      const holders = yield* crowd(pool, 1, latch)
      const waiters = yield* Effect.forEach(["first", "second", "third"], (name) => fork(note(name)))
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.joinAll(holders)
      yield* note("late")
      yield* Fiber.joinAll(waiters)
      assert.deepStrictEqual(order, ["first", "second", "third", "late"])
    })))

  it.effect("is served to its end by one connection, one borrower after another", () =>
    test(Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const { ledger, pool } = yield* makePool({ open: () => Deferred.await(gate) }, 1)
      const waiters = yield* Effect.forEach(
        Array.from({ length: 10 }),
        () => fork(Effect.scoped(ConnectionPool.get(pool, key)))
      )
      yield* settle
      assert.strictEqual((yield* ConnectionPool.stats(pool)).waiting, 10)
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.joinAll(waiters)
      assert.deepInclude(yield* ConnectionPool.stats(pool), { waiting: 0, active: 0, idle: 1 })
      assert.strictEqual(ledger.opened, 1)
    })))

  it.effect("is served by each connection as soon as it is open, however long another dial takes", () =>
    test(Effect.gen(function*() {
      const gate = yield* Deferred.make<void>()
      const open = (_: string, attempt: number) => attempt === 1 ? Deferred.await(gate) : Effect.void
      const { pool } = yield* makePool({ open }, 2)
      const waiters = yield* Effect.forEach([1, 2, 3], () => fork(borrow(pool)))
      yield* settle
      const served = waiters.filter((waiter) => waiter.pollUnsafe() !== undefined)
      assert.lengthOf(served, 3, "the dial that hangs delays none of them")
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.joinAll(waiters)
    })))

  it.effect("has one deadline for waiting and opening together, which Effect's Pool has not", () =>
    test(Effect.gen(function*() {
      const open = (_: string, attempt: number) => attempt === 1 ? Effect.void : Effect.never
      const { pool } = yield* makePool({ open }, 1, { acquireTimeout: "10 seconds", connectTimeout: "10 seconds" })
      const scope = yield* Scope.make()
      const first = yield* Scope.provide(ConnectionPool.get(pool, key), scope)
      const waiter = yield* fork(Effect.flip(borrow(pool)))
      yield* TestClock.adjust("6 seconds")
      yield* ConnectionPool.invalidate(pool, first)
      yield* Scope.close(scope, Exit.void)
      yield* TestClock.adjust("3999 millis")
      assert.isUndefined(waiter.pollUnsafe())
      yield* TestClock.adjust(1)
      const error = yield* Fiber.join(waiter)
      assert.strictEqual((error as ConnectionPool.PoolError).reason._tag, "AcquireTimeout")
    })))
})
