/**
 * Effect's `Redis` service over a pool. Its Layer replaces `NodeRedis.layer`, and the programs above it do not change. It needs the
 * package `redis`, version 6.
 *
 * **Details**
 *
 * - Commands of all fibers are pipelined on one shared connection.
 * - Each reserved connection, blocking command and transaction has a connection of its own. All subscriptions share another connection.
 * - Every connection is opened by a pool: through the gate of the `ResourceMonitor`, with the delays of the retry policy, when it is first
 *   needed. `redis` itself reconnects nothing and queues nothing.
 *
 * **Example** (Counting in Redis)
 *
 * ```ts no-run
 * import { Effect, Layer } from "effect"
 * import * as Redis from "effect-sluice/Redis"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 * import { Redis as Client } from "effect/persistence/Redis"
 *
 * const RedisLive = Redis.layer({ url: "redis://127.0.0.1:6379", clientName: "shop" }).pipe(
 *   Layer.provide(ResourceMonitor.layer)
 * )
 *
 * const visits = Effect.gen(function*() {
 *   const redis = yield* Client
 *   return yield* redis.send<number>("INCR", "visits")
 * })
 *
 * await Effect.runPromise(Effect.provide(visits, RedisLive))
 * ```
 *
 * @since 0.1.0
 * @stability stable
 */
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Redis, type RedisError } from "effect/persistence/Redis"
import type * as Scope from "effect/Scope"
import { optionsFromConfig } from "../internal/ConfigOptions.ts"
import type { InvalidOption } from "../internal/InvalidOption.ts"
import { refusing } from "../internal/Options.ts"
import type { ResourceMonitor } from "../Monitor/Service.ts"
import * as ConnectionPool from "../Pool/ConnectionPool.ts"
import * as PoolOptions from "../Pool/PoolOptions.ts"
import type * as Connector from "../Resource/Connector.ts"
import type { Endpoint } from "../Resource/Endpoint.ts"
import { asOwnOptions } from "./internal/OwnOptions.ts"
import { kindOf } from "./internal/redis/CommandKind.ts"
import { CommandRefused, failed, fromPool } from "./internal/redis/Failure.ts"
import { connectorOf, loadRedis } from "./internal/redis/OpenClient.ts"
import { reserve, sendBlocking } from "./internal/redis/ReservedConnections.ts"
import { evalWith } from "./internal/redis/Scripts.ts"
import type { Client } from "./internal/redis/Session.ts"
import {
  dialOf,
  type DialOptions,
  type Limits,
  type Options,
  type Settings,
  settingsOf
} from "./internal/redis/Settings.ts"
import { makeSharedCommands } from "./internal/redis/SharedCommands.ts"
import { makeSubscriptions } from "./internal/redis/Subscriptions.ts"

export { InvalidOption } from "../internal/InvalidOption.ts"
export { CommandRefused, CommandTimeout } from "./internal/redis/Failure.ts"
export type { Client } from "./internal/redis/Session.ts"
export type { ClientOptions, DialOptions, Options } from "./internal/redis/Settings.ts"

/**
 * The pools behind Effect's `Redis`, for their stats, and for functions of node-redis that Effect's service does not have.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface RedisPool {
  /** The key of all connections. */
  readonly endpoint: Endpoint
  /** The one connection that all commands share. */
  readonly shared: ConnectionPool.ConnectionPool<Endpoint, Client>
  /** Connections for one user each: reserved ones, and those of blocking commands and transactions. */
  readonly exclusive: ConnectionPool.ConnectionPool<Endpoint, Client>
  /** The one connection of all subscriptions. */
  readonly subscriptions: ConnectionPool.ConnectionPool<Endpoint, Client>
  /**
   * Runs a function of node-redis on the shared connection. It must leave the connection as it was: no transaction, blocking command,
   * subscription, `SELECT` or `close`.
   */
  readonly use: <A>(f: (client: Client) => Promise<A>) => Effect.Effect<A, RedisError>
  /**
   * Runs a function of node-redis on a connection of its own: for `watch` and `multi`, and for commands that block. If the effect
   * is interrupted, the connection is closed.
   */
  readonly useExclusive: <A>(f: (client: Client) => Promise<A>) => Effect.Effect<A, RedisError>
}

