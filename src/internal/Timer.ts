/**
 * Waiting that keeps no process alive.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"

const liveClock = Clock.Clock.defaultValue()

// The longest delay that `setTimeout` takes; a longer wait is simply woken early and armed again.
const maxTimerMillis = 2 ** 31 - 1

/**
 * Sleeps at most this many whole milliseconds, on the Effect clock.
 *
 * The live clock's own `sleep` is a timer that keeps the event loop alive, and it offers no way to let go of it. So this
 * is the one place where a timer of the platform is used directly. Any other clock, such as that of a test, is asked.
 */
export const sleepUnref = (millis: number): Effect.Effect<void> =>
  Effect.withFiber((fiber) => {
    const clock = fiber.getRef(Clock.Clock)
    if (clock !== liveClock) return clock.sleep(Duration.millis(millis))
    return Effect.callback<void>((resume) => {
      // oxlint-disable-next-line effecttsgo/global-timers-in-effect
      const handle = setTimeout(() => resume(Effect.void), Math.min(millis, maxTimerMillis))
      handle.unref()
      return Effect.sync(() => clearTimeout(handle))
    })
  })

/**
 * One timer that many things share: it knows the earliest moment at which something is due, and asks for the next one
 * when that moment has come.
 */
export class Alarm {
  readonly #fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
  readonly #now: () => number
  readonly #onDue: () => number
  #due = Infinity
  #fiber: Fiber.Fiber<void> | undefined

  /** `onDue` does what is due and returns the next moment, or `Infinity`; `now` and all moments are on one clock, in ms. */
  constructor(options: {
    readonly fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
    readonly now: () => number
    readonly onDue: () => number
  }) {
    this.#fork = options.fork
    this.#now = options.now
    this.#onDue = options.onDue
  }

  /** Makes sure that the alarm rings at this moment or before. */
  at(due: number): void {
    if (due >= this.#due) return
    this.cancel()
    this.#due = due
    const millis = Math.ceil(due - this.#now())
    // What is due already rings soon, but never before `at` has returned.
    const wait = millis > 0 ? sleepUnref(millis) : Effect.yieldNow
    this.#fiber = this.#fork(Effect.andThen(wait, Effect.sync(() => this.#ring())))
  }

  cancel(): void {
    this.#due = Infinity
    this.#fiber?.interruptUnsafe()
    this.#fiber = undefined
  }

  #ring(): void {
    this.#fiber = undefined
    this.#due = Infinity
    this.at(this.#onDue())
  }
}
