/**
 * Closes connections. A finalizer that never ends must not take a slot for ever.
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

/** The time after `closeTimeout` for the last steps of a finalizer. Connectors observe `closeTimeout` themselves. */
const grace = Duration.millis(500)

/** How long a finalizer may take before it is left behind. */
export const patienceOf = (closeTimeout: Duration.Duration): Duration.Duration => Duration.sum(closeTimeout, grace)

/** Reports a defect of a connector's function that no borrower can receive. */
export const reportDefects =
  (title: string, what: string) => <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.tapCauseIf(
      effect,
      (cause) => Cause.hasDies(cause),
      (cause) => report(`${title}: ${what} of a connector died`, cause)
    )

/** What reports name. */
interface Named {
  /** The text of the pool. */
  readonly title: string
  /** The endpoint's text. */
  readonly label: string
}

const reportFailure = ({ label, title }: Named) => (cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  report(`${title}: closing a connection to ${label} has failed`, cause)

const reportHung = ({ label, title }: Named, patience: Duration.Duration): Effect.Effect<void> =>
  report(
    `${title}: closing a connection to ${label} has not ended within ${Duration.format(patience)}. ` +
      "It is left behind: its slot is free again, but its socket may still be open, which the monitor's ledger counts until the " +
      "connector's finalizer ends."
  )

interface CloseOptions extends CloseTimeoutSource, Named, Pick<CloseEvents, "leftBehind"> {}

/** Waits for a fiber that closes a connection. A fiber that does not end in time is reported and counts as left behind. */
const awaitClosed = (
  closing: Fiber.Fiber<unknown>,
  { leftBehind, ...options }: CloseOptions
): Effect.Effect<boolean> => {
  const patience = patienceOf(options.closeTimeout)
  return Effect.flatMap(awaitWithin(closing, patience), (exit) => {
    if (exit !== undefined) return Effect.succeed(true)
    const ended = leftBehind()
    closing.addObserver(ended)
    return Effect.as(reportHung(options, patience), false)
  })
}

/**
 * Runs an effect that closes a connection. If it does not end within `closeTimeout` and half a second, it is left behind and
 * reported.
 */
export const closeWithin = <R>(
  close: Effect.Effect<void, never, R>,
  options: CloseOptions
): Effect.Effect<void, never, R> => {
  const closing = close.pipe(
    Effect.tapCause(reportFailure(options)),
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
 * Makes the function that closes the connections of a pool. Its fibers are never interrupted. Each ends when its connection is
 * closed or the finalizer was left behind. A finalizer that was left behind keeps its entry in the ledger. Its slot and its permit
 * of the budget are freed, because they would be lost for ever.
 */
export const closerIn = (
  context: Context.Context<never>,
  title: string,
  settings: CloseTimeoutSource
): Closer => {
  const fork = Effect.runForkWith(context)
  const forkClosing = Effect.runForkWith(Context.add(context, CloseTimeout, settings))
  return ({ owner, slot: { item: { scope }, ledgerEntry } }, { freed, leftBehind }) => {
    const named = { title, label: owner.label }
    const closeAll = ledgerEntry.during(Effect.suspend(() => Scope.close(scope, Exit.void))).pipe(
      Effect.ensuring(ledgerEntry.close),
      Effect.ensuring(Effect.sync(freed)),
      Effect.catchCause(reportFailure(named))
    )
    const closing = forkClosing(closeAll, { uninterruptible: true })
    // Most finalizers only end a socket, and have ended by now.
    if (closing.pollUnsafe() !== undefined) return closing
    const isClosed = awaitClosed(closing, { ...named, closeTimeout: settings.closeTimeout, leftBehind })
    return fork(
      Effect.flatMap(isClosed, (ended) => ended ? Effect.void : Effect.andThen(Effect.sync(freed), ledgerEntry.close))
    )
  }
}
