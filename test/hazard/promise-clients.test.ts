/**
 * Drivers of promises with their real servers, through a proxy that breaks connections.
 */
import { assert, describe } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, type Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as Endpoint from "effect-sluice/Endpoint"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { FaultProxy } from "effect-sluice/Testing"
import type { EventEmitter } from "node:events"
import { fork, test } from "../support/Pools.ts"
import * as PromiseClients from "../support/PromiseClients.ts"
import * as Servers from "../support/Servers.ts"

const host = "127.0.0.1"

/** A server that has just been started may refuse for a while. */
const patient = RetryPolicy.make({ ...RetryPolicy.tcpConnection, maxAttempts: 100, initialDelay: 10 })

interface Driver<A extends object> {
  readonly name: string
  readonly needs: ReadonlyArray<string>
  readonly server: Effect.Effect<Servers.Server, never, Scope.Scope>
  readonly connector: Connector.Connector<number, A, Connector.ClientError>
  readonly ask: (client: A) => Promise<unknown>
  /** Asks for what the server answers after seconds. */
  readonly askLong: (client: A) => Promise<unknown>
  /** What tells of the end of a client. */
  readonly emitters: (client: A) => ReadonlyArray<EventEmitter>
  /** What `killer` is given to end a client. */
  readonly idOf: (client: A) => Promise<unknown>
  readonly kill: (killer: A, id: unknown) => Promise<unknown>
}

/** The first event that says that a client has ended. */
const endOf = (emitters: ReadonlyArray<EventEmitter>) =>
  new Promise<void>((resolve) => {
    for (const emitter of emitters) {
      for (const event of ["error", "end", "close"]) emitter.once(event, () => resolve())
    }
  })

const testDriver = <A extends object>(
  { ask, askLong, connector, emitters, idOf, kill, name, needs, server }: Driver<A>
) =>
  describe(name, { timeout: 60_000 }, () => {
    const run = Servers.needs(...needs)

    run("is used, replaced when its connections die, and closed", () =>
      test(Effect.gen(function*() {
        const { port } = yield* server
        const proxy = yield* FaultProxy.make(Endpoint.tcp(host, port))
        const pool = yield* ConnectionPool.make({
          connector,
          retry: patient
        })
        const query = ConnectionPool.use(pool, proxy.endpoint.port, (client) =>
          Effect.asVoid(Effect.promise(() => ask(client))))
        yield* Effect.all(
          Array.from({ length: 50 }, () =>
            query),
          { concurrency: 10 }
        )
        const { idle } = yield* ConnectionPool.stats(pool)
        assert.include([1, 2], idle)
        assert.deepInclude(yield* ConnectionPool.stats(pool), { opened: idle, closed: 0 })
        yield* proxy.reset
        yield* Effect.sleep("100 millis")
        assert.deepInclude(yield* ConnectionPool.stats(pool), { idle: 0, died: idle })
        yield* Effect.all(Array.from({ length: 50 }, () => query), { concurrency: 10 })
        yield* ConnectionPool.drain(pool, "5 seconds")
        const { closed, opened } = yield* ConnectionPool.stats(pool)
        assert.strictEqual(closed, opened)
        assert.deepInclude(yield* ConnectionPool.stats(pool), { total: 0, leftBehind: 0 })
      })))

    run("does not keep a connection to a server that has frozen", () =>
      test(Effect.gen(function*() {
        const { port } = yield* server
        const proxy = yield* FaultProxy.make(Endpoint.tcp(host, port))
        const pool = yield* ConnectionPool.make({
          connector,
          connectTimeout: "300 millis",
          closeTimeout: "300 millis",
          acquireTimeout: "1 second",
          checkAfterIdle: 0
        })
        const query = ConnectionPool.use(pool, proxy.endpoint.port, (client) =>
          Effect.asVoid(Effect.promise(() =>
            ask(client)
          )))
        yield* query
        yield* proxy.freeze
        yield* Effect.sleep("10 millis")
        const error = yield* Effect.flip(query)
        assert.strictEqual(error.reason._tag, "AcquireTimeout")
        yield* ConnectionPool.drain(pool, 0)
        assert.deepInclude(yield* ConnectionPool.stats(pool), { total: 0, connectsLeftBehind: 0, closesLeftBehind: 0 })
      })))

    run("frees its slot at once when its borrow was interrupted or died while a command was under way", () =>
      test(Effect.gen(function*() {
        const { port } = yield* server
        const options = { closeTimeout: "60 seconds", acquireTimeout: "10 seconds", maxPerEndpoint: 1 } as const
        const pool = yield* ConnectionPool.make({ connector, ...options, retry: patient })
        const query = ConnectionPool.use(pool, port, (client) =>
          Effect.promise(() =>
            ask(client)
          ))
        yield* query
        const begun = yield* Deferred.make<void>()
        const long = ConnectionPool.use(pool, port, (client) =>
          Effect.andThen(
            Deferred.succeed(begun, undefined),
            Effect.promise(() => askLong(client))
          ))
        const asking = yield* fork(long)
        yield* Deferred.await(begun)
        yield* Fiber.interrupt(asking)
        yield* query
        const dying = yield* Effect.exit(ConnectionPool.use(pool, port, (client) => {
          askLong(client).catch(() => {})
          return Effect.die("a defect")
        }))
        assert.isTrue(Exit.hasDies(dying))
        yield* query
        assert.deepInclude(yield* ConnectionPool.stats(pool), { opened: 3, closed: 2, closing: 0, leftBehind: 0 })
      })))

    run("is not leased again once its client has said that it has ended", () =>
      test(Effect.gen(function*() {
        const { port } = yield* server
        const [pool, killers] = [
          yield* ConnectionPool.make({ connector, retry: patient, maxPerEndpoint: 1 }),
          yield* ConnectionPool.make({ connector, retry: patient, maxPerEndpoint: 1 })
        ]
        const rounds = 20
        let answered = 0
        for (let round = 0; round < rounds; round++) {
          const { ended, id } = yield* ConnectionPool.use(pool, port, (client) =>
            Effect.map(
              Effect.promise(() => idOf(client)),
              (id) => ({ ended: endOf(emitters(client)), id })
            ))
          yield* ConnectionPool.use(killers, port, (killer) => Effect.promise(() => kill(killer, id)))
          yield* Effect.promise(() => ended)
          const asked = ConnectionPool.use(pool, port, (client) => Effect.tryPromise(() => ask(client)))
          if (Exit.isSuccess(yield* Effect.exit(asked))) answered++
        }
        assert.strictEqual(answered, rounds)
      })))
  })

