/**
 * Connects and finalizers that do not end when they are given up: what they may still have open counts until they end.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Metric, Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as PoolTelemetry from "effect-sluice/PoolTelemetry"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { TestClock } from "effect/testing"
import * as Net from "node:net"
import { collectLogs, fork, id, settle, test } from "../support/Pools.ts"
import * as Scripted from "../support/ScriptedConnector.ts"
import * as TcpServer from "../support/TcpServer.ts"

const once = RetryPolicy.make({ maxAttempts: 1 })

/** Dials that succeed when they are answered, and cannot be interrupted, as those of a promise; "good" answers at once. */
const stubborn = () => {
  const answers: Array<Deferred.Deferred<void>> = []
  const { connector, ...scripted } = Scripted.make({
    open: (key) =>
      Effect.suspend(() => {
        if (key === "good") return Effect.void
        const answer = Deferred.makeUnsafe<void>()
        answers.push(answer)
        return Deferred.await(answer)
      })
  })
  const answerAll = Effect.suspend(() =>
    Effect.forEach(answers.splice(0), (answer) => Deferred.succeed(answer, undefined))
  )
  const open = (key: string) => Effect.uninterruptible(connector.open(key))
  return { ...scripted, connector: Connector.make({ ...connector, open }), answerAll }
}

/** Lets so many seconds pass, one by one. */
const pass = (seconds: number) =>
  Effect.gen(function*() {
    for (let second = 0; second < seconds; second++) {
      yield* TestClock.adjust("1 second")
      yield* settle
    }
  })

const options = { retry: once, connectTimeout: "1 second", closeTimeout: "500 millis", maxTotal: 1 } as const

describe("a connect that was left behind", () => {
  it.effect("keeps its slot until it ends, and what it has opened is closed", () =>
    test(Effect.gen(function*() {
      const { answerAll, connector, openNow } = stubborn()
      const pool = yield* ConnectionPool.make({ ...options, connector })
      const borrower = yield* fork(Effect.flip(ConnectionPool.use(pool, "bad", id)))
      yield* settle
      const other = yield* fork(ConnectionPool.use(pool, "good", id))
      yield* pass(20)
      assert.strictEqual((yield* Fiber.join(borrower)).reason._tag, "ConnectFailed")
      assert.deepInclude(yield* ConnectionPool.stats(pool), {
        total: 1,
        connecting: 0,
        closing: 1,
        leftBehind: 1,
        connectsLeftBehind: 1,
        waiting: 1
      })
      yield* answerAll
      yield* settle
      assert.strictEqual(yield* Fiber.join(other), 2)
      assert.deepInclude(yield* ConnectionPool.stats(pool), { total: 1, closing: 0, leftBehind: 0 })
      assert.strictEqual(openNow(), 1)
    })))

  it.effect("keeps its slot for at most leftBehindTimeout, and its entry in the ledger until it ends", () =>
    Effect.gen(function*() {
      const monitor = yield* ResourceMonitor.TestMonitor
      const { answerAll, connector } = stubborn()
      const pool = yield* ConnectionPool.make({ ...options, connector, acquireTimeout: "2 minutes" })
      const borrower = yield* fork(Effect.flip(ConnectionPool.use(pool, "bad", id)))
      yield* settle
      const other = yield* fork(ConnectionPool.use(pool, "good", id))
      yield* pass(61)
      yield* Fiber.join(borrower)
      assert.strictEqual(other.pollUnsafe(), undefined)
      yield* pass(2)
      assert.strictEqual(yield* Fiber.join(other), 1)
      assert.deepInclude(yield* ConnectionPool.stats(pool), { total: 1, closing: 0, leftBehind: 1 })
      assert.deepStrictEqual([...yield* monitor.tracked], [["bad", 1], ["good", 1]])
      yield* answerAll
      yield* settle
      assert.deepInclude(yield* ConnectionPool.stats(pool), { leftBehind: 0, connectsLeftBehind: 1 })
      assert.deepStrictEqual([...yield* monitor.tracked], [["good", 1]])
    }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerTest)))

  it.effect("holds up no drain, and the ledger counts it after the pool has closed", () =>
    Effect.gen(function*() {
      const monitor = yield* ResourceMonitor.TestMonitor
      const { answerAll, connector } = stubborn()
      const scope = yield* Scope.make()
      const pool = yield* Scope.provide(ConnectionPool.make({ ...options, connector, maxTotal: 2 }), scope)
      const borrowers = [yield* fork(Effect.flip(ConnectionPool.use(pool, "bad", id)))]
      yield* settle
      yield* pass(3)
      borrowers.push(yield* fork(Effect.flip(ConnectionPool.use(pool, "bad", id))))
      yield* settle
      // One was left behind, the other is being dialled.
      const closing = yield* fork(Scope.close(scope, Exit.void))
      yield* pass(3)
      yield* Fiber.join(closing)
      yield* Fiber.joinAll(borrowers)
      assert.deepStrictEqual([...yield* monitor.tracked], [["bad", 2]])
      yield* answerAll
      yield* settle
      assert.deepStrictEqual([...yield* monitor.tracked], [])
    }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerTest)))

  it.effect("has one error in the log, a counter, and a place in the message of AcquireTimeout", () => {
    const { layer, lines } = collectLogs()
    return test(Effect.gen(function*() {
      const { answerAll, connector } = stubborn()
      const pool = yield* ConnectionPool.make({ ...options, connector, acquireTimeout: "10 seconds" })
      yield* PoolTelemetry.record(pool, { name: "app" })
      const borrower = yield* fork(Effect.flip(ConnectionPool.use(pool, "bad", id)))
      yield* pass(5)
      yield* Fiber.join(borrower)
      const [same, other] = [
        yield* fork(Effect.flip(ConnectionPool.use(pool, "bad", id))),
        yield* fork(Effect.flip(ConnectionPool.use(pool, "good", id)))
      ]
      yield* pass(11)
      assert.match((yield* Fiber.join(same)).message, /given up and have not ended keep slots.*leftBehind=1/)
      assert.match((yield* Fiber.join(other)).message, /the pool is full.*pool: .*leftBehind=1/)
      assert.lengthOf(lines, 1)
      assert.match(lines[0] ?? "", /bad .*is left behind: its slot is kept until it ends, for at most 1m/)
      const metrics = yield* Metric.snapshot
      const counted = metrics.filter(({ id }) => id === "sluice.pool.left_behind").map((metric) => [
        metric.attributes?.["sluice.pool.operation"],
        metric.type === "Counter" ? metric.state.count : undefined
      ])
      assert.deepStrictEqual(counted, [["connect", 1], ["close", 0]])
      yield* answerAll
    })).pipe(Effect.provide(layer), Effect.provideService(Metric.MetricRegistry, new Map()))
  })

  it.live("leaves no more connections open than the cap, as its server counts them", () =>
    test(Effect.gen(function*() {
      const server = yield* TcpServer.silent
      const open = new Set<Net.Socket>()
      // It waits for a greeting, which never comes, and hands its socket out only then.
      const connect = (port: number) =>
        new Promise<Net.Socket>((resolve, reject) => {
          const socket = Net.connect({ host: "127.0.0.1", port })
          open.add(socket)
          socket.once("data", () => resolve(socket)).once("error", reject)
        })
      const connector = Connector.make({
        open: (port: number) =>
          Effect.acquireRelease(Effect.tryPromise(() => connect(port)), (socket) => Effect.sync(() => socket.destroy()))
      })
      const pool = yield* ConnectionPool.make({
        connector,
        retry: RetryPolicy.make({ ...RetryPolicy.tcpConnection, initialDelay: 1 }),
        maxRedialDelay: 1,
        connectTimeout: "20 millis",
        closeTimeout: 0,
        acquireTimeout: "900 millis",
        maxPerEndpoint: 2,
        maxTotal: 2
      })
      const borrow = Effect.flip(ConnectionPool.use(pool, server.endpoint.port, () => Effect.void))
      yield* Effect.all(Array.from({ length: 5 }, () => borrow), { concurrency: "unbounded" })
      assert.strictEqual(server.account.peak, 2)
      for (const socket of open) socket.destroy()
    })))
})

