/**
 * Commands that were sent on one connection and not answered, in their order.
 *
 * @since 0.1.0
 */

import type * as Duration from "effect/Duration"

/** A command that was given to the driver. */
export interface Sent {
  /** The tick in which it was sent. */
  readonly tick: number
  /** Fails the caller, because the time limit of the command has passed. */
  readonly expire: (after: Duration.Duration, isSilent: boolean) => void
  /** The server has answered the command, or the command was withdrawn before it was sent. */
  isSettled: boolean
  /** The time limit of the command has passed, and its caller has failed. */
  isExpired: boolean
}

/**
 * The commands of one connection. The server answers in order, so the first one without an answer is the oldest.
 *
 * **Details**
 *
 * Time is counted in ticks of the owner, so no command needs a clock or a timer of its own. While the event loop is blocked there
 * are no ticks, so answers that arrive in that time are not too late.
 */
export class Pending {
  #queue: Array<Sent> = []
  #head = 0
  #tick = 0
  /** The tick of the last answer. */
  #answeredAt = 0
  #count = 0
  #sent = 0

  /** The number of commands without an answer. */
  get count(): number {
    return this.#count
  }

  /** The number of all commands so far. */
  get sent(): number {
    return this.#sent
  }

  /** Whether the time limit of the oldest command has passed, and the server has answered no command since it was sent. */
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
   * Counts one tick. Returns the commands that have waited for more than `limit` ticks. If the server has answered nothing since
   * the oldest of these was sent, the connection is silent, and all commands expire.
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
