/**
 * Counts the calls of a sliding window of time, and those of them that failed.
 *
 * @since 0.1.0
 */

/** A window is kept in so many parts: what is older than a whole window may count for one part longer, at most. */
const parts = 10

/**
 * Counts of the last so many milliseconds. Time is that of the monotonic clock, and an argument of each call.
 *
 * @category models
 * @since 0.1.0
 */
export class BreakerWindow {
  readonly #partMillis: number
  readonly #calls = new Array<number>(parts).fill(0)
  readonly #failures = new Array<number>(parts).fill(0)
  /** The number of the part that is being filled, counted from the start of the clock. */
  #current = 0
  #totalCalls = 0
  #totalFailures = 0

  constructor(windowMillis: number) {
    this.#partMillis = windowMillis / parts
  }

  calls(now: number): number {
    this.#moveTo(now)
    return this.#totalCalls
  }

  failures(now: number): number {
    this.#moveTo(now)
    return this.#totalFailures
  }

  add(now: number, isFailure: boolean): void {
    this.#moveTo(now)
    const index = this.#current % parts
    this.#calls[index] = (this.#calls[index] ?? 0) + 1
    this.#totalCalls++
    if (!isFailure) return
    this.#failures[index] = (this.#failures[index] ?? 0) + 1
    this.#totalFailures++
  }

  clear(): void {
    this.#calls.fill(0)
    this.#failures.fill(0)
    this.#totalCalls = 0
    this.#totalFailures = 0
  }

  /** Empties the parts that have gone by. A clock that went back goes on filling the part it was in. */
  #moveTo(now: number): void {
    const part = Math.floor(now / this.#partMillis)
    if (part <= this.#current) return
    if (part - this.#current >= parts) this.clear()
    else for (let passed = this.#current + 1; passed <= part; passed++) this.#empty(passed % parts)
    this.#current = part
  }

  #empty(index: number): void {
    this.#totalCalls -= this.#calls[index] ?? 0
    this.#totalFailures -= this.#failures[index] ?? 0
    this.#calls[index] = 0
    this.#failures[index] = 0
  }
}
