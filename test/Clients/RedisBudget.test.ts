/**
 * A budget that several processes share, each of which is a client of its own here.
 */
import { assert, it } from "@effect/vitest"
import { Config, ConfigProvider, Deferred, Effect, Exit, Fiber, Layer, Logger, Redacted, References } from "effect"
import * as ConnectionBudget from "effect-sluice/ConnectionBudget"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as Endpoint from "effect-sluice/Endpoint"
import * as Lambda from "effect-sluice/Lambda"
import * as NodePostgres from "effect-sluice/NodePostgres"
import * as Postgres from "effect-sluice/Postgres"
import * as RedisBudget from "effect-sluice/RedisBudget"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { FaultProxy } from "effect-sluice/Testing"
import { SqlClient } from "effect/sql/SqlClient"
import { inspect } from "node:util"
import { HolderId } from "../../src/internal/HolderId.ts"
import { budget, during, evals, observe, take } from "../support/Budgets.ts"
import { describeWith, ports } from "../support/LiveServers.ts"
import { uniqueName } from "../support/RedisClients.ts"
import { stall } from "../support/stall.ts"

const withRedis = await describeWith("Redis")
const withBoth = await describeWith("Redis", "PostgreSQL")

const fork = <A, E>(effect: Effect.Effect<A, E>) => Effect.forkChild(effect, { startImmediately: true })

/** Removes the keys of a budget at the end. */
const fresh = Effect.gen(function*() {
  const key = uniqueName()
  const client = yield* observe(ports.Redis)
  const names = ["state", "held", "info", "queue", "wait"].map((name) => `{${key}}:${name}`)
  yield* Effect.addFinalizer(() => Effect.promise(() => client.del(names)))
  return { key, client }
})

/** The lines of the log with their annotations. */
const logged = () => {
  const lines: Array<
    { readonly level: string; readonly text: string; readonly annotations: Readonly<Record<string, unknown>> }
  > = []
  const logger = Logger.make(({ fiber, logLevel, message }) => {
    lines.push({
      level: logLevel,
      text: String(message),
      annotations: fiber.getRef(References.CurrentLogAnnotations)
    })
  })
  return { lines, layer: Logger.layer([logger]) }
}

const untimed = { label: "db", timeLeft: () => Infinity }

/** Waits until the store says so. */
const until = (
  from: RedisBudget.RedisBudget,
  holds: (snapshot: RedisBudget.Snapshot) => boolean
): Effect.Effect<RedisBudget.Snapshot> =>
  Effect.orDie(Effect.repeat(Effect.tap(from.inspect, () => Effect.sleep("5 millis")), { until: holds }))

