/**
 * Opens one connection: under the retry policy, past the monitor's gate, with every attempt in a scope of its own.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type * as Tracer from "effect/Tracer"
import { CloseTimeout } from "../internal/CloseTimeout.ts"
import { TrackedByPool } from "../internal/Tracked.ts"
import { ResourceMonitor } from "../Monitor/ResourceMonitor.ts"
import type { Connector } from "../Resource/Connector.ts"
import * as RetryPolicy from "../Retry/RetryPolicy.ts"
import { ConnectionBudget } from "./ConnectionBudget.ts"
import type { Settings } from "./PoolOptions.ts"

/**
 * One attempt to open a connection took longer than `connectTimeout`.
 *
 * @category errors
 * @since 0.1.0
 */
export class ConnectTimeout extends Data.TaggedError("ConnectTimeout")<{
  readonly key: string
  readonly after: Duration.Duration
}> {
  readonly code = "ETIMEDOUT"
  readonly isRetryable = true
  override get message(): string {
    return `connecting to ${this.key} took longer than ${Duration.format(this.after)}`
  }
}

/** What the pool answers while a connection is being opened. */
export interface Demand<A> {
  /** Whether somebody still wants the connection. It is asked again before each dial. */
  readonly isWanted: () => boolean
  /** An attempt failed; `true` if this opener shall go on trying. */
  readonly attemptFailed: (failure: unknown) => boolean
  /** The connection is open. It is taken over in the same uninterruptible step. */
  readonly opened: (opened: Opened<A>) => Effect.Effect<void>
  /** Opening has failed for good; whoever waits learns it now. */
  readonly failed: (error: unknown) => void
  /** The slot is free: nothing of the connection is left. */
  readonly freed: () => void
  /** The span of the borrower that is first in the queue, if it is being traced. */
  readonly span: () => Tracer.AnySpan | undefined
}

/** An opened connection and the scope that holds it. */
export interface Opened<A> {
  readonly value: A
  readonly scope: Scope.Closeable
}

const open = <K, A, E, R>(options: {
  readonly connector: Connector<K, A, E, R>
  readonly key: K
  readonly label: string
  readonly settings: Settings
  readonly afterOpen: ((connection: A) => Effect.Effect<void, E, R>) | undefined
  readonly demand: Demand<A>
}) => {
  const { afterOpen, connector, demand, key, label, settings } = options
  const after = settings.connectTimeout
  const opened = Effect.suspend(() => connector.open(key))
  const bounded = (afterOpen === undefined ? opened : Effect.tap(opened, afterOpen)).pipe(
    Effect.timeoutOrElse({ duration: after, orElse: () => Effect.fail(new ConnectTimeout({ key: label, after })) }),
    Effect.provideService(TrackedByPool, true)
  )
  // The ledger's entry is made before the dial and is so the last to go: a connection counts until it is really closed.
  const dial = Effect.andThen(Effect.flatMap(ResourceMonitor, (monitor) => monitor.track({ label })), bounded)
  const attempt = Effect.suspend(() =>
    demand.isWanted()
      ? Effect.catchCauseIf(
        Effect.map(dial, (value) => ({ value })),
        // An opener that is not needed any more ends here; the one that goes on carries the failure.
        (cause) => !Cause.hasInterruptsOnly(cause) && !demand.attemptFailed(Cause.squash(cause)),
        () => Effect.undefined
      )
      : Effect.undefined
  )
  const retried = Effect.andThen(
    Effect.flatMap(ConnectionBudget, (budget) => budget.take(label)),
    RetryPolicy.retry(attempt, settings.retry, { label })
  )
  const parent = demand.span()
  return parent === undefined
    ? retried
    : Effect.withSpan(retried, "ConnectionPool.connect", {
      parent,
      kind: "client",
      attributes: { "db.client.connection.pool.name": label }
    })
}

/**
 * Opens one connection and hands it over, or ends without one when nobody wants it any more or opening failed.
 *
 * The slot is freed by the first finalizer of the connection's scope, which is the last one to run: it counts until the
 * socket is really gone, whether the dial fails, is interrupted, or succeeds and the connection closes much later.
 */
export const openConnection = <K, A, E, R>(
  options: Parameters<typeof open<K, A, E, R>>[0]
): Effect.Effect<void, never, R | ResourceMonitor> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const { demand, settings } = options
      const scope = Scope.makeUnsafe()
      yield* Scope.addFinalizer(scope, Effect.sync(demand.freed))
      const exit = yield* open(options).pipe(
        Scope.provide(scope),
        Effect.provideService(CloseTimeout, settings.closeTimeout),
        Effect.provideService(RetryPolicy.InsideRetry, false),
        restore,
        Effect.exit
      )
      if (Exit.isSuccess(exit) && exit.value !== undefined) {
        return yield* demand.opened({ value: exit.value.value, scope })
      }
      if (Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)) demand.failed(Cause.squash(exit.cause))
      yield* Effect.provideService(Scope.close(scope, exit), CloseTimeout, settings.closeTimeout)
    })
  )
