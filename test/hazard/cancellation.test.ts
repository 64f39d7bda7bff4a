/**
 * A borrow is interrupted at every scheduling point of every step. Afterwards the counts are exact against the
 * connector's own, nobody is stranded, and the next borrow succeeds.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Scheduler } from "effect"
import * as ConnectionPool from "effect-sluice/ConnectionPool"
import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
import * as RetryPolicy from "effect-sluice/RetryPolicy"
import * as Scripted from "../support/ScriptedConnector.ts"

type Outcome = "ok" | "fail" | "die" | "slow"

const outcomes: ReadonlyArray<Outcome> = ["ok", "fail", "die", "slow"]

const yields = (count: number) =>
  Effect.gen(function*() {
    for (let turn = 0; turn < count; turn++) yield* Effect.yieldNow
  })

const act = (outcome: Outcome): Effect.Effect<void, Scripted.ScriptedFailure> =>
  outcome === "ok"
    ? Effect.void
    : outcome === "fail"
    ? Effect.fail(new Scripted.ScriptedFailure("ECONNREFUSED"))
    : outcome === "die"
    ? Effect.die(new Error("scripted defect"))
    : yields(3)

const actNoFail = (outcome: Outcome): Effect.Effect<void> => Effect.ignore(act(outcome))

const steps = ["open", "check", "use", "close"] as const

const run = (step: typeof steps[number], outcome: Outcome, interruptAfter: number) =>
  Effect.gen(function*() {
    let trouble = false
    const misbehave = (at: typeof steps[number]) =>
      Effect.suspend(() => trouble && at === step ? act(outcome) : Effect.void)
    const scripted = Scripted.make({
      open: () => misbehave("open"),
      check: () => misbehave("check"),
      close: () => trouble && step === "close" ? actNoFail(outcome) : Effect.void
    })
    const pool = yield* ConnectionPool.make({
      connector: scripted.connector,
      maxPerEndpoint: 1,
      maxTotal: 2,
      checkAfterIdle: 0,
      retry: RetryPolicy.make({ maxAttempts: 1 })
    })
    const use = (key: string) =>
      ConnectionPool.use(pool, key, (connection) =>
        step === "use" && trouble
          ? Effect.andThen(act(outcome), Effect.succeed(connection.id))
          : step === "close" && trouble
          ? Effect.as(ConnectionPool.invalidate(pool, connection), connection.id)
          : Effect.succeed(connection.id))
    if (step === "check") yield* use("a")
    trouble = true
    const fiber = yield* Effect.forkChild(Effect.exit(use("a")), { startImmediately: true })
    const neighbour = yield* Effect.forkChild(Effect.exit(use("a")), { startImmediately: true })
    yield* yields(interruptAfter)
    const interrupting = yield* Effect.forkChild(Fiber.interrupt(fiber), { startImmediately: true })
    yield* Fiber.join(interrupting)
    yield* Fiber.await(neighbour)
    trouble = false
    // Nothing is left over: the next borrows succeed, on both endpoints.
    yield* use("a")
    yield* use("b")
    yield* yields(30)
    const stats = yield* ConnectionPool.stats(pool)
    const open = scripted.openNow()
    assert.deepInclude(stats, { active: 0, connecting: 0, waiting: 0 })
    assert.strictEqual(stats.total, open)
    assert.isAtMost(scripted.ledger.peakPerKey, 1)
    assert.isAtMost(scripted.ledger.peakTotal, 2)
    yield* ConnectionPool.drain(pool, "1 second")
    assert.strictEqual(scripted.openNow(), 0)
    assert.strictEqual(scripted.ledger.live.size, 0)
  }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layerUnlimited))

describe("cancellation", () => {
  for (const step of steps) {
    for (const outcome of outcomes) {
      it.live(`a borrow interrupted anywhere leaves nothing behind: ${step} ${outcome}`, () =>
        Effect.gen(function*() {
          for (const maxOps of [3, 4, 5, 7, 9, 13, 20, 38, 64]) {
            for (let interruptAfter = 0; interruptAfter <= 16; interruptAfter++) {
              yield* run(step, outcome, interruptAfter).pipe(
                Effect.timeout("2 seconds"),
                Effect.provideService(Scheduler.MaxOpsBeforeYield, maxOps),
                Effect.catchCause((cause) =>
                  Effect.die(new Error(`maxOps ${maxOps}, interrupted after ${interruptAfter}`, { cause }))
                )
              )
            }
          }
        }), 60_000)
    }
  }
})
