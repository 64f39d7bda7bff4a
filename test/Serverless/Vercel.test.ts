import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as TcpConnection from "effect-sluice/TcpConnection"
import * as Vercel from "effect-sluice/Vercel"
import { echo, eventually, type TcpServer } from "../support/TcpServer.ts"

/** What was given to `waitUntil`, and after how many milliseconds each was settled. */
class Platform {
  readonly held: Array<{ millis: number | undefined; readonly promise: Promise<unknown> }> = []
  readonly waitUntil = (promise: Promise<unknown>): void => {
    const start = performance.now()
    const one = {
      millis: undefined as number | undefined,
      promise: promise.then(() => {
        one.millis = performance.now() - start
      })
    }
    this.held.push(one)
  }
  get isHeld(): boolean {
    return this.held.some(({ millis }) => millis === undefined)
  }
  readonly released = Effect.promise(() => Promise.all(this.held.map(({ promise }) => promise)))
}

const poolOptions = {
  connector: TcpConnection.connector(),
  ...ConnectionPool.serverless
}

class Short extends ConnectionPool.Service<Short>()("test/Short", { ...poolOptions, idleTimeout: "100 millis" }) {}
class Long extends ConnectionPool.Service<Long>()("test/Long", { ...poolOptions, idleTimeout: "2 seconds" }) {}

const both = Layer.mergeAll(Short.layer, Long.layer).pipe(Layer.provide(ResourceMonitor.layerUnlimited))

const ask = (connection: TcpConnection.TcpConnection) => Effect.andThen(connection.write("x"), connection.read)

const short = ({ endpoint }: TcpServer) => Short.withConnection(endpoint, ask)
const long = ({ endpoint }: TcpServer) => Long.withConnection(endpoint, ask)

const attach = <R, E>(layer: Layer.Layer<R, E>, options: Vercel.Options) =>
  Effect.acquireRelease(
    Effect.sync(() => Vercel.attach(layer, { between: "keep", ...options })),
    ({ close }) => Effect.promise(close)
  )

const inRequest = <A>(context: object, f: () => A): A => {
  const key = Symbol.for("@vercel/request-context")
  const global: { [key]?: unknown } & object = globalThis
  global[key] = { get: () => context }
  try {
    return f()
  } finally {
    delete global[key]
  }
}

