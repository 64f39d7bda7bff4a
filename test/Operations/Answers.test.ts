/**
 * What the health of an endpoint and the log say of errors with which a server has answered.
 */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import { ScriptedConnector } from "effect-sluice/Testing"
import { SqlError, StatementTimeoutError } from "effect/sql/SqlError"
import { TestClock } from "effect/testing"
import { collect, withOperations } from "./Program.ts"

const postgres = (code: string) => Object.assign(new Error(`SQLSTATE ${code}`), { code, severity: "ERROR" })
const mysql = (errno: number) => Object.assign(new Error(`number ${errno}`), { errno, sqlState: "HY000" })

/** The reply of a server of Redis, as node-redis and ioredis throw it. */
const redis = (reply: string) => Object.assign(new Error(reply), { name: "ReplyError" })

const wrapped = new SqlError({
  reason: new StatementTimeoutError({ cause: postgres("57014"), message: "canceled", operation: "execute" })
})

const ofStatement: ReadonlyArray<readonly [string, unknown]> = [
  ["57014, a statement that was cancelled", postgres("57014")],
  ["57014, as Effect's SqlError", wrapped],
  ["55P03, a lock that is not available", postgres("55P03")],
  ["40001, a serialization failure", postgres("40001")],
  ["40P01, a deadlock", postgres("40P01")],
  ["23505, a constraint", postgres("23505")],
  ["MySQL 1205, a lock that was waited for", mysql(1205)],
  ["MySQL 1213, a deadlock", mysql(1213)],
  ["MySQL 3024, a statement that took too long", mysql(3024)],
  ["WRONGTYPE of Redis", redis("WRONGTYPE Operation against a key holding the wrong kind of value")]
]

const ofServer: ReadonlyArray<readonly [string, unknown]> = [
  ["LOADING of Redis", redis("LOADING Redis is loading the dataset in memory")],
  ["BUSY of Redis", redis("BUSY Redis is busy running a script")],
  ["57P03, a server that starts", postgres("57P03")],
  ["53200, a server without memory", postgres("53200")],
  ["57P04, a database that was dropped", Object.assign(postgres("57P04"), { severity: "FATAL" })],
  ["08P01 of pgbouncer, which ends the session", Object.assign(postgres("08P01"), { severity: "FATAL" })],
  ["NOAUTH of Redis", redis("NOAUTH Authentication required.")],
  ["MySQL 1047, a node of Galera that is not ready", mysql(1047)],
  ["MySQL 9001 of ProxySQL, without a server behind it", mysql(9001)],
  ["MySQL 1053, a server that shuts down", mysql(1053)]
]

/** Ten borrows on the first connection of a pool that all fail with this error. */
const failing = (error: unknown) => {
  const { layer, lines } = collect()
  return Effect.gen(function*() {
    const { connector } = ScriptedConnector.make()
    const pool = yield* ConnectionPool.make({ name: "orders", connector, maxPerEndpoint: 1 })
    for (let borrow = 0; borrow < 10; borrow++) {
      // What a driver throws has no type.
      yield* Effect.exit(ConnectionPool.use(pool, "db", () => Effect.failCause(Cause.fail(error as Error))))
    }
    // The log looks again after a moment.
    yield* TestClock.adjust("100 millis")
    const health = yield* ConnectionPool.health(pool, "db")
    const [endpoint] = (yield* ConnectionPool.inspect(pool)).endpoints
    return { health, lastFailure: endpoint?.lastFailure?.cause, log: lines.map(({ text }) => text) }
  }).pipe(withOperations(), Effect.provide(layer))
}

describe("an error of the server", () => {
  it.effect.each(ofStatement)(
    "for a statement is no failure of the endpoint: %s",
    ([, error]) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* failing(error), { health: "Healthy", lastFailure: undefined, log: [] })
      })
  )

  it.effect.each(ofServer)(
    "for every request is an outage, and the server is not called down: %s",
    ([, error]) =>
      Effect.gen(function*() {
        const { health, lastFailure, log: [line = ""] } = yield* failing(error)
        assert.deepStrictEqual([health, lastFailure], ["Unavailable", error])
        const { message } = error as Error
        assert.strictEqual(line, `ConnectionPool orders: db serves no borrower: ${message}; 0 borrowers wait`)
      })
  )

  it.effect("is not seen where the connection has failed", () =>
    Effect.gen(function*() {
      const { health, log: [line = ""] } = yield* failing(Object.assign(new Error("read"), { code: "ECONNRESET" }))
      assert.strictEqual(health, "Unavailable")
      assert.include(line, "db is down: read")
    }))

  it.effect("is not seen in a code of Prisma, which looks like a SQLSTATE", () =>
    Effect.gen(function*() {
      const { health } = yield* failing(postgres("P1001"))
      assert.strictEqual(health, "Unavailable")
    }))
})
