/**
 * What no caller can receive.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as References from "effect/References"

/** Logs at the level that the program has chosen for what nobody receives, `References.UnhandledLogLevel`. */
export const report = (message: string, cause?: Cause.Cause<unknown>): Effect.Effect<void> =>
  Effect.flatMap(References.UnhandledLogLevel, (level) =>
    level === undefined
      ? Effect.void
      : cause === undefined
      ? Effect.logWithLevel(level)(message)
      : Effect.logWithLevel(level)(message, cause))
