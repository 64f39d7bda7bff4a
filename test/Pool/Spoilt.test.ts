import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import { fork, id, settle, test } from "../support/Pools.ts"
import * as Scripted from "../support/ScriptedConnector.ts"

/** A peer that answers on each connection in order, after a while. What was asked and not read is there for the next one. */
const answering = () => {
  let opened = 0
  let open = 0
  const connector = Connector.make({
    open: (_key: string) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          open++
          return { id: ++opened, unread: [] as Array<string>, come: Deferred.makeUnsafe<void>() }
        }),
        () => Effect.sync(() => open--)
      )
  })
  type Connection = Effect.Success<ReturnType<typeof connector.open>>
  const ask = (connection: Connection, name: string) =>
    Effect.suspend(() => {
      connection.unread.push(`answer to ${name}`)
      return Effect.map(Deferred.await(connection.come), () => connection.unread.shift())
    })
  return { connector, ask, openNow: () => open }
}

describe("a connection of a connector without isReusable", () => {
  it.effect("is not leased again after a borrow that was interrupted: nobody gets the late answer", () =>
    test(Effect.gen(function*() {
      const { ask, connector } = answering()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1 })
      const alice = yield* fork(ConnectionPool.use(pool, "a", (connection) => ask(connection, "alice")))
      yield* settle
      yield* Fiber.interrupt(alice)
      const bob = yield* ConnectionPool.use(pool, "a", (connection) => {
        Deferred.doneUnsafe(connection.come, Exit.void)
        return ask(connection, "bob")
      })
      assert.strictEqual(bob, "answer to bob")
    })))

  it.effect("is not leased again after a scope of get that ended by an interruption or a defect", () =>
    test(Effect.gen(function*() {
      const { connector, openNow } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1 })
      for (const exit of [Exit.interrupt(1), Exit.die("no")]) {
        const scope = Scope.makeUnsafe()
        yield* Scope.provide(ConnectionPool.get(pool, "a"), scope)
        yield* Scope.close(scope, exit)
        assert.strictEqual(openNow(), 0)
      }
      yield* Effect.scoped(ConnectionPool.get(pool, "a"))
      assert.strictEqual(openNow(), 1)
    })))

  it.effect("is not leased again where an interruption stands beside a failure", () =>
    test(Effect.gen(function*() {
      const { connector, openNow } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector })
      const latch = yield* Deferred.make<void>()
      const both = ConnectionPool.use(pool, "a", () => Effect.ensuring(Deferred.await(latch), Effect.die("no")))
      const fiber = yield* fork(both)
      yield* settle
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(openNow(), 0)
    })))

  it.effect("that is shared takes no new borrower, and closes after its last", () =>
    test(Effect.gen(function*() {
      const { connector, openNow } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 2, concurrency: 2 })
      const latch = yield* Deferred.make<void>()
      const other = yield* fork(
        ConnectionPool.use(pool, "a", (connection) => Effect.as(Deferred.await(latch), connection.id))
      )
      const cut = yield* fork(ConnectionPool.use(pool, "a", () => Effect.never))
      yield* settle
      yield* Fiber.interrupt(cut)
      assert.strictEqual(openNow(), 1)
      assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 2)
      yield* Deferred.succeed(latch, undefined)
      assert.strictEqual(yield* Fiber.join(other), 1)
      yield* settle
      assert.strictEqual(openNow(), 1)
      assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 2)
    })))

  it.effect("is leased again after a success and after a failure", () =>
    test(Effect.gen(function*() {
      const { connector, ledger } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector })
      yield* ConnectionPool.use(pool, "a", id)
      yield* Effect.exit(ConnectionPool.use(pool, "a", () => Effect.fail("no")))
      assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 1)
      assert.strictEqual(ledger.opened, 1)
    })))

  it.effect("stays fit when its borrower was interrupted before it went on with it", () =>
    test(Effect.gen(function*() {
      const { connector, openNow } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1 })
      const latch = yield* Deferred.make<void>()
      const first = yield* fork(ConnectionPool.use(pool, "a", () => Deferred.await(latch)))
      yield* settle
      let isUsed = false
      const second = yield* fork(ConnectionPool.use(pool, "a", () => Effect.sync(() => isUsed = true)))
      // In one step the connection is the second one's, and that one is interrupted before it is continued.
      yield* Effect.sync(() => {
        Deferred.doneUnsafe(latch, Exit.void)
        second.interruptUnsafe()
      })
      yield* Fiber.join(first)
      yield* settle
      assert.isFalse(isUsed)
      assert.strictEqual(openNow(), 1)
      assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 1)
    })))
})

describe("a connector with isReusable", () => {
  it.effect("decides alone what becomes of a connection whose borrower was interrupted", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector: { ...connector, isReusable: () => true }, maxTotal: 1 })
      const fiber = yield* fork(ConnectionPool.use(pool, "a", () => Effect.never))
      yield* settle
      yield* Fiber.interrupt(fiber)
      yield* Effect.exit(ConnectionPool.use(pool, "a", () => Effect.die("no")))
      assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 1)
    })))
})
