/**
 * A program in a process of its own with many statements that hang.
 *
 * Usage: node hung-child.ts PLATFORM CLIENT PORT APPLICATION COUNT
 */
import { Effect, Layer } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Endpoint from "effect-sluice/Endpoint"
import * as Main from "effect-sluice/Main"
import * as NodePostgres from "effect-sluice/NodePostgres"
import * as Postgres from "effect-sluice/Postgres"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as Vercel from "effect-sluice/Vercel"
import * as SqlClient from "effect/sql/SqlClient"

const [platform, client, port, application, count] = process.argv.slice(2)

const times = Array.from({ length: Number(count) })

const all = <A, E, R>(statement: Effect.Effect<A, E, R>) =>
  Effect.forEach(times, () => statement, { concurrency: "unbounded", discard: true })

const postgres = {
  layer: Postgres.layer({
    host: "127.0.0.1",
    port: Number(port),
    database: "postgres",
    username: "sluice",
    applicationName: application,
    maxConnections: times.length
  }).pipe(Layer.provide(ResourceMonitor.layer)),
  hung: Effect.flatMap(SqlClient.SqlClient, (sql) => all(sql`SELECT pg_sleep(60)`))
}

class Clients extends ConnectionPool.Service<Clients>()("test/Clients", {
  connector: NodePostgres.connector({
    user: "sluice",
    database: "postgres",
    application_name: application,
    // The server's own limit, where the case sets one.
    options: process.env["PG_OPTIONS"]
  }),
  endpoint: Endpoint.tcp("127.0.0.1", Number(port)),
  maxPerEndpoint: times.length,
  maxTotal: times.length
}) {}

const nodePostgres = {
  layer: Clients.layer.pipe(Layer.provide(ResourceMonitor.layer)),
  hung: all(Clients.withConnection((pg) => Effect.tryPromise(() => pg.query("SELECT pg_sleep(60)"))))
}

const mains: Record<string, () => void> = {
  "Postgres": () => Main.run(postgres.hung, { layer: postgres.layer }),
  "Postgres, uninterruptible": () => Main.run(Effect.uninterruptible(postgres.hung), { layer: postgres.layer }),
  "NodePostgres": () => Main.run(nodePostgres.hung, { layer: nodePostgres.layer })
}

if (platform === "Vercel") {
  const instance = Vercel.attach(postgres.layer, { waitUntil: () => {} })
  // The route of a platform that is being ended.
  instance.run(postgres.hung).catch((error: unknown) => process.stdout.write(`${String(error)}\n`))
} else {
  mains[client ?? ""]?.()
}
