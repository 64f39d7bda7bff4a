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
import { scopedValue } from "../../internal/ScopeHooks.ts"
import { ResourceMonitor } from "../../Monitor/Service.ts"
import { type Options, type Settings, titleOf } from "../PoolOptions.ts"
import { PoolRegistry, processPools, TypeId } from "../PoolRegistry.ts"
import { warnAbove } from "./Diagnostics.ts"
import { type Driver, makeDriver } from "./Driver.ts"
import { type Address, addressOf } from "./KeyAddress.ts"

/**
 * A pool of connections of type `A` for keys of type `K`. Keys are compared by value.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
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

/** The name of a pool to which the program has given none, by its only endpoint. */
const defaultName = ({ host, port }: Address): string => host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`

/** The name, with a number if another live pool of the process has it. A pool that is being drained leaves its name to the next. */
const uniqueName = (name: string): string => {
  const taken = new Set(Array.from(processPools.all).flatMap(({ core, name }) => core.isOver ? [] : [name]))
  let unique = name
  for (let number = 2; taken.has(unique); number++) unique = `${name}-${number}`
  return unique
}

const named = ({ endpoint }: { readonly endpoint?: unknown }, settings: Settings): Settings => {
  const address = settings.isNamed ? undefined : addressOf(endpoint)
  return { ...settings, name: uniqueName(address === undefined ? settings.name : defaultName(address)) }
}

/**
 * Makes a pool and registers it until the scope ends: with the registry of its context, and with that of the process. This is one
 * step, so that no two pools get the same name.
 */
const registered = <K, A>(
  registry: PoolRegistry,
  make: () => ConnectionPool<K, A>
): Effect.Effect<ConnectionPool<K, A>, never, Scope.Scope> => {
  const registries = [...new Set([registry, processPools])]
  const begin = () => {
    const pool = make()
    return { pool, forget: registries.map((one) => one.add(pool[TypeId].registered)) }
  }
  return Effect.map(scopedValue(begin, ({ forget }) => forget.forEach((leave) => leave())), ({ pool }) => pool)
}

/** Makes a pool. If the program has given it no name, warnings name it by `describe` as well. */
export const makePool = <K, A, E, R>(
  options: Options<K, A, E, R>,
  given: Settings,
  describe: () => string
): Effect.Effect<ConnectionPool<K, A>, never, R | ResourceMonitor | Scope.Scope> =>
  Effect.gen(function*() {
    const context = yield* Effect.context<R | ResourceMonitor>()
    const pool = yield* registered(
      yield* PoolRegistry,
      () => fromDriver(makeDriver(options, named(options, given), context))
    )
    const { settings } = pool[TypeId].registered
    yield* Effect.flatMap(ResourceMonitor, (monitor) => monitor.trackLeases((most) => pool[TypeId].core.leases(most)))
    yield* Effect.addFinalizer(() => pool[TypeId].drain(settings.drainTimeout))
    const monitor = Context.get(context, ResourceMonitor)
    yield* monitor.onPressure(underPressure(pool))
    const title = () => settings.isNamed ? titleOf(settings) : `${titleOf(settings)} ${describe()}`.trim()
    yield* warnAbove({ title, maxTotal: settings.maxTotal }, monitor).pipe(
      Effect.annotateLogs("db.client.connection.pool.name", settings.name)
    )
    return pool
  })
