/**
 * The PostgreSQL client behind a real PgBouncer that gives sessions of the server to transactions.
 */
import { assert, describe } from "@effect/vitest"
import { Context, Effect, Layer, Result } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Postgres from "effect-sluice/Postgres"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as SqlClient from "effect/sql/SqlClient"
import * as Servers from "../support/Servers.ts"

/** A client with a pool of its own. */
const clientOf = (port: number, options: Postgres.Options = {}) =>
  Layer.build(
    Postgres.layer({ host: "127.0.0.1", port, username: "sluice", database: "postgres", maxConnections: 1, ...options })
      .pipe(Layer.provide(Layer.fresh(ResourceMonitor.layer)))
  )

const sqlOf = (port: number, options?: Postgres.Options) =>
  Effect.map(clientOf(port, options), (services) => Context.get(services, SqlClient.SqlClient))

const bouncer = (...settings: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const server = yield* Servers.postgresWith({ access: ["host all all 127.0.0.1/32 trust"] })
    return yield* Servers.pgbouncer(server.port, ...settings)
  })

const test = Servers.needs("initdb", "postgres", "pgbouncer")

describe("behind PgBouncer in transaction mode", () => {
  test("a session with guard rails is refused after one dial, with the name of a parameter", () =>
    Effect.gen(function*() {
      const { port } = yield* bouncer()
      const services = yield* clientOf(port, { guardRails: { statement: "10 seconds" } })
      const sql = Context.get(services, SqlClient.SqlClient)
      const error = yield* Effect.flip(sql`select 1`)
      assert.match(String(error.reason.cause), /unsupported startup parameter: statement_timeout/)
      const { connections } = Context.get(services, Postgres.Pool)
      assert.strictEqual((yield* ConnectionPool.stats(connections)).failedAttempts, 1)
    }))

  test("guard rails that it is told to ignore are in force nowhere", () =>
    Effect.gen(function*() {
      const { port } = yield* bouncer("ignore_startup_parameters = statement_timeout")
      const sql = yield* sqlOf(port, { guardRails: { statement: "10 seconds" } })
      assert.deepStrictEqual(yield* sql`show statement_timeout`, [{ statement_timeout: "0" }])
    }))

  test("a prepared statement fails in a transaction at another session of the server, and with prepare: false it does not", () =>
    Effect.gen(function*() {
      const { port } = yield* bouncer()
      const results = []
      for (const prepare of [true, false]) {
        const sql = yield* sqlOf(port, { prepare })
        const other = yield* sqlOf(port, { prepare: false })
        const once = Effect.map(sql`select ${1}::int * 10 as product`, ([row]) => row?.["product"])
        const twice = Effect.map(sql`select ${2}::int * 10 as doubled`, ([row]) => row?.["doubled"])
        // Within the other transaction, which has the session on which the statements have run before.
        const elsewhere = <A, E>(effect: Effect.Effect<A, E>) =>
          other.withTransaction(Effect.andThen(other`select 1`, Effect.result(effect)))
        assert.deepStrictEqual(yield* Effect.all([once, twice]), [10, 20])
        // Outside of a transaction the client prepares it again.
        assert.deepStrictEqual(yield* elsewhere(once), Result.succeed(10))
        results.push(yield* elsewhere(sql.withTransaction(twice)))
      }
      const [prepared, unprepared] = results
      assert.match(String(prepared), /prepared statement/)
      assert.deepStrictEqual(unprepared, Result.succeed(20))
    }))
})
