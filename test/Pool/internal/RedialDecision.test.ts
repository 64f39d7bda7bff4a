import { assert, describe, it } from "@effect/vitest"
import { Duration } from "effect"
import * as Failure from "effect-sluice/Failure"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { decideRedial, isLocal } from "../../../src/Pool/internal/DialPolicy.ts"
import { ConnectionDied } from "../../../src/Pool/PoolError.ts"

const policy = RetryPolicy.make({ ...RetryPolicy.tcpConnection, initialDelay: 100, maxDelay: 1000, jitter: 0 })

/** The delay after a first failure whose cause asks to be left alone for so long. */
const delayAfter = (retryAfter: Duration.Input, u: number) =>
  decideRedial({
    policy,
    maxRedialDelay: Infinity,
    error: Object.assign(new ConnectionDied({ key: "k" }), { retryAfter: Duration.fromInputUnsafe(retryAfter) }),
    attempts: 1,
    failures: 1,
    elapsed: 0,
    u
  }).delay

describe("OpeningVerdict", () => {
  it("believes what the policy's own classifier has found", () => {
    const failure = Failure.make("RemoteSaturated", { retryAfter: "20 seconds" })
    const local = Failure.make("LocalExhausted")
    const after = (failure: Failure.Failure) =>
      new RetryPolicy.RetryError({
        reason: new RetryPolicy.AttemptsExhausted({
          label: "k",
          attempts: 1,
          maxAttempts: 1,
          elapsed: Duration.zero,
          failure,
          cause: new Error("busy")
        })
      })
    const situation = { policy, maxRedialDelay: Infinity, attempts: 1, failures: 1, elapsed: 0, u: 0 }
    assert.deepStrictEqual(decideRedial({ ...situation, error: after(failure) }), { _tag: "Again", delay: 20_000 })
    assert.deepStrictEqual([isLocal(after(local)), isLocal(after(failure))], [true, false])
  })

  it("a server that asks for a pause gets it, spread upwards, and one that asks for a day gets a minute", () => {
    assert.strictEqual(delayAfter("50 millis", 0.5), 100)
    assert.strictEqual(delayAfter("10 seconds", 0), 10_000)
    assert.strictEqual(delayAfter("10 seconds", 0.5), 11_000)
    assert.strictEqual(delayAfter("1 day", 0), 60_000)
    assert.isBelow(delayAfter("1 day", 0.999), 72_000)
  })
})
