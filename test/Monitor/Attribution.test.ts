/**
 * Who asked for what is open: the file and the line of the user's own call, whatever its style.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, pipe, type Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as JsonRpcClient from "effect-sluice/JsonRpcClient"
import * as Monitor from "effect-sluice/ResourceMonitor"
import { ResourceMonitor } from "effect-sluice/ResourceMonitor"
import * as TcpConnection from "effect-sluice/TcpConnection"
import { TestClock } from "effect/testing"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import { callerOf, type CallSite, CallSites } from "../../src/internal/CallSite.ts"
import * as Scripted from "../support/ScriptedConnector.ts"
import * as TcpServer from "../support/TcpServer.ts"

const source = Fs.readFileSync(import.meta.filename, "utf8").split("\n")

/** The place that a line of this file names with a comment. */
const lineOf = (name: string): string => {
  const index = source.findIndex((line) => line.endsWith(`// at ${name}`))
  assert.isAtLeast(index, 0, `no line is named ${name}`)
  return `Attribution.test.ts:${index + 1}`
}

const settle = Effect.gen(function*() {
  for (let turn = 0; turn < 40; turn++) yield* Effect.yieldNow
})

/** A borrow that is interrupted leaves its connection idle. */
const connector = { ...Scripted.make().connector, isReusable: () => true }

class Databases extends ConnectionPool.Service<Databases>()("test/Databases", { connector, maxPerEndpoint: 5 }) {}

const layer = Databases.layer.pipe(Layer.provideMerge(Monitor.layerUnlimited))

/** Runs a borrow until it holds, and returns the places that hold something then. */
const sitesWhile = <A, E, R>(borrow: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const holder = yield* Effect.forkChild(Effect.scoped(Effect.andThen(borrow, Effect.never)), {
      startImmediately: true
    })
    yield* settle
    const sites = yield* Effect.flatMap(ResourceMonitor, (monitor) => monitor.topSites(10))
    yield* Fiber.interrupt(holder)
    return sites
  })

const holdsAt = (sites: ReadonlyArray<Monitor.SiteCount>, name: string) => {
  assert.lengthOf(sites, 1)
  assert.include(sites[0]?.site, lineOf(name))
  assert.deepInclude(sites[0], { open: 1, leases: 1 })
}

const never = () => Effect.never

describe("the place that asked", () => {
  it.effect("is the line in an Effect.gen", () =>
    Effect.gen(function*() {
      const borrow = Effect.gen(function*() {
        const pool = yield* Databases
        return yield* ConnectionPool.use(pool, "a", never) // at use in gen
      })
      holdsAt(yield* sitesWhile(borrow), "use in gen")
      const scoped = Effect.gen(function*() {
        const pool = yield* Databases
        return yield* ConnectionPool.get(pool, "b") // at get in gen
      })
      const sites = yield* sitesWhile(scoped)
      assert.deepStrictEqual(
        sites.map(({ leases, open }) => [open, leases]),
        [[1, 1], [1, 0]],
        "the idle connection to a belongs to who had it opened, and is no lease"
      )
      assert.include(sites[0]?.site, lineOf("get in gen"))
    }).pipe(Effect.provide(Layer.fresh(layer))))

  it.effect("is the line of the pipe", () =>
    Effect.gen(function*() {
      const pool = yield* Databases
      const borrow = pool.pipe(
        ConnectionPool.use("a", never) // at use in pipe
      )
      holdsAt(yield* sitesWhile(borrow), "use in pipe")
    }).pipe(Effect.provide(Layer.fresh(layer))))

  it.effect("is the line of a scoped borrow in a pipe", () =>
    Effect.gen(function*() {
      const pool = yield* Databases
      const borrow = pipe(
        pool,
        ConnectionPool.get("a") // at get in pipe
      )
      holdsAt(yield* sitesWhile(borrow), "get in pipe")
    }).pipe(Effect.provide(Layer.fresh(layer))))

  it.effect("is the line that asks the service", () =>
    Effect.gen(function*() {
      const borrow = Databases.withConnection("a", never) // at withConnection
      holdsAt(yield* sitesWhile(borrow), "withConnection")
    }).pipe(Effect.provide(Layer.fresh(layer))))

  it.effect("is the line that asks the service for a scoped connection", () =>
    Effect.gen(function*() {
      const borrow = Databases.connection("a") // at connection
      holdsAt(yield* sitesWhile(borrow), "connection")
    }).pipe(Effect.provide(Layer.fresh(layer))))

  it.live("is the line that connects, without a pool", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.silent
      yield* TcpConnection.connect(server.endpoint) // at connect
      yield* JsonRpcClient.connect(server.endpoint) // at JSON-RPC connect
      const monitor = yield* ResourceMonitor
      const sites = (yield* monitor.topSites(10)).map(({ site }) => site)
      assert.lengthOf(sites, 2)
      assert.include(sites[0], lineOf("connect"))
      assert.include(sites[1], lineOf("JSON-RPC connect"))
    }).pipe(Effect.scoped, Effect.provide(Monitor.layerUnlimited)))

  it.live("is in the report of a lease that is held for too long, without tracing", () =>
    Effect.gen(function*() {
      const pool = yield* ConnectionPool.make({ connector: Scripted.make().connector, leakThreshold: "10 millis" })
      const monitor = yield* ResourceMonitor
      const latch = yield* Deferred.make<void>()
      const holder = yield* Effect.forkChild(
        pool.pipe(ConnectionPool.use("a", () => Deferred.await(latch))), // at held
        { startImmediately: true }
      )
      yield* Effect.sleep("30 millis")
      const [held] = yield* monitor.recentLeaks(10)
      assert.strictEqual(held?._tag, "Held")
      assert.include(held?.message, lineOf("held"))
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(holder)
      yield* settle
      const [, returned] = yield* monitor.recentLeaks(10)
      assert.strictEqual(returned?._tag, "Returned")
      assert.include(returned?.message, lineOf("held"))
    }).pipe(Effect.scoped, Effect.provide(Monitor.layerUnlimited)))
})

