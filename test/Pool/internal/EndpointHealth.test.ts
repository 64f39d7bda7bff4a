import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Stream } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as PoolTelemetry from "effect-sluice/PoolTelemetry"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import * as TcpConnection from "effect-sluice/TcpConnection"
import { FaultProxy } from "effect-sluice/Testing"
import { TestClock } from "effect/testing"
import {
  afterSetback,
  type Evidence,
  type HealthFacts,
  healthOf,
  noSetbacks
} from "../../../src/Pool/internal/DialPolicy.ts"
import { TypeId } from "../../../src/Pool/PoolRegistry.ts"
import * as Scripted from "../../support/ScriptedConnector.ts"
import * as TcpServer from "../../support/TcpServer.ts"

const fork = Effect.forkChild({ startImmediately: true })

const settle = Effect.forEach(Array.from({ length: 20 }), () => Effect.yieldNow, { discard: true })

const retry = RetryPolicy.make({ maxAttempts: 1, initialDelay: 100, jitter: 0 })

const id = (connection: Scripted.Scripted) => Effect.succeed(connection.id)

/** A pool of two for servers that answer with this error as long as there is one. */
const scripted = (error: () => string | undefined) => {
  const connector = Scripted.make({
    open: () => {
      const code = error()
      // A dial that takes a step, so that the endpoint is seen while it is under way.
      return code === undefined ? Effect.yieldNow : Effect.fail(new Scripted.ScriptedFailure(code))
    }
  })
  return Effect.map(
    ConnectionPool.make({ connector: connector.connector, retry, maxPerEndpoint: 2, maxTotal: 2, drainTimeout: 0 }),
    (pool) => ({ ...connector, pool })
  )
}

describe("the health of an endpoint", () => {
  it.effect("follows the outcomes of its dials, each change once", () =>
    Effect.gen(function*() {
      let code: string | undefined
      const { ledger, kill, pool } = yield* scripted(() => code)
      const seen: Array<ConnectionPool.Health> = []
      yield* fork(Stream.runForEach(PoolTelemetry.health(pool, "db"), (health) => Effect.sync(() => seen.push(health))))
      yield* settle
      assert.strictEqual(yield* ConnectionPool.health(pool, "db"), "Healthy", "nothing is known of it")
      const holder = yield* fork(ConnectionPool.use(pool, "db", () => Effect.never))
      yield* settle
      code = "ECONNREFUSED"
      yield* Effect.flip(ConnectionPool.use(pool, "db", id))
      assert.strictEqual(yield* ConnectionPool.health(pool, "db"), "Degraded", "it is down, and a connection is left")
      yield* Effect.forEach([...ledger.live], kill)
      yield* Fiber.interrupt(holder)
      yield* settle
      assert.strictEqual(yield* ConnectionPool.health(pool, "db"), "Unavailable", "nothing is left")
      code = undefined
      yield* TestClock.adjust("1 second")
      yield* settle
      assert.strictEqual(yield* ConnectionPool.health(pool, "db"), "Degraded", "it is time to ask it again")
      yield* ConnectionPool.use(pool, "db", id)
      yield* settle
      assert.strictEqual(yield* ConnectionPool.health(pool, "db"), "Healthy")
      assert.deepStrictEqual(seen, ["Healthy", "Degraded", "Unavailable", "Degraded", "Unavailable", "Healthy"])
      assert.strictEqual(yield* ConnectionPool.health(pool, "other"), "Healthy")
    }).pipe(Effect.provide(ResourceMonitor.layer)))

  it.effect("lets whoever asks only what is not Unavailable find out that it is back", () =>
    Effect.gen(function*() {
      let code: string | undefined = "ECONNREFUSED"
      const { ledger, pool } = yield* scripted(() => code)
      const careful = Effect.gen(function*() {
        if ((yield* ConnectionPool.health(pool, "db")) === "Unavailable") return "fallback"
        return yield* Effect.match(ConnectionPool.use(pool, "db", id), {
          onFailure: () => "failed",
          onSuccess: () => "served"
        })
      })
      const answers: Array<string> = []
      for (let turn = 0; turn < 40; turn++) {
        answers.push(yield* careful)
        if (turn === 29) code = undefined
        yield* TestClock.adjust("100 millis")
        yield* settle
      }
      // Each failure is one of its own attempts, which come along the backoff; all the others had an answer at once.
      assert.strictEqual(answers.filter((answer) => answer === "failed").length, ledger.attempts - 1)
      assert.isAtLeast(answers.filter((answer) => answer === "fallback").length, 20)
      assert.strictEqual(answers.at(-1), "served")
    }).pipe(Effect.provide(ResourceMonitor.layer)))

  it.effect("does not suffer from a want of descriptors, which is our own", () =>
    Effect.gen(function*() {
      const { pool } = yield* scripted(() => "EMFILE")
      const borrower = yield* fork(Effect.flip(ConnectionPool.use(pool, "db", id)))
      yield* TestClock.adjust("31 seconds")
      yield* settle
      assert.strictEqual((yield* Fiber.join(borrower))._tag, "PoolError")
      assert.strictEqual(yield* ConnectionPool.health(pool, "db"), "Healthy")
    }).pipe(Effect.provide(ResourceMonitor.layer)))
})

