import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import * as Connector from "effect-sluice/Connector"
import * as Failure from "effect-sluice/Failure"
import * as RetryBudget from "effect-sluice/RetryBudget"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { decideRedial, type FailedDial, isLocal } from "../../../src/Pool/internal/DialPolicy.ts"
import { ConnectionDied, NotReady } from "../../../src/Pool/PoolError.ts"
import { settingsOf } from "../../../src/Pool/PoolOptions.ts"
import { uniform } from "../../../src/Retry/internal/Backoff.ts"
import { AttemptFailed } from "../../../src/Retry/internal/Decision.ts"

const policy = RetryPolicy.make({ ...RetryPolicy.tcpConnection, initialDelay: 100, maxDelay: 1000, jitter: 0 })

const seed = 0.5

const dial: FailedDial = {
  policy,
  label: "k",
  error: new ConnectionDied({ key: "k" }),
  series: undefined,
  failures: 1,
  now: 0,
  random: () => seed
}

const busy = new Error("busy")

/** The delay after a first failure whose cause asks to be left alone for so long. */
const delayAfter = (retryAfter: Duration.Input) =>
  decideRedial({
    ...dial,
    error: Object.assign(new ConnectionDied({ key: "k" }), { retryAfter: Duration.fromInputUnsafe(retryAfter) })
  })
    .delay

describe("the decision after a failed dial", () => {
  it("believes what the policy's own classifier has found", () => {
    const failure = Failure.make("RemoteSaturated", { retryAfter: "20 seconds" })
    const after = (failure: Failure.Failure) => new AttemptFailed(busy, failure, 0)
    const decision = decideRedial({ ...dial, error: after(failure) })
    assert.strictEqual(decision._tag, "Wait")
    assert.strictEqual(decision.delay, 20_000 * (1 + 0.2 * dial.random()))
    const local = after(Failure.make("LocalExhausted"))
    assert.deepStrictEqual([isLocal(local), isLocal(after(failure))], [true, false])
  })

  it("a server that asks for a pause gets it, spread upwards, and one that asks for a day gets a minute", () => {
    const upwards = 1 + 0.2 * uniform(seed, 0)
    assert.strictEqual(delayAfter("50 millis"), 100)
    assert.strictEqual(delayAfter("10 seconds"), 10_000 * upwards)
    assert.strictEqual(delayAfter("1 day"), 60_000 * upwards)
  })

  it("counts the attempts of those who wait, and draws the delay from all failures", () => {
    const failure = Failure.make("Transient", { code: "ECONNREFUSED" })
    const error = new AttemptFailed(busy, failure, 10)
    const twice = RetryPolicy.make({ ...policy, factor: 2, maxAttempts: 2 })
    const first = decideRedial({ ...dial, policy: twice, error, now: 10, failures: 3 })
    assert(first._tag === "Again")
    assert.strictEqual(first.delay, 400)
    const last = decideRedial({ ...dial, policy: twice, error, series: first.series, now: 420, failures: 4 })
    assert(last._tag === "GiveUp" && last.error instanceof RetryPolicy.RetryError)
    const { reason } = last.error
    assert(reason._tag === "AttemptsExhausted")
    assert.deepStrictEqual([last.delay, reason.attempts, reason.maxAttempts, reason.cause], [800, 2, 2, busy])
    assert.deepStrictEqual([Duration.toMillis(reason.elapsed), reason.history.length], [420, 2])
  })

  it("ends where the budget of the policy has nothing left, whatever the attempts that are left", () => {
    const budget = RetryBudget.make({ capacity: 2, floor: "Infinity" })
    const error = new AttemptFailed(busy, Failure.make("Transient"), 0)
    const first = decideRedial({ ...dial, policy: RetryPolicy.make({ ...policy, budget }), error })
    assert(first._tag === "Again")
    const last = decideRedial({
      ...dial,
      policy: RetryPolicy.make({ ...policy, budget }),
      error,
      series: first.series,
      failures: 2
    })
    assert(last._tag === "GiveUp" && last.error instanceof RetryPolicy.RetryError)
    assert.strictEqual(last.error.reason._tag, "BudgetExhausted")
  })

  it("reports a connection that was of no use as it is", () => {
    const once = RetryPolicy.make({ ...policy, maxAttempts: 1 })
    for (const error of [new ConnectionDied({ key: "k" }), new NotReady({ key: "k", cause: { code: "25006" } })]) {
      const decision = decideRedial({ ...dial, policy: once, error })
      assert(decision._tag === "GiveUp")
      assert.strictEqual(decision.error, error)
      assert.strictEqual(decideRedial({ ...dial, error })._tag, "Again")
    }
  })

  it("is final where the attempt was not made, or has died", () => {
    const defect = new TypeError("undefined is not a function")
    const decision = decideRedial({ ...dial, error: defect })
    assert.deepStrictEqual(decision, { _tag: "GiveUp", delay: 100, error: defect })
  })
})

describe("the policy that the dialer steps", () => {
  const connector = Connector.make({ open: (key: string) => Effect.succeed(key) })
  const steppedBy = (
    options: { readonly retry?: RetryPolicy.RetryPolicy; readonly maxRedialDelay?: Duration.Input }
  ) => {
    const { initialDelay, jitter, maxDelay, ...others } = settingsOf({ connector, ...options }).retry
    return { initialDelay: Duration.toMillis(initialDelay), maxDelay: Duration.toMillis(maxDelay), jitter, others }
  }

  it("is retry with maxRedialDelay as its maxDelay, and a narrow spread where that cuts the delays short", () => {
    const { others, ...delays } = steppedBy({})
    assert.deepStrictEqual(delays, { initialDelay: 500, maxDelay: 1050, jitter: 0.1 })
    assert.deepStrictEqual([others.maxAttempts, others.factor], [6, 1.5])
    const retry = RetryPolicy.make({ initialDelay: "2 seconds", maxDelay: "10 seconds", jitter: "full" })
    const { others: _, ...full } = steppedBy({ retry })
    assert.deepStrictEqual(full, { initialDelay: 1050, maxDelay: 1050, jitter: "full" })
    const { others: __, ...alone } = steppedBy({ maxRedialDelay: "Infinity" })
    assert.deepStrictEqual(alone, { initialDelay: 500, maxDelay: 60_000, jitter: 0.25 })
  })
})
