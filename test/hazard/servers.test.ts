/**
 * What real servers answer through real drivers, and how it is classed: the tables are only as good as the errors that
 * really come.
 */
import { assert, describe } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import type { Scope } from "effect"
import * as Failure from "effect-sluice/Failure"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import * as Mysql from "mysql2/promise"
import * as Net from "node:net"
import * as Postgres from "pg"
import { createClient } from "redis"
import * as Servers from "../support/Servers.ts"
import { leavesDescriptors } from "../support/setup.ts"

leavesDescriptors("some drivers close a socket that was refused only when it is collected")

/** The error that a promise is rejected with. */
const errorOf = (promise: () => Promise<unknown>): Effect.Effect<unknown> =>
  Effect.promise(() => promise().then(() => assert.fail("it succeeded"), (error: unknown) => error))

const isClassed = (error: unknown, expected: readonly [Failure.FailureClass, string]) => {
  const failure = Failure.classify(error)
  assert.deepStrictEqual([failure.class, failure.code], [...expected], String(error))
}

const fails = (promise: () => Promise<unknown>, ...expected: readonly [Failure.FailureClass, string]) =>
  Effect.map(errorOf(promise), (error) => isClassed(error, expected))

/** Opens connections until the server refuses one, and closes them again; returns the refusal. */
const refusalOfCrowd = <C>(
  open: () => Promise<C>,
  close: (connection: C) => Promise<unknown>
): Effect.Effect<unknown> =>
  Effect.promise(async () => {
    const connections: Array<C> = []
    try {
      for (let i = 0; i < 50; i++) connections.push(await open())
      return assert.fail("50 connections were accepted")
    } catch (error) {
      return error
    } finally {
      await Promise.all(connections.map(close))
    }
  })

/** Servers that accept a connection and then do this with it. */
const listener = (onConnection: (socket: Net.Socket) => void): Effect.Effect<number, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(() =>
      new Promise<Net.Server>((resolve) => {
        const server = Net.createServer(onConnection).listen(0, "127.0.0.1", () => resolve(server))
      })
    ),
    (server) => Effect.sync(() => server.close())
  ).pipe(Effect.map((server) => {
    const address = server.address()
    return typeof address === "object" && address !== null ? address.port : 0
  }))

/** PostgreSQL accepts connections before it is ready, and says 57P03: a good reason to try again. */
const whenReady = <A>(open: () => Promise<A>): Effect.Effect<A> =>
  Effect.tryPromise(open).pipe(
    RetryPolicy.retry(RetryPolicy.make({ maxAttempts: 100, maxDelay: "200 millis" })),
    Effect.orDie,
    Effect.provide(ResourceMonitor.layerUnlimited)
  )

describe("PostgreSQL through pg", { timeout: 60_000 }, () => {
  const test = Servers.needs("initdb", "postgres")

  const connecting = (port: number, options: Postgres.ClientConfig = {}) => async () => {
    const client = new Postgres.Client({ host: "127.0.0.1", port, user: "sluice", database: "postgres", ...options })
    // A client whose connection ends tells it as an event as well, and without a listener that ends the process.
    client.on("error", () => {})
    await client.connect()
    return client
  }

  test("what it refuses at login", () =>
    Effect.gen(function*() {
      const { port } = yield* Servers.postgres
      const admin = yield* whenReady(connecting(port))
      yield* Effect.promise(() => admin.query("create role plain login; create role locked login password 'right'"))
      yield* fails(connecting(port, { user: "locked", password: "wrong" }), "Fatal", "28P01")
      yield* fails(connecting(port, { user: "nobody_here" }), "Fatal", "28000")
      yield* fails(connecting(port, { database: "nowhere" }), "Fatal", "3D000")
      const full = yield* refusalOfCrowd(connecting(port, { user: "plain" }), (client) => client.end())
      isClassed(full, ["RemoteSaturated", "53300"])
      yield* Effect.promise(() => admin.end())
    }))

  test("what it refuses later, and how it ends", () =>
    Effect.gen(function*() {
      const server = yield* Servers.postgres
      const one = yield* whenReady(connecting(server.port))
      const other = yield* Effect.promise(connecting(server.port))
      const run = (client: Postgres.Client, sql: string) => () => client.query(sql)
      yield* Effect.promise(run(one, "create table t (i int primary key, v int); insert into t values (1, 1), (2, 2)"))
      yield* fails(run(one, "selec"), "Fatal", "42601")
      yield* fails(run(one, "insert into t values (1, 1)"), "Fatal", "23505")
      yield* fails(run(one, "set statement_timeout = 20; select pg_sleep(5)"), "Fatal", "57014")
      yield* Effect.promise(run(one, "set statement_timeout = 0; begin read only"))
      yield* fails(run(one, "insert into t values (3, 3)"), "Redirect", "25006")
      yield* Effect.promise(run(one, "rollback"))

      yield* Effect.promise(run(other, "begin; update t set v = 1 where i = 1"))
      yield* fails(run(one, "set lock_timeout = 20; update t set v = 1 where i = 1"), "Transient", "55P03")
      yield* Effect.promise(run(other, "rollback"))

      for (const client of [one, other]) {
        yield* Effect.promise(run(client, "begin isolation level serializable; select sum(v) from t"))
      }
      yield* Effect.promise(run(one, "update t set v = 8 where i = 1"))
      yield* Effect.promise(run(other, "update t set v = 9 where i = 2"))
      yield* Effect.promise(run(one, "commit"))
      yield* fails(run(other, "commit"), "Transient", "40001")

      const { rows } = yield* Effect.promise(run(other, "select pg_backend_pid() as pid"))
      const ended = yield* Effect.forkChild(errorOf(run(other, "select pg_sleep(5)")), { startImmediately: true })
      yield* Effect.promise(run(one, `select pg_terminate_backend(${rows[0].pid})`))
      isClassed(yield* Fiber.join(ended), ["Ambiguous", "57P01"])
      const stopped = yield* Effect.forkChild(errorOf(run(one, "select pg_sleep(5)")), { startImmediately: true })
      yield* server.kill("SIGINT")
      isClassed(yield* Fiber.join(stopped), ["Ambiguous", "57P01"])
      yield* fails(connecting(server.port), "Transient", "ECONNREFUSED")
    }))
})

