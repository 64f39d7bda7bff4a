/**
 * A separate scope for one attempt.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"

/**
 * Runs an effect in a child of the caller's scope. After a failure or an interruption the child is closed at once, so that no
 * resource of the effect stays open. After a success its resources live as long as the caller's scope.
 */
export const closeOnFailure = <A, E, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E, Exclude<R, Scope.Scope> | Scope.Scope> =>
  Effect.flatMap(Effect.scope, (parent) =>
    Effect.flatMap(Scope.fork(parent), (child) =>
      Effect.onExit(
        Scope.provide(effect, child),
        (exit) => Exit.isFailure(exit) ? Scope.close(child, exit) : Effect.void
      )))
