import { Effect } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Endpoint from "effect-sluice/Endpoint"
import * as TcpConnection from "effect-sluice/TcpConnection"
import * as Duration from "effect/Duration"
import * as Net from "node:net"
import { type Adapter, failing, meanwhile } from "../Adapter.ts"
import { listening } from "../servers/Sockets.ts"

/** Answers each line, a number of milliseconds, after that time, with the number of the socket. */
const server = listening(() => Net.createServer(), (socket, id) => {
  socket.on("data", (data) => {
    for (const line of String(data).split("\n").slice(0, -1)) setTimeout(() => socket.write(`${id}\n`), Number(line))
  })
})

const ask = (connection: TcpConnection.TcpConnection, millis: number) =>
  Effect.andThen(
    connection.write(`${millis}\n`),
    Effect.map(connection.read, (bytes) => Number(new TextDecoder().decode(bytes)))
  )

export const adapter: Adapter = {
  name: "TcpConnection",
  needs: [],
  commands: [],
  server,
  ownServer: server,
  open: ({ acquireTimeout, cap, connectTimeout, drainTimeout, port }) =>
    Effect.gen(function*() {
      const connector = TcpConnection.connector({ connectTimeout })
      const pool = yield* ConnectionPool.make({
        connector,
        maxPerEndpoint: cap,
        maxTotal: cap,
        acquireTimeout,
        connectTimeout,
        drainTimeout
      })
      const endpoint = Endpoint.tcp("127.0.0.1", port)
      const use = <A, E>(f: (connection: TcpConnection.TcpConnection) => Effect.Effect<A, E>) =>
        failing(ConnectionPool.use(pool, endpoint, f))
      return {
        request: use((connection) => ask(connection, 0)),
        slow: (duration) => use((connection) => ask(connection, Duration.toMillis(duration))),
        stats: ConnectionPool.stats(pool),
        drain: (deadline) => ConnectionPool.drain(pool, deadline),
        lease: failing(ConnectionPool.get(pool, endpoint)),
        middles: {
          "a borrow": (body) => use(() => body),
          "a request": (body) => use((connection) => meanwhile(ask(connection, 300), body))
        }
      }
    })
}