describe("the health of an endpoint, by what is known of it", () => {
  const known: HealthFacts = {
    phase: "Healthy",
    suspicion: 0,
    isFull: false,
    isConnected: true,
    hasSucceeded: false,
    connecting: 0,
    waiting: 0,
    hasRoom: true,
    isTooEarly: false
  }
  const cases: ReadonlyArray<readonly [string, Partial<HealthFacts>, ConnectionPool.Health]> = [
    ["nothing", {}, "Healthy"],
    ["borrowers that wait where nothing goes wrong", { waiting: 100 }, "Healthy"],
    ["one thing that went wrong", { suspicion: 1, waiting: 5, isTooEarly: true }, "Degraded"],
    ["much that went wrong, and borrowers that wait", { suspicion: 10, waiting: 1 }, "Unavailable"],
    ["much that went wrong, and a dial", { suspicion: 10, connecting: 1 }, "Unavailable"],
    ["much that went wrong a moment ago", { suspicion: 10, isTooEarly: true }, "Unavailable"],
    ["much that went wrong, and no borrower", { suspicion: 10 }, "Degraded"],
    ["a failed dial, and a connection", { phase: "Down", isTooEarly: true }, "Degraded"],
    ["a failed dial, and none", { phase: "Down", isConnected: false, isTooEarly: true }, "Unavailable"],
    ["a failed dial, none, and time for another", { phase: "Down", isConnected: false }, "Degraded"],
    ["many failed dials, and a connection", { phase: "Down", suspicion: 12, isTooEarly: true }, "Unavailable"],
    ["a failed dial, and a success on another connection", { phase: "Down", hasSucceeded: true }, "Healthy"],
    [
      "a failed dial, a success, and borrowers that wait",
      { phase: "Down", hasSucceeded: true, waiting: 1 },
      "Degraded"
    ],
    [
      "a failed dial, a success, and no room",
      { phase: "Down", hasSucceeded: true, waiting: 9, hasRoom: false },
      "Healthy"
    ],
    [
      "a server that is full",
      { phase: "Down", suspicion: 1, isConnected: false, isFull: true, waiting: 9 },
      "Degraded"
    ],
    ["a queue after an outage", { phase: "Recovering", waiting: 1 }, "Degraded"],
    ["a queue after an outage, and no room", { phase: "Recovering", waiting: 10, hasRoom: false }, "Healthy"],
    ["an outage that is over", { phase: "Recovering" }, "Healthy"]
  ]
  for (const [name, facts, health] of cases) {
    it(`${name}: ${health}`, () => assert.strictEqual(healthOf({ ...known, ...facts }), health))
  }

  const suspicionAfter = (evidence: Evidence, times: number): number =>
    Array.from({ length: times }).reduce<typeof noSetbacks>(
      (before) => afterSetback(before, evidence, { now: 0, retryAt: 0, error: undefined }),
      noSetbacks
    ).suspicion

  it("three failures condemn it, or ten things that are less clear, and dead connections never do", () => {
    const isCondemned = (evidence: Evidence, times: number) =>
      healthOf({ ...known, suspicion: suspicionAfter(evidence, times), isTooEarly: true }) === "Unavailable"
    assert.deepStrictEqual([isCondemned("Failure", 2), isCondemned("Failure", 3)], [false, true])
    assert.deepStrictEqual([isCondemned("Unclear", 9), isCondemned("Unclear", 10)], [false, true])
    assert.deepStrictEqual([suspicionAfter("Stale", 1), isCondemned("Stale", 1000)], [1, false])
    assert.deepStrictEqual([suspicionAfter("Full", 1), isCondemned("Full", 1000)], [1, false])
  })
})

