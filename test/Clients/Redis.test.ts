/**
 * Effect's Redis service over our pools, against a real server.
 */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Config, ConfigProvider, Effect, Exit, Fiber, Layer, Queue, Redacted, Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Endpoint from "effect-sluice/Endpoint"
import * as Redis from "effect-sluice/Redis"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { Redis as Service, type RedisError, script } from "effect/persistence/Redis"
import * as Net from "node:net"
import * as Tls from "node:tls"
import { ErrorReply } from "redis"
import { ClientFunctions } from "../../src/Clients/internal/redis/OpenClient.ts"
import { certificate, certifiedName } from "../support/Certificates.ts"
import { describeWith, ports } from "../support/LiveServers.ts"
import { fork } from "../support/Pools.ts"
import { failureOf, host, observe, onRedis, send, uniqueName } from "../support/RedisClients.ts"
import * as Servers from "../support/Servers.ts"

const withRedis = await describeWith("Redis")

const reasonOf = (error: RedisError): unknown =>
  error.cause instanceof ConnectionPool.PoolError ? error.cause.reason._tag : error.cause

withRedis("Redis.layer", () => {
  it.live("sends the commands of 200 fibers over one connection, each with its own answer", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      const observer = yield* observe()
      yield* onRedis(
        { clientName: name },
        Effect.gen(function*() {
          const echoed = yield* Effect.forEach(
            Array.from({ length: 200 }, (_, index) => `${name}-${index}`),
            (text) =>
              Effect.map(
                Effect.replicateEffect(send<string>("ECHO", text), 10),
                (all) => all.every((each) => each === text)
              ),
            { concurrency: "unbounded" }
          )
          assert.isTrue(echoed.every((right) => right))
          assert.strictEqual(yield* observer.count(name), 1)
          const { shared } = yield* Redis.Pool
          // A borrow for each command would be 2000.
          assert.isAtMost((yield* ConnectionPool.stats(shared)).borrowed, 201)
        })
      )
      assert.strictEqual(yield* observer.settled(name, 0), 0)
    }))

  it.live("works without a function for each command, as a budget has it", () =>
    Effect.gen(function*() {
      const monitor = yield* Layer.build(Layer.fresh(ResourceMonitor.layerUnlimited))
      const client = yield* Redis.make({ host, port: ports.Redis, keepalive: "20 millis", checkAfterIdle: 0 }).pipe(
        Effect.provideService(ClientFunctions, "Plain"),
        Effect.provide(monitor)
      )
      const name = uniqueName()
      assert.isTrue(yield* client.pool.use((plain) => Promise.resolve(!("get" in plain) && !("ping" in plain))))
      const messages = yield* client.subscribe(name)
      // Several checks of both connections.
      yield* Effect.sleep("100 millis")
      assert.strictEqual(yield* client.send("PUBLISH", name, "one"), 1)
      assert.deepStrictEqual(yield* Queue.take(messages), { channel: name, message: "one" })
      const length = script((text: string) => [text], { lua: "return #ARGV[1]", numberOfKeys: 0 }).withReturnType<
        number
      >()
      assert.strictEqual(yield* client.eval(length)("four"), 4)
      assert.strictEqual((yield* ConnectionPool.stats(client.pool.shared)).opened, 1)
      assert.strictEqual((yield* ConnectionPool.stats(client.pool.subscriptions)).opened, 1)
    }))

  it.live("opens nothing before the first command", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      const observer = yield* observe()
      yield* onRedis(
        { clientName: name },
        Effect.gen(function*() {
          assert.strictEqual(yield* observer.count(name), 0)
          assert.strictEqual(yield* send("PING"), "PONG")
          assert.strictEqual(yield* observer.count(name), 1)
        })
      )
    }))

  it.live("has the server's own error as the cause, and keeps the connection", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      yield* onRedis(
        { clientName: name },
        Effect.gen(function*() {
          yield* send("SET", name, "text", "EX", "10")
          const error = yield* failureOf(send("LPUSH", name, "1"))
          assert.strictEqual(error._tag, "RedisError")
          assert.instanceOf(error.cause, ErrorReply)
          assert.match(error.message, /^WRONGTYPE/)
          const { shared } = yield* Redis.Pool
          yield* send("DEL", name)
          assert.deepInclude(yield* ConnectionPool.stats(shared), { opened: 1, closed: 0 })
        })
      )
    }))

  it.live("runs scripts by their digest, also where the server does not know them any more", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      const observer = yield* observe()
      const add = script((key: string, by: number) => [key, by], {
        numberOfKeys: 1,
        lua: `-- ${name}\nreturn redis.call("INCRBY", KEYS[1], ARGV[1])`
      }).withReturnType<number>()
      yield* onRedis(
        { clientName: name },
        Effect.gen(function*() {
          const redis = yield* Service
          const evaluate = redis.eval(add)
          assert.strictEqual(yield* evaluate(name, 2), 2)
          assert.strictEqual(yield* evaluate(name, 3), 5)
          const reserved = yield* redis.reserve
          assert.strictEqual(yield* reserved.eval(add)(name, 4), 9)
          const calls = yield* send<string>("INFO", "commandstats")
          assert.include(calls, "cmdstat_evalsha")
          yield* Effect.promise(() => observer.client.expire(name, 1))
          const wrong = script((key: string) => [key], { numberOfKeys: 1, lua: "return redis.call(\"NOSUCH\")" })
          assert.include((yield* failureOf(redis.eval(wrong)(name))).message, "Unknown Redis command")
        })
      )
    }))

  it.live("sends a command that blocks on a connection of its own", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      const observer = yield* observe()
      yield* onRedis(
        { clientName: name },
        Effect.gen(function*() {
          const popped = yield* fork(send("BLPOP", name, "10"))
          assert.strictEqual(yield* observer.settled(name, 1), 1)
          assert.strictEqual(yield* send("PING"), "PONG")
          assert.strictEqual(yield* observer.count(name), 2)
          yield* send("RPUSH", name, "value")
          assert.deepStrictEqual(yield* Fiber.join(popped), [name, "value"])
          const read = yield* fork(send("XREAD", "BLOCK", "10000", "STREAMS", `${name}-stream`, "$"))
          yield* Effect.sleep("50 millis")
          yield* send("XADD", `${name}-stream`, "*", "field", "value")
          assert.isDefined(yield* Fiber.join(read))
          yield* send("DEL", `${name}-stream`)
          const { exclusive } = yield* Redis.Pool
          // Both took the same connection, one after the other.
          assert.deepInclude(yield* ConnectionPool.stats(exclusive), { opened: 1, closed: 0 })
        })
      )
    }))

  it.live("closes the connection of a blocking command that was given up, and hands its element to nobody", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      const observer = yield* observe()
      yield* onRedis(
        { clientName: name },
        Effect.gen(function*() {
          const popped = yield* fork(send("BLPOP", name, "0"))
          assert.strictEqual(yield* observer.settled(name, 1), 1)
          yield* Fiber.interrupt(popped)
          assert.strictEqual(yield* observer.settled(name, 0), 0)
          yield* send("RPUSH", name, "kept")
          assert.strictEqual(yield* send("LPOP", name), "kept")
        })
      )
    }))

  it.live("refuses commands that change the connection of all, and sends none of them", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      yield* onRedis(
        { clientName: name },
        Effect.gen(function*() {
          const refused = [
            ["MULTI"],
            ["watch", name],
            ["SELECT", "1"],
            ["SUBSCRIBE", name],
            ["CLIENT", "REPLY", "OFF"],
            ["CLIENT", "SETNAME", "other"],
            ["HELLO", "2"],
            ["QUIT"]
          ] as const
          for (const [command, ...args] of refused) {
            const error = yield* failureOf(send(command, ...args))
            assert.instanceOf(error.cause, Redis.CommandRefused, command)
            assert.include(error.message, `${command} was not sent`)
          }
          const { shared } = yield* Redis.Pool
          assert.strictEqual((yield* ConnectionPool.stats(shared)).opened, 0)
        })
      )
    }))

  it.live("drops the answer of a command that was interrupted, and uses the connection on", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      yield* onRedis(
        { clientName: name },
        Effect.gen(function*() {
          for (let turn = 0; turn < 20; turn++) {
            const abandoned = yield* fork(send("ECHO", "abandoned"))
            yield* Effect.sleep(turn % 2)
            yield* Fiber.interrupt(abandoned)
            assert.strictEqual(yield* send("ECHO", `kept ${turn}`), `kept ${turn}`)
          }
          const { shared } = yield* Redis.Pool
          assert.deepInclude(yield* ConnectionPool.stats(shared), { opened: 1, closed: 0 })
        })
      )
    }))

  it.live("does not send a command that was interrupted while it waited for a connection", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      yield* onRedis(
        { clientName: name },
        Effect.gen(function*() {
          const { shared } = yield* Redis.Pool
          yield* ConnectionPool.suspend(shared)
          const waiting = yield* fork(send("SET", name, "1"))
          yield* Effect.sleep("20 millis")
          yield* Fiber.interrupt(waiting)
          yield* ConnectionPool.resume(shared)
          assert.isNull(yield* send("GET", name))
        })
      )
    }))

  it.live("moves on to another connection when the old one is evicted or too old, and fails no command for it", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      const observer = yield* observe()
      yield* onRedis(
        { clientName: name, maxLifetime: "40 millis", lifetimeJitter: 0 },
        Effect.gen(function*() {
          const { shared } = yield* Redis.Pool
          let answers = 0
          let most = 0
          const worker = Effect.repeat(Effect.tap(send("PING"), () => Effect.sync(() => answers++)), {
            while: () => answers < 4000
          })
          const counting = Effect.forever(
            Effect.tap(observer.count(name), (count) => Effect.sync(() => most = Math.max(most, count)))
          )
          yield* Effect.forkScoped(counting)
          const workers = yield* fork(
            Effect.all(Array.from({ length: 20 }, () => worker), { concurrency: "unbounded" })
          )
          yield* Effect.sleep("10 millis")
          yield* ConnectionPool.evict(shared)
          yield* Fiber.join(workers)
          const { closed, opened } = yield* ConnectionPool.stats(shared)
          assert.isAtLeast(opened, 3)
          assert.isAtLeast(closed, 2)
          assert.strictEqual(most, 1)
        })
      )
    }))

  it.live("gives the shared connection back when there are no commands, so that it closes when it is idle", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      const observer = yield* observe()
      yield* onRedis(
        { clientName: name, idleTimeout: "100 millis" },
        Effect.gen(function*() {
          yield* send("PING")
          assert.strictEqual(yield* observer.settled(name, 0), 0)
          assert.strictEqual(yield* send("PING"), "PONG")
        })
      )
    }))

  it.live("answers what was sent before a drain, and nothing after it", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      const observer = yield* observe()
      yield* onRedis(
        { clientName: name, closeTimeout: "20 millis" },
        Effect.gen(function*() {
          const { shared } = yield* Redis.Pool
          yield* send("PING")
          const slow = script(() => [], {
            numberOfKeys: 0,
            lua:
              "local t = redis.call('TIME') repeat local n = redis.call('TIME') until (n[1] - t[1]) * 1e6 + n[2] - t[2] > 2e5 return 'done'"
          }).withReturnType<string>()
          const running = yield* fork(Effect.flatMap(Service, (redis) => redis.eval(slow)()))
          yield* Effect.sleep("20 millis")
          yield* ConnectionPool.drain(shared, "5 seconds")
          assert.strictEqual(yield* Fiber.join(running), "done")
          assert.strictEqual(reasonOf(yield* failureOf(send("PING"))), "PoolClosed")
          assert.strictEqual(yield* observer.settled(name, 0), 0)
        })
      )
    }))

  it.live("names the user's span in the report of a reservation that is held for too long", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      yield* onRedis(
        { clientName: name, maxConnections: 1, acquireTimeout: "1 second" },
        Effect.gen(function*() {
          const redis = yield* Service
          yield* redis.reserve.pipe(Effect.withSpan("Jobs.next"))
          const error = yield* failureOf(
            Effect.scoped(Effect.forkChild(redis.reserve).pipe(Effect.flatMap(Fiber.join)))
          )
          assert.strictEqual(reasonOf(error), "AcquireTimeout")
          assert.include(error.message, "held longest by Jobs.next")
        })
      )
    }))
})

