/**
 * `Postgres` where the server refuses, ends sessions, or has no more of them: servers of our own, with TLS and passwords, and storms of
 * terminated sessions.
 */
import * as PgConnection from "@effect/sql-pg/PgConnection"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Redacted, Schedule } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Postgres from "effect-sluice/Postgres"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as SqlClient from "effect/sql/SqlClient"
import { isSqlError } from "effect/sql/SqlError"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import { withClient } from "../Clients/support/Postgres.ts"
import { address, login } from "../Serverless/Postgres.ts"
import { certificate, certifiedName } from "../support/Certificates.ts"
import { describeWith } from "../support/LiveServers.ts"
import * as Servers from "../support/Servers.ts"

const withPostgres = await describeWith("PostgreSQL")
const withPsql = Servers.needs("psql")
const withOwnServer = Servers.needs("initdb", "postgres", "openssl")

const stats = Effect.flatMap(Postgres.Pool, ({ connections }) => ConnectionPool.stats(connections))

const pid = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => Effect.map(sql<{ pid: number }>`select pg_backend_pid() as pid`, ([row]) => row?.pid)
)

const one = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`select 1 as n`)

type Services = SqlClient.SqlClient | Postgres.Pool

const over = (options: Postgres.Options) => <A, E>(effect: Effect.Effect<A, E, Services>) =>
  Effect.provide(effect, Postgres.layer(options).pipe(Layer.provide(Layer.fresh(ResourceMonitor.layer))))

/** A session of the superuser. */
const admin = (port: number, options: PgConnection.Config = {}) =>
  PgConnection.make({ host: "127.0.0.1", port, username: "sluice", database: "postgres", ...options }).pipe(
    // A server that listens may still be starting up.
    Effect.retry({ times: 100, schedule: Schedule.spaced("50 millis") })
  )

for (const multiplex of [false, true]) {
  withPostgres(multiplex ? "shared sessions that the server ends" : "sessions that the server ends", () => {
    it.live(
      "under 200 fibers fail at most one statement each, and service is whole again",
      () =>
        withClient({ multiplex, maxConnections: 10 }, ({ name, observer }) =>
          Effect.gen(function*() {
            const failures: Array<unknown> = []
            let served = 0
            const work = Effect.matchCause(one, {
              onFailure: (cause) => void failures.push(cause),
              onSuccess: () => void served++
            })
            const load = yield* Effect.forEach(Array.from({ length: 200 }), () => Effect.forever(work), {
              concurrency: "unbounded",
              discard: true
            }).pipe(Effect.forkScoped)
            const serve = (count: number) => {
              const goal = served + count
              return Effect.repeat(Effect.sync(() => served), {
                until: (now) => now >= goal,
                schedule: Schedule.spaced("5 millis")
              })
            }
            for (let round = 1; round <= 3; round++) {
              yield* serve(300)
              yield* observer.kill(name)
              yield* serve(300)
              // What is sent to one session together fails together.
              if (!multiplex) assert.isAtMost(failures.length, 10 * round)
            }
            yield* Fiber.interrupt(load)
            const seen = failures.length
            yield* Effect.forEach(Array.from({ length: 200 }), () => one, { concurrency: 200 })
            assert.strictEqual(failures.length, seen)
          })),
      30_000
    )

    it.live("while they are idle fail none of 100 borrows 50 ms later", () =>
      withClient(
        { multiplex, maxConnections: 10, multiplexConcurrency: 1 },
        ({ name, observer }) =>
          Effect.gen(function*() {
            for (let round = 0; round < 10; round++) {
              yield* Effect.forEach(Array.from({ length: 10 }), () => one, { concurrency: 10 })
              yield* observer.kill(name)
              yield* Effect.sleep("50 millis")
              yield* Effect.forEach(Array.from({ length: 10 }), () => one, { concurrency: 10 })
            }
          })
      ), 60_000)

    withPsql(
      "while they are idle fail no borrow of the same turn, if the kernel has their ends",
      () =>
        withClient({ multiplex, maxConnections: 10, multiplexConcurrency: 2 }, ({ name }) =>
          Effect.gen(function*() {
            const sql = yield* SqlClient.SqlClient
            const fork = Effect.runForkWith(yield* Effect.context<SqlClient.SqlClient>())
            for (let round = 0; round < 5; round++) {
              yield* Effect.forEach(Array.from({ length: 20 }), () => sql`select pg_sleep(0.01)`, { concurrency: 20 })
              // A session that ends while it is being opened was never idle.
              yield* Effect.repeat(stats, {
                until: ({ connecting }) => connecting === 0,
                schedule: Schedule.spaced("5 millis")
              })
              const borrows = yield* Effect.sync(() => {
                terminateNow(name)
                return Array.from({ length: 10 }, () => fork(one))
              })
              for (const exit of yield* Fiber.awaitAll(borrows)) {
                assert.isTrue(Exit.isSuccess(exit), String(exit))
              }
            }
          }))
    )
  })
}

