import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as Endpoint from "effect-sluice/Endpoint"
import * as Operations from "effect-sluice/Operations"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { ScriptedConnector } from "effect-sluice/Testing"
import { TestClock } from "effect/testing"
import { fork, settle } from "../support/Pools.ts"
import { collect, type Logged, withOperations } from "./Program.ts"

const refused = Effect.suspend(() => Effect.fail(new ScriptedConnector.ScriptedFailure("ECONNREFUSED")))

/** A pool that always has a borrower for its endpoint. */
const busy = (scripted: ScriptedConnector.ScriptedConnector, options: object = {}) =>
  Effect.gen(function*() {
    const pool = yield* ConnectionPool.make({
      name: "orders",
      connector: scripted.connector,
      maxPerEndpoint: 1,
      maxRedialDelay: "100 millis",
      ...options
    })
    const request = ConnectionPool.use(pool, "db", () => Effect.sleep("10 millis"))
    yield* Effect.forkScoped(Effect.forever(Effect.exit(request)), { startImmediately: true })
    yield* TestClock.adjust("1 second")
    return pool
  })

const fail = (scripted: ScriptedConnector.ScriptedConnector) =>
  Effect.gen(function*() {
    scripted.steps.open = () => refused
    for (const connection of scripted.ledger.live) yield* scripted.kill(connection)
  })

const cure = (scripted: ScriptedConnector.ScriptedConnector) =>
  Effect.sync(() => void (scripted.steps.open = () => Effect.void))

const shown = (lines: ReadonlyArray<Logged>) => lines.map(({ level, text }) => `${level} ${text}`)

describe("the log of outages", () => {
  it.effect("has one line when an endpoint goes down and one when it is back, with annotations", () => {
    const { layer, lines } = collect()
    const scripted = ScriptedConnector.make()
    return Effect.gen(function*() {
      yield* busy(scripted)
      assert.lengthOf(lines, 0)
      yield* fail(scripted)
      yield* TestClock.adjust("5 seconds")
      yield* cure(scripted)
      yield* TestClock.adjust("5 seconds")
      assert.match(
        shown(lines)[0] ?? "",
        /^Warn ConnectionPool orders: db is down: scripted ECONNREFUSED; 1 borrower waits$/
      )
      assert.match(
        shown(lines)[1] ?? "",
        /^Info ConnectionPool orders: db is back after 5s; \d\d attempts to connect and \d+ borrowers failed$/
      )
      assert.lengthOf(lines, 2)
      assert.deepStrictEqual(lines[0]?.annotations, {
        "db.client.connection.pool.name": "orders",
        "sluice.pool.endpoint": "db",
        "sluice.waiting": 1,
        "error.type": "ECONNREFUSED"
      })
      assert.hasAllKeys(lines[1]?.annotations, [
        "db.client.connection.pool.name",
        "sluice.pool.endpoint",
        "sluice.outage.duration",
        "sluice.outage.failed_attempts",
        "sluice.outage.failed_borrows"
      ])
    }).pipe(withOperations(), Effect.provide(layer))
  })

  it.effect("of an endpoint that flaps for a minute is bounded, and says how much was left out", () => {
    const { layer, lines } = collect()
    const scripted = ScriptedConnector.make()
    return Effect.gen(function*() {
      yield* busy(scripted)
      for (let second = 0; second < 60; second++) {
        yield* fail(scripted)
        yield* TestClock.adjust("500 millis")
        yield* cure(scripted)
        yield* TestClock.adjust("500 millis")
      }
      yield* TestClock.adjust("5 seconds")
      assert.lengthOf(lines.filter(({ level }) => level === "Warn"), 4)
      assert.lengthOf(lines.filter(({ level }) => level === "Info"), 3)
      assert.match(
        lines.at(-1)?.text ?? "",
        /^ConnectionPool orders: db was down 5\d more times in the last 1m( \d+\w+)*, for .*; these outages were not logged; /
      )
      const before = lines.length
      yield* TestClock.adjust("10 minutes")
      assert.lengthOf(lines, before)
      yield* fail(scripted)
      yield* TestClock.adjust("1 second")
      assert.lengthOf(lines, before + 1, "an outage after that has its line")
      yield* cure(scripted)
      yield* TestClock.adjust("1 second")
    }).pipe(withOperations(), Effect.provide(layer))
  })

  it.effect("has one line when a pool ends while its endpoint is down", () => {
    const { layer, lines } = collect()
    const scripted = ScriptedConnector.make()
    return Effect.gen(function*() {
      const scope = yield* Scope.make()
      yield* Scope.provide(busy(scripted), scope)
      yield* fail(scripted)
      yield* TestClock.adjust("1 second")
      yield* Scope.close(scope, Exit.void)
      yield* settle
      assert.deepStrictEqual(shown(lines).slice(1), [
        "Info ConnectionPool orders: the pool has ended while 1 endpoint of it was down (db)"
      ])
    }).pipe(withOperations(), Effect.provide(layer))
  })

  it.effect("has no such line when Operations ends and the pool goes on", () => {
    const { layer, lines } = collect()
    const scripted = ScriptedConnector.make()
    return Effect.gen(function*() {
      yield* busy(scripted)
      yield* Effect.provide(
        Effect.andThen(fail(scripted), TestClock.adjust("1 second")),
        Layer.fresh(Operations.layerOptions({ scope: "context" }))
      )
      yield* settle
      assert.deepStrictEqual(lines.map(({ level }) => level), ["Warn"])
    }).pipe(withOperations({ logs: false }), Effect.provide(layer))
  })

  it.effect("has one line when an endpoint that was down is not used any more", () => {
    const { layer, lines } = collect()
    const scripted = ScriptedConnector.make({ open: () => refused })
    return Effect.gen(function*() {
      const pool = yield* ConnectionPool.make({
        name: "orders",
        connector: scripted.connector,
        acquireTimeout: "2 seconds"
      })
      const borrower = yield* fork(Effect.exit(ConnectionPool.use(pool, "db", () => Effect.void)))
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(borrower)
      yield* TestClock.adjust("5 minutes")
      assert.lengthOf(lines, 2)
      assert.match(
        shown(lines)[1] ?? "",
        /^Info ConnectionPool orders: db was down for 1m( \d+s)?( \d+ms)?, and is not used any more; \d attempts to connect and 1 borrower failed$/
      )
    }).pipe(withOperations(), Effect.provide(layer))
  })

  it.effect("has the address of an endpoint, and can be switched off", () => {
    const { layer, lines } = collect()
    const connector = Connector.make({ open: (): typeof refused => refused })
    const outage = Effect.gen(function*() {
      const pool = yield* ConnectionPool.make({ name: "orders", connector, acquireTimeout: "1 second" })
      const use = ConnectionPool.use(pool, Endpoint.tcp("db.internal", 5432), () => Effect.void)
      const borrower = yield* fork(Effect.exit(use))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(borrower)
    })
    return Effect.gen(function*() {
      yield* outage.pipe(withOperations({ logs: false }))
      assert.lengthOf(lines, 0)
      yield* outage.pipe(withOperations())
      assert.deepInclude(lines[0]?.annotations, { "server.address": "db.internal", "server.port": 5432 })
    }).pipe(Effect.provide(layer))
  })

  it.effect("has a few lines and one with the number of the others when a thousand endpoints go down at once", () => {
    const { layer, lines } = collect()
    const scripted = ScriptedConnector.make()
    return Effect.gen(function*() {
      const monitor = yield* ResourceMonitor.TestMonitor
      yield* monitor.set({ descriptorLimit: 100_000, connectionLimit: 100_000 })
      const pool = yield* ConnectionPool.make({
        name: "orders",
        connector: scripted.connector,
        maxTotal: 1000,
        maxPerEndpoint: 1,
        retry: RetryPolicy.make({ maxAttempts: 1000, initialDelay: "1 second", maxDelay: "1 second" })
      })
      const keys = Array.from({ length: 1000 }, (_, key) => `db-${key}`)
      for (const key of keys) yield* ConnectionPool.use(pool, key, () => Effect.void)
      yield* fail(scripted)
      const waiting = yield* Effect.forEach(keys, (key) => fork(ConnectionPool.use(pool, key, () => Effect.void)))
      yield* TestClock.adjust("3 seconds")
      const single = lines.filter(({ text }) => text.includes(" is down: "))
      // The endpoints are found to be down at two looks.
      assert.isAtMost(single.length, 20)
      const rest = 1000 - single.length
      assert.deepStrictEqual(lines.slice(0, -1), single)
      assert.match(
        lines.at(-1)?.text ?? "",
        new RegExp(`^ConnectionPool orders: ${rest} more endpoints are down \\(.*, ...\\); ${rest} borrowers wait$`)
      )
      yield* cure(scripted)
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.joinAll(waiting)
      assert.lengthOf(lines, 2 * (single.length + 1))
      assert.match(
        lines.at(-1)?.text ?? "",
        new RegExp(`^ConnectionPool orders: ${rest} more outages that were not logged are over; `)
      )
      yield* TestClock.adjust("1 minute")
      assert.lengthOf(lines, 2 * (single.length + 1))
    }).pipe(withOperations(), Effect.provide(layer))
  })
})

