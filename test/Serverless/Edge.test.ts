import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Edge from "effect-sluice/Edge"
import type * as Endpoint from "effect-sluice/Endpoint"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as TcpConnection from "effect-sluice/TcpConnection"
import { echo, eventually, make } from "../support/TcpServer.ts"

class Peers extends ConnectionPool.Service<Peers>()("test/EdgePeers", {
  connector: TcpConnection.connector(),
  ...ConnectionPool.serverless
}) {}

/** Whose connections wait longer for a peer than any test does. */
class Patient extends ConnectionPool.Service<Patient>()("test/EdgePatient", {
  connector: TcpConnection.connector({ closeTimeout: "1 minute" }),
  ...ConnectionPool.serverless,
  closeTimeout: "1 minute"
}) {}

const layer = Peers.layer.pipe(Layer.provide(ResourceMonitor.layerUnlimited))

const ask = (connection: TcpConnection.TcpConnection) =>
  Effect.andThen(connection.write("x"), Effect.map(connection.read, (bytes) => new TextDecoder().decode(bytes)))

const on = (endpoint: Endpoint.Endpoint) => Peers.withConnection(endpoint, ask)

const failureOf = (request: () => Promise<unknown>): Effect.Effect<unknown> =>
  Effect.promise(() => request().then(() => assert.fail("it succeeded"), (error: unknown) => error))

/** A client that can go away. */
const makeClient = () => new AbortController()

describe("Edge.handler", () => {
  it.live("has no socket outlive its request, and opens one for the next", () =>
    Effect.gen(function*() {
      const server = yield* echo
      const fetch = Edge.handler({ layer, handle: () => on(server.endpoint) })
      for (let request = 1; request <= 3; request++) {
        assert.strictEqual(yield* Effect.promise(() => fetch({})), "x")
        yield* eventually(() => server.sockets.size === 0)
        assert.deepInclude(server.account, { opened: request, graceful: request, peak: 1 })
      }
    }))

  it.live("gives a request that keeps the connection of another one a typed error", () =>
    Effect.gen(function*() {
      const server = yield* echo
      let kept: TcpConnection.TcpConnection | undefined
      const fetch = Edge.handler({
        layer,
        handle: () =>
          Effect.gen(function*() {
            if (kept !== undefined) return yield* kept.write("y")
            yield* Peers.withConnection(server.endpoint, (connection) => Effect.sync(() => void (kept = connection)))
          })
      })
      yield* Effect.promise(() => fetch({}))
      const error = yield* failureOf(() => fetch({}))
      assert.instanceOf(error, TcpConnection.TcpConnectionError)
      assert.strictEqual(error.reason._tag, "ConnectionClosed")
    }))

  it.live("answers before everything is closed, if the platform waits for that", () =>
    Effect.gen(function*() {
      // A peer that takes its time to end.
      const server = yield* make((socket) => {
        socket.on("data", (data) => socket.write(data)).on("end", () => setTimeout(() => socket.end(), 100))
      }, { allowHalfOpen: true })
      const fetch = Edge.handler({ layer, handle: () => on(server.endpoint) })
      const held: Array<Promise<unknown>> = []
      assert.strictEqual(
        yield* Effect.promise(() => fetch({}, undefined, { waitUntil: (promise) => held.push(promise) })),
        "x"
      )
      assert.strictEqual(server.sockets.size, 1)
      assert.strictEqual(held.length, 1)
      yield* Effect.promise(() => Promise.all(held))
      yield* eventually(() => server.sockets.size === 0)
      assert.deepInclude(server.account, { opened: 1, graceful: 1 })
    }))

  it.live("gives the answer and closes although waitUntil throws", () =>
    Effect.gen(function*() {
      const server = yield* echo
      const fetch = Edge.handler({ layer, handle: () => on(server.endpoint) })
      const waitUntil = () => {
        throw new Error("not in a request")
      }
      assert.strictEqual(yield* Effect.promise(() => fetch({}, undefined, { waitUntil })), "x")
      yield* eventually(() => server.sockets.size === 0)
      assert.deepInclude(server.account, { opened: 1, graceful: 1 })
    }))

  it.live("rejects the promise if the function that makes the layer throws", () =>
    Effect.gen(function*() {
      const fetch = Edge.handler<void, never, never, never, Edge.EdgeRequest, string>({
        layer: (env) => {
          throw new Error(`no binding in ${env}`)
        },
        handle: () => Effect.void
      })
      const held: Array<Promise<unknown>> = []
      const promise = fetch({}, "env", { waitUntil: (promise) => held.push(promise) })
      const error = yield* failureOf(() => promise)
      assert.strictEqual(String(error), "Error: no binding in env")
      yield* Effect.promise(() => Promise.all(held))
    }))

  it.live("closes within the window although the peer hangs", () =>
    Effect.gen(function*() {
      const server = yield* make((socket) => void socket.on("data", (data) => socket.write(data)), {
        allowHalfOpen: true
      })
      const fetch = Edge.handler({
        layer: Patient.layer.pipe(Layer.provide(ResourceMonitor.layerUnlimited)),
        closeWindow: "300 millis",
        handle: () => Patient.withConnection(server.endpoint, ask)
      })
      const start = performance.now()
      yield* Effect.promise(() => fetch({}))
      assert.isBelow(performance.now() - start, 10_000)
    }))

  it.live("interrupts a request whose client has gone, and closes its connection", () =>
    Effect.gen(function*() {
      const server = yield* make((socket) => void socket.resume())
      const fetch = Edge.handler({ layer, handle: () => on(server.endpoint) })
      const client = makeClient()
      const answer = failureOf(() => fetch({ signal: client.signal }))
      const aborted = Effect.andThen(eventually(() => server.sockets.size === 1), Effect.sync(() => client.abort()))
      yield* Effect.all([answer, aborted], { concurrency: "unbounded" })
      yield* eventually(() => server.sockets.size === 0)
      assert.deepInclude(server.account, { opened: 1, graceful: 1 })
    }))

  it.live("interrupts a request that takes too long, and closes its connection", () =>
    Effect.gen(function*() {
      const server = yield* make((socket) => void socket.resume())
      const fetch = Edge.handler({ layer, timeout: "100 millis", handle: () => on(server.endpoint) })
      const error = yield* failureOf(() => fetch({}))
      assert.instanceOf(error, Edge.InvocationError)
      assert.strictEqual(error.reason._tag, "InvocationTimeout")
      yield* eventually(() => server.sockets.size === 0)
      assert.deepInclude(server.account, { opened: 1, graceful: 1 })
    }))

  it.live("builds the layer from what the platform binds", () =>
    Effect.gen(function*() {
      const server = yield* echo
      let bound: unknown
      const fetch = Edge.handler({
        layer: (env: { readonly host: string }) => {
          bound = env.host
          return layer
        },
        handle: (_request: Edge.EdgeRequest, env) => Effect.map(on(server.endpoint), (answer) => answer + env.host)
      })
      assert.strictEqual(yield* Effect.promise(() => fetch({}, { host: "y" })), "xy")
      assert.strictEqual(bound, "y")
    }))

  it.each([[{ timeout: 0 }, "timeout"], [{ closeWindow: -1 }, "closeWindow"]] as const)(
    "refuses %j",
    (options, name) => {
      const make = () => Edge.handler({ layer: Layer.empty, handle: () => Effect.void, ...options })
      assert.throws(make, new RegExp(`^Edge: option ${name} is `))
    }
  )
})
