import * as PgClient from "@effect/sql-pg/PgClient"
import { Context, Effect, Layer } from "effect"
import * as Postgres from "effect-sluice/Postgres"
import * as Duration from "effect/Duration"
import { type Adapter, failing } from "../Adapter.ts"
import * as Databases from "../servers/Databases.ts"
import { opened } from "./Sql.ts"

export const adapterOf = (name: string, multiplex: boolean): Adapter => ({
  name,
  needs: ["PostgreSQL"],
  commands: ["initdb", "postgres"],
  server: Databases.postgres,
  ownServer: Databases.ownPostgres,
  open: ({ cap, label, port, ...times }) =>
    Effect.gen(function*() {
      const services = yield* Layer.build(
        Layer.fresh(
          Postgres.layer({
            host: "127.0.0.1",
            port,
            username: "postgres",
            database: "postgres",
            applicationName: label,
            maxConnections: cap,
            multiplex,
            ...times
          })
        )
      )
      const { connections, endpoint } = Context.get(services, Postgres.Pool)
      const client = Context.get(services, PgClient.PgClient)
      return opened({
        client,
        pool: connections,
        key: endpoint,
        session: "select pg_backend_pid() as id",
        sleep: (duration) => `select pg_sleep(${Duration.toSeconds(duration)})`,
        many: "select * from generate_series(1, 1000000)",
        middles: {
          "a listener": (body) => failing(Effect.scoped(Effect.andThen(client.listen("sluice_contract"), body)))
        }
      })
    }),
  isShared: multiplex
})

export const adapter = adapterOf("Postgres", false)
export const multiplexed = adapterOf("Postgres with multiplex", true)
