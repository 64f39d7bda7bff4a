/**
 * Connections that are found dead while a borrower has them: who gets the slot, and when.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as TcpConnection from "effect-sluice/TcpConnection"
import { TestClock } from "effect/testing"
import { fork, settle, test } from "../support/Pools.ts"
import * as Scripted from "../support/ScriptedConnector.ts"
import * as TcpServer from "../support/TcpServer.ts"

describe("a borrower whose connection failed its check", () => {
  const borrows = {
    use: (pool: ConnectionPool.ConnectionPool<string, Scripted.Scripted>) =>
      ConnectionPool.use(pool, "a", ({ id }) => Effect.succeed(id)),
    get: (pool: ConnectionPool.ConnectionPool<string, Scripted.Scripted>) =>
      Effect.scoped(Effect.map(ConnectionPool.get(pool, "a"), ({ id }) => id))
  }
  for (const [name, borrow] of Object.entries(borrows)) {
    for (const concurrency of [1, 2]) {
      it.effect(`keeps its place also when \`open\` completes at once: ${name}, concurrency ${concurrency}`, () =>
        test(Effect.gen(function*() {
          const { connector, ledger, steps } = Scripted.make()
          const pool = yield* ConnectionPool.make({ connector, maxTotal: 1, concurrency })
          yield* borrow(pool)
          yield* TestClock.adjust("1 second")
          const checked = yield* Deferred.make<void, Scripted.ScriptedFailure>()
          steps.check = () => Deferred.await(checked)
          const order: Array<string> = []
          const borrowers = yield* Effect.forEach(
            ["first", "second", "third"],
            (who) => fork(Effect.tap(borrow(pool), () => Effect.sync(() => order.push(who))))
          )
          yield* settle
          yield* Deferred.fail(checked, new Scripted.ScriptedFailure("ECONNRESET"))
          yield* settle
          yield* Fiber.joinAll(borrowers)
          assert.deepStrictEqual(order, ["first", "second", "third"])
          assert.deepStrictEqual([ledger.opened, ledger.closed], [2, 1])
          assert.deepInclude(yield* ConnectionPool.stats(pool), { total: 1, idle: 1, active: 0, waiting: 0 })
        })))
    }
  }
})

describe("a leased connection whose socket is gone", () => {
  for (const concurrency of [1, 2]) {
    it.live(`gives its slot back at once, and its borrower's end is harmless: concurrency ${concurrency}`, () =>
      test(Effect.gen(function*() {
        const server = yield* TcpServer.echo
        const to = server.endpoint
        const pool = yield* ConnectionPool.make({ connector: TcpConnection.connector(), maxTotal: 1, concurrency })
        yield* ConnectionPool.use(pool, to, () => Effect.void)
        const latch = yield* Deferred.make<void>()
        let begun = 0
        const holders = yield* Effect.forEach(
          Array.from({ length: concurrency }),
          () => fork(ConnectionPool.use(pool, to, () => Effect.suspend(() => (begun++, Deferred.await(latch)))))
        )
        yield* TcpServer.eventually(() => begun === concurrency)
        const next = yield* fork(
          ConnectionPool.use(pool, to, (connection) => Effect.andThen(connection.write("x"), connection.read))
        )
        for (const socket of server.sockets) socket.destroy()
        yield* Fiber.join(next)
        assert.deepInclude(yield* ConnectionPool.stats(pool), { opened: 2, closed: 1, total: 1, active: 0, idle: 1 })
        yield* Deferred.succeed(latch, undefined)
        yield* Fiber.joinAll(holders)
        assert.deepInclude(yield* ConnectionPool.stats(pool), { opened: 2, closed: 1, total: 1, active: 0, idle: 1 })
        assert.strictEqual(yield* ConnectionPool.health(pool, to), "Healthy")
        assert.strictEqual(server.account.peak, 1)
      })))
  }

  it.live("gives its borrower all that had come before the end, however late it reads", () =>
    test(Effect.gen(function*() {
      const server = yield* TcpServer.make((socket) => void socket.once("data", () => socket.end("answer")))
      const pool = yield* ConnectionPool.make({ connector: TcpConnection.connector(), maxTotal: 1 })
      const read = yield* ConnectionPool.use(pool, server.endpoint, (connection) =>
        Effect.gen(function*() {
          yield* connection.write("question")
          yield* connection.dead
          yield* TcpServer.eventually(() => server.sockets.size === 0)
          return new TextDecoder().decode(yield* connection.read)
        }))
      assert.strictEqual(read, "answer")
      assert.strictEqual((yield* ConnectionPool.stats(pool)).closed, 1)
    })))
})
