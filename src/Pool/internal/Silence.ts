/**
 * When an endpoint counts as silent: it accepts connections, and answers on none of them while borrowers wait. Pure functions over
 * what is known of its uses.
 *
 * A slow server and a silent one look alike for a while. So the time that is waited for an answer follows from how long uses of the
 * endpoint usually last. An endpoint of which little is known, or with few connections, is given more time.
 *
 * @since 0.1.0
 */

/** An endpoint counts as silent after this time without an answer, in milliseconds, and not before. */
const shortest = 600

/** An endpoint counts as silent after this many times the time that its uses take. */
const times = 4

/** The use of a single connection says little: its borrower may hold it for another reason. It is given this many times the time. */
const timesAlone = 4

/** Before so many answers, it is not known how long uses take. */
const fewest = 20

/** After this time, in milliseconds, earlier answers count half. */
const halfLife = 60_000

/** So many looks in a row have to find no answer, so that a process that stood still does not mistake that time for silence. */
const fewestLooks = 3

/** The time between two looks, in milliseconds. */
export const lookEvery = 100

/** How long the uses of an endpoint last that end with an answer. Times are in milliseconds. */
export class UseTimes {
  #count = 0
  #sum = 0
  #squares = 0
  #halvedAt = 0

  /** A use has ended with an answer. */
  add(millis: number, now: number): void {
    this.#count++
    // Saves the arithmetic for the many uses that are shorter than the clock can tell.
    if (millis === 0) return
    if (now - this.#halvedAt >= halfLife) {
      this.#halvedAt = now
      this.#sum /= 2
      this.#squares /= 2
    }
    this.#sum += millis
    this.#squares += millis * millis
  }

  /** Whether enough is known. */
  get areKnown(): boolean {
    return this.#count >= fewest
  }

  /**
   * How long a use lasts that is under way at any moment. Long uses count more than short ones, because they are under way for longer:
   * among uses of 5 ms, one of 10 s in a thousand makes this 6.7 s.
   */
  get typical(): number {
    return this.#sum === 0 ? 0 : this.#squares / this.#sum
  }
}

/** After how many milliseconds without an answer an endpoint counts as silent, if it has this many connections in use. */
export const patienceOf = (uses: UseTimes, connections: number): number =>
  Math.max(shortest, times * uses.typical) * (connections > 1 ? 1 : timesAlone)

/** What is seen of an endpoint for which borrowers wait. Times are in milliseconds, on the pool's age clock. */
export interface Watch {
  /** Since when there was no answer. */
  readonly silentSince: number
  readonly lookedAt: number
  /** The looks since then. */
  readonly looks: number
}

/** Borrowers begin to wait. */
export const watchFrom = (now: number): Watch => ({ silentSince: now, lookedAt: now, looks: 0 })

/** What is known of an endpoint at a look. */
export interface Facts {
  readonly now: number
  /** When it has last answered. */
  readonly answeredAt: number
  /** Its connections in use or closing. */
  readonly connections: number
  readonly uses: UseTimes
}

/** The watch after a look. Without a connection there is no silence: the failed dials count. */
export const looked = (before: Watch, { answeredAt, connections, now }: Facts): Watch =>
  connections === 0 || answeredAt >= before.lookedAt
    ? watchFrom(now)
    : { ...before, lookedAt: now, looks: before.looks + 1 }

/** Whether an endpoint counts as silent after this look. */
export const isSilent = ({ looks, silentSince }: Watch, { connections, now, uses }: Facts): boolean =>
  uses.areKnown && looks >= fewestLooks && now - silentSince >= patienceOf(uses, connections)

/** A borrower whose time is over. Times are in milliseconds, on the pool's age clock. */
export interface LateWait {
  readonly now: number
  readonly waitingSince: number
  readonly answeredAt: number
  /** The connections of its endpoint in use or closing. */
  readonly connections: number
  readonly uses: UseTimes
}

/**
 * Whether the wait of a borrower that found no free connection says something of the endpoint: it does not if the endpoint has answered
 * others meanwhile, or usually takes as long.
 */
export const isTelling = ({ answeredAt, connections, now, uses, waitingSince }: LateWait): boolean =>
  answeredAt < waitingSince && (!uses.areKnown || now - answeredAt >= patienceOf(uses, connections))
