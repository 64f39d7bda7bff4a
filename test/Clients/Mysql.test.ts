/**
 * `SqlClient` on `mysql2` over a pool, against a real MariaDB, with a database of its own.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { ConfigProvider, Context, Deferred, Effect, Exit, Fiber, Layer, Redacted, Schedule, Stream } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Endpoint from "effect-sluice/Endpoint"
import * as Mysql from "effect-sluice/Mysql"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { FaultProxy } from "effect-sluice/Testing"
import * as Config from "effect/Config"
import { SqlClient } from "effect/sql/SqlClient"
import * as SqlError from "effect/sql/SqlError"
import * as Driver from "mysql2/promise"
import { describeWith, ports } from "../support/LiveServers.ts"

const database = `sluice_mysql_${process.pid}`
const address = { host: "127.0.0.1", port: ports.MariaDB }

/** Another session, which sees what the server sees. */
let observer: Driver.Connection

const observed = async (sql: string): Promise<ReadonlyArray<Driver.RowDataPacket>> => {
  const [rows] = await observer.query<Array<Driver.RowDataPacket>>(sql)
  return rows
}

/** Sessions of this database, and what they run. */
const sessions = () => observed(`select id, command, info from information_schema.processlist where db = '${database}'`)

const options: Mysql.Options = { ...address, username: "root", database, maxConnections: 5 }

const monitored = Layer.fresh(ResourceMonitor.layer)

type Services = SqlClient | Mysql.Pool

/** Runs with a client of its own. */
const run = <A, E>(effect: Effect.Effect<A, E, Services>, more: Mysql.Options = {}) =>
  Effect.provide(effect, Layer.provide(Layer.fresh(Mysql.layer({ ...options, ...more })), monitored))

const test = <A, E>(name: string, effect: Effect.Effect<A, E, Services>, more: Mysql.Options = {}) =>
  it.live(name, () => run(effect, more))

let tables = 0

/** A table of two rows. */
const makeTable = Effect.gen(function*() {
  const sql = yield* SqlClient
  const name = `t${++tables}`
  yield* sql.unsafe(`create table ${name} (id int primary key, name varchar(50), at datetime, data json) engine=innodb`)
  yield* sql`insert into ${sql(name)} ${sql.insert([{ id: 1, name: "Ada" }, { id: 2, name: "Grace" }])}`
  return name
})

const sessionOf = Effect.flatMap(
  SqlClient,
  (sql) => Effect.map(sql`select connection_id() as id`, ([row]) => Number(row?.["id"]))
)

/** Waits until so many statements sleep. They do so for six seconds, so that a statement that is not ended takes too long. */
const running = (count: number) =>
  Effect.gen(function*() {
    const start = performance.now()
    const sleeping = async () => (await sessions()).filter(({ info }) => String(info).includes("sleep(6)")).length
    while ((yield* Effect.promise(sleeping)) !== count) {
      assert.isBelow(performance.now() - start, 4000)
      yield* Effect.sleep("5 millis")
    }
  })

const reasonOf = <A>(effect: Effect.Effect<A, SqlError.SqlError, Services>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => reason)

const withMariaDB = await describeWith("MariaDB")

