/**
 * Follows the pools and the monitors of a program: those that are alive, and those that come later.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import { report } from "../../internal/UnhandledLog.ts"
import { MonitorRegistry, processMonitors } from "../../Monitor/MonitorRegistry.ts"
import { ResourceMonitor } from "../../Monitor/Service.ts"
import { PoolRegistry, processPools, type RegisteredPool } from "../../Pool/PoolRegistry.ts"

/** A monitor as a value. */
export type Monitor = ResourceMonitor["Service"]

/**
 * Where the pools and the monitor of a program are found.
 *
 * `Main`, `Lambda` and the other entry points of platforms have a registry of their own, which `context` finds.
 */
export interface Sources {
  readonly pools: PoolRegistry
  readonly monitors: MonitorRegistry
  /** The monitor of the context. It comes before those of the registry. */
  readonly ownMonitor: Monitor | undefined
}

/** The sources of a program. The registries are those of the process, or those of the context. */
export const sourcesOf = (scope: "process" | "context"): Effect.Effect<Sources> =>
  Effect.contextWith((context: Context.Context<never>) => {
    const isContext = scope === "context"
    return Effect.succeed({
      pools: isContext ? Context.get(context, PoolRegistry) : processPools,
      monitors: isContext ? Context.get(context, MonitorRegistry) : processMonitors,
      ownMonitor: Context.getOrUndefined(context, ResourceMonitor)
    })
  })

/** The monitor of a program: that of the context, or else the oldest one of the registry. `undefined`: there is none yet. */
export const monitorOf = ({ monitors, ownMonitor }: Sources): Monitor | undefined => {
  if (ownMonitor !== undefined) return ownMonitor
  for (const monitor of monitors.all) return monitor
  return undefined
}

/** What is alive now, and a way to hear of changes. */
interface Live<A> {
  readonly all: () => Iterable<A>
  readonly onChange: (listener: () => void) => () => void
}

/**
 * Runs an effect for each item, now and as soon as a later one joins. Its scope is closed when the item leaves, and when the scope of
 * the caller is closed. The synchronous beginning of the effect has run when `add` of the list returns.
 */
const watch = <A, R>(
  live: Live<A>,
  run: (item: A) => Effect.Effect<void, never, R>
): Effect.Effect<void, never, Scope.Scope | Exclude<R, Scope.Scope>> =>
  Effect.gen(function*() {
    const fork = Effect.runForkWith(yield* Effect.context<Exclude<R, Scope.Scope>>())
    const running = new Map<A, Fiber.Fiber<void>>()
    const follow = (item: A): Effect.Effect<void, never, Exclude<R, Scope.Scope>> =>
      Effect.scoped(Effect.andThen(run(item), Effect.never)).pipe(
        Effect.catchCauseIf(
          (cause) => !Cause.hasInterruptsOnly(cause),
          (cause) => report("Operations: a pool or a monitor cannot be followed", cause)
        )
      )
    const look = () => {
      const present = new Set(live.all())
      for (const [item, fiber] of running) {
        if (present.has(item)) continue
        running.delete(item)
        fiber.interruptUnsafe()
      }
      for (const item of present) if (!running.has(item)) running.set(item, fork(follow(item)))
    }
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        const stop = live.onChange(look)
        look()
        return stop
      }),
      (stop) =>
        Effect.suspend(() => {
          stop()
          return Fiber.interruptAll(running.values())
        })
    )
  })

/**
 * Runs a scoped effect for each pool of the sources, now and as soon as a later pool is made. Its scope is closed when the pool has
 * ended, and when the scope of the caller is closed. So an observer that the effect adds to the pool misses no event.
 *
 * A pool leaves its registry after its last connection has closed.
 */
export const watchPools = <R>(
  { pools }: Sources,
  run: (pool: RegisteredPool) => Effect.Effect<void, never, R>
): Effect.Effect<void, never, Scope.Scope | Exclude<R, Scope.Scope>> =>
  watch({ all: () => pools.all, onChange: (listener) => pools.onChange(listener) }, run)

/**
 * Runs a scoped effect for the monitor of the sources, also if it comes later, or takes the place of one that has ended. Its scope is
 * closed when the monitor has ended, and when the scope of the caller is closed.
 */
export const watchMonitor = <R>(
  sources: Sources,
  run: (monitor: Monitor) => Effect.Effect<void, never, R>
): Effect.Effect<void, never, Scope.Scope | Exclude<R, Scope.Scope>> =>
  watch({
    all: () => {
      const monitor = monitorOf(sources)
      return monitor === undefined ? [] : [monitor]
    },
    onChange: (listener) => sources.monitors.onChange(listener)
  }, run)
