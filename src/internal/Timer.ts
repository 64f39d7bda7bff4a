/**
 * Timers that keep the process alive only if something waits for them.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"

/** The default clock. */
const liveClock = Context.get(Context.empty(), Clock.Clock)

/** Whether it is the clock of the platform, and not one such as that of a test. */
export const isLive = (clock: Clock.Clock): boolean => clock === liveClock

// The longest delay that `setTimeout` accepts. After a longer wait is set, the timer fires early, and is set again.
const maxTimerMillis = 2 ** 31 - 1

/**
 * A timer of the platform.
 *
 * The live clock's `sleep` keeps the process alive. So this is the one place that uses a timer of the platform directly. With
 * another clock, such as that of a test, that clock is used instead.
 */
export const startTimer = (ring: () => void, millis: number): PlatformTimer =>
  // oxlint-disable-next-line effecttsgo/global-timers
  setTimeout(ring, Math.min(millis, maxTimerMillis))

/** A timer as the platform returns it: an object on Node, a number on Cloudflare Workers, on Deno and in browsers. */
export type PlatformTimer = ReturnType<typeof setTimeout> | number

/** Whether a timer or an immediate keeps the process alive. One that is a number keeps nothing alive that could be changed. */
export const keepAlive = (timer: { ref(): unknown; unref(): unknown } | number | undefined, isKept: boolean): void => {
  if (typeof timer !== "object") return
  if (isKept) timer.ref()
  else timer.unref()
}

/**
 * Calls `act` in the next turn of the event loop. The result cancels that. On a platform without immediates, a timer is used.
 * `isKept`: whether this keeps the process alive.
 */
export const inNextTurn = (act: () => void, isKept = true): () => void => {
  // oxlint-disable-next-line effecttsgo/global-timers
  if (typeof setImmediate === "undefined") {
    const timer = startTimer(act, 0)
    keepAlive(timer, isKept)
    return () => clearTimeout(timer)
  }
  // oxlint-disable-next-line effecttsgo/global-timers
  const immediate = setImmediate(act)
  if (!isKept) keepAlive(immediate, false)
  return () => clearImmediate(immediate)
}

/** Sleeps at most this many whole milliseconds, on the Effect clock, without keeping the process alive. */
export const sleepUnref = (millis: number): Effect.Effect<void> =>
  Effect.withFiber((fiber) => {
    const clock = fiber.getRef(Clock.Clock)
    if (clock !== liveClock) return clock.sleep(Duration.millis(millis))
    return Effect.callback<void>((resume) => {
      const timer = startTimer(() => resume(Effect.void), millis)
      keepAlive(timer, false)
      return Effect.sync(() => clearTimeout(timer))
    })
  })

/** Calls `act` after a delay on the live clock. With another clock, such as that of a test, it calls `act` at once. */
export const laterOn = (clock: Clock.Clock) => (act: () => void, millis: number): void => {
  if (clock === liveClock) startTimer(act, millis)
  else act()
}

/**
 * Calls `act` after a whole turn of the event loop. The result cancels that.
 *
 * It takes two immediates: the first one may still run in the present turn, and the second one runs after the loop has polled
 * the kernel.
 */
export const afterTurn = (act: () => void): () => void => {
  let cancel = inNextTurn(() => {
    cancel = inNextTurn(act)
  })
  return () => cancel()
}

/**
 * Completes after a whole turn of the event loop, when pending events of the kernel have been delivered. With another clock
 * than the live one, such as a test's, it completes at once.
 */
export const turned: Effect.Effect<void> = /*#__PURE__*/ Effect.withFiber((fiber) =>
  fiber.getRef(Clock.Clock) !== liveClock
    ? Effect.void
    : Effect.callback<void>((resume) => Effect.sync(afterTurn(() => resume(Effect.void))))
)

/**
 * Waits for one turn of the event loop, in which pending events of the platform, such as the end of a connection, are
 * delivered.
 */
export const loopTurn: Effect.Effect<void> = /*#__PURE__*/ Effect.callback<void>((resume) =>
  Effect.sync(inNextTurn(() => resume(Effect.void)))
)

/** What an alarm is made from. */
export interface AlarmOptions {
  readonly clock: Clock.Clock
  readonly fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
  /** The time in milliseconds, on the clock of the deadlines. */
  readonly now: () => number
  /** Handles what is due and returns the next deadline, or `Infinity`. */
  readonly onDue: () => number
}

/**
 * One timer for many deadlines. It is set to the earliest one, and asks for the next when it fires. It keeps the process alive
 * only while it is held.
 *
 * It fires one turn of the event loop after the deadline. When a loop was blocked, its timers fire before its sockets are read,
 * although their data may have come in time.
 */
export class Alarm {
  readonly #options: AlarmOptions
  #due = Infinity
  #timer: PlatformTimer | undefined
  #callOff: (() => void) | undefined
  #fiber: Fiber.Fiber<void> | undefined
  #isHeld = false
  #isOver = false

  constructor(options: AlarmOptions) {
    this.#options = options
  }

  /** Sets the alarm to this deadline unless it is set to an earlier one. */
  at(due: number): void {
    if (due >= this.#due || this.#isOver) return
    this.#disarm()
    this.#due = due
    // A deadline in the past fires soon, but never before `at` has returned.
    this.#arm(Math.max(Math.ceil(due - this.#options.now()), 0))
  }

  /** Whether the alarm keeps the process alive until it has fired. */
  hold(isHeld: boolean): void {
    if (isHeld === this.#isHeld) return
    this.#isHeld = isHeld
    keepAlive(this.#timer, isHeld)
  }

  /** Ends the alarm for good. */
  stop(): void {
    this.#isOver = true
    this.#disarm()
  }

  #arm(millis: number): void {
    const { clock, fork } = this.#options
    if (clock === liveClock) {
      this.#timer = startTimer(() => {
        this.#callOff = afterTurn(() => this.#ring())
      }, millis)
      if (!this.#isHeld) keepAlive(this.#timer, false)
      return
    }
    const wait = millis > 0 ? clock.sleep(Duration.millis(millis)) : Effect.yieldNow
    this.#fiber = fork(Effect.andThen(wait, Effect.sync(() => this.#ring())))
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
    this.at(this.#options.onDue())
  }
}
