/**
 * Opens one connection: one attempt, past the monitor's gate, in a scope of its own.
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
import type * as Tracer from "effect/Tracer"
import { supervised } from "../internal/Bounded.ts"
import type { CallSite } from "../internal/CallSite.ts"
import { CloseTimeout } from "../internal/CloseTimeout.ts"
import { safeMessage } from "../internal/SafeText.ts"
import { TaggedError } from "../internal/TaggedError.ts"
import { elapsed } from "../internal/Timeout.ts"
import { sleepUnref } from "../internal/Timer.ts"
import { TrackedByPool } from "../internal/Tracked.ts"
import { report } from "../internal/Unhandled.ts"
import { witnessed, witnessIn } from "../internal/Witness.ts"
import { CurrentClaim } from "../Monitor/Claim.ts"
import { ResourceMonitor } from "../Monitor/Service.ts"
import type { Connector } from "../Resource/Connector.ts"
import { run as retryReleasing } from "../Retry/Attempt.ts"
import * as RetryPolicy from "../Retry/RetryPolicy.ts"
import { permitted } from "./BudgetPermit.ts"
import { closeWithin, patienceOf } from "./Closing.ts"
import { ConnectionBudget, unlimited } from "./ConnectionBudget.ts"
import type { Settings } from "./PoolOptions.ts"
import { Records } from "./Records.ts"
import type { OnBehalf } from "./SlotHolders.ts"

/**
 * One attempt to open a connection took longer than `connectTimeout`.
 *
 * @category errors
 * @since 0.1.0
 */
export class ConnectTimeout extends TaggedError("ConnectTimeout")<{
  readonly key: string
  readonly after: Duration.Duration
}> {
  readonly code = "ETIMEDOUT"
  readonly isRetryable = true
  override get message(): string {
    return safeMessage(`connecting to ${this.key} took longer than ${Duration.format(this.after)}`)
  }
}

/** What the pool answers while a connection is being opened. */
export interface Demand<A> {
  /** Whether somebody still wants the connection. It is asked again before each dial. */
  readonly isWanted: () => boolean
  /** The dial begins. From here on it outlives the borrower that it was meant for. */
  readonly dialling: () => void
  /** Whether it was interrupted, before the dial had begun, because nobody wanted it any more. */
  readonly isAbandoned: () => boolean
  /** The budget has had nothing left for a while: an idle connection of another endpoint may give its permit up. */
  readonly crowded: () => void
  /** The attempt failed; `true` if another one of the endpoint is under way, which carries on. */
  readonly isSurplus: (failure: unknown) => boolean
  /** The connection is open. It is taken over in the same uninterruptible step. */
  readonly opened: (opened: Opened<A>) => void
  /** The attempt has failed. */
  readonly failed: (error: unknown) => void
  /** The slot is free: nothing of the connection is left, or it is not waited for any longer. */
  readonly freed: () => void
  /** Something of the attempt was left behind. The result is called when that has ended after all. */
  readonly leftBehind: (what: "Connect" | "Close") => () => void
  /** Nothing comes of the attempt any more, and its slot is kept for a connect that was left behind until {@link freed}. */
  readonly slotKept: () => void
  /** Attempts that were made before, for those who wait: the gate stops retries earlier than first attempts. */
  readonly attempts: () => number
  /** Where the borrower that is first in the queue asked for it. */
  readonly site: () => CallSite | undefined
  /** The span of the borrower that is first in the queue, if it is being traced. */
  readonly span: () => Tracer.AnySpan | undefined
}

/** An opened connection and what holds it. */
export interface Opened<A> {
  readonly value: A
  /** Holds what the connector acquired. */
  readonly scope: Scope.Closeable
  readonly records: Records
}

interface Labelled {
  readonly label: string
  readonly settings: Settings
}

/** What opening one connection needs to know. */
export interface Request<K, A, E, R> extends Labelled {
  readonly connector: Connector<K, A, E, R>
  readonly key: K
  readonly afterOpen: ((connection: A) => Effect.Effect<void, E, R>) | undefined
  readonly demand: Demand<A>
  /** What is borrowed while the connection is opened is borrowed while its slot is held. */
  readonly onBehalf: OnBehalf
}

/** What the attempt that was made last has noted down and opened, until the pool takes it over. */
interface Held<A> {
  records: Records
  opened: Opened<A> | undefined
  /** The connect that did not end when it was interrupted. It keeps the slot and the permit of the attempt. */
  leftBehind: Fiber.Fiber<unknown, unknown> | undefined
}

/** Closes the scope of an attempt, within bounds: no caller sets any. */
const closeAttempt = (
  scope: Scope.Closeable,
  records: Records,
  { demand, label, settings }: Labelled & { readonly demand: Pick<Demand<never>, "leftBehind"> }
): Effect.Effect<void> =>
  closeWithin(records.during(Effect.suspend(() => Scope.close(scope, Exit.void))), {
    label,
    closeTimeout: settings.closeTimeout,
    leftBehind: () => demand.leftBehind("Close")
  })

