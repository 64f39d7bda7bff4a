import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber } from "effect"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryBudget from "effect-sluice/RetryBudget"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { TestClock } from "effect/testing"
import { Bucket, Floor, KeyedBuckets, token } from "../../src/Retry/internal/TokenBucket.ts"
import * as Gate from "./Gate.ts"

const refused = { code: "ECONNREFUSED" }

const quick = (budget: RetryBudget.RetryBudget, options: RetryPolicy.Options = {}) =>
  RetryPolicy.make({ initialDelay: 100, maxDelay: 100, jitter: 0, maxAttempts: Infinity, budget, ...options })

/** Fails with a code as often as told, then succeeds; counts. */
const scripted = (failures: number, code = refused.code) => {
  const log = { calls: 0 }
  const effect = Effect.suspend(() => ++log.calls <= failures ? Effect.fail({ code }) : Effect.succeed(log.calls))
  return { log, effect }
}

const start = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

describe("RetryBudget.make", () => {
  it.each(
    [
      ["capacity", { capacity: 0.9 }],
      ["capacity", { capacity: NaN }],
      ["capacity", { capacity: Infinity }],
      ["deposit", { deposit: -0.1 }],
      ["deposit", { deposit: 1.1 }],
      ["deposit", { deposit: NaN }],
      ["floor", { floor: 0 }],
      ["floor", { floor: -1 }],
      ["floor", { floor: "soon" as never }]
    ] satisfies ReadonlyArray<readonly [string, RetryBudget.Options]>
  )("refuses %s of %o and names it", (option, options) => {
    for (const make of [RetryBudget.make, RetryBudget.makeKeyed]) {
      try {
        make(options)
      } catch (error) {
        assert.instanceOf(error, RetryBudget.InvalidOption)
        assert.include(error.message, `RetryBudget: option ${option} is `)
        continue
      }
      assert.fail("it was accepted")
    }
  })

  it("a policy takes nothing else for a budget or a breaker", () => {
    assert.throws(() => RetryPolicy.make({ budget: 10 as never }), /option budget is 10, but it must be made by/)
    assert.throws(() => RetryPolicy.make({ breaker: {} as never }), /option breaker is .*, but it must be made by/)
  })
})

