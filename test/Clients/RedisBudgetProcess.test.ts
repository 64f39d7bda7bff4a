/**
 * What a process does with the answers of a budget's store, which are scripted here, on the clock of a test.
 */
import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Queue, Scheduler } from "effect"
import { BudgetError } from "effect-sluice/ConnectionBudget"
import * as Endpoint from "effect-sluice/Endpoint"
import { TestClock } from "effect/testing"
import { makeBudget } from "../../src/Clients/internal/redisbudget/Budget.ts"
import { type Options, settingsOf } from "../../src/Clients/internal/redisbudget/Options.ts"
import { replyOf } from "../../src/Clients/internal/redisbudget/Reply.ts"
import type { Store } from "../../src/Clients/internal/redisbudget/Store.ts"
import { invalidOption } from "../support/InvalidOption.ts"
import { collectLogs } from "../support/Pools.ts"

const request = { label: "db:5432", timeLeft: () => Infinity }

/** A budget of a process at a store that answers what `answers` has, and what informs the process of its permits. */
const scripted = (answers: Partial<Store>, options: Partial<Options> = {}) =>
  Effect.gen(function*() {
    const messages = yield* Queue.unbounded<{ readonly channel: string; readonly message: string }>()
    const unscripted = Effect.die("not scripted")
    const store: Store = {
      acquire: () => unscripted,
      release: () => Effect.succeed(1),
      renew: () => unscripted,
      setLimit: () => unscripted,
      reap: unscripted,
      inspect: unscripted,
      ...answers
    }
    const settings = settingsOf({ key: "scripted", connections: 1, ...options })
    const budget = yield* makeBudget(settings, store, {
      open: Effect.void,
      endpoint: Endpoint.tcp("127.0.0.1", 6379),
      subscribe: () => Effect.succeed(messages)
    })
    return { budget, tell: (message: string) => Queue.offer(messages, { channel: "any", message }) }
  })

/** Whether a permit is lost. */
const watched = (lost: Effect.Effect<void> = Effect.never) =>
  Effect.gen(function*() {
    const seen = yield* Deferred.make<void>()
    yield* Effect.forkScoped(Effect.andThen(lost, Deferred.succeed(seen, undefined)), { startImmediately: true })
    return { isLost: () => Deferred.isDoneUnsafe(seen) }
  })