const hex = (port: number): string => port.toString(16).toUpperCase().padStart(4, "0")

/** The local ports of connections to the server whose end the kernel has received: their state is CLOSE_WAIT. */
const endedByPeer = (): ReadonlySet<string | undefined> =>
  new Set(
    Fs.readFileSync("/proc/self/net/tcp", "utf8").split("\n").map((line) => line.trim().split(/\s+/)).filter(
      ([, , remote, state]) => remote?.endsWith(`:${hex(address.port)}`) === true && state === "08"
    ).map(([, local]) => local?.split(":")[1])
  )

/** Ends all sessions with this name without a turn of the event loop, and waits in the same way until the kernel has all their ends. */
const terminateNow = (name: string): void => {
  const sql = `select client_port, pg_terminate_backend(pid) from pg_stat_activity where application_name = '${name}'`
  const ports = ChildProcess.execFileSync("psql", [
    ...["-h", address.host, "-p", String(address.port), "-U", login.username, "-d", login.database],
    ...["-X", "-A", "-t", "-c", sql]
  ], { encoding: "utf8" }).trim().split("\n").map((row) => hex(Number(row.split("|")[0])))
  const giveUp = performance.now() + 10_000
  const isOver = () => {
    const ended = endedByPeer()
    return ports.every((port) => ended.has(port))
  }
  while (!isOver()) assert.isBelow(performance.now(), giveUp, "the sessions have not ended")
}

describe("TLS", () => {
  const server = Effect.suspend(() =>
    Servers.postgresWith({ access: ["hostssl all all 127.0.0.1/32 trust"], certificate: certificate() })
  )
  const options = (port: number): Postgres.Options => ({
    host: "127.0.0.1",
    port,
    username: "sluice",
    database: "postgres",
    maxConnections: 2,
    ssl: { ca: certificate().cert, servername: certifiedName }
  })

  withOwnServer("is verified, carries statements, and the cancel of one", () =>
    Effect.gen(function*() {
      const { port } = yield* server
      const observer = yield* admin(port, { ssl: { ca: certificate().cert, servername: certifiedName } })
      const active = Effect.map(
        observer.query(
          "select count(*)::int as n from pg_stat_activity where query like '%pg_sleep(6)%' and state = 'active' and pid <> pg_backend_pid()"
        ),
        ({ rows }) => Number(rows[0]?.["n"])
      )
      yield* Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const encrypted = yield* sql`select ssl from pg_stat_ssl where pid = pg_backend_pid()`
        assert.deepStrictEqual(encrypted, [{ ssl: true }])
        const ending = Effect.gen(function*() {
          const fiber = yield* Effect.forkChild(sql`select pg_sleep(6)`, { startImmediately: true })
          yield* Effect.repeat(active, { until: (n) => n === 1, schedule: Schedule.spaced("5 millis") })
          const begin = performance.now()
          yield* Fiber.interrupt(fiber)
          yield* Effect.repeat(active, { until: (n) => n === 0, schedule: Schedule.spaced("5 millis") })
          return performance.now() - begin
        })
        assert.isBelow(Math.max(...(yield* Effect.replicateEffect(ending, 3))), 200)
        yield* sql`select 1`
      }).pipe(over(options(port)))
    }), 60_000)

  withOwnServer(
    "with a certificate that is not trusted fails after one dial, with Node's error as the cause",
    () =>
      Effect.gen(function*() {
        const { port } = yield* server
        const refused = (ssl: Postgres.Options["ssl"]) =>
          Effect.gen(function*() {
            const error = yield* Effect.flip(one)
            const { failedAttempts } = yield* stats
            const { cause } = error.reason
            return {
              tag: error.reason._tag,
              failedAttempts,
              code: cause instanceof Error && "code" in cause ? cause.code : ""
            }
          }).pipe(over({ ...options(port), ssl }))
        assert.deepStrictEqual(yield* refused({ servername: certifiedName }), {
          tag: "ConnectionError",
          failedAttempts: 1,
          code: "DEPTH_ZERO_SELF_SIGNED_CERT"
        })
        assert.deepStrictEqual(yield* refused({ ca: certificate().cert, servername: "other.test" }), {
          tag: "ConnectionError",
          failedAttempts: 1,
          code: "ERR_TLS_CERT_ALTNAME_INVALID"
        })
      }),
    60_000
  )
})

