/**
 * Labels, call sites and names of spans as peers and users choose them: nowhere in the monitor and in a retry is there a secret, a control
 * character, or a text without a bound.
 */
import { assert, describe, it } from "@effect/vitest"
import {
  Deferred,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Logger,
  Metric,
  References,
  Scope,
  Stream,
  Tracer
} from "effect"
import * as Breaker from "effect-sluice/Breaker"
import * as BreakerChanges from "effect-sluice/BreakerChanges"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as Monitor from "effect-sluice/ResourceMonitor"
import { ResourceMonitor, TestMonitor } from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { TestClock } from "effect/testing"
import { hostileTexts, textsIn, unsafe } from "../support/hostile.ts"
import { fork, settle } from "../support/Pools.ts"
import * as Scripted from "../support/ScriptedConnector.ts"

/** Fails for the first text that must not be printed. */
const check = (what: string, value: unknown): void => {
  const texts = textsIn(value)
  assert.isAbove(texts.length, 0, what)
  for (const text of texts) assert.isUndefined(unsafe(text), `${what}: ${text.slice(0, 200)}`)
}

/** Everything that was logged: messages and annotations. */
const collect = () => {
  const lines: Array<unknown> = []
  const logger = Logger.make(({ fiber, message }) =>
    void lines.push({ message, annotations: fiber.getRef(References.CurrentLogAnnotations) })
  )
  return { lines, layer: Logger.layer([logger]) }
}

describe("a hostile text", () => {
  hostileTexts.forEach((text, index) => {
    it.effect(`as label and call site is nowhere in the monitor (${index})`, () => {
      const { layer, lines } = collect()
      return Effect.gen(function*() {
        const [monitor, test] = yield* Effect.all([ResourceMonitor, TestMonitor])
        const scope = yield* Scope.make()
        for (let i = 0; i < 3; i++) {
          yield* Scope.provide(monitor.track({ label: text, site: () => text }), scope)
        }
        yield* Scope.provide(monitor.trackLeases(() => [{ label: text, site: text }]), scope)
        const { connections } = yield* monitor.figures
        check("figures", connections)
        assert.deepStrictEqual([...connections.values()], [3])
        check("topSites", yield* monitor.topSites(10))
        assert.deepInclude((yield* monitor.topSites(1))[0], { open: 3, leases: 1 })
        check("tracked", yield* test.tracked)
        yield* test.set({ descriptors: 990 })
        check("alerts", yield* monitor.recentAlerts())
        check("refusal", yield* Effect.flip(monitor.reserve({ label: text })))
        check("obstacle", monitor.reserve.unsafe?.obstacle?.({ label: text }))
        check("shortage", yield* monitor.shortage({ label: text, cause: new Error(text) }))
        yield* monitor.reportLeak({
          ...{ _tag: "Held", kind: "Lease", pool: text, label: text, site: text, span: text },
          age: Duration.seconds(3)
        })
        check("leaks", yield* monitor.recentLeaks())
        yield* TestClock.adjust("1 second")
        check("log", lines)
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual((yield* test.tracked).size, 0)
      }).pipe(Effect.provide(Layer.merge(Monitor.layerTest, layer)))
    })

    it.effect(`as key and span of a pool is nowhere in its errors, leaks and logs (${index})`, () => {
      const { layer, lines } = collect()
      return Effect.gen(function*() {
        const monitor = yield* ResourceMonitor
        const { connector } = Scripted.make()
        const pool = yield* ConnectionPool.make({
          ...{ connector, maxTotal: 1, maxPerEndpoint: 1 },
          ...{ leakThreshold: "1 second", acquireTimeout: "3 seconds" }
        })
        const latch = yield* Deferred.make<void>()
        const holding = ConnectionPool.use(pool, text, () => Deferred.await(latch))
        const holder = yield* fork(Effect.withSpan(holding, text))
        yield* settle
        const late = yield* fork(Effect.flip(ConnectionPool.use(pool, text, () => Effect.void)))
        yield* TestClock.adjust("5 seconds")
        yield* settle
        check("error", yield* Fiber.join(late))
        check("leaks", yield* monitor.recentLeaks())
        check("topSites", yield* monitor.topSites(10))
        check("log", lines)
        yield* Deferred.succeed(latch, undefined)
        yield* Fiber.join(holder)
      }).pipe(
        Effect.scoped,
        // Ends the borrows when a check fails, so that the pool can drain.
        Effect.onError(() => Effect.forkDetach(Effect.repeat(TestClock.adjust("1 second"), { times: 30 }))),
        Effect.provide(Layer.merge(Monitor.layerTest, layer))
      )
    })

    it.effect(`as label of a retry is nowhere in its errors, spans and changes of its breaker (${index})`, () =>
      Effect.gen(function*() {
        const breaker = Breaker.make({ consecutiveFailures: 1 })
        const policy = RetryPolicy.make({ maxAttempts: 1, breaker })
        const change = yield* fork(Stream.runHead(BreakerChanges.changes(breaker)))
        const events: Array<unknown> = []
        const tracer = Tracer.make({
          span: (options) => {
            const span = new Tracer.NativeSpan(options)
            const event = span.event.bind(span)
            span.event = (name, at, attributes) => {
              events.push(attributes)
              event(name, at, attributes)
            }
            return span
          }
        })
        const call = Effect.fail({ code: "ECONNREFUSED" }).pipe(
          RetryPolicy.retry(policy, { label: text }),
          Effect.flip,
          Effect.withSpan("call"),
          Effect.withTracer(tracer)
        )
        for (let i = 0; i < 2; i++) {
          const error = yield* call
          check("error", { message: error.message, label: error.reason.label, json: JSON.stringify(error) })
        }
        check("span", events)
        check("change", yield* Fiber.join(change))
        assert.strictEqual((yield* Breaker.state(breaker, text))._tag, "Open")
      }).pipe(
        Effect.provide(Monitor.layerUnlimited),
        Effect.provideService(Metric.MetricRegistry, new Map())
      ))
  })
})
