/**
 * A budget that hangs, or has nothing left, costs nobody a slot, and does not hold up the end of the pool.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import * as ConnectionBudget from "effect-sluice/ConnectionBudget"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { TestClock } from "effect/testing"
import { TrackedByPool } from "../../src/internal/DialContext.ts"
import { fork, id, settle, test } from "../support/Pools.ts"
import * as Scripted from "../support/ScriptedConnector.ts"

const once = RetryPolicy.make({ maxAttempts: 1 })

describe("a budget that hangs", () => {
  it.effect("a release that hangs after a failed dial keeps neither the borrowers in the dark nor the slot", () =>
    test(Effect.gen(function*() {
      const over = yield* Deferred.make<void>()
      const budget = { take: () => Effect.as(Effect.addFinalizer(() => Deferred.await(over)), {}) }
      const { connector } = Scripted.make({ open: () => Effect.fail(new Scripted.ScriptedFailure("ECONNREFUSED")) })
      const pool = yield* ConnectionPool.make({ connector, maxTotal: 1, retry: once }).pipe(
        Effect.provideService(ConnectionBudget.ConnectionBudget, budget)
      )
      const borrower = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", id)))
      yield* settle
      yield* TestClock.adjust("5 seconds")
      const told = borrower.pollUnsafe() !== undefined
      const { total } = yield* ConnectionPool.stats(pool)
      const drain = yield* fork(ConnectionPool.drain(pool, 0))
      yield* TestClock.adjust("10 seconds")
      const drained = drain.pollUnsafe() !== undefined
      yield* Deferred.succeed(over, undefined)
      assert.deepStrictEqual({ told, total, drained }, { told: true, total: 0, drained: true })
    })))

  it.effect("a take that cannot be interrupted does not hold up the drain", () =>
    test(Effect.gen(function*() {
      const over = yield* Deferred.make<void>()
      const budget = { take: () => Effect.as(Effect.uninterruptible(Deferred.await(over)), {}) }
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, retry: once }).pipe(
        Effect.provideService(ConnectionBudget.ConnectionBudget, budget)
      )
      const borrower = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", id)))
      yield* settle
      const drain = yield* fork(ConnectionPool.drain(pool, 0))
      yield* TestClock.adjust("10 seconds")
      const drained = drain.pollUnsafe() !== undefined
      yield* Deferred.succeed(over, undefined)
      assert.strictEqual((yield* Fiber.join(borrower)).reason._tag, "PoolClosed")
      assert.isTrue(drained)
    })))
})

describe("a permit", () => {
  it.effect("comes back although the connection's finalizer hangs", () =>
    Effect.gen(function*() {
      const over = yield* Deferred.make<void>()
      const { connector } = Scripted.make({ close: ({ id }) => id === 1 ? Deferred.await(over) : Effect.void })
      const monitor = yield* ResourceMonitor.TestMonitor
      const pool = yield* ConnectionPool.make({ connector, maxTotal: 1, retry: once }).pipe(
        Effect.provideService(ConnectionBudget.ConnectionBudget, ConnectionBudget.makeInMemory(1))
      )
      assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 1)
      yield* ConnectionPool.evict(pool)
      yield* TestClock.adjust("10 seconds")
      const next = yield* fork(ConnectionPool.use(pool, "a", id))
      yield* settle
      yield* TestClock.adjust("1 second")
      const served = next.pollUnsafe() !== undefined
      // The ledger counts what may still be open as well.
      const tracked = [...(yield* monitor.tracked)]
      yield* Deferred.succeed(over, undefined)
      yield* settle
      const after = [...(yield* monitor.tracked)]
      assert.deepStrictEqual({ served, tracked, after }, { served: true, tracked: [["a", 2]], after: [["a", 1]] })
    }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerTest)))

  it.effect("is not taken for the pool's connection, so that what a budget opens for it goes into the ledger", () =>
    Effect.gen(function*() {
      const seen: Array<boolean> = []
      const budget = {
        take: () =>
          Effect.map(TrackedByPool, (tracked) => {
            seen.push(tracked)
            return {}
          })
      }
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector }).pipe(
        Effect.provideService(ConnectionBudget.ConnectionBudget, budget)
      )
      yield* ConnectionPool.use(pool, "a", id)
      assert.deepStrictEqual(seen, [false])
    }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerTest)))
})

/** A pool with a minimum whose only permit has gone from "a" to a borrower of "b", so that a dial for "a" waits for it. */
const moved = (connector: ReturnType<typeof Scripted.make>["connector"]) =>
  Effect.gen(function*() {
    const pool = yield* ConnectionPool.make({ connector, minPerEndpoint: 1, closeTimeout: "1 second" }).pipe(
      Effect.provideService(ConnectionBudget.ConnectionBudget, ConnectionBudget.makeInMemory(1))
    )
    yield* ConnectionPool.use(pool, "a", id)
    const borrower = yield* fork(ConnectionPool.use(pool, "b", id))
    yield* settle
    yield* TestClock.adjust("100 millis")
    yield* settle
    yield* Fiber.join(borrower)
    return pool
  })