describe("Bucket", () => {
  const rules = { capacity: 10 * token, deposit: 0.1 * token }

  it("grants five retries of a full budget of ten, and the sixth failure finds less than half", () => {
    const bucket = new Bucket(rules, new Floor(Infinity))
    const granted = Array.from({ length: 20 }, () => bucket.withdraw(0) !== undefined)
    assert.strictEqual(granted.filter((each) => each).length, 5)
    assert.deepStrictEqual(granted.slice(0, 6), [true, true, true, true, true, false])
    // Failures go on to cost, so that the way back is as long as the outage was bad; but not longer than a full budget.
    assert.strictEqual(bucket.balance, 0)
  })

  it("is filled by successes alone: after an outage it takes sixty of them until a retry is granted", () => {
    const bucket = new Bucket(rules, new Floor(Infinity))
    for (let i = 0; i < 100; i++) bucket.failed()
    let successes = 0
    while (bucket.refusedFor(0) > 0) {
      bucket.succeeded()
      successes++
    }
    assert.strictEqual(successes, 60)
  })

  it("keeps retries at the share of successes in the long run, and never holds more than its capacity", () => {
    const bucket = new Bucket(rules, new Floor(Infinity))
    let retries = 0
    let [least, greatest] = [10, 0]
    for (let i = 0; i < 100_000; i++) {
      if (i % 5 === 0 && bucket.withdraw(0) !== undefined) retries++
      else bucket.succeeded()
      least = Math.min(least, bucket.balance)
      greatest = Math.max(greatest, bucket.balance)
    }
    assert.isTrue(least >= 0 && greatest <= 10, `${least} to ${greatest}`)
    // 100 000 calls of which a fifth fails: a tenth of the successes at most, and what there was at the start.
    assert.isAtMost(retries, 80_000 * 0.1 + 5)
    assert.isAbove(retries, 0)
  })

  it("grants one retry in ten seconds however empty it is, for all buckets of the floor together", () => {
    const floor = new Floor(10_000)
    const buckets = [new Bucket(rules, floor), new Bucket(rules, floor)]
    for (const bucket of buckets) for (let i = 0; i < 10; i++) bucket.failed()
    const granted: Array<number> = []
    for (let now = 0; now < 60_000; now += 100) {
      for (const bucket of buckets) if (bucket.withdraw(now) !== undefined) granted.push(now)
    }
    assert.deepStrictEqual(granted, [0, 10_000, 20_000, 30_000, 40_000, 50_000])
    assert.strictEqual(buckets[0]?.refusedFor(50_100), 9900)
  })

  it("a retry that is never made gives back its token once, and the floor's turn", () => {
    const bucket = new Bucket(rules, new Floor(10_000))
    const first = bucket.withdraw(0)
    assert.strictEqual(bucket.balance, 9)
    first?.refund()
    first?.refund()
    assert.strictEqual(bucket.balance, 10)
    const spent = bucket.withdraw(0)
    spent?.spend()
    spent?.refund()
    assert.strictEqual(bucket.balance, 9)

    for (let i = 0; i < 10; i++) bucket.failed()
    const byFloor = bucket.withdraw(0)
    assert.isUndefined(bucket.withdraw(1))
    byFloor?.refund()
    assert.strictEqual(bucket.balance, 0)
    assert.isDefined(bucket.withdraw(1))
    // What was granted later is not taken back with an earlier grant.
    byFloor?.refund()
    assert.isUndefined(bucket.withdraw(2))
  })

  it("of labels that have failed, forgets those first that have most tokens", () => {
    const buckets = new KeyedBuckets(rules, new Floor(Infinity))
    for (let i = 0; i < 4; i++) buckets.get("down").failed()
    for (let i = 0; i < 40_000; i++) buckets.get(`untrusted ${i}`).failed()
    assert.isAtMost(buckets.size, 1000)
    assert.strictEqual(buckets.lowest, buckets.get("down").balance)
    assert.strictEqual(buckets.get("down").balance, buckets.get("untrusted 39999").balance - 3)
  })

  it("remembers at most a thousand labels, and forgets those first that have all their tokens", () => {
    const buckets = new KeyedBuckets(rules, new Floor(Infinity))
    for (let i = 0; i < 500; i++) buckets.get(`down ${i}`).failed()
    for (let i = 0; i < 100_000; i++) buckets.get(`up ${i}`)
    assert.isAtMost(buckets.size, 1000)
    assert.strictEqual(buckets.get("down 0").balance, 9)
    for (let i = 0; i < 100_000; i++) buckets.get(`down too ${i}`).failed()
    assert.isAtMost(buckets.size, 1000)
  })
})