withRedis("RedisBudget", () => {
  it.live("gives a permit back when its store is there again, without a further call", () =>
    Effect.gen(function*() {
      const { key } = yield* fresh
      const proxy = yield* FaultProxy.make(Endpoint.tcp("127.0.0.1", ports.Redis))
      const options = { key, connections: 1, onStoreError: "fail" } as const
      const own = yield* budget({ ...options, port: proxy.endpoint.port })
      const other = yield* budget({ ...options, port: ports.Redis })
      yield* during(own, () => Effect.andThen(proxy.refuse, proxy.reset))
      // Longer than the time between two steps in which it keeps its permits.
      yield* Effect.sleep("2500 millis")
      assert.strictEqual((yield* other.inspect).used, 1)
      yield* proxy.accept
      // Its lease would end only after a minute.
      yield* until(other, ({ used }) => used === 0)
    }), 20_000)

  it.live("waits for the first connection for longer than for a call, and for each later one no longer", () =>
    Effect.gen(function*() {
      const { key } = yield* fresh
      const proxy = yield* FaultProxy.make(Endpoint.tcp("127.0.0.1", ports.Redis))
      yield* proxy.freeze
      const { port } = proxy.endpoint
      const options = { key, port, connections: 2, storeTimeout: "100 millis", onStoreError: "fail" } as const
      const own = yield* budget({ ...options, connectTimeout: "20 seconds" })
      const first = yield* fork(Effect.all([take(own), take(own)], { concurrency: "unbounded" }))
      yield* Effect.sleep("500 millis")
      yield* proxy.thaw
      yield* Fiber.join(first)
      yield* proxy.freeze
      const error = yield* Effect.flip(take(own))
      assert.include(error.message, "its store has not answered within 100ms")
    }))

  it.live("decides without a store that accepts no connection, before its borrower has run out of time", () =>
    Effect.gen(function*() {
      const { key } = yield* fresh
      const proxy = yield* FaultProxy.make(Endpoint.tcp("127.0.0.1", ports.Redis))
      yield* proxy.freeze
      const own = yield* budget({ key, port: proxy.endpoint.port, connections: 1, storeTimeout: "100 millis" })
      const began = performance.now()
      const request = { label: "db", timeLeft: () => 1000 + began - performance.now() }
      assert.isUndefined((yield* Effect.scoped(own.take(request))).token)
      // Half of what the borrower has left, so that there is time to connect to the server.
      assert.isAtLeast(performance.now() - began, 490)
      // It is asked again when it accepts connections.
      yield* proxy.thaw
      yield* Effect.sleep("1100 millis")
      assert.isString((yield* take(own)).permit.token)
    }))

  it.live("does not take a store for slow while its own process does not run", () =>
    Effect.gen(function*() {
      const { key } = yield* fresh
      const proxy = yield* FaultProxy.make(Endpoint.tcp("127.0.0.1", ports.Redis))
      const { port } = proxy.endpoint
      const own = yield* budget({ key, port, connections: 2, storeTimeout: "100 millis", onStoreError: "fail" })
      yield* take(own)
      yield* proxy.freeze
      const second = yield* fork(take(own))
      // Three times as long as a call may take, of which the process runs for a tenth.
      for (let spent = 0; spent < 300; spent += 60) {
        stall(60)
        yield* Effect.sleep(1)
      }
      yield* proxy.thaw
      assert.isString((yield* Fiber.join(second)).permit.token)
    }))

  it.live("asks a second time before it decides without a store that has not answered", () =>
    Effect.gen(function*() {
      const { key } = yield* fresh
      const proxy = yield* FaultProxy.make(Endpoint.tcp("127.0.0.1", ports.Redis))
      const { port } = proxy.endpoint
      const own = yield* budget({ key, port, connections: 2, storeTimeout: "500 millis" })
      yield* take(own)
      yield* proxy.freeze
      const second = yield* fork(take(own))
      yield* Effect.sleep("750 millis")
      yield* proxy.thaw
      assert.isString((yield* Fiber.join(second)).permit.token)
      assert.deepInclude(yield* own.inspect, { used: 2, waiting: 0 })
    }))

  it.live("waits for the first connection although an earlier borrower had no time for that", () =>
    Effect.gen(function*() {
      const { key } = yield* fresh
      const proxy = yield* FaultProxy.make(Endpoint.tcp("127.0.0.1", ports.Redis))
      yield* proxy.freeze
      const options = { key, port: proxy.endpoint.port, connections: 1, onStoreError: "fail" } as const
      const own = yield* budget({ ...options, connectTimeout: "20 seconds" })
      const error = yield* Effect.flip(Effect.scoped(own.take({ label: "db", timeLeft: () => 100 })))
      assert.include(error.message, "no connection to its store was opened within 50ms")
      const patient = yield* fork(take(own))
      yield* Effect.sleep("200 millis")
      yield* proxy.thaw
      assert.isString((yield* Fiber.join(patient)).permit.token)
    }))

  it.live("decides at once without a store whose port refuses connections", () =>
    Effect.gen(function*() {
      const { key } = yield* fresh
      const proxy = yield* FaultProxy.make(Endpoint.tcp("127.0.0.1", ports.Redis))
      yield* proxy.refuse
      const own = yield* budget({ key, port: proxy.endpoint.port, connections: 1, connectTimeout: "15 seconds" })
      const began = performance.now()
      assert.isUndefined((yield* Effect.scoped(own.take(untimed))).token)
      // A third of the time that a silent store has, because machines of tests are busy.
      assert.isBelow(performance.now() - began, 5000)
      yield* proxy.accept
      yield* Effect.sleep("1500 millis")
      assert.isString((yield* take(own)).permit.token)
    }))

  it.live("logs once that its store is away and what holds meanwhile, and once that it is back", () => {
    const { layer, lines } = logged()
    return Effect.gen(function*() {
      const { key } = yield* fresh
      const proxy = yield* FaultProxy.make(Endpoint.tcp("127.0.0.1", ports.Redis))
      const { port } = proxy.endpoint
      const own = yield* budget({ key, port, connections: 8, maxInstances: 2, lease: "1 second" })
      yield* take(own)
      yield* Effect.andThen(proxy.refuse, proxy.reset)
      for (let index = 0; index < 3; index++) yield* take(own)
      assert.instanceOf(yield* Effect.flip(take(own)), ConnectionBudget.BudgetError)
      // Renewals fail as well.
      yield* Effect.sleep("2500 millis")
      assert.strictEqual(lines.length, 1, inspect(lines))
      const [down] = lines
      const text = `RedisBudget ${key}: its store 127.0.0.1:${port} is down: `
      assert.isTrue(down?.text.startsWith(text), down?.text)
      assert.include(down?.text, "; until it is back, this process may have 4 permits (limit 8, maxInstances 2)")
      assert.include(down, { level: "Warn" })
      assert.include(down?.annotations, {
        "sluice.budget": key,
        "server.address": "127.0.0.1",
        "server.port": port
      })
      assert.match(String(down?.annotations["error.type"]), /^ECONN(RESET|REFUSED)$/)
      yield* proxy.accept
      // All of them have got a lease.
      yield* until(yield* budget({ key, connections: 8 }), ({ used }) => used === 4)
      yield* Effect.sleep("10 millis")
      assert.strictEqual(lines.length, 2, inspect(lines))
      const [, back] = lines
      assert.match(back?.text ?? "", / is back after .*; 3 permits were given without it$/)
      assert.include(back, { level: "Info" })
      assert.isAtLeast(Number(back?.annotations["sluice.outage.duration"]), 2500)
    }).pipe(Effect.provide(layer))
  })

  it.live("logs the error that its store answers with", () => {
    const { layer, lines } = logged()
    return Effect.gen(function*() {
      const { client, key } = yield* fresh
      yield* Effect.promise(() => client.set(`{${key}}:state`, "a text"))
      const own = yield* budget({ key, connections: 1, onStoreError: "allow" })
      for (let index = 0; index < 3; index++) assert.isUndefined((yield* take(own)).permit.token)
      assert.strictEqual(lines.length, 1, inspect(lines))
      const text = `RedisBudget ${key}: its store 127.0.0.1:${ports.Redis} serves no borrower: WRONGTYPE `
      assert.isTrue(lines[0]?.text.startsWith(text), lines[0]?.text)
      assert.include(lines[0]?.text, "; until it is back, connections are opened without a limit of the budget")
      assert.include(lines[0]?.annotations, { "error.type": "WRONGTYPE" })
    }).pipe(Effect.provide(layer))
  })

  it.live("logs that its first connection could not be opened", () => {
    const { layer, lines } = logged()
    return Effect.gen(function*() {
      const { key } = yield* fresh
      const proxy = yield* FaultProxy.make(Endpoint.tcp("127.0.0.1", ports.Redis))
      yield* proxy.refuse
      const own = yield* budget({ key, port: proxy.endpoint.port, connections: 1, onStoreError: "fail" })
      yield* Effect.flip(take(own))
      yield* proxy.accept
      yield* Effect.sleep("1100 millis")
      yield* take(own)
      assert.deepStrictEqual(lines.map(({ level }) => level), ["Warn", "Info"], inspect(lines))
      const { port } = proxy.endpoint
      assert.include(lines[0]?.text, `:${port} is down: connect failed: connect ECONNREFUSED 127.0.0.1:${port}; `)
      assert.include(lines[0]?.annotations, { "error.type": "ECONNREFUSED" })
      assert.include(lines[0]?.text, "; until it is back, no permit is given")
      assert.include(lines[1]?.text, "; 0 permits were given without it")
    }).pipe(Effect.provide(layer))
  })

  for (const way of ["when it takes a permit", "when it renews its leases"] as const) {
    it.live(`learns of the limit that an operator has set ${way}, and has its share of that without the store`, () =>
      Effect.gen(function*() {
        const { key } = yield* fresh
        const proxy = yield* FaultProxy.make(Endpoint.tcp("127.0.0.1", ports.Redis))
        const options = { key, connections: 8, maxInstances: 2, lease: "1 second" } as const
        const own = yield* budget({ ...options, port: proxy.endpoint.port })
        const operator = yield* budget(options)
        const setLimit = operator.setLimit(4)
        if (way === "when it takes a permit") yield* setLimit
        yield* take(own)
        if (way === "when it renews its leases") yield* Effect.andThen(setLimit, Effect.sleep("900 millis"))
        yield* Effect.andThen(proxy.refuse, proxy.reset)
        assert.isUndefined((yield* take(own)).permit.token)
        assert.instanceOf(yield* Effect.flip(take(own)), ConnectionBudget.BudgetError)
      }))
  }

  it.live("gives at most as many permits as the limit to all processes, and the next one when one comes back", () =>
    Effect.gen(function*() {
      const { key } = yield* fresh
      const [one, two] = [yield* budget({ key, connections: 2 }), yield* budget({ key, connections: 2 })]
      const first = yield* take(one)
      const second = yield* take(two)
      const third = yield* fork(take(two))
      const snapshot = yield* until(one, ({ waiting }) => waiting === 1)
      assert.deepInclude(snapshot, { limit: 2, isLimitSet: false, used: 2, held: 2, waiting: 1 })
      assert.sameMembers(snapshot.holders.map(({ token }) => token), [first.permit.token, second.permit.token])
      assert.strictEqual(snapshot.holders[0]?.label, "db:5432")
      yield* first.giveBack
      const { giveBack, permit } = yield* Fiber.join(third)
      assert.isAbove(parseInt(permit.token ?? "", 36), parseInt(second.permit.token ?? "", 36))
      yield* Effect.all([second.giveBack, giveBack])
      assert.deepInclude(yield* one.inspect, { used: 0, held: 0, waiting: 0 })
    }))

  for (const wake of ["subscribe", "poll"] as const) {
    it.live(`serves in the order of arrival, over several processes (${wake})`, () =>
      Effect.gen(function*() {
        const { key } = yield* fresh
        const all = yield* Effect.replicateEffect(budget({ key, connections: 1, wake }), 3)
        const first = yield* take(all[0] ?? assert.fail())
        const order: Array<number> = []
        const waiters: Array<Fiber.Fiber<unknown, ConnectionBudget.BudgetError>> = []
        for (let index = 0; index < 9; index++) {
          const from = all[index % 3] ?? assert.fail()
          waiters.push(
            yield* fork(
              Effect.flatMap(take(from), ({ giveBack }) => {
                order.push(index)
                return giveBack
              })
            )
          )
          yield* until(from, ({ waiting }) => waiting === index + 1)
        }
        yield* first.giveBack
        yield* Fiber.joinAll(waiters)
        assert.deepStrictEqual(order, [0, 1, 2, 3, 4, 5, 6, 7, 8])
      }))
  }

  it.live("asks once when a connection is opened, once when it is closed, and never for a borrow", () =>
    Effect.gen(function*() {
      const { key } = yield* fresh
      const own = yield* budget({ key, connections: 2, wake: "poll" })
      let asked = 0
      const counting: ConnectionBudget.ConnectionBudget = {
        take: (request) => Effect.tap(own.take(request), () => Effect.sync(() => asked++))
      }
      yield* Effect.gen(function*() {
        const pool = yield* ConnectionPool.make({
          connector: { open: () => Effect.succeed({}), isReusable: () => true } as never
        })
        for (let index = 0; index < 20; index++) yield* ConnectionPool.use(pool, "a", () => Effect.void)
        assert.strictEqual((yield* own.inspect).used, 1)
      }).pipe(
        Effect.scoped,
        Effect.provideService(ConnectionBudget.ConnectionBudget, counting),
        Effect.provide(ResourceMonitor.layerUnlimited)
      )
      assert.strictEqual(asked, 1)
      assert.strictEqual((yield* own.inspect).used, 0)
    }))

  it.live("forgets a waiter that is interrupted, and gives its place to the next", () =>
    Effect.gen(function*() {
      const { key } = yield* fresh
      const own = yield* budget({ key, connections: 1 })
      const first = yield* take(own)
      const gone = yield* fork(take(own))
      yield* until(own, ({ waiting }) => waiting === 1)
      const next = yield* fork(take(own))
      yield* until(own, ({ waiting }) => waiting === 2)
      yield* Fiber.interrupt(gone)
      yield* until(own, ({ waiting }) => waiting === 1)
      yield* first.giveBack
      yield* (yield* Fiber.join(next)).giveBack
    }))

  it.live("takes several permits at once, which smaller requests do not pass, and refuses more than there are", () =>
    Effect.gen(function*() {
      const { key } = yield* fresh
      const own = yield* budget({ key, connections: 3 })
      const request = { label: "db", timeLeft: () => Infinity }
      const first = yield* take(own)
      const second = yield* take(own)
      const many = yield* fork(Effect.scoped(Effect.as(own.takeMany({ ...request, permits: 3 }), "many")))
      yield* until(own, ({ waiting }) => waiting === 1)
      const small = yield* fork(take(own))
      yield* until(own, ({ used, waiting }) => waiting === 2 && used === 2)
      yield* first.giveBack
      assert.deepInclude(yield* own.inspect, { used: 1, waiting: 2 })
      yield* second.giveBack
      assert.strictEqual(yield* Fiber.join(many), "many")
      yield* (yield* Fiber.join(small)).giveBack
      const error = yield* Effect.flip(Effect.scoped(own.takeMany({ ...request, permits: 4 })))
      assert.include(error.message, "4 at once are more than its limit, which is 3")
    }))

  it.live("takes nothing from holders when the limit is lowered, and serves those that wait when it is raised", () =>
    Effect.gen(function*() {
      const { key } = yield* fresh
      const own = yield* budget({ key, connections: 3 })
      const held = yield* Effect.replicateEffect(take(own), 3)
      assert.strictEqual(yield* own.setLimit(1), 1)
      const waiting = yield* fork(take(own))
      yield* until(own, (snapshot) => snapshot.waiting === 1)
      yield* held[0]?.giveBack ?? Effect.void
      yield* held[1]?.giveBack ?? Effect.void
      assert.deepInclude(yield* own.inspect, { limit: 1, isLimitSet: true, used: 1, waiting: 1 })
      yield* own.setLimit(2)
      yield* (yield* Fiber.join(waiting)).giveBack
      assert.strictEqual(yield* own.setLimit(undefined), 3)
    }))

  for (const wake of ["subscribe", "poll"] as const) {
    it.live(`lets requests wait in their order while the limit is 0 (${wake})`, () =>
      Effect.gen(function*() {
        const { key } = yield* fresh
        const own = yield* budget({ key, connections: 1, wake })
        const first = yield* take(own)
        const order: Array<number> = []
        const waiters: Array<Fiber.Fiber<unknown, ConnectionBudget.BudgetError>> = []
        const wait = Effect.gen(function*() {
          const index = waiters.length
          const served = Effect.sync(() => order.push(index))
          waiters.push(yield* fork(Effect.flatMap(take(own), ({ giveBack }) => Effect.andThen(served, giveBack))))
          yield* until(own, ({ waiting }) => waiting === index + 1)
        })
        yield* wait
        assert.strictEqual(yield* own.setLimit(0), 0)
        yield* first.giveBack
        yield* wait
        yield* wait
        // Each of them has asked again by then.
        yield* Effect.sleep("2200 millis")
        assert.deepInclude(yield* own.inspect, { limit: 0, used: 0, waiting: 3 })
        yield* own.setLimit(undefined)
        yield* Fiber.joinAll(waiters)
        assert.deepStrictEqual(order, [0, 1, 2])
      }))
  }

  it.live("has no share of a limit of 0 without the store, and has one when the limit was raised", () =>
    Effect.gen(function*() {
      const { key } = yield* fresh
      const proxy = yield* FaultProxy.make(Endpoint.tcp("127.0.0.1", ports.Redis))
      const own = yield* budget({ key, connections: 4, maxInstances: 2, port: proxy.endpoint.port })
      const operator = yield* budget({ key, connections: 4 })
      yield* operator.setLimit(0)
      const waiting = yield* fork(take(own))
      yield* until(operator, (snapshot) => snapshot.waiting === 1)
      yield* Effect.andThen(proxy.refuse, proxy.reset)
      const asking = Effect.flip(take(own))
      assert.instanceOf(yield* asking, ConnectionBudget.BudgetError)
      yield* Fiber.interrupt(waiting)
      yield* operator.setLimit(4)
      yield* proxy.accept
      // Until the store is asked again.
      yield* Effect.sleep("1500 millis")
      yield* take(own)
      yield* Effect.andThen(proxy.refuse, proxy.reset)
      assert.isUndefined((yield* take(own)).permit.token)
    }))

  it.live("gives the permit of a holder that has died to the next when its lease is over", () =>
    Effect.gen(function*() {
      const { client, key } = yield* fresh
      const own = yield* budget({ key, connections: 1, invocation: Effect.succeed("500 millis"), lease: "1 second" })
      // A holder that is not there any more: its id is in no process.
      const dead = yield* take(own)
      const began = performance.now()
      const { giveBack } = yield* take(yield* budget({ key, connections: 1 }))
      assert.isAtLeast(performance.now() - began, 1200)
      assert.isAtMost(performance.now() - began, 4000)
      // The lease has ended for its holder before that.
      yield* dead.permit.lost ?? Effect.void
      yield* Effect.all([dead.giveBack, giveBack])
      assert.strictEqual(yield* Effect.promise(() => client.zCard(`{${key}}:held`)), 0)
    }))

  it.live("renews leases, and says that one is lost which the store has given away", () =>
    Effect.gen(function*() {
      const { client, key } = yield* fresh
      const own = yield* budget({ key, connections: 1, lease: "1 second" })
      const { giveBack, permit } = yield* take(own)
      const lost = yield* Deferred.make<void>()
      yield* fork(Effect.andThen(permit.lost ?? Effect.never, Deferred.succeed(lost, undefined)))
      yield* Effect.sleep("2500 millis")
      assert.isFalse(Deferred.isDoneUnsafe(lost))
      assert.strictEqual((yield* own.inspect).holders[0]?.token, permit.token)
      const [holder] = (yield* own.inspect).holders
      yield* Effect.promise(() => client.zRem(`{${key}}:held`, holder?.id ?? ""))
      yield* Deferred.await(lost)
      yield* giveBack
    }))

  it.live("gives each of two processes with the same holder id its own permits", () =>
    Effect.gen(function*() {
      const { key } = yield* fresh
      const cloned = Effect.provideService(HolderId, "same/0")
      const [one, two] = [yield* budget({ key, connections: 2 }), yield* budget({ key, connections: 2 })]
      const held = [yield* cloned(take(one)), yield* cloned(take(two))]
      assert.strictEqual(new Set(held.map(({ permit }) => permit.token)).size, 2)
      const waiting = [yield* fork(cloned(take(one))), yield* fork(cloned(take(two)))]
      yield* until(one, (snapshot) => snapshot.waiting === 2)
      for (const { giveBack } of held) yield* giveBack
      const next = yield* Fiber.joinAll(waiting)
      assert.strictEqual(new Set(next.map(({ permit }) => permit.token)).size, 2)
      assert.strictEqual((yield* one.inspect).used, 2)
      for (const { giveBack } of next) yield* giveBack
    }))

  it.live("needs two scripts for a connection", () =>
    Effect.gen(function*() {
      const { client, key } = yield* fresh
      const own = yield* budget({ key, connections: 1 })
      yield* (yield* take(own)).giveBack
      // Other tests use the server too, so the least of several differences counts.
      const costs: Array<number> = []
      for (let index = 0; index < 10; index++) {
        const before = yield* evals(client)
        yield* (yield* take(own)).giveBack
        costs.push((yield* evals(client)) - before)
      }
      assert.strictEqual(Math.min(...costs), 2)
    }))

  it.live("says how long a permit outlives its process, or the end of its invocation", () =>
    Effect.gen(function*() {
      const options = { key: "a", connections: 1 } as const
      const invocation = Effect.succeed("1 second" as const)
      assert.strictEqual((yield* budget({ ...options, lease: "7 seconds" })).lease, 7000)
      assert.strictEqual((yield* budget({ ...options, lease: "7 seconds", invocation })).lease, 7000)
      assert.strictEqual((yield* budget({ ...options, invocation })).lease, 60_000)
    }))

  it.effect("refuses options that make no sense", () =>
    Effect.gen(function*() {
      const bad: ReadonlyArray<readonly [string, Partial<RedisBudget.Options>]> = [
        ["key", { key: "a {b}" }],
        ["connections", { connections: 0 }],
        ["lease", { lease: "1 millis" }],
        ["lease", { lease: "25 hours", invocation: Effect.succeed("1 second") }],
        ["invocation", { invocation: "1 second" as never }],
        ["maxInstances", { maxInstances: 0 }],
        ["storeTimeout", { storeTimeout: 0 }],
        ["connectTimeout", { connectTimeout: 0 }],
        ["onStoreError", { onStoreError: "wait" as never }],
        ["wake", { wake: "never" as never }]
      ]
      for (const [option, options] of bad) {
        const exit = yield* Effect.exit(Effect.scoped(budget({ key: "a", connections: 1, ...options })))
        assert.include(String(Exit.isFailure(exit) && exit.cause), `RedisBudget: option ${option} `)
      }
      const layer = RedisBudget.layerConfig({ key: Config.succeed("a"), connections: Config.Int("CONNECTIONS") }).pipe(
        Layer.provide([
          ResourceMonitor.layerUnlimited,
          ConfigProvider.layer(ConfigProvider.fromUnknown({ CONNECTIONS: "0" }))
        ])
      )
      const error = yield* Effect.flip(Effect.scoped(Layer.build(layer)))
      assert.include(error.message, "RedisBudget: option connections is 0")
    }))
})

