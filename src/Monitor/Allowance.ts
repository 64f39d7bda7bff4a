/**
 * How many openings one look at the readings allows.
 *
 * @since 0.1.0
 */
import type { ReserveRequest, Situation } from "./Gate.ts"
import * as Ledger from "./Ledger.ts"
import type { Gauge } from "./Usage.ts"

/** For so long the readings of a process stand, in nanoseconds: a fifth of a millisecond. */
export const standsFor = 200_000n

/** For so long they stand where there are no limits: the time of any clock is before that. */
export const standsForEver = 2n ** 64n

/**
 * At most so many descriptors are opened in that time by somebody who does not ask. Opening a file or a socket takes Node 3 to
 * 30 microseconds, so that one thread opens 70 of them; workers and the threads of libuv are within the rest.
 */
export const foreign = 250

const valueOf = ({ limit }: Gauge): number => limit._tag === "Known" ? limit.value : Infinity

/** What is left of a limit. A figure that cannot be read leaves nothing: the gate itself knows what to do about that. */
const roomIn = (gauge: Gauge): number => {
  if (gauge.limit._tag !== "Known") return Infinity
  return gauge.used._tag === "Known" ? gauge.limit.value - gauge.used.value : 0
}

/**
 * Openings that may be admitted without another look at the readings.
 *
 * **Details**
 *
 * A look costs several microseconds. Near the limit nothing less would do; far from it one look answers for those first
 * attempts that come in the next fifth of a millisecond. Every claim since the look counts as a descriptor that is open, also
 * when it has ended, and to these is added what others may have opened: no opening is admitted for which there would be no
 * room in the worst case. Connections are counted by the ledger, and their count is exact at any time.
 *
 * @category models
 * @since 0.1.0
 */
export class Allowance {
  readonly #ledger: Ledger.Ledger
  readonly #standsFor: bigint
  #until = -1n
  #descriptors = 0
  #connectionLimit = 0
  #claimed = 0

  constructor(ledger: Ledger.Ledger, standsFor: bigint) {
    this.#ledger = ledger
    this.#standsFor = standsFor
  }

  /** Learns from readings that were taken now, a time in nanoseconds of the monotonic clock. */
  learn({ headroom, usage }: Situation, now: bigint): void {
    this.#until = roomIn(usage.memory) > 0 ? now + this.#standsFor : -1n
    this.#descriptors = roomIn(usage.descriptors) - usage.reserved - headroom - foreign
    this.#connectionLimit = valueOf(usage.connections)
    this.#claimed = this.#ledger.claimed
  }

  /** Whether a request may be admitted now without a look. */
  covers({ attempt = 0, descriptors = 1 }: ReserveRequest, now: bigint): boolean {
    if (now > this.#until || attempt > 0) return false
    const ledger = this.#ledger
    return ledger.claimed - this.#claimed + descriptors <= this.#descriptors &&
      Ledger.open(ledger) + Ledger.opening(ledger) + Math.min(descriptors, 1) <= this.#connectionLimit
  }
}