for (const [way, step] of [["forward", 3_600_000], ["back", -3_600_000], ["not", 0]] as const) {
  it.effect(`renews a lease that a message tells of in time, if the clock of the store was set ${way} before`, () =>
    Effect.gen(function*() {
      const atStore = 10_000_000
      let id = ""
      let renewals = 0
      const { budget, tell } = yield* scripted({
        acquire: (asked) => {
          id = asked.id
          return Effect.succeed(replyOf(["waiting", atStore, 0, 60_000, "100", 1]))
        },
        // The store has given the permit to another.
        renew: (_, ids) => Effect.sync(() => (renewals++, { limit: 1, isHeld: ids.map(() => false) }))
      }, { lease: "6 seconds" })
      const taking = yield* Effect.forkScoped(budget.take(request, 1), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      yield* tell(`${id} granted ${atStore + step + 1000} 6000 101 1`)
      const { isLost } = yield* watched((yield* Fiber.join(taking)).lost)
      yield* TestClock.adjust("900 millis")
      assert.isFalse(isLost())
      yield* TestClock.adjust("1600 millis")
      assert.strictEqual(renewals, 1)
      assert.isTrue(isLost())
    }))
}

it.effect("asks again after a message about a permit that had ended before the last answer", () =>
  Effect.gen(function*() {
    const ids: Array<string> = []
    const { budget, tell } = yield* scripted({
      acquire: (asked) => {
        ids.push(asked.id)
        return Effect.succeed(replyOf(["waiting", 1_000_000, 0, 60_000, "100", 1]))
      }
    })
    const taking = yield* Effect.forkScoped(budget.take(request, 1), { startImmediately: true })
    yield* TestClock.adjust("1 second")
    yield* tell(`${ids[0]} granted 1000999 60000 100 1`)
    yield* TestClock.adjust(0)
    assert.isUndefined(taking.pollUnsafe())
    assert.strictEqual(ids.length, 2)
  }))

it.effect("logs three outages of its store in a minute, counts the others, and logs one that lasts", () => {
  const { layer, lines } = collectLogs()
  return Effect.gen(function*() {
    let isAway = false
    const away = Effect.suspend(() =>
      isAway ? new BudgetError({ budget: "scripted", detail: "no answer" }) : Effect.void
    )
    const { budget } = yield* scripted({
      acquire: () => Effect.as(away, replyOf(["granted", 1_000_000, 60_000, "101", 9])),
      release: () => Effect.as(away, 1)
    }, { onStoreError: "fail", connections: 9 })
    const ask = Effect.exit(Effect.scoped(budget.take(request, 1)))
    for (let outage = 0; outage < 5; outage++) {
      isAway = true
      yield* Effect.andThen(ask, TestClock.adjust("2 seconds"))
      isAway = false
      yield* TestClock.adjust("2 seconds")
    }
    assert.strictEqual(lines.filter((line) => line.includes("is down: no answer")).length, 3)
    assert.strictEqual(lines.filter((line) => line.includes("is back after ")).length, 3)
    isAway = true
    for (let second = 0; second < 12; second++) yield* Effect.andThen(ask, TestClock.adjust("1 second"))
    assert.strictEqual(lines.length, 7)
    assert.include(
      lines.at(-1),
      " is down for 10s: no answer; until it is back, no permit is given; 2 outages before were not logged"
    )
  }).pipe(Effect.provide(layer))
})

it.effect.each<readonly [unknown, string]>([["nonsense", `"nonsense"`], [NaN, "NaN"], [undefined, "undefined"]])(
  "names the value of an invocation that is no duration: %s",
  ([value, text]) =>
    Effect.gen(function*() {
      // A value that only a caller without types can give.
      const { budget } = yield* scripted({}, { invocation: Effect.succeed(value as never) })
      const { message } = yield* invalidOption(Effect.scoped(budget.take(request, 1)))
      const expected = `RedisBudget: option invocation is ${text}, but it must give a duration, such as "5 seconds"`
      assert.strictEqual(message, expected)
    })
)

it.effect("counts an invocation whose time is over as one without time", () =>
  Effect.gen(function*() {
    const leases: Array<number> = []
    const { budget } = yield* scripted({
      acquire: ({ lease }) => {
        leases.push(lease)
        return Effect.succeed(replyOf(["granted", 1_000_000, lease, "101", 1]))
      }
    }, { invocation: Effect.succeed(-5), lease: "7 seconds" })
    yield* Effect.scoped(budget.take(request, 1))
    assert.deepStrictEqual(leases, [7000])
  }))

it.effect("renews a permit that is given while the work for the permits before it ends", () =>
  Effect.gen(function*() {
    for (let delay = 0; delay < 40; delay++) {
      const ending = yield* Deferred.make<void>()
      let [releases, renewals] = [0, 0]
      yield* Effect.gen(function*() {
        const { budget } = yield* scripted({
          acquire: ({ lease }) => Effect.succeed(replyOf(["granted", 1_000_000, lease, "101", 1])),
          // The last work: what could not be given back at once.
          release: () =>
            releases++ === 0
              ? Effect.fail(new BudgetError({ budget: "scripted", detail: "no answer" }))
              : Effect.as(Deferred.succeed(ending, undefined), 1),
          renew: (_, ids) => Effect.sync(() => (renewals++, { limit: 1, isHeld: ids.map(() => true) }))
          // Its fibers let others run after each few steps, so that one of these delays is between any two of them.
        }, { lease: "6 seconds", wake: "poll" }).pipe(Effect.provideService(Scheduler.MaxOpsBeforeYield, 4))
        yield* Effect.scoped(budget.take(request, 1))
        yield* Deferred.await(ending).pipe(
          Effect.andThen(Effect.repeat(Effect.yieldNow, { times: delay })),
          Effect.andThen(budget.take(request, 1)),
          Effect.forkScoped({ startImmediately: true })
        )
        const pass = Effect.andThen(TestClock.adjust("500 millis"), Effect.repeat(Effect.yieldNow, { times: 100 }))
        yield* Effect.repeat(pass, { times: 8 })
        assert.strictEqual(renewals, 1, `after ${delay} steps`)
      }).pipe(Effect.scoped)
    }
  }))
