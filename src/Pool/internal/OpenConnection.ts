/**
 * Opens one connection: takes the budget's permit, passes the gate, dials, runs the hook, and handles the failure of each.
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
import * as Tracer from "effect/Tracer"
import { CloseTimeout } from "../../internal/CloseTimeout.ts"
import { TrackedByPool } from "../../internal/DialContext.ts"
import { trackOpen } from "../../internal/OpenTracker.ts"
import { elapsed, endsWithin, supervised } from "../../internal/Timeout.ts"
import { sleepUnref } from "../../internal/Timer.ts"
import { report } from "../../internal/UnhandledLog.ts"
import { ResourceMonitor } from "../../Monitor/Service.ts"
import type { Connector } from "../../Resource/Connector.ts"
import { attempt } from "../../Retry/internal/RetryLoop.ts"
import * as RetryPolicy from "../../Retry/RetryPolicy.ts"
import { type BudgetError, ConnectionBudget, CurrentPermit, type Permit, unlimited } from "../ConnectionBudget.ts"
import { ConnectTimeout } from "../PoolError.ts"
import { type Settings, titleOf } from "../PoolOptions.ts"
import { closeWithin, patienceOf } from "./CloseConnection.ts"
import { annotateFailure, spanAttributes } from "./Diagnostics.ts"
import type { Dials } from "./Dials.ts"
import type { Lease, OnBehalf, PendingDial } from "./PoolState.ts"

/** The arguments of opening one connection. */
export interface OpenRequest<K, A, E, R> {
  readonly settings: Settings
  readonly connector: Connector<K, A, E, R>
  readonly afterOpen: ((connection: A) => Effect.Effect<void, E, R>) | undefined
  readonly dials: Dials<K, A>
  readonly dial: PendingDial<K, A>
  /** Starts a fiber that ends when the connection has died or its permit is lost, if either can be noticed. */
  readonly watch: (connection: A, lost: Permit["lost"]) => Fiber.Fiber<void> | undefined
  /** How many milliseconds are left to a borrower that waits. */
  readonly remaining: (lease: Lease<K, A>) => number
  /** Runs an effect of the connector, so that a borrow in it is known to hold a slot. */
  readonly onBehalf: OnBehalf
}

/** The connection of an attempt, until the pool takes it over. */
interface HeldAttempt<A> {
  opened: { readonly value: A } | undefined
  permit: Permit | undefined
  /** The connect that did not end when it was interrupted. It keeps the slot and the permit of the attempt. */
  leftBehind: Fiber.Fiber<unknown, unknown> | undefined
}

/** Closes the scope of an attempt within the pool's `closeTimeout`. */
const closeAttempt = <K, A, E, R>({ dial, dials, settings }: OpenRequest<K, A, E, R>): Effect.Effect<void> => {
  const { endpoint, slot: { item, ledgerEntry } } = dial
  return closeWithin(ledgerEntry.during(Effect.suspend(() => Scope.close(item.scope, Exit.void))), {
    label: endpoint.label,
    title: titleOf(settings),
    closeTimeout: settings.closeTimeout,
    leftBehind: () => dials.leftBehind(dial, "Close")
  })
}

/** Closes a connection that the pool has not taken over, and ends the records of the attempt. */
const letGo = <K, A, E, R>(held: HeldAttempt<A>, request: OpenRequest<K, A, E, R>): Effect.Effect<void> => {
  const { opened } = held
  held.opened = undefined
  const { close } = request.dial.slot.ledgerEntry
  return opened === undefined ? close : Effect.andThen(closeAttempt(request), close)
}

const connectLeftBehind = (label: string, patience: Duration.Duration, settings: Settings) =>
  report(
    `${titleOf(settings)}: opening a connection to ${label} was interrupted and has not ended within ${
      Duration.format(patience)
    }. ` +
      `It is left behind: its slot is kept until it ends, for at most ${
        Duration.format(settings.leftBehindTimeout)
      }, ` +
      "the monitor's ledger counts it until it ends, and what it still opens is closed at once. " +
      "Connector.fromPromise makes a connector whose connect ends when it is interrupted."
  )

/**
 * One connect, in the scope of its item. A connector that cannot be interrupted, or a finalizer that hangs, is left behind and does
 * not block the pool. If a connect that was left behind still opens a connection, that connection is closed at once, because the
 * scope is closed by then.
 */