withRedis("a divided budget", () => {
  /** A pool of connections whose number of closed ones is known. */
  const pooled = (own: ConnectionBudget.ConnectionBudget, closed: Array<string | undefined> = []) =>
    Effect.provideService(
      ConnectionPool.make({
        connector: Connector.make({
          open: () =>
            Effect.flatMap(ConnectionBudget.CurrentPermit, (permit) =>
              Effect.acquireRelease(
                Effect.succeed(permit?.token),
                (token) => Effect.sync(() => closed.push(token))
              ))
        })
      }),
      ConnectionBudget.ConnectionBudget,
      own
    )

  it.live("takes all permits with the first connection, and gives them back with the last one", () =>
    Effect.gen(function*() {
      const { key } = yield* fresh
      const fleet = yield* budget({ key, connections: 3, lease: "7 seconds" })
      const own = yield* fleet.divide(2)
      assert.strictEqual(own.lease, 7000)
      assert.deepInclude(yield* fleet.inspect, { used: 0, held: 0 })
      const together = yield* Effect.all([take(own), take(own)], { concurrency: "unbounded" })
      const [holder] = (yield* fleet.inspect).holders
      assert.deepInclude(holder, { weight: 2, label: "db:5432" })
      assert.strictEqual(together[0].permit.token, holder?.token)
      assert.strictEqual(together[1].permit.token, holder?.token)
      // There is no third part, although the store has a third permit.
      const third = yield* fork(take(own))
      yield* Effect.sleep("200 millis")
      assert.isUndefined(third.pollUnsafe())
      yield* together[0].giveBack
      const next = yield* Fiber.join(third)
      assert.strictEqual(next.permit.token, holder?.token)
      yield* next.giveBack
      assert.deepInclude(yield* fleet.inspect, { used: 2, held: 1 })
      yield* together[1].giveBack
      assert.deepInclude(yield* fleet.inspect, { used: 0, held: 0 })
      assert.notStrictEqual((yield* take(own)).permit.token, holder?.token)
    }).pipe(Effect.scoped))

  it.live(
    "closes all connections whose lease is lost, and takes permits again for the next one",
    () =>
      Effect.gen(function*() {
        const { client, key } = yield* fresh
        const fleet = yield* budget({ key, connections: 3, lease: "1 second" })
        const closed: Array<string | undefined> = []
        const pool = yield* pooled(yield* fleet.divide(3), closed)
        const use = Effect.forEach(["a", "b"], (name) => ConnectionPool.use(pool, name, Effect.succeed))
        const tokens = yield* use
        assert.strictEqual(new Set(tokens).size, 1)
        yield* Effect.promise(() => client.del([`{${key}}:held`, `{${key}}:info`, `{${key}}:state`]))
        yield* Effect.repeat(Effect.andThen(Effect.sleep("10 millis"), ConnectionPool.stats(pool)), {
          until: ({ total }) => total === 0
        })
        assert.deepStrictEqual(closed, tokens)
        const again = yield* use
        assert.strictEqual(new Set(again).size, 1)
        assert.notInclude(tokens, again[0])
        assert.deepInclude(yield* fleet.inspect, { used: 3, held: 1 })
      }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerUnlimited)),
    20_000
  )

  it.live("lets the next request ask when one has failed or was interrupted, and gives all back at its end", () =>
    Effect.gen(function*() {
      const { key } = yield* fresh
      const fleet = yield* budget({ key, connections: 2 })
      const other = yield* take(fleet)
      const ended = yield* Effect.scoped(Effect.gen(function*() {
        const own = yield* fleet.divide(2)
        const first = yield* fork(take(own))
        yield* until(fleet, ({ waiting }) => waiting === 1)
        const second = yield* fork(take(own))
        yield* Fiber.interrupt(first)
        yield* until(fleet, ({ waiting }) => waiting === 1)
        yield* fleet.setLimit(1)
        assert.include((yield* Effect.flip(Fiber.join(second))).message, "2 at once are more than its limit")
        yield* fleet.setLimit(3)
        const third = yield* Fiber.join(yield* fork(take(own)))
        assert.deepInclude(yield* fleet.inspect, { used: 3, waiting: 0 })
        return third
      }))
      assert.deepInclude(yield* fleet.inspect, { used: 1, waiting: 0 })
      yield* Effect.all([ended.giveBack, other.giveBack])
      const refused = yield* Effect.exit(Effect.scoped(fleet.divide(0)))
      assert.include(String(Exit.isFailure(refused) && refused.cause), "RedisBudget: option permits is 0")
    }).pipe(Effect.scoped))
})

