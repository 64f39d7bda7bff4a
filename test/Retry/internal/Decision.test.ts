/**
 * One decision, in its order; what a refusal says; and what a run remembers.
 */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer } from "effect"
import * as Breaker from "effect-sluice/Breaker"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { TestMonitor } from "effect-sluice/ResourceMonitor"
import * as RetryBudget from "effect-sluice/RetryBudget"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { TestClock } from "effect/testing"
import * as Failure from "../../../src/Retry/Failure.ts"
import * as Decision from "../../../src/Retry/internal/Decision.ts"
import * as Gate from "../Gate.ts"

const exact = (options: RetryPolicy.Options = {}) =>
  RetryPolicy.make({ initialDelay: 100, maxDelay: 10_000, factor: 2, jitter: 0, maxAttempts: 5, ...options })

const start = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

const refused = Object.assign(new Error("connect"), { code: "ECONNREFUSED" })

const millis = (duration: Duration.Duration | undefined) =>
  duration === undefined ? undefined : Duration.toMillis(duration)

describe("Decision.decide", () => {
  const rules = exact({ deadline: 10_000 })[RetryPolicy.TypeId]
  const transient = Failure.make("Transient")
  const input: Decision.DecisionInput = {
    rules,
    progress: { attempts: 1, runs: 1, localFailures: 0, localSince: 0 },
    failure: transient,
    elapsed: 0,
    typical: 0,
    nested: false,
    u: 0
  }

  /** Everything that speaks against a retry, in the order in which it is asked; each one alone is enough. */
  const against: ReadonlyArray<readonly [string, Partial<Decision.DecisionInput>]> = [
    ["NotRetryable", { failure: Failure.make("Fatal") }],
    ["AttemptsExhausted", { nested: true }],
    ["AttemptsExhausted", { progress: { ...input.progress, attempts: 5 } }],
    ["DeadlineExceeded", { elapsed: 9900 }]
  ]

  it("asks class, guard, attempts and deadline in this order: the first that speaks against a retry is the reason", () => {
    assert.deepStrictEqual(Decision.decide(input), { _tag: "Wait", delay: 100 })
    for (let first = 0; first < against.length; first++) {
      const all = Object.assign({}, input, ...against.slice(first).map(([, change]) => change).toReversed())
      const decision = Decision.decide(all)
      assert(decision._tag === "Stop")
      assert.strictEqual(decision.reason, against[first]?.[0])
      const alone = Decision.decide({ ...input, ...against[first]?.[1] })
      assert(alone._tag === "Stop")
      assert.strictEqual(alone.reason, against[first]?.[0])
    }
  })

  it("the delay and a typical attempt must fit in what is left of the deadline", () => {
    const at = (elapsed: number, typical: number) => Decision.decide({ ...input, elapsed, typical })._tag
    assert.deepStrictEqual([at(9899, 0), at(9900, 0)], ["Wait", "Stop"])
    assert.deepStrictEqual([at(4899, 5000), at(4900, 5000)], ["Wait", "Stop"])
  })

  it("each class is retried or not", () => {
    const tags = (idempotent: boolean) =>
      (["Transient", "LocalExhausted", "RemoteSaturated", "Ambiguous", "Fatal", "Redirect"] as const).map((each) =>
        Decision.decide({ ...input, rules: { ...rules, idempotent }, failure: Failure.make(each) })._tag
      )
    assert.deepStrictEqual(tags(false), ["Wait", "Wait", "Wait", "Stop", "Stop", "Stop"])
    assert.deepStrictEqual(tags(true), ["Wait", "Wait", "Wait", "Wait", "Stop", "Stop"])
  })

  it("only what the remote side did not do costs a budget, and only silence opens a circuit", () => {
    const classes = ["Transient", "LocalExhausted", "RemoteSaturated", "Ambiguous", "Fatal", "Redirect"] as const
    assert.deepStrictEqual(classes.filter((each) => Decision.isRemote(Failure.make(each))), [
      "Transient",
      "RemoteSaturated",
      "Ambiguous"
    ])
    assert.deepStrictEqual(classes.filter((each) => Decision.isDown(Failure.make(each))), ["Transient", "Ambiguous"])
  })
})

