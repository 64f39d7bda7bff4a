/**
 * Timers that keep the process alive only while a caller waits for them.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"

/** The clock that is in force where no other is provided. */
const liveClock = Context.get(Context.empty(), Clock.Clock)

// The longest delay that `setTimeout` takes; a longer wait is simply woken early and armed again.
const maxTimerMillis = 2 ** 31 - 1

/**
 * A timer of the platform.
 *
 * The live clock's own `sleep` is a timer that keeps the event loop alive, and it offers no way to let go of it. So this is
 * the one place where a timer of the platform is used directly. Any other clock, such as that of a test, is asked.
 */
// oxlint-disable-next-line effecttsgo/global-timers
export const startTimer = (ring: () => void, millis: number) => setTimeout(ring, Math.min(millis, maxTimerMillis))

/** Sleeps at most this many whole milliseconds, on the Effect clock, without keeping the process alive. */
export const sleepUnref = (millis: number): Effect.Effect<void> =>
  Effect.withFiber((fiber) => {
    const clock = fiber.getRef(Clock.Clock)
    if (clock !== liveClock) return clock.sleep(Duration.millis(millis))
    return Effect.callback<void>((resume) => {
      const timer = startTimer(() => resume(Effect.void), millis)
      timer.unref()
      return Effect.sync(() => clearTimeout(timer))
    })
  })

/** Acts so many milliseconds later by the live clock. By any other clock, nothing that happens outside of the program takes time. */
export const laterOn = (clock: Clock.Clock) => (act: () => void, millis: number): void => {
  if (clock === liveClock) startTimer(act, millis)
  else act()
}

/**
 * Acts once the event loop has made a whole turn; the result calls that off.
 *
 * Of two immediates in a row, the second runs after the loop has asked the kernel for what has happened since the call:
 * the first may still be part of the turn in which the call was made.
 */
export const afterTurn = (act: () => void): () => void => {
  // oxlint-disable-next-line effecttsgo/global-timers
  let turn = setImmediate(() => {
    // oxlint-disable-next-line effecttsgo/global-timers
    turn = setImmediate(act)
  })
  return () => clearImmediate(turn)
}

/**
 * Completes once the event loop has made a whole turn: what the kernel had to report by now has been reported. Where another
 * clock than the live one is in force, such as that of a test, it completes at once.
 */
export const turned: Effect.Effect<void> = /*#__PURE__*/ Effect.withFiber((fiber) =>
  fiber.getRef(Clock.Clock) !== liveClock
    ? Effect.void
    : Effect.callback<void>((resume) => Effect.sync(afterTurn(() => resume(Effect.void))))
)

/**
 * Lets the event loop go round once: what the platform had to report by now, such as the end of a connection, has been
 * reported when it completes.
 */
export const loopTurn: Effect.Effect<void> = /*#__PURE__*/ Effect.callback<void>((resume) => {
  // oxlint-disable-next-line effecttsgo/global-timers
  const turn = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(turn))
})

/**
 * One timer that many things share: it knows the earliest moment at which something is due, and asks for the next one
 * when that moment has come. It keeps the process alive only while it is held.
 *
 * It rings a turn of the event loop after that moment. A loop that was busy for long finds its timers due before it has read
 * what came in time, and what is due then must not be judged by that.
 */
export class Alarm {
  readonly #clock: Clock.Clock
  readonly #fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
  readonly #now: () => number
  readonly #onDue: () => number
  #due = Infinity
  #timer: ReturnType<typeof startTimer> | undefined
  #callOff: (() => void) | undefined
  #fiber: Fiber.Fiber<void> | undefined
  #isHeld = false
  #isOver = false

  /** `onDue` does what is due and returns the next moment, or `Infinity`; `now` and all moments are on one clock, in ms. */
  constructor(options: {
    readonly clock: Clock.Clock
    readonly fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
    readonly now: () => number
    readonly onDue: () => number
  }) {
    this.#clock = options.clock
    this.#fork = options.fork
    this.#now = options.now
    this.#onDue = options.onDue
  }

  /** Makes sure that the alarm rings at this moment or before. */
  at(due: number): void {
    if (due >= this.#due || this.#isOver) return
    this.#disarm()
    this.#due = due
    // What is due already rings soon, but never before `at` has returned.
    this.#arm(Math.max(Math.ceil(due - this.#now()), 0))
  }

  /** Whether a caller waits for the alarm, so that the process must not end before it has rung. */
  hold(isHeld: boolean): void {
    if (isHeld === this.#isHeld) return
    this.#isHeld = isHeld
    if (isHeld) this.#timer?.ref()
    else this.#timer?.unref()
  }

  /** Ends the alarm for good. */
  stop(): void {
    this.#isOver = true
    this.#disarm()
  }

  #arm(millis: number): void {
    if (this.#clock === liveClock) {
      this.#timer = startTimer(() => {
        this.#callOff = afterTurn(() => this.#ring())
      }, millis)
      if (!this.#isHeld) this.#timer.unref()
      return
    }
    const wait = millis > 0 ? this.#clock.sleep(Duration.millis(millis)) : Effect.yieldNow
    this.#fiber = this.#fork(Effect.andThen(wait, Effect.sync(() => this.#ring())))
  }

  #disarm(): void {
    this.#due = Infinity
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#callOff?.()
    this.#callOff = undefined
    this.#fiber?.interruptUnsafe()
    this.#fiber = undefined
  }

  #ring(): void {
    this.#due = Infinity
    this.#timer = undefined
    this.#callOff = undefined
    this.#fiber = undefined
    this.at(this.#onDue())
  }
}
