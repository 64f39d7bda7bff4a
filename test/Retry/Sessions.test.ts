import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Random } from "effect"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { TestClock } from "effect/testing"

const policy = RetryPolicy.make({
  initialDelay: 1000,
  maxDelay: 1000,
  factor: 1,
  jitter: "full",
  maxAttempts: 300
})

/** Retries a call that never succeeds, and writes down the delays in microseconds. */
const session = (delays: Array<number>) =>
  Effect.gen(function*() {
    let last: number | undefined
    const call = Effect.flatMap(Clock.currentTimeMillis, (now) => {
      if (last !== undefined) delays.push(Math.round((now - last) * 1000))
      last = now
      return Effect.fail({ code: "ECONNREFUSED" })
    })
    yield* Effect.exit(RetryPolicy.retry(call, policy))
  })

/** The delays of this many sessions that run at once. */
const delaysOf = (count: number, seed: string) =>
  Effect.gen(function*() {
    const delays = Array.from({ length: count }, (): Array<number> => [])
    const fork = Effect.forkChild({ startImmediately: true })
    const fibers = yield* Effect.forEach(delays, (own) => fork(session(own)))
    yield* TestClock.adjust("10 minutes")
    yield* Fiber.joinAll(fibers)
    return delays
  }).pipe(Random.withSeed(seed), Effect.provide(ResourceMonitor.layerUnlimited))

const mean = (values: ReadonlyArray<number>): number => values.reduce((sum, value) => sum + value, 0) / values.length

const correlation = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): number => {
  const [ma, mb] = [mean(a), mean(b)]
  const covariance = mean(a.map((value, i) => (value - ma) * ((b[i] ?? 0) - mb)))
  const deviation = (values: ReadonlyArray<number>, m: number) =>
    Math.sqrt(mean(values.map((value) => (value - m) ** 2)))
  return covariance / (deviation(a, ma) * deviation(b, mb))
}

describe("sessions of one policy", () => {
  it.effect("are uncorrelated, and a seed repeats all of them", () =>
    Effect.gen(function*() {
      const delays = yield* delaysOf(3, "fleet")
      for (const [i, one] of delays.entries()) {
        assert.lengthOf(one, 299)
        // The deviation of the mean of 299 uniform draws is 17 ms, that of a correlation of nothing is 0.058.
        assert.closeTo(mean(one), 500_000, 60_000)
        for (const other of delays.slice(i + 1)) assert.isBelow(Math.abs(correlation(one, other)), 0.2)
      }
      assert.deepStrictEqual(yield* delaysOf(3, "fleet"), delays)
      assert.notDeepEqual(yield* delaysOf(3, "other"), delays)
    }))

  it.effect("have a stream of their own: what others draw meanwhile changes nothing", () =>
    Effect.gen(function*() {
      const [alone] = yield* delaysOf(1, "own")
      const [among] = yield* delaysOf(3, "own")
      assert.deepStrictEqual(among, alone)
    }))
})

describe("a Retry-After that is a date", () => {
  it.effect("is read against the clock if the answer has no date of its own", () =>
    Effect.gen(function*() {
      yield* TestClock.setTime(Date.UTC(2026, 0, 1, 12, 0, 0))
      const answer = { status: 429, headers: { "retry-after": "Thu, 01 Jan 2026 12:00:40 GMT" } }
      let calls = 0
      const call = Effect.suspend(() => ++calls === 1 ? Effect.fail(answer) : Effect.void)
      const retried = Effect.provide(RetryPolicy.retry(call, RetryPolicy.standard), ResourceMonitor.layerUnlimited)
      const fiber = yield* Effect.forkChild(retried, { startImmediately: true })
      for (let second = 0; second < 39; second++) yield* TestClock.adjust("1 second")
      assert.strictEqual(calls, 1)
      // At most 20 % later than it was told.
      for (let second = 0; second < 9; second++) yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.strictEqual(calls, 2)
    }))
})

describe("the error of a retry", () => {
  it.effect("says what somebody has to do where the code of the failure says so", () =>
    Effect.gen(function*() {
      const expired = Object.assign(new Error("certificate has expired"), { code: "CERT_HAS_EXPIRED" })
      const error = yield* Effect.flip(RetryPolicy.retry(Effect.fail(expired), RetryPolicy.tcpConnection))
      assert.strictEqual(
        error.message,
        "effect failed after 1 attempt in less than 1ms and is not retried; last failure (Fatal CERT_HAS_EXPIRED): " +
          "certificate has expired; compare the clocks of both hosts with the dates of the certificate"
      )
    }).pipe(Effect.provide(ResourceMonitor.layerUnlimited)))
})
