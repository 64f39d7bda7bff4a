/**
 * Effect's Redis service over our pools, with a server that dies, is silent, or comes back.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Exit, Fiber, Layer, Queue, Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Endpoint from "effect-sluice/Endpoint"
import * as Redis from "effect-sluice/Redis"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { FaultProxy } from "effect-sluice/Testing"
import { Redis as Service, type RedisError } from "effect/persistence/Redis"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Net from "node:net"
import { describeWith, ports } from "../../support/LiveServers.ts"
import { fork } from "../../support/Pools.ts"
import { failureOf, host, observe, onRedis, send, uniqueName } from "../../support/RedisClients.ts"
import * as Servers from "../../support/Servers.ts"

const withRedis = await describeWith("Redis")

/** Sockets of this machine whose other end is this port, and which a process still has, in any of these states. */
const socketsTo = (port: number, states: ReadonlyArray<string> = ["01", "02"]): number =>
  Fs.readFileSync("/proc/net/tcp", "utf8").split("\n").slice(1).map((line) => line.trim().split(/\s+/)).filter((
    fields
  ) =>
    Number.parseInt(fields[2]?.split(":")[1] ?? "", 16) === port && states.includes(fields[3] ?? "") &&
    fields[9] !== "0"
  ).length

/** What so many fibers have met that send one command after another. */
interface Load {
  answered: number
  readonly errors: Array<RedisError>
  /** Fibers that have had an answer since the last call of `clear`. */
  readonly served: Set<number>
}

/** Fibers that send commands for as long as the scope lives. */
const underLoad = (fibers: number, load: Load) =>
  Effect.forEach(
    Array.from({ length: fibers }, (_, index) => index),
    (index) =>
      Effect.forkScoped(Effect.forever(Effect.match(send("PING"), {
        onSuccess: () => {
          load.answered++
          load.served.add(index)
        },
        onFailure: (error) => {
          load.errors.push(error)
        }
      }))),
    { discard: true }
  )

const newLoad = (): Load => ({ answered: 0, errors: [], served: new Set() })

const eventually = (condition: () => boolean, within: number) =>
  Effect.gen(function*() {
    const start = performance.now()
    while (!condition() && performance.now() - start < within) yield* Effect.sleep("5 millis")
    return performance.now() - start
  })

describe("a Redis server that is killed and started again under 100 fibers", () => {
  Servers.needs("redis-server")(
    "serves all of them again within 2 seconds, with one failure for each at most",
    () =>
      Effect.gen(function*() {
        const server = yield* Servers.redis()
        const name = uniqueName()
        const load = newLoad()
        yield* onRedis(
          { port: server.port, clientName: name },
          Effect.gen(function*() {
            const redis = yield* Service
            const queue = yield* redis.subscribe(name)
            yield* underLoad(100, load)
            yield* eventually(() => load.served.size === 100, 5000)
            yield* server.kill("SIGKILL")
            yield* Effect.sleep("700 millis")
            yield* server.restart
            load.served.clear()
            assert.isAtMost(yield* eventually(() => load.served.size === 100, 10_000), 2000)
            assert.isAtMost(load.errors.length, 100)
            const observer = yield* observe(server.port)
            // The subscription comes back too.
            yield* eventually(() => false, 1500)
            assert.strictEqual(yield* Effect.promise(() => observer.client.publish(name, "again")), 1)
            assert.deepStrictEqual(yield* Queue.take(queue), { channel: name, message: "again" })
            assert.strictEqual(yield* observer.count(name), 2)
          })
        )
        const observer = yield* observe(server.port)
        assert.strictEqual(yield* observer.settled(name, 0), 0)
      }),
    60_000
  )
})

withRedis("a shared connection that is killed under 100 fibers", () => {
  it.live("fails what was sent on it, and nothing more", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      const observer = yield* observe()
      const load = newLoad()
      yield* onRedis(
        { clientName: name },
        Effect.gen(function*() {
          yield* underLoad(100, load)
          yield* eventually(() => load.answered > 1000, 5000)
          assert.strictEqual(yield* observer.kill(name), 1)
          const before = load.answered
          yield* eventually(() => load.answered > before + 2000, 5000)
          assert.isAbove(load.answered, before + 2000)
          assert.isAtLeast(load.errors.length, 1)
          assert.isAtMost(load.errors.length, 100)
          assert.strictEqual(yield* observer.count(name), 1)
        })
      )
      assert.strictEqual(yield* observer.settled(name, 0), 0)
    }))
})

