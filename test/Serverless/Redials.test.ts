/** The dials of an invocation end with it: real servers that are down, silent, or come back between two invocations. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, type Scope } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import type * as Endpoint from "effect-sluice/Endpoint"
import * as Lambda from "effect-sluice/Lambda"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import * as TcpConnection from "effect-sluice/TcpConnection"
import type * as Net from "node:net"
import { eventually, make } from "../support/TcpServer.ts"

type Pool = ConnectionPool.ConnectionPool<Endpoint.TcpEndpoint, TcpConnection.TcpConnection>

class Databases extends Context.Service<Databases, Pool>()("test/Databases") {}

/** A client whose server has to greet it. */
const connector = Connector.make({
  open: (endpoint: Endpoint.TcpEndpoint) => Effect.tap(TcpConnection.connect(endpoint), ({ read }) => read)
})

const greet = (socket: Net.Socket) => void socket.write("hello\n")

/** An address at which nothing listens now. */
const downEndpoint = Effect.map(Effect.scoped(make(() => {})), ({ endpoint }) => endpoint)

interface Function {
  /** One invocation, which is interrupted after so many milliseconds and has the same time again for its end. */
  readonly invoke: (millis: number, work?: Effect.Effect<string>) => Effect.Effect<string | Error>
  readonly stats: () => ConnectionPool.Stats | undefined
}

/** A function that borrows a connection and returns it, unless an invocation has other work. */
const functionFor = (
  endpoint: Endpoint.TcpEndpoint,
  retry: RetryPolicy.Options,
  between: Lambda.Between
): Effect.Effect<Function, never, Scope.Scope> =>
  Effect.gen(function*() {
    let pool: Pool | undefined
    const times = { connectTimeout: "1 minute", acquireTimeout: "1 minute", maxRedialDelay: "1 hour" } as const
    const options = { ...ConnectionPool.serverless, ...times, retry: RetryPolicy.make(retry), connector }
    const made = Effect.tap(
      ConnectionPool.make(options),
      (made) => Effect.sync(() => pool = made)
    )
    const handler = Lambda.handler({
      layer: Layer.effect(Databases, made).pipe(Layer.provide(ResourceMonitor.layerUnlimited)),
      margin: "1 minute",
      between,
      handle: ({ work }: { readonly work: Effect.Effect<string> | undefined }) =>
        work ?? Effect.flatMap(Databases, (databases) =>
          ConnectionPool.use(databases, endpoint, () =>
            Effect.succeed("served")))
    })
    yield* Effect.addFinalizer(() =>
      Effect.promise(() => handler.close())
    )
    return {
      invoke: (millis, work) =>
        Effect.promise(() =>
          // Lambda passes more, which the handler does not use.
          handler({ work }, { getRemainingTimeInMillis: () => millis * 2 } as Lambda.LambdaContext).catch((
            error: Error
          ) => error)
        ),
      // A plain value for assertions, outside of any effect.
      // oxlint-disable-next-line effecttsgo/run-effect-inside-effect
      stats: () => pool && Effect.runSync(ConnectionPool.stats(pool))
    }
  })

const timesOut = (invocation: Effect.Effect<string | Error>) =>
  Effect.map(invocation, (error) => assert.instanceOf(error, Lambda.InvocationTimeout))

describe.each(["closeIdle", "keep"] as const)("an invocation after one that has timed out (%s)", (between) => {
  it.live("does not wait for the redial of the other", () =>
    Effect.gen(function*() {
      const endpoint = yield* downEndpoint
      const { invoke } = yield* functionFor(endpoint, { initialDelay: "1 minute", maxDelay: "1 minute" }, between)
      yield* timesOut(invoke(200))
      yield* make(greet, { port: endpoint.port })
      // The redial would be due in a minute, and the test would time out.
      assert.strictEqual(yield* invoke(60_000), "served")
    }))

  it.live("has all attempts of the policy, with its first delays", () =>
    Effect.gen(function*() {
      const endpoint = yield* downEndpoint
      const retry = { initialDelay: "400 millis", maxDelay: "1 hour", factor: 100, jitter: 0, maxAttempts: 2 } as const
      const { invoke, stats } = yield* functionFor(endpoint, retry, between)
      yield* timesOut(invoke(200))
      const before = stats()?.failedAttempts ?? 0
      const error = yield* invoke(60_000)
      // The second delay of the policy is 40 seconds, and the test would time out.
      assert.instanceOf(error, ConnectionPool.PoolError)
      const reason = error instanceof ConnectionPool.PoolError ? error.reason : undefined
      assert.strictEqual(reason?._tag, "ConnectFailed")
      const exhausted = reason?._tag === "ConnectFailed" ? reason.cause : undefined
      assert.instanceOf(exhausted, RetryPolicy.RetryError)
      assert.deepInclude(exhausted instanceof RetryPolicy.RetryError ? exhausted.reason : undefined, {
        _tag: "AttemptsExhausted",
        attempts: 2
      })
      assert.deepStrictEqual([before, stats()?.failedAttempts], [1, 3])
    }))

  it.live("does not get the connection that the other was opening, which is closed with the other", () =>
    Effect.gen(function*() {
      let isSilent = true
      const server = yield* make((socket) => isSilent ? undefined : greet(socket))
      const { invoke, stats } = yield* functionFor(server.endpoint, {}, between)
      yield* timesOut(invoke(200))
      yield* eventually(() => server.sockets.size === 0)
      assert.deepInclude(stats(), { connecting: 0, failedAttempts: 0 })
      assert.deepInclude(server.account, { opened: 1, graceful: 1 })
      isSilent = false
      assert.strictEqual(yield* invoke(60_000), "served")
      assert.strictEqual(server.account.opened, 2)
    }))
})

describe("an invocation beside another one", () => {
  it.live("keeps its dial when the other times out, which waits for the same dial", () =>
    Effect.gen(function*() {
      const server = yield* make(() => {})
      const { invoke } = yield* functionFor(server.endpoint, {}, "closeIdle")
      const other = yield* Effect.forkChild(invoke(60_000), { startImmediately: true })
      yield* timesOut(invoke(200))
      assert.deepInclude(server.account, { opened: 1, graceful: 0 })
      for (const socket of server.sockets) greet(socket)
      assert.strictEqual(yield* Fiber.join(other), "served")
      assert.strictEqual(server.account.opened, 1)
    }))

  it.live("leaves the next dial to its delay, as long as an invocation runs", () =>
    Effect.gen(function*() {
      const endpoint = yield* downEndpoint
      const policy = { initialDelay: "1 minute", maxDelay: "1 minute" } as const
      const { invoke, stats } = yield* functionFor(endpoint, policy, "closeIdle")
      const other = yield* Effect.forkChild(invoke(60_000, Effect.never), { startImmediately: true })
      yield* timesOut(invoke(200))
      yield* timesOut(invoke(200))
      assert.strictEqual(stats()?.failedAttempts, 1)
      yield* Fiber.interrupt(other)
    }))
})