testDriver({
  name: "pg",
  needs: ["initdb", "postgres"],
  server: Servers.postgres,
  connector: PromiseClients.pg,
  ask: (client) => client.query("select 1"),
  askLong: (client) => client.query("select pg_sleep(5)"),
  emitters: (client) => [client, client.connection.stream],
  idOf: (client) => client.query("select pg_backend_pid() as pid").then(({ rows }) => rows[0]?.pid),
  kill: (killer, pid) => killer.query("select pg_terminate_backend($1)", [pid])
})

describe("pg", { timeout: 60_000 }, () => {
  const run = Servers.needs("initdb", "postgres")

  run("leaves no transaction to the next borrower", () =>
    test(Effect.gen(function*() {
      const { port } = yield* Servers.postgres
      const pool = yield* ConnectionPool.make({ connector: PromiseClients.pg, retry: patient, maxPerEndpoint: 1 })
      const broken = (statement: string) =>
        Effect.exit(ConnectionPool.use(pool, port, (client) =>
          Effect.tryPromise(async () => {
            await client.query("begin")
            await client.query(statement)
          })))
      let answered = 0
      for (const statement of ["select 1", "selec", "select 1/0", "begin; select 1/0"]) {
        yield* broken(statement)
        const asked = ConnectionPool.use(pool, port, (client) =>
          Effect.tryPromise(() =>
            client.query("select now() = statement_timestamp() as fresh")
          ))
        const exit = yield* Effect.exit(asked)
        if (Exit.isSuccess(exit) && exit.value.rows[0]?.fresh === true) answered++
      }
      assert.strictEqual(answered, 4)
    })))
})

testDriver({
  name: "mysql2",
  needs: ["mariadb-install-db", "mariadbd"],
  server: Servers.mariadb,
  connector: PromiseClients.mysql2,
  ask: (client) => client.query("select 1"),
  askLong: (client) => client.query("select sleep(5)"),
  emitters: (client) => [client, client.stream],
  idOf: (client) => Promise.resolve(client.threadId),
  kill: (killer, id) => killer.query("kill ?", [id])
})

testDriver({
  name: "ioredis",
  needs: ["redis-server"],
  server: Servers.redis(),
  connector: PromiseClients.ioredis,
  ask: (client) => client.get("a"),
  askLong: (client) => client.blpop("b", 5),
  emitters: (client) => [client, client.stream],
  idOf: (client) => client.client("ID"),
  kill: (killer, id) => killer.client("KILL", "ID", Number(id))
})

testDriver({
  name: "redis",
  needs: ["redis-server"],
  server: Servers.redis(),
  connector: PromiseClients.redis,
  ask: (client) => client.get("a"),
  askLong: (client) => client.blPop("b", 5),
  emitters: (client) => [client],
  idOf: (client) => client.sendCommand(["CLIENT", "ID"]),
  kill: (killer, id) => killer.sendCommand(["CLIENT", "KILL", "ID", String(id)])
})
