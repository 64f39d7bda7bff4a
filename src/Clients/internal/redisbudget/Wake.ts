/**
 * Messages to a process that waits for permits, over one subscription.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Redis } from "effect/persistence/Redis"
import * as Queue from "effect/Queue"
import { timeoutOptionRunning } from "../../../internal/Timeout.ts"
import { type Reply, toldOf } from "./Reply.ts"

/** What a subscription is made from. */
export interface WakeOptions {
  readonly subscribe: Redis["Service"]["subscribe"]
  readonly fork: (effect: Effect.Effect<void>) => void
  /** How long a request waits for the subscription, in milliseconds. */
  readonly patience: number
}

/** The subscription of a process, and the requests that wait for a message. */
export class Wake {
  readonly #options: WakeOptions
  readonly #waiting = new Map<string, Deferred.Deferred<Reply>>()
  /** Done when the server has confirmed the subscription. */
  #confirmed: Deferred.Deferred<void> | undefined

  constructor(options: WakeOptions) {
    this.#options = options
  }

  /**
   * The channel, if the process is subscribed to it. A request must not be sent before, because its message would be missed. The first
   * request subscribes.
   */
  ready(channel: string): Effect.Effect<string | undefined> {
    return Effect.suspend(() => {
      if (this.#confirmed === undefined) {
        this.#confirmed = Deferred.makeUnsafe()
        this.#options.fork(this.#listen(channel, this.#confirmed))
      }
      const confirmed = Deferred.await(this.#confirmed)
      return Effect.map(
        timeoutOptionRunning(confirmed, this.#options.patience),
        (inTime) => inTime._tag === "Some" ? channel : undefined
      )
    })
  }

  /** Expects a message about a request. */
  expect(id: string): Deferred.Deferred<Reply> {
    const told = Deferred.makeUnsafe<Reply>()
    this.#waiting.set(id, told)
    return told
  }

  forget(id: string): void {
    this.#waiting.delete(id)
  }

  /** Reads messages until the subscription fails. The next request begins another one. */
  #listen(channel: string, confirmed: Deferred.Deferred<void>): Effect.Effect<void> {
    const reading = Effect.gen({ self: this }, function*() {
      const queue = yield* this.#options.subscribe(channel)
      Deferred.doneUnsafe(confirmed, Exit.void)
      while (true) this.#tell((yield* Queue.take(queue)).message)
    })
    const ended = Effect.sync(() => {
      this.#confirmed = undefined
    })
    return Effect.ignore(Effect.ensuring(Effect.scoped(reading), ended))
  }

  #tell(message: string): void {
    const told = toldOf(message)
    const waiting = told && this.#waiting.get(told.id)
    if (told !== undefined && waiting !== undefined) Deferred.doneUnsafe(waiting, Exit.succeed(told.reply))
  }
}