const timeout = { code: "ETIMEDOUT" }

/** What makes an endpoint suspect, each time that it happens. */
const setbacks: Record<
  string,
  (pool: ConnectionPool.ConnectionPool<string, Scripted.Scripted>) => Effect.Effect<unknown>
> = {
  "the first uses of its connections fail": (pool) =>
    Effect.exit(ConnectionPool.use(pool, "db", () => Effect.fail(timeout))),
  "borrowers wait for it in vain": (pool) =>
    Effect.gen(function*() {
      const borrow = Effect.exit(ConnectionPool.use(pool, "db", () => Effect.sleep("9 seconds")))
      for (let borrower = 0; borrower < 3; borrower++) yield* fork(borrow)
      yield* settle
      yield* TestClock.adjust("1 second")
    }),
  "connections that were of no use yet fail their checks": (pool) =>
    Effect.gen(function*() {
      // It is idle and was of no use yet: its borrower did not wait for it.
      const late = yield* fork(Effect.exit(ConnectionPool.use(pool, "db", id)))
      yield* Fiber.interrupt(late)
      yield* settle
      yield* TestClock.adjust("200 millis")
      yield* settle
    })
}

describe("the health of an endpoint that accepts and does not answer", () => {
  for (const [name, act] of Object.entries(setbacks)) {
    it.effect(`becomes Degraded, then Unavailable, when ${name}`, () =>
      Effect.gen(function*() {
        const { connector } = Scripted.make({
          open: () => Effect.yieldNow,
          check: () => Effect.fail(new Scripted.ScriptedFailure("ETIMEDOUT"))
        })
        const pool = yield* ConnectionPool.make({
          connector,
          retry,
          keepalive: "200 millis",
          acquireTimeout: "1 second",
          maxPerEndpoint: 2,
          maxTotal: 2,
          drainTimeout: 0
        })
        const seen: Array<ConnectionPool.Health> = []
        yield* fork(
          Stream.runForEach(PoolTelemetry.health(pool, "db"), (health) => Effect.sync(() => seen.push(health)))
        )
        for (let turn = 0; turn < 3; turn++) yield* act(pool)
        yield* settle
        assert.deepStrictEqual(seen, ["Healthy", "Degraded", "Unavailable"])
        yield* TestClock.adjust("100 millis")
        yield* settle
        assert.strictEqual(yield* ConnectionPool.health(pool, "db"), "Degraded", "it may be asked again")
        yield* TestClock.adjust("9 seconds")
        yield* ConnectionPool.use(pool, "db", id)
        assert.strictEqual(yield* ConnectionPool.health(pool, "db"), "Healthy")
      }).pipe(Effect.provide(ResourceMonitor.layer)))
  }

  it.live("is never Healthy while nothing succeeds, and is again with the first success", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.echo
      const proxy = yield* FaultProxy.make(server.endpoint)
      const pool = yield* ConnectionPool.make({
        connector: TcpConnection.connector(),
        acquireTimeout: "50 millis",
        maxPerEndpoint: 2
      })
      const ask = ConnectionPool.use(
        pool,
        proxy.endpoint,
        (connection) => Effect.andThen(connection.write("?"), connection.read).pipe(Effect.timeout("50 millis"))
      )
      yield* Effect.eventually(ask)
      const isFrozen = yield* Deferred.make<void>()
      const seen: Array<ConnectionPool.Health> = []
      const watcher = yield* fork(
        PoolTelemetry.health(pool, proxy.endpoint).pipe(
          Stream.tap((health) => Effect.sync(() => seen.push(health))),
          Stream.takeUntil((health) => health === "Healthy" && seen.includes("Unavailable")),
          Stream.tap((health) => health === "Unavailable" ? Deferred.succeed(isFrozen, undefined) : Effect.void),
          Stream.runDrain
        )
      )
      yield* proxy.freeze
      for (let borrower = 0; borrower < 10; borrower++) yield* fork(Effect.forever(Effect.exit(ask)))
      yield* Deferred.await(isFrozen)
      yield* proxy.thaw
      yield* Fiber.join(watcher)
      assert.deepStrictEqual([...new Set(seen)], ["Healthy", "Degraded", "Unavailable"])
    }).pipe(Effect.provide(ResourceMonitor.layerUnlimited)))
})

