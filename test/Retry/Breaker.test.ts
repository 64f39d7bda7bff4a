import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber, Result, Stream } from "effect"
import * as Breaker from "effect-sluice/Breaker"
import * as BreakerChanges from "effect-sluice/BreakerChanges"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryBudget from "effect-sluice/RetryBudget"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { TestClock } from "effect/testing"
import {
  BreakerCircuit,
  BreakerWindow,
  type CircuitRules,
  openFor,
  type Phase,
  rampShare,
  type Ticket
} from "../../src/Retry/internal/BreakerCircuit.ts"
import * as Gate from "./Gate.ts"

const rules: CircuitRules = {
  consecutiveFailures: 5,
  failureRate: 0.5,
  minimumCalls: 20,
  window: 10_000,
  openTime: 1000,
  maxOpenTime: 30_000,
  probeLease: 10_000,
  ramp: 10_000
}

const circuitOf = (overrides: Partial<CircuitRules> = {}) => {
  const changes: Array<readonly [Phase, Phase, number]> = []
  const circuit = new BreakerCircuit({ ...rules, ...overrides }, (from, to, now) => changes.push([from, to, now]))
  /** Makes an attempt, if it is let in. */
  const call = (now: number, outcome: "Success" | "Failure" | "Ignored", hint?: number): boolean => {
    const ticket = circuit.admit(now)
    if (ticket !== undefined) circuit.settle(ticket, outcome, { now, u: 1, hint })
    return ticket !== undefined
  }
  const times = (count: number, now: number, outcome: "Success" | "Failure" | "Ignored"): number =>
    Array.from({ length: count }, () => call(now, outcome)).filter((admitted) => admitted).length
  return { circuit, changes, call, times }
}

describe("Breaker.make", () => {
  it.each(
    [
      ["consecutiveFailures", { consecutiveFailures: 0 }],
      ["consecutiveFailures", { consecutiveFailures: 1.5 }],
      ["failureRate", { failureRate: 0 }],
      ["failureRate", { failureRate: 1.1 }],
      ["failureRate", { failureRate: NaN }],
      ["minimumCalls", { minimumCalls: 0 }],
      ["window", { window: 0 }],
      ["window", { window: "Infinity" }],
      ["openTime", { openTime: 0 }],
      ["openTime", { openTime: NaN }],
      ["maxOpenTime", { openTime: 2000, maxOpenTime: 1999 }],
      ["maxOpenTime", { maxOpenTime: "Infinity" }],
      ["probeLease", { probeLease: 0 }],
      ["probeLease", { probeLease: "Infinity" }],
      ["ramp", { ramp: -1 }],
      ["ramp", { ramp: "Infinity" }],
      ["maxLabels", { maxLabels: 0 }],
      ["maxLabels", { maxLabels: 1.5 }]
    ] satisfies ReadonlyArray<readonly [string, Breaker.Options]>
  )("refuses %s of %o and names it", (option, options) => {
    try {
      Breaker.make(options)
    } catch (error) {
      assert.instanceOf(error, Breaker.InvalidOption)
      assert.include(error.message, `Breaker: option ${option} is `)
      return
    }
    assert.fail("it was accepted")
  })

  it("accepts the borders", () => {
    Breaker.make({
      consecutiveFailures: Infinity,
      minimumCalls: Infinity,
      failureRate: 1,
      ramp: 0,
      openTime: "1 minute",
      maxLabels: Infinity
    })
  })
})

describe("BreakerWindow", () => {
  it("counts what is at most a window old, and forgets the rest in tenths", () => {
    const window = new BreakerWindow(10_000)
    for (let second = 0; second < 20; second++) window.add(second * 1000, second % 2 === 0)
    assert.deepStrictEqual([window.calls(19_000), window.failures(19_000)], [10, 5])
    assert.deepStrictEqual([window.calls(23_500), window.failures(23_500)], [6, 3])
    assert.deepStrictEqual([window.calls(1e9), window.failures(1e9)], [0, 0])
  })

  it("agrees with a list of all calls, whatever the times", () => {
    const window = new BreakerWindow(1000)
    const all: Array<readonly [at: number, isFailure: boolean]> = []
    let [now, seed] = [0, 7]
    const random = () => (seed = seed * 16_807 % 2_147_483_647) / 2_147_483_647
    for (let i = 0; i < 5000; i++) {
      now += random() < 0.01 ? random() * 3000 : random() * 40
      const isFailure = random() < 0.3
      window.add(now, isFailure)
      all.push([now, isFailure])
      const since = (Math.floor(now / 100) - 9) * 100
      const recent = all.filter(([at]) => at >= since)
      if (window.calls(now) !== recent.length || window.failures(now) !== recent.filter(([, each]) => each).length) {
        assert.fail(`after ${i} calls, at ${now}`)
      }
    }
  })

  it("goes on where it was when the clock goes back", () => {
    const window = new BreakerWindow(1000)
    window.add(5000, true)
    window.add(100, true)
    assert.strictEqual(window.failures(5000), 2)
    assert.strictEqual(window.failures(6100), 0)
  })
})

