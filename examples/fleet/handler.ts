/**
 * A function of which more instances may run than the database has sessions: see docs/how-to/fleets.md.
 *
 * It needs `DATABASE_URL` and `REDIS_URL`. `DATABASE_SESSIONS` is what all instances may have together.
 */
import { Config, Effect, Layer } from "effect"
import * as Lambda from "effect-sluice/Lambda"
import * as Postgres from "effect-sluice/Postgres"
import * as RedisBudget from "effect-sluice/RedisBudget"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { SqlClient } from "effect/sql/SqlClient"

/** One budget for all instances. A function polls, because it gets no messages while it is frozen. */
const budget = RedisBudget.layerConfig({
  url: Config.Redacted("REDIS_URL"),
  key: Config.succeed("orders"),
  connections: Config.withDefault(Config.Int("DATABASE_SESSIONS"), 17),
  maxInstances: Config.succeed(17),
  wake: Config.succeed("poll" as const),
  lease: Config.succeed("60 seconds")
})

/** One session for an instance, for which an invocation waits at most 5 seconds. The server ends what a lost instance leaves. */
const database = Postgres.layerConfig({
  url: Config.Redacted("DATABASE_URL"),
  applicationName: Config.succeed("orders"),
  maxConnections: Config.succeed(1),
  acquireTimeout: Config.succeed("5 seconds"),
  idleTimeout: Config.succeed("10 seconds"),
  closeTimeout: Config.succeed("200 millis"),
  guardRails: Config.succeed(
    { statement: "10 seconds", idleSession: "30 seconds", idleInTransaction: "10 seconds" } as const
  )
})

const layer = database.pipe(Layer.provide(budget), Layer.provide(ResourceMonitor.layer))

const handle = (event: { readonly name: string }) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient
    const rows = yield* sql<{ readonly greeting: string; readonly session: string }>`
      select 'hello ' || ${event.name} as greeting, current_setting('application_name') as session`
    return rows[0]
  })

/** By default the session is closed before the answer, and its permit given back. */
export const handler = Lambda.handler({ layer, handle })

await Lambda.ready()
