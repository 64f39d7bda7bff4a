/**
 * The dialer of a pool steps the schedule of its policy: one decision, whoever asks for it.
 */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Duration, Effect, Exit, Random, Schedule } from "effect"
import * as Breaker from "effect-sluice/Breaker"
import * as Failure from "effect-sluice/Failure"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryBudget from "effect-sluice/RetryBudget"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import * as Decision from "../../../src/Retry/internal/Decision.ts"
import { seeded } from "../../support/random.ts"

const label = "db:5432"

/** Errors of each class, with and without a wait that the other side asks for. */
const errors: ReadonlyArray<object> = [
  { code: "ECONNREFUSED" },
  { code: "ECONNREFUSED" },
  { code: "ETIMEDOUT" },
  { code: "ECONNRESET", syscall: "read" },
  { code: "53300" },
  { code: "EMFILE" },
  { code: "EACCES" },
  { code: "ENOTFOUND", retryAfter: Duration.millis(70) },
  { code: "53300", retryAfter: Duration.seconds(2) },
  { status: 503, headers: { "retry-after": "3" } },
  { status: 429, headers: { "retry-after": "90000" } },
  { code: "LEARNT" }
]

const learnt = Failure.byCode({ LEARNT: "Redirect" })

/** The policies of one history: a budget is state, so that each driver has one of its own. */
const policies: ReadonlyArray<() => RetryPolicy.RetryPolicy> = [
  () => RetryPolicy.standard,
  () => RetryPolicy.make({ ...RetryPolicy.tcpConnection, maxDelay: 1050, maxAttempts: Infinity, classify: learnt }),
  () => RetryPolicy.make({ ...RetryPolicy.network, jitter: "full", idempotent: true, deadline: "8 seconds" }),
  () =>
    RetryPolicy.make({ ...RetryPolicy.tcpConnection, budget: RetryBudget.make({ capacity: 6, floor: "3 seconds" }) }),
  () => RetryPolicy.make({ ...RetryPolicy.websocket, budget: RetryBudget.makeKeyed(), breaker: Breaker.make() })
]

