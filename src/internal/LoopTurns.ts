/**
 * Counts turns of the event loop.
 *
 * @since 0.1.0
 */

/**
 * Numbers turns of the event loop, so that two moments in the same turn can be recognized. Only turns that were noted are
 * counted, so the difference of two numbers has no meaning.
 */
class LoopTurns {
  /** The number of the noted turn during that turn, and a larger number after it. */
  last = 0
  #isCounting = false
  readonly #end = (): void => {
    this.last++
    this.#isCounting = false
  }

  /** Notes the current turn. */
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
