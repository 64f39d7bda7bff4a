/**
 * Opens one connection: the budget, the gate, the dial, the hook, and what becomes of each failure.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import type { CallSite } from "../../internal/CallSite.ts"
import { CloseTimeout } from "../../internal/CloseTimeout.ts"
import { TrackedByPool } from "../../internal/DialContext.ts"
import { trackerIn, trackOpen } from "../../internal/OpenTracker.ts"
import { elapsed, endsWithin, supervised } from "../../internal/Timeout.ts"
import { sleepUnref } from "../../internal/Timer.ts"
import { report } from "../../internal/UnhandledLog.ts"
import { CurrentReservation, ResourceMonitor } from "../../Monitor/Service.ts"
import type { Connector } from "../../Resource/Connector.ts"
import { attempt } from "../../Retry/internal/RetryLoop.ts"
import * as RetryPolicy from "../../Retry/RetryPolicy.ts"
import { ConnectionBudget, unlimited } from "../ConnectionBudget.ts"
import { ConnectTimeout } from "../PoolError.ts"
import type { Settings } from "../PoolOptions.ts"
import { closeWithin, patienceOf } from "./CloseConnection.ts"
import { type DialRequest, LedgerEntry, type OnBehalf, type OpenedConnection } from "./PoolState.ts"

interface Labelled {
  readonly label: string
  readonly settings: Settings
}

/** What opening one connection needs to know. */
export interface OpenRequest<K, A, E, R> extends Labelled {
  readonly connector: Connector<K, A, E, R>
  readonly key: K
  readonly afterOpen: ((connection: A) => Effect.Effect<void, E, R>) | undefined
  readonly dialRequest: DialRequest<A>
  /** The scope of the connection. */
  readonly scope: Scope.Closeable
  /** Starts a fiber that ends when the connection has died, if the connector notices that. */
  readonly watch: ((connection: A) => Fiber.Fiber<void>) | undefined
  /** What is borrowed while the connection is opened is borrowed while its slot is held. */
  readonly onBehalf: OnBehalf
}

/** What the attempt has noted down and opened, until the pool takes it over. */
interface HeldAttempt<A> {
  readonly ledgerEntry: LedgerEntry
  /** It has failed, and another dial of the endpoint carries on. */
  isRedundant: boolean
  opened: Omit<OpenedConnection<A>, "watcher"> | undefined
  /** The connect that did not end when it was interrupted. It keeps the slot and the permit of the attempt. */
  leftBehind: Fiber.Fiber<unknown, unknown> | undefined
}

/** Closes the scope of an attempt, within bounds: no caller sets any. */
const closeAttempt = (
  scope: Scope.Closeable,
  ledgerEntry: LedgerEntry,
  { dialRequest, label, settings }: Labelled & { readonly dialRequest: Pick<DialRequest<never>, "leftBehind"> }
): Effect.Effect<void> =>
  closeWithin(ledgerEntry.during(Effect.suspend(() => Scope.close(scope, Exit.void))), {
    label,
    closeTimeout: settings.closeTimeout,
    leftBehind: () => dialRequest.leftBehind("Close")
  })

/** Closes what the pool has not taken over. */
const letGo = <A>(
  held: HeldAttempt<A>,
  request: Labelled & { readonly dialRequest: Pick<DialRequest<never>, "leftBehind"> }
): Effect.Effect<void> => {
  const { opened, ledgerEntry } = held
  held.opened = undefined
  const closeEntry = ledgerEntry.close()
  return opened === undefined
    ? closeEntry
    : Effect.andThen(closeAttempt(opened.scope, ledgerEntry, request), closeEntry)
}

const connectLeftBehind = (label: string, patience: Duration.Duration, { leftBehindTimeout }: Settings) =>
  report(
    `ConnectionPool: opening a connection to ${label} was interrupted and has not ended within ${
      Duration.format(patience)
    }. ` +
      `It is left behind: its slot is kept until it ends, for at most ${Duration.format(leftBehindTimeout)}, ` +
      "the monitor's ledger counts it until it ends, and what it still opens is closed at once. " +
      "Connector.fromPromise makes a connector whose connect ends when it is interrupted."
  )

/**
 * One dial, in the scope of its item. Neither a connector that cannot be interrupted nor a finalizer that hangs can hold up
 * the pool: they are left behind, and what such a dial still opens is closed at once, because its scope is closed by then.
 */
