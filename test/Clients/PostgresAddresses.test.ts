/**
 * Sessions to a name whose address changes, as at a failover: two relays on addresses of the loopback, to the PostgreSQL of the tests.
 */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import * as SqlClient from "effect/sql/SqlClient"
import * as Net from "node:net"
import { address } from "../Serverless/Postgres.ts"
import { describeWith } from "../support/LiveServers.ts"
import { eventually } from "../support/TcpServer.ts"
import { withClient } from "./support/Postgres.ts"

const withPostgres = await describeWith("PostgreSQL")

const relay = (host: string, port: number) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly server: Net.Server; readonly sockets: Set<Net.Socket> }>((resume) => {
      const sockets = new Set<Net.Socket>()
      const server = Net.createServer((socket) => {
        const upstream = Net.connect(address)
        sockets.add(socket)
        socket.on("error", () => {}).on("close", () => {
          sockets.delete(socket)
          upstream.destroy()
        })
        upstream.on("error", () => {}).on("close", () => socket.destroy())
        socket.pipe(upstream)
        upstream.pipe(socket)
      })
      server.listen(port, host, () => resume(Effect.succeed({ server, sockets })))
    }),
    ({ server, sockets }) =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        for (const socket of sockets) socket.destroy()
      })
  )

withPostgres("sessions to a name", () => {
  it.live("move to its new address between statements, without a failure", () =>
    Effect.gen(function*() {
      const old = yield* relay("127.0.0.2", 0)
      const { port } = old.server.address() as Net.AddressInfo
      const next = yield* relay("127.0.0.3", port)
      const state = { address: "127.0.0.2", asked: 0 }
      const lookup: Net.LookupFunction = (_, __, callback) => {
        state.asked++
        callback(null, [{ address: state.address, family: 4 }])
      }
      yield* withClient(
        { host: "db.test", port, lookup, refreshAddresses: "50 millis", maxConnections: 3 },
        () =>
          Effect.gen(function*() {
            const sql = yield* SqlClient.SqlClient
            const fill = Effect.forEach([1, 2, 3], () => sql`select pg_sleep(0.05)`, { concurrency: "unbounded" })
            yield* fill
            assert.strictEqual(old.sockets.size, 3)
            state.address = "127.0.0.3"
            const { asked } = state
            yield* eventually(() => state.asked >= asked + 3)
            for (let round = 0; round < 5; round++) yield* fill
            yield* eventually(() => old.sockets.size === 0)
            assert.strictEqual(next.sockets.size, 3)
          })
      )
    }))
})