/**
 * Effect's `Redis`, and the pools behind it.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export type PooledRedis = Redis["Service"] & { readonly pool: RedisPool }

/**
 * The service of {@link RedisPool}.
 *
 * @category services
 * @since 0.1.0
 * @stability stable
 */
export class Pool extends Context.Service<Pool, RedisPool>()("effect-sluice/Redis/Pool") {}

type Pools = Pick<RedisPool, "endpoint" | "shared" | "exclusive" | "subscriptions">

/** Makes the three pools. A scope closes them in the reverse order: the shared one last. */
const makePools = <E, R>(settings: Settings<E, R>) =>
  Effect.gen(function*() {
    const { dial, endpoint, maxConnections, minConnections, pool } = settings
    const exclusive = connectorOf(dial, "Exclusive")
    const { name = "redis" } = pool
    return {
      endpoint,
      shared: yield* ConnectionPool.make({
        ...pool,
        name,
        connector: connectorOf(dial, "Shared"),
        maxPerEndpoint: 1,
        maxTotal: 1,
        concurrency: Infinity
      }),
      exclusive: yield* ConnectionPool.make({
        ...pool,
        name: `${name}-exclusive`,
        connector: exclusive,
        maxPerEndpoint: maxConnections,
        maxTotal: maxConnections,
        minPerEndpoint: minConnections
      }),
      // Messages are lost while the subscriptions move to another connection, so its age does not end it.
      subscriptions: yield* ConnectionPool.make({
        ...pool,
        name: `${name}-subscriptions`,
        connector: exclusive,
        maxPerEndpoint: 1,
        maxTotal: 1,
        maxLifetime: Infinity
      })
    } satisfies Pools
  }).pipe(asOwnOptions("Redis"))

const rules = {
  Session:
    "it changes its connection, which all commands share. Options of the layer set the user, the database and the name; " +
    "Redis.reserve has a connection of its own",
  Transaction: "transactions need a connection of their own: Redis.reserve, or Redis.Pool.useExclusive"
}

const refused = (command: string, kind: keyof typeof rules) =>
  Effect.fail(failed(new CommandRefused({ command, rule: rules[kind] })))

const makeSend = ({ endpoint, exclusive, shared }: Pools, limits: Limits) =>
  Effect.map(makeSharedCommands(shared, limits), (commands): Redis["Service"]["send"] => (command, ...args) => {
    const kind = kindOf(command, args)
    switch (kind) {
      case "Plain":
        return commands.send([command, ...args])
      case "Blocking":
        return sendBlocking(exclusive, endpoint, [command, ...args])
      default:
        return refused(command, kind)
    }
  })

/** Runs a function of promises on a connection of a pool. */
const usePromise = (pool: ConnectionPool.ConnectionPool<Endpoint, Client>, endpoint: Endpoint): RedisPool["use"] => {
  const use: RedisPool["use"] = (f) => {
    const called = (client: Client) => Effect.tryPromise({ try: () => f(client), catch: failed })
    return Effect.mapError(
      ConnectionPool.use(pool, endpoint, called, { site: use }),
      (error) => error._tag === "PoolError" ? fromPool(error) : error
    )
  }
  return use
}

const makeFrom = <E, R>(settings: Settings<E, R>) =>
  Effect.gen(function*() {
    // A missing package is a mistake in the program, so it is noticed here and not at the first command.
    yield* loadRedis
    const pools = yield* makePools(settings)
    const { endpoint, exclusive, shared, subscriptions } = pools
    const send = yield* makeSend(pools, settings)
    const channels = yield* makeSubscriptions(subscriptions, settings)
    const client: PooledRedis = {
      send,
      eval: evalWith(send),
      reserve: reserve(exclusive, endpoint),
      subscribe: (channel) => channels.subscribe(channel),
      pool: { ...pools, use: usePromise(shared, endpoint), useExclusive: usePromise(exclusive, endpoint) }
    }
    return client
  })