withRedis("a server that has fallen silent", () => {
  const silent = Effect.gen(function*() {
    const proxy = yield* FaultProxy.make(Endpoint.tcp(host, ports.Redis))
    return { proxy, port: proxy.endpoint.port }
  })

  it.live(
    "fails commands at commandTimeout and closes their connection, and no socket is left",
    () =>
      Effect.gen(function*() {
        const { port, proxy } = yield* silent
        const scope = yield* Scope.make()
        const client = yield* Redis.make({
          host,
          port,
          commandTimeout: "1 second",
          connectTimeout: "300 millis",
          closeTimeout: "100 millis"
        }).pipe(
          Scope.provide(scope),
          Effect.provide(Layer.fresh(ResourceMonitor.layer))
        )
        yield* client.send("PING")
        yield* proxy.freeze
        const start = performance.now()
        const errors = yield* Effect.forEach(
          Array.from({ length: 50 }),
          () => failureOf(client.send("PING")),
          { concurrency: "unbounded" }
        )
        const elapsed = performance.now() - start
        assert.isAtLeast(elapsed, 1000)
        // A tick is an eighth of the limit, and a busy machine is late.
        assert.isAtMost(elapsed, 1600)
        for (const { cause } of errors) assert.isTrue(cause instanceof Redis.CommandTimeout && cause.isSilent)
        const waiting = yield* fork(Effect.exit(client.send("PING")))
        yield* Effect.sleep("100 millis")
        assert.strictEqual((yield* ConnectionPool.stats(client.pool.shared)).closed, 1)
        yield* Scope.close(scope, Exit.void)
        yield* Fiber.join(waiting)
        yield* Effect.sleep("300 millis")
        assert.strictEqual(socketsTo(port), 0)
      }),
    20_000
  )

  it.live("is noticed before the next command when the process stood still meanwhile", () =>
    Effect.gen(function*() {
      const { port, proxy } = yield* silent
      const name = uniqueName()
      const live = yield* Clock.Clock
      let jump = 0
      const clock: Clock.Clock = Object.assign(Object.create(live), {
        currentTimeMillisUnsafe: () => live.currentTimeMillisUnsafe() + jump,
        currentTimeMillis: Effect.sync(() => live.currentTimeMillisUnsafe() + jump)
      })
      yield* onRedis(
        { port, clientName: name, connectTimeout: "400 millis" },
        Effect.gen(function*() {
          const { shared } = yield* Redis.Pool
          yield* send("PING")
          yield* proxy.freeze
          jump = 60_000
          const counted = yield* fork(send("INCR", name))
          yield* Effect.sleep("600 millis")
          yield* proxy.thaw
          assert.strictEqual(yield* Fiber.join(counted), 1)
          assert.strictEqual(yield* send("GETDEL", name), "1")
          assert.isAtLeast((yield* ConnectionPool.stats(shared)).opened, 2)
        })
      ).pipe(Effect.provideService(Clock.Clock, clock))
    }), 20_000)

  it.live("loses its subscribers to another connection, with keepalive", () =>
    Effect.gen(function*() {
      const { port, proxy } = yield* silent
      const name = uniqueName()
      const observer = yield* observe()
      yield* onRedis(
        { port, clientName: name, keepalive: "100 millis", connectTimeout: "300 millis" },
        Effect.gen(function*() {
          const redis = yield* Service
          const queue = yield* redis.subscribe(name)
          yield* proxy.freeze
          yield* Effect.sleep("600 millis")
          yield* proxy.thaw
          let receivers = 0
          const start = performance.now()
          while (receivers === 0 && performance.now() - start < 10_000) {
            yield* Effect.sleep("50 millis")
            receivers = yield* Effect.promise(() => observer.client.publish(name, "after"))
          }
          assert.deepStrictEqual(yield* Queue.take(queue), { channel: name, message: "after" })
          const { subscriptions } = yield* Redis.Pool
          assert.isAtLeast((yield* ConnectionPool.stats(subscriptions)).opened, 2)
        })
      )
    }), 20_000)
})

