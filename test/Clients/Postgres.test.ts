import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import {
  Cause,
  Config,
  ConfigProvider,
  Context,
  Deferred,
  Effect,
  Exit,
  Fiber,
  Layer,
  Queue,
  Redacted,
  Schedule,
  Stream
} from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Endpoint from "effect-sluice/Endpoint"
import * as Postgres from "effect-sluice/Postgres"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { FaultProxy } from "effect-sluice/Testing"
import * as SqlClient from "effect/sql/SqlClient"
import * as Fs from "node:fs"
import { settingsOf } from "../../src/Clients/internal/postgres/Options.ts"
import { address, login, observe } from "../Serverless/Postgres.ts"
import { describeWith, ports } from "../support/LiveServers.ts"
import { collectLogs } from "../support/Pools.ts"
import * as TcpServer from "../support/TcpServer.ts"
import { applicationName, layer, withClient } from "./support/Postgres.ts"

const withPostgres = await describeWith("PostgreSQL")

const pid = (sql: SqlClient.SqlClient) =>
  Effect.map(sql<{ pid: number }>`select pg_backend_pid() as pid`, ([row]) => row?.pid)

const stats = Effect.flatMap(Postgres.Pool, ({ connections }) => ConnectionPool.stats(connections))

for (const multiplex of [false, true]) {
  withPostgres(multiplex ? "a client that shares its sessions" : "a client", () => {
    it.live("is both services, and runs statements", () =>
      withClient({ multiplex }, () =>
        Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          const pg = yield* PgClient.PgClient
          assert.strictEqual<unknown>(sql, pg)
          assert.deepStrictEqual(yield* sql`select ${1}::int as n`, [{ n: 1 }])
          assert.deepStrictEqual(yield* sql`select ${1}::int as n, 'a' as t`.values, [[1, "a"]])
          assert.deepStrictEqual(yield* sql`select ${pg.json({ a: [1] })} as json`, [{ json: { a: [1] } }])
          assert.deepStrictEqual(yield* sql.unsafe("select 2 as n").unprepared, [{ n: 2 }])
          assert.strictEqual(sql.driver, "pg")
          assert.strictEqual((yield* stats).opened, 1)
        })))

    it.live("fails with the server's own error, and keeps its session", () =>
      withClient({ multiplex }, () =>
        Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          const error = yield* Effect.flip(sql`select * from sluice_no_such_table`)
          assert.strictEqual(error.reason._tag, "SqlSyntaxError")
          assert.include(String(error.reason.cause), "sluice_no_such_table")
          yield* sql`select 1`
          const { closed, opened } = yield* stats
          assert.deepStrictEqual({ opened, closed }, { opened: 1, closed: 0 })
        })))

    it.live("runs transactions with savepoints on one session", () =>
      withClient({ multiplex }, () =>
        Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          yield* Effect.scoped(Effect.gen(function*() {
            yield* sql`create temporary table t (n int) on commit drop`
            yield* sql`insert into t values (1)`
            yield* Effect.flip(sql.withTransaction(Effect.andThen(sql`insert into t values (2)`, sql`select 1/0`)))
            yield* sql.withTransaction(Effect.gen(function*() {
              yield* sql`insert into t values (3)`
              yield* Effect.flip(sql.withTransaction(Effect.andThen(sql`insert into t values (4)`, Effect.fail("no"))))
            }))
            assert.deepStrictEqual(yield* sql`select n from t order by n`.values, [[1], [3]])
          })).pipe(sql.withTransaction)
          assert.strictEqual((yield* stats).opened, 1)
        })))

    it.live("fails a COMMIT that the server turns into a ROLLBACK", () =>
      withClient({ multiplex }, () =>
        Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          const error = yield* Effect.flip(sql.withTransaction(Effect.ignore(sql`select 1/0`)))
          assert.strictEqual(error.reason.operation, "commit")
        })))

    it.live("rolls back a transaction that is interrupted, and leaves no lock and no session in it", () =>
      withClient({ multiplex, maxConnections: 2 }, ({ inState }) =>
        Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          yield* Effect.timeoutOption(
            sql.withTransaction(Effect.andThen(sql`select pg_advisory_xact_lock(77)`, sql`select pg_sleep(6)`)),
            "100 millis"
          )
          assert.deepStrictEqual(yield* sql`select pg_try_advisory_xact_lock(77) as free`, [{ free: true }])
          assert.strictEqual(yield* inState("idle in transaction"), 0)
        })))

    it.live("streams, and keeps the session of a stream to itself until it is abandoned", () =>
      withClient({ multiplex, maxConnections: 2 }, ({ inState }) =>
        Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          const rows = yield* Stream.runCollect(sql<{ n: number }>`select generate_series(1, 5000) as n`.stream)
          assert.strictEqual(rows.length, 5000)
          const some = sql<{ n: number }>`select generate_series(1, 10000000) as n`.stream.pipe(Stream.take(3))
          assert.deepStrictEqual(yield* Stream.runCollect(some), [{ n: 1 }, { n: 2 }, { n: 3 }])
          assert.strictEqual(yield* inState("active"), 0)
          yield* Effect.forEach(Array.from({ length: 20 }), () => sql`select 1`, { concurrency: 20 })
        })))

    it.live("hears what is notified on its channel, and fails the listener whose session ends", () =>
      withClient({ multiplex }, ({ name, observer }) =>
        Effect.gen(function*() {
          const pg = yield* PgClient.PgClient
          const heard = yield* pg.listen(name)
          yield* pg.notify(name, "one")
          assert.strictEqual((yield* Queue.take(heard)).payload, "one")
          yield* observer.terminate(name)
          assert.strictEqual((yield* Effect.flip(Queue.take(heard)))._tag, "SqlError")
          const again = yield* pg.listen(name)
          yield* pg.notify(name, "two")
          assert.strictEqual((yield* Queue.take(again)).payload, "two")
          const long = yield* Effect.flip(pg.notify("x".repeat(64), "three"))
          assert.include(long.message, "63")
        })))

    it.live(
      "never has more sessions than maxConnections, and serves all",
      () =>
        withClient({ multiplex, maxConnections: 5 }, ({ name, observer }) =>
          Effect.gen(function*() {
            const sql = yield* SqlClient.SqlClient
            let most = 0
            const watching = Effect.forkScoped(Effect.forever(Effect.andThen(
              Effect.map(observer.sessions(name), (now) => most = Math.max(most, now)),
              Effect.sleep("2 millis")
            )))
            yield* watching
            const queries = Effect.forEach(
              Array.from({ length: 10_000 }, (_, index) => index),
              (index) => Effect.map(sql`select ${index}::int as n`.values, ([row]) => row?.[0] === index),
              { concurrency: 100 }
            )
            const right = yield* queries
            assert.strictEqual(right.filter((is) => is).length, 10_000)
            assert.isAtMost(most, 5)
            assert.isAtLeast(most, 1)
          })),
      60_000
    )

    it.live("rolls back what a borrower of `reserve` has left open, and closes what a statement has", () =>
      withClient({ multiplex, maxConnections: 1 }, ({ inState }) =>
        Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          yield* Effect.scoped(Effect.flatMap(sql.reserve, (own) => own.execute("BEGIN", [], undefined)))
          assert.strictEqual(yield* inState("idle in transaction"), 0)
          assert.strictEqual((yield* stats).closed, 0)
          const first = yield* pid(sql)
          yield* sql`begin`
          assert.notStrictEqual(yield* pid(sql), first)
          yield* sql`start transaction`.values
          yield* sql`select 1`
          assert.strictEqual(yield* inState("idle in transaction"), 0)
        })))
  })
}

