/**
 * Why the connections of a pool are closed: each for exactly one reason.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Duration, Effect, Fiber, type Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import { TestClock } from "effect/testing"
import type { CloseReason } from "../../src/Pool/CloseReason.ts"
import { TypeId } from "../../src/Pool/PoolRegistry.ts"
import { fork, hold, id, settle, test } from "../support/Pools.ts"
import * as Scripted from "../support/ScriptedConnector.ts"

type Pool = ConnectionPool.ConnectionPool<string, Scripted.Scripted>
type Options = Partial<ConnectionPool.Options<string, Scripted.Scripted, Scripted.ScriptedFailure, never>>

/** Closes the one connection of a pool. */
interface Way {
  readonly options?: Options
  readonly close: (
    pool: Pool,
    scripted: Scripted.ScriptedConnector
  ) => Effect.Effect<unknown, ConnectionPool.PoolError, Scope.Scope>
}

const use = (pool: Pool) => ConnectionPool.use(pool, "a", id)

/** Does something while a borrower holds the connection, which the borrower returns after that. */
const whileHeld = <E>(
  pool: Pool,
  act: (connection: Scripted.Scripted) => Effect.Effect<unknown, E>
) =>
  Effect.gen(function*() {
    const [latch, held] = [yield* Deferred.make<void>(), yield* Deferred.make<Scripted.Scripted>()]
    const holder = yield* fork(
      ConnectionPool.use(
        pool,
        "a",
        (connection) => Effect.andThen(Deferred.succeed(held, connection), Deferred.await(latch))
      )
    )
    yield* act(yield* Deferred.await(held))
    yield* settle
    yield* Deferred.succeed(latch, undefined)
    yield* Fiber.await(holder)
    yield* settle
  })