describe("a finalizer that was left behind", () => {
  it.effect("keeps its slot for closeTimeout and half a second, and its entry in the ledger until it ends", () => {
    const { layer, lines } = collectLogs()
    return Effect.gen(function*() {
      const monitor = yield* ResourceMonitor.TestMonitor
      const over = yield* Deferred.make<void>()
      const { connector } = Scripted.make({ close: ({ key }) => key === "bad" ? Deferred.await(over) : Effect.void })
      const pool = yield* ConnectionPool.make({ ...options, connector })
      yield* ConnectionPool.use(pool, "bad", id)
      yield* ConnectionPool.evict(pool)
      const other = yield* fork(ConnectionPool.use(pool, "good", id))
      yield* settle
      yield* TestClock.adjust("900 millis")
      assert.strictEqual(other.pollUnsafe(), undefined)
      yield* TestClock.adjust("100 millis")
      yield* settle
      assert.strictEqual(yield* Fiber.join(other), 2)
      assert.deepInclude(yield* ConnectionPool.stats(pool), {
        total: 1,
        closing: 0,
        leftBehind: 1,
        closesLeftBehind: 1
      })
      assert.deepStrictEqual([...yield* monitor.tracked], [["bad", 1], ["good", 1]])
      assert.lengthOf(lines, 1)
      yield* Deferred.succeed(over, undefined)
      yield* settle
      assert.deepInclude(yield* ConnectionPool.stats(pool), { leftBehind: 0, closesLeftBehind: 1 })
      assert.deepStrictEqual([...yield* monitor.tracked], [["good", 1]])
    }).pipe(Effect.scoped, Effect.provide(Layer.merge(ResourceMonitor.layerTest, layer)))
  })

  it.effect("of a failed dial counts in the same way", () =>
    Effect.gen(function*() {
      const monitor = yield* ResourceMonitor.TestMonitor
      const over = yield* Deferred.make<void>()
      const connector = Connector.make({
        open: () =>
          Effect.andThen(
            Effect.addFinalizer(() => Deferred.await(over)),
            Effect.fail(new Scripted.ScriptedFailure("ECONNREFUSED"))
          )
      })
      const pool = yield* ConnectionPool.make({ ...options, connector })
      const borrower = yield* fork(Effect.flip(ConnectionPool.use(pool, "bad", () => Effect.void)))
      yield* settle
      yield* TestClock.adjust("5 seconds")
      yield* settle
      yield* Fiber.join(borrower)
      assert.deepInclude(yield* ConnectionPool.stats(pool), { total: 0, leftBehind: 1, closesLeftBehind: 1 })
      assert.deepStrictEqual([...yield* monitor.tracked], [["bad", 1]])
      yield* Deferred.succeed(over, undefined)
      yield* settle
      assert.deepInclude(yield* ConnectionPool.stats(pool), { leftBehind: 0 })
      assert.deepStrictEqual([...yield* monitor.tracked], [])
    }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerTest)))
})
