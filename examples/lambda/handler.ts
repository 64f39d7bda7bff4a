/**
 * A function to deploy that queries PostgreSQL: see README.md beside it.
 */
import { Config, Context, Effect, Layer, Redacted } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Endpoint from "effect-sluice/Endpoint"
import * as Lambda from "effect-sluice/Lambda"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { connector, guardRailsFor, type Session } from "../postgres/PgConnector.ts"

/** The same as `Timeout` in template.yaml. */
const functionTimeout = "10 seconds"

const settings = Config.all({
  host: Config.String("PGHOST"),
  port: Config.withDefault(Config.Port("PGPORT"), 5432),
  database: Config.String("PGDATABASE"),
  username: Config.String("PGUSER"),
  password: Config.withDefault(Config.Redacted("PGPASSWORD"), Redacted.make(""))
})

/** The service that the function uses. */
class Database extends Context.Service<Database, {
  readonly query: (sql: string, params: ReadonlyArray<unknown>) => ReturnType<Session["postgres"]["query"]>
}>()("example/Database") {}

const database = Layer.effect(
  Database,
  Effect.gen(function*() {
    const { host, port, ...login } = yield* settings
    const endpoint = Endpoint.tcp(host, port)
    const pool = yield* ConnectionPool.make({
      connector: connector({
        ...login,
        // `pg_stat_activity` then shows which instance holds a session.
        applicationName: `example ${yield* Lambda.holderId}`,
        guardRails: guardRailsFor({ idleTimeout: ConnectionPool.serverless.idleTimeout, functionTimeout })
      }),
      ...ConnectionPool.serverless
    })
    return Database.of({
      // A missing connection is a defect here: the invocation fails with it.
      query: (sql, params) =>
        ConnectionPool.use(pool, endpoint, ({ postgres }) => postgres.query(sql, params)).pipe(
          Effect.catchTag("PoolError", (error) => Effect.die(error))
        )
    })
  })
).pipe(Layer.provide(ResourceMonitor.layer))

interface Event {
  readonly name: string
}

const handle = (event: Event) =>
  Effect.gen(function*() {
    const { query } = yield* Database
    const { rows } = yield* query("SELECT 'hello ' || $1 AS greeting, pg_backend_pid() AS session", [event.name])
    return rows[0]
  })

/** The session is kept for the next invocation, because `ReservedConcurrentExecutions` in template.yaml limits the sessions of all instances. */
export const handler = Lambda.handler({ layer: database, between: "keep", handle })

await Lambda.ready()
