/**
 * Which signal ended the demo. The runner of the main program interrupts it on SIGINT and SIGTERM alike; the report says
 * which it was.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** Listens until the scope closes. The result tells the first signal that has come so far. */
export const watch: Effect.Effect<() => NodeJS.Signals | undefined, never, Scope.Scope> = Effect.gen(function*() {
  let first: NodeJS.Signals | undefined
  const note = (signal: NodeJS.Signals) => {
    first ??= signal
  }
  yield* Effect.acquireRelease(
    Effect.sync(() => process.on("SIGINT", note).on("SIGTERM", note)),
    () => Effect.sync(() => process.off("SIGINT", note).off("SIGTERM", note))
  )
  return () => first
})
