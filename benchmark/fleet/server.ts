/**
 * A store that works first in, first out, on one processor.
 */
import type { Away } from "./setting.ts"

export class Server {
  readonly #away: Away | undefined
  #freeAt = 0
  /** How long it has worked, in milliseconds. */
  busy = 0
  calls = 0

  constructor(away?: Away) {
    this.#away = away
  }

  /** When a call that arrives now is done. Calls have to be announced in the order of their arrival. */
  serve(arrival: number, service: number): number {
    const start = Math.max(arrival, this.#freeAt)
    const { from, to } = this.#away ?? { from: Infinity, to: Infinity }
    this.#freeAt = (start >= from && start < to ? to : start) + service
    this.busy += service
    this.calls++
    return this.#freeAt
  }
}