withRedis("a reserved connection", () => {
  it.live("holds a transaction of raw commands, and is leased again after it", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      yield* onRedis(
        { clientName: name },
        Effect.gen(function*() {
          const redis = yield* Service
          const { exclusive } = yield* Redis.Pool
          const exec = Effect.scoped(Effect.gen(function*() {
            const { send } = yield* redis.reserve
            yield* send("WATCH", name)
            yield* send("MULTI")
            assert.strictEqual(yield* send("INCR", name), "QUEUED")
            return yield* send("EXEC")
          }))
          assert.deepStrictEqual([yield* exec, yield* exec], [[1], [2]])
          yield* send("DEL", name)
          assert.deepInclude(yield* ConnectionPool.stats(exclusive), { opened: 1, closed: 0 })
        })
      )
    }))

  it.live.each([
    ["a transaction open", [["MULTI"]]],
    ["keys watched", [["WATCH", "sluice-watched"]]],
    ["another database", [["SELECT", "1"]]],
    ["another name", [["CLIENT", "SETNAME", "other"]]]
  ] as ReadonlyArray<readonly [string, ReadonlyArray<ReadonlyArray<string>>]>)(
    "is not leased again with %s",
    ([, commands]) =>
      onRedis(
        {},
        Effect.gen(function*() {
          const redis = yield* Service
          const { exclusive } = yield* Redis.Pool
          yield* Effect.scoped(Effect.gen(function*() {
            const { send } = yield* redis.reserve
            yield* Effect.forEach(commands, ([command = "", ...args]) => send(command, ...args))
          }))
          yield* Effect.scoped(Effect.flatMap(redis.reserve, ({ send }) => send("PING")))
          assert.deepInclude(yield* ConnectionPool.stats(exclusive), { opened: 2, closed: 1 })
        })
      )
  )

  it.live("sends nothing any more when it was given back", () =>
    onRedis(
      {},
      Effect.gen(function*() {
        const redis = yield* Service
        const kept = yield* Effect.scoped(redis.reserve)
        const error = yield* failureOf(kept.send("PING"))
        assert.instanceOf(error.cause, Redis.CommandRefused)
      })
    ))

  it.live("is not leased again when a command was interrupted whose answer has changed its state", () =>
    onRedis(
      {},
      Effect.gen(function*() {
        const redis = yield* Service
        yield* Effect.scoped(Effect.gen(function*() {
          const { send } = yield* redis.reserve
          const interrupted = yield* fork(send("MULTI"))
          yield* Fiber.interrupt(interrupted)
          yield* Effect.sleep("50 millis")
        }))
        const pong = yield* Effect.scoped(Effect.flatMap(redis.reserve, ({ send }) => send("PING")))
        assert.strictEqual(pong, "PONG")
      })
    ))

  it.live("is closed at once with a command under way, when its scope ends", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      const observer = yield* observe()
      yield* onRedis(
        { clientName: name },
        Effect.gen(function*() {
          const redis = yield* Service
          const scope = yield* Scope.make()
          const { send } = yield* Scope.provide(redis.reserve, scope)
          const blocked = yield* fork(failureOf(send("BLPOP", name, "0")))
          yield* Effect.sleep("20 millis")
          yield* Scope.close(scope, Exit.void)
          assert.strictEqual((yield* Fiber.join(blocked))._tag, "RedisError")
          assert.strictEqual(yield* observer.settled(name, 0), 0)
        })
      )
    }))

  it.live("is one of at most maxConnections", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      const observer = yield* observe()
      yield* onRedis(
        { clientName: name, maxConnections: 3 },
        Effect.gen(function*() {
          const redis = yield* Service
          let most = 0
          const once = Effect.scoped(Effect.gen(function*() {
            const { send } = yield* redis.reserve
            yield* send("PING")
            most = Math.max(most, yield* observer.count(name))
          }))
          yield* Effect.all(Array.from({ length: 30 }, () => once), { concurrency: "unbounded" })
          assert.strictEqual(most, 3)
        })
      )
      assert.strictEqual(yield* observer.settled(name, 0), 0)
    }))
})