const connect = <K, A, E, R>(request: OpenRequest<K, A, E, R>, held: HeldAttempt<A>) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const { afterOpen, connector, dial, dials, onBehalf, settings } = request
      const { endpoint: { key, label }, slot: { item: { scope }, ledgerEntry } } = dial
      const after = settings.connectTimeout
      const close = closeAttempt(request)
      const opened = Effect.suspend(() => connector.open(key))
      const complete = Scope.provide(afterOpen === undefined ? opened : Effect.tap(opened, afterOpen), scope)
      const patience = patienceOf(settings.closeTimeout)
      const leftBehind = (fiber: Fiber.Fiber<unknown, unknown>) =>
        Effect.suspend(() => {
          held.leftBehind = fiber
          fiber.addObserver(dials.leftBehind(dial, "Connect"))
          return connectLeftBehind(label, patience, settings)
        })
      const supervising = supervised(onBehalf(ledgerEntry.during(complete)), { within: after, patience, leftBehind })
      const exit = yield* Effect.onInterrupt(restore(supervising), () => close)
      if (exit !== undefined && Exit.isSuccess(exit)) return held.opened = { value: exit.value }
      yield* close
      return exit === undefined
        ? yield* new ConnectTimeout({ key: label, after })
        : yield* Effect.failCause(exit.cause)
    })
  )

/** Adds the connection to the monitor's ledger and to the tracker of what is open, as long as its `LedgerEntry` lasts. */
const noteDown = <K, A>({ endpoint: { label, queue }, slot: { ledgerEntry } }: PendingDial<K, A>) => {
  const site = queue.first?.site
  return Effect.andThen(
    Effect.flatMap(
      ResourceMonitor,
      ({ track }) => Scope.provide(track({ label, site: site && (() => site.text) }), ledgerEntry.entry)
    ),
    Scope.provide(trackOpen({ label, site }), ledgerEntry.slot)
  )
}

/** The ledger's entry is made before the dial, so it is removed last: a connection counts until it is really closed. */
const recorded = <K, A, E, R>(request: OpenRequest<K, A, E, R>, held: HeldAttempt<A>) => {
  const { dial, dials } = request
  const ifWanted = <B, E2, R2>(effect: Effect.Effect<B, E2, R2>) =>
    Effect.suspend((): Effect.Effect<B | undefined, E2, R2> =>
      dials.isWanted(dial.endpoint) ? effect : Effect.undefined
    )
  const connecting = Effect.suspend(() => {
    // From here on, the dial is not interrupted when its borrower leaves.
    dial.phase = "Connecting"
    return Effect.provideService(connect(request, held), CurrentPermit, held.permit)
  })
  const noted = ifWanted(Effect.suspend(() => Effect.andThen(noteDown(dial), connecting)))
  return ifWanted(Effect.flatMap(
    ConnectionBudget,
    (budget) => budget === unlimited ? noted : Effect.andThen(permitted(budget, request, held), noted)
  ))
}

/** One attempt. If it fails, `Dials` decides by the retry policy what follows. */
const open = <K, A, E, R>(request: OpenRequest<K, A, E, R>, held: HeldAttempt<A>) => {
  const { dial, dials, settings } = request
  const { label, queue, series } = dial.endpoint
  const tried = attempt(
    // The failure is reported before the scopes of the attempt are closed, because closing may take long.
    Effect.tapCause(
      recorded(request, held),
      (cause) => Effect.sync(() => dials.lookForOther(dial, Cause.squash(cause)))
    ),
    settings.retry,
    {
      label,
      // The gate refuses retries earlier than first attempts.
      previousAttempts: series?.progress.runs ?? 0,
      release: () => held.leftBehind === undefined ? letGo(held, request) : Effect.void,
      dial: true
    }
  )
  const parent = queue.first && Context.getOrUndefined(queue.first.context, Tracer.ParentSpan)
  return parent === undefined
    ? tried
    : Effect.withSpan(annotateFailure(tried), "ConnectionPool.connect", {
      parent,
      kind: "client",
      attributes: spanAttributes(settings, dial.endpoint)
    })
}

/**
 * Waits until a connect that was left behind has ended, for at most `leftBehindTimeout`. A drain of the pool interrupts this wait,
 * because a connect that was left behind must not block the drain.
 */
const awaitLeftBehind = (connect: Fiber.Fiber<unknown, unknown>, { leftBehindTimeout }: Settings) =>
  Effect.raceFirst(
    Fiber.await(connect),
    elapsed(leftBehindTimeout, (duration) => sleepUnref(Duration.toMillis(Duration.fromInputUnsafe(duration))))
  )

/**
 * Makes one attempt to open a connection and passes the connection to the pool. It ends without a connection if the attempt fails
 * or the connection is not wanted any more.
 *
 * A slot counts until its socket is really gone. If the attempt has no result, its slot is freed here, when nothing is left of the
 * connection. A connect that was left behind keeps the slot for at most `leftBehindTimeout`.
 */
