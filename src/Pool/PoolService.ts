/**
 * A pool as a service, whose layer makes the pool.
 *
 * @since 0.1.0
 */
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { optionsFromConfig } from "../internal/ConfigOptions.ts"
import { InvalidOption } from "../internal/InvalidOption.ts"
import { refusing } from "../internal/Options.ts"
import type { ResourceMonitor } from "../Monitor/Service.ts"
import type { Connector } from "../Resource/Connector.ts"
import * as RetryPolicy from "../Retry/RetryPolicy.ts"
import * as Borrow from "./internal/Borrow.ts"
import { type ConnectionPool, makePool } from "./internal/MakePool.ts"
import type { PoolError } from "./PoolError.ts"
import type { Inspection } from "./PoolInspection.ts"
import {
  type BorrowOptions,
  type GivenOptions,
  type Hooks,
  mostOf,
  type Options,
  type Recall,
  type Settings,
  settingsOf
} from "./PoolOptions.ts"
import { TypeId as PoolTypeId } from "./PoolRegistry.ts"
import type { Health, Stats } from "./PoolStats.ts"

/** The key under which a service keeps the function that makes its layer. */
const TypeId = "~effect-sluice/Pool/PoolService"

/**
 * The options of a pool that is a service. The hooks have errors and requirements of their own, because `layerWith` replaces the
 * connector and keeps the hooks.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface ServiceOptions<K, A, E, R, HE, HR> extends Omit<Options<K, A, E, R>, "hooks" | "endpoint"> {
  readonly hooks?: Hooks<A, HE, HR> | undefined
}

/**
 * The options of a pool that may come from `Config`.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConfigOptions<K> extends Omit<Options<K, never, never, never>, "connector" | "hooks" | "retry"> {
  /** Fields that are given replace those of the service's policy. */
  readonly retry?: RetryPolicy.ConfigOptions | undefined
}

/** Options, or an effect that returns them and runs when the layer is built. */
type Source<O, E, R> = O | Effect.Effect<O, E, R>

/** Checked options. */
interface Checked<O> {
  readonly options: O
  readonly settings: Settings
}

/** Checks the options of a pool. It may replace some of them before. */
type Check<E> = <O extends GivenOptions>(options: O) => Effect.Effect<Checked<O>, E>

/**
 * A service whose layer can be made with other options.
 *
 * @category models
 * @since 0.1.0
 */
export interface Configurable<in out Self, in out K, out E, out R> {
  readonly [TypeId]: {
    readonly layer: <E2>(check: Check<E2>) => Layer.Layer<Self, NoInfer<E> | E2, R>
    readonly key: (_: K) => K
  }
  /** Makes the pool, and drains it when the layer's scope ends. It dies with `InvalidOption` on invalid options. */
  readonly layer: Layer.Layer<Self, E, R>
}

/** The members of a service that do not depend on the number of its endpoints. */
interface Members<in out Self, in out K, in out A, out E, out R, out HR> extends Configurable<Self, K, E, R> {
  /**
   * The layer with another connector, for tests. Its connections may be of a subtype. The requirements of the original connector
   * are not required.
   */
  readonly layerWith: <A2 extends A, E2, R2>(
    connector: Connector<K, A2, E2, R2>
  ) => Layer.Layer<Self, E, R2 | HR | ResourceMonitor>
  /** `ConnectionPool.stats` of the service. */
  readonly stats: Effect.Effect<Stats, never, Self>
  /** `ConnectionPool.inspect` of the service. */
  readonly inspect: (most?: number) => Effect.Effect<Inspection, never, Self>
  /** `ConnectionPool.invalidate` on the service. */
  readonly invalidate: (connection: A) => Effect.Effect<void, never, Self>
  /** `ConnectionPool.recalled` on the service. */
  readonly recalled: (connection: A) => Effect.Effect<Recall, never, Self>
  /** `ConnectionPool.drain` on the service. */
  readonly drain: (deadline: Duration.Input) => Effect.Effect<void, never, Self>
}

/**
 * The members of a class that {@link Service} makes without the option `endpoint`.
 *
 * @category services
 * @since 0.1.0
 * @stability stable
 */
