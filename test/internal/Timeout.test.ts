import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber, Option } from "effect"
import { TestClock } from "effect/testing"
import { stat } from "node:fs"
import { awaitWithin, supervised } from "../../src/internal/Timeout.ts"
import { timeoutOption, timeoutOptionRunning, timeoutOrElse } from "../../src/internal/Timeout.ts"
import { Alarm, loopTurn } from "../../src/internal/Timer.ts"
import { LateClock } from "../support/LateClock.ts"
import { stall } from "../support/stall.ts"

/** What is known outside the loop long before the limit, and inside it only after the loop has turned. */
const inTime = Effect.callback<string>((resume) => stat(".", () => resume(Effect.succeed("in time"))))

const limit = Duration.millis(50)

/** Starts an effect, and stalls the loop far beyond the limit as soon as it is under way. */
const stalled = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.gen(function*() {
    const fiber = yield* Effect.forkChild(effect, { startImmediately: true })
    stall(150)
    return yield* Fiber.join(fiber)
  })

describe("Timeout", () => {
  it.live("what ended in time while the event loop was busy is in time", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* stalled(timeoutOption(inTime, limit)), Option.some("in time"))
      const orElse = () => Effect.succeed("late")
      assert.strictEqual(yield* stalled(timeoutOrElse(inTime, { duration: limit, orElse })), "in time")
    }))

  it.live("a fiber that ended in time while the event loop was busy is found ended", () =>
    Effect.gen(function*() {
      const bounds = { within: limit, patience: Duration.zero }
      assert.strictEqual((yield* stalled(supervised(inTime, bounds)))?._tag, "Success")
      const fiber = yield* Effect.forkChild(inTime, { startImmediately: true })
      assert.strictEqual((yield* stalled(awaitWithin(fiber, limit)))?._tag, "Success")
    }))

  it.live("what does not end is late", () =>
    Effect.gen(function*() {
      assert.isTrue(Option.isNone(yield* stalled(timeoutOption(Effect.never, limit))))
      assert.isTrue(Option.isNone(yield* timeoutOption(Effect.never, limit)))
    }))

  it.live("time in which the process did not run is not counted against its peer", () =>
    Effect.gen(function*() {
      const began = performance.now()
      const answer = Effect.as(Effect.sleep(250), "in time")
      const busy = Effect.forever(Effect.andThen(Effect.sleep(1), Effect.sync(() => stall(60))))
      const waiting = (limited: Effect.Effect<Option.Option<string>>) => Effect.raceFirst(limited, busy)
      assert.isTrue(Option.isNone(yield* waiting(timeoutOption(answer, 100))))
      assert.deepStrictEqual(yield* waiting(timeoutOptionRunning(answer, 100)), Option.some("in time"))
      assert.isAbove(performance.now() - began, 350)
    }))

  it.live("a busy event loop turns about once for each step of a limit", () =>
    Effect.gen(function*() {
      let turns = 0
      const turn = Effect.andThen(loopTurn, Effect.sync(() => (turns++, stall(15))))
      assert.isTrue(
        Option.isNone(yield* Effect.raceFirst(timeoutOptionRunning(Effect.never, 40), Effect.forever(turn)))
      )
      assert.isAtMost(turns, 10)
    }))

  it.effect("the limit of a process that runs is the time on the clock", () =>
    Effect.gen(function*() {
      const limited = timeoutOptionRunning(Effect.never, 100)
      const fiber = yield* Effect.forkChild(limited, { startImmediately: true })
      yield* TestClock.adjust(99)
      assert.isUndefined(fiber.pollUnsafe())
      // Timers have whole milliseconds.
      yield* TestClock.adjust(6)
      assert.isTrue(Option.isNone(yield* Fiber.join(fiber)))
    }))

  it.effect("the synchronous start of an effect is part of its time, and its patience is asked for at its interruption", () =>
    Effect.gen(function*() {
      const clock = new LateClock(10)
      const busy = Effect.andThen(Effect.sync(() => void (clock.now += 30)), Effect.uninterruptible(Effect.never))
      const patience = () => Duration.millis(100 - clock.now)
      const exit = yield* supervised(busy, { within: limit, patience }).pipe(Effect.provideService(Clock.Clock, clock))
      assert.isUndefined(exit)
      // 20 ms are left of 50, and end at 60.
      assert.deepStrictEqual(clock.sleeps, [20, 40])
    }))

  it.effect("a limit is exact where a test has the clock", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(timeoutOption(Effect.never, "1 second"), { startImmediately: true })
      yield* TestClock.adjust("999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.isDefined(fiber.pollUnsafe())
    }))
})

describe("Alarm", () => {
  const alarm = (onDue: () => number) =>
    Effect.map(Clock.Clock, (clock) =>
      new Alarm({
        clock,
        fork: Effect.runFork,
        now: () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6,
        onDue
      }))

  it.live("what came while the event loop was busy is there when an alarm rings", () =>
    Effect.gen(function*() {
      let came = false
      let rang: (came: boolean) => void = () => {}
      const waiting = yield* alarm(() => {
        rang(came)
        return Infinity
      })
      const cameFirst = yield* Effect.callback<boolean>((resume) => {
        rang = (came) => resume(Effect.succeed(came))
        stat(".", () => came = true)
        waiting.at(0)
        stall(50)
      })
      assert.isTrue(cameFirst)
    }))

  it.live("an alarm that is stopped after its moment has come does not ring", () =>
    Effect.gen(function*() {
      let rings = 0
      const stopped = yield* alarm(() => ++rings + Infinity)
      stopped.at(0)
      // The timer rings before any other of a later moment, and the alarm waits for the turn after that.
      yield* Effect.callback<void>((resume) => {
        // oxlint-disable-next-line effecttsgo/global-timers
        setTimeout(() => {
          stopped.stop()
          resume(Effect.void)
        }, 2)
        stall(20)
      })
      yield* Effect.sleep(20)
      assert.strictEqual(rings, 0)
    }))
})