const dial = <K, A, E, R>(request: OpenRequest<K, A, E, R>, held: HeldAttempt<A>) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const { afterOpen, connector, dialRequest, key, label, onBehalf, scope, settings } = request
      const { ledgerEntry } = held
      const after = settings.connectTimeout
      const close = closeAttempt(scope, ledgerEntry, request)
      const opened = Effect.suspend(() => connector.open(key))
      const complete = Scope.provide(afterOpen === undefined ? opened : Effect.tap(opened, afterOpen), scope)
      const patience = patienceOf(settings.closeTimeout)
      const leftBehind = (fiber: Fiber.Fiber<unknown, unknown>) =>
        Effect.suspend(() => {
          held.leftBehind = fiber
          fiber.addObserver(dialRequest.leftBehind("Connect"))
          return connectLeftBehind(label, patience, settings)
        })
      const supervising = supervised(onBehalf(ledgerEntry.during(complete)), { within: after, patience, leftBehind })
      const exit = yield* Effect.onInterrupt(restore(supervising), () => close)
      if (exit !== undefined && Exit.isSuccess(exit)) {
        return held.opened = { value: exit.value, scope, ledgerEntry }
      }
      yield* close
      return exit === undefined
        ? yield* new ConnectTimeout({ key: label, after })
        : yield* Effect.failCause(exit.cause)
    })
  )

const textOf = (site: CallSite | undefined) => site && (() => site.text)

/** Notes down that a connection is open, for as long as its records last. */
const noteDown = (label: string, site: CallSite | undefined, ledgerEntry: LedgerEntry) =>
  Effect.contextWith((context: Context.Context<ResourceMonitor>) => {
    const { track } = Context.get(context, ResourceMonitor)
    const request = { label, site: textOf(site) }
    const tracking = Effect.suspend(() => Scope.provide(trackOpen({ label, site }), ledgerEntry.slot))
    if (track.unsafe === undefined) {
      return Effect.andThen(Scope.provide(track(request), ledgerEntry.entry), tracking)
    }
    ledgerEntry.keep(track.unsafe(request, Context.get(context, CurrentReservation)))
    return trackerIn(context) === undefined ? Effect.void : tracking
  })

/** The ledger's entry is made before the dial and is so the last to go: a connection counts until it is really closed. */
const recorded = <K, A, E, R>(request: OpenRequest<K, A, E, R>, held: HeldAttempt<A>) => {
  const { dialRequest, label, settings } = request
  const ifWanted = <B, E2, R2>(effect: Effect.Effect<B, E2, R2>) =>
    Effect.suspend((): Effect.Effect<B | undefined, E2, R2> => dialRequest.isWanted() ? effect : Effect.undefined)
  const dialed = Effect.suspend(() => {
    dialRequest.dialing()
    return dial(request, held)
  })
  const noted = ifWanted(
    Effect.suspend(() => Effect.andThen(noteDown(label, dialRequest.site(), held.ledgerEntry), dialed))
  )
  return ifWanted(Effect.flatMap(
    ConnectionBudget,
    (budget) =>
      budget === unlimited
        ? noted
        : Effect.andThen(
          permitted(budget, { label, settings, crowded: dialRequest.crowded, slot: held.ledgerEntry.slot }),
          noted
        )
  ))
}

/** One attempt. The dialer steps the policy when it has failed. */
const open = <K, A, E, R>(request: OpenRequest<K, A, E, R>, held: HeldAttempt<A>) => {
  const { dialRequest, label, settings } = request
  const tried = attempt(
    Effect.tapCause(recorded(request, held), (cause) =>
      // What is known of a failure is known before what was noted down is given back, which may take long.
      Effect.sync(() => {
        // A dial that is not needed any more ends here; the one that goes on carries the failure.
        held.isRedundant = dialRequest.isRedundant(Cause.squash(cause))
      })),
    settings.retry,
    {
      label,
      previousAttempts: dialRequest.attempts(),
      release: () => held.leftBehind === undefined ? letGo(held, request) : Effect.void,
      dial: true
    }
  )
  const parent = dialRequest.span()
  return parent === undefined
    ? tried
    : Effect.withSpan(tried, "ConnectionPool.connect", {
      parent,
      kind: "client",
      attributes: { "db.client.connection.pool.name": label }
    })
}

/**
 * Waits until a connect that was left behind has ended, for so long as its slot is kept. A pool that ends interrupts this: what is
 * left behind must not hold up the drain.
 */
const awaitLeftBehind = (connect: Fiber.Fiber<unknown, unknown>, { leftBehindTimeout }: Settings) =>
  Effect.raceFirst(
    Fiber.await(connect),
    elapsed(leftBehindTimeout, (duration) => sleepUnref(Duration.toMillis(Duration.fromInputUnsafe(duration))))
  )

