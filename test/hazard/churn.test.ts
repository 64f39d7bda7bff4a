/**
 * A thousand connections come and go: declared broken, evicted, too old, reset by the server, closed slowly by it. What
 * is counted are the sockets that the servers see, from the accepted connection to the end of the server's own side: until
 * then the client cannot have finished with it, and from then on its last packet may be on its way.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import * as TcpConnection from "effect-sluice/TcpConnection"
import type * as Net from "node:net"
import { countDescriptors } from "../support/descriptors.ts"
import { churn } from "../support/Figures.ts"
import * as TcpServer from "../support/TcpServer.ts"

const maxPerEndpoint = 3
const maxTotal = 5

/** What becomes of the n-th connection to a server. */
const fates = ["echoes", "closes slowly", "echoes", "resets", "echoes", "ends"] as const

/** Serves a socket according to its fate. Half-open sockets end only when this says so. */
const serve = (socket: Net.Socket, fate: typeof fates[number]): void => {
  socket.on("data", (data) => {
    if (fate === "resets") socket.resetAndDestroy()
    else if (fate === "ends") socket.end(data)
    else socket.write(data)
  })
  // The client's end has arrived, and until ours goes out the client must wait and count the connection.
  socket.on("end", () => void setTimeout(() => socket.end(), fate === "closes slowly" ? 15 : 0))
}

describe("churn", () => {
  it.live("servers never see more sockets than the caps allow, and in the end none", () =>
    Effect.gen(function*() {
      const peaks = { perServer: 0, total: 0 }
      const servers: Array<TcpServer.TcpServer> = []
      const note = () => {
        const open = servers.map(({ sockets }) => [...sockets].filter(({ writableEnded }) => !writableEnded).length)
        peaks.perServer = Math.max(peaks.perServer, ...open)
        peaks.total = Math.max(peaks.total, open.reduce((sum, count) => sum + count, 0))
      }
      const opened = () => servers.reduce((sum, { account }) => sum + account.opened, 0)
      let accepted = 0
      for (let index = 0; index < 3; index++) {
        servers.push(
          yield* TcpServer.make((socket) => {
            note()
            serve(socket, fates[accepted++ % fates.length] ?? "echoes")
          }, { allowHalfOpen: true })
        )
      }
      // The monitor opens the last of its files with its first sample.
      yield* Effect.flatMap(ResourceMonitor.ResourceMonitor, ({ figures }) => figures)
      const before = countDescriptors()
      const pool = yield* ConnectionPool.make({
        connector: TcpConnection.connector(),
        maxPerEndpoint,
        maxTotal,
        maxLifetime: "40 millis",
        lifetimeJitter: 1,
        acquireTimeout: "5 seconds",
        retry: RetryPolicy.make({ maxAttempts: 10, initialDelay: 1, maxDelay: 5, idempotent: true })
      })
      const outcomes = { done: 0, failed: 0 }
      const borrow = (turn: number) =>
        Effect.gen(function*() {
          const server = servers[turn % servers.length]
          if (server === undefined) return
          yield* ConnectionPool.use(pool, server.endpoint, (connection) =>
            Effect.gen(function*() {
              yield* connection.write("x")
              yield* connection.read
              if (turn % 3 === 0) yield* ConnectionPool.invalidate(pool, connection)
            }))
          if (turn % 29 === 0) yield* ConnectionPool.evict(pool)
        })
      const borrower = (number: number) =>
        Effect.gen(function*() {
          for (let turn = number; opened() < churn; turn++) {
            const exit = yield* Effect.exit(borrow(turn))
            outcomes[exit._tag === "Success" ? "done" : "failed"]++
          }
        })
      yield* Effect.forEach(Array.from({ length: 20 }, (_, index) => index), borrower, {
        concurrency: "unbounded",
        discard: true
      })
      yield* ConnectionPool.drain(pool, "2 seconds")
      const stats = yield* ConnectionPool.stats(pool)
      yield* TcpServer.eventually(() => servers.every(({ sockets }) => sockets.size === 0))

      assert.deepInclude(stats, { total: 0, active: 0, idle: 0, connecting: 0, closing: 0, waiting: 0 })
      assert.isAtMost(peaks.perServer, maxPerEndpoint, "sockets that a server saw at once")
      assert.isAtMost(peaks.total, maxTotal, "sockets that all servers saw at once")
      // The caps were used, or keeping them would prove nothing.
      assert.deepStrictEqual(peaks, { perServer: maxPerEndpoint, total: maxTotal })
      assert.isAtLeast(opened(), churn)
      assert.isAbove(outcomes.done, churn / 4)
      assert.isAbove(outcomes.failed, 0)
      for (const { sockets } of servers) assert.strictEqual(sockets.size, 0)
      // The server's ends are descriptors of this process as well.
      assert.strictEqual(countDescriptors(), before)
    }).pipe(Effect.provide(ResourceMonitor.layer)))
})
