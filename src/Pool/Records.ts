/**
 * What is noted down of one connection, from before its dial until its socket is gone.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { Tracked } from "../Monitor/Service.ts"

/**
 * Its entry in the monitor's ledger, and what else lasts as long: a permit of the budget, say. Most connections have the entry
 * alone, for which a scope would be twice as much as the entry itself.
 */
export class Records {
  #tracked: Tracked | undefined
  #scope: Scope.Closeable | undefined

  /** Keeps an entry of the ledger until {@link close}. */
  keep(tracked: Tracked): void {
    this.#tracked = tracked
  }

  /** Where to register what else is to last as long. */
  get scope(): Scope.Closeable {
    return this.#scope ??= Scope.makeUnsafe()
  }

  /** Ends all of it, once. It follows the end of the connection itself. */
  close(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const [tracked, scope] = [this.#tracked, this.#scope]
      this.#tracked = undefined
      const closed = scope === undefined ? Effect.void : Scope.close(scope, Exit.void)
      // A monitor that throws costs no permit of the budget.
      return tracked === undefined ? closed : Effect.ensuring(Effect.sync(() => tracked.end()), closed)
    })
  }
}
