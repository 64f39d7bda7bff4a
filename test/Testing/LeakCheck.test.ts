import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Layer, Logger, Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as JsonRpcClient from "effect-sluice/JsonRpcClient"
import * as Monitor from "effect-sluice/ResourceMonitor"
import { ResourceMonitor } from "effect-sluice/ResourceMonitor"
import * as TcpConnection from "effect-sluice/TcpConnection"
import { LeakCheck, ScriptedConnector } from "effect-sluice/Testing"
import { TestClock } from "effect/testing"
import * as Fs from "node:fs"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import * as TcpServer from "../support/TcpServer.ts"

const source = Fs.readFileSync(import.meta.filename, "utf8").split("\n")

/** The place that a line of this file names with a comment. */
const lineOf = (name: string): string => {
  const index = source.findIndex((line) => line.endsWith(`// at ${name}`))
  assert.isAtLeast(index, 0, `no line is named ${name}`)
  return `LeakCheck.test.ts:${index + 1}`
}

/** Short enough for a test that leaks on purpose. */
const soon: LeakCheck.Options = { within: "20 millis" }

/** Provides a scope that is never closed. */
const dropped = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.provideService(effect, Scope.Scope, Scope.makeUnsafe())

class Shared extends ConnectionPool.Service<Shared>()("test/Shared", {
  connector: ScriptedConnector.make().connector,
  maxPerEndpoint: 10,
  maxTotal: 20,
  drainTimeout: 0
}) {}

const shared = Shared.layer.pipe(Layer.provideMerge(Monitor.layerUnlimited))

const leaksOf = <A, E, R>(effect: Effect.Effect<A, E | LeakCheck.LeakError, R>) =>
  Effect.map(Effect.exit(effect), (exit) => {
    const errors = Exit.isFailure(exit)
      ? exit.cause.reasons.flatMap((reason) => reason._tag === "Fail" ? [reason.error] : [])
      : []
    return errors.find((error) => error instanceof LeakCheck.LeakError)?.leaks ?? []
  })

