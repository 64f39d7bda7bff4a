/**
 * A pool of PostgreSQL sessions with limits that the server enforces.
 *
 * Run it with `node examples/postgres.ts` after `npm run build`. It needs a PostgreSQL server: on 127.0.0.1:5432, or the
 * one of `PGHOST`, `PGPORT`, `PGUSER` and `PGDATABASE`.
 */
import { Console, Effect, Layer } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Endpoint from "effect-sluice/Endpoint"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { connector, guardRailsFor } from "./postgres/PgConnector.ts"

const { PGDATABASE = "postgres", PGHOST = "127.0.0.1", PGPORT = "5432", PGUSER = "postgres" } = process.env

const endpoint = Endpoint.tcp(PGHOST, Number(PGPORT))

class Postgres extends ConnectionPool.Service<Postgres>()("example/Postgres", {
  connector: connector({
    database: PGDATABASE,
    username: PGUSER,
    applicationName: "sluice-example",
    guardRails: guardRailsFor({ idleTimeout: ConnectionPool.serverless.idleTimeout, functionTimeout: "10 seconds" })
  }),
  ...ConnectionPool.serverless,
  acquireTimeout: "2 seconds"
}) {}

const rails = Postgres.withConnection(endpoint, ({ postgres }) =>
  Effect.map(
    postgres.query("SELECT name, setting FROM pg_settings WHERE source = 'client' AND unit = 'ms' ORDER BY name"),
    ({ rows }) => rows.map(({ name, setting }) => `${String(name)} = ${String(setting)} ms`)
  ))

const program = Effect.gen(function*() {
  for (const line of yield* rails) yield* Console.log(line)
  yield* rails
  const { borrowed, opened } = yield* Postgres.stats
  yield* Console.log(`${borrowed} borrows, ${opened} session opened`)
}).pipe(
  // Without a server there is nothing to show.
  Effect.catchReason("PoolError", "ConnectFailed", ({ message }) => Console.log(`skipped: ${message}`)),
  Effect.catchReason("PoolError", "AcquireTimeout", ({ message }) => Console.log(`skipped: ${message}`))
)

await Effect.runPromise(Effect.provide(program, Postgres.layer.pipe(Layer.provide(ResourceMonitor.layer))))