/** A clock that sleeps by moving on. */
class Jumping implements Clock.Clock {
  #now = 0
  readonly currentTimeMillis = Effect.sync(() => this.currentTimeMillisUnsafe())
  readonly currentTimeNanos = Effect.sync(() => this.currentTimeNanosUnsafe())
  readonly sleep = (duration: Duration.Duration) => Effect.sync(() => void (this.#now += Duration.toMillis(duration)))
  readonly monotonicTimeNanos = this.currentTimeNanos
  currentTimeMillisUnsafe(): number {
    return Math.floor(this.#now)
  }
  currentTimeNanosUnsafe(): bigint {
    return BigInt(Math.round(this.#now * 1e6))
  }
  monotonicTimeNanosUnsafe(): bigint {
    return this.currentTimeNanosUnsafe()
  }
}

/** A `Duration` has whole nanoseconds. */
const rounded = (delays: ReadonlyArray<number>): ReadonlyArray<number> =>
  delays.map((delay) => Duration.toMillis(Duration.millis(delay)))

interface History {
  readonly seed: number
  readonly make: () => RetryPolicy.RetryPolicy
  readonly failures: ReadonlyArray<{ readonly error: object; readonly lived: number }>
}

const pick = <A>(values: ReadonlyArray<A>, u: number): A => {
  const value = values[Math.floor(u * values.length)]
  assert.isDefined(value)
  return value
}

const historyOf = (seed: number): History => {
  const random = seeded(seed)
  const failures = Array.from({ length: 12 }, () => ({
    // More than half of them may pass, so that a series gets somewhere.
    error: pick(random() < 0.5 ? errors.slice(0, 3) : errors, random()),
    lived: Math.floor(random() * 3) * 40
  }))
  return { seed, make: pick(policies, seed / 2000), failures }
}

/** The delays, and how many attempts there were where the policy ended. */
interface Outcome {
  readonly delays: ReadonlyArray<number>
  readonly attempts: number | undefined
}

const bySchedule = ({ failures, make, seed }: History) =>
  Effect.gen(function*() {
    const step = yield* Schedule.toStep(RetryPolicy.schedule(make(), { label }))
    const delays: Array<number> = []
    for (const { error, lived } of failures) {
      yield* Effect.sleep(lived)
      const exit = yield* Effect.exit(step(yield* Clock.currentTimeMillis, error))
      if (Exit.isFailure(exit)) {
        const done = Cause.findErrorOption(exit.cause)
        assert(done._tag === "Some" && Cause.isDone(done.value))
        return { delays, attempts: done.value.value }
      }
      const delay = Duration.toMillis(exit.value[1])
      delays.push(delay)
      yield* Effect.sleep(delay)
    }
    return { delays, attempts: undefined }
  }).pipe(Random.withSeed(seed), Effect.provideService(Clock.Clock, new Jumping()))

const bySeries = ({ failures, make, seed }: History) =>
  Effect.gen(function*() {
    const policy = make()
    let now = 0
    let series = Decision.begin(now, yield* Random.next)
    const delays: Array<number> = []
    for (const { error, lived } of failures) {
      now += lived
      const failure = Decision.classify(policy, error, {})
      const [after, verdict] = Decision.step({ policy, label }, series, { error, failure, lived: 0, now })
      series = after
      if (verdict._tag === "GiveUp") return { delays, attempts: verdict.error.reason.attempts, verdict }
      delays.push(verdict.delay)
      now += verdict.delay
    }
    return { delays, attempts: undefined, verdict: undefined }
  }).pipe(Random.withSeed(seed))

const byRetry = ({ failures, make, seed }: History) =>
  Effect.gen(function*() {
    const delays: Array<number> = []
    const delayed = (delay: number) => void delays.push(delay)
    const policy = RetryPolicy.make({ ...make(), observer: { ended() {}, passedGate() {}, refused() {}, delayed } })
    let calls = 0
    const call = Effect.suspend(() => {
      const failed = failures[calls++]
      return failed === undefined ? Effect.void : Effect.andThen(Effect.sleep(failed.lived), Effect.fail(failed.error))
    })
    const ended = yield* Effect.exit(RetryPolicy.retry(call, policy, { label }))
    if (Exit.isSuccess(ended)) return { delays, reason: undefined }
    const found = Cause.findErrorOption(ended.cause)
    assert(found._tag === "Some" && found.value instanceof RetryPolicy.RetryError)
    return { delays, reason: found.value.reason }
  }).pipe(Random.withSeed(seed), Effect.provideService(Clock.Clock, new Jumping()))

const refused = Failure.make("Transient", { code: "ECONNREFUSED" })

const outcomeOf = ({ attempts, delays }: Outcome): Outcome => ({ attempts, delays: rounded(delays) })

describe("a series", () => {
  it.effect("has the delays and the end of the schedule of its policy, in 2000 histories", () =>
    Effect.gen(function*() {
      const reasons = new Map<string, number>()
      let delays = 0
      for (let seed = 0; seed < 2000; seed++) {
        const history = historyOf(seed)
        const series = yield* bySeries(history)
        assert.deepStrictEqual(outcomeOf(series), outcomeOf(yield* bySchedule(history)), `seed ${seed}`)
        delays += series.delays.length
        const reason = series.verdict?.error.reason._tag ?? "none"
        reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
      }
      assert.isAbove(delays, 4000)
      const ends = ["AttemptsExhausted", "BudgetExhausted", "DeadlineExceeded", "NotRetryable"]
      for (const reason of ends) assert.isAbove(reasons.get(reason) ?? 0, 20, reason)
    }).pipe(Effect.provide(ResourceMonitor.layerUnlimited)))

  it.effect("has the delays and the reason of retry, in 300 histories", () =>
    Effect.gen(function*() {
      for (let seed = 0; seed < 2000; seed += 6) {
        const history = historyOf(seed)
        // What a breaker hears of attempts draws random numbers too, and a deadline leaves room for a typical attempt.
        const policy = history.make()
        if (policy.breaker !== undefined || Duration.isFinite(policy.deadline)) continue
        const series = yield* bySeries(history)
        const retried = yield* byRetry(history)
        assert.deepStrictEqual(rounded(retried.delays), rounded(series.delays), `seed ${seed}`)
        assert.strictEqual(retried.reason?._tag, series.verdict?.error.reason._tag, `seed ${seed}`)
        assert.strictEqual(retried.reason?.attempts, series.attempts, `seed ${seed}`)
      }
    }).pipe(Effect.provide(ResourceMonitor.layerUnlimited)))

  it("draws its delays from more failures than are its own, where it is given more", () => {
    const policy = RetryPolicy.make({ initialDelay: 100, factor: 2, jitter: 0, maxAttempts: 2 })
    const failed = { error: "refused", failure: refused, now: 0, lived: 0 }
    const begun = Decision.begin(0, 0.5)
    const [after, verdict] = Decision.step({ policy, label }, begun, { ...failed, failures: 4 })
    assert.deepStrictEqual(verdict, { _tag: "Again", delay: 800 })
    const [, last] = Decision.step({ policy, label }, after, { ...failed, failures: 5 })
    assert(last._tag === "GiveUp")
    assert.deepStrictEqual([last.delay, last.error.reason._tag, last.error.reason.attempts], [
      1600,
      "AttemptsExhausted",
      2
    ])
    assert.lengthOf(last.error.reason.history, 2)
  })

  it("pays for each attempt from the budget of its policy, and ends when that has nothing left", () => {
    const budget = RetryBudget.make({ capacity: 4, floor: "Infinity" })
    const policy = RetryPolicy.make({ maxAttempts: Infinity, budget })
    let series = Decision.begin(0, 0.5)
    const ends = Array.from({ length: 3 }, (_, index) => {
      const failed = { error: "refused", failure: refused, now: index * 1000, lived: 0 }
      const [after, verdict] = Decision.step({ policy, label }, series, failed)
      series = after
      return verdict._tag === "Again" ? "Again" : verdict.error.reason._tag
    })
    assert.deepStrictEqual(ends, ["Again", "Again", "BudgetExhausted"])
  })

  it("ends where the circuit of its policy is open for longer than its delay", () => {
    const breaker = Breaker.make({ consecutiveFailures: 1, openTime: "10 seconds" })
    const policy = RetryPolicy.make({ maxAttempts: Infinity, breaker })
    const circuit = Decision.circuitOf(policy, label, 0)
    const ticket = circuit?.admit(0)
    assert(circuit !== undefined && ticket !== undefined)
    circuit.settle(ticket, "Failure", { now: 0, u: 0 })
    const failed = { error: "refused", failure: refused, now: 0, lived: 0 }
    const [, verdict] = Decision.step({ policy, label }, Decision.begin(0, 0.5), failed)
    assert(verdict._tag === "GiveUp")
    assert.strictEqual(verdict.error.reason._tag, "CircuitOpen")
  })
})