describe("check", () => {
  it.live("passes what closes all that it opened, and has no reason to wait", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.echo
      const started = performance.now()
      const result = yield* Effect.gen(function*() {
        const connection = yield* TcpConnection.connect(server.endpoint)
        const pool = yield* ConnectionPool.make({ connector: TcpConnection.connector() })
        yield* connection.write("hello")
        yield* connection.read
        yield* ConnectionPool.use(
          pool,
          server.endpoint,
          (connection) => Effect.andThen(connection.write("hello"), connection.read)
        )
        return yield* Effect.scoped(Effect.as(ConnectionPool.get(pool, server.endpoint), "done"))
      }).pipe(LeakCheck.check({ within: "1 minute" }))
      assert.strictEqual(result, "done")
      assert.isBelow(performance.now() - started, 10_000)
      assert.deepInclude(server.account, { opened: 2, graceful: 2 })
    }).pipe(Effect.provide(Monitor.layerUnlimited)))

  it.live("names the line of a connection that is left open", () =>
    Effect.gen(function*() {
      const server = yield* TcpServer.silent
      const leaking = Effect.gen(function*() {
        yield* dropped(TcpConnection.connect(server.endpoint)) // at socket
        yield* dropped(JsonRpcClient.connect(server.endpoint)) // at client
      })
      const leaks = yield* leaksOf(LeakCheck.check(leaking, soon))
      assert.deepStrictEqual(leaks.map(({ kind, label }) => [kind, label]), [
        ["Connection", String(server.endpoint)],
        ["Connection", String(server.endpoint)]
      ])
      assert.include(leaks[0]?.message, lineOf("socket"))
      assert.include(leaks[1]?.message, lineOf("client"))
    }))

  it.live("names the line of a lease that is left open, in a pool that others share", () =>
    Effect.gen(function*() {
      const pool = yield* Shared
      yield* ConnectionPool.use(pool, "a", () => Effect.void)
      const leaking = pool.pipe(
        ConnectionPool.get("a"), // at lease
        dropped
      )
      const leaks = yield* leaksOf(LeakCheck.check(leaking, soon))
      assert.deepStrictEqual(leaks.map(({ kind, label }) => [kind, label]), [["Lease", "a"]])
      assert.include(leaks[0]?.message, lineOf("lease"))
    }).pipe(Effect.provide(Layer.fresh(shared))))

  it.live("fails a lease whose scope the garbage collector reclaims before the end of the check", () =>
    Effect.gen(function*() {
      setFlagsFromString("--expose-gc")
      const collect: () => void = runInNewContext("gc")
      const { connector } = ScriptedConnector.make()
      const lose = <A>(pool: ConnectionPool.ConnectionPool<string, A>) => dropped(ConnectionPool.get(pool, "a")) // at lost
      const leaking = Effect.gen(function*() {
        const pool = yield* ConnectionPool.make({ connector })
        yield* lose(pool)
        assert.deepStrictEqual((yield* LeakCheck.open).map(({ kind }) => kind), ["Lease", "Connection"])
        while ((yield* ConnectionPool.stats(pool)).active > 0) {
          yield* Effect.sleep("50 millis")
          collect()
        }
        assert.deepStrictEqual(yield* LeakCheck.open, [])
      })
      const leaks = yield* leaksOf(LeakCheck.check(leaking))
      assert.deepStrictEqual(leaks.map(({ _tag, kind, label }) => [_tag, kind, label]), [["Lost", "Lease", "a"]])
      assert.include(leaks[0]?.message, lineOf("lost"))
      // The pool has reported it, and the check does not do so again.
      const monitor = yield* ResourceMonitor
      assert.deepStrictEqual((yield* monitor.recentLeaks(10)).map(({ _tag }) => _tag), ["Lost"])
    }).pipe(Effect.provide(Layer.merge(Monitor.layerUnlimited, Logger.layer([])))))

  it.live("names the line of a fiber that was left behind with a connection", () =>
    Effect.gen(function*() {
      const leaking = Effect.gen(function*() {
        yield* Effect.forkDetach(
          Shared.withConnection("b", () => Effect.never), // at daemon
          { startImmediately: true }
        )
        yield* Effect.yieldNow
      })
      const leaks = yield* leaksOf(LeakCheck.check(leaking, soon))
      assert.lengthOf(leaks, 1)
      assert.include(leaks[0]?.message, lineOf("daemon"))
    }).pipe(Effect.provide(Layer.fresh(shared))))

  it.live("does not fail a borrower for the idle connections of another check's pool", () =>
    Effect.gen(function*() {
      yield* LeakCheck.check(Shared.withConnection("a", () => Effect.void), soon)
      const pool = yield* Shared
      assert.deepInclude(yield* ConnectionPool.stats(pool), { idle: 1 })
    }).pipe(Effect.provide(Layer.fresh(shared))))

  it.live("fails the check that makes a pool and does not close it for the pool's connections", () =>
    Effect.gen(function*() {
      const { connector } = ScriptedConnector.make()
      const leaking = Effect.gen(function*() {
        const pool = yield* dropped(ConnectionPool.make({ connector }))
        yield* ConnectionPool.use(pool, "a", () => Effect.void) // at pool
      })
      const leaks = yield* leaksOf(LeakCheck.check(leaking, soon))
      assert.deepStrictEqual(leaks.map(({ kind }) => kind), ["Connection"])
      assert.include(leaks[0]?.message, lineOf("pool"))
    }).pipe(Effect.provide(Monitor.layerUnlimited)))

  it.live("waits for what is still closing, in real time, and not longer", () =>
    Effect.gen(function*() {
      const { connector, steps } = ScriptedConnector.make({ close: () => Effect.sleep("150 millis") })
      const opening = Effect.gen(function*() {
        const pool = yield* ConnectionPool.make({ connector, closeTimeout: "10 seconds" })
        const scope = yield* Scope.make()
        const connection = yield* Scope.provide(ConnectionPool.get(pool, "a"), scope)
        yield* ConnectionPool.invalidate(pool, connection)
        yield* Scope.close(scope, Exit.void)
        return pool
      })
      // The pool outlives the check, so only the check waits for its closing connection.
      const outer = yield* Effect.scope
      const started = performance.now()
      yield* LeakCheck.check(Effect.provideService(opening, Scope.Scope, outer), { within: "1 minute" })
      const waited = performance.now() - started
      assert.isAbove(waited, 140)
      assert.isBelow(waited, 15_000)
      steps.close = () => Effect.sleep("200 millis")
      const leaks = yield* leaksOf(LeakCheck.check(Effect.provideService(opening, Scope.Scope, outer), soon))
      assert.lengthOf(leaks, 1)
    }).pipe(Effect.scoped, Effect.provide(Monitor.layerUnlimited)))

  it.effect("does not hang on a test's clock that stands still", () =>
    Effect.gen(function*() {
      const leaks = yield* leaksOf(LeakCheck.check(dropped(Shared.connection("a")), { within: "1 milli" }))
      assert.lengthOf(leaks, 1)
      // The age is the test's.
      const aged = Effect.andThen(dropped(Shared.connection("a")), TestClock.adjust("3 seconds"))
      const [leak] = yield* leaksOf(LeakCheck.check(aged, { within: 0 }))
      assert.include(leak?.message, "3s ago")
    }).pipe(Effect.provide(Layer.fresh(shared))))

  it.live("keeps the failure of the effect beside its own, and its interruption", () =>
    Effect.gen(function*() {
      const leak = dropped(Shared.connection("a"))
      const failed = yield* Effect.exit(LeakCheck.check(Effect.andThen(leak, Effect.fail("broken")), soon))
      assert(Exit.isFailure(failed))
      const errors = failed.cause.reasons.map((reason) => reason._tag === "Fail" ? reason.error : reason._tag)
      assert.strictEqual(errors[0], "broken")
      assert.instanceOf(errors[1], LeakCheck.LeakError)
      const held = yield* Deferred.make<void>()
      const waiting = Effect.andThen(leak, Effect.andThen(Deferred.succeed(held, undefined), Effect.never))
      const fiber = yield* Effect.forkChild(LeakCheck.check(waiting, soon), { startImmediately: true })
      yield* Deferred.await(held)
      yield* Fiber.interrupt(fiber)
      const exit = yield* Fiber.await(fiber)
      assert(Exit.isFailure(exit))
      assert.isTrue(Cause.hasInterrupts(exit.cause))
      // An interrupted fiber has no other failure, so the monitor gets the report.
      const monitor = yield* ResourceMonitor
      assert.lengthOf(yield* monitor.recentLeaks(10), 2)
    }).pipe(Effect.provide(Layer.fresh(shared))))

  it.live("distinguishes two concurrent checks in one pool, to the same endpoint, while they overlap", () =>
    Effect.gen(function*() {
      const bothHold = yield* Deferred.make<void>()
      let holding = 0
      const hold = Effect.suspend(() => {
        if (++holding === 2) Deferred.doneUnsafe(bothHold, Exit.void)
        return Deferred.await(bothHold)
      })
      const clean = Shared.withConnection("a", () => hold)
      const leaking = Effect.andThen(
        dropped(Shared.connection("a")), // at one of two
        hold
      )
      const [first, second] = yield* Effect.all([
        leaksOf(LeakCheck.check(clean, soon)),
        leaksOf(LeakCheck.check(leaking, soon))
      ], { concurrency: "unbounded" })
      assert.deepStrictEqual(first, [])
      assert.lengthOf(second, 1)
      assert.include(second?.[0]?.message, lineOf("one of two"))
    }).pipe(Effect.provide(Layer.fresh(shared))))

  it.live("ignores what is left open on purpose, and keeps inner checks to themselves", () =>
    Effect.gen(function*() {
      const leak = dropped(Shared.connection("a"))
      assert.deepStrictEqual(yield* leaksOf(LeakCheck.check(LeakCheck.ignore(leak), soon)), [])
      const inner = Effect.ignore(LeakCheck.check(leak, soon))
      assert.deepStrictEqual(yield* leaksOf(LeakCheck.check(inner, soon)), [])
    }).pipe(Effect.provide(Layer.fresh(shared))))

  it.live("says what is open in the middle", () =>
    LeakCheck.check(Effect.gen(function*() {
      assert.lengthOf(yield* LeakCheck.open, 0)
      const during = yield* Shared.withConnection("a", () => LeakCheck.open)
      assert.deepStrictEqual(during.map(({ kind, label }) => [kind, label]), [["Lease", "a"]])
      assert.lengthOf(yield* LeakCheck.open, 0)
    })).pipe(Effect.provide(Layer.fresh(shared))))

  it.live("reports to the monitor as well, if there is one", () =>
    Effect.gen(function*() {
      yield* leaksOf(LeakCheck.check(dropped(Shared.connection("a")), soon))
      const monitor = yield* ResourceMonitor
      const [leak] = yield* monitor.recentLeaks(1)
      assert.deepInclude(leak, { _tag: "LeftOpen", kind: "Lease", label: "a" })
    }).pipe(Effect.provide(Layer.merge(Layer.fresh(shared), Logger.layer([])))))

  it("says in its message what was left open, each on a line of its own", () => {
    const error = Effect.runSync(Effect.flip(Effect.fail(new LeakCheck.LeakError({ leaks: [] }))))
    assert.strictEqual(error.message, "0 left open")
    assert.strictEqual(error.isRetryable, false)
  })

  it("refuses a time that makes no sense", () => {
    for (const within of [-1, Infinity]) {
      assert.throws(
        () => LeakCheck.check(Effect.void, { within }),
        /option within is .*, but it must be a finite duration/
      )
      assert.throws(() => LeakCheck.layer({ within }), /option within/)
      assert.throws(() => LeakCheck.test(() => Effect.void, { within }), /option within/)
    }
  })
})

