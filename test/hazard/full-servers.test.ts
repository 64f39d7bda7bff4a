/**
 * Real servers that have no room for another connection: our clients wait for it, and say so when they run out of time.
 */
import { assert, describe } from "@effect/vitest"
import { Effect, Fiber, Layer, Schedule } from "effect"
import * as Mysql from "effect-sluice/Mysql"
import * as Postgres from "effect-sluice/Postgres"
import * as Redis from "effect-sluice/Redis"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import * as EffectRedis from "effect/persistence/Redis"
import { SqlClient } from "effect/sql/SqlClient"
import { createConnection } from "mysql2/promise"
import { Client } from "pg"
import { createClient } from "redis"
import * as Servers from "../support/Servers.ts"
import { leavesDescriptors } from "../support/setup.ts"

leavesDescriptors("some drivers close a socket that was refused only when it is collected")

/** Opens connections until the server refuses one. The result closes one of them. */
const crowd = <C>(open: () => Promise<C>, close: (connection: C) => Promise<unknown>) =>
  Effect.gen(function*() {
    const opened = yield* Effect.acquireRelease(
      Effect.promise(async () => {
        const all: Array<C> = []
        while (all.length < 50) {
          const one = await open().catch(() => undefined)
          if (one === undefined) return all
          all.push(one)
        }
        return assert.fail("50 connections were accepted")
      }),
      (all) => Effect.promise(() => Promise.all(all.map((one) => close(one).catch(() => {}))))
    )
    return Effect.suspend(() => {
      const last = opened.pop()
      return last === undefined ? Effect.void : Effect.promise(() => close(last))
    })
  })

const options = { retry: RetryPolicy.make({ maxAttempts: 1, initialDelay: 100 }), connectTimeout: "2 seconds" } as const

/** A client waits for room, although its policy grants one attempt, and the next one says why it has got none. */
const waits = <R, E extends Error>(
  free: Effect.Effect<void>,
  layer: (acquireTimeout: "10 seconds" | "1 second") => Layer.Layer<R, never, ResourceMonitor.ResourceMonitor>,
  ask: Effect.Effect<unknown, E, R>,
  says: string
) =>
  Effect.gen(function*() {
    const asking = (acquireTimeout: "10 seconds" | "1 second") =>
      Effect.asVoid(ask).pipe(
        Effect.provide(Layer.provide(Layer.fresh(layer(acquireTimeout)), ResourceMonitor.layerUnlimited))
      )
    const error = yield* Effect.flip(asking("1 second"))
    const text = `${String(error)} ${
      JSON.stringify(error, (_, value) => value instanceof Error ? [value.message, value.cause] : value)
    }`
    assert.include(text, says)
    assert.include(text, "close connections between invocations, run fewer instances or smaller pools")
    const asked = yield* Effect.forkChild(asking("10 seconds"), { startImmediately: true })
    yield* Effect.sleep("800 millis")
    assert.isUndefined(asked.pollUnsafe())
    yield* free
    yield* Fiber.join(asked)
  })

const sql = Effect.flatMap(SqlClient, (sql) => sql`select 1`)

describe("a server that is full", { timeout: 60_000 }, () => {
  Servers.needs("initdb", "postgres")("PostgreSQL", () =>
    Effect.gen(function*() {
      const { port } = yield* Servers.postgres
      const open = (user: string) => async () => {
        const client = new Client({ host: "127.0.0.1", port, user, database: "postgres" })
        client.on("error", () => {})
        await client.connect()
        return client
      }
      const admin = yield* Effect.retry(Effect.tryPromise(open("sluice")), Schedule.spaced("50 millis"))
      yield* Effect.promise(() => admin.query("create role app login"))
      yield* Effect.promise(() => admin.end())
      const free = yield* crowd(open("app"), (client) => client.end())
      const layer = (acquireTimeout: "10 seconds" | "1 second") =>
        Postgres.layer({ ...options, host: "127.0.0.1", port, username: "app", database: "postgres", acquireTimeout })
      yield* waits(free, layer, sql, "remaining connection slots are reserved")
    }))

  Servers.needs("mariadbd", "mariadb-install-db")("MariaDB", () =>
    Effect.gen(function*() {
      const { port } = yield* Servers.mariadb
      const open = (user: string) => async () => {
        const connection = await createConnection({ host: "127.0.0.1", port, user })
        connection.on("error", () => {})
        return connection
      }
      const admin = yield* Effect.promise(open("root"))
      yield* Effect.promise(() => admin.query("create user app@'%'"))
      yield* Effect.promise(() => admin.end())
      const free = yield* crowd(open("app"), (connection) => connection.end())
      const layer = (acquireTimeout: "10 seconds" | "1 second") =>
        Mysql.layer({ ...options, host: "127.0.0.1", port, username: "app", acquireTimeout })
      yield* waits(free, layer, sql, "Too many connections")
    }))

  Servers.needs("redis-server")("Redis", () =>
    Effect.gen(function*() {
      const { port } = yield* Servers.redis("--maxclients", "4")
      const open = async () => {
        const client = createClient({ socket: { host: "127.0.0.1", port, reconnectStrategy: false } }).on(
          "error",
          () => {}
        )
        await client.connect()
        await client.ping()
        return client
      }
      const free = yield* crowd(open, async (client) => client.destroy())
      const layer = (acquireTimeout: "10 seconds" | "1 second") =>
        Redis.layer({ ...options, host: "127.0.0.1", port, acquireTimeout })
      const ask = Effect.flatMap(EffectRedis.Redis, (redis) => redis.send("PING"))
      yield* waits(free, layer, ask, "max number of clients reached")
    }))
})
