/**
 * Connections to a name whose addresses change. The addresses are of the loopback, and so are the servers.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Endpoint from "effect-sluice/Endpoint"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import * as TcpConnection from "effect-sluice/TcpConnection"
import * as Net from "node:net"
import { eventually } from "../support/TcpServer.ts"

/** Answers each byte with the address at which it listens. */
const listen = (address: string, port: number) =>
  Effect.acquireRelease(
    Effect.callback<Net.Server>((resume) => {
      const server = Net.createServer((socket) => {
        socket.on("error", () => {})
        socket.on("data", () => socket.write(address))
      })
      server.listen(port, address, () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
  )

const portOf = (server: Net.Server): number => (server.address() as Net.AddressInfo).port

/** A resolver whose answer changes. */
const resolver = (...first: ReadonlyArray<string>) => {
  const state = { addresses: first, asked: 0 }
  const lookup: Net.LookupFunction = (host, _, callback) => {
    state.asked++
    const { addresses } = state
    if (addresses.length > 0) return callback(null, addresses.map((address) => ({ address, family: 4 })))
    callback(
      Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: "ENOTFOUND", syscall: "getaddrinfo" }),
      []
    )
  }
  return { state, lookup }
}

const text = (connection: TcpConnection.TcpConnection) =>
  Effect.andThen(connection.write("?"), Effect.map(connection.read, (bytes) => new TextDecoder().decode(bytes)))

const poolOf = (options: TcpConnection.ConnectorOptions) =>
  Effect.map(
    ConnectionPool.make({
      connector: TcpConnection.connector(options),
      maxPerEndpoint: 3,
      acquireTimeout: "2 seconds",
      retry: RetryPolicy.make({ ...RetryPolicy.tcpConnection, initialDelay: "10 millis" })
    }),
    (pool) => ({
      ask: (endpoint: Endpoint.Endpoint) => ConnectionPool.use(pool, endpoint, text),
      pool
    })
  ).pipe(Effect.provide(ResourceMonitor.layerUnlimited))

/** Three connections in use at once, so that each of them is open. */
const fill = (
  pool: ConnectionPool.ConnectionPool<Endpoint.Endpoint, TcpConnection.TcpConnection>,
  endpoint: Endpoint.Endpoint
) =>
  Effect.forEach(
    [1, 2, 3],
    () => ConnectionPool.use(pool, endpoint, (connection) => Effect.tap(text(connection), () => Effect.sleep(20))),
    {
      concurrency: "unbounded"
    }
  )

describe("connections to a name", () => {
  it.live("move to its new addresses between borrows, without a failure", () =>
    Effect.gen(function*() {
      const old = yield* listen("127.0.0.2", 0)
      yield* listen("127.0.0.3", portOf(old))
      const { lookup, state } = resolver("127.0.0.2")
      const { ask, pool } = yield* poolOf({ lookup, refreshAddresses: "40 millis" })
      const endpoint = Endpoint.tcp("db.test", portOf(old))
      assert.deepStrictEqual(yield* fill(pool, endpoint), Array.from({ length: 3 }, () => "127.0.0.2"))
      state.addresses = ["127.0.0.3"]
      const { asked } = state
      yield* eventually(() => state.asked >= asked + 3)
      assert.deepStrictEqual(yield* fill(pool, endpoint), Array.from({ length: 3 }, () => "127.0.0.3"))
      assert.strictEqual(yield* ask(endpoint), "127.0.0.3")
      const { opened, total } = yield* ConnectionPool.stats(pool)
      assert.strictEqual(total, 3)
      assert.strictEqual(opened, 6)
    }))

  it.live("stay where they are while nothing listens at the new address", () =>
    Effect.gen(function*() {
      const old = yield* listen("127.0.0.2", 0)
      const { lookup, state } = resolver("127.0.0.2")
      const { ask, pool } = yield* poolOf({ lookup, refreshAddresses: "40 millis" })
      const endpoint = Endpoint.tcp("db.test", portOf(old))
      yield* fill(pool, endpoint)
      state.addresses = ["127.0.0.4"]
      const { asked } = state
      yield* eventually(() => state.asked >= asked + 3)
      const answers = yield* Effect.forEach(Array.from({ length: 20 }), () => ask(endpoint))
      assert.deepStrictEqual(answers, Array.from({ length: 20 }, () => "127.0.0.2"))
    }))

  it.live("stay where they are without `refreshAddresses`, which looks nothing up", () =>
    Effect.gen(function*() {
      const old = yield* listen("127.0.0.2", 0)
      const { lookup, state } = resolver("127.0.0.2")
      const { ask } = yield* poolOf({ lookup, refreshAddresses: false })
      const endpoint = Endpoint.tcp("db.test", portOf(old))
      yield* ask(endpoint)
      state.addresses = ["127.0.0.3"]
      yield* Effect.sleep(100)
      assert.strictEqual(yield* ask(endpoint), "127.0.0.2")
      assert.strictEqual(state.asked, 1)
    }))

  it.live("stay when the name is not found any more, and a dial that meets ENOTFOUND after a success is tried again", () =>
    Effect.gen(function*() {
      const server = yield* listen("127.0.0.2", 0)
      const { lookup, state } = resolver("127.0.0.2")
      const { ask, pool } = yield* poolOf({ lookup, refreshAddresses: "20 millis" })
      const endpoint = Endpoint.tcp("db.test", portOf(server))
      yield* ask(endpoint)
      state.addresses = []
      const { asked } = state
      yield* eventually(() => state.asked >= asked + 4)
      assert.strictEqual(yield* ask(endpoint), "127.0.0.2")
      assert.include(yield* ConnectionPool.stats(pool), { opened: 1 })
      yield* ConnectionPool.evict(pool, endpoint)
      setTimeout(() => state.addresses = ["127.0.0.2"], 100)
      assert.strictEqual(yield* ask(endpoint), "127.0.0.2")
      const { failedAttempts } = yield* ConnectionPool.stats(pool)
      assert.isAbove(failedAttempts, 0)
    }))

  it.live("are looked up for no longer than one of them is open", () =>
    Effect.gen(function*() {
      const server = yield* listen("127.0.0.2", 0)
      const { lookup, state } = resolver("127.0.0.2")
      const endpoint = Endpoint.tcp("db.test", portOf(server))
      yield* Effect.scoped(Effect.flatMap(poolOf({ lookup, refreshAddresses: "10 millis" }), ({ ask }) =>
        Effect.andThen(ask(endpoint), Effect.sleep(50))))
      const { asked } = state
      assert.isAbove(asked, 1)
      yield* Effect.sleep(50)
      assert.strictEqual(state.asked, asked)
    }))
})
