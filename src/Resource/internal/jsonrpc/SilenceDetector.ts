/**
 * Whether a connection has fallen silent: requests go out and no answer comes. Only answers count as life. A peer that sends
 * pings or notifications may still have lost what answers requests.
 *
 * @since 0.1.0
 */

/** An interrupted request says nothing about the connection before this time, in milliseconds. */
const leastPatience = 50

/** The time after which every request without an answer is suspect, in milliseconds. */
const mostPatience = 1000

/** What is known of the answers on one connection. All times are milliseconds on one clock. */
export class Silence {
  readonly #probes: boolean
  #answers = 0
  /** Upper bound on the answers that are still to come for requests that have been given up. */
  #owed = 0
  /** When the first request was sent after the last answer. */
  #since: number | undefined
  /** The longest time that an answer has taken so far. */
  #slowest = 0
  #isProbed = false
  #isSilent = false
  /** When the peer is to be asked whether it is alive; `Infinity` if it need not be. */
  probeAt = Infinity

  /** `probes`: the peer can be asked whether it is alive. */
  constructor(probes: boolean) {
    this.#probes = probes
  }

  /** A request was given up without any answer on the connection since it was sent, and no answer has come since. */
  get isSilent(): boolean {
    return this.#isSilent
  }

  /** A request goes out. The result is the mark that tells later whether any answer has come since. */
  asked(now: number, timeout: number, mayProbe: boolean): number {
    this.#since ??= now
    if (mayProbe && this.#probes && !this.#isProbed) {
      this.probeAt = Math.min(this.probeAt, now + this.#patience(timeout))
    }
    return this.#answers
  }

  /** The peer is being asked whether it is alive: that is an answer more that it owes. */
  probed(): void {
    this.#owed++
    this.#isProbed = true
    this.probeAt = Infinity
  }

  /** An answer has come, after this time. */
  answered(took: number): void {
    this.#answers++
    this.#since = undefined
    this.#slowest = Math.max(this.#slowest, took)
    this.#isProbed = false
    this.#isSilent = false
    this.probeAt = Infinity
  }

  /** An answer has come to a request that no longer waits. A second answer to one request is no sign of life. */
  answeredLate(): void {
    if (this.#owed === 0) return
    this.#owed--
    this.answered(0)
  }

  /** A request that was sent will not be waited for any more, so that its answer comes late, if at all. */
  owe(): void {
    this.#owed++
  }

  /** The time of a request is over. `mark` is what {@link asked} returned for it. */
  timedOut(mark: number): void {
    if (mark === this.#answers) this.#isSilent = true
  }

  /**
   * A request was interrupted. Its caller may have lost patience or interest, so that this counts only if the connection has
   * been silent for longer than its answers take, and than an answer to a probe would have taken.
   */
  interrupted(mark: number, now: number, timeout: number): void {
    if (this.#since === undefined) return
    const suspect = this.#patience(timeout) * (this.#probes ? 2 : 1)
    if (now - this.#since >= suspect) this.timedOut(mark)
  }

  /** How long silence is nothing unusual: twice the slowest answer, within bounds, and half of a request's own time. */
  #patience(timeout: number): number {
    return Math.min(timeout / 2, mostPatience, Math.max(2 * this.#slowest, leastPatience))
  }
}