describe("a budget that refuses", () => {
  it.effect("a dial that waits for the budget gives its slot to others when nobody wants it any more", () =>
    test(Effect.gen(function*() {
      const budget = {
        take: ({ label }: ConnectionBudget.PermitRequest) => label === "a" ? Effect.never : Effect.succeed({})
      }
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxTotal: 1, acquireTimeout: "1 second" }).pipe(
        Effect.provideService(ConnectionBudget.ConnectionBudget, budget)
      )
      const first = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", id)))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(first)).reason._tag, "AcquireTimeout")
      const next = yield* fork(Effect.result(ConnectionPool.use(pool, "b", id)))
      yield* settle
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(next))._tag, "Success")
    })))

  it.effect("a minimum is not kept at the cost of another endpoint's", () =>
    test(Effect.gen(function*() {
      const { connector, ledger } = Scripted.make()
      yield* moved(connector)
      assert.strictEqual(ledger.opened, 2)
      for (let seconds = 0; seconds < 5; seconds++) {
        yield* TestClock.adjust("1 second")
        yield* settle
      }
      assert.strictEqual(ledger.opened, 2)
    })))

  it.effect("a borrower that comes while the minimum waits for the budget has another endpoint's connection give way", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* moved(connector)
      // The dial for the minimum of a has waited for a permit since.
      yield* TestClock.adjust("1 second")
      const second = yield* fork(ConnectionPool.use(pool, "a", id))
      yield* settle
      yield* TestClock.adjust("100 millis")
      yield* settle
      assert.isDefined(second.pollUnsafe())
      assert.strictEqual(yield* Fiber.join(second), 3)
    })))

  it.effect("an idle connection of another endpoint gives way also where the budget is what is full", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, acquireTimeout: "5 seconds" }).pipe(
        Effect.provideService(ConnectionBudget.ConnectionBudget, ConnectionBudget.makeInMemory(1))
      )
      assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 1)
      const other = yield* fork(Effect.result(ConnectionPool.use(pool, "b", id)))
      yield* settle
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* Fiber.join(other))._tag, "Success")
    })))

  it.effect("a dial that waits at the gate gives its slot to others when nobody wants it any more", () =>
    Effect.gen(function*() {
      const monitor = yield* ResourceMonitor.ResourceMonitor
      const closed: ResourceMonitor.ResourceMonitor["Service"] = {
        ...monitor,
        reserve: (request) => request.label === "a" ? Effect.never : monitor.reserve(request)
      }
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxTotal: 1, acquireTimeout: "1 second" }).pipe(
        Effect.provideService(ResourceMonitor.ResourceMonitor, closed)
      )
      const first = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", id)))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(first)).reason._tag, "AcquireTimeout")
      assert.strictEqual(yield* ConnectionPool.use(pool, "b", id), 1)
    }).pipe(Effect.provide(ResourceMonitor.layerUnlimited)))
})

const taking = (take: ConnectionBudget.ConnectionBudget["take"]) =>
  Effect.provideService(ConnectionBudget.ConnectionBudget, { take })

