/**
 * Which signal ended the demo, and the exit status that says so.
 *
 * The runner of the main program interrupts it on SIGINT and SIGTERM alike. A shell expects 128 and the signal's number.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** A signal that ends the demo. */
export type Signal = "SIGINT" | "SIGTERM"

const statuses: Record<Signal, number> = { SIGINT: 130, SIGTERM: 143 }

/** Listens until the scope closes. The result tells the first signal that has come so far. */
export const watch: Effect.Effect<() => Signal | undefined, never, Scope.Scope> = Effect.gen(function*() {
  let first: Signal | undefined
  const note = (signal: NodeJS.Signals) => {
    if (first !== undefined || (signal !== "SIGINT" && signal !== "SIGTERM")) return
    first = signal
    // The runner exits with one status for every interruption; the last word is with the listeners of `exit`.
    process.once("exit", () => {
      process.exitCode = statuses[signal === "SIGTERM" ? "SIGTERM" : "SIGINT"]
    })
  }
  yield* Effect.acquireRelease(
    Effect.sync(() => {
      process.on("SIGINT", note)
      process.on("SIGTERM", note)
    }),
    () =>
      Effect.sync(() => {
        process.off("SIGINT", note)
        process.off("SIGTERM", note)
      })
  )
  return () => first
})
