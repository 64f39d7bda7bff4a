/** What a kubelet sees of a program in trouble, over real connections and in real time. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Fiber, Layer } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Operations from "effect-sluice/Operations"
import * as OperationsHttp from "effect-sluice/OperationsHttp"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { ScriptedConnector } from "effect-sluice/Testing"
import { fork, hold } from "../support/Pools.ts"
import { operated } from "./Program.ts"
import { request } from "./Requests.ts"

/** A short delay, so that what is cured is dialled again soon. */
const retry = RetryPolicy.make({ initialDelay: "50 millis", maxDelay: "100 millis", maxAttempts: Infinity })

const make = (scripted: ScriptedConnector.ScriptedConnector) =>
  ConnectionPool.make({
    name: "orders",
    connector: scripted.connector,
    maxPerEndpoint: 1,
    acquireTimeout: "1 minute",
    maxRedialDelay: "200 millis",
    retry
  })

type Pool = Effect.Success<ReturnType<typeof make>>

const borrow = (pool: Pool) => ConnectionPool.use(pool, "db", () => Effect.void)

const refused = Effect.suspend(() => Effect.fail(new ScriptedConnector.ScriptedFailure("ECONNREFUSED")))

/** Waits until `/readyz` has this status and this reason, which takes at most two seconds. */
const becomes = Effect.fnUntraced(function*(url: string, status: number, reason?: string) {
  const begun = yield* Clock.currentTimeMillis
  for (;;) {
    const answer = yield* request(`${url}readyz`)
    const { reasons } = JSON.parse(answer.body) as Operations.Readiness
    if (answer.status === status && (reason === undefined || reasons.some((one) => one.reason === reason))) return
    const taken = (yield* Clock.currentTimeMillis) - begun
    assert.isBelow(taken, 2000, `${answer.status} ${answer.body} and not ${status} ${reason ?? ""}`)
    yield* Effect.sleep("20 millis")
  }
})

/** A program with a pool, whose `/livez` is asked all the time. */
const program = <E>(
  scripted: ScriptedConnector.ScriptedConnector,
  use: (pool: Pool, url: string) => Effect.Effect<void, E, ResourceMonitor.TestMonitor | Operations.Operations>
) =>
  Effect.gen(function*() {
    const pool = yield* make(scripted)
    const { url } = yield* OperationsHttp.Server
    yield* borrow(pool)
    yield* becomes(url, 200)
    const lives = new Set<number>()
    const live = yield* fork(Effect.forever(Effect.gen(function*() {
      lives.add((yield* request(`${url}livez`)).status)
      yield* Effect.sleep("50 millis")
    })))
    yield* use(pool, url)
    yield* Fiber.interrupt(live)
    assert.deepStrictEqual([...lives], [200])
  }).pipe(
    Effect.scoped,
    Effect.provide(
      OperationsHttp.layerServer({ port: 0, required: ["orders"] }).pipe(
        Layer.provideMerge(operated({ interval: "100 millis" }))
      )
    )
  )

describe("/readyz", () => {
  it.live("is 503 within 2 s when a required pool is down, and 200 within 2 s of its return", () => {
    const scripted = ScriptedConnector.make()
    return program(scripted, (pool, url) =>
      Effect.gen(function*() {
        scripted.steps.open = () => refused
        for (const connection of scripted.ledger.live) yield* scripted.kill(connection)
        const waiting = yield* fork(borrow(pool))
        yield* becomes(url, 503, "PoolDown")
        scripted.steps.open = () => Effect.void
        yield* becomes(url, 200)
        yield* Fiber.join(waiting)
      }))
  })

  it.live("is 503 within 2 s when a required pool stalls, and 200 within 2 s of the first release", () => {
    const scripted = ScriptedConnector.make()
    return program(scripted, (pool, url) =>
      Effect.gen(function*() {
        const latch = yield* Deferred.make<void>()
        const holder = yield* fork(hold(pool, "db", latch))
        const waiting = yield* fork(borrow(pool))
        yield* becomes(url, 503, "PoolStalled")
        yield* Deferred.succeed(latch, undefined)
        yield* becomes(url, 200)
        yield* Fiber.joinAll([holder, waiting])
      }))
  })

  it.live("is 503 while a required pool is suspended", () => {
    const scripted = ScriptedConnector.make()
    return program(scripted, (pool, url) =>
      Effect.gen(function*() {
        yield* ConnectionPool.suspend(pool)
        yield* becomes(url, 503, "PoolSuspended")
        yield* ConnectionPool.resume(pool)
        yield* becomes(url, 200)
      }))
  })

  it.live("is 503 while there is no room", () =>
    program(ScriptedConnector.make(), (_, url) =>
      Effect.gen(function*() {
        const monitor = yield* ResourceMonitor.TestMonitor
        yield* monitor.setLevel("Exhausted")
        yield* becomes(url, 503, "Exhausted")
        yield* monitor.setLevel("Normal")
        yield* becomes(url, 200)
      })))

  it.live("is 503 from the moment in which the program retires", () =>
    program(ScriptedConnector.make(), (_, url) =>
      Effect.gen(function*() {
        yield* Operations.retire
        yield* becomes(url, 503, "Retiring")
        assert.strictEqual((yield* request(`${url}metrics`)).status, 200)
      })))

  it.live("borrows and opens nothing, and neither does /livez", () => {
    const scripted = ScriptedConnector.make()
    return program(scripted, (pool, url) =>
      Effect.gen(function*() {
        yield* ConnectionPool.evict(pool)
        yield* Effect.sleep("100 millis")
        const { borrowed } = yield* ConnectionPool.stats(pool)
        const { attempts } = scripted.ledger
        for (let count = 0; count < 50; count++) {
          yield* request(`${url}readyz`)
          yield* request(`${url}livez`)
        }
        const after = yield* ConnectionPool.stats(pool)
        assert.deepStrictEqual([after.borrowed, scripted.ledger.attempts], [borrowed, attempts])
      }))
  })
})