describe("the stream of an endpoint's health", () => {
  it.effect("changes when a borrower begins to wait, and when the last one has left", () =>
    Effect.gen(function*() {
      const { connector } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, retry, acquireTimeout: "1 second", drainTimeout: 0 })
      const seen: Array<ConnectionPool.Health> = []
      yield* fork(Stream.runForEach(PoolTelemetry.health(pool, "db"), (health) => Effect.sync(() => seen.push(health))))
      for (let holder = 0; holder < 2; holder++) yield* fork(ConnectionPool.use(pool, "db", () => Effect.never))
      const borrow = fork(Effect.exit(ConnectionPool.use(pool, "db", id)))
      for (let borrower = 0; borrower < 3; borrower++) yield* borrow
      yield* settle
      yield* TestClock.adjust("1 second")
      yield* settle
      assert.strictEqual(seen.at(-1), "Unavailable")
      yield* TestClock.adjust("100 millis")
      yield* settle
      assert.strictEqual(seen.at(-1), "Degraded")
      const last = yield* borrow
      yield* settle
      assert.strictEqual(seen.at(-1), "Unavailable")
      yield* Fiber.interrupt(last)
      yield* settle
      assert.strictEqual(seen.at(-1), "Degraded")
    }).pipe(Effect.provide(ResourceMonitor.layer)))
})

describe("the health of an endpoint after an outage", () => {
  it.effect("is Healthy as soon as no more can be opened, however many wait", () =>
    Effect.gen(function*() {
      let code: string | undefined = "ECONNREFUSED"
      const connector = Scripted.make({
        open: () => code === undefined ? Effect.yieldNow : Effect.fail(new Scripted.ScriptedFailure(code))
      })
      const pool = yield* ConnectionPool.make({
        connector: connector.connector,
        retry: RetryPolicy.make({ ...RetryPolicy.tcpConnection, maxAttempts: 100 }),
        maxPerEndpoint: 2,
        maxTotal: 2,
        drainTimeout: 0
      })
      for (let borrower = 0; borrower < 12; borrower++) yield* fork(ConnectionPool.use(pool, "db", () => Effect.never))
      yield* TestClock.adjust("5 seconds")
      yield* settle
      assert.strictEqual(yield* ConnectionPool.health(pool, "db"), "Unavailable")
      code = undefined
      const back = yield* fork(
        Stream.runCollect(Stream.takeUntil(PoolTelemetry.health(pool, "db"), (health) => health === "Healthy"))
      )
      yield* TestClock.adjust("2 seconds")
      yield* settle
      assert.deepInclude(yield* ConnectionPool.stats(pool), { active: 2, waiting: 10 })
      assert.strictEqual(yield* ConnectionPool.health(pool, "db"), "Healthy")
      assert.strictEqual((yield* Fiber.join(back)).at(-1), "Healthy")
    }).pipe(Effect.provide(ResourceMonitor.layer)))

  it.effect("is not hidden by a borrower that holds a dead connection", () =>
    Effect.gen(function*() {
      let code: string | undefined
      const { kill, ledger, pool } = yield* scripted(() => code)
      yield* fork(ConnectionPool.use(pool, "db", () => Effect.never))
      yield* settle
      yield* Effect.forEach([...ledger.live], kill)
      yield* settle
      code = "ECONNREFUSED"
      const refused = yield* fork(Effect.flip(ConnectionPool.use(pool, "db", id)))
      // What died had been of use to no borrower, so that the next dial waits as after a failure.
      while (refused.pollUnsafe() === undefined) yield* Effect.andThen(TestClock.adjust("100 millis"), settle)
      assert.strictEqual(yield* ConnectionPool.health(pool, "db"), "Unavailable")
    }).pipe(Effect.provide(ResourceMonitor.layer)))
})