describe("the log of levels", () => {
  it.effect("has one line for each change", () => {
    const { layer, lines } = collect()
    return Effect.gen(function*() {
      const monitor = yield* ResourceMonitor.TestMonitor
      yield* settle
      for (let turn = 0; turn < 10; turn++) {
        yield* monitor.set({ descriptors: 750 })
        yield* TestClock.adjust("1 second")
      }
      yield* monitor.set({ descriptors: 1000 })
      yield* settle
      yield* monitor.setLevel("Normal")
      yield* settle
      assert.deepStrictEqual(shown(lines), [
        "Warn ResourceMonitor: descriptors: Normal -> Warning, 750 used of 1000 (75 %)",
        "Error ResourceMonitor: descriptors: Warning -> Exhausted, 1000 used of 1000 (100 %)",
        "Info ResourceMonitor: descriptors: Exhausted -> Normal, 0 used of 1000 (0 %); peak 1000, above Normal for 10s"
      ])
      assert.deepStrictEqual(lines[0]?.annotations, {
        "sluice.resource": "descriptors",
        "sluice.level": "Warning",
        "sluice.level.before": "Normal",
        "sluice.used": 750,
        "sluice.limit": 1000,
        "sluice.reserved": 0
      })
    }).pipe(withOperations(), Effect.provide(layer))
  })

  it.effect("is not written without logs", () => {
    const { layer, lines } = collect()
    return Effect.gen(function*() {
      const monitor = yield* ResourceMonitor.TestMonitor
      yield* monitor.set({ descriptors: 1000 })
      yield* settle
      assert.lengthOf(lines, 0)
    }).pipe(withOperations({ logs: false }), Effect.provide(layer))
  })
})
