/**
 * Counts turns of the event loop.
 *
 * @since 0.1.0
 */

/**
 * Distinguishes turns of the event loop. A noted turn equals `last` until the loop goes on. The difference of two numbers has
 * no meaning, because only noted turns are counted.
 */
class LoopTurns {
  /** The turn that was noted last while it lasts, and another number after it. */
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