export interface ServiceMembers<in out Self, in out K, in out A, out E, out R, out HR>
  extends Members<Self, K, A, E, R, HR>
{
  /** `ConnectionPool.use` on the service. */
  readonly withConnection: <B, E2, R2>(
    key: K,
    f: (connection: A) => Effect.Effect<B, E2, R2>,
    options?: BorrowOptions
  ) => Effect.Effect<B, E2 | PoolError, R2 | Self>
  /** `ConnectionPool.get` on the service. */
  readonly connection: (key: K, options?: BorrowOptions) => Effect.Effect<A, PoolError, Self | Scope.Scope>
  /** `ConnectionPool.health` of the service. */
  readonly health: (key: K) => Effect.Effect<Health, never, Self>
  /** `ConnectionPool.evict` on the service. */
  readonly evict: (key?: K) => Effect.Effect<void, never, Self>
}

/**
 * The members of a class that {@link Service} makes with the option `endpoint`.
 *
 * @category services
 * @since 0.1.0
 * @stability stable
 */
export interface EndpointMembers<in out Self, in out K, in out A, out E, out R, out HR>
  extends Members<Self, K, A, E, R, HR>
{
  /** `ConnectionPool.use` on the service. */
  readonly withConnection: <B, E2, R2>(
    f: (connection: A) => Effect.Effect<B, E2, R2>,
    options?: BorrowOptions
  ) => Effect.Effect<B, E2 | PoolError, R2 | Self>
  /** `ConnectionPool.get` on the service. */
  readonly connection: (options?: BorrowOptions) => Effect.Effect<A, PoolError, Self | Scope.Scope>
  /** `ConnectionPool.health` of the service. */
  readonly health: () => Effect.Effect<Health, never, Self>
  /** `ConnectionPool.evict` on the service. */
  readonly evict: () => Effect.Effect<void, never, Self>
}

const checked = <O extends GivenOptions>(options: O): Checked<O> => ({ options, settings: settingsOf(options) })

const checkAll: Check<never> = (options) => Effect.sync(() => checked(options))

/** Replaces options of the program by those from `Config` that have a value. */
const over = <O extends GivenOptions, K>(options: O, { retry, ...given }: ConfigOptions<K>): O => ({
  ...options,
  ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
  ...(retry && { retry: RetryPolicy.make({ ...options.retry ?? RetryPolicy.tcpConnection, ...retry }) })
})

/** The key of a borrow: the given key, or the only endpoint of the pool. */
const keyOf = <K, A>({ [PoolTypeId]: { only } }: ConnectionPool<K, A>, given: K | undefined): K => {
  if (only !== undefined) return only.endpoint
  if (given !== undefined) return given
  const rule = "be given, because a member of its Service was called without a key"
  throw new InvalidOption({ module: "ConnectionPool", option: "endpoint", value: undefined, rule })
}

const siteIn = (given: unknown): BorrowOptions["site"] =>
  // The argument may also be a key with such a field. The result is used only if the argument is no key.
  typeof given === "object" && given !== null && "site" in given ? (given as BorrowOptions).site : undefined

/** The functions that make the layers of a service. */
const layersOf = <Self, K, A, E, R, HE, HR, OE, OR>(
  service: Context.Service<Self, ConnectionPool<K, A>> & { readonly key: string },
  source: Effect.Effect<ServiceOptions<K, A, E, R, HE, HR>, OE, OR>
) => {
  const id = service.key
  const layerFrom = <E2, R2, OR2, CE>(
    options: Effect.Effect<ServiceOptions<K, A, E2, R2, HE, HR>, OE, OR2>,
    check: Check<CE>
  ): Layer.Layer<Self, OE | CE, OR2 | R2 | HR | ResourceMonitor> =>
    Layer.effect(
      service,
      Effect.gen(function*() {
        const given = yield* options
        const checked = yield* check({ ...given, name: given.name ?? id })
        return yield* makePool<K, A, E2 | HE, R2 | HR>(checked.options, checked.settings, () => id)
      })
    )
  return {
    layer: layerFrom(source, checkAll),
    layerWith: <A2 extends A, E2, R2>(connector: Connector<K, A2, E2, R2>) => {
      // A connector gets only connections that it has opened, so the subtype is safe.
      const ofService = connector as unknown as Connector<K, A, E2, R2>
      return layerFrom(Effect.map(source, (options) => ({ ...options, connector: ofService })), checkAll)
    },
    [TypeId]: { layer: <CE>(check: Check<CE>) => layerFrom(source, check), key: (key: K) => key }
  }
}