describe("BreakerCircuit", () => {
  it("opens after five failures in a row, and a success in between starts anew", () => {
    const { circuit, call, times } = circuitOf()
    times(4, 0, "Failure")
    call(0, "Success")
    times(4, 0, "Failure")
    assert.strictEqual(circuit.phase, "Closed")
    call(0, "Failure")
    assert.strictEqual(circuit.phase, "Open")
    assert.isFalse(call(0, "Success"))
  })

  it("opens when half of at least twenty calls in the window have failed, be there successes in between", () => {
    const { circuit, call } = circuitOf()
    for (let i = 0; i < 9; i++) {
      call(i, "Success")
      call(i, "Failure")
    }
    call(9, "Success")
    assert.strictEqual(circuit.phase, "Closed")
    call(9, "Failure")
    assert.strictEqual(circuit.phase, "Open")
  })

  it("failures that are older than the window do not open it: idle for an hour, then one failure", () => {
    const { circuit, call } = circuitOf({ consecutiveFailures: 100 })
    for (let i = 0; i < 29; i++) call(i, i === 28 ? "Success" : i % 3 === 0 ? "Success" : "Failure")
    const open = circuitOf({ consecutiveFailures: 100, minimumCalls: 30 })
    for (let i = 0; i < 29; i++) open.call(i, "Failure")
    assert.strictEqual(open.circuit.phase, "Closed")
    open.call(3_600_000, "Failure")
    assert.strictEqual(open.circuit.phase, "Closed")
    assert.deepStrictEqual(open.circuit.counts(3_600_000), { calls: 1, failures: 1 })
    assert.strictEqual(circuit.phase, "Open")
  })

  it("what is ignored changes nothing: it neither opens, nor closes, nor breaks a row of failures", () => {
    const { circuit, call, times } = circuitOf()
    times(100, 0, "Ignored")
    assert.deepStrictEqual(circuit.counts(0), { calls: 0, failures: 0 })
    times(4, 0, "Failure")
    times(10, 0, "Ignored")
    call(0, "Failure")
    assert.strictEqual(circuit.phase, "Open")
    // A probe of which nothing is learnt makes room for the next one at once.
    assert.isTrue(call(1000, "Ignored"))
    assert.strictEqual(circuit.phase, "HalfOpen")
    assert.strictEqual(circuit.refusedFor(1000), 0)
    assert.isTrue(call(1000, "Success"))
    assert.strictEqual(circuit.phase, "Closed")
  })

  it("lets in one probe, and everybody else waits for it", () => {
    const { circuit, times } = circuitOf()
    times(5, 0, "Failure")
    assert.strictEqual(circuit.refusedFor(0), 1000)
    assert.strictEqual(circuit.refusedFor(999), 1)
    assert.isUndefined(circuit.admit(999))
    const probe = circuit.admit(1000)
    assert.isTrue(probe?.isProbe)
    assert.isUndefined(circuit.admit(1000))
    assert.isUndefined(circuit.admit(10_999))
    assert.strictEqual(circuit.refusedFor(1000), 10_000)
  })

  it("a probe that hangs loses its place when its lease is over, and what comes of it later changes nothing", () => {
    for (const late of ["Success", "Failure"] as const) {
      const { circuit, times } = circuitOf()
      times(5, 0, "Failure")
      const hung = circuit.admit(1000)
      const second = circuit.admit(11_000)
      assert(hung !== undefined && second !== undefined)
      assert.isTrue(second.isProbe)
      circuit.settle(hung, late, { now: 11_001, u: 1 })
      assert.strictEqual(circuit.phase, "HalfOpen")
      assert.isUndefined(circuit.admit(11_002))
      circuit.settle(second, "Success", { now: 11_003, u: 1 })
      assert.strictEqual(circuit.phase, "Closed")
    }
  })

  it("calls that were let in before a turn change nothing after it", () => {
    const { circuit, changes, times } = circuitOf()
    const early = Array.from({ length: 20 }, () => circuit.admit(0))
    times(5, 0, "Failure")
    const probe = circuit.admit(1000)
    for (const ticket of early.slice(0, 10)) if (ticket) circuit.settle(ticket, "Success", { now: 1000, u: 1 })
    assert.strictEqual(circuit.phase, "HalfOpen")
    if (probe) circuit.settle(probe, "Success", { now: 1001, u: 1 })
    for (const ticket of early.slice(10)) if (ticket) circuit.settle(ticket, "Failure", { now: 1002, u: 1 })
    assert.strictEqual(circuit.phase, "Closed")
    assert.deepStrictEqual(changes, [["Closed", "Open", 0], ["Open", "HalfOpen", 1000], ["HalfOpen", "Closed", 1001]])
    assert.strictEqual(circuit.inFlight, 0)
  })

  it("an opening lasts a tenth of the time that the endpoint has been down, within its bounds, in the upper half of it", () => {
    assert.deepStrictEqual([0, 5000, 10_000, 20_000, 100_000, 300_000, 1e9].map((down) => openFor(down, rules, 1)), [
      1000,
      1000,
      1000,
      2000,
      10_000,
      30_000,
      30_000
    ])
    assert.deepStrictEqual([0, 0.5].map((u) => openFor(40_000, rules, u)), [2000, 3000])
    const { circuit, call, times } = circuitOf()
    times(5, 0, "Failure")
    let now = 0
    const lasted: Array<readonly [down: number, open: number]> = []
    while (now < 1_000_000) {
      const open = circuit.refusedFor(now)
      lasted.push([now, open])
      now += open
      assert.isTrue(call(now, "Failure"))
    }
    for (const [down, open] of lasted) assert.closeTo(open, Math.min(30_000, Math.max(1000, down / 10)), 1e-6)
    assert.strictEqual(lasted.at(-1)?.[1], 30_000)
  })

  it("trust comes back step by step: each window that it stays closed halves the next opening", () => {
    const openings = (closedFor: number): number => {
      const { circuit, call, times } = circuitOf({ ramp: 0 })
      times(5, 0, "Failure")
      for (let now = 1000; now < 140_000; now += circuit.refusedFor(now)) call(now, "Failure")
      assert.isTrue(call(160_000, "Success"))
      times(5, 160_000 + closedFor, "Failure")
      return circuit.refusedFor(160_000 + closedFor)
    }
    assert.deepStrictEqual([0, 9999, 10_000, 20_000, 30_000, 40_000, 1e9].map(openings), [
      16_000,
      16_000,
      8000,
      4000,
      2000,
      1000,
      1000
    ])
  })

  it("stays away for as long as the endpoint asked, within a minute", () => {
    for (const [hint, least, most] of [[5000, 5000, 6000], [86_400_000, 60_000, 72_000]] as const) {
      const { circuit, call, times } = circuitOf()
      times(4, 0, "Failure")
      call(0, "Failure", hint)
      assert.isTrue(circuit.refusedFor(0) >= least && circuit.refusedFor(0) <= most, String(circuit.refusedFor(0)))
    }
  })

  it("after closing two attempts may be under way, one more for each success, and any number when the ramp is over", () => {
    assert.deepStrictEqual([0, 2500, 9999, 10_000].map((since) => rampShare(since, 10_000)), [0, 0.25, 0.9999, 1])
    const { circuit, call, times } = circuitOf()
    // What was under way before says nothing of the time after it.
    const stragglers = Array.from({ length: 50 }, () => circuit.admit(0))
    times(5, 0, "Failure")
    call(1000, "Success")
    const underWay: Array<Ticket> = []
    const crowd = (now: number): number => {
      const admitted = Array.from({ length: 1000 }, () => circuit.admit(now)).filter((ticket) => ticket !== undefined)
      underWay.push(...admitted)
      return admitted.length
    }
    const allSucceed = (now: number) => {
      for (const ticket of underWay.splice(0)) circuit.settle(ticket, "Success", { now, u: 1 })
    }
    const rounds = Array.from({ length: 8 }, (_, round) => {
      const admitted = crowd(1000 + round)
      allSucceed(1000 + round)
      return admitted
    })
    assert.deepStrictEqual(rounds, [2, 4, 8, 16, 32, 64, 128, 256])
    assert.strictEqual(crowd(1100), 512)
    for (const ticket of stragglers) if (ticket) circuit.settle(ticket, "Success", { now: 1100, u: 1 })
    assert.strictEqual(crowd(1100), 0)
    assert.strictEqual(circuit.retryAfter(1100), 1000)
    assert.strictEqual(crowd(10_999), 0)
    assert.strictEqual(crowd(11_000), 1000)
    assert.strictEqual(circuit.share(11_000), 1)
  })

  it("who makes one call at a time meets no ramp", () => {
    const { call, times } = circuitOf()
    times(5, 0, "Failure")
    call(1000, "Success")
    assert.strictEqual(times(1000, 1000, "Success"), 1000)
    assert.strictEqual(times(10, 1000, "Ignored"), 10)
  })

  it("failures on the ramp open it again", () => {
    const { circuit, call, times } = circuitOf()
    times(5, 0, "Failure")
    call(1000, "Success")
    assert.strictEqual(times(60, 1000, "Failure"), 5)
    assert.strictEqual(circuit.phase, "Open")
    assert.strictEqual(circuit.refusedFor(1000), 1000)
  })

  it("denies retries as if it was open when half of the failures that open it have come in a row, not all the call's own", () => {
    const { circuit, call, times } = circuitOf()
    const deniedFor = (failures: number, lived = 1000, now = 0) => circuit.deniesRetryFor({ now, failures, lived })
    call(0, "Failure")
    assert.strictEqual(deniedFor(1), 0)
    call(0, "Failure")
    assert.deepStrictEqual([deniedFor(1), deniedFor(2)], [1000, 0])
    // One that has failed at once has cost the server little.
    assert.deepStrictEqual([99, 100].map((lived) => deniedFor(1, lived)), [0, 1000])
    // The other failure is older than the window.
    assert.strictEqual(deniedFor(1, 1000, 12_000), 0)
    call(0, "Success")
    assert.strictEqual(deniedFor(1), 0)
    times(5, 0, "Failure")
    assert.strictEqual(circuit.phase, "Open")
    // A call that has failed alone may be the probe, another one may not.
    assert.deepStrictEqual([deniedFor(5, 1000, 900), deniedFor(1, 1000, 900)], [100, 1000])
    call(1000, "Success")
    assert.strictEqual(deniedFor(1, 1000, 1000), 0)
  })

  it("denies no retry before half of the failures that open it, and none where no number of them does", () => {
    const patient = circuitOf({ consecutiveFailures: 20, minimumCalls: Infinity })
    const failed = { now: 0, failures: 1, lived: 1000 }
    patient.times(9, 0, "Failure")
    assert.strictEqual(patient.circuit.deniesRetryFor(failed), 0)
    patient.call(0, "Failure")
    assert.strictEqual(patient.circuit.deniesRetryFor(failed), 1000)
    const never = circuitOf({ consecutiveFailures: Infinity, minimumCalls: Infinity })
    never.times(1000, 0, "Failure")
    assert.strictEqual(never.circuit.deniesRetryFor(failed), 0)
  })

  it("is like new when nothing is left to remember, and not a moment sooner", () => {
    const { circuit, call, times } = circuitOf()
    assert.isTrue(circuit.isLikeNew(0))
    call(0, "Success")
    assert.isFalse(circuit.isLikeNew(9000))
    assert.isTrue(circuit.isLikeNew(11_000))
    const ticket = circuit.admit(11_000)
    assert.isFalse(circuit.isLikeNew(30_000))
    if (ticket) circuit.settle(ticket, "Failure", { now: 30_000, u: 1 })
    // A row of failures goes on however long ago the last one was.
    assert.isFalse(circuit.isLikeNew(90_000))
    times(4, 90_000, "Failure")
    assert.isFalse(circuit.isLikeNew(90_000))
    call(91_000, "Success")
    assert.isFalse(circuit.isLikeNew(100_000))
    assert.isTrue(circuit.isLikeNew(112_000))
  })
})

