import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Metric, Tracer } from "effect"
import * as Breaker from "effect-sluice/Breaker"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { TestMonitor } from "effect-sluice/ResourceMonitor"
import * as RetryBudget from "effect-sluice/RetryBudget"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import * as RetryTelemetry from "effect-sluice/RetryTelemetry"
import { TestClock } from "effect/testing"
import * as Gate from "./Gate.ts"

const exact = (options: RetryPolicy.Options = {}) =>
  RetryPolicy.make({ initialDelay: 100, maxDelay: 10_000, factor: 2, jitter: 0, maxAttempts: 3, ...options })

const start = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

/** In a registry of its own. */
const own = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.provideService(effect, Metric.MetricRegistry, new Map())

/** What the metrics of a policy say: counts by attribute, and of histograms the count and the sum. */
const figures = Effect.map(Metric.snapshot, (snapshots) =>
  Object.fromEntries(snapshots.map((metric) => {
    const { "retry.outcome": outcome, "retry.reason": reason } = metric.attributes ?? {}
    const name = [metric.id.replace("sluice.retry.", ""), outcome ?? reason].filter((part) => part !== undefined).join(
      " "
    )
    switch (metric.type) {
      case "Counter":
        return [name, metric.state.count]
      case "Gauge":
        return [name, metric.state.value]
      case "Histogram":
        return [name, [metric.state.count, metric.state.sum]]
      default:
        return [name, undefined]
    }
  })))

const failing = (codes: ReadonlyArray<string>, millis = 0) => {
  let call = 0
  return Effect.suspend(() => {
    const code = codes[call++]
    const outcome = code === undefined ? Effect.succeed(call) : Effect.fail({ code })
    return millis === 0 ? outcome : Effect.andThen(Effect.sleep(millis), outcome)
  })
}

describe("RetryTelemetry.record", () => {
  it.effect("counts attempts by how they end, and measures attempts, delays and waits for room", () =>
    Effect.gen(function*() {
      const policy = yield* RetryTelemetry.record(exact(), { name: "orders" })
      const test = yield* TestMonitor
      yield* test.set({ descriptors: 999 })
      const fiber = yield* start(RetryPolicy.retry(failing(["ECONNREFUSED", "EMFILE"], 250), policy))
      yield* TestClock.adjust(500)
      yield* test.set({ descriptors: 0 })
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), 3)
      assert.deepStrictEqual(yield* figures, {
        "attempts Transient": 1,
        "attempts LocalExhausted": 1,
        "attempts Succeeded": 1,
        "attempt.duration": [3, 0.75],
        delay: [2, 0.2],
        "gate.wait": [3, 0.5]
      })
    }).pipe(own, Effect.provide(ResourceMonitor.layerTest)))

  it.effect("counts refusals by their reason", () =>
    Effect.gen(function*() {
      const budget = RetryBudget.make({ capacity: 1, floor: "Infinity" })
      const breaker = Breaker.make({ consecutiveFailures: 1 })
      const late = yield* start(
        Effect.exit(
          RetryPolicy.retry(Effect.never, yield* RetryTelemetry.record(exact({ deadline: 50 }), { name: "a" }))
        )
      )
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(late)
      for (const options of [{ maxAttempts: 1 }, { deadline: 50 }, { budget }, { breaker }]) {
        const policy = yield* RetryTelemetry.record(exact(options), { name: "a" })
        yield* Effect.exit(RetryPolicy.retry(Effect.fail({ code: "ECONNREFUSED" }), policy))
      }
      const fatal = yield* RetryTelemetry.record(exact(), { name: "a" })
      yield* Effect.exit(RetryPolicy.retry(Effect.fail({ code: "EACCES" }), fatal))
      assert.deepInclude(yield* figures, {
        "refusals AttemptsExhausted": 1,
        "refusals DeadlineExceeded": 2,
        "refusals BudgetExhausted": 1,
        "refusals CircuitOpen": 1,
        "refusals NotRetryable": 1,
        "attempts TimedOut": 1
      })
    }).pipe(own, Effect.provide(Gate.make().layer)))

  it.effect("counts what passes through, a defect and an interruption, and no refusal with it", () =>
    Effect.gen(function*() {
      const policy = yield* RetryTelemetry.record(exact(), { name: "orders" })
      yield* Effect.exit(RetryPolicy.retry(Effect.die("defect"), policy))
      const fiber = yield* start(RetryPolicy.retry(Effect.never, policy))
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* figures, {
        "attempts Passed": 2,
        "attempt.duration": [2, 0],
        "gate.wait": [2, 0]
      })
    }).pipe(own, Effect.provide(ResourceMonitor.layerUnlimited)))

  it.effect("is kept by policies that are made from a recorded one, and tells names apart", () =>
    Effect.gen(function*() {
      const orders = yield* RetryTelemetry.record(exact(), { name: "orders" })
      const reports = yield* RetryTelemetry.record(exact(), { name: "reports" })
      yield* RetryPolicy.retry(Effect.void, RetryPolicy.make({ ...orders, maxAttempts: 9 }))
      yield* RetryPolicy.retry(Effect.void, reports)
      yield* RetryPolicy.retry(Effect.void, exact())
      const metrics = (yield* Metric.snapshot).filter((metric) => metric.id === "sluice.retry.attempts")
      assert.sameMembers(metrics.map((metric) => metric.attributes?.["retry.policy"]), ["orders", "reports"])
    }).pipe(own, Effect.provide(Gate.make().layer)))

  it("refuses an empty name", () => {
    assert.throws(
      () => RetryTelemetry.record(exact(), { name: "" }),
      /RetryTelemetry: option name is "", but it must not/
    )
    assert.throws(() => RetryTelemetry.recordBudget(RetryBudget.make(), { name: "" }), /option name is ""/)
    assert.throws(() => RetryTelemetry.recordBreaker(Breaker.make(), { name: "" }), /option name is ""/)
  })
})

