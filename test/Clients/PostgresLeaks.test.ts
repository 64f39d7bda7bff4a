/** What a check says of a lease of a SQL client: its place is that of the span, because the client's effects are made once. */
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Logger, Scope } from "effect"
import * as Postgres from "effect-sluice/Postgres"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { LeakCheck } from "effect-sluice/Testing"
import { SqlClient } from "effect/sql/SqlClient"
import { describeWith, ports } from "../support/LiveServers.ts"

const client = Postgres.layer({
  host: "127.0.0.1",
  port: ports.PostgreSQL,
  username: "postgres",
  database: "postgres",
  drainTimeout: 0
}).pipe(Layer.provide(ResourceMonitor.layerUnlimited))

/** Takes a connection for a scope that is never closed. */
const leak = Effect.flatMap(
  SqlClient,
  (sql) => Effect.provideService(sql.reserve, Scope.Scope, Scope.makeUnsafe())
)

const messageOf = <E>(leaking: Effect.Effect<unknown, E, SqlClient>) =>
  Effect.asVoid(leaking).pipe(
    Effect.provide(client),
    LeakCheck.check({ within: "20 millis" }),
    Effect.flip,
    Effect.map((error) => error instanceof LeakCheck.LeakError ? error.message : `another error: ${String(error)}`),
    Effect.provide(Logger.layer([]))
  )

const describe = await describeWith("PostgreSQL")

describe("a lease of a SQL client that is left open", () => {
  it.live("is reported with the Effect.fn in which it was taken, and its line", () =>
    Effect.gen(function*() {
      const report = Effect.fn("report")(() => leak)
      assert.match(
        yield* messageOf(report()),
        /a lease of \S+ was left open, asked for by report report \(\S*PostgresLeaks\.test\.ts:\d+:/
      )
    }))

  it.live("is reported with the span in which it was taken, and its line", () =>
    Effect.gen(function*() {
      const message = yield* messageOf(Effect.withSpan(leak, "orders"))
      assert.match(message, /asked for by orders orders \(\S*PostgresLeaks\.test\.ts:\d+:/)
    }))

  it.live("has an unknown caller without a span", () =>
    Effect.gen(function*() {
      assert.include(yield* messageOf(leak), "asked for by an unknown caller")
    }))
})
