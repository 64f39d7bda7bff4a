import { Effect } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Endpoint from "effect-sluice/Endpoint"
import * as NodePostgres from "effect-sluice/NodePostgres"
import * as Duration from "effect/Duration"
import type { Client } from "pg"
import { type Adapter, failing, meanwhile, promised } from "../Adapter.ts"
import * as Databases from "../servers/Databases.ts"

const ask = (client: Client, sql: string) => promised(() => client.query<Record<string, unknown>>(sql))

export const adapter: Adapter = {
  name: "NodePostgres",
  needs: ["PostgreSQL"],
  commands: ["initdb", "postgres"],
  server: Databases.postgres,
  ownServer: Databases.ownPostgres,
  open: ({ cap, label, port, ...times }) =>
    Effect.gen(function*() {
      const connector = NodePostgres.connector({ user: "postgres", database: "postgres", application_name: label })
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: cap, maxTotal: cap, ...times })
      const endpoint = Endpoint.tcp("127.0.0.1", port)
      const use = <A, E>(f: (client: Client) => Effect.Effect<A, E>) => failing(ConnectionPool.use(pool, endpoint, f))
      return {
        request: use((client) =>
          Effect.map(ask(client, "select pg_backend_pid() as id"), ({ rows }) => Number(rows[0]?.["id"]))
        ),
        slow: (duration) => use((client) => ask(client, `select pg_sleep(${Duration.toSeconds(duration)})`)),
        stats: ConnectionPool.stats(pool),
        drain: (deadline) => ConnectionPool.drain(pool, deadline),
        lease: failing(ConnectionPool.get(pool, endpoint)),
        middles: {
          "a borrow": (body) => use(() => body),
          "a request": (body) => use((client) => meanwhile(ask(client, "select pg_sleep(0.3)"), body)),
          "a transaction": (body) => use((client) => Effect.andThen(ask(client, "begin"), body)),
          "a listener": (body) => use((client) => Effect.andThen(ask(client, "listen sluice_contract"), body))
        }
      }
    })
}
