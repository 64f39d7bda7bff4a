/**
 * Drivers of promises with their real servers, through a proxy that breaks connections.
 */
import { assert, describe } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as Endpoint from "effect-sluice/Endpoint"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { FaultProxy } from "effect-sluice/Testing"
import { test } from "../support/Pools.ts"
import * as PromiseClients from "../support/PromiseClients.ts"
import * as Servers from "../support/Servers.ts"

const host = "127.0.0.1"

interface Driver<A extends object> {
  readonly name: string
  readonly needs: ReadonlyArray<string>
  readonly server: Effect.Effect<Servers.Server, never, Scope.Scope>
  readonly connector: Connector.Connector<number, A, Connector.ClientError>
  readonly ask: (client: A) => Promise<unknown>
}

const testDriver = <A extends object>({ ask, connector, name, needs, server }: Driver<A>) =>
  describe(name, { timeout: 60_000 }, () => {
    const run = Servers.needs(...needs)

    run("is used, replaced when its connections die, and closed", () =>
      test(Effect.gen(function*() {
        const { port } = yield* server
        const proxy = yield* FaultProxy.make(Endpoint.tcp(host, port))
        const pool = yield* ConnectionPool.make({
          connector,
          retry: RetryPolicy.make({ ...RetryPolicy.tcpConnection, maxAttempts: 100, initialDelay: 10 })
        })
        const query = ConnectionPool.use(pool, proxy.endpoint.port, (client) =>
          Effect.asVoid(Effect.promise(() =>
            ask(client)
          )))
        yield* Effect.all(Array.from({ length: 50 }, () => query), { concurrency: 10 })
        assert.deepInclude(yield* ConnectionPool.stats(pool), { opened: 2, idle: 2, closed: 0 })
        yield* proxy.reset
        yield* Effect.sleep("100 millis")
        assert.deepInclude(yield* ConnectionPool.stats(pool), { idle: 0, died: 2 })
        yield* Effect.all(Array.from({ length: 50 }, () => query), { concurrency: 10 })
        yield* ConnectionPool.drain(pool, "5 seconds")
        assert.deepInclude(yield* ConnectionPool.stats(pool), { total: 0, leftBehind: 0, opened: 4, closed: 4 })
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
  })

testDriver({
  name: "pg",
  needs: ["initdb", "postgres"],
  server: Servers.postgres,
  connector: PromiseClients.pg,
  ask: (client) => client.query("select 1")
})

testDriver({
  name: "mysql2",
  needs: ["mariadb-install-db", "mariadbd"],
  server: Servers.mariadb,
  connector: PromiseClients.mysql2,
  ask: (client) => client.query("select 1")
})

testDriver({
  name: "ioredis",
  needs: ["redis-server"],
  server: Servers.redis(),
  connector: PromiseClients.ioredis,
  ask: (client) => client.get("a")
})

testDriver({
  name: "redis",
  needs: ["redis-server"],
  server: Servers.redis(),
  connector: PromiseClients.redis,
  ask: (client) => client.get("a")
})
