/**
 * The clock that measures the age of connections.
 *
 * @since 0.1.0
 */
import type { Clock } from "effect/Clock"
import * as Effect from "effect/Effect"
import { monotonicMillis } from "./MonotonicTime.ts"

/**
 * Counts whole milliseconds since it was created. The time between two readings is the larger of the wall clock's and the
 * monotonic clock's. V8 stores such small numbers without a heap object, which the milliseconds since 1970 need.
 *
 * **Details**
 *
 * The monotonic clock may stop while the process is frozen, and the wall clock may be set back. So the larger of both
 * differences is a connection's age. Reading the monotonic clock takes several times as long as reading the wall clock, and a
 * pool reads the time at every borrow and return. So {@link now} reads only the wall clock, unless that was set back.
 * {@link synchronize} reads both and corrects the time. It is called before each wait and when a timer fires.
 */
export class AgeClock {
  readonly clock: Clock
  /** Added to the wall clock. */
  #offset: number
  #last = 0
  /** The time on both clocks at the last synchronization. */
  #together = 0
  #togetherMonotonic: number
  /** The last monotonic reading of {@link monotonicAt}, and the time at which it was taken. */
  #readAt = -Infinity
  #read = 0

  /**
   * A clock whose time in milliseconds is the last one that {@link now} has returned, for code that runs in the same step.
   */
  readonly lastReading: Clock

  constructor(clock: Clock) {
    this.clock = clock
    this.#offset = -clock.currentTimeMillisUnsafe()
    this.#togetherMonotonic = this.monotonic()
    const read = () => this.#last
    this.lastReading = {
      currentTimeMillisUnsafe: read,
      currentTimeMillis: Effect.sync(read),
      currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe(),
      currentTimeNanos: clock.currentTimeNanos,
      monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
      monotonicTimeNanos: clock.monotonicTimeNanos,
      sleep: (duration) => clock.sleep(duration)
    }
  }

  /** A time that never goes back. */
  now(): number {
    const now = this.clock.currentTimeMillisUnsafe() + this.#offset
    return now >= this.#last ? this.#last = now : this.#stepBack(now)
  }

  /** Milliseconds of the monotonic clock, for deadlines and leases: a step of the wall clock must not end one. */
  monotonic(): number {
    return monotonicMillis(this.clock)
  }

  /**
   * The milliseconds of the monotonic clock at `now`, a time of {@link now}. The clock is read only when `now` has changed, so
   * the result is too early by a millisecond at most.
   */
  monotonicAt(now: number): number {
    if (now !== this.#readAt) {
      this.#readAt = now
      this.#read = this.monotonic()
    }
    return this.#read
  }

  /** The wall clock was set back, so it does not tell how long ago the last reading was. */
  #stepBack(now: number): number {
    this.#offset += this.#last - now
    return this.synchronize()
  }

  /** Reads both clocks, and returns the time. */
  synchronize(): number {
    const monotonic = this.monotonic()
    const exact = this.#together + monotonic - this.#togetherMonotonic
    const least = Math.floor(exact)
    const now = this.now()
    if (now < least) {
      this.#offset += least - now
      this.#last = least
    }
    this.#together = this.#last
    // Keeps the fraction of a millisecond, so that frequent synchronization loses no time.
    this.#togetherMonotonic = monotonic - Math.max(exact - this.#last, 0)
    return this.#last
  }
}
