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
import { ConnectionBudget, unlimited } from "../ConnectionBudget.ts"
import { ConnectTimeout } from "../PoolError.ts"
import type { Settings } from "../PoolOptions.ts"
import { closeWithin, patienceOf } from "./CloseConnection.ts"
import { spanAttributes } from "./Diagnostics.ts"
import type { Dials } from "./Dials.ts"
import type { OnBehalf, PendingDial } from "./PoolState.ts"

/** What opening one connection needs to know. */
export interface OpenRequest<K, A, E, R> {
  readonly settings: Settings
  readonly connector: Connector<K, A, E, R>
  readonly afterOpen: ((connection: A) => Effect.Effect<void, E, R>) | undefined
  readonly dials: Dials<K, A>
  readonly dial: PendingDial<K, A>
  /** Starts a fiber that ends when the connection has died, if the connector notices that. */
  readonly watch: ((connection: A) => Fiber.Fiber<void>) | undefined
  /** What is borrowed while the connection is opened is borrowed while its slot is held. */
  readonly onBehalf: OnBehalf
}

/** What the attempt has opened, until the pool takes it over. */
interface HeldAttempt<A> {
  opened: { readonly value: A } | undefined
  /** The connect that did not end when it was interrupted. It keeps the slot and the permit of the attempt. */
  leftBehind: Fiber.Fiber<unknown, unknown> | undefined
}

/** Closes the scope of an attempt, within bounds: no caller sets any. */
const closeAttempt = <K, A, E, R>({ dial, dials, settings }: OpenRequest<K, A, E, R>): Effect.Effect<void> => {
  const { endpoint, slot: { item, ledgerEntry } } = dial
  return closeWithin(ledgerEntry.during(Effect.suspend(() => Scope.close(item.scope, Exit.void))), {
    label: endpoint.label,
    closeTimeout: settings.closeTimeout,
    leftBehind: () => dials.leftBehind(dial, "Close")
  })
}

/** Closes what the pool has not taken over. */
const letGo = <K, A, E, R>(held: HeldAttempt<A>, request: OpenRequest<K, A, E, R>): Effect.Effect<void> => {
  const { opened } = held
  held.opened = undefined
  const { close } = request.dial.slot.ledgerEntry
  return opened === undefined ? close : Effect.andThen(closeAttempt(request), close)
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
 * One connect, in the scope of its item. Neither a connector that cannot be interrupted nor a finalizer that hangs can hold up
 * the pool: they are left behind, and what such a connect still opens is closed at once, because its scope is closed by then.
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

/** Notes down that a connection is open, for as long as its records last. */
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

/** The ledger's entry is made before the dial and is so the last to go: a connection counts until it is really closed. */
const recorded = <K, A, E, R>(request: OpenRequest<K, A, E, R>, held: HeldAttempt<A>) => {
  const { dial, dials } = request
  const ifWanted = <B, E2, R2>(effect: Effect.Effect<B, E2, R2>) =>
    Effect.suspend((): Effect.Effect<B | undefined, E2, R2> =>
      dials.isWanted(dial.endpoint) ? effect : Effect.undefined
    )
  const connecting = Effect.suspend(() => {
    // From here on it outlives the borrower that it was meant for.
    dial.isDialing = true
    return connect(request, held)
  })
  const noted = ifWanted(Effect.suspend(() => Effect.andThen(noteDown(dial), connecting)))
  return ifWanted(Effect.flatMap(
    ConnectionBudget,
    (budget) => budget === unlimited ? noted : Effect.andThen(permitted(budget, request), noted)
  ))
}

/** One attempt. The dialer steps the policy when it has failed. */
const open = <K, A, E, R>(request: OpenRequest<K, A, E, R>, held: HeldAttempt<A>) => {
  const { dial, dials, settings } = request
  const { label, queue, series } = dial.endpoint
  const tried = attempt(
    // What is known of a failure is known before what was noted down is given back, which may take long.
    Effect.tapCause(
      recorded(request, held),
      (cause) => Effect.sync(() => dials.lookForOther(dial, Cause.squash(cause)))
    ),
    settings.retry,
    {
      label,
      // The gate stops retries earlier than first attempts.
      previousAttempts: series?.progress.runs ?? 0,
      release: () => held.leftBehind === undefined ? letGo(held, request) : Effect.void,
      dial: true
    }
  )
  const parent = queue.first && Context.getOrUndefined(queue.first.context, Tracer.ParentSpan)
  return parent === undefined
    ? tried
    : Effect.withSpan(tried, "ConnectionPool.connect", {
      parent,
      kind: "client",
      attributes: spanAttributes(settings.name, label)
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
      const { dial, dials, settings, watch } = request
      const held: HeldAttempt<A> = { opened: undefined, leftBehind: undefined }
      const exit = yield* Effect.exit(restore(open(request, held)))
      const opened = Exit.isSuccess(exit) ? exit.value : undefined
      const outcome: Exit.Exit<unknown, unknown> = opened === undefined
        ? exit
        : yield* Effect.exit(
          Effect.sync(() => dials.opened(dial, { value: opened.value, watcher: watch?.(opened.value) }))
        )
      if (opened !== undefined && Exit.isSuccess(outcome)) return
      // A dial that is not needed any more ends here; the one that goes on carries the failure.
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

/** What opening a connection takes place in: not the pool's own scope, for every connection has one of its own. */
export const openingContext = <R>(context: Context.Context<R>, settings: Settings): Context.Context<R> =>
  Context.omit(Scope.Scope)(context).pipe(
    Context.add(CloseTimeout, settings),
    Context.add(RetryPolicy.InsideRetry, false),
    Context.add(TrackedByPool, true),
    // The scope is the only thing that may be missing, and each attempt adds it.
    (opening) => opening as Context.Context<R>
  )

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
const permitted = <K, A, E, R>(
  budget: ConnectionBudget,
  { dial, dials, settings }: OpenRequest<K, A, E, R>
): Effect.Effect<void> =>
  Effect.gen(function*() {
    const { endpoint: { label }, slot: { ledgerEntry } } = dial
    const scope = Scope.makeUnsafe()
    const patience = patienceOf(settings.closeTimeout)
    yield* Scope.addFinalizer(ledgerEntry.slot, returnPermit(scope, label, settings))
    // A borrower may wait, or a connection be idle, only later.
    const asking = Effect.forever(
      Effect.andThen(Effect.sleep(patienceWithBudget), Effect.sync(() => dials.crowded(dial)))
    )
    // What a budget opens for a permit is none of the pool's connections.
    const taking = Effect.provideService(Scope.provide(budget.take(label), scope), TrackedByPool, false)
    const exit = yield* supervised(Effect.raceFirst(taking, asking), {
      within: Duration.infinity,
      patience,
      leftBehind: () => report(hungBudget("taking", label, patience))
    })
    if (exit !== undefined && Exit.isFailure(exit)) return yield* Effect.failCause(exit.cause)
  })