/**
 * Makes one attempt to open a connection and hands it over, or ends without one when it is not wanted any more or the
 * attempt failed.
 *
 * The slot is freed when nothing is left of the connection: it counts until the socket is really gone, whether the dial
 * fails, is interrupted, or succeeds and the connection closes much later. What is left behind keeps it for a bounded time.
 */
export const openConnection = <K, A, E, R>(
  request: OpenRequest<K, A, E, R>
): Effect.Effect<void, never, R | ResourceMonitor> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const { dialRequest, settings } = request
      const held: HeldAttempt<A> = {
        ledgerEntry: new LedgerEntry(),
        isRedundant: false,
        opened: undefined,
        leftBehind: undefined
      }
      const exit = yield* Effect.exit(restore(open(request, held)))
      const opened = Exit.isSuccess(exit) ? exit.value : undefined
      const outcome: Exit.Exit<unknown, unknown> = opened === undefined
        ? exit
        : yield* Effect.exit(
          Effect.sync(() => dialRequest.opened({ ...opened, watcher: request.watch?.(opened.value) }))
        )
      if (opened !== undefined && Exit.isSuccess(outcome)) return
      if (Exit.isFailure(outcome) && !held.isRedundant && !dialRequest.isAbandoned()) {
        dialRequest.failed(Cause.squash(outcome.cause))
      }
      if (held.leftBehind !== undefined) {
        dialRequest.slotKept()
        yield* Effect.exit(restore(awaitLeftBehind(held.leftBehind, settings)))
      }
      yield* Effect.ensuring(letGo(held, request), Effect.sync(dialRequest.freed))
    })
  )

/** What opening a connection takes place in: not the pool's own scope, for every connection has one of its own. */
export const openingContext = <R>(context: Context.Context<R>, settings: Settings): Context.Context<R> =>
  Context.omit(Scope.Scope)(context).pipe(
    Context.add(CloseTimeout, settings),
    Context.add(RetryPolicy.InsideRetry, false),
    Context.add(TrackedByPool, true),
    // The scope is the only thing that may be missing, and each attempt adds it.
    (opening) => opening as Context.Context<R>
  )

/** What takes a permit for a connection. */
interface PermitRequest {
  /** The endpoint's text. */
  readonly label: string
  readonly settings: Settings
  /** Lasts as long as the slot of the connection. */
  readonly slot: Scope.Closeable
  /** The budget has had nothing left for a while: an idle connection of another endpoint may give its permit up. */
  readonly crowded: () => void
}

/** How long a budget may keep a dial waiting before an idle connection of another endpoint gives its permit up. */
const patienceWithBudget = Duration.millis(100)

const hungBudget = (what: string, label: string, patience: Duration.Duration): string =>
  `ConnectionPool: ${what} the budget's permit for ${label} has not ended within ${
    Duration.format(patience)
  } and is left behind`

const returnPermit = (permit: Scope.Closeable, label: string, { closeTimeout }: Settings): Effect.Effect<void> =>
  Effect.suspend(() => {
    const patience = patienceOf(closeTimeout)
    const giving = Effect.tapCause(
      Scope.close(permit, Exit.void),
      (cause) => report(`ConnectionPool: giving back the budget's permit for ${label} has failed`, cause)
    )
    return Effect.flatMap(
      endsWithin(giving, patience),
      (ended) => ended ? Effect.void : report(hungBudget("giving back", label, patience))
    )
  })

/**
 * Takes a permit from a budget, in a scope of its own that closes with the connection's. A budget that hangs, whether it is asked
 * for a permit or given one back, cannot hold up the pool.
 */
export const permitted = (
  budget: ConnectionBudget,
  { crowded, label, settings, slot }: PermitRequest
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const scope = Scope.makeUnsafe()
    const patience = patienceOf(settings.closeTimeout)
    yield* Scope.addFinalizer(slot, returnPermit(scope, label, settings))
    // A borrower may wait, or a connection be idle, only later.
    const asking = Effect.forever(Effect.andThen(Effect.sleep(patienceWithBudget), Effect.sync(crowded)))
    // What a budget opens for a permit is none of the pool's connections.
    const taking = Effect.provideService(Scope.provide(budget.take(label), scope), TrackedByPool, false)
    const exit = yield* supervised(Effect.raceFirst(taking, asking), {
      within: Duration.infinity,
      patience,
      leftBehind: () => report(hungBudget("taking", label, patience))
    })
    if (exit !== undefined && Exit.isFailure(exit)) return yield* Effect.failCause(exit.cause)
  })