/** Closes what the pool has not taken over. */
const letGo = <A>(
  held: Held<A>,
  request: Labelled & { readonly demand: Pick<Demand<never>, "leftBehind"> }
): Effect.Effect<void> => {
  const { opened, records } = held
  held.opened = undefined
  const closeRecords = records.close()
  return opened === undefined
    ? closeRecords
    : Effect.andThen(closeAttempt(opened.scope, records, request), closeRecords)
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
 * One dial, in a scope of its own. Neither a connector that cannot be interrupted nor a finalizer that hangs can hold up
 * the pool: they are left behind, and what such a dial still opens is closed at once, because its scope is closed by then.
 */
const dial = <K, A, E, R>(request: Request<K, A, E, R>, held: Held<A>) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const { afterOpen, connector, demand, key, label, onBehalf, settings } = request
      const { records } = held
      const scope = Scope.makeUnsafe()
      const after = settings.connectTimeout
      const close = closeAttempt(scope, records, request)
      const opened = Effect.suspend(() => connector.open(key))
      const complete = Scope.provide(afterOpen === undefined ? opened : Effect.tap(opened, afterOpen), scope)
      const patience = patienceOf(settings.closeTimeout)
      const leftBehind = (fiber: Fiber.Fiber<unknown, unknown>) =>
        Effect.suspend(() => {
          held.leftBehind = fiber
          fiber.addObserver(demand.leftBehind("Connect"))
          return connectLeftBehind(label, patience, settings)
        })
      const supervising = supervised(onBehalf(records.during(complete)), { within: after, patience, leftBehind })
      const exit = yield* Effect.onInterrupt(restore(supervising), () => close)
      if (exit !== undefined && Exit.isSuccess(exit)) {
        return held.opened = { value: exit.value, scope, records }
      }
      yield* close
      return exit === undefined
        ? yield* new ConnectTimeout({ key: label, after })
        : yield* Effect.failCause(exit.cause)
    })
  )

const textOf = (site: CallSite | undefined) => site && (() => site.text)

/** Notes down that a connection is open, for as long as its records last. */
const noteDown = (label: string, site: CallSite | undefined, records: Records) =>
  Effect.contextWith((context: Context.Context<ResourceMonitor>) => {
    const { track } = Context.get(context, ResourceMonitor)
    const request = { label, site: textOf(site) }
    const witnessing = Effect.suspend(() => Scope.provide(witnessed({ label, site }), records.slot))
    if (track.unsafe === undefined) {
      return Effect.andThen(Scope.provide(track(request), records.entry), witnessing)
    }
    records.keep(track.unsafe(request, Context.get(context, CurrentClaim)))
    return witnessIn(context) === undefined ? Effect.void : witnessing
  })

/** The ledger's entry is made before the dial and is so the last to go: a connection counts until it is really closed. */
const recorded = <K, A, E, R>(request: Request<K, A, E, R>, held: Held<A>) => {
  const { demand, label, settings } = request
  const ifWanted = <B, E2, R2>(effect: Effect.Effect<B, E2, R2>) =>
    Effect.suspend((): Effect.Effect<B | undefined, E2, R2> => demand.isWanted() ? effect : Effect.undefined)
  const dialled = Effect.suspend(() => {
    demand.dialling()
    return dial(request, held)
  })
  const noted = ifWanted(Effect.suspend(() => Effect.andThen(noteDown(label, demand.site(), held.records), dialled)))
  return ifWanted(Effect.flatMap(
    ConnectionBudget,
    (budget) =>
      budget === unlimited
        ? noted
        : Effect.andThen(
          permitted(budget, { label, settings, crowded: demand.crowded, slot: held.records.slot }),
          noted
        )
  ))
}

/** One attempt, whose records are its own. */
const attempt = <K, A, E, R>(request: Request<K, A, E, R>, held: Held<A>) =>
  Effect.suspend(() => {
    held.records = new Records()
    held.leftBehind = undefined
    return recorded(request, held)
  })

const open = <K, A, E, R>(request: Request<K, A, E, R>, held: Held<A>) => {
  const { demand, label, settings } = request
  const tried = retryReleasing(
    Effect.catchCauseIf(
      attempt(request, held),
      // An opener that is not needed any more ends here; the one that goes on carries the failure.
      (cause) => demand.isSurplus(Cause.squash(cause)),
      () => Effect.undefined
    ),
    settings.dial,
    // To give back what was noted down may take long, and a failure must not be known later for that.
    {
      label,
      previousAttempts: demand.attempts(),
      release: () => held.leftBehind === undefined ? letGo(held, request) : Effect.void,
      dial: true
    }
  )
  const parent = demand.span()
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
 * Makes one attempt to open a connection and hands it over, or ends without one when nobody wants it any more or the
 * attempt failed.
 *
 * The slot is freed when nothing is left of the connection: it counts until the socket is really gone, whether the dial
 * fails, is interrupted, or succeeds and the connection closes much later. What is left behind keeps it for a bounded time.
 */
export const openConnection = <K, A, E, R>(
  request: Request<K, A, E, R>
): Effect.Effect<void, never, R | ResourceMonitor> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const { demand, settings } = request
      const held: Held<A> = { records: new Records(), opened: undefined, leftBehind: undefined }
      const exit = yield* Effect.exit(restore(open(request, held)))
      const opened = Exit.isSuccess(exit) ? exit.value : undefined
      const outcome: Exit.Exit<unknown, unknown> = opened === undefined
        ? exit
        : yield* Effect.exit(Effect.sync(() => demand.opened(opened)))
      if (opened !== undefined && Exit.isSuccess(outcome)) return
      if (Exit.isFailure(outcome) && !demand.isAbandoned()) demand.failed(Cause.squash(outcome.cause))
      if (held.leftBehind !== undefined) {
        demand.slotKept()
        yield* Effect.exit(restore(awaitLeftBehind(held.leftBehind, settings)))
      }
      yield* Effect.ensuring(letGo(held, request), Effect.sync(demand.freed))
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
