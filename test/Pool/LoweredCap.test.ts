/**
 * A cap that is lowered while dials wait to begin, at the gate or for a permit of the budget.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Semaphore } from "effect"
import * as ConnectionBudget from "effect-sluice/ConnectionBudget"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as TcpConnection from "effect-sluice/TcpConnection"
import { fork, hold, settle, test } from "../support/Pools.ts"
import * as Scripted from "../support/ScriptedConnector.ts"
import * as TcpServer from "../support/TcpServer.ts"

/** A gate that lets nothing in before it is opened. */
const closedGate = Effect.gen(function*() {
  const monitor = yield* ResourceMonitor.ResourceMonitor
  const gate = yield* Deferred.make<void>()
  const reserve: ResourceMonitor.ResourceMonitor["Service"]["reserve"] = (request) =>
    Effect.andThen(Deferred.await(gate), monitor.reserve(request))
  return {
    open: Deferred.succeed(gate, undefined),
    provide: Effect.provideService(
      ResourceMonitor.ResourceMonitor,
      ResourceMonitor.ResourceMonitor.of({ ...monitor, reserve })
    )
  }
})

describe("a cap that was lowered", () => {
  it.live("is kept by dials that wait at the gate, as the server counts", () =>
    test(Effect.gen(function*() {
      const server = yield* TcpServer.echo
      const gate = yield* closedGate
      const pool = yield* gate.provide(
        ConnectionPool.make({ connector: TcpConnection.connector(), maxPerEndpoint: 2, maxTotal: 2 })
      )
      const borrow = fork(ConnectionPool.use(pool, server.endpoint, () => Effect.sleep(20)))
      const borrowers = [yield* borrow, yield* borrow, yield* borrow]
      assert.deepInclude(yield* ConnectionPool.stats(pool), { connecting: 2, waiting: 3 })
      yield* ConnectionPool.resize(pool, { maxPerEndpoint: 1, maxTotal: 1 })
      yield* gate.open
      yield* Fiber.joinAll(borrowers)
      assert.deepInclude(server.account, { opened: 1, peak: 1 })
    })))

  it.effect("is kept by dials that wait for the budget", () =>
    test(Effect.gen(function*() {
      const permits = yield* Semaphore.make(2)
      yield* permits.take(2)
      const { connector, ledger } = Scripted.make()
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 2, maxTotal: 4 }).pipe(
        Effect.provideService(ConnectionBudget.ConnectionBudget, { take: () => Effect.as(permits.takeScoped(1), {}) })
      )
      const latch = yield* Deferred.make<void>()
      for (const key of ["a", "a", "b", "b"]) yield* fork(hold(pool, key, latch))
      yield* settle
      assert.deepInclude(yield* ConnectionPool.stats(pool), { connecting: 4 })
      yield* ConnectionPool.resize(pool, { maxPerEndpoint: 1, maxTotal: 1 })
      yield* settle
      assert.deepInclude(yield* ConnectionPool.stats(pool), { connecting: 1 })
      yield* permits.release(2)
      yield* settle
      assert.strictEqual(ledger.attempts, 1)
      assert.strictEqual(ledger.peakTotal, 1)
      yield* Deferred.succeed(latch, undefined)
      yield* settle
    })))

  it.effect("is kept by a dial that waits while a connection is leased, and dialled for when that is closed", () =>
    test(Effect.gen(function*() {
      const { connector, ledger } = Scripted.make()
      const [taken, go] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      let asked = 0
      const budget = { take: () => Effect.as(++asked === 1 ? Effect.void : Deferred.await(go), {}) }
      const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint: 2, maxTotal: 2 }).pipe(
        Effect.provideService(ConnectionBudget.ConnectionBudget, budget)
      )
      const holder = yield* fork(hold(pool, "a", taken))
      yield* settle
      const other = yield* fork(ConnectionPool.use(pool, "b", Effect.succeed))
      yield* settle
      yield* ConnectionPool.resize(pool, { maxPerEndpoint: 1, maxTotal: 1 })
      yield* Deferred.succeed(go, undefined)
      yield* settle
      assert.strictEqual(ledger.attempts, 1)
      yield* Deferred.succeed(taken, undefined)
      yield* Fiber.join(holder)
      yield* settle
      assert.strictEqual((yield* Fiber.join(other)).key, "b")
      assert.strictEqual(ledger.peakTotal, 1)
    })))
})
