/**
 * A server is down while many borrowers wait for it. Dialling on behalf of each would keep it down; waiting too long
 * would keep the borrowers down.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Endpoint from "effect-sluice/Endpoint"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import * as TcpConnection from "effect-sluice/TcpConnection"
import { TestClock } from "effect/testing"
import * as Net from "node:net"
import * as Scripted from "../support/ScriptedConnector.ts"

const waiters = 200

/** The two dials that an endpoint may have at once while nobody knows that it is down. */
const firstDials = 2

/** The most dials that a policy makes within so much time if they fail at once: the shortest delays it can draw. */
const dialsWithin = (policy: RetryPolicy.RetryPolicy, millis: number): number => {
  let dials = 0
  for (let at = 0; at <= millis; at += Duration.toMillis(RetryPolicy.delay(policy, dials, 0))) dials++
  return dials
}

const fork = Effect.forkChild({ startImmediately: true })

describe("outage", () => {
  it.effect("a server that is down is dialled once at a time, along the backoff, and all are served when it is back", () =>
    Effect.gen(function*() {
      const outage = 10_000
      const connect = 20
      let down = true
      let dialling = 0
      let peak = 0
      const dials: Array<number> = []
      const dial = Effect.gen(function*() {
        dials.push(yield* Clock.currentTimeMillis)
        peak = Math.max(peak, ++dialling)
        yield* Effect.sleep(connect)
        if (down) return yield* new Scripted.ScriptedFailure("ECONNREFUSED")
      })
      const scripted = Scripted.make({ open: () => Effect.ensuring(dial, Effect.sync(() => dialling--)) })
      const retry = RetryPolicy.make({
        maxAttempts: Infinity,
        initialDelay: 100,
        factor: 2,
        maxDelay: 1000,
        jitter: 0.2,
        idempotent: true
      })
      const pool = yield* ConnectionPool.make({
        connector: scripted.connector,
        retry,
        maxPerEndpoint: 5,
        maxTotal: 5,
        acquireTimeout: "1 minute"
      })
      const served: Array<number> = []
      const borrow = ConnectionPool.use(
        pool,
        "db",
        () => Effect.map(Clock.currentTimeMillis, (now) => void served.push(now))
      )
      const borrowers = yield* Effect.forEach(Array.from({ length: waiters }), () => fork(borrow))
      yield* TestClock.adjust(connect + 1)
      assert.isAtMost(peak, firstDials)
      peak = dialling
      for (let passed = connect + 1; passed < outage; passed += 20) yield* TestClock.adjust(20)
      assert.strictEqual(peak, 1, "dials in flight at once while the server is down")
      const bound = dialsWithin(retry, outage) + firstDials - 1
      assert.isAtMost(dials.length, bound, "dials while the server is down")
      // The policy goes on trying: a pool that gave up would pass the bound too.
      assert.isAtLeast(dials.length, outage / (1000 + connect))

      const back = yield* Clock.currentTimeMillis
      down = false
      // A dial that began before may still fail; the next one follows after at most the longest delay.
      const limit = connect + 1000 + connect
      for (let passed = 0; passed < limit; passed += 10) yield* TestClock.adjust(10)
      yield* Fiber.joinAll(borrowers)
      assert.strictEqual(served.length, waiters)
      assert.isAtMost(Math.max(...served) - back, limit)
    }).pipe(Effect.provide(ResourceMonitor.layerUnlimited)))

  it.live("a real server that is closed and listens again", () =>
    Effect.gen(function*() {
      const outage = 1500
      const maxDelay = 200
      const accepted: Array<Net.Socket> = []
      const listen = (port: number) =>
        Effect.callback<Net.Server>((resume) => {
          const server = Net.createServer((socket) => {
            accepted.push(socket)
            socket.on("error", () => {})
            socket.pipe(socket)
          })
          server.listen(port, "127.0.0.1", () => resume(Effect.succeed(server)))
          server.once("error", (error) => resume(Effect.die(error)))
        })
      const shut = (server: Net.Server) =>
        Effect.callback<void>((resume) => {
          server.close(() => resume(Effect.void))
          for (const socket of accepted.splice(0)) socket.destroy()
        })
      const first = yield* listen(0)
      const { port } = first.address() as Net.AddressInfo
      const endpoint = Endpoint.tcp("127.0.0.1", port)
      const tcp = TcpConnection.connector()
      let dialling = 0
      let peak = 0
      let dials = 0
      const retry = RetryPolicy.make({
        maxAttempts: Infinity,
        initialDelay: 20,
        factor: 2,
        maxDelay,
        jitter: 0.2,
        idempotent: true
      })
      const pool = yield* ConnectionPool.make({
        connector: {
          ...tcp,
          open: (key: Endpoint.Endpoint) =>
            Effect.suspend(() => {
              dials++
              peak = Math.max(peak, ++dialling)
              return Effect.ensuring(tcp.open(key), Effect.sync(() => dialling--))
            })
        },
        retry,
        maxPerEndpoint: 5,
        maxTotal: 5,
        acquireTimeout: "20 seconds"
      })
      const echo = ConnectionPool.use(
        pool,
        endpoint,
        (connection) => Effect.andThen(connection.write("x"), connection.read)
      )
      yield* echo
      yield* shut(first)
      // The pool has noticed the death of its connection.
      while ((yield* ConnectionPool.stats(pool)).total > 0) yield* Effect.sleep(5)
      dials = 0
      peak = 0
      const start = performance.now()
      const done: Array<number> = []
      const borrowers = yield* Effect.forEach(
        Array.from({ length: waiters }),
        () => fork(Effect.tap(echo, () => Effect.sync(() => done.push(performance.now()))))
      )
      yield* Effect.sleep(maxDelay / 2)
      assert.isAtMost(peak, firstDials)
      peak = dialling
      yield* Effect.sleep(outage - maxDelay / 2)
      assert.isAtMost(peak, 1, "dials in flight at once while the server is down")
      const elapsed = performance.now() - start
      assert.isAtMost(dials, dialsWithin(retry, elapsed) + firstDials - 1, "dials while the server is down")
      assert.isAtLeast(dials, 5)
      const second = yield* listen(port)
      const back = performance.now()
      yield* Fiber.joinAll(borrowers)
      assert.strictEqual(done.length, waiters)
      // One backoff step and a connect, plus what a busy machine takes for 200 round trips.
      assert.isAtMost(Math.max(...done) - back, maxDelay + 800)
      yield* ConnectionPool.drain(pool, "1 second")
      yield* shut(second)
    }).pipe(Effect.provide(ResourceMonitor.layer)))
})
