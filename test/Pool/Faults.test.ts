/**
 * Faults of an earlier pool that must not come back, each against a real server.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import type * as Endpoint from "effect-sluice/Endpoint"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as TcpConnection from "effect-sluice/TcpConnection"
import { countDescriptors } from "../support/descriptors.ts"
import * as TcpServer from "../support/TcpServer.ts"

const fork = Effect.forkChild({ startImmediately: true })

const echo = (text: string) => (connection: TcpConnection.TcpConnection) =>
  Effect.andThen(connection.write(text), Effect.map(connection.read, (bytes) => new TextDecoder().decode(bytes)))

type Options = ConnectionPool.Options<Endpoint.Endpoint, TcpConnection.TcpConnection, never, never>

const pool = (options: Omit<Options, "connector"> = {}) =>
  ConnectionPool.make({ connector: TcpConnection.connector(), ...options })

const live = <A, E>(
  name: string,
  effect: Effect.Effect<A, E, Scope.Scope | ResourceMonitor.ResourceMonitor>
) => it.live(name, () => Effect.provide(effect, ResourceMonitor.layer))

describe("faults", () => {
  live(
    "fault 1: a permit was taken per borrow and never given back, so that after maxTotal borrows the pool was dead",
    Effect.gen(function*() {
      const server = yield* TcpServer.echo
      const connections = yield* pool({ maxTotal: 5 })
      for (let turn = 0; turn < 1000; turn++) {
        assert.strictEqual(yield* ConnectionPool.use(connections, server.endpoint, echo("x")), "x")
      }
      assert.strictEqual(server.account.opened, 1)
    })
  )

  live(
    "fault 2: a connection that was dropped instead of returned kept its permit for ever",
    Effect.gen(function*() {
      const server = yield* TcpServer.echo
      const connections = yield* pool({ maxTotal: 1, acquireTimeout: "2 seconds" })
      for (let turn = 0; turn < 20; turn++) {
        yield* ConnectionPool.use(
          connections,
          server.endpoint,
          (connection) => ConnectionPool.invalidate(connections, connection)
        )
        const holder = yield* fork(ConnectionPool.use(connections, server.endpoint, () => Effect.never))
        yield* Effect.yieldNow
        yield* Fiber.interrupt(holder)
      }
      assert.strictEqual(yield* ConnectionPool.use(connections, server.endpoint, echo("alive")), "alive")
      assert.isAtMost((yield* ConnectionPool.stats(connections)).total, 1)
    })
  )

  live(
    "fault 3: popping an expired idle connection lost its permit",
    Effect.gen(function*() {
      const server = yield* TcpServer.echo
      const connections = yield* pool({ maxTotal: 1, idleTimeout: "15 millis", acquireTimeout: "2 seconds" })
      for (let turn = 0; turn < 10; turn++) {
        assert.strictEqual(yield* ConnectionPool.use(connections, server.endpoint, echo("x")), "x")
        yield* Effect.sleep("20 millis")
      }
      assert.isAbove((yield* ConnectionPool.stats(connections)).expired, 5)
      assert.strictEqual(server.account.peak, 1)
    })
  )

  live(
    "fault 4: idle connections of one endpoint blocked every other endpoint at the total cap",
    Effect.gen(function*() {
      const [first, second] = yield* Effect.all([TcpServer.echo, TcpServer.echo])
      const connections = yield* pool({ maxTotal: 1, acquireTimeout: "1 minute" })
      yield* ConnectionPool.use(connections, first.endpoint, echo("x"))
      const start = performance.now()
      assert.strictEqual(yield* ConnectionPool.use(connections, second.endpoint, echo("y")), "y")
      assert.isBelow(performance.now() - start, 10_000)
    })
  )

  live(
    "fault 5: a connection that the server had closed was taken for alive",
    Effect.gen(function*() {
      const server = yield* TcpServer.echo
      const connections = yield* pool()
      const endings: Array<(socket: import("node:net").Socket) => void> = [
        (socket) => socket.end(),
        (socket) => socket.end("a last word"),
        (socket) => socket.resetAndDestroy()
      ]
      for (const end of endings) {
        yield* ConnectionPool.use(connections, server.endpoint, echo("x"))
        for (const socket of server.sockets) end(socket)
        yield* server.drained
        yield* Effect.sleep("20 millis")
        assert.strictEqual((yield* ConnectionPool.stats(connections)).idle, 0)
        assert.strictEqual(yield* ConnectionPool.use(connections, server.endpoint, echo("y")), "y")
      }
      assert.strictEqual((yield* ConnectionPool.stats(connections)).died, 3)
    })
  )

  live(
    "fault 6: the stats always said 0 active",
    Effect.gen(function*() {
      const server = yield* TcpServer.echo
      const connections = yield* pool()
      yield* ConnectionPool.use(
        connections,
        server.endpoint,
        () =>
          ConnectionPool.use(connections, server.endpoint, () =>
            Effect.gen(function*() {
              const stats = yield* ConnectionPool.stats(connections)
              assert.deepInclude(stats, { active: 2, idle: 0, total: 2 })
            }))
      )
      assert.deepInclude(yield* ConnectionPool.stats(connections), { active: 0, idle: 2 })
    })
  )

  live(
    "fault 7: closing dropped sockets without a shutdown, and shutting down forgot those that were lent",
    Effect.gen(function*() {
      const server = yield* TcpServer.echo
      const before = countDescriptors()
      const scope = yield* Scope.make()
      const connections = yield* Scope.provide(
        pool({ maxPerEndpoint: 4, maxTotal: 4, drainTimeout: "100 millis" }),
        scope
      )
      const lent = yield* Deferred.make<void>()
      const holders = yield* Effect.forEach(
        [1, 2],
        () =>
          fork(
            ConnectionPool.use(connections, server.endpoint, (connection) =>
              Effect.andThen(Deferred.succeed(lent, undefined), Effect.exit(connection.read)))
          )
      )
      yield* Deferred.await(lent)
      yield* Effect.forEach([1, 2], () => ConnectionPool.use(connections, server.endpoint, echo("x")), {
        concurrency: "unbounded"
      })
      yield* Scope.close(scope, Exit.void)
      assert.isTrue((yield* Fiber.joinAll(holders)).every(Exit.isFailure))
      yield* server.drained
      assert.strictEqual(server.sockets.size, 0)
      assert.strictEqual(server.account.broken, 0)
      assert.strictEqual(server.account.graceful, server.account.opened)
      // The server's own sockets are descriptors of this process as well, and they are closed too.
      assert.strictEqual(countDescriptors(), before)
    })
  )

  live(
    "fault 16: two callers at once opened two connections and lost one",
    Effect.gen(function*() {
      const server = yield* TcpServer.echo
      const connections = yield* pool()
      for (let turn = 0; turn < 20; turn++) {
        yield* ConnectionPool.evict(connections)
        yield* Effect.forEach([1, 2], () => ConnectionPool.use(connections, server.endpoint, echo("x")), {
          concurrency: "unbounded"
        })
        const { active, idle, total } = yield* ConnectionPool.stats(connections)
        assert.strictEqual(active, 0)
        assert.isAtMost(idle, 2)
        assert.isAtMost(total, 2)
      }
      yield* ConnectionPool.drain(connections, "1 second")
      yield* server.drained
      assert.strictEqual(server.sockets.size, 0)
      assert.isAtMost(server.account.peak, 2)
    })
  )
})