describe("a password", () => {
  withOwnServer(
    "that changes is asked for at each dial, and a wrong one is the server's own error after one",
    () =>
      Effect.gen(function*() {
        const { port } = yield* Servers.postgres
        const superuser = yield* admin(port)
        const change = (text: string) => superuser.query(`alter role locked password '${text}'`)
        yield* superuser.query("create role locked login password 'first'")
        const current = { password: "first", asked: 0 }
        const password = Effect.sync(() => {
          current.asked++
          return Redacted.make(current.password)
        })
        const options = {
          host: "127.0.0.1",
          port,
          username: "locked",
          database: "postgres",
          password,
          maxConnections: 1
        }
        yield* Effect.gen(function*() {
          const { connections } = yield* Postgres.Pool
          const first = yield* pid
          yield* change("second")
          current.password = "second"
          assert.strictEqual(yield* pid, first)
          yield* ConnectionPool.evict(connections)
          assert.notStrictEqual(yield* pid, first)
          assert.strictEqual(current.asked, 2)
          yield* ConnectionPool.evict(connections)
          current.password = "wrong"
          const error = yield* Effect.flip(pid)
          assert.isTrue(isSqlError(error))
          assert.strictEqual(error.reason._tag, "AuthenticationError")
          assert.propertyVal(error.reason.cause, "code", "28P01")
          assert.strictEqual((yield* stats).failedAttempts, 1)
          current.password = "second"
          yield* one
        }).pipe(over(options))
      }),
    60_000
  )
})

describe("a server", () => {
  withOwnServer("that has fewer sessions than the pool may have serves all borrowers", () =>
    Effect.gen(function*() {
      const { port } = yield* Servers.postgres
      const superuser = yield* admin(port)
      yield* superuser.query("create role app login")
      const options = { host: "127.0.0.1", port, username: "app", database: "postgres", maxConnections: 20 }
      yield* Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        yield* Effect.forEach(Array.from({ length: 100 }), () => sql`select pg_sleep(0.02)`, { concurrency: 100 })
        const { opened } = yield* stats
        // Ten, of which three are reserved for superusers.
        assert.isAtMost(opened, 7)
      }).pipe(over(options))
    }), 60_000)

  withOwnServer(
    "that has become a standby is left, session by session, and taken up again",
    () =>
      Effect.gen(function*() {
        const { port } = yield* Servers.postgres
        const superuser = yield* admin(port)
        const standby = (is: boolean) =>
          Effect.andThen(
            superuser.query(`alter system set default_transaction_read_only = ${is ? "on" : "off"}`),
            Effect.andThen(superuser.query("select pg_reload_conf()"), Effect.sleep("200 millis"))
          )
        yield* superuser.query("create table t (n int)")
        yield* Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          const write = sql`insert into t values (1)`
          yield* write
          const first = yield* pid
          yield* standby(true)
          const error = yield* Effect.flip(write)
          assert.propertyVal(error.reason.cause, "code", "25006")
          assert.notStrictEqual(yield* pid, first)
          yield* standby(false)
          yield* write
        }).pipe(over({ host: "127.0.0.1", port, username: "sluice", database: "postgres", maxConnections: 1 }))
      }),
    60_000
  )
})