describe("MariaDB through mysql2", { timeout: 60_000 }, () => {
  const test = Servers.needs("mariadbd", "mariadb-install-db")

  const connecting = (port: number, options: Mysql.ConnectionOptions = {}) => async () => {
    const connection = await Mysql.createConnection({ host: "127.0.0.1", port, user: "root", ...options })
    connection.on("error", () => {})
    return connection
  }

  test("what it refuses, how it ends, and what it sounds like when it is gone", () =>
    Effect.gen(function*() {
      const server = yield* Servers.mariadb
      const connect = connecting(server.port)
      const [one, other] = yield* Effect.promise(() => Promise.all([connect(), connect()]))
      const run = (connection: Mysql.Connection, sql: string) => () => connection.query(sql)
      for (
        const sql of [
          "create database d",
          "create user u@'%' identified by 'right'",
          "grant all on d.* to u@'%'",
          "create user limited@'%' with max_user_connections 1",
          "create table d.t (i int primary key, v int) engine=innodb",
          "insert into d.t values (1, 1), (2, 2)"
        ]
      ) yield* Effect.promise(run(one, sql))

      yield* fails(connecting(server.port, { user: "u", password: "wrong" }), "Fatal", "MYSQL_1045")
      yield* fails(connecting(server.port, { database: "nowhere" }), "Fatal", "MYSQL_1049")
      const limited = connecting(server.port, { user: "limited" })
      isClassed(yield* refusalOfCrowd(limited, (connection) => connection.end()), ["RemoteSaturated", "MYSQL_1226"])
      const user = connecting(server.port, { user: "u", password: "right" })
      isClassed(yield* refusalOfCrowd(user, (connection) => connection.end()), ["RemoteSaturated", "MYSQL_1040"])
      yield* fails(run(one, "insert into d.t values (1, 1)"), "Fatal", "MYSQL_1062")

      for (const connection of [one, other]) yield* Effect.promise(run(connection, "begin"))
      yield* Effect.promise(run(one, "update d.t set v = 3 where i = 1"))
      yield* fails(run(other, "update d.t set v = 4 where i = 1"), "Transient", "MYSQL_1205")
      yield* Effect.promise(run(other, "update d.t set v = 4 where i = 2"))
      const both = Promise.allSettled([
        one.query("update d.t set v = 5 where i = 2"),
        other.query("update d.t set v = 5 where i = 1")
      ])
      const deadlock = (yield* Effect.promise(() => both)).find((result) => result.status === "rejected")
      isClassed(deadlock?.reason, ["Transient", "MYSQL_1213"])
      for (const connection of [one, other]) yield* Effect.promise(run(connection, "rollback"))

      yield* Effect.promise(run(one, "set global read_only = 1"))
      const reader = yield* Effect.promise(user)
      yield* fails(run(reader, "insert into d.t values (5, 5)"), "Redirect", "MYSQL_1290")
      yield* Effect.promise(() => reader.end())

      const killed = yield* Effect.forkChild(errorOf(run(other, "select sleep(5)")), { startImmediately: true })
      yield* Effect.promise(run(one, `kill ${other.threadId}`))
      isClassed(yield* Fiber.join(killed), ["Ambiguous", "PROTOCOL_CONNECTION_LOST"])
      const lost = yield* Effect.forkChild(errorOf(run(one, "select sleep(5)")), { startImmediately: true })
      yield* server.kill("SIGKILL")
      isClassed(yield* Fiber.join(lost), ["Ambiguous", "PROTOCOL_CONNECTION_LOST"])
      yield* fails(connect, "Transient", "ECONNREFUSED")
      const silent = yield* listener(() => {})
      yield* fails(connecting(silent, { connectTimeout: 50 }), "Transient", "ETIMEDOUT")
      yield* fails(connecting(yield* listener((socket) => socket.end())), "Ambiguous", "PROTOCOL_CONNECTION_LOST")
    }))
})