export const openConnection = <K, A, E, R>(
  request: OpenRequest<K, A, E, R>
): Effect.Effect<void, never, R | ResourceMonitor> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const { dial, dials, settings, watch } = request
      const held: HeldAttempt<A> = { opened: undefined, leftBehind: undefined, permit: undefined }
      const exit = yield* Effect.exit(restore(open(request, held)))
      const opened = Exit.isSuccess(exit) ? exit.value : undefined
      const outcome: Exit.Exit<unknown, unknown> = opened === undefined
        ? exit
        : yield* Effect.exit(
          Effect.sync(() =>
            dials.opened(dial, { value: opened.value, watcher: watch(opened.value, held.permit?.lost) })
          )
        )
      if (opened !== undefined && Exit.isSuccess(outcome)) return
      // The failure of a dial that is not needed any more is not reported here, because another dial goes on.
      if (Exit.isFailure(outcome) && !dial.isRedundant && !dial.isAbandoned) {
        dials.attemptFailed(dial, Cause.squash(outcome.cause))
      }
      if (held.leftBehind !== undefined) {
        dials.slotKept(dial)
        yield* Effect.exit(restore(awaitLeftBehind(held.leftBehind, settings)))
      }
      yield* Effect.ensuring(letGo(held, request), Effect.sync(() => dials.freed(dial)))
    })
  )

/** The context in which a connection is opened: that of the pool without its scope, because each connection has its own scope. */
export const openingContext = <R>(context: Context.Context<R>, settings: Settings): Context.Context<R> =>
  Context.omit(Scope.Scope)(context).pipe(
    Context.add(CloseTimeout, settings),
    Context.add(RetryPolicy.InsideRetry, false),
    Context.add(TrackedByPool, true),
    // Only the scope may be missing, and each attempt adds one.
    (opening) => opening as Context.Context<R>
  )

/** How long a dial waits for the budget before an idle connection of another endpoint is closed for its permit. */
const patienceWithBudget = Duration.millis(100)

const hungBudget = (what: string, label: string, patience: Duration.Duration, settings: Settings): string =>
  `${titleOf(settings)}: ${what} the budget's permit for ${label} has not ended within ${
    Duration.format(patience)
  } and is left behind`

const returnPermit = (permit: Scope.Closeable, label: string, settings: Settings): Effect.Effect<void> =>
  Effect.suspend(() => {
    const patience = patienceOf(settings.closeTimeout)
    const giving = Effect.tapCause(
      Scope.close(permit, Exit.void),
      (cause) => report(`${titleOf(settings)}: giving back the budget's permit for ${label} has failed`, cause)
    )
    return Effect.flatMap(
      endsWithin(giving, patience),
      (ended) => ended ? Effect.void : report(hungBudget("giving back", label, patience, settings))
    )
  })

/**
 * Takes a permit from a budget, in a separate scope that closes when the slot is freed. A budget that hangs, when it gives a permit
 * or takes it back, does not block the pool.
 */
const permitted = <K, A, E, R>(
  budget: ConnectionBudget,
  { dial, dials, remaining, settings }: OpenRequest<K, A, E, R>,
  held: HeldAttempt<A>
): Effect.Effect<void, BudgetError> =>
  Effect.gen(function*() {
    dial.phase = "AtBudget"
    const { endpoint: { label, queue }, slot: { ledgerEntry } } = dial
    const timeLeft = () => queue.first === undefined ? Infinity : remaining(queue.first)
    const scope = Scope.makeUnsafe()
    const patience = patienceOf(settings.closeTimeout)
    yield* Scope.addFinalizer(ledgerEntry.slot, returnPermit(scope, label, settings))
    // It repeats, because a borrower may begin to wait, or a connection become idle, later.
    const asking = Effect.forever(
      Effect.andThen(Effect.sleep(patienceWithBudget), Effect.sync(() => dials.crowded(dial)))
    )
    // A connection that the budget opens for itself is not one of the pool.
    const taking = Effect.provideService(Scope.provide(budget.take({ label, timeLeft }), scope), TrackedByPool, false)
    const exit = yield* supervised(Effect.raceFirst(taking, asking), {
      within: Duration.infinity,
      patience,
      leftBehind: () => report(hungBudget("taking", label, patience, settings))
    })
    if (exit === undefined) return
    if (Exit.isFailure(exit)) return yield* Effect.failCause(exit.cause)
    held.permit = exit.value
  })
