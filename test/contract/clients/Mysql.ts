import { Context, Effect, Layer } from "effect"
import * as Mysql from "effect-sluice/Mysql"
import * as Duration from "effect/Duration"
import { SqlClient } from "effect/sql/SqlClient"
import type { Adapter } from "../Adapter.ts"
import * as Databases from "../servers/Databases.ts"
import { opened } from "./Sql.ts"

export const adapter: Adapter = {
  name: "Mysql",
  needs: ["MariaDB"],
  commands: ["mariadb-install-db", "mariadbd"],
  server: Databases.mariadb,
  ownServer: Databases.ownMariadb,
  open: ({ cap, label, port, ...times }) =>
    Effect.gen(function*() {
      const services = yield* Layer.build(
        Layer.fresh(
          Mysql.layer({ host: "127.0.0.1", port, username: "root", database: label, maxConnections: cap, ...times })
        )
      )
      const { connections, endpoint } = Context.get(services, Mysql.Pool)
      return opened({
        client: Context.get(services, SqlClient),
        pool: connections,
        key: endpoint,
        session: "select connection_id() as id",
        sleep: (duration) => `select sleep(${Duration.toSeconds(duration)})`,
        many: "select seq from seq_1_to_1000000"
      })
    })
}
