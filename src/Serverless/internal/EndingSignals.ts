/**
 * Listens for the signals that end a program.
 *
 * @since 0.1.0
 */
import { inNextTurn } from "../../internal/Timer.ts"
import type { EndingSignal } from "./MainExit.ts"

export class EndingSignals {
  readonly #ended: (signal: EndingSignal) => void
  #cancel: (() => void) | undefined

  constructor(ended: (signal: EndingSignal) => void) {
    this.#ended = ended
  }

  /**
   * Programs use SIGHUP for other purposes too, such as reading a configuration again. If there is another listener, this one is not
   * there until all have been called, so that they find what they would find without it: some end the process if they are alone.
   */
  readonly #hangup = (): void => {
    if (process.listenerCount("SIGHUP") <= 1) return this.#ended("SIGHUP")
    process.off("SIGHUP", this.#hangup)
    this.#cancel = inNextTurn(() => void process.prependListener("SIGHUP", this.#hangup), false)
  }

  start(): void {
    process.on("SIGINT", this.#ended).on("SIGTERM", this.#ended).prependListener("SIGHUP", this.#hangup)
  }

  stop(): void {
    this.#cancel?.()
    process.off("SIGINT", this.#ended).off("SIGTERM", this.#ended).off("SIGHUP", this.#hangup)
  }
}