withPostgres("an interrupted statement", () => {
  it.live("has its backend end within 200 ms", () =>
    withClient({}, ({ inState }) =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const ending = Effect.gen(function*() {
          const fiber = yield* Effect.forkChild(sql`select pg_sleep(6)`, { startImmediately: true })
          while ((yield* inState("active")) === 0) yield* Effect.sleep("5 millis")
          const begin = performance.now()
          yield* Fiber.interrupt(fiber)
          while ((yield* inState("active")) > 0) yield* Effect.sleep("5 millis")
          return performance.now() - begin
        })
        assert.isBelow(Math.max(...(yield* Effect.replicateEffect(ending, 3))), 200)
      })))

  it.live("never ends the next one: 100 tries", () =>
    withClient({ maxConnections: 1 }, () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        for (let turn = 0; turn < 100; turn++) {
          // It ends at about the time at which it is interrupted, so that the cancel may come too late.
          const late = sql`select pg_sleep(${0.008 + turn * 0.0001})`
          yield* Effect.timeoutOption(late, "1 millis")
          const exit = yield* Effect.exit(sql`select pg_sleep(0.002), ${turn}::int as n`)
          assert.isTrue(Exit.isSuccess(exit), Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "")
        }
      })))

  it.live("costs the server one CancelRequest, also where its session is closed under it", () =>
    Effect.gen(function*() {
      const proxy = yield* FaultProxy.make(Endpoint.tcp(address.host, address.port))
      const { host, port } = proxy.endpoint
      const count = 5
      yield* withClient({ host, port, maxConnections: count }, ({ inState }) =>
        Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          const hung = Effect.forEach(Array.from({ length: count }), () => sql`select pg_sleep(6)`, {
            concurrency: "unbounded"
          })
          const hanging = Effect.gen(function*() {
            const fiber = yield* Effect.forkChild(hung, { startImmediately: true })
            while ((yield* inState("active")) < count) yield* Effect.sleep("5 millis")
            return fiber
          })
          yield* Fiber.interrupt(yield* hanging)
          assert.strictEqual(yield* proxy.accepted, 2 * count)
          // The statements are cancelled, and their sessions are closed before the server has answered.
          const fiber = yield* hanging
          fiber.interruptUnsafe()
          const { connections } = yield* Postgres.Pool
          while ((yield* proxy.accepted) < 4 * count) yield* Effect.sleep("1 millis")
          yield* ConnectionPool.drain(connections, 0)
          yield* Fiber.await(fiber)
        }))
      assert.strictEqual(yield* proxy.accepted, 4 * count)
    }))

  it.live("whose CancelRequest finds no server is cancelled when its session is closed", () =>
    Effect.gen(function*() {
      const proxy = yield* FaultProxy.make(Endpoint.tcp(address.host, address.port))
      const { host, port } = proxy.endpoint
      yield* withClient({ host, port, maxConnections: 1 }, ({ inState }) =>
        Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          const { connections } = yield* Postgres.Pool
          const fiber = yield* Effect.forkChild(sql`select pg_sleep(6)`, { startImmediately: true })
          while ((yield* inState("active")) < 1) yield* Effect.sleep("5 millis")
          yield* proxy.refuse
          fiber.interruptUnsafe()
          // The driver sends a CancelRequest after 10 ms.
          yield* Effect.sleep("100 millis")
          yield* proxy.accept
          const start = performance.now()
          yield* ConnectionPool.drain(connections, 0)
          while ((yield* inState("active")) > 0) yield* Effect.sleep("5 millis")
          // Well below what is left of the six seconds of the statement.
          assert.isBelow(performance.now() - start, 4000)
          yield* Fiber.await(fiber)
        }))
    }))

  it.live("keeps its session if it ended before it had to be cancelled", () =>
    withClient({ maxConnections: 1 }, () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const first = yield* pid(sql)
        const fiber = yield* Effect.forkChild(sql`select 1`, { startImmediately: true })
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(yield* pid(sql), first)
      })))

  it.live("in a savepoint leaves the transaction around it as it was", () =>
    withClient({ maxConnections: 1 }, () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const left = yield* sql.withTransaction(Effect.gen(function*() {
          yield* sql`create temporary table t (n int) on commit drop`
          const inner = sql.withTransaction(Effect.andThen(sql`insert into t values (1)`, sql`select pg_sleep(6)`))
          yield* Effect.timeoutOption(inner, "30 millis")
          // Longer than a server may take to answer a cancel.
          yield* sql`select pg_sleep(1.2)`
          yield* sql`insert into t values (2)`
          return yield* sql`select n from t`.values
        }))
        assert.deepStrictEqual(left, [[2]])
      })))
})

