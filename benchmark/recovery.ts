/**
 * How soon a process has all its connections again when its server is back: our pool, and two ways in which each borrower
 * retries for itself along an exponential, with a cap of a minute and with about the cap of our pool. Simulated on a test
 * clock.
 */
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { TestClock } from "effect/testing"
import * as ResourceMonitor from "../src/Monitor/ResourceMonitor.ts"
import * as ConnectionPool from "../src/Pool/ConnectionPool.ts"
import * as Connector from "../src/Resource/Connector.ts"
import * as RetryPolicy from "../src/Retry/RetryPolicy.ts"
import { median } from "./measure.ts"
import type { Table } from "./report.ts"

const slots = 25
const outages = [10_000, 30_000, 120_000]
const step = 10
/** Ours takes at most this share of the time of each of the two ways. */
const shares = { minute: 0.33, second: 0.8 }

interface Server {
  readonly back: number
  attempts: number
  connected: number
}

const dial = (server: Server): Effect.Effect<void, { readonly code: string }> =>
  Effect.gen(function*() {
    server.attempts++
    yield* Effect.sleep(5)
    if ((yield* Clock.currentTimeMillis) < server.back) return yield* Effect.fail({ code: "ECONNREFUSED" })
    server.connected++
  })

type Way = (
  server: Server
) => Effect.Effect<void, never, Scope.Scope | ResourceMonitor.ResourceMonitor>

const fork = <E, R>(effect: Effect.Effect<unknown, E, R>) =>
  Effect.forkScoped(Effect.exit(effect), { startImmediately: true })

const many = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.forEach(Array.from({ length: slots }), () => effect, { discard: true })

/** Each borrower waits 500 ms, then half as much again each time, up to a cap, with the jitter of Effect's schedules. */
const eachForItself = (cap: Duration.Input): Way => {
  const delays = Schedule.min([Schedule.exponential("500 millis", 1.5), Schedule.spaced(cap)])
  return (server) => many(fork(Effect.retry(dial(server), Schedule.jittered(delays))))
}

/** The pool's own cap, `maxRedialDelay`, is 1.05 s. It replaces that of the policy, which is a minute. */
const pooled: Way = (server) =>
  Effect.gen(function*() {
    const pool = yield* ConnectionPool.make({
      connector: Connector.make<string, void, { readonly code: string }>({ open: () => dial(server) }),
      retry: RetryPolicy.make({ ...RetryPolicy.tcpConnection, maxAttempts: Infinity }),
      maxPerEndpoint: slots,
      maxTotal: slots,
      maxLifetime: "Infinity",
      acquireTimeout: "1 hour",
      drainTimeout: 0
    })
    yield* many(fork(ConnectionPool.use(pool, "db", () => Effect.never)))
  })

const recover = (way: Way, outage: number) =>
  Effect.gen(function*() {
    const server: Server = { back: (yield* Clock.currentTimeMillis) + outage, attempts: 0, connected: 0 }
    yield* way(server)
    while (server.connected < slots) yield* TestClock.adjust(step)
    return { after: (yield* Clock.currentTimeMillis) - server.back, attempts: server.attempts }
  }).pipe(Effect.scoped)

const runs = (way: Way, outage: number, seeds: number) =>
  Effect.runPromise(
    Effect.forEach(
      Array.from({ length: seeds }, (_, index) => index + 1),
      (seed) => Random.withSeed(recover(way, outage), seed)
    ).pipe(Effect.provide(Layer.mergeAll(ResourceMonitor.layerUnlimited, TestClock.layer())))
  )

type Runs = Awaited<ReturnType<typeof runs>>

const show = (found: Runs): string =>
  `${median(found.map((_) => _.after))} ms, ${median(found.map((_) => _.attempts))} dials`

const ratio = (found: Runs, to: Runs, of: (run: Runs[number]) => number): number =>
  median(found.map(of)) / median(to.map(of))

/** All ways after outages of several lengths. */
export const recovery = async (seeds: number): Promise<Table> => {
  const found = await Promise.all(outages.map(async (outage) => ({
    outage,
    minute: await runs(eachForItself("1 minute"), outage, seeds),
    second: await runs(eachForItself("1 second"), outage, seeds),
    own: await runs(pooled, outage, seeds)
  })))
  const named = ["minute", "second"] as const
  return {
    title: `From the return of a server to all ${slots} connections (simulated, median of ${seeds} seeds)`,
    columns: ["outage", "each borrower for itself, cap 1 min", "the same, cap 1 s", "effect-sluice"],
    rows: found.map(({ minute, outage, own, second }) => [`${outage / 1000} s`, show(minute), show(second), show(own)]),
    targets: found.flatMap((each) =>
      named.map((cap) => ({
        what: `outage of ${each.outage / 1000} s: time of ours to that of borrowers with a cap of a ${cap}`,
        ratio: ratio(each.own, each[cap], (_) => _.after),
        atMost: shares[cap]
      }))
    )
  }
}