describe("the order of a retry", () => {
  it.effect("delay, gate, breaker, attempt: each is asked when the one before it has answered", () =>
    Effect.gen(function*() {
      const log: Array<string> = []
      const breaker = Breaker.make()
      const budget = RetryBudget.make()
      const gate = Gate.make()
      const observer: RetryPolicy.RetryObserver = {
        ended: (how) => log.push(how),
        passedGate: () => log.push("gate passed"),
        delayed: () => log.push("delay"),
        refused: (reason) => log.push(reason)
      }
      const circuit = breaker[Breaker.TypeId].circuitOf("db", 0)
      const admit = circuit.admit.bind(circuit)
      circuit.admit = (now) => {
        log.push("breaker")
        return admit(now)
      }
      const bucket = budget[RetryBudget.TypeId].bucketOf("db")
      const withdraw = bucket.withdraw.bind(bucket)
      bucket.withdraw = (now) => {
        log.push("budget")
        return withdraw(now)
      }
      const refusedFor = circuit.refusedFor.bind(circuit)
      circuit.refusedFor = (now) => {
        log.push("look")
        return refusedFor(now)
      }
      const reserve = gate.layer
      const monitor = Layer.effect(
        ResourceMonitor.ResourceMonitor,
        Effect.map(ResourceMonitor.ResourceMonitor, (service) =>
          ResourceMonitor.ResourceMonitor.of({
            ...service,
            reserve: (request) => {
              log.push("gate")
              return service.reserve(request)
            },
            shortage: service.shortage
          }))
      ).pipe(Layer.provide(reserve))
      const policy = exact({
        budget,
        breaker,
        observer,
        classify: (error) => {
          log.push("class")
          return Failure.classify(error)
        }
      })
      let calls = 0
      const effect = Effect.suspend(() => {
        log.push("attempt")
        return ++calls === 1 ? Effect.fail(refused) : Effect.void
      })
      const fiber = yield* start(RetryPolicy.retry(effect, policy, { label: "db" }).pipe(Effect.provide(monitor)))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(log, [
        ...["look", "gate", "breaker", "gate passed", "attempt"],
        ...["class", "Transient", "budget", "look", "delay"],
        ...["look", "gate", "breaker", "gate passed", "attempt", "Succeeded"]
      ])
    }))
})