describe("a server that answers no connect", () => {
  /** Listens, accepts nothing, and its queue is full: the kernel drops further connects. */
  const full = Effect.gen(function*() {
    const script =
      "require('net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, function () { console.log(this.address().port) })"
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => ChildProcess.spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "ignore"] })),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    const port = yield* Effect.promise(() =>
      new Promise<number>((resolve) => child.stdout.once("data", (text) => resolve(Number(text))))
    )
    yield* Effect.sync(() => child.kill("SIGSTOP"))
    yield* Effect.acquireRelease(
      Effect.sync(() => Array.from({ length: 4 }, () => Net.connect(port, host).on("error", () => {}))),
      (sockets) => Effect.sync(() => sockets.forEach((socket) => socket.destroy()))
    )
    yield* Effect.sleep("200 millis")
    return port
  })

  it.live("leaves no socket of a dial that was given up", () =>
    Effect.gen(function*() {
      const port = yield* full
      const before = socketsTo(port, ["02"])
      let most = 0
      yield* onRedis(
        { port, connectTimeout: "200 millis", acquireTimeout: "700 millis" },
        Effect.gen(function*() {
          const error = yield* fork(failureOf(send("PING")))
          for (let turn = 0; turn < 60; turn++) {
            most = Math.max(most, socketsTo(port, ["02"]))
            yield* Effect.sleep("10 millis")
          }
          assert.include((yield* Fiber.join(error)).message, `no connection to ${host}:${port}`)
        })
      )
      assert.strictEqual(most, before + 1)
      yield* Effect.sleep("100 millis")
      assert.strictEqual(socketsTo(port, ["02"]), before)
    }), 20_000)
})

withRedis("commands that are given up", () => {
  it.live("leave no connection and lose no element, 100 times", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      const observer = yield* observe()
      yield* onRedis(
        { clientName: name, maxConnections: 5 },
        Effect.gen(function*() {
          const redis = yield* Service
          for (let turn = 0; turn < 100; turn++) {
            const blocked = Effect.scoped(
              Effect.flatMap(redis.reserve, (connection) => connection.send("BLPOP", name, "0"))
            )
            const fiber = yield* fork(turn % 2 === 0 ? blocked : send("BLPOP", name, "0"))
            if (turn % 3 !== 0) yield* Effect.sleep(turn % 7)
            yield* Fiber.interrupt(fiber)
            assert.isAtMost(yield* observer.count(name), 6)
          }
          assert.isAtMost(yield* observer.settled(name, 1), 1)
          yield* Effect.forEach([1, 2, 3], (value) => send("RPUSH", name, String(value)))
          assert.deepStrictEqual(yield* send("LPOP", name, "10"), ["1", "2", "3"])
        })
      )
      assert.strictEqual(yield* observer.settled(name, 0), 0)
    }), 60_000)

  it.live("leave nothing when everything is interrupted at once", () =>
    Effect.gen(function*() {
      const name = uniqueName()
      const observer = yield* observe()
      const program = Effect.gen(function*() {
        const redis = yield* Service
        const work = [
          ...Array.from({ length: 20 }, () => Effect.forever(send("PING"))),
          ...Array.from({ length: 3 }, () => send("BLPOP", name, "0")),
          Effect.scoped(Effect.flatMap(redis.reserve, ({ send }) => Effect.andThen(send("MULTI"), Effect.never))),
          Effect.flatMap(redis.subscribe(name), (queue) => Queue.take(queue))
        ]
        return yield* Effect.all(work, { concurrency: "unbounded" })
      })
      for (const pause of [0, 5, 50, 300]) {
        const running = yield* fork(Effect.exit(onRedis({ clientName: name }, program)))
        yield* Effect.sleep(pause)
        yield* Fiber.interrupt(running)
        const start = performance.now()
        assert.strictEqual(yield* observer.settled(name, 0, 2000), 0)
        assert.isAtMost(performance.now() - start, 300)
      }
    }), 20_000)
})