/** What a borrower can leave behind, and how the next one finds it. */
const traces = {
  setting: ["set work_mem = '7MB'", "select current_setting('work_mem') = '7MB' as found"],
  listener: ["listen sluice_left_behind", "select exists(select from pg_listening_channels()) as found"],
  lock: [
    "select pg_advisory_lock(4711)",
    "select exists(select from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) as found"
  ],
  table: [
    "create temporary table left_behind (n int)",
    "select to_regclass('pg_temp.left_behind') is not null as found"
  ],
  cursor: [
    "declare left_behind cursor with hold for select 1",
    "select exists(select from pg_cursors where name = 'left_behind') as found"
  ]
} as const

withPostgres("what a borrower leaves in its session", () => {
  for (const reset of ["none", "rollback", "discard"] as const) {
    it.live.each(Object.entries(traces))(
      `is ${reset === "discard" ? "gone" : "there"} with "${reset}": a %s`,
      ([, [leave, look]]) =>
        withClient({ maxConnections: 1, reset }, () =>
          Effect.gen(function*() {
            const sql = yield* SqlClient.SqlClient
            yield* sql.unsafe(leave)
            assert.deepStrictEqual(yield* sql.unsafe(look), [{ found: reset !== "discard" }])
            const { opened } = yield* stats
            assert.strictEqual(opened, 1)
          }))
    )

    it.live(`is ${reset === "none" ? "there" : "gone"} with "${reset}": a transaction`, () =>
      withClient({ maxConnections: 1, reset }, ({ inState }) =>
        Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          yield* Effect.scoped(Effect.flatMap(sql.reserve, (own) => own.execute("begin", [], undefined)))
          yield* Effect.sleep("20 millis")
          assert.strictEqual(yield* inState("idle in transaction"), reset === "none" ? 1 : 0)
        })))
  }

  it.live("is gone with \"discard\", and the guard rails stay", () =>
    withClient(
      { maxConnections: 1, reset: "discard", guardRails: { statement: "3 seconds", lock: "2 seconds" } },
      () =>
        Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          yield* sql`set statement_timeout = 0`
          assert.deepStrictEqual(yield* sql`show statement_timeout`, [{ statement_timeout: "3s" }])
          assert.deepStrictEqual(yield* sql`show lock_timeout`, [{ lock_timeout: "2s" }])
        })
    ))
})