withRedis("Redis.Pool", () => {
  it.live("runs functions of node-redis, on the shared connection and on one of their own", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      yield* onRedis(
        { clientName: name },
        Effect.gen(function*() {
          const pool = yield* Redis.Pool
          yield* pool.use((client) => client.set(name, "1", { expiration: { type: "EX", value: 10 } }))
          assert.strictEqual(yield* pool.use((client) => client.get(name)), "1")
          const increment = pool.useExclusive(async (client) => {
            await client.watch(name)
            const value = Number(await client.get(name))
            return client.multi().set(name, String(value + 1)).exec()
          })
          yield* increment
          assert.strictEqual(yield* pool.use((client) => client.getDel(name)), "2")
          // What is left open by hand reaches no other borrower.
          yield* pool.useExclusive((client) => client.sendCommand(["multi"]))
          assert.strictEqual(yield* pool.useExclusive((client) => client.get(name)), null)
          yield* pool.useExclusive((client) => client.withTypeMapping({}).sendCommand(["MULTI"]))
          assert.strictEqual(yield* pool.useExclusive((client) => client.get(name)), null)
          yield* pool.useExclusive((client) => client.select(1))
          assert.match(yield* pool.useExclusive((client) => client.sendCommand<string>(["CLIENT", "INFO"])), / db=0 /)
          const { opened } = yield* ConnectionPool.stats(pool.exclusive)
          yield* pool.useExclusive(async (client) => {
            await client.sendCommand(["MULTI"])
            return client.sendCommand(["EXEC"])
          })
          yield* pool.useExclusive((client) => client.get(name))
          assert.strictEqual((yield* ConnectionPool.stats(pool.exclusive)).opened, opened)
          const error = yield* failureOf(pool.use((client) => client.sendCommand(["NOSUCH"])))
          assert.include(error.message, "unknown command")
          assert.strictEqual(String(pool.endpoint), "127.0.0.1:6379")
        })
      )
    }))
})

