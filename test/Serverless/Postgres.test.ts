/**
 * The connector of the examples, and what the real server does by itself when its client cannot act.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Endpoint from "effect-sluice/Endpoint"
import * as Failure from "effect-sluice/Failure"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as Duration from "effect/Duration"
import * as PgConnector from "../../examples/postgres/PgConnector.ts"
import { address, isThere, login, observe } from "./Postgres.ts"

const endpoint = Endpoint.tcp(address.host, address.port)

const usual = PgConnector.guardRailsFor({ idleTimeout: "30 seconds", functionTimeout: "3 seconds" })

let applications = 0
const newApplication = () => `sluice-postgres-${process.pid}-${++applications}`

const connectorWith = (rails: Partial<PgConnector.GuardRails> = {}, applicationName = newApplication()) =>
  PgConnector.connector({ ...login, applicationName, guardRails: { ...usual, ...rails } })

const makePool = (
  connector: ReturnType<typeof connectorWith>,
  options: Partial<ConnectionPool.Options<Endpoint.Endpoint, PgConnector.Session, never, never>> = {}
) => ConnectionPool.make({ connector, ...ConnectionPool.serverless, ...options })

type Pool = Effect.Success<ReturnType<typeof makePool>>

const query = (pool: Pool, sql: string) =>
  ConnectionPool.use(pool, endpoint, ({ postgres }) => Effect.map(postgres.query(sql), ({ rows }) => rows))

const pid = (pool: Pool) => Effect.map(query(pool, "SELECT pg_backend_pid() AS pid"), ([row]) => row?.["pid"])

const test = <A, E>(name: string, effect: Effect.Effect<A, E, Scope.Scope | ResourceMonitor.ResourceMonitor>) =>
  it.live(name, () => Effect.provide(effect, Layer.fresh(ResourceMonitor.layer)))

describe.skipIf(!isThere)("a PostgreSQL connector", () => {
  test(
    "leases one session again and again, and closes it in order at the end",
    Effect.gen(function*() {
      const observer = yield* observe
      const application = newApplication()
      const scope = yield* Scope.make()
      const pool = yield* Scope.provide(makePool(connectorWith({}, application)), scope)
      assert.strictEqual(yield* pid(pool), yield* pid(pool))
      yield* Scope.close(scope, Exit.void)
      assert.isBelow(yield* observer.gone(application), Infinity)
    })
  )

  test(
    "has the server know the guard rails, whose values fit the pool's own times",
    Effect.gen(function*() {
      const pool = yield* makePool(connectorWith())
      const rows = yield* query(
        pool,
        "SELECT name, setting::int AS value FROM pg_settings WHERE source = 'client' AND unit = 'ms' ORDER BY name"
      )
      assert.deepStrictEqual(rows.map(({ name, value }) => [name, value]), [
        ["client_connection_check_interval", 1000],
        ["idle_in_transaction_session_timeout", 3000],
        ["idle_session_timeout", 45_000],
        ["statement_timeout", 3000],
        ["tcp_user_timeout", 10_000]
      ])
      const { idleTimeout } = ConnectionPool.serverless
      assert.isAbove(Duration.toMillis(usual.idleSession), Duration.toMillis(Duration.fromInputUnsafe(idleTimeout)))
    })
  )

  test(
    "notices at once that the server has ended an idle session, and the next borrower gets another",
    Effect.gen(function*() {
      const pool = yield* makePool(connectorWith({ idleSession: Duration.millis(150) }))
      const first = yield* pid(pool)
      yield* Effect.sleep("400 millis")
      assert.strictEqual((yield* ConnectionPool.stats(pool)).total, 0)
      assert.notStrictEqual(yield* pid(pool), first)
    })
  )

  test(
    "has a statement cancelled that runs too long, and keeps the session",
    Effect.gen(function*() {
      const pool = yield* makePool(connectorWith({ statement: Duration.millis(100) }))
      const first = yield* pid(pool)
      const error = yield* Effect.flip(query(pool, "SELECT pg_sleep(5)"))
      assert.strictEqual(Failure.classify(error).code, "57014")
      assert.strictEqual(yield* pid(pool), first)
    })
  )

  test(
    "has a transaction ended that waits too long",
    Effect.gen(function*() {
      const observer = yield* observe
      const application = newApplication()
      const pool = yield* makePool(connectorWith({ idleInTransaction: Duration.millis(150) }, application))
      yield* Effect.forkChild(
        ConnectionPool.use(pool, endpoint, ({ postgres }) => Effect.andThen(postgres.query("BEGIN"), Effect.never)),
        { startImmediately: true }
      )
      yield* Effect.sleep("50 millis")
      assert.strictEqual(yield* observer.sessions(application), 1)
      assert.isBelow(yield* observer.gone(application), Infinity)
    })
  )

  test(
    "has a statement ended whose client is gone, which would otherwise run on",
    Effect.gen(function*() {
      const observer = yield* observe
      const millisAfterLoss = (clientCheck: Duration.Duration, within: number) =>
        Effect.gen(function*() {
          const application = newApplication()
          const pool = yield* makePool(connectorWith({ clientCheck }, application), { drainTimeout: 0 })
          yield* Effect.forkChild(
            ConnectionPool.use(pool, endpoint, ({ postgres, socket }) =>
              Effect.andThen(
                Effect.forkChild(postgres.query("SELECT pg_sleep(5)"), { startImmediately: true }),
                Effect.andThen(Effect.sleep("50 millis"), Effect.sync(() => socket.destroy()))
              )),
            { startImmediately: true }
          )
          yield* Effect.sleep("100 millis")
          return yield* observer.gone(application, within)
        })
      assert.strictEqual(yield* millisAfterLoss(Duration.seconds(30), 500), Infinity)
      assert.isBelow(yield* millisAfterLoss(Duration.millis(50), 4000), Infinity)
    })
  )

  test(
    "closes a session whose borrower was interrupted, and never leases what it may have left behind",
    Effect.gen(function*() {
      const pool = yield* makePool(connectorWith())
      for (let turn = 0; turn < 10; turn++) {
        const before = yield* pid(pool)
        const begun = yield* Deferred.make<void>()
        const slow = ConnectionPool.use(
          pool,
          endpoint,
          ({ postgres }) => Effect.andThen(Deferred.succeed(begun, undefined), postgres.query("SELECT pg_sleep(5)"))
        )
        const fiber = yield* Effect.forkChild(slow, { startImmediately: true })
        yield* Deferred.await(begun)
        yield* Effect.sleep(turn)
        yield* Fiber.interrupt(fiber)
        assert.notStrictEqual(yield* pid(pool), before)
      }
    })
  )

  test(
    "fails with the server's own error where it refuses, and leaves nothing open",
    Effect.gen(function*() {
      const pool = yield* makePool(PgConnector.connector({
        ...login,
        database: "there is none",
        guardRails: usual
      }))
      const error = yield* Effect.flip(query(pool, "SELECT 1"))
      assert.strictEqual(error._tag === "PoolError" ? error.reason._tag : error._tag, "ConnectFailed")
      assert.match(error.message, /3D000/)
      assert.strictEqual((yield* ConnectionPool.stats(pool)).total, 0)
    })
  )
})