withPostgres("a session", () => {
  it.live("has all guard rails from its start", () =>
    withClient({
      guardRails: {
        idleSession: "2 minutes",
        idleInTransaction: "5 seconds",
        statement: "3 seconds",
        lock: "2 seconds",
        unacknowledged: "10 seconds",
        clientCheck: "1 second"
      }
    }, () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const names = [
          "idle_session_timeout",
          "idle_in_transaction_session_timeout",
          "statement_timeout",
          "lock_timeout",
          "tcp_user_timeout",
          "client_connection_check_interval"
        ]
        const rows = yield* Effect.forEach(names, (name) => sql.unsafe(`show ${name}`).values)
        assert.deepStrictEqual(rows.flat(2), ["2min", "5s", "3s", "2s", "10000", "1s"])
      })))

  it.live("is closed after an error of evictOn, also in a transaction that handles it, and after no other", () =>
    withClient({ maxConnections: 1, evictOn: ["25006"] }, () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const first = yield* pid(sql)
        yield* Effect.flip(sql`select 1/0`)
        assert.strictEqual(yield* pid(sql), first)
        const readOnly = sql`create temporary sequence s`.pipe(
          sql.withTransaction,
          Effect.provideService(SqlClient.BeginTransaction, "BEGIN READ ONLY")
        )
        yield* Effect.exit(readOnly)
        const write = Effect.andThen(sql`set transaction read only`, Effect.ignore(sql`create table sluice_x (n int)`))
        yield* Effect.ignore(sql.withTransaction(write))
        assert.notStrictEqual(yield* pid(sql), first)
      })))

  it.live("is used once with a TTL of zero", () =>
    withClient({ maxConnections: 1, connectionTTL: 0 }, () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const first = yield* pid(sql)
        assert.notStrictEqual(yield* pid(sql), first)
      })))

  it.live("is refused with the server's own error after one dial", () =>
    Effect.gen(function*() {
      const program = Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const error = yield* Effect.flip(sql`select 1`)
        return { error, ...(yield* stats) }
      })
      const { error, failedAttempts } = yield* Effect.provide(program, layer({ database: "sluice_no_such_database" }))
      assert.include(String(error.reason.cause), "sluice_no_such_database")
      assert.strictEqual(failedAttempts, 1)
    }))

  it.live("is refused after one dial where the server has no TLS", () =>
    Effect.gen(function*() {
      const program = Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const error = yield* Effect.flip(sql`select 1`)
        return { error, ...(yield* stats) }
      })
      const { error, failedAttempts } = yield* Effect.provide(
        program,
        layer({ ssl: true, acquireTimeout: "5 seconds" })
      )
      assert.include(String(error.reason.cause), "does not support TLS")
      assert.strictEqual(failedAttempts, 1)
    }))

  it.live("that the pool does not give is a ConnectionError with the words of the pool", () =>
    withClient({ maxConnections: 1, acquireTimeout: "2 seconds" }, () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const isHeld = yield* Deferred.make<void>()
        const held = Effect.andThen(sql.reserve, Deferred.succeed(isHeld, undefined))
        yield* Effect.forkScoped(Effect.withSpan(Effect.scoped(Effect.andThen(held, Effect.never)), "holder"))
        yield* Deferred.await(isHeld)
        const error = yield* Effect.flip(sql`select 1`)
        assert.strictEqual(error.reason._tag, "ConnectionError")
        assert.strictEqual(error.reason.operation, "acquireConnection")
        assert.include(error.message, "all of the endpoint's connections are in use")
        assert.include(error.message, "held longest by holder")
      })))

  it.live("that a server refuses is dialled again, until acquireTimeout", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const error = yield* Effect.flip(sql`select 1`)
      assert.strictEqual(error.reason._tag, "ConnectionError")
      assert.include(error.message, "ECONNREFUSED")
    }).pipe(Effect.provide(layer({ port: 1, acquireTimeout: "100 millis" }))))

  it.live("of a pool is lent as a PgConnection, and closed when it is invalidated", () =>
    withClient({ maxConnections: 1 }, () =>
      Effect.gen(function*() {
        const { get, invalidate, reserve, use } = yield* Postgres.Pool
        const first = yield* use((session) => Effect.succeed(session.processId))
        yield* Effect.scoped(Effect.flatMap(get, (session) => session.query("select 1")))
        const second = yield* Effect.scoped(
          Effect.flatMap(reserve, (session) => Effect.as(invalidate(session), session.processId))
        )
        assert.strictEqual(first, second)
        assert.notStrictEqual(yield* use((session) => Effect.succeed(session.processId)), first)
      })))

  it.live("fails with what the effect fails with, also where that is the error of another pool", () =>
    withClient({}, () =>
      Effect.gen(function*() {
        const { use } = yield* Postgres.Pool
        const other = new ConnectionPool.PoolError({ reason: new ConnectionPool.PoolClosed({ key: "other" }) })
        assert.strictEqual(yield* Effect.flip(use(() => Effect.fail(other))), other)
      })))

  it.live("has the password that an Effect gives at its dial", () =>
    Effect.gen(function*() {
      let asked = 0
      const password = Effect.sync(() => Redacted.make(String(++asked)))
      yield* withClient({ maxConnections: 1, connectionTTL: 0, password }, () =>
        Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          yield* sql`select 1`
          yield* sql`select 1`
        }))
      assert.strictEqual(asked, 2)
    }))
})