describe("a budget that fails", () => {
  it.effect("is asked again until the borrower runs out of time, costs no attempt, and is named by the error", () =>
    test(Effect.gen(function*() {
      const left: Array<number> = []
      const failure = new ConnectionBudget.BudgetError({ budget: "fleet", detail: "the store does not answer" })
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, retry: once, acquireTimeout: "10 seconds" }).pipe(
        taking(({ timeLeft }) =>
          Effect.suspend(() => {
            left.push(timeLeft())
            return Effect.fail(failure)
          })
        )
      )
      const borrower = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", id)))
      yield* settle
      yield* TestClock.adjust("11 seconds")
      const { reason } = yield* Fiber.join(borrower)
      assert(reason._tag === "AcquireTimeout")
      assert.deepInclude(reason, { stalledBy: "Budget", cause: failure })
      assert.include(reason.message, "the budget of connections has given no permit")
      assert.include(reason.message, "no permit of the budget fleet: the store does not answer")
      assert.isAbove(left.length, 2)
      assert.strictEqual(left[0], 10_000)
      assert.deepStrictEqual(left, left.toSorted((one, other) => other - one))
    })))

  it.effect("says nothing of the endpoint", () =>
    test(Effect.gen(function*() {
      let isAway = true
      const failure = new ConnectionBudget.BudgetError({ budget: "fleet", detail: "the store does not answer" })
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, retry: once }).pipe(
        taking(() => isAway ? Effect.fail(failure) : Effect.succeed({}))
      )
      const borrower = yield* fork(ConnectionPool.use(pool, "a", id))
      yield* settle
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* ConnectionPool.health(pool, "a"), "Healthy")
      isAway = false
      yield* TestClock.adjust("20 seconds")
      assert.strictEqual(yield* Fiber.join(borrower), 1)
    })))

  it.effect("names itself while it has a borrower wait", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, acquireTimeout: "1 second" }).pipe(
        taking(() => Effect.never)
      )
      const borrower = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", id)))
      yield* settle
      yield* TestClock.adjust("2 seconds")
      const { reason } = yield* Fiber.join(borrower)
      assert(reason._tag === "AcquireTimeout")
      assert.strictEqual(reason.stalledBy, "Budget")
    })))
})

describe("a permit that is lost", () => {
  it.effect("closes its connection while it is idle, and the next borrow takes another permit", () =>
    test(Effect.gen(function*() {
      const lost = yield* Deferred.make<void>()
      let taken = 0
      const { connector, ledger } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector }).pipe(
        taking(() => Effect.sync(() => ++taken === 1 ? { lost: Deferred.await(lost) } : {}))
      )
      assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 1)
      yield* TestClock.adjust("2 seconds")
      yield* Deferred.succeed(lost, undefined)
      yield* settle
      assert.strictEqual(ledger.closed, 1)
      assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 2)
      assert.strictEqual(taken, 2)
    })))

  it.effect("closes its connection also while a borrower has it", () =>
    test(Effect.gen(function*() {
      const lost = yield* Deferred.make<void>()
      const { connector, ledger } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector }).pipe(
        taking(() => Effect.succeed({ lost: Deferred.await(lost) }))
      )
      const holder = yield* fork(ConnectionPool.use(pool, "a", () => Effect.never))
      yield* settle
      yield* TestClock.adjust("2 seconds")
      yield* Deferred.succeed(lost, undefined)
      yield* settle
      yield* TestClock.adjust("1 second")
      assert.strictEqual(ledger.closed, 1)
      yield* Fiber.interrupt(holder)
    })))

  it.effect("has a token that the connector reads while it opens a connection", () =>
    test(Effect.gen(function*() {
      const seen: Array<string | undefined> = []
      const { connector } = Scripted.make()
      const reading = {
        ...connector,
        open: (key: string) =>
          Effect.flatMap(ConnectionBudget.CurrentPermit, (permit) => {
            seen.push(permit?.token)
            return connector.open(key)
          })
      }
      const pool = yield* ConnectionPool.make({ connector: reading }).pipe(
        taking(() => Effect.succeed({ token: "17" }))
      )
      yield* ConnectionPool.use(pool, "a", id)
      const without = yield* ConnectionPool.make({ connector: reading })
      yield* ConnectionPool.use(without, "a", id)
      assert.deepStrictEqual(seen, ["17", undefined])
    })))
})
