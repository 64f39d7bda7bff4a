/**
 * Closes and reports a connection that was garbage-collected while it was open.
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
import { requesterIn } from "../../../internal/Requester.ts"
import { report as log } from "../../../internal/UnhandledLog.ts"
import type { Origin } from "../../../Monitor/Leak.ts"
import { ResourceMonitor } from "../../../Monitor/Service.ts"

/**
 * The guarded handle of a connection. Everything that can use or close the connection refers to the handle: the user's
 * connection, the fibers that read or write, and the finalizer in the user's scope. So when the handle is garbage-collected,
 * none of these exists any more.
 */
export class GuardedHandle<out A> {
  readonly value: A

  constructor(value: A) {
    this.value = value
  }

  /**
   * Runs an effect whose fiber refers to this handle until the effect has ended. So the handle is not collected while the fiber
   * waits, even if only the socket refers to the fiber.
   */
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
    return monitor === undefined
      ? log(`TcpConnection: ${nameOf(origin)}, was garbage-collected without being closed; it has been closed now`)
      : monitor.reportLeak({ ...origin, _tag: "Lost" })
  })

// The services that a report needs. Any other service may refer to the user's scope, and would keep it from being
// garbage-collected.
const reporting = Context.pick(
  Clock.Clock,
  ResourceMonitor,
  References.CurrentLoggers,
  References.MinimumLogLevel,
  References.UnhandledLogLevel
)

/** Closes the connection and reports it as lost. */
const guardOf = (
  scope: Scope.Closeable,
  context: Context.Context<never>,
  { label, site }: OpenRequest
): GcGuard => {
  const span = requesterIn(context)
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

/** The endpoint of a connection, and the call site of its request. */
export interface OpenRequest {
  readonly label: string
  readonly site: CallSite | undefined
}

/**
 * Provides a scope without a reference to the user's scope. A context still contains services that were overridden, and
 * finalizers keep their context, so the user's scope is removed first.
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
 * Acquires a resource in a scope that has no reference to the user's scope, and closes that scope with the user's. The resource
 * of `open` must not refer to the handle, and the result of `facade`, which the user gets, must. When the handle is
 * garbage-collected, the resource is closed and reported as lost.
 */
export const acquireGuarded = <A, B, E, R>(
  asked: OpenRequest,
  open: Effect.Effect<A, E, R>,
  facade: (handle: GuardedHandle<A>) => B
): Effect.Effect<B, E, Exclude<R, Scope.Scope> | Scope.Scope> =>
  closeOnFailure(Effect.gen(function*() {
    const inner = Scope.makeUnsafe()
    let gcGuard: GcGuard | undefined
    let handle: GuardedHandle<A> | undefined
    yield* Effect.addFinalizer((exit) => {
      handle = undefined
      if (gcGuard !== undefined) removeGuard(gcGuard)
      return Scope.close(inner, exit)
    })
    const value = yield* provideScopeAlone(open, inner)
    const context = yield* Effect.context<never>()
    return yield* Effect.sync(() => {
      handle = new GuardedHandle(value)
      // A call site whose text was not formatted yet may also refer to the user's scope.
      asked.site?.release()
      gcGuard = guardOf(inner, context, asked)
      addGuard(handle, gcGuard)
      return facade(handle)
    })
  }))
