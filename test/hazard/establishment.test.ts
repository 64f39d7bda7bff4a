/**
 * A fleet of processes loses its server, which comes back and takes only so many connections a second. Dialling too often
 * keeps it busy with refusals, dialling too rarely leaves what it could take.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Random } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import * as TcpConnection from "effect-sluice/TcpConnection"
import { TestClock } from "effect/testing"
import type * as Net from "node:net"
import * as Scripted from "../support/ScriptedConnector.ts"
import * as TcpServer from "../support/TcpServer.ts"

const processes = 40
const slots = 25
/** How long the server is away, and how many connections it takes in each second from then on. */
const outage = 30_000
const perSecond = 50
const step = 10

interface Server {
  /** When it is back. */
  readonly back: number
  attempts: number
  open: number
  /** Connections taken in each second since the server is back. */
  readonly taken: Map<number, number>
}

/** A dial takes 5 ms. What is more than the server takes in a second is refused. */
const dial = (server: Server) =>
  Effect.gen(function*() {
    server.attempts++
    yield* Effect.sleep(5)
    const since = (yield* Clock.currentTimeMillis) - server.back
    const second = Math.floor(since / 1000)
    const taken = server.taken.get(second) ?? 0
    if (since < 0 || taken >= perSecond) return yield* new Scripted.ScriptedFailure("ECONNREFUSED")
    server.taken.set(second, taken + 1)
    server.open++
  })

const start = (server: Server) =>
  Effect.gen(function*() {
    const pool = yield* ConnectionPool.make({
      connector: Connector.make<string, void, Scripted.ScriptedFailure>({ open: () => dial(server) }),
      retry: RetryPolicy.make({ ...RetryPolicy.tcpConnection, maxAttempts: Infinity }),
      maxPerEndpoint: slots,
      maxTotal: slots,
      maxLifetime: "Infinity",
      acquireTimeout: "5 minutes",
      drainTimeout: 0
    })
    const hold = ConnectionPool.use(pool, "db", () => Effect.never)
    yield* Effect.forEach(
      Array.from({ length: slots }),
      () => Effect.forkScoped(Effect.exit(hold), { startImmediately: true })
    )
  })

/** Milliseconds from the server's return to the last slot. */
const run = Effect.gen(function*() {
  const back = (yield* Clock.currentTimeMillis) + outage
  const server: Server = { back, attempts: 0, open: 0, taken: new Map() }
  yield* Effect.forEach(Array.from({ length: processes }), () => start(server), { discard: true })
  for (let now = 0; server.open < processes * slots && now < 4 * outage; now += step) yield* TestClock.adjust(step)
  return { attempts: server.attempts, after: (yield* Clock.currentTimeMillis) - back }
}).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerUnlimited))

const seeds = Array.from({ length: 12 }, (_, index) => index + 1)

/** Servers that accept readily and keep nothing. */
const flapping: ReadonlyArray<readonly [string, (socket: Net.Socket) => void]> = [
  ["closes", (socket) => void socket.destroy()],
  ["ends", (socket) => void socket.end()],
  ["resets", (socket) => void socket.resetAndDestroy()],
  ["closes after 5 ms", (socket) => void setTimeout(() => socket.destroy(), 5)]
]

/** How many connections a real server has accepted that keeps none, of a pool whose borrowers ask again at once. */
const acceptedWithin = (millis: number, borrowers: number, onConnection: (socket: Net.Socket) => void) =>
  Effect.gen(function*() {
    const server = yield* TcpServer.make(onConnection)
    const pool = yield* ConnectionPool.make({
      connector: TcpConnection.connector(),
      maxPerEndpoint: slots,
      maxTotal: slots
    })
    const ask = ConnectionPool.use(
      pool,
      server.endpoint,
      (connection) => Effect.andThen(connection.write("?"), connection.read)
    )
    const again = Effect.forever(Effect.andThen(Effect.exit(ask), Effect.yieldNow))
    yield* Effect.timeoutOption(
      Effect.forEach(Array.from({ length: borrowers }), () => again, { concurrency: "unbounded" }),
      millis
    )
    return server.account.opened
  }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layer))

describe("establishment", () => {
  it.effect(
    "40 processes with 25 slots each come back within 20 s of their server, in at most 3000 attempts",
    () =>
      Effect.gen(function*() {
        const runs = yield* Effect.forEach(seeds, (seed) => Random.withSeed(run, seed))
        assert.isAtMost(Math.max(...runs.map((_) => _.attempts)), 3000)
        assert.isAtMost(Math.max(...runs.map((_) => _.after)), 20_000)
      }),
    120_000
  )

  it.live(
    "a real server that accepts and closes at once meets at most 60 connects of a pool of 25 in 4 s",
    () =>
      Effect.gen(function*() {
        const found = yield* Effect.forEach(
          flapping.flatMap(([name, onConnection]) =>
            [slots, 200].map((borrowers) => ({ name: `${name}, ${borrowers} borrowers`, borrowers, onConnection }))
          ),
          ({ borrowers, name, onConnection }) =>
            Effect.map(acceptedWithin(4000, borrowers, onConnection), (accepted) => ({ name, accepted })),
          { concurrency: "unbounded" }
        )
        for (const { accepted, name } of found) {
          assert.isAtMost(accepted, 60, name)
          // It goes on asking whether the server is back.
          assert.isAtLeast(accepted, 4, name)
        }
      }),
    30_000
  )
})