withRedis("a function with a budget", () => {
  it.live("gives its permit back with the connection, and keeps that to the store for its next invocation", () =>
    Effect.gen(function*() {
      const { client, key } = yield* fresh
      class Databases extends ConnectionPool.Service<Databases>()("test/Databases", {
        connector: Connector.make({ open: () => Effect.succeed({}) }),
        ...ConnectionPool.serverless
      }) {}
      const own = RedisBudget.layer({ key, connections: 1, clientName: key, wake: "poll", storeTimeout: "2 seconds" })
      const handler = Lambda.handler({
        layer: Databases.layer.pipe(Layer.provide(own), Layer.provide(ResourceMonitor.layerUnlimited)),
        handle: () => Databases.withConnection("db", () => Effect.promise(() => client.zCard(`{${key}}:held`)))
      })
      yield* Effect.addFinalizer(() => Effect.promise(handler.close))
      // Only this is used of it.
      const context = { getRemainingTimeInMillis: () => 5000 } as Lambda.LambdaContext
      const sessions = Effect.map(
        Effect.promise(() => client.sendCommand<string>(["CLIENT", "LIST"])),
        (text) => text.split("\n").filter((line) => line.includes(`name=${key} `)).map((line) => line.split(" ")[0])
      )
      const found: Array<ReadonlyArray<string | undefined>> = []
      for (let invocation = 0; invocation < 3; invocation++) {
        assert.strictEqual(yield* Effect.promise(() => handler({}, context)), 1)
        assert.strictEqual(yield* Effect.promise(() => client.zCard(`{${key}}:held`)), 0)
        found.push(yield* sessions)
      }
      assert.deepStrictEqual(found.map((each) => each.length), [1, 1, 1])
      assert.strictEqual(new Set(found.flat()).size, 1)
    }))
})