describe("RetryTelemetry.recordBudget", () => {
  it.effect("shows the balance at each export, of a keyed budget the lowest, until the scope ends", () =>
    Effect.gen(function*() {
      const budget = RetryBudget.makeKeyed({ floor: "Infinity" })
      const policy = exact({ maxAttempts: 1, budget })
      yield* Effect.scoped(Effect.gen(function*() {
        yield* RetryTelemetry.recordBudget(budget, { name: "all" })
        assert.deepStrictEqual(yield* figures, { "budget.balance": 10 })
        for (const label of ["a", "b", "b"]) {
          yield* Effect.exit(RetryPolicy.retry(failing(["ECONNREFUSED"]), policy, { label }))
        }
        assert.deepStrictEqual(yield* figures, { "budget.balance": 8 })
      }))
      assert.deepStrictEqual(yield* figures, {})
    }).pipe(own, Effect.provide(Gate.make().layer)))
})

describe("RetryTelemetry.recordBreaker", () => {
  it.effect("shows how many circuits are not closed, and counts changes, until the scope ends", () =>
    Effect.gen(function*() {
      const breaker = Breaker.make({ consecutiveFailures: 1 })
      const policy = exact({ maxAttempts: 1, breaker })
      const call = (codes: ReadonlyArray<string>, label: string) =>
        Effect.exit(RetryPolicy.retry(failing(codes), policy, { label }))
      const circuits = Effect.map(Metric.snapshot, (metrics) =>
        metrics.map((metric) => [
          metric.id,
          metric.attributes,
          metric.type === "Gauge" ? metric.state.value : metric.type === "Counter" ? metric.state.count : undefined
        ]))
      const open = (value: number) => ["sluice.breaker.open", { "sluice.breaker": "orders", unit: "{circuit}" }, value]
      const changes = (state: string, count: number) => [
        "sluice.breaker.transitions",
        { "sluice.breaker": "orders", "sluice.breaker.state": state, unit: "{transition}" },
        count
      ]
      yield* Effect.scoped(Effect.gen(function*() {
        yield* RetryTelemetry.recordBreaker(breaker, { name: "orders" })
        assert.deepStrictEqual(yield* circuits, [open(0)])
        yield* call(["ECONNREFUSED"], "a")
        yield* call(["ECONNREFUSED"], "b")
        assert.sameDeepMembers(yield* circuits, [open(2), changes("open", 2)])
        yield* TestClock.adjust("10 seconds")
        yield* call([], "a")
        assert.sameDeepMembers(yield* circuits, [
          open(1),
          changes("open", 2),
          changes("half_open", 1),
          changes("closed", 1)
        ])
      }))
      assert.deepStrictEqual(yield* circuits, [])
      yield* call(["ECONNREFUSED"], "c")
      assert.deepStrictEqual(yield* circuits, [])
    }).pipe(own, Effect.provide(Gate.make().layer)))
})