/** The members of a service. Whether its pool has one endpoint or many is known only when the layer is built. */
const membersOf = <Self, K, A>(service: Context.Service<Self, ConnectionPool<K, A>>) => {
  const onPool = <B, E2, R2>(f: (pool: ConnectionPool<K, A>) => Effect.Effect<B, E2, R2>) => Effect.flatMap(service, f)
  type Use<B, E2, R2> = (connection: A) => Effect.Effect<B, E2, R2>
  const members = {
    withConnection: <B, E2, R2>(
      first: K | Use<B, E2, R2>,
      second?: Use<B, E2, R2> | BorrowOptions,
      third?: BorrowOptions
    ) => {
      // By the overloads, the key was left out if the second argument is no function.
      const [key, f, given] = typeof second === "function"
        ? [first as K, second, third]
        : [undefined, first as Use<B, E2, R2>, second]
      const origin = Borrow.originOf(given?.site, members.withConnection)
      const isStanding = given?.standing === true
      return onPool((pool) => Borrow.use(pool[PoolTypeId], keyOf(pool, key), origin, f, isStanding))
    },
    connection: (first?: K | BorrowOptions, second?: BorrowOptions) => {
      // Whether the first argument is a key is known only with the pool.
      const ofKeyed = Borrow.originOf(second?.site, members.connection)
      const site = siteIn(first)
      const ofOne = site === undefined ? ofKeyed : Borrow.originOf(site, members.connection)
      return onPool((pool) => {
        const { only } = pool[PoolTypeId]
        if (only === undefined) {
          return Borrow.get(pool[PoolTypeId], keyOf(pool, first as K | undefined), ofKeyed, second?.standing === true)
        }
        const given = first as BorrowOptions | undefined
        return Borrow.get(pool[PoolTypeId], only.endpoint, ofOne, given?.standing === true)
      })
    },
    health: (key?: K) => onPool((pool) => Effect.sync(() => pool[PoolTypeId].core.health(keyOf(pool, key)))),
    evict: (key?: K) => onPool((pool) => Effect.sync(() => pool[PoolTypeId].core.evict(key))),
    stats: onPool((pool) => Effect.sync(() => pool[PoolTypeId].core.stats())),
    inspect: (most?: number) => onPool((pool) => Effect.sync(() => pool[PoolTypeId].core.inspect(mostOf(most)))),
    invalidate: (connection: A) => onPool((pool) => Effect.sync(() => pool[PoolTypeId].core.invalidate(connection))),
    recalled: (connection: A) => onPool((pool) => Borrow.recalled(pool[PoolTypeId], connection)),
    drain: (deadline: Duration.Input) => onPool((pool) => pool[PoolTypeId].drain(Duration.toMillis(deadline)))
  }
  return members
}

/**
 * A pool as a service: a class to extend, whose `layer` makes the pool.
 *
 * **Details**
 *
 * - Members take the key of an endpoint. With the option `endpoint` no member takes a key.
 * - The options may be an effect. It runs when the layer is built; what it fails with and requires is the layer's. {@link layerConfig}
 *   takes options from `Config`.
 * - The name of the pool is the key of the service, unless the options have a `name`.
 *
 * **Example** (A pool in a backend)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import * as ConnectionPool from "effect-sluice/ConnectionPool"
 * import * as Connector from "effect-sluice/Connector"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 *
 * const connector = Connector.make({
 *   open: (name: string) => Effect.acquireRelease(Effect.succeed({ name }), () => Effect.void)
 * })
 *
 * class Databases extends ConnectionPool.Service<Databases>()("app/Databases", { connector, maxTotal: 10 }) {}
 *
 * const program = Databases.withConnection("orders", (connection) => Effect.succeed(connection.name)).pipe(
 *   Effect.provide(Databases.layer.pipe(Layer.provide(ResourceMonitor.layer)))
 * )
 *
 * await Effect.runPromise(program) // => "orders"
 * ```
 *
 * **Example** (One endpoint, and another connector in a test)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import * as ConnectionPool from "effect-sluice/ConnectionPool"
 * import * as Connector from "effect-sluice/Connector"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 *
 * const connector = Connector.make({ open: (name: string) => Effect.succeed({ name }) })
 *
 * class Orders extends ConnectionPool.Service<Orders>()("app/Orders", {
 *   connector,
 *   endpoint: "orders",
 *   maxConnections: 10
 * }) {}
 *
 * const program = Orders.withConnection(({ name }) => Effect.succeed(name))
 *
 * const Test = Orders.layerWith(Connector.make({ open: (name: string) => Effect.succeed({ name: `fake ${name}` }) }))
 *
 * await Effect.runPromise(Effect.provide(program, Test.pipe(Layer.provide(ResourceMonitor.layer)))) // => "fake orders"
 * ```
 *
 * @category services
 * @since 0.1.0
 * @stability stable
 */
