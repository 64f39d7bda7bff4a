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
import { TestClock } from "effect/testing"
import * as Scripted from "../support/ScriptedConnector.ts"

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

/** The last second of the server decides whether a run of 20.0 s becomes one of 20.2 s. */
const lastStep = 250

describe("establishment", () => {
  it.effect(
    "40 processes with 25 slots each come back within 20 s of their server, in at most 3000 attempts",
    () =>
      Effect.gen(function*() {
        const runs = yield* Effect.forEach(seeds, (seed) => Random.withSeed(run, seed))
        const after = runs.map((_) => _.after).sort((left, right) => left - right)
        const attempts = runs.map((_) => _.attempts)
        assert.isAtMost(Math.max(...attempts), 3000)
        assert.isAtMost(after[seeds.length / 2] ?? Infinity, 20_000)
        assert.isAtMost(after.at(-1) ?? Infinity, 20_000 + lastStep)
      }),
    120_000
  )
})