withPostgres("the options", () => {
  it.live("may come from Config", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      assert.deepStrictEqual(yield* sql`select current_user as u`, [{ u: "postgres" }])
    }).pipe(Effect.provide(
      Postgres.layerConfig({ url: Config.Redacted("URL"), connectTimeout: Config.Duration("TIMEOUT") }).pipe(
        Layer.provide(Layer.fresh(ResourceMonitor.layer)),
        Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown({
          URL: `postgres://postgres@${address.host}:${ports.PostgreSQL}/postgres?application_name=sluice-config`,
          TIMEOUT: "3 seconds"
        })))
      )
    )))

  it.live("transform names in both directions", () =>
    withClient({
      transformQueryNames: (name) => name.toLowerCase(),
      transformResultNames: (name) => name.toUpperCase()
    }, () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        assert.deepStrictEqual(yield* sql`select 1 as ${sql("NAME")}`, [{ NAME: 1 }])
        assert.deepStrictEqual(yield* Stream.runCollect(sql`select 1 as name`.stream), [{ NAME: 1 }])
        const plain = sql.withoutTransforms()
        assert.deepStrictEqual(yield* plain`select 1 as name`, [{ name: 1 }])
      })))
})

describe("options", () => {
  const endpoint = (options: Postgres.Options) => String(settingsOf(options).endpoint)
  const url = (text: string) => ({ url: Redacted.make(text) })

  it("say where the server is, the options before the URL", () => {
    assert.strictEqual(endpoint({}), "localhost:5432")
    assert.strictEqual(endpoint({ host: "db", port: 6000 }), "db:6000")
    assert.strictEqual(endpoint({ host: "::1" }), "[::1]:5432")
    assert.strictEqual(endpoint({ host: "/run/postgresql" }), "unix:/run/postgresql/.s.PGSQL.5432")
    assert.strictEqual(endpoint({ path: "/tmp/db" }), "unix:/tmp/db")
    assert.strictEqual(endpoint(url("postgres://app:p%40@[::1]:6000/orders")), "[::1]:6000")
    assert.strictEqual(endpoint({ ...url("postgres://app@db:6000/orders"), host: "other" }), "other:6000")
    assert.strictEqual(endpoint(url("postgres:///orders?host=/run&port=6000")), "unix:/run/.s.PGSQL.6000")
  })

  it.each<readonly [string, Postgres.Options]>([
    ["url", url("mysql://db")],
    ["host", { host: "a b" }],
    ["port", { host: "127.0.0.1", port: 0 }],
    ["maxConnections", { maxConnections: 0 }],
    ["minConnections", { minConnections: 11 }],
    ["multiplexConcurrency", { multiplex: true, multiplexConcurrency: 0 }],
    ["connectTimeout", { connectTimeout: 0 }],
    ["idleTimeout", { idleTimeout: 0 }],
    ["keepAlive", { keepAlive: 10 }],
    ["evictOn", { evictOn: ["25"] }],
    ["guardRails.idleSession", { guardRails: { idleSession: "10 seconds" } }],
    ["guardRails.statement", { guardRails: { statement: 0 } }]
  ])("are refused where they make no sense: %s", (option, options) => {
    try {
      settingsOf(options)
    } catch (error) {
      assert.instanceOf(error, Postgres.InvalidOption)
      assert.strictEqual(error.option, option)
      return
    }
    assert.fail("it was accepted")
  })

  it("keep a password out of the message of a URL that is none", () => {
    assert.throws(() => settingsOf(url("mysql://app:secret@db")), /url/)
    assert.throws(() => settingsOf(url("mysql://app:secret@db")), /^(?!.*secret)/)
  })

  it.effect("that are invalid are a defect of the layer, and a ConfigError of layerConfig", () =>
    Effect.gen(function*() {
      const monitor = Layer.fresh(ResourceMonitor.layer)
      const exit = yield* Effect.exit(Effect.scoped(Layer.build(
        Postgres.layer({ maxConnections: 0 }).pipe(Layer.provide(monitor))
      )))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      const error = yield* Effect.flip(Effect.scoped(Layer.build(
        Postgres.layerConfig({ maxConnections: Config.succeed(0) }).pipe(Layer.provide(monitor))
      )))
      assert.strictEqual(error._tag, "ConfigError")
      assert.include(error.message, "maxConnections")
      const ofPool = yield* Effect.flip(Effect.scoped(Layer.build(
        Postgres.layerConfig({ acquireTimeout: Config.succeed("0 seconds") }).pipe(Layer.provide(monitor))
      )))
      assert.strictEqual(ofPool._tag, "ConfigError")
      assert.include(ofPool.message, "acquireTimeout")
    }))
})

