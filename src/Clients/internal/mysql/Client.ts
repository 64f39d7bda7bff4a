/**
 * `SqlClient` over a pool of sessions.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Reactivity from "effect/reactivity/Reactivity"
import * as SqlClient from "effect/sql/SqlClient"
import type { Acquirer, Borrower, Connection as SqlConnection } from "effect/sql/SqlConnection"
import { SqlError, UnknownError } from "effect/sql/SqlError"
import * as Statement from "effect/sql/Statement"
import * as ConnectionPool from "../../../Pool/ConnectionPool.ts"
import { abandon, type Cancel } from "./Cancel.ts"
import { makeCompiler } from "./Compiler.ts"
import type { Connection } from "./Driver.ts"
import type { Settings } from "./Options.ts"
import type { SessionPool } from "./SessionPool.ts"
import { stateOf } from "./SessionState.ts"
import { unwrapped } from "./SqlFailure.ts"
import { StatementConnection } from "./StatementConnection.ts"

const rolledBack = "Mysql: COMMIT of a transaction that the server has rolled back, as it does after a deadlock"

/** Commits, and fails after a deadlock: the server has rolled back the transaction, and would answer `COMMIT` with success. */
const commit = (connection: SqlConnection): Effect.Effect<void, SqlError> =>
  connection instanceof StatementConnection && stateOf(connection.connection).isRolledBack
    ? Effect.fail(
      new SqlError({
        reason: new UnknownError({ cause: new Error(rolledBack), message: rolledBack, operation: "commit" })
      })
    )
    : Effect.asVoid(connection.executeUnprepared("COMMIT", [], undefined))

const spanAttributesOf = ({ database, endpoint, options }: Settings): ReadonlyArray<readonly [string, unknown]> => [
  ...Object.entries(options.spanAttributes ?? {}),
  ["db.system.name", "mysql"],
  ...(database === undefined ? [] : [["db.namespace", database] as const]),
  ["server.address", endpoint._tag === "UnixEndpoint" ? endpoint.path : endpoint.host],
  ...(endpoint._tag === "UnixEndpoint" ? [] : [["server.port", endpoint.port] as const])
]

/** Makes the client. It has no resources to close. */
export const clientOf = (
  { connections, endpoint, get }: SessionPool,
  settings: Settings,
  cancel: Cancel = abandon
): Effect.Effect<SqlClient.SqlClient, never, Reactivity.Reactivity> => {
  const { options: { transformQueryNames, transformResultNames }, prepare } = settings
  const connectionOf = (connection: Connection) => new StatementConnection(connection, { cancel, prepare })
  // `SqlClient` knows a client by the identity of this effect, so each client gets one of its own.
  const acquirer: Acquirer = Effect.map(get, connectionOf)
  const borrower: Borrower = (f) =>
    Effect.mapError(
      ConnectionPool.use(connections, endpoint, (connection) => f(connectionOf(connection)), { site: "fiber" }),
      unwrapped
    )
  return SqlClient.make({
    acquirer,
    borrower,
    compiler: makeCompiler(transformQueryNames),
    driver: "mysql2",
    commit,
    isTransaction: (connection) => connection instanceof StatementConnection && connection.isInTransaction,
    releaseSavepoint: (name) => `RELEASE SAVEPOINT ${name}`,
    spanAttributes: spanAttributesOf(settings),
    ...(transformResultNames === undefined
      ? {}
      : { transformRows: Statement.defaultTransforms(transformResultNames).array })
  })
}
