/** What all functions do. */
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"

/** The server of the tests. */
export const login = { host: "127.0.0.1", port: 5432, username: "postgres", database: "postgres" } as const

/** One statement with a parameter. */
export const greeting = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql`SELECT 'hello ' || ${"Ada"} AS greeting, pg_backend_pid() AS session`
  return rows[0]
})
