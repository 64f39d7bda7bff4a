/**
 * A function to deploy that queries PostgreSQL on RDS: see README.md beside it.
 */
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Lambda from "effect-sluice/Lambda"
import * as Postgres from "effect-sluice/Postgres"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as SqlClient from "effect/sql/SqlClient"
import * as Fs from "node:fs"
import * as Tls from "node:tls"
import * as Password from "./Password.ts"

/** The same as `Timeout` in template.yaml. */
const functionTimeout = "10 seconds"

const settings = Config.all({
  host: Config.String("PGHOST"),
  port: Config.withDefault(Config.Port("PGPORT"), 5432),
  database: Config.String("PGDATABASE"),
  username: Config.String("PGUSER"),
  /** A file with the certificates of those who may sign the server's. Without it they are the ones that Node knows. */
  authorities: Config.option(Config.String("PGSSLROOTCERT"))
})

/** The file is parsed once, not for each session. */
const tls = (authorities: Option.Option<string>) =>
  Option.match(authorities, {
    onNone: () => true,
    onSome: (path) => ({ secureContext: Tls.createSecureContext({ ca: Fs.readFileSync(path) }) })
  })

const { acquireTimeout, closeTimeout, connectTimeout, drainTimeout, idleTimeout, maxTotal } = ConnectionPool.serverless

const database = Layer.unwrap(Effect.gen(function*() {
  const { authorities, ...address } = yield* settings
  const { current } = yield* Password.Password
  return Postgres.layer({
    ...address,
    // As with sslmode=verify-full: the certificate must be valid, and be that of `PGHOST`.
    ssl: tls(authorities),
    password: current,
    // `pg_stat_activity` then shows which instance holds a session.
    applicationName: `example ${yield* Lambda.holderId}`,
    // A frozen instance cannot end its session or its statement, so the server does. Not behind a proxy: see README.md.
    guardRails: {
      idleSession: "45 seconds",
      idleInTransaction: functionTimeout,
      statement: functionTimeout,
      unacknowledged: "10 seconds",
      clientCheck: "1 second"
    },
    maxConnections: maxTotal,
    acquireTimeout,
    closeTimeout,
    connectTimeout,
    drainTimeout,
    idleTimeout
  })
}))

const layer = database.pipe(
  Layer.provideMerge(Password.fromSecret(Config.String("DATABASE_SECRET"))),
  Layer.provide(ResourceMonitor.layer)
)

interface Event {
  readonly name: string
}

const handle = (event: Event) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const greet = sql`SELECT 'hello ' || ${event.name} AS greeting, pg_backend_pid() AS session`
    const rows = yield* Password.withFreshPassword(greet)
    return rows[0]
  })

/** The session is kept for the next invocation, because `ReservedConcurrentExecutions` in template.yaml limits the sessions of all instances. */
export const handler = Lambda.handler({ layer, between: "keep", handle })

await Lambda.ready()