/**
 * Makes Effect's `Redis` and its pools, which live until the scope ends. Connections are opened when they are first needed.
 *
 * **Details**
 *
 * - `send` sends a command on the shared connection. A command that may block (`BLPOP`, `XREAD` with `BLOCK`) gets a connection of its own.
 *   `MULTI`, `WATCH`, `SELECT`, `SUBSCRIBE` and similar commands fail with `CommandRefused`, because on the shared connection they would
 *   change the meaning of other fibers' commands.
 * - A command that is interrupted before it was sent is not sent. If it is interrupted later, it runs at the server, and its answer is
 *   dropped.
 * - A command without an answer within `commandTimeout` fails with `CommandTimeout`. If the server has sent nothing on the connection in
 *   that time, the connection is closed, and all its commands fail. No command is sent twice.
 * - The end of the scope waits for the answers on the shared connection, for at most `closeTimeout`. Other connections are closed at once,
 *   because a blocking command may never end.
 * - Errors are `RedisError`. The `cause` is the error of node-redis, such as the server's own error, or `PoolError` if there was no
 *   connection.
 * - It dies with `InvalidOption` on invalid options, and if `redis` is not installed.
 *
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const make = <E = never, R = never>(
  options: Options<E, R> = {}
): Effect.Effect<PooledRedis, never, R | ResourceMonitor | Scope.Scope> =>
  Effect.flatMap(Effect.sync(() => settingsOf(options)), makeFrom)

const asContext = Effect.map((client: PooledRedis) => Context.make(Redis, client).pipe(Context.add(Pool, client.pool)))

/**
 * Provides Effect's `Redis`, and {@link Pool}.
 *
 * @see {@link make} for what it does
 * @category layers
 * @since 0.1.0
 * @stability stable
 */
export const layer = <E = never, R = never>(
  options: Options<E, R> = {}
): Layer.Layer<Redis | Pool, never, R | ResourceMonitor> => Layer.effectContext(asContext(make(options)))

/** Checks the options. Fails with the first rule that an option breaks. */
const checked = <E, R>(options: Options<E, R>): Effect.Effect<Settings<E, R>, InvalidOption> =>
  refusing(() => {
    const settings = settingsOf(options)
    PoolOptions.settingsOf({ ...settings.pool, connector: connectorOf(settings.dial, "Exclusive") })
    return settings
  })

/**
 * Provides Effect's `Redis` with options from `Config`: one for all options, or a record of one for each.
 *
 * **Details**
 *
 * It fails with `ConfigError` when a value is missing, cannot be parsed, or is invalid as the option. Otherwise it is like {@link
 * layer}.
 *
 * **Example** (The address and the password from the environment)
 *
 * ```ts
 * import { Config, Layer } from "effect"
 * import * as Redis from "effect-sluice/Redis"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 *
 * const RedisLive = Redis.layerConfig({
 *   url: Config.String("REDIS_URL"),
 *   password: Config.Redacted("REDIS_PASSWORD"),
 *   commandTimeout: Config.succeed("2 seconds")
 * }).pipe(Layer.provide(ResourceMonitor.layer))
 * ```
 *
 * @category layers
 * @since 0.1.0
 * @stability stable
 */
export const layerConfig = <E = never, R = never>(
  config: Config.Wrap<Options<E, R>>
): Layer.Layer<Redis | Pool, Config.ConfigError, R | ResourceMonitor> =>
  Layer.effectContext(
    asContext(Effect.flatMap(optionsFromConfig(config, (options: Options<E, R>) => checked(options)), makeFrom))
  )

/**
 * A connector of node-redis for a pool of your own. Its keys are endpoints. Its connections are connected clients with one user
 * each.
 *
 * **Details**
 *
 * - A client is not leased again if it watches keys, has an open `MULTI`, is subscribed, has sent `SELECT` or a similar command, or has no
 *   answer yet to a command of `Redis.reserve`. Nor is it after a borrow that was interrupted or died. Its socket is closed at once,
 *   because a graceful close would wait for commands that block.
 * - `check` is `PING`. `open` and `check` fail with `ClientError`, whose `cause` is what node-redis has thrown.
 *
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const connector = <E = never, R = never>(
  options: DialOptions<E, R> = {}
): Connector.Connector<Endpoint, Client, Connector.ClientError | E, R> => connectorOf(dialOf(options), "Exclusive")