const down = { code: "ECONNREFUSED" }

const policyWith = (breaker: Breaker.Breaker, options: RetryPolicy.Options = {}) =>
  RetryPolicy.make({ initialDelay: 100, maxDelay: 100, jitter: 0, maxAttempts: 1, breaker, ...options })

const start = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

/** Opens the circuit of a label. */
const trip = (breaker: Breaker.Breaker, label = "effect") =>
  Effect.repeat(Effect.exit(RetryPolicy.retry(Effect.fail(down), policyWith(breaker), { label })), { times: 4 })

const tagOf = (breaker: Breaker.Breaker, label = "effect") =>
  Effect.map(Breaker.state(breaker, label), (state) => state._tag)

describe("RetryPolicy.retry with a breaker", () => {
  it.effect("an open circuit refuses at once, without a call and without asking the gate, and says when to come back", () =>
    Effect.gen(function*() {
      const breaker = Breaker.make()
      const gate = Gate.make()
      yield* Effect.gen(function*() {
        yield* trip(breaker, "db")
        const asked = gate.requests.length
        let calls = 0
        const { message, reason } = yield* Effect.flip(
          RetryPolicy.retry(Effect.sync(() => calls++), policyWith(breaker), { label: "db" })
        )
        assert(reason._tag === "CircuitOpen")
        assert.deepStrictEqual([calls, gate.requests.length - asked, reason.attempts], [0, 0, 0])
        assert.strictEqual(reason.state, "Open")
        const wait = Duration.toMillis(reason.retryAfter ?? Duration.zero)
        assert.isTrue(wait >= 500 && wait <= 1000, String(wait))
        assert.match(
          message,
          /^db was not tried again after 0 attempts in less than 1ms, because its circuit is open, retry after (?:\d+ms|1s)$/
        )
        // Another label has a circuit of its own.
        yield* RetryPolicy.retry(Effect.void, policyWith(breaker), { label: "cache" })
      }).pipe(Effect.provide(gate.layer))
    }))

  it.effect("a retry whose delay ends before the circuit lets anybody in is refused before it sleeps, and refunded", () =>
    Effect.gen(function*() {
      const breaker = Breaker.make()
      const budget = RetryBudget.make({ capacity: 20, floor: "Infinity" })
      const fiber = yield* start(
        Effect.flip(RetryPolicy.retry(Effect.fail(down), policyWith(breaker, { maxAttempts: Infinity, budget })))
      )
      yield* TestClock.adjust("1 minute")
      const { reason } = yield* Fiber.join(fiber)
      // Five failures, and the token of the retry that was not made is back.
      assert.strictEqual(yield* RetryBudget.balance(budget), 16)
      assert(reason._tag === "CircuitOpen")
      assert.strictEqual(reason.attempts, 5)
      assert.deepStrictEqual(reason.elapsed, Duration.millis(400))
      assert.deepStrictEqual(reason.cause, down)
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("a retry whose delay is longer than that is made, and is the probe", () =>
    Effect.gen(function*() {
      const breaker = Breaker.make()
      let calls = 0
      const effect = Effect.suspend(() => ++calls <= 5 ? Effect.fail(down) : Effect.succeed(calls))
      const policy = policyWith(breaker, { maxAttempts: Infinity, initialDelay: 1500, maxDelay: 1500 })
      const fiber = yield* start(RetryPolicy.retry(effect, policy))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* Fiber.join(fiber), 6)
      assert.strictEqual(yield* tagOf(breaker), "Closed")
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("interrupted calls, defects, a full host, a busy server and fatal answers are neutral", () =>
    Effect.gen(function*() {
      const breaker = Breaker.make({ consecutiveFailures: 1 })
      const attempt = <A, E>(effect: Effect.Effect<A, E>) =>
        RetryPolicy.retry(effect, policyWith(breaker, { deadline: 10 }))
      const hanging = yield* start(attempt(Effect.never))
      yield* Fiber.interrupt(hanging)
      yield* Effect.exit(attempt(Effect.die("defect")))
      for (const error of [{ code: "EMFILE" }, { status: 429 }, { code: "EACCES" }, new Error("unknown")]) {
        yield* Effect.exit(attempt(Effect.fail(error)))
      }
      assert.deepStrictEqual(yield* Breaker.state(breaker, "effect"), {
        _tag: "Closed",
        calls: 0,
        failures: 0,
        share: 1
      })
      // An attempt that had the whole deadline and did not end in it says that nobody is there.
      const late = yield* start(Effect.exit(attempt(Effect.never)))
      yield* TestClock.adjust(10)
      yield* Fiber.join(late)
      assert.strictEqual(yield* tagOf(breaker), "Open")
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("an interrupted probe makes room for the next one", () =>
    Effect.gen(function*() {
      const breaker = Breaker.make()
      yield* trip(breaker)
      yield* TestClock.adjust(1000)
      const probe = yield* start(RetryPolicy.retry(Effect.never, policyWith(breaker)))
      const { reason } = yield* Effect.flip(RetryPolicy.retry(Effect.void, policyWith(breaker)))
      assert(reason._tag === "CircuitOpen")
      assert.strictEqual(reason.state, "HalfOpen")
      assert.include(reason.message, "is being probed")
      yield* Fiber.interrupt(probe)
      yield* RetryPolicy.retry(Effect.void, policyWith(breaker))
      assert.strictEqual(yield* tagOf(breaker), "Closed")
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("a probe that hangs does not keep everybody out", () =>
    Effect.gen(function*() {
      const breaker = Breaker.make()
      yield* trip(breaker)
      yield* TestClock.adjust(1000)
      const hung = yield* start(Effect.exit(RetryPolicy.retry(Effect.never, policyWith(breaker))))
      yield* TestClock.adjust(10_000)
      yield* RetryPolicy.retry(Effect.void, policyWith(breaker))
      assert.strictEqual(yield* tagOf(breaker), "Closed")
      yield* Fiber.interrupt(hung)
      assert.strictEqual(yield* tagOf(breaker), "Closed")
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("no probe waits at the gate: the breaker is asked when there is room", () =>
    Effect.gen(function*() {
      const breaker = Breaker.make()
      const gate = Gate.make()
      yield* Effect.gen(function*() {
        yield* trip(breaker)
        yield* TestClock.adjust(1000)
        gate.room = 0
        const waiting = yield* start(RetryPolicy.retry(Effect.void, policyWith(breaker)))
        yield* TestClock.adjust(500)
        assert.strictEqual(yield* tagOf(breaker), "Open")
        yield* RetryPolicy.retry(Effect.void, policyWith(breaker, { descriptors: 0 })).pipe(
          Effect.provide(Gate.make().layer)
        )
        assert.strictEqual(yield* tagOf(breaker), "Closed")
        gate.room = 1
        yield* TestClock.adjust("10 seconds")
        yield* Fiber.join(waiting)
        assert.strictEqual(gate.reserved, 0)
      }).pipe(Effect.provide(gate.layer))
    }))

  it.effect("a retry that the breaker refuses at the gate gives its claim and its token back", () =>
    Effect.gen(function*() {
      const breaker = Breaker.make()
      const gate = Gate.make(0)
      const first = yield* start(
        Effect.flip(RetryPolicy.retry(Effect.void, policyWith(breaker))).pipe(
          Effect.provide(gate.layer)
        )
      )
      yield* trip(breaker).pipe(Effect.provide(Gate.make().layer))
      gate.room = 1
      yield* TestClock.adjust(200)
      const { reason } = yield* Fiber.join(first)
      assert.strictEqual(reason._tag, "CircuitOpen")
      assert.strictEqual(gate.reserved, 0)
    }))

  it.effect("after it was open, the load returns in steps", () =>
    Effect.gen(function*() {
      const breaker = Breaker.make({ ramp: "10 seconds" })
      yield* trip(breaker)
      yield* TestClock.adjust(1000)
      yield* RetryPolicy.retry(Effect.void, policyWith(breaker))
      const call = RetryPolicy.retry(Effect.sleep(100), policyWith(breaker))
      const crowd = Effect.gen(function*() {
        const fiber = yield* start(
          Effect.all(Array.from({ length: 100 }, () => Effect.result(call)), { concurrency: 100 })
        )
        yield* TestClock.adjust(100)
        return yield* Fiber.join(fiber)
      })
      const admitted = Effect.map(crowd, (results) => results.filter(Result.isSuccess).length)
      // Each call that succeeds allows one more.
      assert.deepStrictEqual([yield* admitted, yield* admitted, yield* admitted], [2, 4, 8])
      const refused = (yield* crowd).find(Result.isFailure)?.failure
      assert(refused?.reason._tag === "CircuitOpen")
      assert.strictEqual(refused.reason.state, "Closed")
      assert.include(refused.message, "has just closed and limits attempts, retry after 1s")
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* admitted, 100)
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("a call that fails after another one, with no success between, is not retried, and is refunded", () =>
    Effect.gen(function*() {
      const breaker = Breaker.make()
      const budget = RetryBudget.make({ capacity: 20, floor: "Infinity" })
      let calls = 0
      const failing = (millis: number) =>
        Effect.suspend(() => {
          calls++
          return Effect.andThen(Effect.sleep(millis), Effect.fail(down))
        })
      const call = (millis: number) =>
        start(Effect.flip(RetryPolicy.retry(failing(millis), policyWith(breaker, { maxAttempts: 2, budget }))))
      const first = yield* call(1000)
      yield* TestClock.adjust(10)
      const second = yield* call(1000)
      yield* TestClock.adjust("1 minute")
      const [alone, other] = [yield* Fiber.join(first), yield* Fiber.join(second)]
      assert.strictEqual(alone.reason._tag, "AttemptsExhausted")
      assert(other.reason._tag === "CircuitOpen")
      assert.deepStrictEqual([other.reason.state, other.reason.attempts, other.reason.consecutiveFailures], [
        "Closed",
        1,
        2
      ])
      assert.deepStrictEqual(other.reason.retryAfter, Duration.seconds(1))
      assert.deepStrictEqual(other.reason.cause, down)
      assert.match(
        other.message,
        /^effect was not tried again after 1 attempt in 1s, because its circuit has seen 2 failures in a row and grants no/
      )
      assert.strictEqual(calls, 3)
      // Three failures, and the token of the retry that was not made is back.
      assert.strictEqual(yield* RetryBudget.balance(budget), 20 - 2)
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("calls that fail together at once are retried each, as when they share a connection that breaks", () =>
    Effect.gen(function*() {
      const breaker = Breaker.make()
      let calls = 0
      const breaking = Effect.suspend(() =>
        ++calls > 4 ? Effect.void : Effect.andThen(Effect.sleep(50), Effect.fail(down))
      )
      const call = RetryPolicy.retry(breaking, policyWith(breaker, { maxAttempts: 2 }))
      const fiber = yield* start(Effect.all([call, call, call, call], { concurrency: 4 }))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.strictEqual(calls, 8)
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("a nested retry with the same circuit is not in the way of the probe that it is part of", () =>
    Effect.gen(function*() {
      const breaker = Breaker.make()
      yield* trip(breaker, "db")
      yield* TestClock.adjust(1000)
      const inner = RetryPolicy.retry(Effect.succeed(1), policyWith(breaker), { label: "db" })
      const outer = RetryPolicy.retry(
        RetryPolicy.retry(inner, policyWith(breaker), { label: "other" }),
        policyWith(breaker),
        {
          label: "db"
        }
      )
      assert.strictEqual(yield* outer, 1)
      assert.strictEqual(yield* tagOf(breaker, "db"), "Closed")
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("an outer retry comes back when the inner circuit lets it in, and holds it against nobody", () =>
    Effect.gen(function*() {
      const [inner, outer] = [Breaker.make(), Breaker.make({ consecutiveFailures: 1 })]
      yield* trip(inner)
      const fiber = yield* start(RetryPolicy.retry(
        RetryPolicy.retry(Effect.clockWith((clock) => clock.currentTimeMillis), policyWith(inner)),
        policyWith(outer, { maxAttempts: 2 })
      ))
      yield* TestClock.adjust("10 seconds")
      const at = yield* Fiber.join(fiber)
      assert.isTrue(at >= 500 && at <= 1200, String(at))
      assert.strictEqual(yield* tagOf(outer), "Closed")
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("reads the monotonic clock: a wall clock that steps by an hour opens and closes nothing", () =>
    Effect.gen(function*() {
      const breaker = Breaker.make()
      const clock = yield* Clock.Clock
      const stepped = (by: number): Clock.Clock =>
        Object.assign(Object.create(clock), {
          currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + by,
          currentTimeMillis: Effect.map(clock.currentTimeMillis, (now) => now + by)
        })
      yield* trip(breaker)
      for (const by of [3_600_000, -3_600_000]) {
        const { reason } = yield* Effect.flip(RetryPolicy.retry(Effect.void, policyWith(breaker))).pipe(
          Effect.provideService(Clock.Clock, stepped(by))
        )
        assert(reason._tag === "CircuitOpen")
        assert.isAtMost(Duration.toMillis(reason.retryAfter ?? Duration.infinity), 1000)
      }
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("a schedule looks at the circuit as well", () =>
    Effect.gen(function*() {
      const breaker = Breaker.make()
      yield* trip(breaker)
      let calls = 0
      const effect = Effect.suspend(() => {
        calls++
        return Effect.fail(down)
      })
      yield* Effect.exit(Effect.retry(effect, RetryPolicy.schedule(policyWith(breaker, { maxAttempts: 9 }))))
      assert.strictEqual(calls, 1)
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("every state can be read, by label", () =>
    Effect.gen(function*() {
      const breaker = Breaker.make({ ramp: 0 })
      assert.deepStrictEqual(yield* Breaker.state(breaker, "a"), { _tag: "Closed", calls: 0, failures: 0, share: 1 })
      yield* trip(breaker, "b")
      yield* RetryPolicy.retry(Effect.void, policyWith(breaker), { label: "c" })
      yield* TestClock.adjust(1000)
      const probe = yield* start(RetryPolicy.retry(Effect.never, policyWith(breaker), { label: "b" }))
      yield* TestClock.adjust(4000)
      const states = yield* Breaker.states(breaker)
      assert.deepStrictEqual(
        states,
        new Map<string, Breaker.State>([
          ["b", { _tag: "HalfOpen", retryAfter: Duration.seconds(6) }],
          ["c", { _tag: "Closed", calls: 1, failures: 0, share: 1 }]
        ])
      )
      yield* Fiber.interrupt(probe)
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("forgets the circuits of endpoints that nothing is known of, and only those", () =>
    Effect.gen(function*() {
      const breaker = Breaker.make()
      yield* trip(breaker, "down")
      const crowd = (from: number) =>
        Effect.forEach(Array.from({ length: 200 }, (_, i) => from + i), (i) =>
          RetryPolicy.retry(Effect.void, policyWith(breaker), { label: `endpoint ${i}` }), { discard: true })
      for (let i = 0; i < 50; i++) {
        yield* crowd(i * 200)
        yield* TestClock.adjust("11 seconds")
      }
      const states = yield* Breaker.states(breaker)
      assert.isAtMost(states.size, 1000)
      assert.strictEqual(states.get("down")?._tag, "Open")
    }).pipe(Effect.provide(ResourceMonitor.layerUnlimited)))

  it.effect("has a thousand circuits at most, and drops those of which it knows least", () =>
    Effect.gen(function*() {
      const breaker = Breaker.make()
      const call = (label: string, outcome: "Success" | "Failure", times = 1) => {
        for (let i = 0; i < times; i++) {
          const circuit = breaker[Breaker.TypeId].circuitOf(label, 0)
          const ticket = circuit.admit(0)
          if (ticket !== undefined) circuit.settle(ticket, outcome, { now: 0, u: 1 })
        }
      }
      call("down", "Failure", 5)
      call("failing", "Failure", 4)
      call("busy", "Success", 20)
      for (let i = 0; i < 40_000; i++) call(`untrusted ${i}`, "Success")
      const states = yield* Breaker.states(breaker)
      assert.isAtMost(states.size, 1000)
      assert.strictEqual(states.get("down")?._tag, "Open")
      assert.isTrue(states.has("busy"))
      call("failing", "Failure")
      assert.strictEqual(yield* tagOf(breaker, "failing"), "Open")
      // Labels that are all open are no exception.
      for (let i = 0; i < 40_000; i++) call(`untrusted ${i}`, "Failure", 5)
      assert.isAtMost((yield* Breaker.states(breaker)).size, 1000)
    }))

  it.effect("keeps as few circuits as it may, and a circuit that was dropped reports no more changes", () =>
    Effect.gen(function*() {
      const breaker = Breaker.make({ maxLabels: 1, consecutiveFailures: 1 })
      const seen: Array<Breaker.Change> = []
      breaker[Breaker.TypeId].listen((change) => seen.push(change))
      const attempt = RetryPolicy.retry(Effect.andThen(Effect.sleep(100), Effect.fail(down)), policyWith(breaker), {
        label: "first"
      })
      const first = yield* start(Effect.exit(attempt))
      yield* Effect.exit(RetryPolicy.retry(Effect.fail(down), policyWith(breaker), { label: "second" }))
      yield* TestClock.adjust(100)
      yield* Fiber.join(first)
      assert.deepStrictEqual(Array.from((yield* Breaker.states(breaker)).keys()), ["second"])
      assert.deepStrictEqual(seen, [{ label: "second", from: "Closed", to: "Open" }])
    }).pipe(Effect.provide(ResourceMonitor.layerUnlimited)))
})

describe("BreakerChanges.changes", () => {
  it.effect("has every turn of every circuit, to each reader, and ends with its reader", () =>
    Effect.gen(function*() {
      const breaker = Breaker.make({ consecutiveFailures: 5 })
      const read = (count: number) => start(Stream.runCollect(Stream.take(BreakerChanges.changes(breaker), count)))
      const [all, first] = [yield* read(3), yield* read(1)]
      yield* trip(breaker, "db")
      yield* TestClock.adjust(1000)
      yield* RetryPolicy.retry(Effect.void, policyWith(breaker), { label: "db" })
      assert.deepStrictEqual(yield* Fiber.join(all), [
        { label: "db", from: "Closed", to: "Open" },
        { label: "db", from: "Open", to: "HalfOpen" },
        { label: "db", from: "HalfOpen", to: "Closed" }
      ])
      assert.lengthOf(yield* Fiber.join(first), 1)
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("a slow reader misses the oldest beyond a thousand, and holds nobody up", () =>
    Effect.gen(function*() {
      const breaker = Breaker.make({ consecutiveFailures: 1 })
      const seen: Array<string> = []
      const reader = yield* start(
        Stream.runForEach(BreakerChanges.changes(breaker), ({ label }) =>
          Effect.andThen(Effect.sleep(1), Effect.sync(() => seen.push(label))))
      )
      for (let i = 0; i < 3000; i++) {
        yield* Effect.exit(RetryPolicy.retry(Effect.fail(down), policyWith(breaker), { label: `${i}` }))
      }
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(seen.at(-1), "2999")
      assert.isAtMost(seen.length, 1200)
      yield* Fiber.interrupt(reader)
    }).pipe(Effect.provide(Gate.make().layer)))
})
