/**
 * The first connection of a process to its store, which has a time of its own: a process that has just started loads the client and connects.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { timeoutOptionRunning } from "../../../internal/Timeout.ts"
import { BudgetError } from "../../../Pool/ConnectionBudget.ts"
import type { PoolError } from "../../../Pool/PoolError.ts"

/** What the first connection is made from. */
export interface FirstConnectionOptions {
  readonly key: string
  /** Opens a connection, which stays open. */
  readonly open: Effect.Effect<void, PoolError>
  readonly fork: (effect: Effect.Effect<void>) => void
  /** How long it may take, in milliseconds. */
  readonly millis: number
}

/** The first request opens the connection, and all that come before it is open wait for it. */
export class FirstConnection {
  readonly #options: FirstConnectionOptions
  readonly #ended = Deferred.makeUnsafe<void, BudgetError>()
  #state: "Unopened" | "Opening" | "Ended" = "Unopened"

  constructor(options: FirstConnectionOptions) {
    this.#options = options
  }

  /** Whether it is open, or has failed once. Each later connection has to be opened within the time of a call. */
  get hasEnded(): boolean {
    return this.#state === "Ended"
  }

  /** Waits for it for at most so many milliseconds. */
  ready(most: number): Effect.Effect<void, BudgetError> {
    return Effect.suspend(() => {
      if (this.#state === "Ended") return Effect.void
      if (this.#state === "Unopened") {
        this.#state = "Opening"
        this.#options.fork(this.#open)
      }
      return this.#within(Deferred.await(this.#ended), Math.min(most, this.#options.millis))
    })
  }

  readonly #open: Effect.Effect<void> = Effect.suspend(() => {
    const { key, millis, open } = this.#options
    const opened = Effect.mapError(
      open,
      (cause) => new BudgetError({ budget: key, detail: "no connection to its store could be opened", cause })
    )
    const ended = Effect.onExit(this.#within(opened, millis), (exit) =>
      Effect.sync(() => {
        this.#state = "Ended"
        Deferred.doneUnsafe(this.#ended, exit)
      }))
    return Effect.ignore(ended)
  })

  #within(effect: Effect.Effect<void, BudgetError>, millis: number): Effect.Effect<void, BudgetError> {
    return Effect.flatMap(timeoutOptionRunning(effect, millis), (inTime) => {
      const detail = `no connection to its store was opened within ${Math.round(millis)}ms`
      return inTime._tag === "Some" ? Effect.void : new BudgetError({ budget: this.#options.key, detail })
    })
  }
}