withRedis("a subscription", () => {
  it.live("gets what is published, on one connection for all channels", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      const observer = yield* observe()
      yield* onRedis(
        { clientName: name },
        Effect.gen(function*() {
          const redis = yield* Service
          const queues = yield* Effect.forEach(
            [`${name}-a`, `${name}-b`, `${name}-a`],
            (channel) => redis.subscribe(channel),
            { concurrency: "unbounded" }
          )
          assert.strictEqual(yield* send("PUBLISH", `${name}-a`, "one"), 1)
          assert.strictEqual(yield* send("PUBLISH", `${name}-b`, "two"), 1)
          const messages = yield* Effect.forEach(queues, (queue) => Queue.take(queue))
          assert.deepStrictEqual(messages, [
            { channel: `${name}-a`, message: "one" },
            { channel: `${name}-b`, message: "two" },
            { channel: `${name}-a`, message: "one" }
          ])
          // One for the commands and one for the subscriptions.
          assert.strictEqual(yield* observer.count(name), 2)
        })
      )
      assert.strictEqual(yield* observer.settled(name, 0), 0)
    }))

  it.live("ends with its scope, and the others go on", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      yield* onRedis(
        { clientName: name },
        Effect.gen(function*() {
          const redis = yield* Service
          const kept = yield* redis.subscribe(name)
          yield* Effect.scoped(redis.subscribe(name))
          yield* Effect.scoped(redis.subscribe(`${name}-other`))
          assert.strictEqual(yield* send("PUBLISH", name, "one"), 1)
          assert.strictEqual(yield* send("PUBLISH", `${name}-other`, "two"), 0)
          assert.deepStrictEqual(yield* Queue.take(kept), { channel: name, message: "one" })
          const other = yield* redis.subscribe(`${name}-other`)
          assert.strictEqual(yield* send("PUBLISH", `${name}-other`, "three"), 1)
          assert.deepStrictEqual(yield* Queue.take(other), { channel: `${name}-other`, message: "three" })
        })
      )
    }))

  it.live("is made anew when its connection is killed, as that of NodeRedis is", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      const observer = yield* observe()
      yield* onRedis(
        { clientName: name },
        Effect.gen(function*() {
          const redis = yield* Service
          const queue = yield* redis.subscribe(name)
          assert.strictEqual(yield* observer.kill(name, "sub=1"), 1)
          let receivers = 0
          while (receivers === 0) {
            receivers = yield* send<number>("PUBLISH", name, "after")
            yield* Effect.sleep("10 millis")
          }
          assert.deepStrictEqual(yield* Queue.take(queue), { channel: name, message: "after" })
        })
      )
    }))

  it.live("fails when it cannot be made, and when its pool is drained", () =>
    Effect.gen(function*() {
      const once = RetryPolicy.make({ maxAttempts: 1 })
      yield* onRedis(
        { port: 1, retry: once },
        Effect.gen(function*() {
          const redis = yield* Service
          const queue = yield* redis.subscribe("channel")
          const error = yield* Effect.flip(Queue.take(queue))
          assert.include(String(error), "ECONNREFUSED")
        })
      )
      yield* onRedis(
        {},
        Effect.gen(function*() {
          const redis = yield* Service
          const { subscriptions } = yield* Redis.Pool
          const queue = yield* redis.subscribe(uniqueName())
          yield* ConnectionPool.drain(subscriptions, "5 seconds")
          const exit = yield* Effect.exit(Queue.take(queue))
          assert.isTrue(Exit.isFailure(exit) && Cause.pretty(exit.cause).includes("the pool is closed"))
        })
      )
    }))
})