describe("a pool with idle connections", () => {
  it.effect("is no leak: it holds no lease, and nothing is reported however long it is idle", () =>
    Effect.gen(function*() {
      const monitor = yield* ResourceMonitor
      const pool = yield* ConnectionPool.make({
        connector: Scripted.make().connector,
        leakThreshold: "1 second",
        idleTimeout: "1 hour",
        maxLifetime: "1 hour"
      })
      yield* ConnectionPool.use(pool, "a", () => Effect.void) // at idle
      yield* TestClock.adjust("4 minutes")
      const sites = yield* monitor.topSites(10)
      assert.deepStrictEqual(sites.map(({ leases, open }) => [open, leases]), [[1, 0]])
      assert.include(sites[0]?.site, lineOf("idle"))
      assert.lengthOf(yield* monitor.recentLeaks(10), 0)
      assert.deepInclude(yield* ConnectionPool.stats(pool), { idle: 1, leasesLost: 0 })
    }).pipe(Effect.scoped, Effect.provide(Monitor.layerUnlimited)))
})

describe("the place that asked through a wrapper", () => {
  it.effect("is the line that called the wrapper, which passes itself", () =>
    Effect.gen(function*() {
      const pool = yield* Databases
      const inUse = (key: string): Effect.Effect<never, ConnectionPool.PoolError> =>
        ConnectionPool.use(pool, key, never, { site: inUse })
      const inPipe = (key: string): Effect.Effect<never, ConnectionPool.PoolError> =>
        pool.pipe(ConnectionPool.use(key, never, { site: inPipe }))
      const inGet = (key: string): Effect.Effect<unknown, ConnectionPool.PoolError, Scope.Scope> =>
        ConnectionPool.get(pool, key, { site: inGet })
      const inGetInPipe = (key: string): Effect.Effect<unknown, ConnectionPool.PoolError, Scope.Scope> =>
        pool.pipe(ConnectionPool.get(key, { site: inGetInPipe }))
      const inService = (key: string): Effect.Effect<never, ConnectionPool.PoolError, Databases> =>
        Databases.withConnection(key, never, { site: inService })
      const inServiceScoped = (
        key: string
      ): Effect.Effect<unknown, ConnectionPool.PoolError, Databases | Scope.Scope> =>
        Databases.connection(key, { site: inServiceScoped })
      const calls = [
        ["wrapped use", inUse("a")], // at wrapped use
        ["wrapped use in pipe", inPipe("a")], // at wrapped use in pipe
        ["wrapped get", inGet("a")], // at wrapped get
        ["wrapped get in pipe", inGetInPipe("a")], // at wrapped get in pipe
        ["wrapped service", inService("a")], // at wrapped service
        ["wrapped scoped service", inServiceScoped("a")] // at wrapped scoped service
      ] as const
      for (const [name, borrow] of calls) {
        yield* ConnectionPool.evict(pool)
        holdsAt(yield* sitesWhile(borrow), name)
      }
    }).pipe(Effect.provide(Layer.fresh(layer))))

  it.effect("is the line that called it, also where the borrow begins later", () =>
    Effect.gen(function*() {
      const wrapper = (key: string): Effect.Effect<never, ConnectionPool.PoolError, Databases> => {
        const site = ConnectionPool.callSite(wrapper)
        return Effect.flatMap(Databases, (pool) => ConnectionPool.use(pool, key, never, { site }))
      }
      holdsAt(yield* sitesWhile(wrapper("a")), "captured before") // at captured before
    }).pipe(Effect.provide(Layer.fresh(layer))))

  it.effect("is the innermost span or Effect.fn of the fiber, for an effect that was made once", () =>
    Effect.gen(function*() {
      const pool = yield* Databases
      const acquirer = ConnectionPool.get(pool, "a", { site: "fiber" })
      const find = Effect.fn("UserRepo.find")(function*() {
        return yield* acquirer
      })
      const byFunction = yield* sitesWhile(find()) // at fn
      holdsAt(byFunction, "fn")
      assert.match(byFunction[0]?.site ?? "", /^UserRepo\.find \([^() ]*Attribution\.test\.ts:\d+:\d+\)$/)
      yield* ConnectionPool.evict(pool)
      const route = Effect.withSpan(acquirer, "GET /users") // at span
      holdsAt(yield* sitesWhile(route), "span")
      yield* ConnectionPool.evict(pool)
      assert.deepStrictEqual(yield* sitesWhile(acquirer), [], "without a span no place is known")
    }).pipe(Effect.provide(Layer.fresh(layer))))

  it.effect("is one of the program, and not one of a package that it uses", () =>
    Effect.gen(function*() {
      const pool = yield* Databases
      const ofPackage = () => "at query (file:///app/node_modules/driver/index.js:1:2)"
      const failing = (): string => {
        throw new Error("no place")
      }
      const borrow = ConnectionPool.use(pool, "a", never, { site: "fiber" }).pipe(
        Effect.withSpan("failing", {}, { captureStackTrace: failing }),
        Effect.withSpan("driver.query", {}, { captureStackTrace: ofPackage })
      )
      const [alone] = yield* sitesWhile(borrow)
      assert.strictEqual(alone?.site, "driver.query (file:///app/node_modules/driver/index.js:1:2)")
      yield* ConnectionPool.evict(pool)
      const inRoute = Effect.withSpan(borrow, "GET /users") // at span around a package
      holdsAt(yield* sitesWhile(inRoute), "span around a package")
    }).pipe(Effect.provide(Layer.fresh(layer))))
})

