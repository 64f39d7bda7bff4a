import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { LiveList } from "../../src/internal/LiveList.ts"
import { closeIdle, emptied, PoolRegistry, type RegisteredPool } from "../../src/Pool/PoolRegistry.ts"
import * as Scripted from "../support/ScriptedConnector.ts"

const fork = Effect.forkChild({ startImmediately: true })

const only = (pools: PoolRegistry): RegisteredPool => {
  const [pool, ...others] = pools.all
  assert.isDefined(pool)
  assert.deepStrictEqual(others, [])
  return pool as RegisteredPool
}

const open = (pools: PoolRegistry): number => [...pools.all].length

describe("a registry", () => {
  it.effect("knows a pool from its beginning until its last connection is closed", () =>
    Effect.gen(function*() {
      const pools = new LiveList<RegisteredPool>()
      const known: Array<number> = []
      const { connector } = Scripted.make({ close: () => Effect.sync(() => void known.push(open(pools))) })
      const scope = yield* Scope.make()
      const made = ConnectionPool.make({ connector })
      const pool = yield* Scope.provide(Effect.provideService(made, PoolRegistry, pools), scope)
      assert.strictEqual(open(pools), 1)
      yield* ConnectionPool.use(pool, "db", () => Effect.void)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(known, [1])
      assert.strictEqual(open(pools), 0)
    }).pipe(Effect.provide(ResourceMonitor.layerUnlimited)))

  it.effect("empties a pool, which goes on after that, and all who wait for that share one callback", () =>
    Effect.gen(function*() {
      const pools = new LiveList<RegisteredPool>()
      const { connector, ledger } = Scripted.make()
      const made = ConnectionPool.make({ connector })
      const pool = yield* Effect.provideService(made, PoolRegistry, pools)
      const registered = only(pools)
      let callbacks = 0
      const whenEmptied = registered.core.whenEmptied.bind(registered.core)
      Object.assign(registered.core, {
        whenEmptied: (callback: () => void) => {
          callbacks++
          whenEmptied(callback)
        }
      })
      yield* emptied(registered)
      const lent = yield* Deferred.make<void>()
      const holder = yield* fork(
        ConnectionPool.use(pool, "db", () => Effect.andThen(Deferred.succeed(lent, undefined), Effect.never))
      )
      yield* Deferred.await(lent)
      const waiting = [
        yield* fork(closeIdle(registered)),
        yield* fork(closeIdle(registered)),
        yield* fork(emptied(registered))
      ]
      for (let turn = 0; turn < 50; turn++) yield* Effect.yieldNow
      // What is lent is closed on its return.
      assert.deepStrictEqual(waiting.map((fiber) => fiber.pollUnsafe()), [undefined, undefined, undefined])
      yield* Fiber.interrupt(holder)
      yield* Fiber.joinAll(waiting)
      assert.strictEqual(callbacks, 2)
      assert.strictEqual((yield* ConnectionPool.stats(pool)).total, 0)
      assert.strictEqual(yield* ConnectionPool.use(pool, "db", (connection) => Effect.succeed(connection.id)), 2)
      assert.strictEqual(ledger.closed, 1)
    }).pipe(Effect.provide(ResourceMonitor.layerUnlimited)))
})

describe("the preset for functions", () => {
  it("keeps nothing, has one connection, and closes within Lambda's window", () => {
    const { closeTimeout, drainTimeout, maxPerEndpoint, maxTotal, minPerEndpoint } = ConnectionPool.serverless
    assert.deepStrictEqual({ maxPerEndpoint, maxTotal, minPerEndpoint }, {
      maxPerEndpoint: 1,
      maxTotal: 1,
      minPerEndpoint: 0
    })
    assert.deepStrictEqual([closeTimeout, drainTimeout], ["200 millis", "100 millis"])
  })
})