withMariaDB("a client of MySQL", () => {
  beforeAll(async () => {
    observer = await Driver.createConnection({ ...address, user: "root" })
    await observer.query(`create database ${database}`)
  })
  afterAll(async () => {
    await observer.query(`drop database ${database}`)
    await observer.end()
  })

  describe("statements", () => {
    for (const prepare of [true, false]) {
      test(
        `return rows, with values of each kind (${prepare ? "prepared" : "as text"})`,
        Effect.gen(function*() {
          const sql = yield* SqlClient
          const table = yield* makeTable
          const at = new Date("2026-01-02T03:04:05.000Z")
          yield* sql`insert into ${sql(table)} ${sql.insert({ id: 3, name: "O'Hara \\ ?", at, data: { a: [1, "'"] } })}`
          const rows = yield* sql<{ id: number }>`select * from ${sql(table)} where id in ${sql.in([1, 3])} order by id`
          assert.deepStrictEqual(rows.map((row) => ({ ...row })), [
            { id: 1, name: "Ada", at: null, data: null },
            { id: 3, name: "O'Hara \\ ?", at, data: { a: [1, "'"] } }
          ] as never)
          const values = yield* sql`select ${undefined} as a, ${true} as b, ${2n} as c, ${new Uint8Array([1, 2])} as d`
            .values
          assert.deepStrictEqual(values.map(([a, b, c]) => [a, Number(b), Number(c)]), [[null, 1, 2]])
          assert.deepStrictEqual(yield* sql`select 1 as n limit ${1}`.values, [[1]])
          const raw = yield* sql`update ${sql(table)} set name = ${"x"} where id > ${1}`.raw
          assert.include(raw as object, { affectedRows: 2 })
        }),
        { prepare }
      )
    }

    test(
      "update many rows by values",
      Effect.gen(function*() {
        const sql = yield* SqlClient
        const table = yield* makeTable
        const values = [{ id: 1, name: "a" }, { id: 2, name: "b" }] as const
        yield* sql`update ${sql(table)} t join ${sql.updateValues(values, "v")} on t.id = v.id set t.name = v.name`
        const names = yield* sql`select name from ${sql(table)} order by id`.values
        assert.deepStrictEqual(names, [["a"], ["b"]])
        yield* sql`update ${sql(table)} set ${sql.update({ id: 1, name: "c" }, ["id"])} where id = 1`
        assert.deepStrictEqual(yield* sql`select name from ${sql(table)} where id = 1`.values, [["c"]])
      })
    )

    test(
      "rename columns on the way in and out",
      Effect.gen(function*() {
        const sql = yield* SqlClient
        const [row] = yield* sql`select 1 as ${sql("oneTwo")}`
        assert.deepStrictEqual({ ...row }, { ONE_TWO: 1 })
        const [plain] = yield* sql.withoutTransforms()`select 1 as ${sql("oneTwo")}`
        assert.deepStrictEqual({ ...plain }, { oneTwo: 1 })
      }),
      {
        transformQueryNames: (name) => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
        transformResultNames: (name) => name.toUpperCase()
      }
    )

    test(
      "share no session at once, and never more than the cap as the server counts them",
      Effect.gen(function*() {
        const sql = yield* SqlClient
        let peak = 0
        const watching = yield* Effect.forkChild(Effect.forever(Effect.promise(async () => {
          peak = Math.max(peak, (await sessions()).length)
        })))
        const answers = yield* Effect.forEach(
          Array.from({ length: 2000 }, (_, index) => index),
          (index) => Effect.map(sql`select ${index} as n`.values, ([row]) => Number(row?.[0]) === index),
          { concurrency: 100 }
        )
        yield* Fiber.interrupt(watching)
        assert.isTrue(answers.every((isRight) => isRight))
        assert.isAtMost(peak, 5)
        assert.isAtLeast(peak, 4)
      })
    )

    const failures: ReadonlyArray<readonly [statement: string, reason: string, constraint?: string]> = [
      ["selec 1", "SqlSyntaxError"],
      ["select * from no_such_table", "SqlSyntaxError"],
      ["select no_such_column", "SqlSyntaxError"],
      ["insert into TABLE (id) values (1)", "UniqueViolation", "PRIMARY"],
      ["insert into TABLE (id) values (null)", "ConstraintError"],
      ["set statement max_statement_time = 0.02 for select sleep(1) from TABLE", "StatementTimeoutError"],
      ["signal sqlstate '45000' set message_text = 'own'", "UnknownError"]
    ]
    for (const [statement, tag, constraint] of failures) {
      test(
        `that fail have their reason, and keep their session: ${statement}`,
        Effect.gen(function*() {
          const sql = yield* SqlClient
          const table = yield* makeTable
          const first = yield* sessionOf
          const reason = yield* reasonOf(sql.unsafe(statement.replace("TABLE", table)))
          assert.strictEqual(reason._tag, tag)
          if (reason._tag === "UniqueViolation") assert.strictEqual(reason.constraint, constraint)
          assert.strictEqual(yield* sessionOf, first)
        }),
        { maxConnections: 1 }
      )
    }
  })

  describe("transactions", () => {
    test(
      "commit, roll back, and roll back to a savepoint",
      Effect.gen(function*() {
        const sql = yield* SqlClient
        const table = yield* makeTable
        const insert = (id: number) => sql`insert into ${sql(table)} ${sql.insert({ id, name: "new" })}`
        yield* sql.withTransaction(Effect.gen(function*() {
          yield* insert(3)
          yield* Effect.exit(sql.withTransaction(Effect.andThen(insert(4), Effect.fail("no"))))
          yield* sql.withTransaction(insert(5))
        }))
        yield* Effect.exit(sql.withTransaction(Effect.andThen(insert(6), Effect.die("no"))))
        const ids = yield* sql`select id from ${sql(table)} order by id`.values
        assert.deepStrictEqual(ids.flat(), [1, 2, 3, 5])
      })
    )

    it.live("whose session is reset fail with the error of their statement, and not by a defect", () =>
      Effect.gen(function*() {
        const proxy = yield* FaultProxy.make(Endpoint.tcp("127.0.0.1", ports.MariaDB))
        const { host, port } = proxy.endpoint
        yield* run(
          Effect.gen(function*() {
            const sql = yield* SqlClient
            for (const fault of [proxy.reset, proxy.cut, proxy.reset]) {
              const broken = sql.withTransaction(Effect.andThen(Effect.andThen(sql`select 1`, fault), sql`select 2`))
              assert.strictEqual((yield* Effect.flip(broken)).reason._tag, "ConnectionError")
            }
          }),
          { host, port }
        )
      }))

    test(
      "that are interrupted in a statement are rolled back, and their session is used again",
      Effect.gen(function*() {
        const sql = yield* SqlClient
        const table = yield* makeTable
        const first = yield* sessionOf
        const started = yield* Deferred.make<void>()
        const fiber = yield* Effect.forkChild(sql.withTransaction(Effect.gen(function*() {
          yield* sql`delete from ${sql(table)}`
          yield* Deferred.succeed(started, undefined)
          yield* sql`select sleep(6)`
        })))
        yield* Deferred.await(started)
        yield* Effect.sleep("50 millis")
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual(yield* sql`select count(*) from ${sql(table)}`.values, [[2]])
        assert.strictEqual(yield* sessionOf, first)
      }),
      { maxConnections: 1 }
    )

    test(
      "go on after a statement of theirs that took too long",
      Effect.gen(function*() {
        const sql = yield* SqlClient
        const table = yield* makeTable
        yield* sql.withTransaction(Effect.gen(function*() {
          yield* sql`insert into ${sql(table)} ${sql.insert({ id: 3, name: "new" })}`
          yield* Effect.timeoutOption(sql`select sleep(6)`, "50 millis")
          yield* sql`insert into ${sql(table)} ${sql.insert({ id: 4, name: "new" })}`
        }))
        assert.deepStrictEqual(yield* sql`select count(*) from ${sql(table)}`.values, [[4]])
      })
    )

    test(
      "that a deadlock has ended do not commit what came after it",
      Effect.gen(function*() {
        const sql = yield* SqlClient
        const table = yield* makeTable
        const update = (id: number) => sql`update ${sql(table)} set name = ${"x"} where id = ${id}`
        const insert = (id: number) => sql`insert into ${sql(table)} ${sql.insert({ id, name: "late" })}`
        const [one, other] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
        /** Goes on in spite of the deadlock. */
        const transaction = (mine: Deferred.Deferred<void>, theirs: Deferred.Deferred<void>, ids: [number, number]) =>
          sql.withTransaction(Effect.gen(function*() {
            yield* update(ids[0])
            yield* Deferred.succeed(mine, undefined)
            yield* Deferred.await(theirs)
            const second = yield* Effect.exit(update(ids[1]))
            yield* insert(ids[0] + 10)
            return second
          }))
        const exits = yield* Effect.all(
          [Effect.exit(transaction(one, other, [1, 2])), Effect.exit(transaction(other, one, [2, 1]))],
          { concurrency: "unbounded" }
        )
        const failed = exits.filter(Exit.isFailure)
        assert.lengthOf(failed, 1)
        const succeeded = exits.find(Exit.isSuccess)
        assert.isTrue(succeeded !== undefined && Exit.isSuccess(succeeded.value))
      })
    )

    test(
      "left open by hand are not leased again",
      Effect.gen(function*() {
        const sql = yield* SqlClient
        const table = yield* makeTable
        const first = yield* sessionOf
        yield* Effect.scoped(Effect.flatMap(sql.reserve, (connection) =>
          Effect.forEach(
            ["begin", `delete from ${table}`],
            (statement) => connection.executeUnprepared(statement, [], undefined)
          )))
        assert.notStrictEqual(yield* sessionOf, first)
        assert.deepStrictEqual(yield* sql`select count(*) from ${sql(table)}`.values, [[2]])
        const { use } = yield* Mysql.Pool
        const third = yield* sessionOf
        yield* use((connection) => Effect.promise(() => connection.promise().query("set autocommit = 0")))
        assert.notStrictEqual(yield* sessionOf, third)
      }),
      { maxConnections: 1 }
    )
  })

  describe("streams", () => {
    const numbers = Effect.map(SqlClient, (sql) => sql<{ seq: number }>`select seq from seq_1_to_20000`.stream)

    for (const prepare of [true, false]) {
      test(
        `give all rows in order, and their session back (${prepare ? "prepared" : "as text"})`,
        Effect.gen(function*() {
          const first = yield* sessionOf
          const rows = yield* Stream.runCollect(yield* numbers)
          assert.lengthOf(rows, 20_000)
          assert.isTrue(rows.every(({ seq }, index) => Number(seq) === index + 1))
          assert.strictEqual(yield* sessionOf, first)
        }),
        { maxConnections: 1, prepare }
      )
    }

    test(
      "are not read ahead of a slow consumer",
      Effect.gen(function*() {
        const sql = yield* SqlClient
        const many = sql<{ seq: number }>`select seq, repeat('x', 1000) as filler from seq_1_to_200000`.stream
        const before = process.memoryUsage().arrayBuffers
        let seen = 0
        let peak = 0
        yield* Stream.runForEachArray(many, (rows) =>
          Effect.gen(function*() {
            seen += rows.length
            peak = Math.max(peak, rows.length)
            if (seen < 20_000) yield* Effect.sleep("1 millis")
          }))
        assert.strictEqual(seen, 200_000)
        assert.isBelow(peak, 2000)
        assert.isBelow(process.memoryUsage().arrayBuffers - before, 100e6)
      })
    )

    test(
      "that are given up end at the server, and their session is used again, in a transaction too",
      Effect.gen(function*() {
        const sql = yield* SqlClient
        const first = yield* sessionOf
        const endless = sql`select a.seq from seq_1_to_1000000 a, seq_1_to_1000000 b`.stream
        const start = performance.now()
        assert.lengthOf(yield* Stream.runCollect(Stream.take(endless, 3)), 3)
        assert.strictEqual(yield* sessionOf, first)
        yield* sql.withTransaction(Effect.gen(function*() {
          yield* Stream.runHead(endless)
          assert.strictEqual(yield* sessionOf, first)
        }))
        assert.isBelow(performance.now() - start, 2000)
        const running = (yield* Effect.promise(sessions)).filter(({ info }) =>
          String(info).includes("seq_1_to_1000000")
        )
        assert.lengthOf(running, 0)
      }),
      { maxConnections: 1 }
    )

    test(
      "that fail say why, at once and in the middle",
      Effect.gen(function*() {
        const sql = yield* SqlClient
        const first = yield* sessionOf
        assert.strictEqual((yield* reasonOf(Stream.runDrain(sql`selec`.stream)))._tag, "SqlSyntaxError")
        const table = yield* makeTable
        const late = sql.unsafe(`select if(seq < 1000, seq, (select id from ${table})) as n from seq_1_to_2000`).stream
        assert.strictEqual((yield* reasonOf(Stream.runDrain(late)))._tag, "UnknownError")
        assert.strictEqual(yield* sessionOf, first)
      }),
      { maxConnections: 1 }
    )

    test(
      "whose session is killed fail",
      Effect.gen(function*() {
        const { reason } = yield* Effect.flip(Stream.runForEachArray(yield* numbers, () =>
          Effect.gen(function*() {
            for (const { id } of yield* Effect.promise(sessions)) yield* Effect.promise(() => observed(`kill ${id}`))
            yield* Effect.sleep("20 millis")
          }))).pipe(Effect.catchDefect((defect) => Effect.die(defect)))
        assert.strictEqual(reason._tag, "ConnectionError")
      })
    )
  })

  describe("an interrupted statement", () => {
    test(
      "ends at the server within 200 ms, and its session is used again",
      Effect.gen(function*() {
        const sql = yield* SqlClient
        const first = yield* sessionOf
        for (let turn = 0; turn < 5; turn++) {
          const fiber = yield* Effect.forkChild(sql`select sleep(6)`, { startImmediately: true })
          yield* Effect.sleep("50 millis")
          yield* Fiber.interrupt(fiber)
          const start = performance.now()
          const isRunning = async () => (await sessions()).some(({ info }) => String(info).includes("sleep"))
          while ((yield* Effect.promise(isRunning)) && performance.now() - start < 5000) yield* Effect.sleep("5 millis")
          assert.isBelow(performance.now() - start, 200)
          assert.strictEqual(yield* sessionOf, first)
        }
      }),
      { maxConnections: 1 }
    )

    it.live("costs the server one connection, however many are interrupted with it", () =>
      Effect.gen(function*() {
        const proxy = yield* FaultProxy.make(Endpoint.tcp("127.0.0.1", ports.MariaDB))
        const { host, port } = proxy.endpoint
        const count = 10
        const program = Effect.gen(function*() {
          const sql = yield* SqlClient
          const hung = Effect.forEach(Array.from({ length: count }), () => sql`select sleep(6)`, {
            concurrency: "unbounded"
          })
          for (let turn = 1; turn <= 2; turn++) {
            const fiber = yield* Effect.forkChild(hung, { startImmediately: true })
            yield* running(count)
            yield* Fiber.interrupt(fiber)
            yield* running(0)
            assert.isAtMost(yield* proxy.accepted, count + turn)
          }
        })
        yield* run(program, { host, port, maxConnections: count })
        // The proxy forwards the ends after us.
        yield* Effect.repeat(proxy.connections, { until: (open) => open === 0, schedule: Schedule.spaced("5 millis") })
      }))

    test(
      "ends at the server although its borrower does not, when its session is closed",
      Effect.gen(function*() {
        const sql = yield* SqlClient
        const { connections } = yield* Mysql.Pool
        const hung = Effect.forEach(Array.from({ length: 10 }), () => sql`select sleep(6)`, {
          concurrency: "unbounded"
        })
        const fiber = yield* Effect.forkDetach(Effect.uninterruptible(Effect.exit(hung)))
        yield* running(10)
        yield* ConnectionPool.drain(connections, 0)
        yield* running(0)
        yield* Fiber.await(fiber)
      }),
      { maxConnections: 10, closeTimeout: "50 millis" }
    )

    test(
      "never ends the next one, however late its cancellation is",
      Effect.gen(function*() {
        const sql = yield* SqlClient
        for (let turn = 0; turn < 100; turn++) {
          // About as long as it takes to cancel, so that it often ends by itself first.
          yield* Effect.timeoutOption(sql`select sleep(0.003)`, `${turn % 5} millis`)
          assert.deepStrictEqual(yield* sql`select sleep(0.001)`.values, [[0]])
        }
      }),
      { maxConnections: 1 }
    )

    test(
      "leaves nothing of its own with onInterrupt \"close\"",
      Effect.gen(function*() {
        const sql = yield* SqlClient
        const first = yield* sessionOf
        yield* Effect.timeoutOption(sql`select sleep(0.2)`, "20 millis")
        assert.notStrictEqual(yield* sessionOf, first)
        yield* Effect.sleep("300 millis")
        assert.lengthOf(yield* Effect.promise(sessions), 1)
      }),
      { maxConnections: 1, onInterrupt: "close" }
    )
  })

  describe("connections", () => {
    test(
      "open on the first use, and close with the layer",
      Effect.gen(function*() {
        assert.lengthOf(yield* Effect.promise(sessions), 0)
        yield* run(sessionOf)
        assert.lengthOf(yield* Effect.promise(sessions), 0)
      })
    )

    test(
      "that the server has ended are not leased again",
      Effect.gen(function*() {
        const sql = yield* SqlClient
        yield* Effect.all(Array.from({ length: 5 }, () => sql`select sleep(0.05)`), { concurrency: "unbounded" })
        for (const { id } of yield* Effect.promise(sessions)) yield* Effect.promise(() => observed(`kill ${id}`))
        yield* Effect.sleep("50 millis")
        yield* Effect.all(Array.from({ length: 20 }, () => sql`select sleep(0.01)`), { concurrency: "unbounded" })
        const { connections } = yield* Mysql.Pool
        assert.deepInclude(yield* ConnectionPool.stats(connections), { died: 5 })
      })
    )

    test(
      "that are refused say why, after one dial",
      Effect.gen(function*() {
        const refused = (more: Mysql.Options) =>
          run(
            Effect.gen(function*() {
              const reason = yield* reasonOf(sessionOf)
              const { connections } = yield* Mysql.Pool
              const { failedAttempts } = yield* ConnectionPool.stats(connections)
              return [reason._tag, failedAttempts, reason.message]
            }),
            more
          )
        const [login, dials, text] = yield* refused({ username: "nobody_here", password: Redacted.make("wrong") })
        assert.deepStrictEqual([login, dials], ["AuthenticationError", 1])
        assert.match(String(text), /Access denied for user 'nobody_here'/)
        const [missing, again, name] = yield* refused({ database: "sluice_no_such_database" })
        assert.deepStrictEqual([missing, again], ["SqlSyntaxError", 1])
        assert.match(String(name), /Unknown database 'sluice_no_such_database'/)
        const late = yield* run(
          reasonOf(sessionOf),
          { host: "127.0.0.1", port: 1, acquireTimeout: "200 millis" }
        )
        assert.strictEqual(late._tag, "ConnectionError")
        assert.match(late.message ?? "", /no connection to 127.0.0.1:1 within .*ECONNREFUSED/)
      })
    )

    it.live("take their address and login from a URL, or from Config", () =>
      Effect.gen(function*() {
        const url = `mysql://root@127.0.0.1:${ports.MariaDB}/${database}`
        const name = Effect.flatMap(SqlClient, (sql) => sql`select database()`.values)
        assert.deepStrictEqual(yield* run(name, { url: Redacted.make(url), host: undefined, database: undefined }), [
          [database]
        ])
        const config = Config.all({
          url: Config.Redacted("DATABASE_URL"),
          maxConnections: Config.Int("DATABASE_CONNECTIONS"),
          idleTimeout: Config.Duration("DATABASE_IDLE")
        })
        const provided = (env: Record<string, string>) =>
          Effect.provide(
            name,
            Layer.provide(Mysql.layerConfig(config), [
              monitored,
              ConfigProvider.layer(ConfigProvider.fromEnvRecord(env))
            ])
          )
        const env = { DATABASE_URL: url, DATABASE_CONNECTIONS: "2", DATABASE_IDLE: "1 minute" }
        assert.deepStrictEqual(yield* provided(env), [[database]])
        const error = yield* Effect.flip(provided({ ...env, DATABASE_CONNECTIONS: "0" }))
        assert.strictEqual(error._tag, "ConfigError")
        assert.include(error.message, "maxConnections")
        const ofPool = yield* Effect.flip(provided({ ...env, DATABASE_IDLE: "0 seconds" }))
        assert.strictEqual(ofPool._tag, "ConfigError")
        assert.include(ofPool.message, "idleTimeout")
        const hidden = yield* Effect.flip(provided({ ...env, DATABASE_URL: "postgres://root:secret@127.0.0.1" }))
        assert.notInclude(JSON.stringify(hidden) + hidden.message, "secret")
      }))

    it.live("evaluate the password for each one", () => {
      let evaluated = 0
      const password = Effect.sync(() => {
        evaluated++
        return Redacted.make("")
      })
      return run(
        Effect.gen(function*() {
          yield* sessionOf
          yield* sessionOf
          const { connections } = yield* Mysql.Pool
          yield* ConnectionPool.evict(connections)
          yield* sessionOf
          assert.strictEqual(evaluated, 2)
        }),
        { maxConnections: 1, password }
      )
    })

    it.live("are none at all after the layer, with transactions, streams and statements under way", () =>
      Effect.gen(function*() {
        const context = yield* Effect.context<never>()
        yield* Effect.scoped(Effect.gen(function*() {
          const services = yield* Layer.build(
            Layer.provide(Layer.fresh(Mysql.layer({ ...options, drainTimeout: 0 })), monitored)
          )
          const sql = Context.get(services, SqlClient)
          const fork = <A, E>(effect: Effect.Effect<A, E>) => Effect.runForkWith(context)(Effect.exit(effect))
          fork(sql.withTransaction(sql`select sleep(1)`))
          fork(sql`select sleep(1)`)
          fork(Stream.runForEach(sql`select seq from seq_1_to_1000000`.stream, () => Effect.sleep("1 millis")))
          yield* Effect.sleep("100 millis")
          assert.lengthOf(yield* Effect.promise(sessions), 3)
        }))
        const start = performance.now()
        let left = Infinity
        while (left > 0 && performance.now() - start < 5000) {
          left = (yield* Effect.promise(sessions)).length
          yield* Effect.sleep("5 millis")
        }
        assert.strictEqual(left, 0)
      }))
  })
})