describe("test", () => {
  it.live("passes the arguments on, and checks each run for itself", () => {
    let runs = 0
    const checked = LeakCheck.test((key: string, leaks: boolean) => {
      runs++
      const borrow = leaks ? dropped(Shared.connection(key)) : Shared.withConnection(key, Effect.succeed)
      return Effect.map(borrow, (connection) => connection.key)
    }, soon)
    return Effect.gen(function*() {
      assert.lengthOf(yield* leaksOf(checked("a", true)), 1)
      assert.strictEqual(yield* checked("b", false), "b")
      assert.strictEqual(runs, 2)
    }).pipe(Effect.provide(Layer.fresh(shared)))
  })
})

describe("layer", () => {
  it.live("checks what layers open that are built on it, and dies at its end", () =>
    Effect.gen(function*() {
      const { connector } = ScriptedConnector.make()
      const careless = Layer.effectDiscard(Effect.gen(function*() {
        const pool = yield* dropped(ConnectionPool.make({ connector }))
        yield* ConnectionPool.use(pool, "a", () => Effect.void)
      })).pipe(Layer.provide(Monitor.layerUnlimited))
      const checked = careless.pipe(Layer.provide(LeakCheck.layer(soon)))
      const exit = yield* Effect.exit(Effect.scoped(Layer.build(checked)))
      assert(Exit.isFailure(exit))
      const [reason] = exit.cause.reasons
      assert(reason?._tag === "Die")
      assert.instanceOf(reason.defect, LeakCheck.LeakError)
    }))

  it.live("passes a layer that closes what it opens, and its users", () =>
    Effect.gen(function*() {
      const used = Shared.withConnection("a", () => Effect.succeed("used"))
      const checked = Layer.fresh(shared).pipe(Layer.provideMerge(LeakCheck.layer(soon)))
      assert.strictEqual(yield* Effect.provide(used, checked), "used")
      const exit = yield* Effect.exit(Effect.provide(dropped(Shared.connection("a")), checked))
      assert.isTrue(Exit.isFailure(exit))
    }))
})
