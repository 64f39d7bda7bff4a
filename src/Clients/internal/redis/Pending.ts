/**
 * Commands that were sent on one connection and not answered, in their order.
 *
 * @since 0.1.0
 */

import type * as Duration from "effect/Duration"

/** A command that was sent. */
export interface Sent {
  /** The tick in which it was sent. */
  readonly tick: number
  /** Fails the caller because its time is over. */
  readonly expire: (after: Duration.Duration, isSilent: boolean) => void
  /** It was answered, or never sent after all. */
  isSettled: boolean
  /** Its caller has failed because its time is over. */
  isExpired: boolean
}

/**
 * The commands of one connection. The server answers in order, so the first one without an answer is the oldest.
 *
 * **Details**
 *
 * Time is counted in ticks of the owner, so that neither a clock nor a timer is needed for a command, and an event loop that stood still
 * does not end commands whose answers have arrived meanwhile.
 */
export class Pending {
  #queue: Array<Sent> = []
  #head = 0
  #tick = 0
  /** The tick of the last answer. */
  #answeredAt = 0
  #count = 0
  #sent = 0

  /** How many there are. */
  get count(): number {
    return this.#count
  }

  /** How many have been sent in all. */
  get sent(): number {
    return this.#sent
  }

  /** Whether the time of one is over and nothing was answered since it was sent. */
  get hasExpired(): boolean {
    const first = this.#queue[this.#head]
    return first?.isExpired === true && this.#isSilentSince(first)
  }

  add(expire: Sent["expire"]): Sent {
    const sent: Sent = { tick: this.#tick, expire, isSettled: false, isExpired: false }
    this.#queue.push(sent)
    this.#count++
    this.#sent++
    return sent
  }

  /** Removes a command; `isAnswer` if the server has answered it. */
  settle(sent: Sent, isAnswer: boolean): void {
    if (isAnswer) this.#answeredAt = this.#tick
    sent.isSettled = true
    this.#count--
    while (this.#queue[this.#head]?.isSettled === true) this.#head++
    if (this.#head === this.#queue.length) {
      this.#queue.length = 0
      this.#head = 0
    } else if (this.#head > 1024 && this.#head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head)
      this.#head = 0
    }
  }

  /**
   * One tick later: the commands that have waited for more than `limit` ticks. If nothing was answered since the oldest of them was sent,
   * the connection is silent, and all commands are over.
   */
  tick(limit: number): { readonly expired: ReadonlyArray<Sent>; readonly isSilent: boolean } {
    this.#tick++
    const waiting = this.#queue.slice(this.#head).filter(({ isExpired, isSettled }) => !isExpired && !isSettled)
    const late = waiting.filter(({ tick }) => this.#tick - tick > limit)
    const [oldest] = late
    const isSilent = oldest !== undefined && this.#isSilentSince(oldest)
    const expired = isSilent ? waiting : late
    for (const sent of expired) sent.isExpired = true
    return { expired, isSilent }
  }

  #isSilentSince({ tick }: Sent): boolean {
    return this.#answeredAt <= tick
  }
}
