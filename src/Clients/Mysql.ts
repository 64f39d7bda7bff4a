/**
 * MySQL and MariaDB as a `SqlClient` of Effect, over a pool of this library. It needs the package `mysql2`, version 3.
 *
 * **Example** (A query)
 *
 * ```ts no-run
 * import { Effect, Layer, Redacted } from "effect"
 * import * as Mysql from "effect-sluice/Mysql"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 * import { SqlClient } from "effect/sql/SqlClient"
 *
 * const Database = Mysql.layer({ host: "127.0.0.1", database: "orders", username: "app", password: Redacted.make("...") })
 *
 * const program = Effect.gen(function*() {
 *   const sql = yield* SqlClient
 *   return yield* sql`select count(*) as n from orders where total > ${100}`
 * })
 *
 * await Effect.runPromise(Effect.provide(program, Database.pipe(Layer.provide(ResourceMonitor.layer))))
 * ```
 *
 * @since 0.1.0
 * @stability stable
 */
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Reactivity from "effect/reactivity/Reactivity"
import type * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import { fromConfig } from "../internal/ConfigFailure.ts"
import { refusing } from "../internal/Options.ts"
import type { ResourceMonitor } from "../Monitor/Service.ts"
import type { ClientError, Connector } from "../Resource/Connector.ts"
import type { Endpoint } from "../Resource/Endpoint.ts"
import { killing, makeCancel } from "./internal/mysql/Cancel.ts"
import { clientOf } from "./internal/mysql/Client.ts"
import { type Connection, driver } from "./internal/mysql/Driver.ts"
import { KillQueue } from "./internal/mysql/KillQueue.ts"
import { type Options, type Settings, settingsOf } from "./internal/mysql/Options.ts"
import { connectorOf } from "./internal/mysql/SessionConnector.ts"
import { checkPool, makePool, type SessionPool } from "./internal/mysql/SessionPool.ts"

export { InvalidOption } from "../internal/InvalidOption.ts"
export { ClientError } from "../Resource/Connector.ts"
export { makeCompiler } from "./internal/mysql/Compiler.ts"
export type { Connection } from "./internal/mysql/Driver.ts"
export type { Options } from "./internal/mysql/Options.ts"
export type { SessionPool } from "./internal/mysql/SessionPool.ts"

/**
 * The pool of sessions behind the client: for statements that need a session of their own, and for operating the pool.
 *
 * @category services
 * @since 0.1.0
 * @stability stable
 */
export class Pool extends Context.Service<Pool, SessionPool>()("effect-sluice/Mysql/Pool") {}

/**
 * Makes a connector of `mysql2`, for a pool of your own. A connection goes to the endpoint that is its key, and not to that of the
 * options. It throws `InvalidOption` on invalid options.
 *
 * **Details**
 *
 * - A connection is leased again only with all statements answered, no transaction open, and autocommit on. All functions of the driver
 *   that send a statement count, also `connection.promise().query`.
 * - `check` is a ping. If a connection must not be leased again, its socket is closed at once.
 * - `open` and `check` fail with `ClientError`, whose `cause` is what `mysql2` has thrown. It dies where `mysql2` is not installed, and
 *   says which package to install.
 *
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const connector = (options: Options = {}): Connector<Endpoint, Connection, ClientError> =>
  connectorOf(settingsOf(options))

type Needs = Reactivity.Reactivity | ResourceMonitor | Scope.Scope

interface Built {
  readonly pool: SessionPool
  readonly client: SqlClient.SqlClient
}

const built = (settings: Settings): Effect.Effect<Built, never, Needs> =>
  Effect.gen(function*() {
    // A package that is missing is noticed when the program starts.
    yield* driver
    const connector = connectorOf(settings)
    if (!settings.kills) {
      const pool = yield* makePool(settings, connector)
      return { pool, client: yield* clientOf(pool, settings) }
    }
    const kills = new KillQueue(connector.open(settings.endpoint))
    // It runs after the pool has closed its sessions.
    yield* Effect.addFinalizer(() => kills.idle)
    const pool = yield* makePool(settings, killing(connector, kills))
    return { pool, client: yield* clientOf(pool, settings, makeCancel(kills)) }
  })

/**
 * Makes a client over a pool that lives until the scope ends. It opens nothing before the first use, so it cannot fail. It dies
 * with `InvalidOption` on invalid options.
 *
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const make = (options: Options): Effect.Effect<SqlClient.SqlClient, never, Needs> =>
  Effect.map(Effect.suspend(() => built(settingsOf(options))), ({ client }) => client)

const services = (settings: Settings): Effect.Effect<Context.Context<Pool | SqlClient.SqlClient>, never, Needs> =>
  Effect.map(
    built(settings),
    ({ client, pool }) => Context.make(SqlClient.SqlClient, client).pipe(Context.add(Pool, pool))
  )

/**
 * Provides `SqlClient` and {@link Pool}. It opens nothing before the first use, so it cannot fail.
 *
 * **Details**
 *
 * - Each statement leases a connection for its own duration. A transaction, a stream and `sql.reserve` lease one until they end.
 * - A statement is ended at the server if it is interrupted, or if its stream is not read to the end.
 * - A transaction that the server has rolled back by itself, as after a deadlock, does not commit: `withTransaction` fails, although MySQL
 *   answers `COMMIT` with success.
 * - Errors are `SqlError`. Without a connection in time the reason is a `ConnectionError`, whose `cause` is the `PoolError` and whose
 *   message says what stalled the borrower. If the server refuses the login, the error is the server's own.
 *
 * **Gotchas**
 *
 * - A statement is ended by `KILL QUERY` with the number of its session, over another connection. If a balancer spreads connections over
 *   several servers behind one address, set `onInterrupt: "close"`.
 * - `SET`, locks of `GET_LOCK` and temporary tables stay in a session.
 *
 * @category layers
 * @since 0.1.0
 * @stability stable
 */
export const layer = (options: Options): Layer.Layer<Pool | SqlClient.SqlClient, never, ResourceMonitor> =>
  Layer.provide(Layer.effectContext(Effect.suspend(() => services(settingsOf(options)))), Reactivity.layer)

/**
 * {@link layer} with options from `Config`: one for all options, or a record of one for each. Fails with `ConfigError` when a value is
 * missing, cannot be parsed, or is invalid as the option.
 *
 * @category layers
 * @since 0.1.0
 * @stability stable
 */
export const layerConfig = (
  config: Config.Wrap<Options>
): Layer.Layer<Pool | SqlClient.SqlClient, Config.ConfigError, ResourceMonitor> => {
  const checked = (options: Options) =>
    refusing(() => {
      const settings = settingsOf(options)
      checkPool(settings, connectorOf(settings))
      return settings
    })
  return Layer.provide(Layer.effectContext(Effect.flatMap(fromConfig(config, checked), services)), Reactivity.layer)
}