describe("the options of Redis", () => {
  it.effect("are refused as defects where they make no sense", () =>
    Effect.gen(function*() {
      const wrong: ReadonlyArray<readonly [string, Redis.Options]> = [
        ["url", { url: "postgres://localhost" }],
        ["url", { url: Redacted.make("redis://user:secret@local host") }],
        ["database", { url: "redis://localhost/abc" }],
        ["database", { database: -1 }],
        ["port", { port: 70_000 }],
        ["port", { host: "localhost", port: 0 }],
        ["host", { host: "local host" }],
        ["path", { path: "" }],
        ["clientName", { clientName: "two words" }],
        ["commandTimeout", { commandTimeout: 0 }],
        ["maxConnections", { maxConnections: 0 }],
        ["minConnections", { maxConnections: 2, minConnections: 3 }],
        ["acquireTimeout", { acquireTimeout: -1 }]
      ]
      for (const [option, options] of wrong) {
        const exit = yield* Effect.exit(
          Effect.scoped(Effect.provide(Redis.make(options), ResourceMonitor.layerUnlimited))
        )
        const [reason] = Exit.isFailure(exit) ? exit.cause.reasons : []
        const defect = reason !== undefined && Cause.isDieReason(reason) ? reason.defect : undefined
        assert.instanceOf(defect, ConnectionPool.InvalidOption, option)
        assert.strictEqual(defect instanceof ConnectionPool.InvalidOption && defect.option, option)
        assert.notInclude(String(defect), "secret")
      }
    }))

  it.effect("come from Config, and fail with ConfigError where they are invalid", () =>
    Effect.gen(function*() {
      const layer = Redis.layerConfig({
        url: Config.Redacted("REDIS_URL"),
        maxConnections: Config.Int("REDIS_CONNECTIONS"),
        acquireTimeout: Config.Duration("REDIS_TIMEOUT")
      })
      const endpoint = (env: Record<string, string>) =>
        Effect.map(Redis.Pool, (pool) => String(pool.endpoint)).pipe(
          Effect.provide(Layer.provide(layer, ResourceMonitor.layerUnlimited)),
          Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown(env))
        )
      const valid = { REDIS_URL: "redis://db:6380/2", REDIS_CONNECTIONS: "3", REDIS_TIMEOUT: "1 second" }
      assert.strictEqual(yield* endpoint(valid), "db:6380")
      for (const wrong of [{ REDIS_CONNECTIONS: "0" }, { REDIS_URL: "http://db" }, { REDIS_TIMEOUT: "0 seconds" }]) {
        const error = yield* Effect.flip(endpoint({ ...valid, ...wrong }))
        assert.strictEqual(error._tag, "ConfigError")
      }
      assert.strictEqual(yield* endpoint({ ...valid, REDIS_URL: "redis://app:50%off@db:6380" }), "db:6380")
    }))

  it.effect("do not show a url that cannot be read, which may be a password", () =>
    Effect.gen(function*() {
      const secret = "correct horse"
      const made = Effect.exit(Effect.scoped(Redis.make({ url: Redacted.make(secret) })))
      const exit = yield* Effect.provide(made, ResourceMonitor.layerUnlimited)
      assert.isTrue(Exit.isFailure(exit))
      assert.notInclude(String(exit) + JSON.stringify(exit), secret)
    }))
})