withPostgres("a connector", () => {
  it.live("opens sessions of several servers in a pool of your own", () =>
    Effect.gen(function*() {
      const pool = yield* ConnectionPool.make({ connector: Postgres.connector({ ...login }) })
      const user = ConnectionPool.use(pool, Endpoint.tcp(address.host, address.port), (session) =>
        session.query("select current_user as u"))
      assert.deepStrictEqual((yield* user).rows, [{ u: "postgres" }])
    }).pipe(Effect.provide(Layer.fresh(ResourceMonitor.layer))))
})

withPostgres("a listener", () => {
  it.live("is no nested borrow, no leak, and not ended by maxLease", () =>
    Effect.gen(function*() {
      const { layer: logs, lines } = collectLogs()
      // A busy machine takes some hundred milliseconds for the first connection's statement, which is an ordinary lease.
      yield* withClient({ leakThreshold: "600 millis", maxLease: "1 second", maxConnections: 2 }, ({ name }) =>
        Effect.gen(function*() {
          const pg = yield* PgClient.PgClient
          const heard = yield* pg.listen(name)
          yield* Effect.sleep("1500 millis")
          yield* pg.notify(name, "still")
          assert.strictEqual((yield* Queue.take(heard)).payload, "still")
          const { leaksReported, leasesExpired } = yield* stats
          assert.deepStrictEqual({ leaksReported, leasesExpired }, { leaksReported: 0, leasesExpired: 0 })
        })).pipe(Effect.provide(logs))
      assert.deepStrictEqual(lines, [])
    }))

  it.live.each(["drained", "older than its session may be, and drained", "evicted"] as const)(
    "ends at once with an error when its pool is %s",
    (how) =>
      withClient(
        { drainTimeout: "10 seconds", connectionTTL: how.startsWith("older") ? "50 millis" : "5 minutes" },
        ({ name }) =>
          Effect.gen(function*() {
            const pg = yield* PgClient.PgClient
            const { connections } = yield* Postgres.Pool
            const heard = yield* pg.listen(name)
            yield* Effect.sleep("100 millis")
            const begin = performance.now()
            const ending = how === "evicted"
              ? ConnectionPool.evict(connections)
              : ConnectionPool.drain(connections, "10 seconds")
            yield* Effect.forkScoped(ending)
            const error = yield* Effect.flip(Queue.take(heard))
            assert.include(error.message, how === "evicted" ? "evicted" : "closed")
            // Well below drainTimeout, for which an ordinary lease is waited for.
            assert.isBelow(performance.now() - begin, 5000)
          })
      )
  )
})

