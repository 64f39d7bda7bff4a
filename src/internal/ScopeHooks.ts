/**
 * Synchronous hooks at the beginning and end of a scope.
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
 * Calls `begin` now and `end` when the scope closes, each in one step. `Effect.acquireRelease` does the same, but keeps the whole
 * context of its caller while the scope is open, which is more than half a kilobyte for each connection.
 */
export const scopeHooks = (begin: () => void, end: () => void): Effect.Effect<void, never, Scope.Scope> =>
  Effect.uninterruptible(Effect.flatMap(Effect.scope, (scope) => {
    begin()
    return Scope.addFinalizerExit(scope, ending(end))
  }))

/** A value that is made now and ended when the scope closes, each in one step. */
export const scopedValue = <A>(make: () => A, end: (value: A) => void): Effect.Effect<A, never, Scope.Scope> =>
  Effect.acquireRelease(Effect.sync(make), (value) => Effect.sync(() => end(value)))
