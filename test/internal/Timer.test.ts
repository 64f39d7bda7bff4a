import { afterEach, assert, describe, it, vi } from "@effect/vitest"
import { Clock, Context, Effect, Fiber } from "effect"
import { LoopTurns } from "../../src/internal/LoopTurns.ts"
import { afterTurn, Alarm, inNextTurn, keepAlive, loopTurn, sleepUnref, startTimer } from "../../src/internal/Timer.ts"

const { clearImmediate, clearTimeout, setImmediate, setTimeout } = globalThis

/** Timers as Cloudflare Workers, Deno and browsers have them: numbers, and no immediates. */
const stubNumbers = () => {
  const timers = new Map<number, ReturnType<typeof setTimeout>>()
  let last = 0
  vi.stubGlobal("setTimeout", (ring: () => void, millis: number) => {
    timers.set(++last, setTimeout(ring, millis))
    return last
  })
  vi.stubGlobal("clearTimeout", (timer: number) => clearTimeout(timers.get(timer)))
  vi.stubGlobal("setImmediate", undefined)
  vi.stubGlobal("clearImmediate", undefined)
}

afterEach(() => void vi.unstubAllGlobals())

const alarmOf = (ring: () => void) =>
  new Alarm({
    clock: Context.get(Context.empty(), Clock.Clock),
    fork: Effect.runFork,
    now: () => performance.now(),
    onDue: () => {
      ring()
      return Infinity
    }
  })

describe("timers that are numbers, without immediates", () => {
  it.live("ring an alarm, held or not", () => {
    stubNumbers()
    return Effect.callback<void>((resume) => {
      const alarm = alarmOf(() => resume(Effect.void))
      alarm.at(performance.now() + 5)
      alarm.hold(true)
      alarm.hold(false)
    })
  })

  it.live("end a sleep, a turn and two turns", () => {
    stubNumbers()
    const twoTurns = Effect.callback<void>((resume) => Effect.sync(afterTurn(() => resume(Effect.void))))
    return Effect.all([sleepUnref(1), loopTurn, twoTurns])
  })

  it.live("can be cancelled", () =>
    Effect.gen(function*() {
      stubNumbers()
      let rung = 0
      const alarm = alarmOf(() => rung++)
      alarm.at(performance.now())
      alarm.stop()
      inNextTurn(() => rung++)()
      afterTurn(() => rung++)()
      yield* Fiber.interrupt(yield* Effect.forkChild(sleepUnref(60_000), { startImmediately: true }))
      yield* sleepUnref(20)
      assert.strictEqual(rung, 0)
    }))

  it.live("number the turns of the event loop", () =>
    Effect.gen(function*() {
      stubNumbers()
      const turns = new LoopTurns()
      const first = turns.note()
      assert.strictEqual(turns.note(), first)
      yield* sleepUnref(20)
      assert.isAbove(turns.note(), first)
    }))
})

describe("timers of Node", () => {
  it("keep the process alive only if they are told to", () => {
    const timer = startTimer(() => {}, 60_000)
    assert(typeof timer === "object")
    keepAlive(timer, false)
    assert.isFalse(timer.hasRef())
    keepAlive(timer, true)
    assert.isTrue(timer.hasRef())
    clearTimeout(timer)
  })

  it("have turns that go on after one whose end was lost", () => {
    vi.stubGlobal("setImmediate", () => setImmediate(() => {}))
    const turns = new LoopTurns()
    const lost = turns.note()
    vi.stubGlobal("setImmediate", setImmediate)
    turns.restart()
    assert.isAbove(turns.note(), lost)
    clearImmediate(setImmediate(() => {}))
  })
})