const waysTo: Record<string, readonly [reason: CloseReason, way: Way]> = {
  "is idle for too long": ["idle", {
    options: { idleTimeout: "1 second" },
    close: (pool) => Effect.andThen(use(pool), TestClock.adjust("2 seconds"))
  }],
  "is idle while the process is under pressure": ["idle", {
    close: (pool) => Effect.andThen(use(pool), Effect.sync(() => pool[TypeId].core.shrink()))
  }],
  "is open for too long": ["lifetime", {
    options: { maxLifetime: "1 second", idleTimeout: "Infinity" },
    close: (pool) => Effect.andThen(use(pool), TestClock.adjust("2 seconds"))
  }],
  "is open for too long while it is leased": ["lifetime", {
    options: { maxLifetime: "1 second" },
    close: (pool) => whileHeld(pool, () => TestClock.adjust("2 seconds"))
  }],
  "is evicted": ["evicted", { close: (pool) => Effect.andThen(use(pool), ConnectionPool.evict(pool)) }],
  "is evicted while it is leased": ["evicted", { close: (pool) => whileHeld(pool, () => ConnectionPool.evict(pool)) }],
  "is evicted while it is opened": ["evicted", {
    close: (pool, { steps }) =>
      Effect.gen(function*() {
        steps.open = (_, attempt) => attempt === 1 ? Effect.sleep("1 second") : Effect.never
        const waiting = yield* fork(use(pool))
        yield* settle
        yield* ConnectionPool.evict(pool)
        yield* TestClock.adjust("1 second")
        yield* settle
        yield* Fiber.interrupt(waiting)
      })
  }],
  "is invalidated": ["evicted", {
    close: (pool) => whileHeld(pool, (connection) => ConnectionPool.invalidate(pool, connection))
  }],
  "is over a lowered cap": ["evicted", {
    close: (pool) =>
      whileHeld(pool, () => Effect.andThen(use(pool), ConnectionPool.resize(pool, { maxConnections: 1 })))
  }],
  "makes room for another endpoint": ["evicted_for_other", {
    options: { maxTotal: 1 },
    close: (pool) => Effect.andThen(use(pool), ConnectionPool.get(pool, "b"))
  }],
  "makes room for another endpoint when it is returned": ["evicted_for_other", {
    options: { maxTotal: 1 },
    close: (pool) =>
      Effect.gen(function*() {
        const latch = yield* Deferred.make<void>()
        const holder = yield* fork(hold(pool, "a", latch))
        yield* settle
        yield* fork(ConnectionPool.get(pool, "b"))
        yield* settle
        yield* Deferred.succeed(latch, undefined)
        yield* Fiber.join(holder)
        yield* settle
      })
  }],
  "dies while it is idle": ["died_idle", {
    close: (pool, { kill, ledger }) =>
      Effect.andThen(use(pool), Effect.suspend(() => Effect.forEach([...ledger.live], kill)))
  }],
  "dies while it is leased": ["died_leased", {
    close: (pool, { kill }) => whileHeld(pool, (connection) => kill(connection))
  }],
  "was evicted and dies before it is returned": ["died_leased", {
    close: (pool, { kill }) =>
      whileHeld(pool, (connection) => Effect.andThen(ConnectionPool.evict(pool), kill(connection)))
  }],
  "is left in an unknown state by its borrower": ["unfit", {
    close: (pool) => Effect.exit(ConnectionPool.use(pool, "a", () => Effect.die("no")))
  }],
  "does not pass the check of its borrower": ["check_failed", {
    close: (pool, { steps }) =>
      Effect.gen(function*() {
        yield* use(pool)
        steps.check = () => Effect.fail(new Scripted.ScriptedFailure("EPIPE"))
        yield* TestClock.adjust("1 second")
        yield* ConnectionPool.get(pool, "a")
      })
  }],
  "does not pass a check while it is idle": ["check_failed", {
    options: { keepalive: "1 second" },
    close: (pool, { steps }) =>
      Effect.gen(function*() {
        yield* use(pool)
        steps.check = () => Effect.fail(new Scripted.ScriptedFailure("EPIPE"))
        yield* TestClock.adjust("1 second")
      })
  }],
  "cannot be reset": ["check_failed", {
    options: { hooks: { afterReturn: () => Effect.fail(new Scripted.ScriptedFailure("EPIPE")) } },
    close: (pool) => use(pool)
  }],
  "is held for longer than maxLease": ["lease_ended", {
    options: { maxLease: "1 second" },
    close: (pool) => whileHeld(pool, () => TestClock.adjust("2 seconds"))
  }],
  "is idle when the pool ends": ["drained", {
    close: (pool) => Effect.andThen(use(pool), ConnectionPool.drain(pool, "1 second"))
  }],
  "is returned after the end of the pool has begun": ["drained", {
    close: (pool) => whileHeld(pool, () => fork(ConnectionPool.drain(pool, "1 second")))
  }],
  "is held until the drain is over": ["drained", {
    close: (pool) =>
      whileHeld(pool, () => Effect.andThen(fork(ConnectionPool.drain(pool, "1 second")), TestClock.adjust("1 second")))
  }]
}

describe("the reason for which a connection is closed", () => {
  for (const [what, [reason, { close, options }]] of Object.entries(waysTo)) {
    it.effect(`is ${reason} if the connection ${what}`, () =>
      test(Effect.gen(function*() {
        const scripted = Scripted.make()
        const pool = yield* ConnectionPool.make({ lifetimeJitter: 0, connector: scripted.connector, ...options })
        const told: Array<CloseReason> = []
        const ages: Array<number> = []
        pool[TypeId].core.observers.add({
          closed: (reason, millis) => {
            told.push(reason)
            ages.push(millis)
          }
        })
        yield* close(pool, scripted)
        yield* settle
        assert.deepStrictEqual(told, [reason])
        assert.isTrue(ages.every((age) => age >= 0 && age <= Duration.toMillis("2 seconds")))
        const { closed, closedBy } = yield* ConnectionPool.stats(pool)
        assert.strictEqual(closed, 1)
        assert.strictEqual(scripted.ledger.closed, 1)
        assert.deepStrictEqual(Object.entries(closedBy).filter(([, count]) => count > 0), [[reason, 1]])
      })))
  }
})
