/**
 * A budget of connections that many processes share, kept in Redis. It needs the package `redis`, version 6.
 *
 * **Details**
 *
 * - A permit is the right to hold one open connection. A pool takes it before each dial and gives it back when the socket is gone: one
 *   round trip for each connection that is opened, and none for a borrow.
 * - Those that wait get permits in the order in which they came. The script that gives a permit back hands it to the next.
 * - A permit is a lease. If its holder dies, the store gives it to another when the lease is over. Only the clock of the store counts.
 * - A connection whose lease could not be renewed is closed, also one that is leased by the pool.
 * - The token of a permit is part of the `application_name` of a session that `Postgres` or `NodePostgres` opens.
 *
 * **Example** (At most 50 sessions of all processes)
 *
 * ```ts no-run
 * import { Effect, Layer, Redacted } from "effect"
 * import * as Postgres from "effect-sluice/Postgres"
 * import * as RedisBudget from "effect-sluice/RedisBudget"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 * import { SqlClient } from "effect/sql/SqlClient"
 *
 * const Budget = RedisBudget.layer({ url: "redis://127.0.0.1:6379", key: "orders", connections: 50 })
 *
 * const Database = Postgres.layer({
 *   url: Redacted.make("postgres://app@127.0.0.1/orders"),
 *   idleTimeout: "20 seconds",
 *   guardRails: { idleSession: "30 seconds", idleInTransaction: "20 seconds", statement: "20 seconds" }
 * }).pipe(Layer.provide(Budget), Layer.provide(ResourceMonitor.layer))
 *
 * const count = Effect.flatMap(SqlClient, (sql) => sql`select count(*) from orders`)
 *
 * await Effect.runPromise(Effect.provide(count, Database))
 * ```
 *
 * @since 0.1.0
 * @stability experimental
 */
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { optionsFromConfig } from "../internal/ConfigOptions.ts"
import { checkOptions, refusing } from "../internal/Options.ts"
import type { ResourceMonitor } from "../Monitor/Service.ts"
import * as ConnectionBudget from "../Pool/ConnectionBudget.ts"
import * as ConnectionPool from "../Pool/ConnectionPool.ts"
import { PoolRegistry, stayingOpen } from "../Pool/PoolRegistry.ts"
import { asOwnOptions } from "./internal/OwnOptions.ts"
import { ClientFunctions } from "./internal/redis/OpenClient.ts"
import { makeBudget } from "./internal/redisbudget/Budget.ts"
import { Divided } from "./internal/redisbudget/Divide.ts"
import { type Options, type Settings, settingsOf } from "./internal/redisbudget/Options.ts"
import type { Snapshot } from "./internal/redisbudget/Reply.ts"
import { makeStore } from "./internal/redisbudget/Store.ts"
import * as Redis from "./Redis.ts"

export { InvalidOption } from "../internal/InvalidOption.ts"
export type { OnStoreError, Options, Wake } from "./internal/redisbudget/Options.ts"
export type { Holder, Snapshot, Waiter } from "./internal/redisbudget/Reply.ts"

/**
 * A request for several permits at once.
 *
 * @category models
 * @since 0.1.0
 * @stability experimental
 */
export interface ManyRequest extends ConnectionBudget.PermitRequest {
  /** A whole number of at least 1. More than the limit fails with `BudgetError`. */
  readonly permits: number
}

/**
 * A budget at Redis, with what an operator needs.
 *
 * @category models
 * @since 0.1.0
 * @stability experimental
 */
export interface RedisBudget extends ConnectionBudget.ConnectionBudget {
  /**
   * Takes several permits at once until the scope ends: all or none. They have one token and one lease. Requests behind it in the queue wait
   * until it is served, also if they want less.
   */
  readonly takeMany: (
    request: ManyRequest
  ) => Effect.Effect<ConnectionBudget.Permit, ConnectionBudget.BudgetError, Scope.Scope>
  /**
   * Makes a budget for the pools of one process, which takes so many permits at once and divides them: for a process that opens and closes
   * many connections. It dies with `InvalidOption` if `permits` is no whole number of at least 1.
   *
   * The first connection takes all permits, and the last one gives them back when it is closed, so that most connections cost no script. All have
   * one token and one lease: if that is lost, all are closed, and the next connection takes permits again. Permits that this process has free do
   * not serve another. Without the store, `onStoreError` decides for all of them at once: `"share"` gives none if `permits` is more than the share.
   *
   * **Example** (Ten permits for two pools)
   *
   * ```ts redis
   * import { Effect } from "effect"
   * import * as ConnectionBudget from "effect-sluice/ConnectionBudget"
   * import * as ConnectionPool from "effect-sluice/ConnectionPool"
   * import * as Connector from "effect-sluice/Connector"
   * import * as RedisBudget from "effect-sluice/RedisBudget"
   * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
   *
   * const connector = Connector.make({ open: (name: string) => Effect.succeed({ name }) })
   *
   * const program = Effect.gen(function*() {
   *   const fleet = yield* RedisBudget.make({ key: "divided", connections: 50 })
   *   const own = yield* fleet.divide(10)
   *   const makePool = Effect.provideService(ConnectionPool.make({ connector }), ConnectionBudget.ConnectionBudget, own)
   *   const [orders, reports] = [yield* makePool, yield* makePool]
   *   yield* ConnectionPool.use(orders, "db", () => Effect.void)
   *   yield* ConnectionPool.use(reports, "db", () => Effect.void)
   *   const { held, used } = yield* fleet.inspect
   *   return { held, used }
   * }).pipe(Effect.scoped, Effect.provide(ResourceMonitor.layer))
   *
   * await Effect.runPromise(program) // => { held: 1, used: 10 }
   * ```
   */
  readonly divide: (permits: number) => Effect.Effect<ConnectionBudget.ConnectionBudget, never, Scope.Scope>
  /** Who holds permits, and who waits. */
  readonly inspect: Effect.Effect<Snapshot, ConnectionBudget.BudgetError>
  /**
   * Sets the limit of all processes at the store, a whole number of at least 0; `undefined` removes it, so that `connections` applies. Returns
   * the new limit. A lower limit takes nothing from those that hold permits: no permit is given until enough have come back. With a limit of 0
   * no permit is given, and requests wait in their order.
   */
  readonly setLimit: (limit: number | undefined) => Effect.Effect<number, ConnectionBudget.BudgetError>
  /** Ends permits whose lease is over, which every request does as well. Returns how many. */
  readonly reap: Effect.Effect<number, ConnectionBudget.BudgetError>
}

