/**
 * `pg` as connections of a pool, against a real server.
 */
import { assert, describe } from "@effect/vitest"
import { it } from "@effect/vitest"
import { Data, Effect, Exit, Layer, Option, Redacted } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Endpoint from "effect-sluice/Endpoint"
import * as Failure from "effect-sluice/Failure"
import * as NodePostgres from "effect-sluice/NodePostgres"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import type { Scope } from "effect/Scope"
import type { Client } from "pg"
import { describeWith, ports } from "../support/LiveServers.ts"
import * as Servers from "../support/Servers.ts"

const endpoint = Endpoint.tcp("127.0.0.1", ports.PostgreSQL)
const login = { user: "postgres", database: "postgres", application_name: `sluice-node-postgres-${process.pid}` }

class QueryFailed extends Data.TaggedError("QueryFailed")<{ readonly cause: unknown }> {}

type Pool = ConnectionPool.ConnectionPool<Endpoint.Endpoint, Client>

const test = <A, E>(effect: Effect.Effect<A, E, Scope | ResourceMonitor.ResourceMonitor>) => () =>
  Effect.provide(effect, Layer.fresh(ResourceMonitor.layer))

const ask = (client: Client, sql: string, values?: Array<unknown>) =>
  Effect.tryPromise({
    try: () => client.query<Record<string, unknown>>(sql, values),
    catch: (cause) => new QueryFailed({ cause })
  }).pipe(Effect.map(({ rows }) => rows[0]))

const makePool = <E>(options: NodePostgres.Options<E>) =>
  ConnectionPool.make({ connector: NodePostgres.connector(options), maxPerEndpoint: 1, maxTotal: 1 })

const use = <A, E>(pool: Pool, f: (client: Client) => Effect.Effect<A, E>, key: Endpoint.Endpoint = endpoint) =>
  ConnectionPool.use(pool, key, f)

const session = (pool: Pool, key: Endpoint.Endpoint = endpoint) =>
  use(pool, (client) => Effect.map(ask(client, "select pg_backend_pid() as pid"), (row) => Number(row?.["pid"])), key)

const withPostgres = await describeWith("PostgreSQL")

