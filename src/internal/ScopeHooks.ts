/**
 * What lasts as long as a scope and is only noted down.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"

const ending = (end: () => void) => () => {
  end()
  return Effect.void
}

/**
 * Begins something and ends it with the scope, each in one step. `Effect.acquireRelease` does the same and keeps the whole
 * context of its caller for as long as the scope is open, which is more than half a kilobyte for each connection.
 */
export const scopeHooks = (begin: () => void, end: () => void): Effect.Effect<void, never, Scope.Scope> =>
  Effect.uninterruptible(Effect.flatMap(Effect.scope, (scope) => {
    begin()
    return Scope.addFinalizerExit(scope, ending(end))
  }))