withRedis("where a connection goes", () => {
  it.live("is what the url says, unless an option says otherwise", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      const observer = yield* observe()
      const url = `redis://${host}:${ports.Redis}/3`
      yield* onRedis({ url, clientName: name }, send("SET", name, "in three", "EX", "10"))
      yield* onRedis(
        { url, database: 4, clientName: name },
        Effect.gen(function*() {
          assert.isNull(yield* send("GET", name))
        })
      )
      yield* Effect.promise(() => observer.client.select(3))
      assert.strictEqual(yield* Effect.promise(() => observer.client.get(name)), "in three")
    }))

  it.live("is the key of a pool of the user's own, with our connector", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      const pool = yield* ConnectionPool.make({ connector: Redis.connector({ clientName: name }) })
      const names = ConnectionPool.use(
        pool,
        Endpoint.tcp(host, ports.Redis),
        (client) => Effect.promise(() => client.clientGetName())
      )
      assert.strictEqual(yield* names, name)
    }).pipe(Effect.scoped, Effect.provide(Layer.fresh(ResourceMonitor.layer))))
})

describe("a login at Redis", () => {
  Servers.needs("redis-server")(
    "asks for the password for each connection, and tells the server's own refusal after one dial",
    () =>
      Effect.gen(function*() {
        const { port } = yield* Servers.redis("--requirepass", "first", "--unixsocket", "socket")
        const current = { password: "first", asked: 0 }
        const password = Effect.sync(() => {
          current.asked++
          return Redacted.make(current.password)
        })
        const layer = Layer.provideMerge(Redis.layer({ host, port, password }), Layer.fresh(ResourceMonitor.layer))
        yield* Effect.gen(function*() {
          const { shared } = yield* Redis.Pool
          assert.strictEqual(yield* send("PING"), "PONG")
          assert.strictEqual(current.asked, 1)
          yield* send("CONFIG", "SET", "requirepass", "second")
          current.password = "second"
          yield* ConnectionPool.evict(shared)
          assert.strictEqual(yield* send("PING"), "PONG")
          assert.strictEqual(current.asked, 2)
        }).pipe(Effect.provide(layer))
        const url = `redis://:first@${host}:${port}`
        yield* onRedis(
          { url },
          Effect.gen(function*() {
            const { shared } = yield* Redis.Pool
            const error = yield* failureOf(send("PING"))
            assert.instanceOf(error.cause, ErrorReply)
            assert.match(error.message, /^WRONGPASS/)
            assert.strictEqual((yield* ConnectionPool.stats(shared)).failedAttempts, 1)
          })
        )
        yield* onRedis(
          { url, password: "second" },
          Effect.map(send("PING"), (pong) => assert.strictEqual(pong, "PONG"))
        )
      }),
    30_000
  )
})