withPostgres("a statement that is under way", () => {
  it.live("fails at the end of the pool after drainTimeout, and its backend ends with it", () =>
    Effect.gen(function*() {
      const observer = yield* observe
      const name = applicationName()
      const running = yield* Effect.forkScoped(Effect.scoped(Effect.gen(function*() {
        const context = yield* Layer.build(layer({ applicationName: name, drainTimeout: "20 millis" }))
        const sql = Context.get(context, SqlClient.SqlClient)
        const statement = yield* Effect.forkDetach(Effect.flip(sql`select pg_sleep(6)`))
        const active = observer.count("application_name = $1 and state = 'active'", [name])
        yield* Effect.repeat(active, { until: (n) => n === 1, schedule: Schedule.spaced("5 millis") })
        return statement
      })))
      const error = yield* Effect.flatMap(Fiber.join(running), Fiber.join)
      assert.strictEqual(error.reason._tag, "ConnectionError")
      // Well below the six seconds that the statement would take.
      assert.isBelow(yield* observer.gone(name), 3000)
    }))

  it.live("at a server that has fallen silent ends soon after it was interrupted, and leaves no socket", () =>
    Effect.gen(function*() {
      const proxy = yield* FaultProxy.make(Endpoint.tcp(address.host, address.port))
      const { host, port } = proxy.endpoint
      const program = Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        yield* sql`select 1`
        yield* proxy.freeze
        const begin = performance.now()
        yield* Effect.timeoutOption(sql`select 1`, "50 millis")
        // A second for the cancel that is not answered.
        assert.isBelow(performance.now() - begin, 3000)
      })
      yield* program.pipe(Effect.provide(layer({ host, port, checkAfterIdle: "1 minute", closeTimeout: "50 millis" })))
      // It forwards nothing while it is frozen, our ends included.
      yield* proxy.thaw
      yield* Effect.repeat(proxy.connections, { until: (open) => open === 0, schedule: Schedule.spaced("5 millis") })
    }))
})

