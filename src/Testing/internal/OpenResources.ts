/**
 * The resources that were opened in one check and are not closed yet, and those that were lost.
 *
 * @since 0.1.0
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Opened, OpenTracker } from "../../internal/OpenTracker.ts"
import { startTimer } from "../../internal/Timer.ts"
import { LeftOpen, Lost } from "../../Monitor/Leak.ts"

/** A resource and the time of its opening, as a leak at `now`. */
const originOf = ({ kind, label, site, span }: Opened, since: number, now: number) => ({
  kind,
  label,
  site: site?.text,
  span,
  age: Duration.millis(Math.max(now - since, 0))
})

export class OpenResources implements OpenTracker {
  readonly #clock: Clock.Clock
  /** The open resources, with the time of their opening. */
  readonly #open = new Map<Opened, number>()
  readonly #lost: Array<Lost> = []
  readonly #onEmptied = new Set<() => void>()

  constructor(clock: Clock.Clock) {
    this.#clock = clock
  }

  add(opened: Opened): void {
    this.#open.set(opened, this.#clock.currentTimeMillisUnsafe())
  }

  lose(opened: Opened): void {
    const now = this.#clock.currentTimeMillisUnsafe()
    this.#lost.push(new Lost(originOf(opened, this.#open.get(opened) ?? now, now)))
    this.delete(opened)
  }

  delete(opened: Opened): void {
    this.#open.delete(opened)
    if (this.#open.size === 0) { for (const callback of [...this.#onEmptied]) callback() }
  }

  /**
   * Waits until nothing is open, at most `within` milliseconds of real time: a `TestClock` no longer moves after its test.
   * The timer keeps the process alive.
   */
  settle(within: number): Effect.Effect<void> {
    return Effect.callback((resume) => {
      if (this.#open.size === 0) return resume(Effect.void)
      const end = () => {
        this.#onEmptied.delete(end)
        clearTimeout(timer)
        resume(Effect.void)
      }
      const timer = startTimer(end, within)
      this.#onEmptied.add(end)
    })
  }

  /** The open resources, in the order of their opening. */
  leftOpen(): ReadonlyArray<LeftOpen> {
    const now = this.#clock.currentTimeMillisUnsafe()
    return [...this.#open].map(([opened, since]) => new LeftOpen(originOf(opened, since, now)))
  }

  /** The resources that were lost, in the order in which that was noticed. They are closed now. */
  lost(): ReadonlyArray<Lost> {
    return this.#lost
  }
}
