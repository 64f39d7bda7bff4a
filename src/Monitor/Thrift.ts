/**
 * Keeps the cost of sampling under a bound: what each tick took is added up, and each whole minute is judged.
 *
 * @since 0.1.0
 */

/**
 * What sampling itself costs.
 *
 * @category models
 * @since 0.1.0
 */
export interface Cost {
  /** The share of one processor core that sampling took, 0 to 1: over the last whole minute, before that since start. */
  readonly share: number
  /** Ticks since start. */
  readonly ticks: number
  /** The longest tick, in milliseconds. */
  readonly worstTick: number
  /** By what the interval is multiplied because sampling cost too much: 1 unless it does. */
  readonly slowdown: number
}

/** Above this share of a core over a minute, the interval doubles. */
export const bearableShare = 0.005

// Below this it halves again: twice as many ticks then still cost less than half of what is bearable.
const comfortableShare = bearableShare / 5

const judgedEveryMillis = 60_000

// At the longest interval of five seconds this is a tick in five minutes, which is still a reading.
const mostSlowdown = 64

/**
 * The factor for the next minute, from the share that the last one cost.
 *
 * @category combinators
 * @since 0.1.0
 */
export const nextSlowdown = (slowdown: number, share: number): number => {
  if (share > bearableShare) return Math.min(slowdown * 2, mostSlowdown)
  return share < comfortableShare ? Math.max(slowdown / 2, 1) : slowdown
}

/** The book of what sampling has cost. Times are monotonic milliseconds. */
export class Thrift {
  #since: number
  #spent = 0
  #ticks = 0
  #worst = 0
  #slowdown = 1
  #lastShare: number | undefined

  constructor(now: number) {
    this.#since = now
  }

  /** Books work that is part of no tick, such as a slice of a deep look. */
  spend(millis: number): void {
    this.#spent += millis
  }

  /** Books a tick, and yields the share of the minute that has just ended where that share changed the interval. */
  tick(millis: number, now: number): number | undefined {
    this.#ticks += 1
    this.#worst = Math.max(this.#worst, millis)
    this.spend(millis)
    return now - this.#since < judgedEveryMillis ? undefined : this.#judge(now)
  }

  cost(now: number): Cost {
    return {
      share: this.#lastShare ?? this.#shareAt(now),
      ticks: this.#ticks,
      worstTick: this.#worst,
      slowdown: this.#slowdown
    }
  }

  get slowdown(): number {
    return this.#slowdown
  }

  #shareAt(now: number): number {
    return now > this.#since ? this.#spent / (now - this.#since) : 0
  }

  #judge(now: number): number | undefined {
    const share = this.#shareAt(now)
    const before = this.#slowdown
    this.#lastShare = share
    this.#slowdown = nextSlowdown(before, share)
    this.#since = now
    this.#spent = 0
    return this.#slowdown === before ? undefined : share
  }
}
