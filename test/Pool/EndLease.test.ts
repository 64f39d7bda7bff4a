/**
 * An operator ends one lease.
 */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Option } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import { TypeId } from "../../src/Pool/PoolRegistry.ts"
import { fork, id, settle, test } from "../support/Pools.ts"
import * as Scripted from "../support/ScriptedConnector.ts"

type Options = Partial<ConnectionPool.Options<string, Scripted.Scripted, Scripted.ScriptedFailure, never>>
type Pool = ConnectionPool.ConnectionPool<string, Scripted.Scripted>

/** A pool whose connections fail their users when they are closed. */
const made = (options: Options = {}) =>
  Effect.gen(function*() {
    const closed = new Map<number, Deferred.Deferred<void>>()
    const closing = ({ id }: Scripted.Scripted) => {
      const known = closed.get(id) ?? Deferred.makeUnsafe<void>()
      closed.set(id, known)
      return known
    }
    const { connector, ledger } = Scripted.make({
      close: (connection) => Deferred.succeed(closing(connection), undefined)
    })
    const pool = yield* ConnectionPool.make({ connector, name: "ended", ...options })
    const query = (connection: Scripted.Scripted) =>
      Effect.andThen(Deferred.await(closing(connection)), Effect.fail(new Scripted.ScriptedFailure("ECONNRESET")))
    return { ledger, pool, query, registered: pool[TypeId].registered }
  })

const idOf = (pool: Pool, span: string) =>
  Effect.map(ConnectionPool.inspect(pool), ({ holders }) => holders.find((holder) => holder.span === span)?.id ?? NaN)

const end = (pool: Pool, span: string) =>
  Effect.map(idOf(pool, span), (lease) => pool[TypeId].registered.endLease(lease))

const reasonsIn = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.isSuccess(exit) ? [] : exit.cause.reasons.filter(Cause.isFailReason).map(({ error }) => String(error))

const closedBy = (pool: Pool) =>
  Effect.map(ConnectionPool.stats(pool), (stats) => Object.entries(stats.closedBy).filter(([, count]) => count > 0))

