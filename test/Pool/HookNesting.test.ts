/**
 * Hooks and checks that borrow from their own pool, whose slot they hold.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import { TestClock } from "effect/testing"
import { collectLogs, fork, id, settle, test } from "../support/Pools.ts"
import * as Scripted from "../support/ScriptedConnector.ts"

type Options = Partial<ConnectionPool.Options<string, Scripted.Scripted, never, never>>

/** What each of these does with the effect that borrows, and what brings it about. */
const places: Record<string, {
  readonly options: (nested: Effect.Effect<void>) => Options
  readonly check?: true
  readonly after: "0 millis" | "1 second"
}> = {
  afterOpen: { options: (nested) => ({ hooks: { afterOpen: () => nested } }), after: "0 millis" },
  beforeLend: { options: (nested) => ({ hooks: { beforeLend: () => nested } }), after: "0 millis" },
  afterReturn: { options: (nested) => ({ hooks: { afterReturn: () => nested } }), after: "0 millis" },
  "a check before a lease": { options: () => ({}), check: true, after: "1 second" },
  "a keep-alive check": {
    options: () => ({ keepalive: "1 second", checkAfterIdle: "Infinity" }),
    check: true,
    after: "1 second"
  }
}

/** How the borrows inside have ended, in their order, without much time going on. */
const outcomesIn = (place: string, caps: Options, limit = Infinity) =>
  Effect.gen(function*() {
    const { after, check, options } = places[place] ?? assert.fail(place)
    const outcomes: Array<string> = []
    let begun = 0
    const nested = Effect.suspend(() => {
      if (begun++ >= limit) return Effect.void
      return Effect.map(Effect.exit(ConnectionPool.use(pool, "a", id)), (exit) => {
        const error = exit._tag === "Failure"
          ? exit.cause.reasons.find((reason) => reason._tag === "Fail")?.error
          : undefined
        outcomes.push(exit._tag === "Success" ? "Served" : error?.reason._tag ?? "Died")
      })
    })
    const { connector, steps } = Scripted.make()
    if (check) steps.check = () => nested as never
    const pool: ConnectionPool.ConnectionPool<string, Scripted.Scripted> = yield* ConnectionPool.make({
      connector,
      ...options(nested),
      ...caps
    } as ConnectionPool.Options<string, Scripted.Scripted, Scripted.ScriptedFailure, never>)
    for (const wait of ["0 millis", after] as const) {
      yield* TestClock.adjust(wait)
      const borrower = yield* fork(ConnectionPool.use(pool, "a", id))
      yield* settle
      yield* Fiber.join(borrower)
      yield* settle
    }
    return outcomes
  })

describe("a borrow of their own pool by hooks and checks", () => {
  for (const place of Object.keys(places)) {
    it.effect(`fails at once with NestedAcquire where the pool has no other slot: ${place}`, () =>
      test(Effect.gen(function*() {
        const outcomes = yield* outcomesIn(place, { maxPerEndpoint: 1 })
        assert.isAbove(outcomes.length, 0)
        assert.deepStrictEqual([...new Set(outcomes)], ["NestedAcquire"])
      })))

    it.effect(`is served where the pool has another slot: ${place}`, () =>
      test(Effect.gen(function*() {
        assert.deepStrictEqual(yield* outcomesIn(place, { maxPerEndpoint: 2 }, 1), ["Served"])
      })))
  }

  it.effect("fails at once where all slots are held by hooks that wait for one another", () =>
    test(Effect.gen(function*() {
      const outcomes = yield* outcomesIn("afterOpen", { maxPerEndpoint: 3 })
      assert.deepStrictEqual(outcomes.slice(0, 2), ["NestedAcquire", "Served"])
    })))

  it.effect("by what opens a connection is the same", () =>
    test(Effect.gen(function*() {
      const connector = Connector.make({
        open: (key: string): Effect.Effect<string, ConnectionPool.PoolError> =>
          ConnectionPool.use(pool, key, Effect.succeed)
      })
      const pool: ConnectionPool.ConnectionPool<string, string> = yield* ConnectionPool.make({ connector, maxTotal: 1 })
      const borrower = yield* fork(Effect.flip(ConnectionPool.use(pool, "a", Effect.succeed)))
      yield* settle
      const { reason } = yield* Fiber.join(borrower)
      assert.strictEqual(reason._tag, "ConnectFailed")
      assert.include(reason.message, "waits for itself")
    })))
})

describe("a connector whose `closed` fails", () => {
  const failing: Record<string, () => Effect.Effect<void>> = {
    throws: () => {
      throw new Error("no such method")
    },
    dies: () => Effect.die(new Error("no such method")),
    fails: () => Effect.fail("no such method") as never,
    "dies later": () => Effect.andThen(Effect.yieldNow, Effect.die(new Error("no such method")))
  }
  for (const [how, closed] of Object.entries(failing)) {
    it.effect(`keeps its connections, and is reported once for a pool with what it means: it ${how}`, () => {
      const { layer, lines } = collectLogs()
      return test(Effect.gen(function*() {
        const { connector } = Scripted.make()
        const pool = yield* ConnectionPool.make({ connector: { ...connector, closed }, maxTotal: 3 })
        for (const key of ["a", "b", "c", "a", "b", "c"]) {
          const borrower = yield* fork(ConnectionPool.use(pool, key, id))
          yield* settle
          yield* Fiber.join(borrower)
        }
        assert.deepInclude(yield* ConnectionPool.stats(pool), { opened: 3, idle: 3, closed: 0 })
        assert.lengthOf(lines, 1)
        assert.include(lines[0], "the death of a connection is not noticed any more")
      })).pipe(Effect.provide(layer))
    })
  }
})
