/**
 * Closing, which must not cost a slot although a finalizer never ends.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import { CloseTimeout, type CloseTimeoutSource } from "../../internal/CloseTimeout.ts"
import { awaitWithin } from "../../internal/Timeout.ts"
import { report } from "../../internal/UnhandledLog.ts"
import type { CloseEvents, PooledConnection } from "./PoolState.ts"

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

const reportFailure = (label: string) => (cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  report(`ConnectionPool: closing a connection to ${label} has failed`, cause)

const reportHung = (label: string, patience: Duration.Duration): Effect.Effect<void> =>
  report(
    `ConnectionPool: closing a connection to ${label} has not ended within ${Duration.format(patience)}. ` +
      "It is left behind: its slot is free again, but its socket may still be open, which the monitor's ledger counts until the " +
      "connector's finalizer ends."
  )

interface CloseOptions extends CloseTimeoutSource, Pick<CloseEvents, "leftBehind"> {
  /** The endpoint's text. */
  readonly label: string
}

/** Waits for a fiber that closes a connection. One that does not end in time is reported, and counts as left behind. */
const awaitClosed = (
  closing: Fiber.Fiber<unknown>,
  { closeTimeout, label, leftBehind }: CloseOptions
): Effect.Effect<boolean> => {
  const patience = patienceOf(closeTimeout)
  return Effect.flatMap(awaitWithin(closing, patience), (exit) => {
    if (exit !== undefined) return Effect.succeed(true)
    const ended = leftBehind()
    closing.addObserver(ended)
    return Effect.as(reportHung(label, patience), false)
  })
}

/**
 * Runs an effect that closes a connection. One that does not end within `closeTimeout` and a moment is left behind and
 * reported.
 */
export const closeWithin = <R>(
  close: Effect.Effect<void, never, R>,
  options: CloseOptions
): Effect.Effect<void, never, R> => {
  const closing = close.pipe(
    Effect.tapCause(reportFailure(options.label)),
    Effect.provideService(CloseTimeout, options)
  )
  return Effect.flatMap(
    Effect.forkDetach(Effect.uninterruptible(closing), { startImmediately: true }),
    (fiber) => Effect.asVoid(awaitClosed(fiber, options))
  )
}

/** Closes a connection. */
export type Closer = <K, A>(connection: PooledConnection<K, A>, events: CloseEvents) => Fiber.Fiber<void>

/**
 * Makes what closes the connections of a pool, in fibers that are never interrupted and that end when that is done or is left
 * behind. If closing hangs, the slot is freed all the same, and a permit of the budget is given back: it would be lost for ever. The
 * entry in the ledger stays until closing ends.
 */
export const closerIn = (context: Context.Context<never>, settings: CloseTimeoutSource): Closer => {
  const fork = Effect.runForkWith(context)
  const forkClosing = Effect.runForkWith(Context.add(context, CloseTimeout, settings))
  return ({ owner, slot: { item: { scope }, ledgerEntry } }, { freed, leftBehind }) => {
    const closeAll = ledgerEntry.during(Effect.suspend(() => Scope.close(scope, Exit.void))).pipe(
      Effect.ensuring(ledgerEntry.close),
      Effect.ensuring(Effect.sync(freed)),
      Effect.catchCause(reportFailure(owner.label))
    )
    const closing = forkClosing(closeAll, { uninterruptible: true })
    // Most finalizers only tell a socket to end, and are done by now.
    if (closing.pollUnsafe() !== undefined) return closing
    const isClosed = awaitClosed(closing, { closeTimeout: settings.closeTimeout, label: owner.label, leftBehind })
    return fork(
      Effect.flatMap(isClosed, (ended) => ended ? Effect.void : Effect.andThen(Effect.sync(freed), ledgerEntry.close))
    )
  }
}
