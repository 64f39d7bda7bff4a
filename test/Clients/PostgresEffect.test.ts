/**
 * What Effect builds on a `SqlClient`, on ours: persistence, queues, key-value stores, event journals and migrations. And one program written
 * for `PgClient.layer`, which runs with ours.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, it } from "@effect/vitest"
import { Effect, Exit, Layer, PrimaryKey, Queue, Schema, Stream } from "effect"
import * as Postgres from "effect-sluice/Postgres"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as EventJournal from "effect/eventlog/EventJournal"
import * as SqlEventJournal from "effect/eventlog/SqlEventJournal"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as Persistable from "effect/persistence/Persistable"
import * as PersistedQueue from "effect/persistence/PersistedQueue"
import * as Persistence from "effect/persistence/Persistence"
import * as Migrator from "effect/sql/Migrator"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { address, login } from "../Serverless/Postgres.ts"
import { describeWith } from "../support/LiveServers.ts"
import { applicationName, withSchema } from "./support/Postgres.ts"

const withPostgres = await describeWith("PostgreSQL")

class User extends Persistable.Class<{ payload: { id: number } }>()("User", {
  primaryKey: ({ id }) => String(id),
  success: Schema.String,
  error: Schema.Never
}) {}

for (const multiplex of [false, true]) {
  withPostgres(multiplex ? "over shared sessions" : "over sessions for one borrower each", () => {
    for (
      const [name, layer] of [["one table", Persistence.layerSql], ["tables", Persistence.layerSqlMultiTable]] as const
    ) {
      it.live(`Persistence keeps results in ${name}`, () =>
        withSchema({ multiplex, maxConnections: 3 }, () =>
          Effect.gen(function*() {
            const persistence = yield* Persistence.Persistence
            const store = yield* persistence.make({ storeId: "users", timeToLive: () => "1 minute" })
            const keys = Array.from({ length: 20 }, (_, id) => new User({ id }))
            yield* Effect.forEach(keys, (key) => store.set(key, Exit.succeed(`user ${PrimaryKey.value(key)}`)), {
              concurrency: 20
            })
            const found = yield* store.getMany(keys)
            assert.deepStrictEqual(found, keys.map(({ id }) => Exit.succeed(`user ${id}`)))
            yield* store.clear
            assert.isUndefined(yield* store.get(new User({ id: 1 })))
          }).pipe(Effect.provide(layer))))
    }

    it.live(
      "PersistedQueue gives each element to one worker",
      () =>
        withSchema({ multiplex, maxConnections: 5 }, () =>
          Effect.gen(function*() {
            const queue = yield* PersistedQueue.make({ name: "work", schema: Schema.Finite })
            const elements = Array.from({ length: 30 }, (_, n) => n)
            yield* Effect.forEach(elements, (n) => queue.offer(n), { concurrency: 10 })
            const taken = yield* Effect.forEach(elements, () => queue.take(Effect.succeed), { concurrency: 5 })
            assert.sameMembers([...taken], elements)
          }).pipe(
            Effect.provide(PersistedQueue.layer.pipe(
              Layer.provide(PersistedQueue.layerStoreSql({ tableName: "queue", pollInterval: "10 millis" }))
            ))
          )),
      30_000
    )

    it.live("KeyValueStore gets what was set, and removes", () =>
      withSchema({ multiplex }, () =>
        Effect.gen(function*() {
          const store = yield* KeyValueStore.KeyValueStore
          yield* Effect.forEach(["a", "b", "c"], (key) => store.set(key, key.toUpperCase()), { concurrency: 3 })
          yield* store.remove("b")
          assert.strictEqual(yield* store.get("a"), "A")
          assert.isUndefined(yield* store.get("b"))
          assert.strictEqual(yield* store.size, 2)
        }).pipe(Effect.provide(KeyValueStore.layerSql()))))

    it.live("an event journal keeps its entries in order, and none whose effect fails", () =>
      withSchema({ multiplex }, () =>
        Effect.gen(function*() {
          const journal = yield* EventJournal.EventJournal
          const write = (event: string, effect: Effect.Effect<void, string>) =>
            journal.write({ event, primaryKey: "1", payload: new Uint8Array([1]), effect: () => effect })
          yield* write("first", Effect.void)
          yield* Effect.flip(write("failing", Effect.fail("no")))
          yield* write("second", Effect.void)
          assert.deepStrictEqual((yield* journal.entries).map(({ event }) => event), ["first", "second"])
        }).pipe(Effect.provide(SqlEventJournal.layer()))))

    it.live("Migrator runs each migration once, also when two start together", () =>
      withSchema({ multiplex }, () =>
        Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          const run = Migrator.make({})({
            loader: Migrator.fromRecord({
              "1_users": Effect.asVoid(sql`create table users (id int primary key)`),
              "2_first": Effect.asVoid(sql`insert into users values (1)`)
            })
          })
          const both = yield* Effect.all([Effect.exit(run), Effect.exit(run)], { concurrency: 2 })
          const done = both.flatMap((exit) => Exit.isSuccess(exit) ? exit.value : [])
          assert.sameDeepMembers([...done], [[1, "users"], [2, "first"]])
          assert.deepStrictEqual(yield* sql`select id from users`, [{ id: 1 }])
        })))
  })
}

/** One program, as a user of `@effect/sql-pg` writes it. */
const program = (table: string) =>
  Effect.gen(function*() {
    const sql = yield* SqlClient.SqlClient
    const pg = yield* PgClient.PgClient
    yield* sql`create table ${sql(table)} (id int primary key, data jsonb)`
    yield* Effect.addFinalizer(() => Effect.orDie(sql`drop table ${sql(table)}`))
    const heard = yield* pg.listen(table)
    const insert = Effect.fn("insert")(function*(id: number) {
      yield* sql`insert into ${sql(table)} ${sql.insert({ id, data: pg.json({ id }) })}`
      return yield* pg.notify(table, String(id))
    })
    yield* sql.withTransaction(Effect.forEach([1, 2, 3], insert))
    const failed = yield* insert(3).pipe(
      sql.withTransaction,
      Effect.catchReason("SqlError", "UniqueViolation", ({ constraint }) => Effect.succeed(constraint))
    )
    const streamed = yield* Stream.runCollect(sql<{ id: number }>`select id from ${sql(table)} order by id`.stream)
    const notified = yield* Effect.replicateEffect(3)(Queue.take(heard))
    return { failed, streamed, notified: notified.map(({ payload }) => payload), host: pg.config.host }
  }).pipe(Effect.scoped)

withPostgres("a program that was written for PgClient.layer", () => {
  const layers: ReadonlyArray<
    readonly [string, Layer.Layer<PgClient.PgClient | SqlClient.SqlClient, SqlError>]
  > = [false, true].flatMap((multiplex) => {
    const options = { ...address, ...login, multiplex, maxConnections: 5, applicationName: applicationName() }
    return [
      [`PgClient.layer, multiplex: ${multiplex}`, PgClient.layer(options)],
      [
        `Postgres.layer, multiplex: ${multiplex}`,
        Postgres.layer(options).pipe(Layer.provide(Layer.fresh(ResourceMonitor.layer)))
      ]
    ]
  })

  it.live.each(layers)("comes to the same with %s", ([name, layer]) =>
    Effect.gen(function*() {
      const table = `sluice_unchanged_${process.pid}_${name.replaceAll(/\W/g, "_").toLowerCase()}`
      assert.deepStrictEqual(yield* program(table), {
        failed: `${table}_pkey`,
        streamed: [{ id: 1 }, { id: 2 }, { id: 3 }],
        notified: ["1", "2", "3"],
        host: address.host
      })
    }).pipe(Effect.provide(layer)))
})