withPostgres("a client of pg", () => {
  it.live(
    "is leased again after an answer, and after a statement that failed",
    test(Effect.gen(function*() {
      const pool = yield* makePool(login)
      const first = yield* session(pool)
      yield* Effect.flip(use(pool, (client) => ask(client, "select no_such_column")))
      yield* Effect.flip(use(pool, (client) => ask(client, "select 1 / $1::int", [0])))
      assert.strictEqual(yield* session(pool), first)
    }))
  )

  it.live.each(
    [
      ["open", ["begin"]],
      ["failed", ["begin", "selec"]]
    ] as const
  )("is not leased again with a transaction that is %s", ([, statements]) =>
    test(Effect.gen(function*() {
      const pool = yield* makePool(login)
      const first = yield* session(pool)
      yield* use(pool, (client) => Effect.forEach(statements, (sql) => Effect.exit(ask(client, sql))))
      const status = "select count(*)::int as n from pg_stat_activity where pid = $1 and state like 'idle in%'"
      const left = yield* use(pool, (client) => ask(client, status, [first]))
      assert.deepStrictEqual(left, { n: 0 })
      assert.notStrictEqual(yield* session(pool), first)
    }))())

  it.live(
    "is leased again after a transaction that has ended",
    test(Effect.gen(function*() {
      const pool = yield* makePool(login)
      const first = yield* session(pool)
      yield* use(pool, (client) => Effect.forEach(["begin", "select 1", "commit"], (sql) => ask(client, sql)))
      assert.strictEqual(yield* session(pool), first)
    }))
  )

  it.live(
    "is not leased again while an answer is outstanding",
    test(Effect.gen(function*() {
      const pool = yield* makePool(login)
      const first = yield* session(pool)
      yield* use(pool, (client) => Effect.sync(() => void client.query("select pg_sleep(0.3)").catch(() => {})))
      assert.notStrictEqual(yield* session(pool), first)
    }))
  )

  it.live(
    "fails a statement whose connection ends under it, from either side",
    test(Effect.gen(function*() {
      const pool = yield* makePool(login)
      const ends = ["select pg_terminate_backend(pg_backend_pid())", "select pg_sleep(5)"]
      for (const sql of ends) {
        const ending = use(pool, (client) => {
          if (sql === ends[1]) setTimeout(() => client.connection.stream.destroy(), 20)
          return Effect.timeoutOption(Effect.exit(ask(client, sql)), "2 seconds")
        })
        const exit = yield* ending
        assert.isTrue(Option.isSome(exit) && Exit.isFailure(exit.value), sql)
      }
      yield* session(pool)
    }))
  )

  it.live(
    "connects to the endpoint, whatever the connection string says, and by a Unix socket",
    test(Effect.gen(function*() {
      const pool = yield* makePool({
        connectionString: "postgres://postgres@127.0.0.1:1/postgres?application_name=text"
      })
      const name = (key: Endpoint.Endpoint) => use(pool, (client) => ask(client, "show application_name"), key)
      assert.deepStrictEqual(yield* name(endpoint), { application_name: "text" })
      assert.deepStrictEqual(yield* name(Endpoint.tcp("localhost", ports.PostgreSQL)), { application_name: "text" })
      const socket = Endpoint.unix(`/nowhere/.s.PGSQL.${ports.PostgreSQL}`)
      const error = yield* Effect.flip(name(socket))
      assert.include(error.message, "connect ENOENT /nowhere/.s.PGSQL.5432")
    }))
  )

  it.live(
    "says which server could not be connected to, and its own error where it refused",
    test(Effect.gen(function*() {
      const pool = yield* makePool({ ...login, database: "sluice_no_such_database" })
      const error = yield* Effect.flip(session(pool))
      assert.strictEqual(error._tag, "PoolError")
      assert.include(error.message, `database "sluice_no_such_database" does not exist`)
      assert.strictEqual(Failure.classify(error).code, "3D000")
    }))
  )
})

describe("the password of a client of pg", () => {
  Servers.needs("initdb", "postgres")("is evaluated for each connection", () =>
    Effect.gen(function*() {
      const server = yield* Servers.postgres
      const key = Endpoint.tcp("127.0.0.1", server.port)
      const admin = yield* makePool({ user: "sluice", database: "postgres" })
      const setPassword = (text: string) =>
        use(admin, (client) => ask(client, `alter role locked password '${text}'`), key)
      yield* use(admin, (client) => ask(client, "create role locked login password 'first'"), key)
      const current = { password: "first", asked: 0 }
      const password = Effect.sync(() => {
        current.asked++
        return Redacted.make(current.password)
      })
      const pool = yield* makePool({ user: "locked", database: "postgres", password })
      const first = yield* session(pool, key)
      assert.strictEqual(yield* session(pool, key), first)
      assert.strictEqual(current.asked, 1)
      yield* setPassword("second")
      current.password = "second"
      yield* ConnectionPool.evict(pool)
      assert.notStrictEqual(yield* session(pool, key), first)
      assert.strictEqual(current.asked, 2)

      const given = yield* makePool({ user: "locked", database: "postgres", password: () => Promise.resolve("second") })
      assert.isNumber(yield* session(given, key))
      const wrong = yield* makePool({ user: "locked", database: "postgres", password: "first" })
      const refused = yield* Effect.flip(session(wrong, key))
      assert.strictEqual(Failure.classify(refused).code, "28P01")
      const { failedAttempts } = yield* ConnectionPool.stats(wrong)
      assert.strictEqual(failedAttempts, 1)
    }).pipe(Effect.provide(Layer.fresh(ResourceMonitor.layer))), 60_000)
})