describe("an operator who ends a lease", () => {
  it.effect("interrupts the effect of the borrower in a pool with maxLease", () =>
    test(Effect.gen(function*() {
      const { pool } = yield* made({ maxLease: "1 hour", maxPerEndpoint: 1 })
      const held = yield* fork(
        Effect.flip(Effect.withSpan(ConnectionPool.use(pool, "a", () => Effect.never), "report"))
      )
      yield* settle
      const next = yield* fork(ConnectionPool.use(pool, "a", id))
      assert.isTrue(yield* end(pool, "report"))
      const error = yield* Fiber.join(held)
      assert.strictEqual(error.reason._tag, "LeaseExpired")
      assert.match(error.message, /^ended: an operator has ended the lease of a connection to a, held by report/)
      assert.strictEqual(error.reason._tag === "LeaseExpired" && error.reason.maxLease, undefined)
      assert.strictEqual(yield* Fiber.join(next), 2)
      assert.deepStrictEqual(yield* closedBy(pool), [["lease_ended", 1]])
      const { leasesEnded, leasesExpired, refusals } = yield* ConnectionPool.stats(pool)
      assert.deepStrictEqual([leasesEnded, leasesExpired, refusals.LeaseExpired], [1, 0, 1])
    })))

  it.effect("closes the connection in a pool without maxLease, so that the borrower fails when it uses it", () =>
    test(Effect.gen(function*() {
      const { ledger, pool, query } = yield* made({ maxPerEndpoint: 1 })
      const held = yield* fork(Effect.exit(Effect.withSpan(ConnectionPool.use(pool, "a", query), "report")))
      yield* settle
      const next = yield* fork(ConnectionPool.use(pool, "a", id))
      assert.isTrue(yield* end(pool, "report"))
      const exit = yield* Fiber.join(held)
      assert.deepStrictEqual(reasonsIn(exit).map((text) => text.split(",")[0]), [
        "ScriptedFailure: scripted ECONNRESET",
        "PoolError: ended: an operator has ended the lease of a connection to a"
      ])
      assert.strictEqual(yield* Fiber.join(next), 2)
      assert.strictEqual(ledger.closed, 1)
      assert.deepStrictEqual(yield* closedBy(pool), [["lease_ended", 1]])
      assert.strictEqual((yield* ConnectionPool.stats(pool)).refusals.LeaseExpired, 1)
    })))

  it.effect("changes neither a success of the borrower nor its own interruption", () =>
    test(Effect.gen(function*() {
      const { pool } = yield* made()
      const latch = yield* Deferred.make<void>()
      const success = yield* fork(
        Effect.withSpan(ConnectionPool.use(pool, "a", () => Effect.as(Deferred.await(latch), "done")), "success")
      )
      const interrupted = yield* fork(Effect.withSpan(ConnectionPool.use(pool, "a", () => Effect.never), "interrupted"))
      yield* settle
      assert.isTrue(yield* end(pool, "success"))
      assert.isTrue(yield* end(pool, "interrupted"))
      yield* Deferred.succeed(latch, undefined)
      assert.strictEqual(yield* Fiber.join(success), "done")
      yield* Fiber.interrupt(interrupted)
      assert.deepStrictEqual(reasonsIn(yield* Fiber.await(interrupted)), [])
      assert.deepStrictEqual(yield* closedBy(pool), [["lease_ended", 2]])
      assert.deepInclude(yield* ConnectionPool.stats(pool), { total: 0, leasesEnded: 2 })
    })))

  it.effect("fails the borrower alone that shares its connection, in a pool with maxLease", () =>
    test(Effect.gen(function*() {
      const { ledger, pool, query } = yield* made({ maxLease: "1 hour", concurrency: 2, maxConnections: 1 })
      const latch = yield* Deferred.make<void>()
      const wait = (connection: Scripted.Scripted) => Effect.raceFirst(Deferred.await(latch), query(connection))
      const first = yield* fork(Effect.exit(Effect.withSpan(ConnectionPool.use(pool, "a", wait), "first")))
      yield* settle
      const second = yield* fork(Effect.exit(Effect.withSpan(ConnectionPool.use(pool, "a", wait), "second")))
      yield* settle
      assert.isTrue(yield* end(pool, "first"))
      yield* settle
      assert.include(reasonsIn(yield* Fiber.join(first))[0], "an operator has ended the lease")
      assert.strictEqual(ledger.closed, 0)
      yield* Deferred.succeed(latch, undefined)
      assert.isTrue(Exit.isSuccess(yield* Fiber.join(second)))
      yield* settle
      assert.deepStrictEqual(yield* closedBy(pool), [["lease_ended", 1]])
    })))

  it.effect("closes a shared connection under all of its borrowers, in a pool without maxLease", () =>
    test(Effect.gen(function*() {
      const { pool, query } = yield* made({ concurrency: 2, maxConnections: 1 })
      const first = yield* fork(Effect.exit(Effect.withSpan(ConnectionPool.use(pool, "a", query), "first")))
      yield* settle
      const second = yield* fork(Effect.exit(Effect.withSpan(ConnectionPool.use(pool, "a", query), "second")))
      yield* settle
      assert.isTrue(yield* end(pool, "first"))
      assert.lengthOf(reasonsIn(yield* Fiber.join(first)), 2)
      assert.deepStrictEqual(reasonsIn(yield* Fiber.join(second)), ["ScriptedFailure: scripted ECONNRESET"])
    })))

  it.effect("closes the connection of a scope, also of a standing lease", () =>
    test(Effect.gen(function*() {
      const { ledger, pool } = yield* made()
      const connection = yield* Effect.withSpan(ConnectionPool.get(pool, "a", { standing: true }), "listener")
      assert.isTrue(yield* end(pool, "listener"))
      assert.strictEqual(yield* ConnectionPool.recalled(pool, connection), "Evicted")
      yield* settle
      assert.strictEqual(ledger.closed, 1)
    })))

  it.effect("is told that there is no such lease", () =>
    test(Effect.gen(function*() {
      const { pool, registered } = yield* made()
      const held = yield* fork(Effect.withSpan(ConnectionPool.use(pool, "a", () => Effect.never), "report"))
      yield* settle
      const lease = yield* idOf(pool, "report")
      assert.isFalse(registered.endLease(lease + 1))
      assert.isTrue(registered.endLease(lease))
      assert.isFalse(registered.endLease(lease))
      yield* Fiber.interrupt(held)
      assert.isFalse(registered.endLease(lease))
      assert.isTrue(Option.isNone(Option.fromUndefinedOr((yield* ConnectionPool.inspect(pool)).holders[0])))
    })))
})