describe("taking places", () => {
  it("says nothing where stacks are prepared as something else than text", () => {
    const before = Object.getOwnPropertyDescriptor(Error, "prepareStackTrace")
    try {
      Error.prepareStackTrace = (_error, sites) => sites
      const ask = (): CallSite => callerOf(ask)
      assert.isUndefined(ask().text)
    } finally {
      if (before === undefined) Reflect.deleteProperty(Error, "prepareStackTrace")
      else Object.defineProperty(Error, "prepareStackTrace", before)
    }
  })

  it.each([
    ["frozen intrinsics", "Object.freeze(Error)", true],
    ["no captureStackTrace", "delete Error.captureStackTrace", false]
  ])("works with %s", (_name, before, hasPlace) => {
    const module = new URL("../../src/internal/CallSite.ts", import.meta.url)
    const code = `${before}
      const { callerOf } = await import(${JSON.stringify(module)})
      const ask = () => callerOf(ask)
      process.stdout.write(String(ask().text))`
    const text = ChildProcess.execFileSync(process.execPath, ["--no-warnings", "--input-type=module", "-e", code], {
      encoding: "utf8"
    })
    if (hasPlace) assert.match(text, /\[eval1\]:4:\d+/)
    else assert.strictEqual(text, "undefined")
  })

  it("is bounded in what it costs: beyond the quota, one call in 1024 is asked where it comes from", () => {
    const sites = new CallSites()
    const ask = (): CallSite | undefined => sites.callerOf(ask)
    const limit = Error.stackTraceLimit
    const started = performance.now()
    const taken = Array.from({ length: 100_000 }, () => ask()).filter((site) => site !== undefined)
    // The timer that fills the quota up again cannot ring while this runs.
    assert.strictEqual(taken.length, 100 + Math.floor((100_000 - 100) / 1024))
    assert.isBelow(performance.now() - started, 5000)
    for (const { text } of taken) assert.match(text ?? "", /Attribution\.test\.ts:\d+:\d+/)
    assert.strictEqual(Error.stackTraceLimit, limit)
  })

  it.live("goes on when a moment has passed", () =>
    Effect.gen(function*() {
      const sites = new CallSites()
      const ask = (): CallSite | undefined => sites.callerOf(ask)
      for (let count = 0; count < 100; count++) assert.isDefined(ask())
      assert.isUndefined(ask())
      yield* Effect.sleep("150 millis")
      assert.isDefined(ask())
    }))
})
