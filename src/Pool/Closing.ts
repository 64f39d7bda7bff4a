/**
 * Closing, which must not cost a slot although a finalizer never ends.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import { endsWithin } from "../internal/Bounded.ts"
import { CloseTimeout } from "../internal/CloseTimeout.ts"
import { report } from "../internal/Unhandled.ts"
import type { Records } from "./Records.ts"

/** A connector keeps the deadline itself; this is what it may take longer for the last steps. */
const grace = Duration.millis(500)

/** How long closing may take before it is left behind. */
export const patienceOf = (closeTimeout: Duration.Duration): Duration.Duration => Duration.sum(closeTimeout, grace)

/** Says that something of a connector died where no borrower could receive it. */
export const reportDefects = (what: string) => <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.tapCauseIf(
    effect,
    (cause) => Cause.hasDies(cause),
    (cause) => report(`ConnectionPool: ${what} of a connector died`, cause)
  )

/**
 * Runs an effect that closes something. One that does not end within `closeTimeout` and a moment is left behind and
 * reported; `false` then.
 */
export const closeWithin = <R>(
  close: Effect.Effect<void, never, R>,
  options: { readonly label: string; readonly closeTimeout: Duration.Duration }
): Effect.Effect<boolean, never, R> => {
  const patience = patienceOf(options.closeTimeout)
  const closing = close.pipe(
    Effect.tapCause((cause) => report(`ConnectionPool: closing a connection to ${options.label} has failed`, cause)),
    Effect.provideService(CloseTimeout, options)
  )
  return Effect.tap(endsWithin(closing, patience), (ended) =>
    ended
      ? Effect.void
      : report(
        `ConnectionPool: closing a connection to ${options.label} has not ended within ${Duration.format(patience)}. ` +
          "Its slot is free again, but its socket may still be open: the connector's finalizer hangs."
      ))
}

/**
 * Closes a connection, once however often it is asked to. Its slot is freed in the step in which nothing is left of it. If
 * closing hangs, the slot is freed all the same, and whatever was noted down of the connection is given back: a permit of the
 * budget would be lost for ever.
 */
export const closeConnection = (options: {
  readonly scope: Scope.Closeable
  readonly records: Records
  readonly label: string
  readonly closeTimeout: Duration.Duration
  readonly freed: () => void
}): Effect.Effect<void> => {
  const { freed, records, scope } = options
  const closeRecords = records.close()
  const closeAll = Effect.suspend(() => Scope.close(scope, Exit.void)).pipe(
    Effect.ensuring(closeRecords),
    Effect.ensuring(Effect.sync(freed)),
    // No other fiber comes between the last finalizer and the slot, which would be counted although nothing is open.
    Effect.provideService(Scheduler.PreventSchedulerYield, true)
  )
  return Effect.flatMap(
    closeWithin(closeAll, options),
    (ended) => ended ? Effect.void : Effect.andThen(Effect.sync(freed), closeRecords)
  )
}