describe("a refusal", () => {
  it.effect("says when it makes sense to try again, and what every run before came to", () =>
    Effect.gen(function*() {
      const reasonOf = (options: RetryPolicy.Options, error: object = refused) =>
        Effect.gen(function*() {
          const fiber = yield* start(Effect.flip(RetryPolicy.retry(Effect.fail(error), exact(options))))
          yield* TestClock.adjust("2 minutes")
          return (yield* Fiber.join(fiber)).reason
        })
      const exhausted = yield* reasonOf({ maxAttempts: 3 })
      assert.deepStrictEqual([exhausted._tag, millis(exhausted.retryAfter)], ["AttemptsExhausted", 400])
      assert.deepStrictEqual(exhausted.history.map((each) => [each.run, millis(each.begunAfter), each.failure.code]), [
        [1, 0, "ECONNREFUSED"],
        [2, 100, "ECONNREFUSED"],
        [3, 300, "ECONNREFUSED"]
      ])
      const late = yield* reasonOf({ deadline: 1000 })
      assert.deepStrictEqual([late._tag, millis(late.retryAfter)], ["DeadlineExceeded", 800])
      const fatal = yield* reasonOf({}, { code: "EACCES" })
      assert.deepStrictEqual([fatal._tag, fatal.retryAfter], ["NotRetryable", undefined])
      const poor = yield* reasonOf({ budget: RetryBudget.make({ capacity: 1, floor: "Infinity" }) })
      assert.deepStrictEqual([poor._tag, poor.retryAfter], ["BudgetExhausted", undefined])
      const busy = yield* reasonOf({ maxAttempts: 1 }, { status: 503, headers: { "retry-after": "7" } })
      assert.isTrue((millis(busy.retryAfter) ?? 0) >= 7000, busy.message)
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("for want of room says what the gate says", () =>
    Effect.gen(function*() {
      yield* TestMonitor.use((test) => test.set({ descriptors: 999 }))
      const fiber = yield* start(Effect.flip(RetryPolicy.retry(Effect.void, exact({ deadline: 500 }))))
      yield* TestClock.adjust("1 second")
      const { reason } = yield* Fiber.join(fiber)
      assert(reason._tag === "ResourceExhausted")
      assert.isAtLeast(millis(reason.retryAfter) ?? 0, 100)
      assert.deepStrictEqual(reason.history, [])
    }).pipe(Effect.provide(ResourceMonitor.layerTest)))

  it.effect("remembers the first run and the last nine, and of a message two hundred characters", () =>
    Effect.gen(function*() {
      let calls = 0
      const effect = Effect.suspend(() =>
        Effect.fail(Object.assign(new Error(`${++calls} ${"x".repeat(1000)}`), { code: "ECONNREFUSED" }))
      )
      const fiber = yield* start(Effect.flip(RetryPolicy.retry(effect, exact({ maxAttempts: 1000, maxDelay: 100 }))))
      yield* TestClock.adjust("10 minutes")
      const { attempts, history } = (yield* Fiber.join(fiber)).reason
      assert.strictEqual(attempts, 1000)
      assert.deepStrictEqual(history.map((each) => each.run), [1, 992, 993, 994, 995, 996, 997, 998, 999, 1000])
      assert.isTrue(history.every((each) => each.message.length <= 203 && each.message.startsWith(`${each.run} x`)))
    }).pipe(Effect.provide(Gate.make().layer)))

  it("an error that cannot say what it is does no harm", () => {
    const history = new Decision.AttemptLog()
    const hostile = {
      toString: () => {
        throw new Error("no")
      }
    }
    for (const error of [hostile, undefined, null, Symbol("s"), 12n, Object.create(null)]) {
      history.add({ run: 1, begunAt: 0, endedAt: 1, failure: Failure.make("Fatal"), error })
    }
    assert.lengthOf(history.records, 6)
    assert.strictEqual(history.records[0]?.message, "an error without a text")
  })

  it("a typical attempt is the median of the last ten that were made", () => {
    const history = new Decision.AttemptLog()
    assert.strictEqual(history.typical, 0)
    const add = (took: number, failure = Failure.make("Transient")) =>
      history.add({ run: 1, begunAt: 0, endedAt: took, failure, error: refused })
    for (const took of [5, 1, 100]) add(took)
    assert.strictEqual(history.typical, 5)
    for (let i = 0; i < 50; i++) add(0, Failure.make("LocalExhausted"))
    assert.strictEqual(history.typical, 5)
    for (let i = 0; i < 10; i++) add(30)
    assert.strictEqual(history.typical, 30)
  })
})

describe("a deadline", () => {
  it.effect("Retry-After of a day with a deadline of 30 s fails at once", () =>
    Effect.gen(function*() {
      let calls = 0
      const effect = Effect.suspend(() => {
        calls++
        return Effect.fail({ status: 503, headers: { "retry-after": "86400" } })
      })
      const error = yield* Effect.flip(RetryPolicy.retry(effect, exact({ deadline: "30 seconds" })))
      assert.strictEqual(error.reason._tag, "DeadlineExceeded")
      assert.strictEqual(calls, 1)
      const wait = millis(error.reason.retryAfter) ?? 0
      // Nobody is sent away for longer than a minute, spread upwards by a fifth.
      assert.isTrue(wait >= 60_000 && wait <= 72_000, String(wait))
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("no attempt is begun that would not end in time if it took as long as those before", () =>
    Effect.gen(function*() {
      let calls = 0
      const slow = Effect.andThen(
        Effect.sync(() => calls++),
        Effect.andThen(Effect.sleep("4 seconds"), Effect.fail(refused))
      )
      const fiber = yield* start(Effect.flip(RetryPolicy.retry(slow, exact({ deadline: "10 seconds" }))))
      yield* TestClock.adjust("1 minute")
      const { reason } = yield* Fiber.join(fiber)
      // At 8.1 s there are 1.9 s left: enough for the delay, not for four seconds.
      assert.deepStrictEqual([reason._tag, calls, millis(reason.elapsed)], ["DeadlineExceeded", 2, 8100])
      assert.deepStrictEqual(reason.history.map(({ took }) => millis(took)), [4000, 4000])
    }).pipe(Effect.provide(Gate.make().layer)))
})

describe("nested policies", () => {
  it.effect("of three attempts each make three on the wire, not nine, with budget and breaker of their own", () =>
    Effect.gen(function*() {
      let wire = 0
      const dial = Effect.suspend(() => {
        wire++
        return Effect.fail(refused)
      })
      const layer = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
        RetryPolicy.retry(effect, exact({ maxAttempts: 3, budget: RetryBudget.make(), breaker: Breaker.make() }))
      const fiber = yield* start(Effect.flip(layer(layer(dial))))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Fiber.join(fiber)).reason.attempts, 3)
      assert.isAtMost(wire, 4)
      assert.strictEqual(wire, 3)
    }).pipe(Effect.provide(Gate.make().layer)))
})
