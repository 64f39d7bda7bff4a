/**
 * The time by which connections age.
 *
 * @since 0.1.0
 */
import type { Clock } from "effect/Clock"
import * as Effect from "effect/Effect"

/**
 * A clock whose difference between two readings is the larger of what the wall clock and the monotonic clock say, in
 * whole milliseconds since it was made. Such small numbers are kept in place by V8, where a date takes an object of its own.
 *
 * **Details**
 *
 * A frozen process may find the monotonic clock standing still, and a wall clock may step back; whichever says more is
 * right about a connection's age. Reading the monotonic clock costs several times what reading the wall clock does, and a
 * pool reads on every borrow and every return. So {@link now} reads the wall clock alone unless that goes back, and
 * {@link synchronize}, which is called wherever something waits or a timer rings, makes up for what a step had hidden.
 */
export class AgeClock {
  readonly clock: Clock
  /** What is added to the wall clock. */
  #offset: number
  #last = 0
  /** The time on both clocks when they were last brought together. */
  #together = 0
  #togetherMonotonic: number
  /** The last monotonic reading that {@link monotonicAt} took, and the time at which it did. */
  #readAt = -Infinity
  #read = 0

  constructor(clock: Clock) {
    this.clock = clock
    this.#offset = -clock.currentTimeMillisUnsafe()
    this.#togetherMonotonic = this.monotonic()
  }

  /**
   * The clock for what ages beside this one and is looked at in the same step. Its time in milliseconds is the one that {@link now} has
   * returned last.
   */
  get lastReading(): Clock {
    const { clock } = this
    const read = () => this.#last
    return {
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

  /** Milliseconds of the monotonic clock, for deadlines and leases: a wall clock that steps forward must end none. */
  monotonic(): number {
    return Number(this.clock.monotonicTimeNanosUnsafe()) / 1e6
  }

  /**
   * The milliseconds of the monotonic clock at `now`, a time of {@link now}. That clock is read again when this time has moved
   * on, so that a duration from here is too short by at most a millisecond.
   */
  monotonicAt(now: number): number {
    if (now !== this.#readAt) {
      this.#readAt = now
      this.#read = this.monotonic()
    }
    return this.#read
  }

  /** The wall clock was set back, so that it says nothing of how long ago the last reading was. */
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
    // The rest of a millisecond is not lost, however often the clocks are brought together.
    this.#togetherMonotonic = monotonic - Math.max(exact - this.#last, 0)
    return this.#last
  }
}
