/**
 * One endpoint has a thousand borrowers in its queue, nine others have one each. The flood must not be what the others
 * wait for.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { TestClock } from "effect/testing"
import * as Scripted from "../support/ScriptedConnector.ts"

const maxTotal = 4
const perUse = 5
const flood = 1000

const fork = Effect.forkChild({ startImmediately: true })

const percentile = (values: ReadonlyArray<number>, share: number): number =>
  values.toSorted((left, right) => left - right)[Math.ceil(values.length * share) - 1] ?? Number.NaN

const nine = { maxPerEndpoint: 2, cold: 9, millis: 1000 }

/**
 * Waits of the cold endpoints in milliseconds, over `millis` of the test's clock. Each cold endpoint has a borrower every
 * `every` ms. With `patience` `"one"` the next one comes at the first such moment at which the last one is done, so that
 * no endpoint ever has two; with `"all"` it comes in any case.
 */
const waits = (options: {
  readonly maxPerEndpoint: number
  readonly cold: number
  readonly every: number
  readonly millis: number
  readonly patience: "one" | "all"
}) =>
  Effect.gen(function*() {
    const { cold, every, maxPerEndpoint, millis, patience } = options
    const { connector, ledger } = Scripted.make()
    const pool = yield* ConnectionPool.make({ connector, maxPerEndpoint, maxTotal, acquireTimeout: "1 hour" })
    const waited: Array<number> = []
    let hot = 0
    const hotBorrower: Effect.Effect<void, ConnectionPool.PoolError> = ConnectionPool.use(
      pool,
      "hot",
      () => Effect.sleep(perUse)
    ).pipe(Effect.tap(() => Effect.sync(() => hot++)), Effect.forever)
    // Whoever is served comes back at once, so there are always as many.
    const hots = yield* Effect.forEach(Array.from({ length: flood }), () => fork(hotBorrower))
    const coldBorrower = (key: string) =>
      Effect.gen(function*() {
        const came = yield* Clock.currentTimeMillis
        yield* ConnectionPool.use(pool, key, () =>
          Effect.gen(function*() {
            waited.push((yield* Clock.currentTimeMillis) - came)
            yield* Effect.sleep(perUse)
          }))
      })
    const running = new Map<string, Fiber.Fiber<void, ConnectionPool.PoolError>>()
    const started: Array<Fiber.Fiber<void, ConnectionPool.PoolError>> = []
    for (let now = 0; now < millis; now++) {
      for (let index = 0; index < cold; index++) {
        const key = `cold ${index}`
        // Not all at the same moment.
        if ((now + index) % every !== 0) continue
        const last = running.get(key)
        if (patience === "one" && last !== undefined && last.pollUnsafe() === undefined) continue
        const next = yield* fork(coldBorrower(key))
        running.set(key, next)
        started.push(next)
      }
      yield* TestClock.adjust(1)
    }
    yield* Fiber.interruptAll([...hots, ...started])
    return {
      p99: percentile(waited, 0.99),
      max: Math.max(...waited),
      served: waited.length,
      hot,
      opened: ledger.opened
    }
  }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerUnlimited))

describe("fairness", () => {
  // With a borrower at all times on each of ten endpoints, every endpoint gets 4 / 10 of a connection: a use every 12.5 ms.
  // Nine new borrowers every 10 ms need 45 ms of 40 ms that there are, so a queue of them would grow without end, whoever
  // is first. Hence an endpoint's next borrower comes when its last one is done. The per-endpoint cap is the default, which
  // lets the flood have half of the pool whenever nobody else wants it.
  it.effect("one borrower each on nine endpoints waits at most 25 ms beside a thousand on the tenth, in a pool that is full", () =>
    Effect.gen(function*() {
      const { hot, max, p99, served } = yield* waits({ ...nine, every: 10, patience: "one" })
      assert.isAtMost(p99, 25, `of ${served} waits the longest took ${max} ms`)
      // The fair share is 80 uses in a second for each.
      assert.isAbove(served, 9 * 60 * nine.millis / 1000)
      assert.isAbove(hot, 60 * nine.millis / 1000)
    }))

  // 9 borrowers for 5 ms in every 20 ms are 2.25 of 4 connections: here they come whether or not the last one is done.
  it.effect("borrowers that come however long the last one takes wait at most 25 ms while there is room for them", () =>
    Effect.gen(function*() {
      const { hot, max, p99, served } = yield* waits({ ...nine, every: 20, patience: "all" })
      assert.isAtMost(p99, 25, `of ${served} waits the longest took ${max} ms`)
      assert.isAtLeast(served, 9 * (nine.millis / 20 - 1))
      // What they leave goes to the flood, less what it costs when slots change hands.
      assert.isAbove(hot, 120 * nine.millis / 1000)
    }))
})
