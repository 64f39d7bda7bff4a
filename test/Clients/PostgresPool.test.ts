/**
 * The situations that Effect's own tests have for its PostgreSQL pool, on `Postgres.Pool`.
 */
import * as PgConnection from "@effect/sql-pg/PgConnection"
import { assert, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Queue, Redacted, Result, type Scope, Stream } from "effect"
import * as Postgres from "effect-sluice/Postgres"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { address, login } from "../Serverless/Postgres.ts"
import { describeWith } from "../support/LiveServers.ts"
import { applicationName } from "./support/Postgres.ts"

const withPostgres = await describeWith("PostgreSQL")

type Pool = Postgres.SessionPool
type Needs = ResourceMonitor.ResourceMonitor | Scope.Scope

const test = <A, E>(options: Postgres.Options, f: (pool: Pool) => Effect.Effect<A, E, Needs>) => () =>
  Postgres.makePool({ ...address, ...login, applicationName: applicationName(), ...options }).pipe(
    Effect.flatMap(f),
    Effect.scoped,
    Effect.provide(Layer.fresh(ResourceMonitor.layer))
  )

const one = { maxConnections: 1 }

const other = PgConnection.make({ ...address, ...login, applicationName: applicationName() })

const pidOf = (lease: Pool["get"]) => Effect.scoped(Effect.map(lease, ({ processId }) => processId))

const terminate = (connection: PgConnection.PgConnection, pid: number) =>
  connection.query("select pg_terminate_backend($1)", [pid])

const isActive = (connection: PgConnection.PgConnection, pid: number) =>
  Effect.map(
    connection.query("select state = 'active' as active from pg_stat_activity where pid = $1", [pid]),
    ({ rows }) => rows[0]?.["active"] === true
  )

