/**
 * One process with several instances, which takes several permits at once and shares them: `takeMany`, with a budget in memory behind it.
 */
import type { Client, Permit } from "./client.ts"
import type { Shares } from "./setting.ts"

/** An instance that wants a permit of its process. */
export interface Local {
  readonly deadline: number
  /** `giveBack` returns the permit to the process. */
  readonly granted: (at: number, giveBack: (at: number) => void) => void
  readonly failed: (at: number) => void
}

export interface SharesOptions {
  readonly client: Client
  readonly shares: Shares
  readonly patience: number
  /** Runs something at a time. */
  readonly later: (at: number, run: (at: number) => void) => void
}

/** The permits of one process. */
export class SharedPermits {
  readonly #options: SharesOptions
  readonly #waiting: Array<Local> = []
  #permit: Permit | undefined
  #isAsking = false
  #isEnding = false
  #running = 0

  constructor(options: SharesOptions) {
    this.#options = options
  }

  take(now: number, local: Local): void {
    this.#waiting.push(local)
    this.#serve(now)
  }

  #serve(now: number): void {
    const { shares: { permits } } = this.#options
    if (this.#permit === undefined) return this.#ask(now)
    while (!this.#isEnding && this.#running < permits) {
      const local = this.#waiting.shift()
      if (local === undefined) return
      if (local.deadline < now) local.failed(now)
      else this.#start(now, local)
    }
  }

  #start(now: number, local: Local): void {
    this.#running++
    local.granted(now, (at) => {
      this.#running--
      this.#endIfIdle(at)
      this.#serve(at)
    })
  }

  #ask(now: number): void {
    if (this.#isAsking || this.#waiting.length === 0) return
    this.#isAsking = true
    const { client, patience, shares } = this.#options
    client.take(now, {
      weight: shares.permits,
      deadline: now + patience,
      granted: (at, permit) => this.#began(at, permit),
      failed: (at) => {
        this.#isAsking = false
        for (const local of this.#waiting.splice(0)) local.failed(at)
      }
    })
  }

  #began(now: number, permit: Permit): void {
    this.#permit = permit
    this.#isAsking = false
    this.#isEnding = false
    const end = (at: number) => {
      if (this.#permit !== permit) return
      this.#isEnding = true
      this.#endIfIdle(at)
      this.#serve(at)
    }
    permit.lost = end
    this.#options.later(now + this.#options.shares.tenure, end)
    this.#serve(now)
  }

  #endIfIdle(now: number): void {
    if (!this.#isEnding || this.#running > 0 || this.#permit === undefined) return
    this.#options.client.giveBack(now, this.#permit)
    this.#permit = undefined
  }
}
