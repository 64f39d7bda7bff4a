/**
 * A clock whose sleeps end at once, later than they were to, as the timers of a busy event loop do.
 */
import { Clock, Duration, Effect } from "effect"

export class LateClock implements Clock.Clock {
  readonly #late: number
  /** The milliseconds that have passed. */
  now = 0
  /** The sleeps, in milliseconds. */
  readonly sleeps: Array<number> = []

  /** By how many milliseconds each sleep is too long. */
  constructor(late: number) {
    this.#late = late
  }

  currentTimeMillisUnsafe = () => this.now
  currentTimeNanosUnsafe = () => BigInt(Math.round(this.now * 1e6))
  monotonicTimeNanosUnsafe = () => this.currentTimeNanosUnsafe()
  currentTimeMillis = Effect.sync(() => this.currentTimeMillisUnsafe())
  currentTimeNanos = Effect.sync(() => this.currentTimeNanosUnsafe())
  monotonicTimeNanos = Effect.sync(() => this.monotonicTimeNanosUnsafe())
  sleep = (duration: Duration.Duration) =>
    Effect.sync(() => {
      const millis = Duration.toMillis(duration)
      this.sleeps.push(millis)
      this.now += millis + this.#late
    })
}
