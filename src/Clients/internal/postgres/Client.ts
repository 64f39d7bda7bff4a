/**
 * `PgClient` over a pool of sessions.
 *
 * @since 0.1.0
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import type { Result } from "@effect/sql-pg/PgConnection"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Reactivity from "effect/reactivity/Reactivity"
import * as SqlClient from "effect/sql/SqlClient"
import type { Acquirer, Borrower, Connection } from "effect/sql/SqlConnection"
import { SqlError, UnknownError } from "effect/sql/SqlError"
import * as Statement from "effect/sql/Statement"
import * as ConnectionPool from "../../../Pool/ConnectionPool.ts"
import { listener } from "./Listener.ts"
import type { Settings } from "./Options.ts"
import { hasEnded, type Session } from "./Session.ts"
import { byFiber, exclusive, type SessionPool, standing } from "./SessionPool.ts"
import { unwrapped } from "./SqlFailure.ts"
import { StatementConnection } from "./StatementConnection.ts"

const failure = (operation: string, message: string): SqlError =>
  new SqlError({ reason: new UnknownError({ cause: new Error(message), message, operation }) })

/** Commits, and fails if the server answers `COMMIT` with `ROLLBACK`, because a statement of the transaction has failed. */
const commit = (connection: Connection): Effect.Effect<void, SqlError> =>
  Effect.flatMap(
    // The connection is one of this module, so its raw result is that of the driver.
    connection.executeRaw("COMMIT", []) as Effect.Effect<Result, SqlError>,
    ({ command }) =>
      command === "ROLLBACK"
        ? Effect.fail(
          failure("commit", "Postgres: COMMIT has rolled back a transaction in which a statement had failed")
        )
        : Effect.void
  )

/** PostgreSQL cuts longer names of channels, silently in `LISTEN` and with an error in `pg_notify`. */
const longestChannel = 63

const channelFailure = (channel: string): SqlError | undefined =>
  new TextEncoder().encode(channel).byteLength <= longestChannel
    ? undefined
    : failure("notify", `Postgres: the name of a channel has at most ${longestChannel} bytes`)

const spanAttributesOf = ({ endpoint, options, url }: Settings): ReadonlyArray<readonly [string, unknown]> => [
  ...Object.entries(options.spanAttributes ?? {}),
  ["db.system.name", "postgresql"],
  ["db.namespace", options.database ?? url.database ?? options.username ?? url.username ?? "postgres"],
  ["server.address", endpoint._tag === "UnixEndpoint" ? endpoint.path : endpoint.host],
  ...(endpoint._tag === "UnixEndpoint" ? [] : [["server.port", endpoint.port] as const])
]

/** The part of a session that runs statements, made once for a session that is shared. */
const ofShared = new WeakMap<Session, StatementConnection>()

const connectionOf = (session: Session): StatementConnection => {
  const known = ofShared.get(session)
  if (known !== undefined) return known
  const made = new StatementConnection(session)
  ofShared.set(session, made)
  return made
}

/**
 * Leases a session for one statement.
 *
 * **Details**
 *
 * A statement that has waited for its session is sent in the next turn of the event loop, together with those of the other sessions. Sent in
 * the step in which the session came back, each of them would wake a process of the server for itself. Statements that share a session are
 * sent together in any case.
 */
const borrowerOf = ({ connections, endpoint }: SessionPool, { options }: Settings): Borrower => {
  const isShared = options.multiplex === true
  // The number of the borrow that began last.
  let latest = 0
  return <A, E, R>(f: (connection: Connection) => Effect.Effect<A, E, R>) =>
    Effect.suspend(() => {
      const own = ++latest
      const statement = (session: Session) => {
        const sent = f(connectionOf(session))
        // Another borrow has begun since, so that this one has waited.
        return isShared || own === latest ? sent : Effect.andThen(Effect.yieldNow, sent)
      }
      return Effect.mapError(
        ConnectionPool.use(connections, endpoint, statement, byFiber),
        // A statement itself fails only with errors of SQL, so an error with the tag of a pool's error is one of the pool.
        (error) => unwrapped<E>(error)
      )
    })
}

/** Makes the client. It has no resources to close. */
export const clientOf = (
  pool: SessionPool,
  settings: Settings
): Effect.Effect<PgClient.PgClient, never, Reactivity.Reactivity> =>
  Effect.gen(function*() {
    const { options } = settings
    const { transformJson, transformQueryNames, transformResultNames } = options
    // `SqlClient` knows a client by the identity of this effect, so each client gets one of its own.
    const acquirer: Acquirer = Effect.map(exclusive(pool, settings), (session) => new StatementConnection(session))
    const borrower = borrowerOf(pool, settings)
    const client = yield* SqlClient.make({
      acquirer,
      borrower,
      transactionAcquirer: acquirer,
      compiler: PgClient.makeCompiler(transformQueryNames, transformJson),
      driver: "pg",
      prepareTransactionControls: true,
      commit,
      // The end of a session has ended its transaction. A `ROLLBACK` would fail then, and `withTransaction` would make that a
      // defect.
      isTransaction: (connection) => !(connection instanceof StatementConnection) || !hasEnded(connection.session),
      releaseSavepoint: (name) => `RELEASE SAVEPOINT ${name}`,
      spanAttributes: spanAttributesOf(settings),
      ...(transformResultNames === undefined
        ? {}
        : { transformRows: Statement.defaultTransforms(transformResultNames, transformJson).array })
    })
    const json = Statement.custom<Statement.Custom<"PgJson", unknown>>("PgJson")
    return Object.assign(client, {
      // The type of the key is a literal, which an object literal widens.
      [PgClient.TypeId]: PgClient.TypeId as PgClient.TypeId,
      config: options,
      json: (value: unknown) => Statement.fragment([json(value)]),
      listen: listener(exclusive(pool, settings, standing)),
      notify: (channel: string, payload: string) => {
        const refused = channelFailure(channel)
        if (refused !== undefined) return Effect.fail(refused)
        const notified = "SELECT pg_notify($1, $2)"
        return Effect.asVoid(borrower((connection) => connection.executeRaw(notified, [channel, payload])))
      }
    })
  })

/** The client as the services that it is. */
export const servicesOf = (client: PgClient.PgClient): Context.Context<PgClient.PgClient | SqlClient.SqlClient> =>
  Context.make(PgClient.PgClient, client).pipe(Context.add(SqlClient.SqlClient, client))
