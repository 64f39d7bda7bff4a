/**
 * A retry is interrupted at every scheduling point of every state. Afterwards nothing of it is left: no claim, no probe, no
 * token, no connection, no fiber and no timer.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Fiber, Layer, Metric, Scheduler, Scope } from "effect"
import * as Breaker from "effect-sluice/Breaker"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import { TestMonitor } from "effect-sluice/ResourceMonitor"
import * as RetryBudget from "effect-sluice/RetryBudget"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import { TestClock } from "effect/testing"
import * as Gate from "../Retry/Gate.ts"

const down = { code: "ECONNREFUSED" }

type Failed = { readonly code: string } | RetryPolicy.RetryError<Failed> | RetryPolicy.RetryError

const yields = (count: number) =>
  Effect.forEach(Array.from({ length: count }), () => Effect.yieldNow, { discard: true })

/** A test has a scope of its own, which a retry would use. */
const withoutScope = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.updateContext(effect, (context: Context.Context<R>) => Context.omit(Scope.Scope)(context) as typeof context)

/** Counts the fibers that run in this context. */
const countingFibers = () => {
  const live = { count: 0 }
  const service: Metric.FiberRuntimeMetricsService = {
    recordFiberStart: () => live.count++,
    recordFiberEnd: () => live.count--
  }
  return { live, provide: Effect.provideService(Metric.FiberRuntimeMetrics, service) }
}

interface Way {
  readonly scoped: boolean
  readonly breaker: boolean
  readonly deadline: boolean
  /** A monitor that can be asked in one step, or one that cannot. */
  readonly inOneStep: boolean
}

const ways: ReadonlyArray<Way> = [true, false].flatMap((scoped) =>
  [true, false].flatMap((breaker) =>
    [true, false].flatMap((deadline) => [true, false].map((inOneStep) => ({ scoped, breaker, deadline, inOneStep })))
  )
)

const makeMonitor = (inOneStep: boolean) => {
  const gate = Gate.make()
  return inOneStep
    ? {
      layer: ResourceMonitor.layerTest,
      reserved: Effect.flatMap(
        ResourceMonitor.ResourceMonitor,
        (monitor) => Effect.map(monitor.usage, (usage) => usage.reserved)
      )
    }
    : { layer: gate.layer, reserved: Effect.sync(() => gate.reserved) }
}

/** Interrupts a run after so many steps, and says how many attempts it had begun by then. */
const interruptAfter = (way: Way, { operations, turns }: { readonly operations: number; readonly turns: number }) => {
  const monitor = makeMonitor(way.inOneStep)
  const breaker = Breaker.make({ consecutiveFailures: Infinity })
  const budget = RetryBudget.make({ capacity: 100, deposit: 0, floor: "Infinity" })
  const counts = { begun: 0, open: 0 }
  const policy = RetryPolicy.make({
    initialDelay: 1,
    maxDelay: 1,
    jitter: 0,
    maxAttempts: Infinity,
    budget,
    observer: { passedGate: () => counts.begun++, ended: () => {}, delayed: () => {}, refused: () => {} },
    ...(way.breaker ? { breaker } : undefined),
    ...(way.deadline ? { deadline: "1 hour" } : undefined)
  })
  const open = Effect.acquireRelease(
    Effect.sync(() => counts.open++),
    () => Effect.andThen(Effect.yieldNow, Effect.sync(() => counts.open--))
  )
  const opening = Effect.andThen(open, Effect.yieldNow)
  const failing = Effect.andThen(way.scoped ? opening : Effect.scoped(opening), Effect.fail(down))
  const fibers = countingFibers()
  return Effect.gen(function*() {
    const scope = yield* Scope.make()
    const retried = RetryPolicy.retry(failing, policy, { label: "db" })
    const running = Effect.provideService(
      way.scoped ? Scope.provide(retried, scope) : withoutScope(retried),
      Scheduler.MaxOpsBeforeYield,
      operations
    )
    const fiber = yield* fibers.provide(Effect.forkChild(running, { startImmediately: true }))
    for (let turn = 0; turn < turns; turn++) {
      yield* Effect.yieldNow
      if (turn % 5 === 4) yield* TestClock.adjust(1)
    }
    yield* Fiber.interrupt(fiber)
    const left = {
      ...counts,
      reserved: yield* monitor.reserved,
      fibers: fibers.live.count,
      // What the retry took from the budget is the retries that it has begun.
      spent: 100 - (yield* RetryBudget.balance(budget)),
      inFlight: breaker[Breaker.TypeId].all.get("db")?.inFlight ?? 0,
      scope: scope.state._tag
    }
    const clean = {
      begun: left.begun,
      open: 0,
      reserved: 0,
      fibers: 0,
      spent: Math.max(0, left.begun - 1),
      inFlight: 0,
      scope: "Empty" as const
    }
    assert.deepStrictEqual(left, clean, JSON.stringify({ ...way, operations, turns }))
    return left.begun
  }).pipe(Effect.provide(monitor.layer))
}

