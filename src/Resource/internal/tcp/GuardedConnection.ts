/**
 * A connection that its owner has to close, and what becomes of it when no reference to it is left.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as References from "effect/References"
import * as Scope from "effect/Scope"
import type { CallSite } from "../../../internal/CallSite.ts"
import { closeOnFailure } from "../../../internal/CloseOnFailure.ts"
import { addGuard, type GcGuard, removeGuard } from "../../../internal/GcGuard.ts"
import { spanNameIn } from "../../../internal/OpenTracker.ts"
import type { Origin } from "../../../Monitor/Leak.ts"
import { ResourceMonitor } from "../../../Monitor/Service.ts"

/**
 * What can still use or close a connection refers to its keeper: the connection that the user has, the fibers that read or write
 * with it, and the finalizer in the user's scope. When it is garbage-collected, none of them is there any more.
 */
export class Keeper<out A> {
  readonly kept: A

  constructor(kept: A) {
    this.kept = kept
  }

  /** Runs an effect whose fiber refers to this keeper until it has ended, also while nothing but the socket leads to it. */
  hold<B, E>(effect: Effect.Effect<B, E>): Effect.Effect<B, E> {
    return Effect.onExitPrimitive(effect, () => this.#ended())
  }

  #ended(): undefined {
    return undefined
  }
}

const nameOf = ({ label, site, span }: Pick<Origin, "label" | "site" | "span">): string =>
  [`a connection to ${label}, asked for by`, span, site ?? "an unknown caller"].filter((part) => part !== undefined)
    .join(" ")

const report = (origin: Origin): Effect.Effect<void> =>
  Effect.contextWith((context: Context.Context<never>) => {
    const monitor = Context.getOrUndefined(context, ResourceMonitor)
    if (monitor !== undefined) return monitor.reportLeak({ ...origin, _tag: "Lost" })
    const level = Context.get(context, References.UnhandledLogLevel)
    return level === undefined ? Effect.void : Effect.logWithLevel(level)(
      `TcpConnection: ${nameOf(origin)}, was garbage-collected without being closed; it has been closed now`
    )
  })

// Anything else in the user's context may lead to the very scope that has to be seen to go.
const reporting = Context.pick(
  Clock.Clock,
  ResourceMonitor,
  References.CurrentLoggers,
  References.MinimumLogLevel,
  References.UnhandledLogLevel
)

/** Closes what was lost and says so. */
const guardOf = (
  scope: Scope.Closeable,
  context: Context.Context<never>,
  { label, site }: Asked
): GcGuard => {
  const span = spanNameIn(context)
  const clock = Context.get(context, Clock.Clock)
  const since = clock.currentTimeMillisUnsafe()
  const run = Effect.runForkWith(reporting(context))
  return {
    onCollected: () => {
      const age = Duration.millis(Math.max(clock.currentTimeMillisUnsafe() - since, 0))
      const origin: Origin = { kind: "Connection", label, site: site?.text, span, age }
      run(Effect.andThen(Scope.close(scope, Exit.void), report(origin)))
    }
  }
}

/** What was asked for, and where. */
export interface Asked {
  readonly label: string
  readonly site: CallSite | undefined
}

/**
 * Provides a scope, and lets nothing of the context lead to the one that it stands in for. A context is a chain in which what
 * was overridden is still there, and what is acquired keeps the context for its finalizers.
 */
const provideScopeAlone = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  scope: Scope.Scope
): Effect.Effect<A, E, Exclude<R, Scope.Scope>> =>
  Effect.updateContext(
    effect,
    (context: Context.Context<Exclude<R, Scope.Scope>>) =>
      // The type of what is left of `R` without the scope does not follow the addition back to `R`.
      Context.add(Context.omit(Scope.Scope)(context), Scope.Scope, scope) as Context.Context<R>
  )

/**
 * Acquires something in a scope that nothing of it can reach the user's scope from, and closes that scope with the user's.
 * What `open` acquires must lead to no keeper; what `facade` makes of it for the user must. When the keeper is
 * garbage-collected, what was acquired is closed and reported as lost.
 */
export const keeping = <A, B, E, R>(
  asked: Asked,
  open: Effect.Effect<A, E, R>,
  facade: (keeper: Keeper<A>) => B
): Effect.Effect<B, E, Exclude<R, Scope.Scope> | Scope.Scope> =>
  closeOnFailure(Effect.gen(function*() {
    const inner = Scope.makeUnsafe()
    let gcGuard: GcGuard | undefined
    let keeper: Keeper<A> | undefined
    yield* Effect.addFinalizer((exit) => {
      keeper = undefined
      if (gcGuard !== undefined) removeGuard(gcGuard)
      return Scope.close(inner, exit)
    })
    const kept = yield* provideScopeAlone(open, inner)
    const context = yield* Effect.context<never>()
    return yield* Effect.sync(() => {
      keeper = new Keeper(kept)
      // What a place has not yet been put into words with can lead to the user's scope as well.
      asked.site?.release()
      gcGuard = guardOf(inner, context, asked)
      addGuard(keeper, gcGuard)
      return facade(keeper)
    })
  }))