withBoth("a function whose permits last for an invocation", () => {
  it.live("can be interrupted while the time of its invocation is asked for", () =>
    Effect.gen(function*() {
      const { key } = yield* fresh
      const own = yield* budget({ port: ports.Redis, key, connections: 1, invocation: Effect.never })
      const taking = yield* fork(Effect.scoped(own.take(untimed)))
      yield* Effect.sleep("20 millis")
      yield* Fiber.interrupt(taking)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(taking)))
    }), 5000)

  it.live("has a lease until its end and for the time that the server needs, and warns if that is too short", () =>
    Effect.gen(function*() {
      const { client, key } = yield* fresh
      const warnings: Array<string> = []
      const make = (lease: RedisBudget.Options["lease"]) =>
        Lambda.handler({
          layer: Postgres.layer({
            url: Redacted.make(`postgres://postgres@127.0.0.1:${ports.PostgreSQL}/postgres`),
            maxConnections: 1,
            idleTimeout: "5 seconds",
            guardRails: { statement: "10 seconds", idleSession: "12 seconds", idleInTransaction: "6 seconds" }
          }).pipe(
            Layer.provide(RedisBudget.layer({ key, connections: 1, invocation: Lambda.remaining, lease })),
            Layer.provide(ResourceMonitor.layerUnlimited),
            Layer.provide(Logger.layer([Logger.make(({ message }) => void warnings.push(String(message)))]))
          ),
          handle: () =>
            Effect.gen(function*() {
              const sql = yield* SqlClient
              yield* sql`select 1`
              const [time] = yield* Effect.promise(() => client.sendCommand<Array<string>>(["TIME"]))
              const [held] = yield* Effect.promise(() => client.zRangeWithScores(`{${key}}:held`, 0, -1))
              return (held?.score ?? 0) / 1000 - Number(time)
            })
        })
      // Only this is used of it.
      const context = { getRemainingTimeInMillis: () => 40_000 } as Lambda.LambdaContext
      const long = make("24 seconds")
      assert.closeTo(yield* Effect.promise(() => long({}, context)), 64, 10)
      yield* Effect.promise(long.close)
      assert.deepStrictEqual(warnings, [])
      const short = make("23 seconds")
      yield* Effect.promise(() => short({}, context))
      yield* Effect.promise(short.close)
      assert.lengthOf(warnings, 1)
      assert.include(warnings[0], "the lease is 23000ms, guardRails.statement 10000ms, guardRails.idleSession 12000ms")
      assert.strictEqual(yield* Effect.promise(() => client.zCard(`{${key}}:held`)), 0)
    }))
})

