/**
 * Logs errors that have no caller.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as References from "effect/References"
import { safeError, safeMessage } from "./SafeText.ts"

/**
 * Makes the errors of a cause safe to print. The failure of a finalizer is often an error of a driver, which contains text of a
 * peer.
 */
const safeCause = (cause: Cause.Cause<unknown>): Cause.Cause<unknown> =>
  Cause.fromReasons(cause.reasons.map((reason) =>
    Cause.isFailReason(reason)
      ? Cause.makeFailReason(safeError(reason.error))
      : Cause.isDieReason(reason)
      ? Cause.makeDieReason(safeError(reason.defect))
      : reason
  ))

/** Logs at the level that the program has chosen for unhandled errors, `References.UnhandledLogLevel`. */
export const report = (message: string, cause?: Cause.Cause<unknown>): Effect.Effect<void> =>
  Effect.flatMap(References.UnhandledLogLevel, (level) =>
    level === undefined
      ? Effect.void
      : cause === undefined
      ? Effect.logWithLevel(level)(safeMessage(message))
      : Effect.logWithLevel(level)(safeMessage(message), safeCause(cause)))
