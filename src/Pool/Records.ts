/**
 * What is noted down of one connection, from before its dial until its socket is gone.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { Tracked } from "../Monitor/Service.ts"

const closeScope = (scope: Scope.Closeable | undefined): Effect.Effect<void> =>
  scope === undefined ? Effect.void : Scope.close(scope, Exit.void)

/**
 * The entry of a connection in the monitor's ledger, and what ends with its slot: a permit of the budget, say.
 *
 * **Details**
 *
 * The entry lasts for as long as there may be a socket: a dial or a finalizer that was left behind keeps it until it ends, whatever
 * has become of the slot. Most connections have an entry alone, for which a scope would be twice as much as the entry itself.
 */
export class Records {
  #tracked: Tracked | undefined
  #entry: Scope.Closeable | undefined
  #slot: Scope.Closeable | undefined
  /** Dials and finalizers under way. */
  #running = 0
  #isClosed = false

  /** Keeps an entry of the ledger. */
  keep(tracked: Tracked): void {
    this.#tracked = tracked
  }

  /** Where a monitor without `track.unsafe` registers the end of the entry. */
  get entry(): Scope.Closeable {
    return this.#entry ??= Scope.makeUnsafe()
  }

  /** Where to register what is to last as long as the slot. */
  get slot(): Scope.Closeable {
    return this.#slot ??= Scope.makeUnsafe()
  }

  /** Runs a dial or a finalizer of the connection, which keeps the entry until it ends. */
  during<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.suspend(() => {
      this.#running++
      return Effect.ensuring(
        effect,
        Effect.suspend(() => {
          this.#running--
          return this.#endEntry()
        })
      )
    })
  }

  /** Ends what lasts as long as the slot, once, and the entry as soon as nothing is running. It follows the end of the slot. */
  close(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#isClosed = true
      const slot = this.#slot
      this.#slot = undefined
      // A monitor that throws costs no permit of the budget.
      return Effect.ensuring(this.#endEntry(), closeScope(slot))
    })
  }

  #endEntry(): Effect.Effect<void> {
    if (!this.#isClosed || this.#running > 0) return Effect.void
    const [tracked, entry] = [this.#tracked, this.#entry]
    this.#tracked = undefined
    this.#entry = undefined
    const closed = closeScope(entry)
    return tracked === undefined ? closed : Effect.ensuring(Effect.sync(() => tracked.end()), closed)
  }
}