describe("interruption", () => {
  it.effect(
    "at every scheduling point leaves nothing, whatever the policy, the scope and the monitor",
    () =>
      Effect.gen(function*() {
        const begun = new Set<number>()
        for (const way of ways) {
          for (const operations of [3, 4, 5, 6, 7, 8, 9, 11, 13, 2048]) {
            for (let turns = 0; turns < 24; turns++) begun.add(yield* interruptAfter(way, { operations, turns }))
          }
        }
        // The sweep has interrupted before the first attempt, in it, and in retries.
        assert.includeMembers([...begun], [0, 1, 2, 3])
      }),
    20_000
  )

  it.live("in every state leaves no timer and no fiber", () =>
    Effect.gen(function*() {
      const timers = () => process.getActiveResourcesInfo().filter((resource) => resource === "Timeout").length
      const policy = (options: RetryPolicy.Options = {}) =>
        RetryPolicy.make({
          initialDelay: "1 minute",
          maxDelay: "1 minute",
          maxAttempts: 9,
          idempotent: true,
          ...options
        })
      const failing = Effect.fail(down)
      const states: Record<string, Effect.Effect<unknown, Failed, ResourceMonitor.ResourceMonitor | TestMonitor>> = {
        "asleep before a retry": RetryPolicy.retry(failing, policy()),
        "asleep for want of room": RetryPolicy.retry(Effect.fail({ code: "EMFILE" }), policy()),
        "asleep with a deadline": RetryPolicy.retry(failing, policy({ deadline: "1 hour" })),
        "in an attempt": RetryPolicy.retry(Effect.never, policy()),
        "in an attempt with a deadline": RetryPolicy.retry(Effect.never, policy({ deadline: "1 hour" })),
        "in an attempt in a scope": Effect.scoped(
          RetryPolicy.retry(
            Effect.andThen(Effect.acquireRelease(Effect.void, () => Effect.void), Effect.never),
            policy()
          )
        ),
        "in a nested attempt": RetryPolicy.retry(
          RetryPolicy.retry(Effect.never, policy({ deadline: "1 hour" })),
          policy({ deadline: "1 hour" })
        ),
        "at the gate": TestMonitor.use((test) =>
          Effect.andThen(test.set({ descriptors: 999 }), RetryPolicy.retry(Effect.void, policy()))
        ),
        "as the probe": RetryPolicy.retry(Effect.never, policy({ breaker: Breaker.make() })),
        "asleep in a schedule": Effect.retry(failing, RetryPolicy.schedule(policy()))
      }
      const all = Object.entries(states).flatMap(([name, effect]) =>
        [[name, effect], [`${name}, without a scope`, withoutScope(effect)]] as const
      )
      for (const [name, effect] of all) {
        yield* Effect.gen(function*() {
          const before = timers()
          const fibers = countingFibers()
          const fiber = yield* fibers.provide(Effect.forkChild(effect, { startImmediately: true }))
          yield* yields(20)
          yield* Effect.sleep(2)
          assert.isUndefined(fiber.pollUnsafe(), `${name}: it has ended`)
          assert.isAbove(fibers.live.count, 0)
          yield* Fiber.interrupt(fiber)
          yield* yields(20)
          const monitor = yield* ResourceMonitor.ResourceMonitor
          assert.deepStrictEqual(
            [
              // One of the test runner's own may have ended.
              Math.max(timers() - before, 0),
              fibers.live.count,
              (yield* monitor.usage).reserved,
              yield* TestMonitor.use((_) => _.waiting)
            ],
            [0, 0, 0, 0],
            name
          )
        }).pipe(Effect.provide(Layer.fresh(ResourceMonitor.layerTest)))
      }
    }), 10_000)

  it.effect("the hook of a run that goes on for long is one, however many attempts there are", () =>
    Effect.gen(function*() {
      const policy = RetryPolicy.make({ initialDelay: 1, maxDelay: 1, jitter: 0, maxAttempts: Infinity })
      let attempts = 0
      const fiber = yield* Effect.forkChild(
        RetryPolicy.retry(
          Effect.suspend(() => {
            attempts++
            return Effect.fail(down)
          }),
          policy
        ),
        { startImmediately: true }
      )
      // The frames of the run loop: they would grow with the attempts if one attempt began inside another.
      const depth = () => (fiber as unknown as { readonly _stack: ReadonlyArray<unknown> })._stack.length
      yield* TestClock.adjust(Duration.millis(10))
      const early = depth()
      yield* TestClock.adjust(Duration.millis(2000))
      assert.isAbove(attempts, 1000)
      assert.strictEqual(depth(), early)
      yield* Fiber.interrupt(fiber)
    }).pipe(Effect.provide(ResourceMonitor.layerTest)))
})
