/**
 * Counting the turns of the event loop.
 *
 * @since 0.1.0
 */

/**
 * Tells turns of the event loop apart. What was noted is the last one as long as the loop has not gone on since. How much two of
 * them differ says nothing: a turn counts only if it was noted.
 */
class LoopTurns {
  /** The turn that was noted last, as long as it lasts; another one after it. */
  last = 0
  #isCounting = false
  readonly #end = (): void => {
    this.last++
    this.#isCounting = false
  }

  /** Notes the turn that is under way. */
  note(): number {
    if (!this.#isCounting) {
      this.#isCounting = true
      // oxlint-disable-next-line effecttsgo/global-timers
      setImmediate(this.#end).unref()
    }
    return this.last
  }
}

/** There is one event loop, and so one count. */
export const loopTurns = /*#__PURE__*/ new LoopTurns()
