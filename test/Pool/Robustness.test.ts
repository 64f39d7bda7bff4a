/**
 * What connectors, servers and callers do that they should not, and what a pool does then.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import * as TcpConnection from "effect-sluice/TcpConnection"
import { TestClock } from "effect/testing"
import * as ChildProcess from "node:child_process"
import * as Path from "node:path"
import { fork, id, settle, test } from "../support/Pools.ts"
import * as Scripted from "../support/ScriptedConnector.ts"
import * as TcpServer from "../support/TcpServer.ts"

const once = RetryPolicy.make({ maxAttempts: 1 })

const hold = <K, A>(pool: ConnectionPool.ConnectionPool<K, A>, key: K, latch: Deferred.Deferred<void>) =>
  ConnectionPool.use(pool, key, () => Deferred.await(latch))

const reasonOf = (error: unknown) => (error as ConnectionPool.PoolError).reason

describe("connectors that misbehave", () => {
  it.live("one that ends in interruption is a failure, not a storm of dials", () =>
    test(Effect.gen(function*() {
      let dials = 0
      const connector = Connector.make({
        open: (): Effect.Effect<number> =>
          Effect.suspend((): Effect.Effect<number> => {
            dials++
            return Effect.interrupt
          })
      })
      const pool = yield* ConnectionPool.make({ connector, retry: once, acquireTimeout: "1 second" })
      const error = yield* Effect.flip(ConnectionPool.use(pool, "a", Effect.succeed))
      assert.strictEqual(error.reason._tag, "ConnectFailed")
      assert.isAtMost(dials, 2)
    })))

  it.effect("one that cannot be interrupted holds up neither its endpoint's neighbours nor the drain", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make({
        open: (key) => key === "stuck" ? Effect.uninterruptible(Effect.never) : Effect.void
      })
      const pool = yield* ConnectionPool.make({
        connector,
        retry: once,
        connectTimeout: "1 second",
        leftBehindTimeout: "1 second",
        maxTotal: 1
      })
      const stuck = yield* fork(Effect.flip(ConnectionPool.use(pool, "stuck", id)))
      const other = yield* fork(ConnectionPool.use(pool, "a", id))
      yield* settle
      for (let second = 0; second < 8; second++) {
        yield* TestClock.adjust("1 second")
        yield* settle
      }
      assert.strictEqual(reasonOf(yield* Fiber.join(stuck))._tag, "ConnectFailed")
      assert.strictEqual(yield* Fiber.join(other), 1)
      const again = yield* fork(Effect.exit(ConnectionPool.use(pool, "stuck", id)))
      yield* settle
      const drain = yield* fork(ConnectionPool.drain(pool, "1 second"))
      for (let second = 0; second < 8; second++) {
        yield* TestClock.adjust("1 second")
        yield* settle
      }
      yield* Fiber.join(drain)
      yield* Fiber.join(again)
    })))

  it.effect("a finalizer of a failed dial that hangs is left behind, and its slot comes back", () =>
    test(Effect.gen(function*() {
      const connector = Connector.make({
        open: (key: string) =>
          Effect.andThen(
            Effect.acquireRelease(Effect.void, () => key === "bad" ? Effect.never : Effect.void),
            key === "bad" ? Effect.fail(new Scripted.ScriptedFailure("ECONNREFUSED")) : Effect.succeed(key)
          )
      })
      const pool = yield* ConnectionPool.make({ connector, retry: once, maxTotal: 1, closeTimeout: "1 second" })
      const bad = yield* fork(Effect.exit(ConnectionPool.use(pool, "bad", Effect.succeed)))
      const good = yield* fork(ConnectionPool.use(pool, "good", Effect.succeed))
      for (let second = 0; second < 4; second++) {
        yield* settle
        yield* TestClock.adjust("1 second")
      }
      assert.isTrue(Exit.isFailure(yield* Fiber.join(bad)))
      assert.strictEqual(yield* Fiber.join(good), "good")
    })))

  it.effect("one that returns the same value twice has two connections, and both are closed", () =>
    test(Effect.gen(function*() {
      let open = 0
      const connector = Connector.make({
        open: () => Effect.acquireRelease(Effect.sync(() => (open++, "same")), () => Effect.sync(() => open--))
      })
      const scope = yield* Scope.make()
      const pool = yield* Scope.provide(ConnectionPool.make({ connector }), scope)
      const latch = yield* Deferred.make<void>()
      const holders = [yield* fork(hold(pool, "a", latch)), yield* fork(hold(pool, "a", latch))]
      yield* settle
      yield* settle
      assert.strictEqual(open, 2)
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.joinAll(holders)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(open, 0)
    })))

  it.effect("an isReusable that throws costs its connection, neither a slot nor a borrower", () =>
    test(Effect.gen(function*() {
      let throws: "on return" | "on borrow" | undefined
      const { connector, ledger } = Scripted.make()
      const pool = yield* ConnectionPool.make({
        connector: Connector.make({
          ...connector,
          isReusable: (_, exit) => {
            if (throws === (exit === undefined ? "on borrow" : "on return")) throw new Error("rude")
            return true
          }
        }),
        maxTotal: 1
      })
      throws = "on return"
      assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 1)
      throws = undefined
      assert.strictEqual(yield* ConnectionPool.use(pool, "a", id), 2)
      throws = "on borrow"
      const borrower = yield* fork(ConnectionPool.use(pool, "a", id))
      yield* settle
      assert.isDefined(borrower.pollUnsafe())
      assert.strictEqual(yield* Fiber.join(borrower), 3)
      assert.deepInclude(yield* ConnectionPool.stats(pool), { active: 0, waiting: 0, total: 1 })
      assert.strictEqual(ledger.live.size, 1)
    })))

  it.effect("a connection that is dead on arrival counts as a failed dial, with its backoff", () =>
    test(Effect.gen(function*() {
      let dials = 0
      const connector = Connector.make({
        open: () => Effect.sync(() => ++dials),
        closed: () => Effect.void
      })
      const retry = RetryPolicy.make({ maxAttempts: 3, initialDelay: 100, factor: 2, jitter: 0 })
      const pool = yield* ConnectionPool.make({ connector, retry })
      const borrower = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", Effect.succeed)))
      for (let turn = 0; turn < 10; turn++) {
        yield* settle
        yield* TestClock.adjust("50 millis")
      }
      const reason = reasonOf(yield* Fiber.join(borrower))
      assert.strictEqual(reason._tag, "ConnectFailed")
      assert.include(reason.message, "was closed before it was of use")
      assert.strictEqual(dials, 3)
    })))
})

describe("servers that misbehave", () => {
  it.live("one that accepts and closes at once is not stormed", () =>
    test(Effect.gen(function*() {
      const server = yield* TcpServer.make((socket) => void socket.destroy())
      const pool = yield* ConnectionPool.make({
        connector: TcpConnection.connector(),
        acquireTimeout: "500 millis",
        retry: RetryPolicy.make({ initialDelay: 100, factor: 1.5, jitter: 0.2, maxAttempts: 20 })
      })
      yield* Effect.forEach(
        Array.from({ length: 20 }),
        () => Effect.exit(ConnectionPool.use(pool, server.endpoint, (connection) => connection.read)),
        { concurrency: "unbounded" }
      )
      // A dial that is still alive when it arrives is lent, and its borrower meets the end; so each borrower costs one.
      assert.isAtMost(server.account.opened, 40)
    })))

  it.live("the answer to a borrower that gave up is not read by the next one", () =>
    test(Effect.gen(function*() {
      const server = yield* TcpServer.make((socket) =>
        void socket.on("data", (data) => {
          const text = String(data)
          setTimeout(() => socket.write(`reply to ${text}`), text === "slow" ? 100 : 0)
        })
      )
      const pool = yield* ConnectionPool.make({ connector: TcpConnection.connector(), maxPerEndpoint: 1 })
      const ask = (question: string) =>
        ConnectionPool.use(pool, server.endpoint, (connection) =>
          Effect.andThen(
            connection.write(question),
            Effect.map(connection.read, (bytes) => new TextDecoder().decode(bytes))
          ))
      assert.isTrue(Exit.isFailure(yield* Effect.exit(Effect.timeout(ask("slow"), "20 millis"))))
      yield* Effect.sleep("150 millis")
      assert.strictEqual(yield* ask("quick"), "reply to quick")
    })))

  it.live("an idle connection that has received what nobody asked for is not lent", () =>
    test(Effect.gen(function*() {
      const server = yield* TcpServer.make((socket) => void socket.on("data", () => socket.write("pong")))
      const pool = yield* ConnectionPool.make({ connector: TcpConnection.connector() })
      const ping = ConnectionPool.use(pool, server.endpoint, (connection) =>
        Effect.andThen(connection.write("ping"), connection.read))
      yield* ping
      for (const socket of server.sockets) {
        socket.write("by the way")
      }
      yield* Effect.sleep("30 millis")
      assert.strictEqual(new TextDecoder().decode(yield* ping), "pong")
      assert.strictEqual(server.account.opened, 2)
    })))

  it.effect("the next dial of an endpoint that is down comes although something else is due before it", () =>
    test(Effect.gen(function*() {
      let down = true
      const { connector } = Scripted.make({
        open: (key) => key === "a" && down ? Effect.fail(new Scripted.ScriptedFailure("ECONNREFUSED")) : Effect.void
      })
      const retry = RetryPolicy.make({ maxAttempts: 10, initialDelay: 1000, maxDelay: 1000, factor: 1, jitter: 0 })
      const pool = yield* ConnectionPool.make({ connector, retry, idleTimeout: "300 millis" })
      yield* ConnectionPool.use(pool, "b", id)
      const borrower = yield* fork(ConnectionPool.use(pool, "a", id))
      yield* settle
      down = false
      for (let turn = 0; turn < 11; turn++) {
        yield* TestClock.adjust("100 millis")
        yield* settle
      }
      assert.isDefined(borrower.pollUnsafe())
      assert.strictEqual(yield* Fiber.join(borrower), 2)
    })))

  it.effect("it also comes for a borrower who came when nobody waited for it any more", () =>
    test(Effect.gen(function*() {
      let down = true
      const { connector } = Scripted.make({
        open: (key) => key === "a" && down ? Effect.fail(new Scripted.ScriptedFailure("ECONNREFUSED")) : Effect.void
      })
      const retry = RetryPolicy.make({ maxAttempts: 1, initialDelay: 1000, maxDelay: 1000, factor: 1, jitter: 0 })
      const pool = yield* ConnectionPool.make({ connector, retry, idleTimeout: "300 millis" })
      yield* ConnectionPool.use(pool, "b", id)
      assert.strictEqual((yield* Effect.flip(ConnectionPool.use(pool, "a", id))).reason._tag, "ConnectFailed")
      down = false
      // The end of the other endpoint's connection is due in between, and takes the pool's one timer.
      yield* TestClock.adjust("500 millis")
      yield* settle
      const borrower = yield* fork(ConnectionPool.use(pool, "a", id))
      yield* settle
      assert.isUndefined(borrower.pollUnsafe())
      yield* TestClock.adjust("500 millis")
      yield* settle
      assert.isDefined(borrower.pollUnsafe())
      assert.strictEqual(yield* Fiber.join(borrower), 2)
    })))

  it.effect("endpoints that are down leave their slots to others between two attempts", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make({
        open: (key) => key === "up" ? Effect.void : Effect.fail(new Scripted.ScriptedFailure("ECONNREFUSED"))
      })
      const retry = RetryPolicy.make({ maxAttempts: 10, initialDelay: 1000, jitter: 0 })
      const pool = yield* ConnectionPool.make({ connector, retry, maxTotal: 5 })
      const down = yield* Effect.forEach(
        ["1", "2", "3", "4", "5"],
        (key) => fork(Effect.exit(ConnectionPool.use(pool, key, id)))
      )
      yield* settle
      assert.strictEqual(yield* ConnectionPool.use(pool, "up", id), 1)
      yield* Fiber.interruptAll(down)
    })))
})

describe("callers that misbehave", () => {
  it.effect("a borrow in a scope that has ended gives its connection back", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxTotal: 1 })
      const scope = yield* Scope.make()
      yield* Scope.close(scope, Exit.void)
      yield* Effect.exit(Scope.provide(ConnectionPool.get(pool, "a"), scope))
      assert.deepInclude(yield* ConnectionPool.stats(pool), { active: 0 })
      const latch = yield* Deferred.make<void>()
      const holder = yield* fork(hold(pool, "a", latch))
      yield* settle
      const late = yield* Scope.make()
      const waiter = yield* fork(Scope.provide(ConnectionPool.get(pool, "a"), late))
      yield* Scope.close(late, Exit.void)
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(holder)
      yield* Fiber.await(waiter)
      assert.deepInclude(yield* ConnectionPool.stats(pool), { active: 0, waiting: 0 })
    })))

  it.live("a connection opened in a scope that has ended is closed", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.silent
      const scope = yield* Scope.make()
      yield* Scope.close(scope, Exit.void)
      const connecting = Scope.provide(TcpConnection.connect(server.endpoint, { closeTimeout: "100 millis" }), scope)
      yield* Effect.exit(Effect.timeout(connecting, "1 second"))
      yield* server.drained
      assert.strictEqual(server.sockets.size, 0)
    }))

  it.effect("a check that fails while the pool is drained fails its borrower with PoolClosed", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make({
        check: () => Effect.andThen(Effect.sleep("100 millis"), Effect.fail(new Scripted.ScriptedFailure("EPIPE"))),
        close: () => Effect.sleep("50 millis")
      })
      const pool = yield* ConnectionPool.make({ connector, checkAfterIdle: 0 })
      yield* ConnectionPool.use(pool, "a", id)
      yield* TestClock.adjust("1 second")
      const borrower = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", id)))
      yield* settle
      const drain = yield* fork(ConnectionPool.drain(pool, "5 seconds"))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(reasonOf(yield* Fiber.join(borrower))._tag, "PoolClosed")
      yield* Fiber.join(drain)
    })))

  it.effect("an observer that throws stops nobody else", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1 })
      const latch = yield* Deferred.make<void>()
      const holder = yield* fork(hold(pool, "a", latch))
      yield* settle
      const rude = yield* fork(ConnectionPool.use(pool, "a", id))
      const polite = yield* fork(ConnectionPool.use(pool, "a", id))
      const uncaught = new Promise((resolve) => {
        const listeners = process.listeners("uncaughtException")
        process.removeAllListeners("uncaughtException")
        process.once("uncaughtException", (error) => {
          for (const listener of listeners) process.on("uncaughtException", listener)
          resolve(error)
        })
      })
      rude.addObserver(() => {
        throw new Error("rude")
      })
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(holder)
      yield* Effect.promise(() => uncaught)
      assert.strictEqual(yield* Fiber.join(polite), 1)
      yield* ConnectionPool.use(pool, "a", id)
    })))

  it.effect("an eviction while a connection is being opened is for that one too", () =>
    test(Effect.gen(function*() {
      const { connector, ledger } = Scripted.make({ open: () => Effect.sleep("100 millis") })
      const pool = yield* ConnectionPool.make({ connector })
      const borrower = yield* fork(ConnectionPool.use(pool, "a", id))
      yield* settle
      yield* ConnectionPool.evict(pool, "a")
      yield* TestClock.adjust("100 millis")
      yield* settle
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(yield* Fiber.join(borrower), 2)
      assert.deepStrictEqual([...ledger.live].map((_) => _.id), [2])
    })))

  it.effect("maxWaiters counts those that wait for others, not those that a dial may serve", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make({ open: () => Effect.sleep("1 second") })
      const pool = yield* ConnectionPool.make({ connector, maxWaiters: 0, maxPerEndpoint: 2 })
      const borrowers = [yield* fork(ConnectionPool.use(pool, "a", id)), yield* fork(ConnectionPool.use(pool, "a", id))]
      yield* settle
      assert.strictEqual((yield* Effect.flip(ConnectionPool.use(pool, "a", id))).reason._tag, "QueueFull")
      yield* TestClock.adjust("1 second")
      assert.lengthOf(yield* Fiber.joinAll(borrowers), 2)
    })))

  it.effect("an endpoint that is one slot behind gets it when it has waited for five seconds", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 2, maxTotal: 3 })
      const latch = yield* Deferred.make<void>()
      const forever = yield* fork(hold(pool, "b", latch))
      const busy = yield* Effect.forEach(
        [1, 2, 3, 4],
        () => fork(Effect.forever(ConnectionPool.use(pool, "a", () => Effect.sleep("50 millis"))))
      )
      yield* settle
      const second = yield* fork(ConnectionPool.use(pool, "b", id))
      for (let turn = 0; turn < 110; turn++) {
        yield* TestClock.adjust("50 millis")
        yield* settle
      }
      assert.isTrue(Exit.isSuccess(yield* Effect.timeout(Fiber.await(second), 0)))
      yield* Fiber.interruptAll(busy)
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(forever)
    })))

  it.effect("a closed pool knows no new endpoints, and keys without a text are no defect", () =>
    test(Effect.gen(function*() {
      const connector = Connector.make({ open: (key: object) => Effect.succeed({ key }) })
      const pool = yield* ConnectionPool.make({ connector })
      const [first, second] = [
        Object.assign(Object.create(null), { n: 1 }),
        Object.assign(Object.create(null), { n: 2 })
      ]
      yield* ConnectionPool.use(pool, first, Effect.succeed)
      yield* ConnectionPool.use(pool, second, Effect.succeed)
      assert.strictEqual((yield* ConnectionPool.stats(pool)).total, 2)
      yield* ConnectionPool.drain(pool, "1 second")
      for (const borrow of [ConnectionPool.use(pool, first, Effect.succeed), ConnectionPool.get(pool, first)]) {
        const { reason } = yield* Effect.flip(borrow)
        assert.strictEqual(reason._tag, "PoolClosed")
        assert.include(reason.message, "{\"n\":1}")
      }
      const before = (yield* ConnectionPool.stats(pool)).endpoints.size
      for (let index = 0; index < 10; index++) yield* Effect.exit(ConnectionPool.use(pool, { index }, Effect.succeed))
      assert.strictEqual((yield* ConnectionPool.stats(pool)).endpoints.size, before)
    })))

  it.effect("a holder is named by the span in which it borrowed", () =>
    test(Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 1, acquireTimeout: "1 second" })
      const latch = yield* Deferred.make<void>()
      const holder = yield* fork(
        ConnectionPool.use(pool, "a", () => Effect.withSpan(Deferred.await(latch), "somewhere else")).pipe(
          Effect.withSpan("the borrower")
        )
      )
      yield* settle
      const late = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", id)))
      yield* TestClock.adjust("1 second")
      const reason = reasonOf(yield* Fiber.join(late))
      assert.deepStrictEqual(reason._tag === "AcquireTimeout" ? reason.holders.map((_) => _.span) : [], [
        "the borrower"
      ])
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(holder)
    })))
})

describe("the event loop", () => {
  it.live("turns between the borrowers of a crowd that are served at once, in batches and in their order", () =>
    test(Effect.gen(function*() {
      const crowd = 1000
      const opened = yield* Deferred.make<void>()
      const { connector } = Scripted.make({ open: () => Deferred.await(opened) })
      const pool = yield* ConnectionPool.make({ connector, concurrency: Infinity })
      const served: Array<number> = []
      const borrowers = yield* Effect.forEach(
        Array.from({ length: crowd }, (_, number) => number),
        (number) => fork(ConnectionPool.use(pool, "a", () => Effect.sync(() => served.push(number))))
      )
      assert.strictEqual((yield* ConnectionPool.stats(pool)).waiting, crowd)
      // Other work of the process: it counts how many borrowers go on before its turn comes.
      const seen = yield* Effect.callback<ReadonlyArray<number>>((resume) => {
        const counts: Array<number> = []
        const look = () => {
          counts.push(served.length)
          if (served.length < crowd) setImmediate(look)
          else resume(Effect.succeed(counts))
        }
        setImmediate(look)
        Deferred.doneUnsafe(opened, Exit.void)
      })
      yield* Fiber.joinAll(borrowers)
      const batches = seen.map((count, turn) => count - (seen[turn - 1] ?? 0)).filter((count) => count > 0)
      assert.deepStrictEqual(batches, [256, 256, 256, 232])
      assert.deepStrictEqual(served, served.toSorted((left, right) => left - right))
    })))

  const run = (program: string) =>
    Effect.callback<{ readonly status: number | null; readonly millis: number; readonly stdout: string }>((resume) => {
      const start = performance.now()
      const child = ChildProcess.spawn(process.execPath, ["--input-type=module-typescript", "-e", program], {
        cwd: Path.resolve(import.meta.dirname, "../..")
      })
      let stdout = ""
      child.stdout.on("data", (data) => stdout += String(data))
      child.stderr.on("data", (data) => stdout += String(data))
      child.on("close", (status) => resume(Effect.succeed({ status, stdout, millis: performance.now() - start })))
      return Effect.sync(() => child.kill("SIGKILL"))
    })

  const prelude = `
    import { Effect } from "effect"
    import * as ConnectionPool from "./src/Pool/ConnectionPool.ts"
    import * as Connector from "./src/Resource/Connector.ts"
    import * as ResourceMonitor from "./src/Monitor/ResourceMonitor.ts"
    const connector = Connector.make({ open: (name) => Effect.succeed({ name }) })
    const never = Connector.make({ open: (name) => Effect.never })
    const inPool = (options, f) => Effect.runPromise(
      Effect.scoped(Effect.flatMap(ConnectionPool.make(options), f)).pipe(Effect.provide(ResourceMonitor.layerUnlimited)))
  `

  it.live("may stand still between two batches of a crowd, and everybody goes on all the same", () =>
    test(Effect.gen(function*() {
      const opened = yield* Deferred.make<void>()
      const { connector } = Scripted.make({ open: () => Deferred.await(opened) })
      const pool = yield* ConnectionPool.make({ connector, concurrency: Infinity, acquireTimeout: "5 seconds" })
      // One of the second batch works for longer than it takes until a lease is no longer young.
      const work = (number: number) =>
        Effect.sync(() => {
          if (number === 300) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1200)
          return number
        })
      const borrowers = yield* Effect.forEach(
        Array.from({ length: 600 }, (_, number) => number),
        (number) => fork(ConnectionPool.use(pool, "a", () => work(number)))
      )
      yield* Deferred.succeed(opened, undefined)
      const numbers = yield* Effect.timeout(Fiber.joinAll(borrowers), "15 seconds")
      assert.lengthOf(numbers, 600)
      assert.deepInclude(yield* ConnectionPool.stats(pool), { active: 0, idle: 1, waiting: 0 })
    })))

  it.live("is not kept alive by an idle pool", () =>
    Effect.gen(function*() {
      const { millis, status } = yield* run(`${prelude}
        inPool({ connector, idleTimeout: "20 seconds" }, (pool) =>
          Effect.andThen(ConnectionPool.use(pool, "a", Effect.succeed), Effect.callback(() => {})))
      `)
      assert.isBelow(millis, 10_000)
      // Node's status for a process that ended while something at its top level was still waiting is 13; here nothing is.
      assert.strictEqual(status, 0)
    }), 15_000)

  it.live("is kept alive by a borrower that waits, until its deadline", () =>
    Effect.gen(function*() {
      const { stdout } = yield* run(`${prelude}
        inPool({ connector, maxPerEndpoint: 1, acquireTimeout: "300 millis", drainTimeout: 0 }, (pool) =>
          ConnectionPool.use(pool, "a", () => Effect.raceFirst(
            Effect.callback(() => {}),
            Effect.flip(Effect.flatMap(Effect.forkChild(ConnectionPool.use(pool, "a", Effect.succeed)), (fiber) =>
              Effect.callback((resume) => { fiber.addObserver((exit) => resume(exit)) })))
          ))).then((error) => console.log(error.reason._tag))
      `)
      assert.include(stdout, "AcquireTimeout")
    }), 15_000)
})
