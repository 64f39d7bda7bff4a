/**
 * The dialer of a pool steps the schedule of its retry policy: its delays, its classes, its budget, and its breaker.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Duration, Effect, Exit, Fiber, Random, Schedule } from "effect"
import * as Breaker from "effect-sluice/Breaker"
import * as ConnectionBudget from "effect-sluice/ConnectionBudget"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Connector from "effect-sluice/Connector"
import * as RetryBudget from "effect-sluice/RetryBudget"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { TestClock } from "effect/testing"
import { fork, settle, test } from "../support/Pools.ts"
import * as Scripted from "../support/ScriptedConnector.ts"

/** A source of random numbers that has one alone, so that whatever draws a seed draws the same. */
const constant = (u: number) => ({ nextDoubleUnsafe: () => u, nextIntUnsafe: () => 0 })

/** A server that refuses each dial, with this pause if it asks for one. */
const refusing = (code: string, retryAfter?: Duration.Input) => {
  const dials: Array<number> = []
  const failure = Object.assign(
    new Scripted.ScriptedFailure(code),
    retryAfter === undefined ? {} : { retryAfter: Duration.fromInputUnsafe(retryAfter) }
  )
  const connector = Connector.make({
    open: (_key: string) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        dials.push(now)
        return Effect.fail(failure)
      })
  })
  return { connector, dials, failure }
}

/** The delays of the schedule of a policy, for the same failure again and again. */
const scheduled = (policy: RetryPolicy.RetryPolicy, failure: unknown) =>
  Effect.gen(function*() {
    const step = yield* Schedule.toStep(RetryPolicy.schedule(policy))
    const delays: Array<number> = []
    while (true) {
      const exit = yield* Effect.exit(step(0, failure))
      if (Exit.isFailure(exit)) return delays
      delays.push(Duration.toMillis(exit.value[1]))
      yield* TestClock.adjust(exit.value[1])
    }
  })

/** What an observer is told, in its order. */
const observing = () => {
  const told: Array<string | number> = []
  const observer: RetryPolicy.RetryObserver = {
    ended: (how) => void told.push(how),
    passedGate: () => {},
    delayed: (millis) => void told.push(millis),
    refused: (reason) => void told.push(reason)
  }
  return { observer, told }
}

const gaps = (dials: ReadonlyArray<number>) => dials.slice(1).map((at, index) => at - (dials[index] ?? 0))

/** How a borrow ends for which the server does not answer. */
const failing = (pool: ConnectionPool.ConnectionPool<string, never>) =>
  Effect.gen(function*() {
    const borrower = yield* fork(Effect.flip(ConnectionPool.use(pool, "db", () => Effect.void)))
    yield* settle
    for (let turn = 0; turn < 5000 && borrower.pollUnsafe() === undefined; turn++) {
      yield* TestClock.adjust(10)
      yield* settle
    }
    return yield* Fiber.join(borrower)
  })

const retryReasonOf = ({ reason }: ConnectionPool.PoolError) => {
  assert(reason._tag === "ConnectFailed" && reason.cause instanceof RetryPolicy.RetryError, String(reason))
  return reason.cause.reason
}

const refusedTwice = [100, 200] as const