describe("each metric of a retry", () => {
  it.effect("has a unit and a description, no secret in its name, and the boundaries that OpenTelemetry advises", () =>
    Effect.gen(function*() {
      const name = "orders password=hunter2\n"
      const breaker = Breaker.make({ consecutiveFailures: 2 })
      const budget = RetryBudget.make()
      const policy = yield* RetryTelemetry.record(exact({ maxAttempts: 2, breaker, budget }), { name })
      yield* RetryTelemetry.recordBudget(budget, { name })
      yield* RetryTelemetry.recordBreaker(breaker, { name })
      const fiber = yield* start(Effect.exit(RetryPolicy.retry(failing(["ECONNREFUSED", "ECONNREFUSED"]), policy)))
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(fiber)
      const metrics = yield* Metric.snapshot
      const units = Object.fromEntries(metrics.map(({ attributes, id }) => [id, attributes?.["unit"]]))
      assert.deepStrictEqual(units, {
        "sluice.retry.attempts": "{attempt}",
        "sluice.retry.refusals": "{call}",
        "sluice.retry.attempt.duration": "s",
        "sluice.retry.delay": "s",
        "sluice.retry.gate.wait": "s",
        "sluice.retry.budget.balance": "{token}",
        "sluice.breaker.open": "{circuit}",
        "sluice.breaker.transitions": "{transition}"
      })
      for (const metric of metrics) {
        assert.isNotEmpty(metric.description)
        assert.notMatch(JSON.stringify(metric.attributes), /hunter2|\\n/)
        if (metric.type !== "Histogram") continue
        const bounds = metric.state.buckets.map(([bound]) => bound)
        assert.deepStrictEqual(bounds, [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10])
      }
    }).pipe(Effect.scoped, own, Effect.provide(Gate.make().layer)))
})

describe("a span", () => {
  it.effect("has each attempt as an event, with how it ended", () =>
    Effect.gen(function*() {
      const spans: Array<Tracer.Span> = []
      const events: Array<readonly [string, bigint, Record<string, unknown> | undefined]> = []
      const tracer = Tracer.make({
        span(options) {
          const span = new Tracer.NativeSpan(options)
          span.event = (name, at, attributes) => void events.push([name, at, attributes])
          spans.push(span)
          return span
        }
      })
      const fiber = yield* start(
        RetryPolicy.retry(failing(["ECONNREFUSED", "EPIPE"], 5), exact({ idempotent: true }), { label: "db" }).pipe(
          Effect.withSpan("query"),
          Effect.provideService(Tracer.Tracer, tracer)
        )
      )
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.lengthOf(spans, 1)
      const common = { "retry.label": "db", "retry.duration_ms": 5 }
      assert.deepStrictEqual(events, [
        ["retry.attempt", 5_000_000n, {
          ...common,
          "retry.attempt": 1,
          "retry.outcome": "Transient",
          "retry.code": "ECONNREFUSED"
        }],
        ["retry.attempt", 110_000_000n, {
          ...common,
          "retry.attempt": 2,
          "retry.outcome": "Ambiguous",
          "retry.code": "EPIPE"
        }],
        ["retry.attempt", 315_000_000n, { ...common, "retry.attempt": 3, "retry.outcome": "Succeeded" }]
      ])
    }).pipe(Effect.provide(Gate.make().layer)))

  it.effect("a tracer that throws keeps back no claim", () =>
    Effect.gen(function*() {
      const tracer = Tracer.make({
        span(options) {
          const span = new Tracer.NativeSpan(options)
          span.event = () => {
            throw new Error("bad tracer")
          }
          return span
        }
      })
      const monitor = yield* ResourceMonitor.ResourceMonitor
      for (const effect of [Effect.void, Effect.fail({ code: "ECONNREFUSED" }), Effect.scoped(Effect.void)]) {
        for (const scope of [Effect.scoped, <A, E, R>(self: Effect.Effect<A, E, R>) => self]) {
          yield* Effect.exit(
            scope(RetryPolicy.retry(effect, exact({ maxAttempts: 1 }))).pipe(
              Effect.withSpan("query"),
              Effect.provideService(Tracer.Tracer, tracer)
            )
          )
          assert.strictEqual((yield* monitor.usage).reserved, 0)
        }
      }
    }).pipe(Effect.provide(ResourceMonitor.layerTest)))
})