export const Service = <Self>() => {
  function make<
    const Id extends string,
    K,
    A,
    E = never,
    R = never,
    HE = never,
    HR = never,
    OE = never,
    OR = never
  >(
    id: Id,
    options: Source<ServiceOptions<K, A, E, R, HE, HR> & { readonly endpoint: NoInfer<K> }, OE, OR>
  ):
    & Context.ServiceClass<Self, Id, ConnectionPool<K, A>>
    & EndpointMembers<Self, K, A, OE, OR | R | HR | ResourceMonitor, OR | HR>
  function make<
    const Id extends string,
    K,
    A,
    E = never,
    R = never,
    HE = never,
    HR = never,
    OE = never,
    OR = never
  >(
    id: Id,
    options: Source<ServiceOptions<K, A, E, R, HE, HR> & { readonly endpoint?: undefined }, OE, OR>
  ):
    & Context.ServiceClass<Self, Id, ConnectionPool<K, A>>
    & ServiceMembers<Self, K, A, OE, OR | R | HR | ResourceMonitor, OR | HR>
  function make<const Id extends string, K, A, E, R, HE, HR, OE, OR>(
    id: Id,
    options: Source<ServiceOptions<K, A, E, R, HE, HR> & { readonly endpoint?: NoInfer<K> | undefined }, OE, OR>
  ) {
    const service = Context.Service<Self, ConnectionPool<K, A>>()(id)
    const source = Effect.isEffect(options) ? options : Effect.succeed(options)
    return Object.assign(service, membersOf(service), layersOf(service, source))
  }
  return make
}

/**
 * The layer of a {@link Service} with options from `Config`: one `Config` for all options, or a record with one for each. They
 * replace the options of the service.
 *
 * **Details**
 *
 * It fails with `ConfigError` when a value is missing, cannot be parsed, or is invalid as the option.
 *
 * **Example** (The size of a pool from the environment)
 *
 * ```ts
 * import { Config, ConfigProvider, Effect, Layer } from "effect"
 * import * as ConnectionPool from "effect-sluice/ConnectionPool"
 * import * as Connector from "effect-sluice/Connector"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 *
 * class Orders extends ConnectionPool.Service<Orders>()("app/Orders", {
 *   connector: Connector.make({ open: (name: string) => Effect.succeed({ name }) }),
 *   endpoint: "orders"
 * }) {}
 *
 * const Configured = ConnectionPool.layerConfig(Orders, {
 *   maxConnections: Config.Int("ORDERS_POOL_SIZE"),
 *   endpoint: Config.withDefault(Config.String("ORDERS_SERVER"), "localhost")
 * })
 *
 * const program = Orders.withConnection(({ name }) =>
 *   Effect.map(Orders.stats, ({ maxTotal }) => [name, maxTotal])
 * ).pipe(
 *   Effect.provide(Configured.pipe(Layer.provide([ResourceMonitor.layer, ConfigProvider.layer(ConfigProvider.fromUnknown({ ORDERS_POOL_SIZE: "20" }))])))
 * )
 *
 * await Effect.runPromise(program) // => ["localhost", 20]
 * ```
 *
 * @category layers
 * @since 0.1.0
 * @stability stable
 */
export const layerConfig = <Self, K, E, R>(
  service: Configurable<Self, K, E, R>,
  config: Config.Wrap<ConfigOptions<K>>
): Layer.Layer<Self, E | Config.ConfigError, R> =>
  service[TypeId].layer((options) =>
    optionsFromConfig(config, (given: ConfigOptions<K>) => refusing(() => checked(over(options, given))))
  )
