/**
 * Lets a layer of a program give its loggers to `Main`, which logs the begin and the end of the program's end. `Main` itself runs outside
 * of the layers, and does not know their loggers.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"

/** Runs an effect that logs, with the loggers of a layer. */
export type RunLog = (log: Effect.Effect<void>) => void

/** Takes the loggers of a layer. The last one counts. */
export interface ProgramEnd {
  readonly logWith: (run: RunLog) => void
}

/** The end of the program of this context. `undefined`: it does not log its end. */
export const ProgramEnd: Context.Reference<ProgramEnd | undefined> = Context.Reference<ProgramEnd | undefined>(
  "effect-sluice/internal/ProgramEnd",
  { defaultValue: () => undefined }
)
