/**
 * `ioredis` as connections of a pool, against a real server.
 */
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import { Fiber } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Endpoint from "effect-sluice/Endpoint"
import * as Failure from "effect-sluice/Failure"
import * as IoRedis from "effect-sluice/IoRedis"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import type { Scope } from "effect/Scope"
import type { Redis } from "ioredis"
import { describeWith, ports } from "../support/LiveServers.ts"
import { fork } from "../support/Pools.ts"
import { failureOf, host, observe, uniqueName } from "../support/RedisClients.ts"
import * as Servers from "../support/Servers.ts"

const endpoint = Endpoint.tcp(host, ports.Redis)

type Pool = ConnectionPool.ConnectionPool<Endpoint.Endpoint, Redis>

const test = <A, E>(effect: Effect.Effect<A, E, Scope | ResourceMonitor.ResourceMonitor>) => () =>
  Effect.provide(Effect.scoped(effect), Layer.fresh(ResourceMonitor.layer))

const makePool = (options: IoRedis.Options) =>
  ConnectionPool.make({ connector: IoRedis.connector(options), maxPerEndpoint: 1, maxTotal: 1 })

const use = <A>(pool: Pool, f: (client: Redis) => Promise<A>, key: Endpoint.Endpoint = endpoint) =>
  ConnectionPool.use(pool, key, (client) => Effect.tryPromise(() => f(client)))

const idOf = (pool: Pool, key?: Endpoint.Endpoint) => use(pool, (client) => client.client("ID"), key)

const withRedis = await describeWith("Redis")

withRedis("a client of ioredis", () => {
  it.live(
    "is leased again after an answer and after an error, and is gone with the pool",
    test(Effect.gen(function*() {
      const name = uniqueName()
      const observer = yield* observe()
      yield* Effect.scoped(Effect.gen(function*() {
        const pool = yield* makePool({ connectionName: name, db: 2 })
        const first = yield* idOf(pool)
        yield* failureOf(use(pool, (client) => client.call("NOSUCH")))
        assert.strictEqual(yield* idOf(pool), first)
        assert.include(yield* use(pool, async (client) => String(await client.client("INFO"))), "db=2")
        assert.strictEqual(yield* observer.count(name), 1)
      }))
      assert.strictEqual(yield* observer.settled(name, 0), 0)
    }))
  )

  it.live(
    "is not leased again when it was interrupted, or is subscribed",
    test(Effect.gen(function*() {
      const name = uniqueName()
      const observer = yield* observe()
      const pool = yield* makePool({ connectionName: name })
      const first = yield* idOf(pool)
      const blocked = yield* fork(use(pool, (client) => client.blpop(name, 0)))
      yield* Effect.sleep("20 millis")
      yield* Fiber.interrupt(blocked)
      const second = yield* idOf(pool)
      yield* use(pool, (client) => client.subscribe(name))
      const third = yield* idOf(pool)
      assert.strictEqual(new Set([first, second, third]).size, 3)
      assert.strictEqual(yield* observer.settled(name, 1), 1)
    }))
  )

  const changes: ReadonlyArray<readonly [what: string, change: (client: Redis) => Promise<unknown>]> = [
    ["MULTI without EXEC", (client) => client.multi({ pipeline: false })],
    ["MULTI by call", (client) => client.call("multi")],
    ["WATCH", (client) => client.watch("sluice-ioredis-key")],
    ["SELECT", (client) => client.select(1)],
    ["a pipeline with WATCH", (client) => client.pipeline().watch("sluice-ioredis-key").exec()]
  ]
  it.live.each(changes)(
    "is not leased again with %s",
    ([, change]) =>
      test(Effect.gen(function*() {
        const pool = yield* makePool({ connectionName: uniqueName() })
        const first = yield* idOf(pool)
        yield* use(pool, change)
        const second = yield* idOf(pool)
        assert.isNumber(second)
        assert.notStrictEqual(second, first)
      }))()
  )

  it.live(
    "is leased again after whole transactions",
    test(Effect.gen(function*() {
      const pool = yield* makePool({ connectionName: uniqueName() })
      const first = yield* idOf(pool)
      const key = "sluice-ioredis-key"
      yield* use(pool, (client) => client.multi().get(key).get(key).exec())
      yield* use(pool, (client) => client.watch(key).then(() => client.multi().get(key).exec()))
      yield* use(pool, (client) => client.watch(key).then(() => client.unwatch()))
      yield* use(pool, (client) => client.call("MULTI").then(() => client.call("DISCARD")))
      assert.strictEqual(yield* idOf(pool), first)
    }))
  )

  it.live(
    "is not leased again when the server has ended it",
    test(Effect.gen(function*() {
      const name = uniqueName()
      const observer = yield* observe()
      const pool = yield* makePool({ connectionName: name })
      const first = yield* idOf(pool)
      assert.strictEqual(yield* observer.kill(name), 1)
      yield* Effect.sleep("50 millis")
      assert.notStrictEqual(yield* idOf(pool), first)
    }))
  )

  Servers.needs("redis-server")(
    "asks for the password for each connection, and tells the server's refusal after one dial",
    () =>
      test(Effect.gen(function*() {
        const { port } = yield* Servers.redis("--requirepass", "first")
        const key = Endpoint.tcp(host, port)
        const current = { password: "first", asked: 0 }
        const password = Effect.sync(() => {
          current.asked++
          return Redacted.make(current.password)
        })
        const pool = yield* makePool({ password })
        const first = yield* idOf(pool, key)
        assert.strictEqual(yield* idOf(pool, key), first)
        yield* use(pool, (client) => client.config("SET", "requirepass", "second"), key)
        current.password = "second"
        yield* ConnectionPool.evict(pool)
        assert.notStrictEqual(yield* idOf(pool, key), first)
        assert.strictEqual(current.asked, 2)
        const wrong = yield* makePool({ password: "first" })
        assert.strictEqual(Failure.classify(yield* failureOf(idOf(wrong, key))).code, "WRONGPASS")
        assert.strictEqual((yield* ConnectionPool.stats(wrong)).failedAttempts, 1)
      }))(),
    30_000
  )
})