describe("RetryPolicy.retry with a budget", () => {
  it.effect("fails with BudgetExhausted before it sleeps, and says what is left and when to come back", () =>
    Effect.gen(function*() {
      const budget = RetryBudget.make({ capacity: 4 })
      const { effect, log } = scripted(Infinity)
      const fiber = yield* start(Effect.flip(RetryPolicy.retry(effect, quick(budget), { label: "db" })))
      yield* TestClock.adjust("1 minute")
      const error = yield* Fiber.join(fiber)
      assert(error.reason._tag === "BudgetExhausted")
      // Two tokens above half, and the floor's turn.
      assert.strictEqual(log.calls, 4)
      assert.deepStrictEqual(error.reason.elapsed, Duration.millis(300))
      assert.deepStrictEqual([error.reason.attempts, error.reason.balance, error.reason.capacity], [4, 0, 4])
      assert.deepStrictEqual(error.reason.retryAfter, Duration.millis(9900))
      assert.strictEqual(
        error.message,
        "db failed after 4 attempts in 300ms and may not be retried with 0 of 4 tokens left in its budget; " +
          "last failure (Transient): {\"code\":\"ECONNREFUSED\"}"
      )
      assert.isTrue(error.isRetryable)
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("bounds the retries of a crowd, and a deposit of successes lets them go again", () =>
    Effect.gen(function*() {
      const budget = RetryBudget.make({ floor: "Infinity" })
      const { effect, log } = scripted(Infinity)
      const policy = quick(budget, { maxAttempts: 3 })
      const crowd = (calls: number) =>
        Effect.all(Array.from({ length: calls }, () => Effect.exit(RetryPolicy.retry(effect, policy))), {
          concurrency: "unbounded"
        })
      const fiber = yield* start(crowd(1000))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
      assert.strictEqual(log.calls, 1005)

      yield* Effect.repeat(RetryPolicy.retry(Effect.void, policy), { times: 59 })
      assert.strictEqual(yield* RetryBudget.balance(budget), 6)
      const again = yield* start(crowd(10))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(again)
      assert.strictEqual(log.calls, 1005 + 10 + 1)
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("is asked after the deadline and after the attempts: what they refuse costs no retry's token twice", () =>
    Effect.gen(function*() {
      const budget = RetryBudget.make({ floor: "Infinity" })
      const once = yield* Effect.flip(RetryPolicy.retry(scripted(9).effect, quick(budget, { maxAttempts: 1 })))
      assert.strictEqual(once.reason._tag, "AttemptsExhausted")
      const late = yield* Effect.flip(RetryPolicy.retry(scripted(9).effect, quick(budget, { deadline: 50 })))
      assert.strictEqual(late.reason._tag, "DeadlineExceeded")
      // Each failure has cost one token.
      assert.strictEqual(yield* RetryBudget.balance(budget), 8)
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("does not count what is not the server's doing: no room on this host, and answers that are not retried", () =>
    Effect.gen(function*() {
      const budget = RetryBudget.make({ floor: "Infinity" })
      const local = yield* start(RetryPolicy.retry(scripted(20, "EMFILE").effect, quick(budget)))
      yield* TestClock.adjust("20 seconds")
      assert.strictEqual(yield* Fiber.join(local), 21)
      yield* Effect.exit(RetryPolicy.retry(scripted(1, "EACCES").effect, quick(budget)))
      assert.strictEqual(yield* RetryBudget.balance(budget), 10)
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("the same token carries a retry through the wait for room", () =>
    Effect.gen(function*() {
      const budget = RetryBudget.make({ floor: "Infinity" })
      const gate = Gate.make()
      const { effect } = scripted(1)
      const fiber = yield* start(RetryPolicy.retry(effect, quick(budget)).pipe(Effect.provide(gate.layer)))
      gate.room = 0
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* RetryBudget.balance(budget), 9)
      gate.room = 1
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), 2)
      assert.strictEqual(yield* RetryBudget.balance(budget), 9.1)
    }))

  it.effect("an interruption before the retry begins gives its token back: in the sleep, at the gate", () =>
    Effect.gen(function*() {
      const budget = RetryBudget.make({ floor: "Infinity" })
      const gate = Gate.make()
      const begin = start(RetryPolicy.retry(scripted(9).effect, quick(budget)).pipe(Effect.provide(gate.layer)))
      const sleeping = yield* begin
      assert.strictEqual(yield* RetryBudget.balance(budget), 9)
      yield* TestClock.adjust(50)
      yield* Fiber.interrupt(sleeping)
      assert.strictEqual(yield* RetryBudget.balance(budget), 10)

      const waiting = yield* begin
      gate.room = 0
      yield* TestClock.adjust(150)
      assert.strictEqual(yield* RetryBudget.balance(budget), 9)
      yield* Fiber.interrupt(waiting)
      assert.strictEqual(yield* RetryBudget.balance(budget), 10)
    }))

  it.effect("an interruption after the retry has begun gives nothing back", () =>
    Effect.gen(function*() {
      const budget = RetryBudget.make({ floor: "Infinity" })
      let calls = 0
      const effect = Effect.suspend(() => ++calls === 1 ? Effect.fail(refused) : Effect.never)
      const fiber = yield* start(RetryPolicy.retry(effect, quick(budget)))
      yield* TestClock.adjust(100)
      assert.strictEqual(calls, 2)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(yield* RetryBudget.balance(budget), 9)
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("a defect in the place of a decision gives the token back", () =>
    Effect.gen(function*() {
      const budget = RetryBudget.make({ floor: "Infinity" })
      const policy = quick(budget, {
        classify: () => {
          throw new Error("bad classifier")
        }
      })
      const gate = Gate.make()
      const exit = yield* Effect.exit(RetryPolicy.retry(scripted(9).effect, policy)).pipe(Effect.provide(gate.layer))
      assert.isTrue(Exit.isFailure(exit) && exit.cause.reasons.some((reason) => reason._tag === "Die"))
      assert.strictEqual(yield* RetryBudget.balance(budget), 10)
      assert.strictEqual(gate.reserved, 0)
    }))

  it.effect("a keyed one lets an endpoint that is down cost the others nothing, but the floor is one for all", () =>
    Effect.gen(function*() {
      const budget = RetryBudget.makeKeyed()
      const down = scripted(Infinity)
      const fiber = yield* start(Effect.exit(RetryPolicy.retry(down.effect, quick(budget), { label: "down" })))
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(fiber)
      assert.strictEqual(down.log.calls, 1 + 5 + 1)
      assert.isBelow(yield* RetryBudget.balance(budget, "down"), 5)
      assert.strictEqual(yield* RetryBudget.balance(budget, "up"), 10)
      assert.deepStrictEqual(yield* RetryBudget.retryAfter(budget, "up"), Duration.zero)
      assert.isTrue(Duration.isGreaterThan(yield* RetryBudget.retryAfter(budget, "down"), Duration.seconds(8)))
      const other = scripted(Infinity)
      const second = yield* start(Effect.exit(RetryPolicy.retry(other.effect, quick(budget), { label: "other" })))
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(second)
      assert.strictEqual(other.log.calls, 1 + 5)
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("is left alone inside another retry, which decides", () =>
    Effect.gen(function*() {
      const inner = RetryBudget.make({ floor: "Infinity" })
      const outer = RetryBudget.make({ floor: "Infinity" })
      const { effect } = scripted(2)
      const nested = RetryPolicy.retry(RetryPolicy.retry(effect, quick(inner)), quick(outer))
      const fiber = yield* start(nested)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(fiber), 3)
      assert.strictEqual(yield* RetryBudget.balance(inner), 10)
      assert.strictEqual(yield* RetryBudget.balance(outer), 8.1)
    }).pipe(Effect.provide(Gate.make().layer)))

  it.live("interruption at any moment loses no token", () =>
    Effect.gen(function*() {
      const budget = RetryBudget.make({ capacity: 1000, deposit: 0, floor: "Infinity" })
      let failures = 0
      const effect = Effect.andThen(
        Effect.yieldNow,
        Effect.suspend(() => {
          failures++
          return Effect.fail(refused)
        })
      )
      const policy = RetryPolicy.make({ initialDelay: 1, maxDelay: 2, jitter: "full", maxAttempts: Infinity, budget })
      yield* Effect.forEach(Array.from({ length: 60 }, (_, i) => i), (i) =>
        RetryPolicy.retry(effect, policy).pipe(Effect.timeoutOption(1 + i % 7), Effect.exit), {
        concurrency: "unbounded"
      })
      const spent = 1000 - (yield* RetryBudget.balance(budget))
      // Each of the 60 was interrupted while it waited for a retry (its last failure is refunded), or in an attempt.
      assert.isAtMost(spent, failures)
      assert.isAtLeast(spent, failures - 60)
    }).pipe(Effect.provide(ResourceMonitor.layerUnlimited)))
})

describe("RetryPolicy.schedule with a budget", () => {
  it.effect("takes tokens, but cannot see successes", () =>
    Effect.gen(function*() {
      const budget = RetryBudget.make({ floor: "Infinity" })
      const { effect, log } = scripted(2)
      const fiber = yield* start(Effect.retry(effect, RetryPolicy.schedule(quick(budget))))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.strictEqual(log.calls, 3)
      assert.strictEqual(yield* RetryBudget.balance(budget), 8)

      const down = scripted(Infinity)
      const failing = yield* start(Effect.exit(Effect.retry(down.effect, RetryPolicy.schedule(quick(budget)))))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(failing)
      assert.strictEqual(down.log.calls, 4)
    }).pipe(Effect.provide(Gate.make().layer)))
})