describe("Vercel.attach", () => {
  it.live("holds the instance for each of two pools for its own idle time", () =>
    Effect.gen(function*() {
      const server = yield* echo
      const platform = new Platform()
      const { run } = yield* attach(both, { waitUntil: platform.waitUntil })
      yield* Effect.promise(() => run(Effect.all([short(server), long(server)])))
      assert.strictEqual(platform.held.length, 2)
      assert.strictEqual(server.sockets.size, 2)
      yield* platform.released
      const times = platform.held.map(({ millis }) => millis ?? 0).sort((a, b) => a - b)
      // The connections were given back a moment before the holds began.
      assert.isAtLeast(times[0] ?? 0, 80)
      assert.isBelow(times[0] ?? 0, 0.8 * (times[1] ?? 0))
      assert.isAtLeast(times[1] ?? 0, 1980)
      yield* server.drained
      assert.deepInclude(server.account, { opened: 2, graceful: 2, broken: 0 })
    }))

  it.live("does not let a request of the short pool shorten the hold of the long one", () =>
    Effect.gen(function*() {
      const server = yield* echo
      const platform = new Platform()
      const { run } = yield* attach(both, { waitUntil: platform.waitUntil })
      yield* Effect.promise(() => run(long(server)))
      yield* Effect.promise(() => run(short(server)))
      yield* Effect.sleep("400 millis")
      assert.isTrue(platform.isHeld)
      assert.strictEqual(server.sockets.size, 1)
      yield* platform.released
      assert.isAtLeast(Math.max(...platform.held.map(({ millis }) => millis ?? 0)), 1980)
      assert.strictEqual(server.sockets.size, 0)
    }))

  it.live("by default keeps no connection for later requests, and holds nothing", () =>
    Effect.gen(function*() {
      const server = yield* echo
      const platform = new Platform()
      const { run } = yield* attach(both, { between: undefined, waitUntil: platform.waitUntil })
      for (let i = 0; i < 2; i++) {
        yield* Effect.promise(() => run(long(server)))
        assert.deepStrictEqual(platform.held, [])
      }
      yield* server.drained
      assert.deepInclude(server.account, { opened: 2, graceful: 2, broken: 0 })
    }))

  it.live("by default keeps a connection as long as another request runs", () =>
    Effect.gen(function*() {
      const server = yield* echo
      const platform = new Platform()
      const { run } = yield* attach(both, { between: undefined, waitUntil: platform.waitUntil })
      const slow = run(Effect.sleep("300 millis"))
      for (let i = 0; i < 2; i++) yield* Effect.promise(() => run(long(server)))
      assert.strictEqual(server.account.opened, 1)
      yield* Effect.promise(() => slow)
      yield* platform.released
      yield* server.drained
      assert.deepInclude(server.account, { opened: 1, graceful: 1, broken: 0 })
    }))

  it.live("has the last of many requests hold, and keeps the connection for them", () =>
    Effect.gen(function*() {
      const server = yield* echo
      const platform = new Platform()
      const { run } = yield* attach(both, { waitUntil: platform.waitUntil })
      for (let i = 0; i < 5; i++) yield* Effect.promise(() => run(short(server)))
      yield* eventually(() => platform.held.filter(({ millis }) => millis === undefined).length === 1)
      assert.strictEqual(platform.held.length, 5)
      assert.isUndefined(platform.held[4]?.millis)
      yield* platform.released
      assert.deepInclude(server.account, { opened: 1, graceful: 1 })
    }))

  it.live("holds no longer than the request may last, and closes what is idle by then", () =>
    Effect.gen(function*() {
      const server = yield* echo
      const platform = new Platform()
      const { run } = yield* attach(both, {
        waitUntil: platform.waitUntil,
        maxDuration: "1500 millis",
        margin: "1 second"
      })
      const start = performance.now()
      yield* Effect.promise(() => run(long(server)))
      yield* platform.released
      const millis = performance.now() - start
      assert.isAtLeast(millis, 499)
      assert.isAtMost(millis, 1500)
      assert.deepInclude(server.account, { opened: 1, graceful: 1 })
    }))

  it.live("takes waitUntil and the deadline from the platform, where the request comes in", () =>
    Effect.gen(function*() {
      const server = yield* echo
      const platform = new Platform()
      const { run } = yield* attach(both, { margin: "1 second" })
      const end = Date.now() + 1500
      const context = {
        // As a method, which it is there.
        waitUntil(this: unknown, promise: Promise<unknown>) {
          assert.strictEqual(this, context)
          platform.waitUntil(promise)
        },
        deadline: new Date(end).toISOString()
      }
      yield* Effect.promise(() => inRequest(context, () => run(long(server))))
      yield* platform.released
      assert.isAtMost(Date.now(), end)
      assert.deepInclude(server.account, { opened: 1, graceful: 1 })
    }))

  it.live("holds nothing for a request that needs no connection", () =>
    Effect.gen(function*() {
      const platform = new Platform()
      const { run } = yield* attach(both, { waitUntil: platform.waitUntil })
      assert.strictEqual(yield* Effect.promise(() => run(Effect.succeed("nothing"))), "nothing")
      assert.deepStrictEqual(platform.held, [])
    }))

  it.live("gives the answer although waitUntil throws", () =>
    Effect.gen(function*() {
      const server = yield* echo
      const { run } = yield* attach(both, {
        waitUntil: () => {
          throw new Error("not in a request")
        }
      })
      yield* Effect.promise(() => run(short(server)))
      assert.strictEqual(server.account.opened, 1)
    }))

  it.live("interrupts a request before its time is up, and says so", () =>
    Effect.gen(function*() {
      const { run } = yield* attach(Layer.empty, { maxDuration: "200 millis", margin: "100 millis" })
      const error = yield* Effect.promise(() => run(Effect.never).catch((error: unknown) => error))
      assert.instanceOf(error, Vercel.InvocationError)
      assert.strictEqual(error.reason._tag, "InvocationTimeout")
    }))

  it.live("manages a pool of the caller", () =>
    Effect.gen(function*() {
      const server = yield* echo
      const platform = new Platform()
      const scope = yield* Scope.make()
      const pool = yield* ConnectionPool.make({ ...poolOptions, idleTimeout: "100 millis" }).pipe(
        Scope.provide(scope),
        Effect.provide(ResourceMonitor.layerUnlimited)
      )
      const instance = Vercel.attach(pool, { between: "keep", waitUntil: platform.waitUntil })
      const request = ConnectionPool.use(pool, server.endpoint, ask)
      yield* Effect.promise(() => instance.run(request))
      assert.isTrue(platform.isHeld)
      yield* platform.released
      assert.strictEqual(server.sockets.size, 0)
      yield* Effect.promise(() => instance.run(request))
      assert.strictEqual(server.sockets.size, 1)
      yield* Effect.promise(instance.close)
      yield* server.drained
      assert.deepInclude(server.account, { opened: 2, graceful: 2, broken: 0 })
      yield* Scope.close(scope, Exit.void)
    }))

  it.each(
    [
      [{ maxDuration: 0 }, "maxDuration"],
      [{ margin: -1 }, "margin"],
      [{ shutdownWindow: Infinity }, "shutdownWindow"]
    ] as const
  )("refuses %j", (options, name) => {
    assert.throws(() => Vercel.attach(Layer.empty, options), new RegExp(`^Vercel: option ${name} is `))
  })
})