describe("the dialer", () => {
  const policies: ReadonlyArray<
    readonly [name: string, policy: RetryPolicy.RetryPolicy, maxRedialDelay: Duration.Input]
  > = [
    ["of a steep policy", RetryPolicy.make({ ...RetryPolicy.network, jitter: 0.1, maxAttempts: 8 }), 1050],
    ["of the default policy alone", RetryPolicy.tcpConnection, "Infinity"],
    ["with full jitter", RetryPolicy.make({ ...RetryPolicy.network, jitter: "full" }), 700],
    [
      "with a deadline",
      RetryPolicy.make({ ...RetryPolicy.websocket, maxAttempts: 20, deadline: "3 seconds" }),
      "Infinity"
    ]
  ]
  const answers: ReadonlyArray<readonly [code: string, retryAfter: "2 seconds" | undefined]> = [
    ["ECONNREFUSED", undefined],
    // The server is busy, but not full.
    ["57P03", undefined],
    ["57P03", "2 seconds"],
    ["EACCES", undefined]
  ]
  for (const [name, retry, maxRedialDelay] of policies) {
    for (const [code, retryAfter] of answers) {
      it.effect(`${name} has the delays of its schedule, after ${code}, asked to wait: ${retryAfter ?? "no"}`, () =>
        test(Effect.gen(function*() {
          const { connector, dials, failure } = refusing(code, retryAfter)
          const pool = yield* ConnectionPool.make({ connector, retry, maxRedialDelay, acquireTimeout: "1 minute" })
          yield* failing(pool)
          const longest = Duration.toMillis(Duration.fromInputUnsafe(maxRedialDelay))
          const maxDelay = Math.min(longest, Duration.toMillis(retry.maxDelay))
          const delays = yield* scheduled(RetryPolicy.make({ ...retry, maxDelay }), failure)
          assert.lengthOf(gaps(dials), delays.length)
          // The clock moves in steps of 10 ms.
          for (const [index, gap] of gaps(dials).entries()) {
            const late = gap - (delays[index] ?? 0)
            assert.isTrue(late > -1 && late <= 11, `${gap} ms in the place of ${delays[index]} ms`)
          }
        })).pipe(Effect.provideService(Random.Random, constant(0.37))))
    }
  }

  it.effect("has no last attempt after 53300, whose delays are those of the policy", () =>
    test(Effect.gen(function*() {
      const { connector, dials } = refusing("53300")
      const retry = RetryPolicy.make({ initialDelay: 100, jitter: 0, factor: 2, maxAttempts: 2, maxDelay: 400 })
      const pool = yield* ConnectionPool.make({ connector, retry, acquireTimeout: 3000 })
      const { reason } = yield* failing(pool)
      assert.strictEqual(reason._tag, "AcquireTimeout")
      const [first, second, third, fourth, fifth] = gaps(dials)
      for (
        const [gap = 0, wanted] of [[first, 100], [second, 200], [third, 400], [fourth, 400], [fifth, 400]] as const
      ) {
        assert.isTrue(gap >= wanted && gap <= wanted + 11, `${gap} ms in the place of ${wanted} ms`)
      }
    })))

  it.effect("pays for each attempt after the first from the budget of its policy, which a success fills again", () =>
    test(Effect.gen(function*() {
      const { connector, dials } = refusing("ECONNREFUSED")
      const budget = RetryBudget.make({ capacity: 4, floor: "Infinity" })
      const retry = RetryPolicy.make({ initialDelay: 100, jitter: 0, maxAttempts: Infinity, budget })
      const pool = yield* ConnectionPool.make({ connector, retry, maxPerEndpoint: 1 })
      const reason = retryReasonOf(yield* failing(pool))
      assert(reason._tag === "BudgetExhausted")
      assert.deepStrictEqual([reason.attempts, reason.balance, reason.capacity], [3, 1, 4])
      assert.lengthOf(reason.history, 3)
      assert.deepStrictEqual(gaps(dials).map((gap) => Math.round(gap / 100) * 100), [...refusedTwice])
      // The next borrower has an attempt of its own, after the delay, and no retry.
      assert.strictEqual(retryReasonOf(yield* failing(pool))._tag, "BudgetExhausted")
      assert.lengthOf(dials, 4)
    })))

  it.effect("counts two dials that fail at once as failures of the breaker, and as one attempt", () =>
    test(Effect.gen(function*() {
      const { connector, dials } = refusing("ECONNREFUSED")
      const breaker = Breaker.make({ consecutiveFailures: 3, openTime: "1 minute" })
      const retry = RetryPolicy.make({ initialDelay: 100, jitter: 0, maxAttempts: Infinity, breaker })
      const pool = yield* ConnectionPool.make({ connector, retry, maxPerEndpoint: 2 })
      const first = yield* fork(Effect.exit(ConnectionPool.use(pool, "db", () => Effect.void)))
      const reason = retryReasonOf(yield* failing(pool))
      assert(reason._tag === "CircuitOpen")
      assert.deepStrictEqual([reason.consecutiveFailures, dials.length], [3, 3])
      assert.isTrue(Exit.isFailure(yield* Fiber.join(first)))
    })))

  it.effect("does not wait with a slot for room on this host", () =>
    test(Effect.gen(function*() {
      const { connector, dials } = refusing("EMFILE")
      const retry = RetryPolicy.make({ initialDelay: 100, jitter: 0, maxAttempts: 2 })
      const pool = yield* ConnectionPool.make({ connector, retry, acquireTimeout: "1 minute" })
      const borrower = yield* fork(Effect.flip(ConnectionPool.use(pool, "db", () => Effect.void)))
      yield* settle
      yield* TestClock.adjust(350)
      yield* settle
      assert.deepStrictEqual(gaps(dials).map((gap) => Math.round(gap / 100) * 100), [...refusedTwice])
      assert.strictEqual((yield* ConnectionPool.stats(pool)).connecting, 0)
      yield* TestClock.adjust("31 seconds")
      yield* settle
      const reason = retryReasonOf(yield* Fiber.join(borrower))
      assert.deepStrictEqual([reason._tag, reason.attempts], ["ResourceExhausted", 0])
    })))

  it.effect("tells the observer of its policy of each attempt and each delay, and once that the policy has ended", () =>
    test(Effect.gen(function*() {
      const { connector } = refusing("ECONNREFUSED")
      const { observer, told } = observing()
      const retry = RetryPolicy.make({ initialDelay: 100, jitter: 0, maxAttempts: 3, observer })
      const pool = yield* ConnectionPool.make({ connector, retry })
      yield* failing(pool)
      assert.deepStrictEqual(told, ["Transient", 100, "Transient", 200, "Transient", "AttemptsExhausted"])
    })))

  it.effect("does not take an attempt for a success that was not made because no borrower wanted it any more", () =>
    test(Effect.gen(function*() {
      const { connector, ledger } = Scripted.make()
      const { observer, told } = observing()
      const permit = yield* Deferred.make<void>()
      let asked = 0
      const budget = { take: () => Effect.as(++asked === 1 ? Effect.void : Deferred.await(permit), {}) }
      const retry = RetryPolicy.make({ observer })
      const pool = yield* ConnectionPool.make({ connector, retry, maxPerEndpoint: 2 }).pipe(
        Effect.provideService(ConnectionBudget.ConnectionBudget, budget)
      )
      const first = yield* fork(ConnectionPool.use(pool, "db", () => Effect.sleep("1 second")))
      yield* settle
      const second = yield* fork(ConnectionPool.use(pool, "db", () => Effect.void))
      yield* settle
      assert.strictEqual(asked, 2)
      yield* TestClock.adjust("1 second")
      yield* settle
      yield* Effect.all([Fiber.join(first), Fiber.join(second)])
      yield* Deferred.succeed(permit, undefined)
      yield* settle
      assert.deepStrictEqual([told, ledger.attempts], [["Succeeded", "Passed"], 1])
      assert.strictEqual((yield* ConnectionPool.stats(pool)).connecting, 0)
    })))
})
