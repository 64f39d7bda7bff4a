/**
 * How long a borrow may take: one absolute deadline for waiting, opening and checking together.
 *
 * @since 0.1.0
 */
import { Alarm } from "../internal/Timer.ts"
import type { Environment } from "./PoolEnvironment.ts"
import type { Lease } from "./PoolState.ts"
import type { SteadyClock } from "./SteadyClock.ts"

export class Deadlines<K, A> {
  readonly #clock: SteadyClock
  readonly #acquireTimeout: number
  readonly #alarm: Alarm

  /** `expire` ends the borrows whose deadlines have passed, on the monotonic clock, and returns the next one. */
  constructor({ clock, fork, settings }: Environment<K, A>, expire: (now: number) => number) {
    this.#clock = clock
    this.#acquireTimeout = settings.acquireTimeout
    const now = () => clock.monotonic()
    this.#alarm = new Alarm({ clock: clock.clock, fork, now, onDue: () => expire(now()) })
  }

  /** A borrow waits from now on, and the process with it. */
  wait(lease: Lease<K, A>, now: number): void {
    this.#alarm.at(this.#of(lease, now))
    this.#alarm.hold(true)
  }

  /** Nobody waits any more. */
  release(): void {
    this.#alarm.hold(false)
  }

  /** What is left of a borrow's time, in milliseconds. */
  remaining(lease: Lease<K, A>): number {
    return Math.max(this.#of(lease, this.#clock.now()) - this.#clock.monotonic(), 0)
  }

  stop(): void {
    this.#alarm.stop()
  }

  /** The deadline is set once; going back to the queue does not arm it again. */
  #of(lease: Lease<K, A>, now: number): number {
    if (lease.deadline === Infinity) {
      // One that was given a connection at once, which turned out to be dead, has spent some of its time already.
      const spent = lease.borrowedAt > 0 ? now - lease.borrowedAt : 0
      lease.deadline = this.#clock.monotonicAt(now) - spent + this.#acquireTimeout
    }
    return lease.deadline
  }
}