withPostgres("a server that breaks off", () => {
  it.live("fails a transaction that outlasts its lease by an error too, and not by a defect", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const error = yield* Effect.flip(sql.withTransaction(Effect.andThen(sql`select 1`, sql`select pg_sleep(6)`)))
      assert.strictEqual(error.reason._tag, "ConnectionError")
    }).pipe(Effect.provide(layer({ maxLease: "50 millis" }))))

  it.live("ends a stream soon after it was interrupted, when it has fallen silent", () =>
    Effect.gen(function*() {
      const proxy = yield* FaultProxy.make(Endpoint.tcp(address.host, address.port))
      const { host, port } = proxy.endpoint
      yield* Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const begin = performance.now()
        const rows = Stream.tap(sql`select generate_series(1, 300000) as n`.stream, () => proxy.freeze)
        yield* Effect.timeoutOption(Stream.runDrain(rows), "200 millis")
        // A second for the cancel that is not answered, and not the five of `connectTimeout`.
        assert.isBelow(performance.now() - begin, 4000)
      }).pipe(Effect.provide(layer({ host, port, closeTimeout: "50 millis" })))
      yield* proxy.thaw
    }))

  it.live("fails a transaction with the error of its statement, and not by a defect", () =>
    Effect.gen(function*() {
      const proxy = yield* FaultProxy.make(Endpoint.tcp(address.host, address.port))
      const { host, port } = proxy.endpoint
      yield* Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        for (const fault of [proxy.cut, proxy.reset]) {
          const broken = sql.withTransaction(Effect.andThen(Effect.andThen(sql`select 1`, fault), sql`select 2`))
          assert.strictEqual((yield* Effect.flip(broken)).reason._tag, "ConnectionError")
          const inner = sql.withTransaction(sql.withTransaction(
            Effect.andThen(Effect.andThen(sql`select 1`, fault), sql`select 2`)
          ))
          assert.strictEqual((yield* Effect.flip(inner)).reason._tag, "ConnectionError")
        }
      }).pipe(Effect.provide(layer({ host, port })))
    }))
})

describe("a server that accepts and stays silent", () => {
  it.live("costs connectTimeout for each dial, and leaves no socket", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.make((socket) => socket.resume())
      const { host, port } = server.endpoint
      const program = Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const error = yield* Effect.flip(sql`select 1`)
        assert.strictEqual(error.reason._tag, "ConnectionError")
        return yield* stats
      })
      const options = { host, port, connectTimeout: "50 millis", acquireTimeout: "300 millis" } as const
      const { failedAttempts } = yield* program.pipe(Effect.provide(layer(options)))
      assert.isAbove(failedAttempts, 0)
      yield* server.drained
      assert.strictEqual(server.sockets.size, 0)
    }))
})

describe("a Unix socket", () => {
  const folder = "/var/run/postgresql"
  const isThere = Fs.existsSync(`${folder}/.s.PGSQL.${ports.PostgreSQL}`)

  it.live.skipIf(!isThere)("is found by its folder, and its statements are cancelled", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const begin = performance.now()
      yield* Effect.timeoutOption(sql`select pg_sleep(6)`, "50 millis")
      assert.isBelow(performance.now() - begin, 3000)
      assert.deepStrictEqual(yield* sql`select inet_server_addr() as a`, [{ a: null }])
    }).pipe(
      Effect.provide(layer({ host: folder, applicationName: applicationName() })),
      // Access by the socket may ask for the account of the operating system.
      Effect.catchReason("SqlError", "AuthenticationError", () => Effect.void)
    ))
})
