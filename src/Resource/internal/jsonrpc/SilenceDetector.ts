/**
 * Detects a silent connection: requests are sent and no answer comes. Only answers count as a sign of life: a peer that sends
 * pings or notifications may still be unable to answer requests.
 *
 * @since 0.1.0
 */

/** An interrupted request says nothing about the connection before this time, in milliseconds. */
const leastPatience = 50

/** The time after which every request without an answer is suspect, in milliseconds. */
const mostPatience = 1000

/** Tracks the answers on one connection. All times are milliseconds on one clock. */
export class SilenceDetector {
  readonly #probes: boolean
  #answers = 0
  /** Upper bound on the answers that are still to come for abandoned requests. */
  #owed = 0
  /** When the first request was sent after the last answer. */
  #since: number | undefined
  /** The longest time that an answer has taken so far. */
  #slowest = 0
  #isProbed = false
  #isSilent = false
  /** When to ping the peer; `Infinity` if no ping is due. */
  probeAt = Infinity

  /** `probes`: the peer can be pinged. */
  constructor(probes: boolean) {
    this.#probes = probes
  }

  /** A request was abandoned without any answer on the connection since it was sent, and no answer has come since. */
  get isSilent(): boolean {
    return this.#isSilent
  }

  /** A request is sent. The result is a mark that shows later whether any answer has come since. */
  asked(now: number, timeout: number, mayProbe: boolean): number {
    this.#since ??= now
    if (mayProbe && this.#probes && !this.#isProbed) {
      this.probeAt = Math.min(this.probeAt, now + this.#patience(timeout))
    }
    return this.#answers
  }

  /** A ping is sent, which the peer owes one more answer. */
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

  /** A sent request was abandoned, so its answer comes late, if at all. */
  owe(): void {
    this.#owed++
  }

  /** A request timed out. `mark` is what {@link asked} returned for it. */
  timedOut(mark: number): void {
    if (mark === this.#answers) this.#isSilent = true
  }

  /**
   * A request was interrupted. Its caller may not need it any more, so this counts only if the connection has been silent for longer
   * than its answers take, and than an answer to a ping would have taken.
   */
  interrupted(mark: number, now: number, timeout: number): void {
    if (this.#since === undefined) return
    const suspect = this.#patience(timeout) * (this.#probes ? 2 : 1)
    if (now - this.#since >= suspect) this.timedOut(mark)
  }

  /** The usual silence: twice the slowest answer, within bounds, and at most half of the request's timeout. */
  #patience(timeout: number): number {
    return Math.min(timeout / 2, mostPatience, Math.max(2 * this.#slowest, leastPatience))
  }
}