withPostgres("a pool of sessions", () => {
  it.live(
    "leases a session again",
    test(one, ({ get }) =>
      Effect.gen(function*() {
        const ask = Effect.scoped(Effect.gen(function*() {
          const session = yield* get
          assert.deepStrictEqual((yield* session.query("select $1::int4 as n", [7])).rows, [{ n: 7 }])
          return session.processId
        }))
        assert.strictEqual(yield* ask, yield* ask)
      }))
  )

  it.live(
    "leases a session once with a TTL of zero",
    test({ ...one, connectionTTL: 0 }, ({ get }) =>
      Effect.gen(function*() {
        assert.notStrictEqual(yield* pidOf(get), yield* pidOf(get))
      }))
  )

  it.live(
    "starts each session with its parameters, those included that follow another",
    test({
      ...one,
      url: Redacted.make(`postgres://postgres@${address.host}/postgres?options=-crandom_page_cost%3D2.5`),
      connectionTTL: 0,
      startupParameters: { statement_timeout: "17s" }
    }, ({ get }) =>
      Effect.gen(function*() {
        const settings = "select current_setting('statement_timeout') as t, current_setting('random_page_cost') as c"
        const pids = yield* Effect.replicateEffect(2)(Effect.scoped(Effect.gen(function*() {
          const session = yield* get
          assert.deepStrictEqual((yield* session.query(settings)).rows, [{ t: "17s", c: "2.5" }])
          return session.processId
        })))
        assert.notStrictEqual(pids[0], pids[1])
      }))
  )

  it.live(
    "streams, and keeps a lease whose stream was abandoned",
    test(one, ({ get }) =>
      Effect.gen(function*() {
        const session = yield* get
        const all = yield* Stream.runCollect(session.stream("select generate_series(1, $1::int4) as n", [1000]))
        assert.strictEqual(all.length, 1000)
        assert.deepStrictEqual(all.at(-1), { n: 1000 })
        const long = session.stream("select generate_series(1, 1000000) as n").pipe(Stream.take(2))
        assert.deepStrictEqual(yield* Stream.runCollect(long), [{ n: 1 }, { n: 2 }])
        // Longer than a server may take to end a cancelled statement.
        yield* Effect.sleep("1200 millis")
        assert.deepStrictEqual((yield* session.query("select 'ok' as t")).rows, [{ t: "ok" }])
      }))
  )

  it.live(
    "hears on a session that is reserved from shared ones what another one notifies",
    test({ maxConnections: 2, multiplex: true }, ({ get, reserve }) =>
      Effect.gen(function*() {
        const listener = yield* reserve
        const heard = yield* listener.listen("sluice_pool")
        const notifier = yield* get
        assert.notStrictEqual(notifier.processId, listener.processId)
        yield* notifier.query("select pg_notify('sluice_pool', 'hello')")
        const notification = yield* Queue.take(heard)
        assert.deepStrictEqual(notification, {
          channel: "sluice_pool",
          payload: "hello",
          processId: notifier.processId
        })
      }))
  )

  it.live(
    "fails a listener that cannot be registered, and goes on with its session",
    test(one, ({ get }) =>
      Effect.gen(function*() {
        const session = yield* get
        yield* session.query("begin")
        yield* Effect.flip(session.query("select * from sluice_no_such_table"))
        assert.strictEqual((yield* Effect.flip(Effect.scoped(session.listen("sluice_pool"))))._tag, "SqlError")
        yield* session.query("rollback")
        assert.deepStrictEqual((yield* session.query("select 1 as n")).rows, [{ n: 1 }])
      }))
  )

  it.live(
    "fails a listener with the server's own error when its session is terminated",
    test({ ...one, multiplex: true }, ({ reserve }) =>
      Effect.gen(function*() {
        const listener = yield* reserve
        const heard = yield* listener.listen("sluice_pool")
        const consumer = yield* Effect.forkScoped(Queue.take(heard))
        yield* terminate(yield* other, listener.processId)
        const error = yield* Effect.flip(Fiber.join(consumer))
        assert.propertyVal(error.reason.cause, "code", "57P01")
        assert.strictEqual(yield* Effect.flip(listener.query("select 1")), error)
      }))
  )

  it.live(
    "shares a session again that was reserved",
    test({ ...one, multiplex: true }, ({ get, reserve }) =>
      Effect.gen(function*() {
        const first = yield* pidOf(reserve)
        assert.deepStrictEqual(
          [yield* pidOf(get), yield* pidOf(reserve), yield* pidOf(get)],
          [first, first, first]
        )
      }))
  )

  it.live(
    "cancels the statement of a session that is interrupted, which its borrower keeps",
    test({ maxConnections: 2 }, ({ get }) =>
      Effect.gen(function*() {
        const session = yield* get
        const observer = yield* other
        const statement = yield* Effect.forkScoped(session.query("select pg_sleep(10)"))
        while (!(yield* isActive(observer, session.processId))) yield* Effect.sleep("5 millis")
        yield* session.interrupt
        assert.strictEqual((yield* Effect.flip(Fiber.join(statement))).reason._tag, "StatementTimeoutError")
        yield* Effect.sleep("1200 millis")
        assert.deepStrictEqual((yield* session.query("select 2 as n")).rows, [{ n: 2 }])
      }))
  )

  it.live(
    "replaces a session that has died, without a failure after a moment",
    test(one, ({ get }) =>
      Effect.gen(function*() {
        const first = yield* pidOf(get)
        yield* terminate(yield* other, first)
        yield* Effect.sleep("50 millis")
        assert.notStrictEqual(yield* pidOf(get), first)
      }))
  )

  for (const [multiplexConcurrency, statements, sessions] of [[undefined, 32, 1], [2, 8, 4]] as const) {
    it.live(
      `has ${statements} statements at once on ${sessions} of 4 sessions, with a concurrency of ${
        multiplexConcurrency ?? "32, the default"
      }`,
      test({ maxConnections: 4, multiplex: true, multiplexConcurrency }, ({ get }) =>
        Effect.gen(function*() {
          const pids = yield* Effect.all(
            Array.from({ length: statements }, () =>
              Effect.scoped(
                Effect.flatMap(get, (session) => Effect.as(session.query("select pg_sleep(0.05)"), session.processId))
              )),
            { concurrency: "unbounded" }
          )
          assert.strictEqual(new Set(pids).size, sessions)
        }))
    )
  }

  it.live(
    "leases no session again that was invalidated while it was reserved",
    test({ maxConnections: 2, multiplex: true }, ({ get, invalidate, reserve }) =>
      Effect.gen(function*() {
        const reserved = yield* reserve
        yield* invalidate(reserved)
        assert.notStrictEqual((yield* get).processId, reserved.processId)
      }))
  )

  it.live(
    "keeps others off the session of a stream on a shared lease",
    test({ maxConnections: 2, multiplex: true }, ({ get }) =>
      Effect.gen(function*() {
        const session = yield* get
        const doubled = session.stream("select generate_series(1, 5) as n").pipe(
          Stream.mapEffect((row) =>
            Effect.scoped(Effect.flatMap(get, (other) => other.query("select $1::int4 * 2 as n", [row["n"]])))
          ),
          Stream.map(({ rows }) => rows[0]?.["n"])
        )
        assert.deepStrictEqual(yield* Stream.runCollect(doubled), [2, 4, 6, 8, 10])
      }))
  )

  it.live(
    "serves a borrower that waits when a reserved session dies",
    test({ ...one, multiplex: true }, ({ get, reserve }) =>
      Effect.gen(function*() {
        const reserved = yield* reserve
        const waiter = yield* Effect.forkScoped(
          Effect.scoped(Effect.flatMap(get, (session) => session.query("select 1 as n")))
        )
        yield* Effect.sleep("20 millis")
        yield* Effect.ignore(reserved.query("select pg_terminate_backend(pg_backend_pid())"))
        assert.deepStrictEqual((yield* Fiber.join(waiter)).rows, [{ n: 1 }])
      }))
  )

  it.live(
    "gets a session back after a success, a failure and an interruption",
    test(one, ({ use }) =>
      Effect.gen(function*() {
        const ask = (sql: string) => use((session) => session.query(sql))
        assert.deepStrictEqual((yield* ask("select 1 as n")).rows, [{ n: 1 }])
        assert.isTrue(Result.isFailure(yield* Effect.result(ask("select * from sluice_no_such_table"))))
        const running = yield* Effect.forkScoped(ask("select pg_sleep(30)"))
        yield* Effect.sleep("30 millis")
        yield* Fiber.interrupt(running)
        assert.deepStrictEqual((yield* ask("select 2 as n")).rows, [{ n: 2 }])
      }))
  )

  it.live(
    "leases another session after one that has ended itself",
    test(one, ({ use }) =>
      Effect.gen(function*() {
        const first = yield* use((session) => Effect.succeed(session.processId))
        yield* Effect.ignore(use((session) => session.query("select pg_terminate_backend(pg_backend_pid())")))
        assert.notStrictEqual(yield* use((session) => Effect.as(session.query("select 1"), session.processId)), first)
      }))
  )
})
