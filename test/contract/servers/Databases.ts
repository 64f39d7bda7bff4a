/**
 * The databases of this machine, and ones of the test's own, observed by a session of their own.
 */
import { Effect, Schedule } from "effect"
import type { Scope } from "effect"
import { Redis } from "ioredis"
import * as Mysql from "mysql2/promise"
import * as Pg from "pg"
import { ports } from "../../support/LiveServers.ts"
import * as Servers from "../../support/Servers.ts"
import { type OwnServer, promised, type TestServer } from "../Adapter.ts"

const host = "127.0.0.1"

/** Asks over a session that is opened for it, so that a restart of the server leaves none broken. */
interface Observer<C> {
  readonly connect: (port: number) => Promise<C>
  readonly end: (connection: C) => Promise<unknown>
  readonly prepare: (connection: C, label: string) => Promise<unknown>
  /** Removes what was prepared. */
  readonly forget: (connection: C, label: string) => Promise<unknown>
  readonly sessions: (connection: C, label: string) => Promise<number>
  readonly transactions: (connection: C, label: string) => Promise<number>
  readonly terminate: (connection: C, label: string) => Promise<unknown>
}

const observed = <C>(port: number, observer: Observer<C>): Effect.Effect<TestServer, never, Scope.Scope> =>
  Effect.gen(function*() {
    let connection: C | undefined
    const asking = <A>(ask: (connection: C) => Promise<A>): Effect.Effect<A> =>
      Effect.promise(async () => {
        connection ??= await observer.connect(port)
        try {
          return await ask(connection)
        } catch {
          connection = await observer.connect(port)
          return ask(connection)
        }
      })
    const prepared = new Set<string>()
    yield* Effect.addFinalizer(() =>
      Effect.andThen(
        // A server of the test's own is gone by now.
        Effect.ignoreCause(
          Effect.forEach(prepared, (label) => asking((connection) => observer.forget(connection, label)))
        ),
        Effect.promise(async () => {
          if (connection !== undefined) await observer.end(connection).catch(() => {})
        })
      )
    )
    return {
      port,
      prepare: (label) => {
        prepared.add(label)
        return Effect.asVoid(asking((connection) => observer.prepare(connection, label)))
      },
      sessions: (label) => asking((connection) => observer.sessions(connection, label)),
      transactions: (label) => asking((connection) => observer.transactions(connection, label)),
      terminate: (label) => Effect.asVoid(asking((connection) => observer.terminate(connection, label)))
    }
  })

/** Logs in by a plain client, again until the server takes it: one that listens may still refuse each login. */
const loggedIn = (login: () => Promise<unknown>): Effect.Effect<void> =>
  Effect.orDie(Effect.asVoid(Effect.retry(promised(login), { schedule: Schedule.spaced("10 millis") })))

/** `signal` ends the server at once, with all that belongs to it. */
const own = <C>(
  server: Effect.Effect<Servers.Server, never, Scope.Scope>,
  observer: Observer<C>,
  signal: NodeJS.Signals = "SIGKILL"
): Effect.Effect<OwnServer, never, Scope.Scope> =>
  Effect.flatMap(server, ({ kill, port, restart }) => {
    const login = loggedIn(async () => observer.end(await observer.connect(port)))
    const restarted = kill(signal).pipe(Effect.andThen(restart), Effect.andThen(login))
    return Effect.map(observed(port, observer), (seen) => ({ ...seen, restart: restarted }))
  })

const connectPostgres = async (port: number, user: string) => {
  const client = new Pg.Client({ host, port, user, database: "postgres", application_name: "sluice-observer" })
  client.on("error", () => {})
  await client.connect()
  return client
}

const postgresObserver = ((): Observer<Pg.Client> => {
  const count = async (client: Pg.Client, label: string, where: string) => {
    const sql = `select count(*)::int as n from pg_stat_activity where application_name = $1 and ${where}`
    const { rows } = await client.query<{ n: number }>(sql, [label])
    return rows[0]?.n ?? 0
  }
  return {
    connect: (port) => connectPostgres(port, "postgres"),
    end: (client) => client.end(),
    prepare: async () => {},
    forget: async () => {},
    sessions: (client, label) => count(client, label, "true"),
    transactions: (client, label) => count(client, label, "state like 'idle in transaction%'"),
    terminate: (client, label) =>
      client.query("select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1", [label])
  }
})()

/** The superuser of the tests' own server has another name than that of the server on this machine. */
const postgresOfTheTest = Effect.tap(Servers.postgres, ({ port }) =>
  loggedIn(async () => {
    const client = await connectPostgres(port, "sluice")
    await client.query("create role postgres superuser login")
    await client.end()
  }))

type Rows = Array<Mysql.RowDataPacket>

/** A label is the name of a database. */
const mariadbObserver: Observer<Mysql.Connection> = {
  connect: async (port) => {
    const connection = await Mysql.createConnection({ host, port, user: "root" })
    connection.on("error", () => {})
    return connection
  },
  end: (connection) => connection.end(),
  prepare: (connection, label) => connection.query(`create database if not exists ${label}`),
  forget: (connection, label) => connection.query(`drop database ${label}`),
  sessions: async (connection, label) => {
    const [rows] = await connection.query<Rows>("select id from information_schema.processlist where db = ?", [label])
    return rows.length
  },
  transactions: async (connection, label) => {
    const [rows] = await connection.query<Rows>(
      "select p.id from information_schema.processlist p join information_schema.innodb_trx t " +
        "on t.trx_mysql_thread_id = p.id where p.db = ? and p.command = 'Sleep'",
      [label]
    )
    return rows.length
  },
  terminate: async (connection, label) => {
    const [rows] = await connection.query<Rows>("select id from information_schema.processlist where db = ?", [label])
    for (const { id } of rows) await connection.query(`kill ${id}`).catch(() => {})
  }
}

const clientsOf = async (redis: Redis, label: string): Promise<ReadonlyArray<string>> =>
  String(await redis.client("LIST")).split("\n").filter((line) => line.includes(` name=${label} `))

const redisObserver: Observer<Redis> = {
  connect: async (port) => {
    const redis = new Redis({ host, port, lazyConnect: true, retryStrategy: null })
    redis.on("error", () => {})
    await redis.connect()
    return redis
  },
  end: (redis) => redis.quit(),
  prepare: async () => {},
  forget: async () => {},
  sessions: async (redis, label) => (await clientsOf(redis, label)).length,
  transactions: async (redis, label) =>
    (await clientsOf(redis, label)).filter((line) => !line.includes(" multi=-1 ")).length,
  terminate: async (redis, label) => {
    for (const line of await clientsOf(redis, label)) {
      await redis.client("KILL", "ID", /^id=(\d+)/.exec(line)?.[1] ?? "0")
    }
  }
}

export const postgres = observed(ports.PostgreSQL, postgresObserver)
export const ownPostgres = own(postgresOfTheTest, postgresObserver, "SIGQUIT")
export const mariadb = observed(ports.MariaDB, mariadbObserver)
export const ownMariadb = own(Servers.mariadb, mariadbObserver)
export const redis = observed(ports.Redis, redisObserver)
export const ownRedis = own(Servers.redis(), redisObserver)
