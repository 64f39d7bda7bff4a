/**
 * A database through `SqlClient`: its address as the options of `@effect/sql-pg` name it, and the statement.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { SqlClient } from "effect/sql/SqlClient"
import type { Connection } from "effect/sql/SqlConnection"
import type { SqlError } from "effect/sql/SqlError"
import type { Setting } from "./Contender.ts"
import { tls } from "./Contender.ts"
import type { Limits } from "./Limits.ts"

/** Where the database is, and how to log in. */
export const optionsOf = ({ database, host, port }: Setting) => ({
  host,
  port,
  applicationName: "sluice-demo",
  ...(database === undefined ? {} : {
    username: database.user,
    database: database.name,
    ...(database.password === undefined ? {} : { password: Redacted.make(database.password) }),
    ...(database.ssl ? { ssl: tls } : {})
  })
})

type Reserve = Effect.Effect<Connection, SqlError, Scope.Scope>

/**
 * The statement, on a connection that is reserved first: a timeout of both would count the wait for a connection as time of the server.
 */
export const statement = <E>(
  { requestTimeout }: Limits,
  reserved: (reserve: Reserve) => Effect.Effect<Connection, E, Scope.Scope>
) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient
    const connection = yield* reserved(sql.reserve)
    return yield* Effect.timeout(connection.execute("select 1", [], undefined), requestTimeout)
  }).pipe(Effect.scoped)