withBoth("the token of a permit", () => {
  it.live("is in the name of the session, of both clients of PostgreSQL, and in none without a budget", () =>
    Effect.gen(function*() {
      const { key } = yield* fresh
      const own = yield* budget({ key, connections: 2 })
      const name = (sql: SqlClient) => sql<{ name: string }>`select current_setting('application_name') as name`
      const connection = { host: "127.0.0.1", username: "postgres", database: "postgres", applicationName: "shop" }
      const asked = Effect.flatMap(SqlClient, name).pipe(
        Effect.provide(Layer.provide(Layer.fresh(Postgres.layer(connection)), ResourceMonitor.layerUnlimited))
      )
      const within = Effect.provideService(ConnectionBudget.ConnectionBudget, own)
      assert.match((yield* within(asked))[0]?.name ?? "", /^shop \[sluice:[0-9a-z]{10}\]$/)
      assert.strictEqual((yield* asked)[0]?.name, "shop")
      const byPg = Effect.gen(function*() {
        const pool = yield* ConnectionPool.make({
          connector: NodePostgres.connector({
            connectionString: "postgres://postgres@x/postgres?application_name=shop"
          })
        })
        return yield* ConnectionPool.use(
          pool,
          Endpoint.tcp("127.0.0.1", 5432),
          (client) => Effect.tryPromise(() => client.query("select current_setting('application_name') as name"))
        )
      }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerUnlimited))
      assert.match((yield* within(byPg)).rows[0].name, /^shop \[sluice:[0-9a-z]{10}\]$/)
      assert.strictEqual((yield* byPg).rows[0].name, "shop")
    }))
})
