/**
 * Counts turns of the event loop.
 *
 * @since 0.1.0
 */

import { inNextTurn } from "./Timer.ts"

/**
 * Numbers turns of the event loop, so that two moments in the same turn can be recognized. Only turns that were noted are
 * counted, so the difference of two numbers has no meaning.
 */
export class LoopTurns {
  /** The number of the noted turn during that turn, and a larger number after it. */
  last = 0
  #isCounting = false
  readonly #end = (): void => {
    this.last++
    this.#isCounting = false
  }

  /**
   * Forgets the noted turn. On a platform that ends the timers of a request with the request, the end of a noted turn may never come.
   */
  restart(): void {
    this.#end()
  }

  /** Notes the current turn. */
  note(): number {
    if (!this.#isCounting) {
      this.#isCounting = true
      inNextTurn(this.#end, false)
    }
    return this.last
  }
}

/** There is one event loop, and so one count. */
export const loopTurns = /*#__PURE__*/ new LoopTurns()