withRedis("a connection by TLS", () => {
  /** Ends TLS in front of the server. */
  const terminating = Effect.acquireRelease(
    Effect.promise(() =>
      new Promise<Tls.Server>((resolve) => {
        const server = Tls.createServer(certificate(), (socket) => {
          const upstream = Net.connect(ports.Redis, host)
          socket.on("error", () => upstream.destroy()).on("close", () => upstream.destroy())
          upstream.on("error", () => socket.destroy()).on("close", () => socket.destroy())
          socket.pipe(upstream)
          upstream.pipe(socket)
        })
        server.on("tlsClientError", () => {}).listen(0, host, () => resolve(server))
      })
    ),
    (server) => Effect.promise(() => new Promise((resolve) => server.close(resolve)))
  )
  const portOf = (server: Tls.Server) => Effect.sync(() => (server.address() as Net.AddressInfo).port)

  it.live("is made where the certificate is right, and fails after one dial where it is not", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      const observer = yield* observe()
      const port = yield* Effect.flatMap(terminating, portOf)
      const tls = { ca: certificate().cert, servername: certifiedName }
      yield* onRedis(
        { port, tls, clientName: name },
        Effect.gen(function*() {
          assert.strictEqual(yield* send("PING"), "PONG")
          assert.strictEqual(yield* observer.count(name), 1)
        })
      )
      yield* onRedis(
        { url: `rediss://${host}:${port}`, clientName: name },
        Effect.gen(function*() {
          const { shared } = yield* Redis.Pool
          const error = yield* failureOf(send("PING"))
          assert.include(error.message, "self-signed certificate")
          assert.strictEqual((yield* ConnectionPool.stats(shared)).failedAttempts, 1)
        })
      )
      assert.strictEqual(yield* observer.settled(name, 0), 0)
    }).pipe(Effect.scoped))
})
