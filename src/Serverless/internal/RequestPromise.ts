/**
 * Runs an effect as the promise that a platform needs.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

/**
 * How one request runs.
 *
 * @category models
 * @since 0.1.0
 * @stability experimental
 */
export interface RunOptions {
  /** Its abort interrupts the request. @default none */
  readonly signal?: AbortSignal | undefined
}

/** Runs an effect as a promise that is rejected with the failure of the effect, or with what `errorOf` makes of it. */
export const promiseOf = <A, E>(
  effect: Effect.Effect<A, E>,
  options?: RunOptions,
  errorOf: (cause: Cause.Cause<E>) => unknown = Cause.squash
): Promise<A> =>
  Effect.runPromiseExit(effect, options?.signal === undefined ? {} : { signal: options.signal }).then((exit) => {
    if (Exit.isSuccess(exit)) return exit.value
    throw errorOf(exit.cause)
  })
