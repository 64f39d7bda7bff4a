/**
 * Detects a silent connection: requests are sent, and no answer comes. Only answers show that the peer works: a peer that sends
 * pings or notifications may still be unable to answer requests.
 *
 * @since 0.1.0
 */

/** If a request is interrupted earlier than this, in milliseconds, that says nothing about the connection. */
const leastPatience = 50

/** After this time, in milliseconds, any request without an answer is suspicious. */
const mostPatience = 1000

/** Tracks the answers on one connection. All times are milliseconds on one clock. */
export class SilenceDetector {
  readonly #probes: boolean
  #answers = 0
  /** How many answers to abandoned requests and to pings may still come, at most. */
  #owed = 0
  /** When the first request was sent after the last answer. */
  #since: number | undefined
  /** The longest time that an answer has taken so far. */
  #slowest = 0
  #isProbed = false
  #isSilent = false
  /** When to ping the peer; `Infinity` if no ping is due. */
  probeAt = Infinity

  /** `probes`: whether the peer can be pinged. */
  constructor(probes: boolean) {
    this.#probes = probes
  }

  /** Whether a request was abandoned, and no answer to any request has come from the time when it was sent until now. */
  get isSilent(): boolean {
    return this.#isSilent
  }

  /**
   * Called when a request is sent. The result is a mark, from which {@link timedOut} can tell whether any answer has come
   * since.
   */
  asked(now: number, timeout: number, mayProbe: boolean): number {
    this.#since ??= now
    if (mayProbe && this.#probes && !this.#isProbed) {
      this.probeAt = Math.min(this.probeAt, now + this.#patience(timeout))
    }
    return this.#answers
  }

  /** Called when a ping is sent, so that one more answer may come. */
  probed(): void {
    this.#owed++
    this.#isProbed = true
    this.probeAt = Infinity
  }

  /** Called when an answer has come. `took` is the time since its request. */
  answered(took: number): void {
    this.#answers++
    this.#since = undefined
    this.#slowest = Math.max(this.#slowest, took)
    this.#isProbed = false
    this.#isSilent = false
    this.probeAt = Infinity
  }

  /**
   * Called when an answer has come to a request that no longer waits. It counts only if such an answer was to be expected: a
   * second answer to the same request does not.
   */
  answeredLate(): void {
    if (this.#owed === 0) return
    this.#owed--
    this.answered(0)
  }

  /** Called when a request that was sent is abandoned: its answer may still come. */
  owe(): void {
    this.#owed++
  }

  /** Called when a request has timed out. `mark` is the result of {@link asked} for it. */
  timedOut(mark: number): void {
    if (mark === this.#answers) this.#isSilent = true
  }

  /**
   * Called when a request was interrupted. Its caller may just not need it any more. So it counts as timed out only if the
   * connection has been silent for longer than answers usually take, and (with pings) long enough for the answer to a ping.
   */
  interrupted(mark: number, now: number, timeout: number): void {
    if (this.#since === undefined) return
    const suspect = this.#patience(timeout) * (this.#probes ? 2 : 1)
    if (now - this.#since >= suspect) this.timedOut(mark)
  }

  /**
   * How long a silence is usual: twice the time of the slowest answer, within bounds, and at most half of the request's
   * timeout.
   */
  #patience(timeout: number): number {
    return Math.min(timeout / 2, mostPatience, Math.max(2 * this.#slowest, leastPatience))
  }
}