const makeFrom = (settings: Settings): Effect.Effect<RedisBudget, never, ResourceMonitor | Scope.Scope> =>
  Effect.gen(function*() {
    // The connections to the store need no permit. A function that closes the others between its invocations gives back their permits.
    const redis = yield* Redis.make(settings.store).pipe(
      Effect.provideService(ConnectionBudget.ConnectionBudget, ConnectionBudget.unlimited),
      Effect.provideService(PoolRegistry, stayingOpen(yield* PoolRegistry)),
      Effect.provideService(ClientFunctions, "Plain"),
      asOwnOptions("RedisBudget")
    )
    const store = makeStore(redis, settings)
    const budget = yield* makeBudget(settings, store, {
      subscribe: redis.subscribe,
      endpoint: redis.pool.endpoint,
      open: Effect.asVoid(Effect.scoped(ConnectionPool.get(redis.pool.shared, redis.pool.endpoint)))
    })
    const check = checkOptions("RedisBudget")
    const known = (limit: number) => Effect.sync(() => budget.limitIs(limit))
    const takeMany = ({ permits, ...request }: ManyRequest) =>
      Effect.suspend(() => budget.take(request, check.whole("permits", permits, { min: 1 })))
    const lease = settings.lease.millis
    return {
      lease,
      take: (request) => budget.take(request, 1),
      takeMany,
      divide: (permits) =>
        Effect.map(Effect.scope, (scope) => {
          check.whole("permits", permits, { min: 1 })
          return new Divided({ permits, takeAll: (request) => takeMany({ ...request, permits }), lease, scope })
        }),
      inspect: Effect.tap(store.inspect, ({ limit }) => known(limit)),
      setLimit: (limit) =>
        Effect.suspend(() => {
          if (limit !== undefined) check.whole("limit", limit, { min: 0, max: 1_000_000 })
          return Effect.tap(store.setLimit(limit), known)
        }),
      reap: store.reap
    } satisfies RedisBudget
  })

/**
 * Makes a budget for the pools that are made with it. It lives until the scope ends, which has to be after the end of those pools. Its
 * connection is opened by the first request.
 *
 * **Details**
 *
 * It dies with `InvalidOption` on invalid options, and if `redis` is not installed.
 *
 * @category constructors
 * @since 0.1.0
 * @stability experimental
 */
export const make = (options: Options): Effect.Effect<RedisBudget, never, ResourceMonitor | Scope.Scope> =>
  Effect.flatMap(Effect.sync(() => settingsOf(options)), makeFrom)

const asContext = Effect.map((budget: RedisBudget) => Context.make(ConnectionBudget.ConnectionBudget, budget))

/**
 * The budget of the pools whose layers are provided with this layer.
 *
 * @see {@link make} for what it does
 * @category layers
 * @since 0.1.0
 * @stability experimental
 */
export const layer = (options: Options): Layer.Layer<never, never, ResourceMonitor> =>
  Layer.effectContext(asContext(make(options)))

/**
 * {@link layer} with options from `Config`. It fails with `ConfigError` when a value is missing, cannot be parsed, or is invalid.
 *
 * **Example** (The store and the limit from the environment)
 *
 * ```ts
 * import { Config, Layer } from "effect"
 * import * as RedisBudget from "effect-sluice/RedisBudget"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 *
 * const Budget = RedisBudget.layerConfig({
 *   url: Config.Redacted("REDIS_URL"),
 *   key: Config.succeed("orders"),
 *   connections: Config.Int("DATABASE_SESSIONS")
 * }).pipe(Layer.provide(ResourceMonitor.layer))
 * ```
 *
 * @category layers
 * @since 0.1.0
 * @stability experimental
 */
export const layerConfig = (config: Config.Wrap<Options>): Layer.Layer<never, Config.ConfigError, ResourceMonitor> =>
  Layer.effectContext(
    asContext(
      Effect.flatMap(optionsFromConfig(config, (options: Options) => refusing(() => settingsOf(options))), makeFrom)
    )
  )
