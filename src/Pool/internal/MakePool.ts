/**
 * Makes a pool: its driver, its registration with the registry and the monitor, and its finalizer.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { type Pipeable, pipeArguments } from "effect/Pipeable"
import type * as Scope from "effect/Scope"
import { scopeHooks } from "../../internal/ScopeHooks.ts"
import { ResourceMonitor } from "../../Monitor/Service.ts"
import type { Options, Settings } from "../PoolOptions.ts"
import { PoolRegistry, processPools, type RegisteredPool, TypeId } from "../PoolRegistry.ts"
import { warnAbove } from "./Diagnostics.ts"
import { type Driver, makeDriver } from "./Driver.ts"

/**
 * A pool of connections of type `A` for keys of type `K`. Keys are compared by value.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConnectionPool<in out K, in out A> extends Pipeable {
  readonly [TypeId]: Driver<K, A>
}

/** Whether a value is a pool. A function whose first argument is none was called data-last. */
export const isPool = <K, A>(value: unknown): value is ConnectionPool<K, A> =>
  typeof value === "object" && value !== null && TypeId in value

const fromDriver = <K, A>(driver: Driver<K, A>): ConnectionPool<K, A> => ({
  [TypeId]: driver,
  pipe() {
    return pipeArguments(this, arguments)
  }
})

/**
 * The cleanup of a pool under pressure: closing its idle connections. It is the first cleanup, because it only costs later dials.
 */
const underPressure = <K, A>(pool: ConnectionPool<K, A>) => ({
  name: "idle connections of a pool",
  priority: 100,
  run: Effect.suspend(() => Fiber.awaitAll(pool[TypeId].core.shrink().flatMap(({ closing }) => closing ?? [])))
})

/** Registers a pool until the scope ends: with the registry of its context, and with that of the process. */
const announced = (pool: RegisteredPool): Effect.Effect<void, never, Scope.Scope> =>
  Effect.flatMap(PoolRegistry, (registry) => {
    let forget: ReadonlyArray<() => void>
    const registries = [...new Set([registry, processPools])]
    return scopeHooks(() => forget = registries.map((one) => one.add(pool)), () => forget.forEach((leave) => leave()))
  })

/** Makes a pool. If the settings have no name, warnings name the pool by `describe`. */
export const makePool = <K, A, E, R>(
  options: Options<K, A, E, R>,
  settings: Settings,
  describe: () => string
): Effect.Effect<ConnectionPool<K, A>, never, R | ResourceMonitor | Scope.Scope> =>
  Effect.gen(function*() {
    const context = yield* Effect.context<R | ResourceMonitor>()
    const pool = fromDriver(makeDriver(options, settings, context))
    yield* announced(pool[TypeId].registered)
    yield* Effect.flatMap(ResourceMonitor, (monitor) => monitor.trackLeases((most) => pool[TypeId].core.leases(most)))
    yield* Effect.addFinalizer(() => pool[TypeId].drain(settings.drainTimeout))
    const monitor = Context.get(context, ResourceMonitor)
    yield* monitor.onPressure(underPressure(pool))
    yield* warnAbove({ name: () => settings.name ?? describe(), maxTotal: settings.maxTotal }, monitor)
    return pool
  })