describe("Redis through node-redis", () => {
  const test = Servers.needs("redis-server")

  const connecting = (port: number, password?: string) => async () => {
    const options = { socket: { host: "127.0.0.1", port, reconnectStrategy: false } } as const
    const client = createClient(password === undefined ? options : { ...options, password })
    client.on("error", () => {})
    return client.connect()
  }
  type Client = Awaited<ReturnType<ReturnType<typeof connecting>>>
  const run = (client: Client, ...command: ReadonlyArray<string>) => () => client.sendCommand(command)

  test("its replies, and how it ends", () =>
    Effect.gen(function*() {
      const server = yield* Servers.redis("--maxclients", "6")
      const [one, other] = yield* Effect.promise(() => {
        const connect = connecting(server.port)
        return Promise.all([connect(), connect()])
      })
      const does = (...command: ReadonlyArray<string>) => Effect.promise(run(one, ...command))
      const set = run(one, "SET", "key", "value")

      yield* does("CONFIG", "SET", "maxmemory", "1")
      yield* fails(set, "RemoteSaturated", "OOM")
      yield* does("CONFIG", "SET", "maxmemory", "0")
      yield* does("CONFIG", "SET", "min-replicas-to-write", "3")
      yield* fails(set, "Transient", "NOREPLICAS")
      yield* does("CONFIG", "SET", "min-replicas-to-write", "0")
      yield* does("REPLICAOF", "127.0.0.1", "1")
      yield* fails(set, "Redirect", "READONLY")
      yield* does("CONFIG", "SET", "replica-serve-stale-data", "no")
      yield* fails(run(one, "GET", "key"), "Transient", "MASTERDOWN")
      yield* does("REPLICAOF", "NO", "ONE")
      yield* Effect.promise(set)
      yield* fails(run(one, "LPUSH", "key", "value"), "Fatal", "WRONGTYPE")

      yield* does("CONFIG", "SET", "busy-reply-threshold", "20")
      const script = yield* Effect.forkChild(errorOf(run(other, "EVAL", "while true do end", "0")), {
        startImmediately: true
      })
      yield* Effect.sleep("100 millis")
      yield* fails(run(one, "GET", "key"), "RemoteSaturated", "BUSY")
      yield* does("SCRIPT", "KILL")
      isClassed(yield* Fiber.join(script), ["Fatal", "ERR"])

      const full = yield* refusalOfCrowd(connecting(server.port), (client) => client.close())
      isClassed(full, ["RemoteSaturated", "MAXCLIENTS"])

      const id = String(Number(yield* Effect.promise(run(other, "CLIENT", "ID"))))
      const unblocked = yield* Effect.forkChild(errorOf(run(other, "BLPOP", "none", "5")), { startImmediately: true })
      yield* Effect.sleep("50 millis")
      yield* does("CLIENT", "UNBLOCK", id, "ERROR")
      isClassed(yield* Fiber.join(unblocked), ["Redirect", "UNBLOCKED"])
      const killed = yield* Effect.forkChild(errorOf(run(other, "BLPOP", "none", "5")), { startImmediately: true })
      yield* Effect.sleep("50 millis")
      yield* does("CLIENT", "KILL", "ID", id)
      isClassed(yield* Fiber.join(killed), ["Ambiguous", "SocketClosedUnexpectedlyError"])
      yield* fails(run(other, "GET", "key"), "Fatal", "ClientClosedError")
      yield* server.kill("SIGKILL")
      yield* fails(connecting(server.port), "Transient", "ECONNREFUSED")
    }))

  test("who may, and where the data is", () =>
    Effect.gen(function*() {
      const locked = yield* Servers.redis("--requirepass", "right")
      yield* fails(connecting(locked.port, "wrong"), "Fatal", "WRONGPASS")
      yield* fails(connecting(locked.port), "Fatal", "NOAUTH")
      const cluster = yield* Servers.redis("--cluster-enabled", "yes")
      const client = yield* Effect.promise(connecting(cluster.port))
      yield* fails(run(client, "GET", "key"), "Transient", "CLUSTERDOWN")
      yield* Effect.promise(run(client, "CLUSTER", "ADDSLOTSRANGE", "0", "16383"))
      yield* fails(run(client, "MGET", "a", "b"), "Fatal", "CROSSSLOT")
      client.destroy()
    }))
})