describe("an endpoint with a connection that a borrower never returns", () => {
  it.effect("is Unavailable with the first failed dial, if the connection may be dead and nothing reports that", () =>
    Effect.gen(function*() {
      let code: string | undefined
      const { connector } = Scripted.make({
        open: () => code === undefined ? Effect.yieldNow : Effect.fail(new Scripted.ScriptedFailure(code))
      })
      const { closed: _, ...blind } = connector
      const pool = yield* ConnectionPool.make({ connector: blind, retry, maxConnections: 2, drainTimeout: 0 })
      yield* fork(ConnectionPool.use(pool, "db", () => Effect.never))
      yield* settle
      yield* TestClock.adjust("1 minute")
      code = "ECONNREFUSED"
      yield* Effect.flip(ConnectionPool.use(pool, "db", id))
      assert.strictEqual(yield* ConnectionPool.health(pool, "db"), "Unavailable")
    }).pipe(Effect.provide(ResourceMonitor.layer)))

  it.effect("forgets its failures a minute after its last use, although the lease does not end", () =>
    Effect.gen(function*() {
      let code: string | undefined
      const { kill, ledger, pool } = yield* scripted(() => code)
      yield* fork(ConnectionPool.use(pool, "db", () => Effect.never))
      yield* settle
      yield* Effect.forEach([...ledger.live], kill)
      yield* settle
      yield* TestClock.adjust("1 second")
      code = "ECONNREFUSED"
      yield* Effect.flip(ConnectionPool.use(pool, "db", id))
      yield* TestClock.adjust("59 seconds")
      yield* settle
      assert.strictEqual(yield* ConnectionPool.health(pool, "db"), "Degraded")
      yield* TestClock.adjust("2 seconds")
      yield* settle
      assert.strictEqual(yield* ConnectionPool.health(pool, "db"), "Healthy")
    }).pipe(Effect.provide(ResourceMonitor.layer)))

  it.effect("has an event when that lease ends", () =>
    Effect.gen(function*() {
      const { kill, ledger, pool } = yield* scripted(() => undefined)
      const holder = yield* fork(ConnectionPool.use(pool, "db", () => Effect.never))
      yield* settle
      yield* Effect.forEach([...ledger.live], kill)
      yield* settle
      const judged: Array<string | undefined> = []
      pool[TypeId].core.observers.add({ judged: (label) => judged.push(label) })
      yield* Fiber.interrupt(holder)
      assert.include(judged, "db")
    }).pipe(Effect.provide(ResourceMonitor.layer)))
})

describe("an endpoint of which a dial has failed", () => {
  it.effect("is Healthy when another connection serves and no borrower waits", () =>
    Effect.gen(function*() {
      let code: string | undefined
      const { pool } = yield* scripted(() => code)
      const seen: Array<ConnectionPool.Health> = []
      yield* fork(Stream.runForEach(PoolTelemetry.health(pool, "db"), (health) => Effect.sync(() => seen.push(health))))
      const gate = yield* Deferred.make<void>()
      const holder = yield* fork(ConnectionPool.use(pool, "db", () => Deferred.await(gate)))
      yield* settle
      code = "ECONNREFUSED"
      yield* Effect.flip(ConnectionPool.use(pool, "db", id))
      yield* TestClock.adjust("1 minute")
      yield* settle
      assert.strictEqual(seen.at(-1), "Degraded")
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(holder)
      yield* settle
      assert.strictEqual(seen.at(-1), "Healthy")
    }).pipe(Effect.provide(ResourceMonitor.layer)))

  it.effect("is Healthy when another connection serves and the pool is full, and has an event when it becomes so", () =>
    Effect.gen(function*() {
      let code: string | undefined
      const { pool } = yield* scripted(() => code)
      const seen: Array<ConnectionPool.Health> = []
      yield* fork(Stream.runForEach(PoolTelemetry.health(pool, "db"), (health) => Effect.sync(() => seen.push(health))))
      yield* fork(ConnectionPool.use(pool, "db", () => Effect.sleep("20 seconds")))
      yield* settle
      code = "ECONNREFUSED"
      yield* Effect.flip(ConnectionPool.use(pool, "db", id))
      code = undefined
      // The other slot of the pool goes to another endpoint.
      yield* fork(ConnectionPool.use(pool, "other", () => Effect.never))
      yield* settle
      for (let waiter = 0; waiter < 3; waiter++) {
        yield* fork(Effect.exit(ConnectionPool.use(pool, "db", () => Effect.sleep("1 minute"))))
      }
      yield* settle
      assert.notStrictEqual(seen.at(-1), "Healthy")
      yield* TestClock.adjust("19900 millis")
      yield* TestClock.adjust("200 millis")
      yield* settle
      assert.isAtLeast((yield* ConnectionPool.stats(pool)).waiting, 1)
      assert.strictEqual(seen.at(-1), "Healthy")
    }).pipe(Effect.provide(ResourceMonitor.layer)))
})
