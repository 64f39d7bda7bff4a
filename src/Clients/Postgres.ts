/**
 * `PgClient` and `SqlClient` of `@effect/sql-pg` over a pool of this library. It needs the package `@effect/sql-pg`, version 4.
 *
 * **Example** (Only the layer differs from `PgClient.layer`)
 *
 * ```ts no-run
 * import { Effect, Layer } from "effect"
 * import * as Postgres from "effect-sluice/Postgres"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 * import * as SqlClient from "effect/sql/SqlClient"
 *
 * const Database = Postgres.layer({ host: "127.0.0.1", username: "app", database: "orders" }).pipe(
 *   Layer.provide(ResourceMonitor.layer)
 * )
 *
 * const program = Effect.gen(function*() {
 *   const sql = yield* SqlClient.SqlClient
 *   return yield* sql`select count(*) from orders`
 * }).pipe(Effect.provide(Database))
 *
 * await Effect.runPromise(program)
 * ```
 *
 * @since 0.1.0
 * @stability stable
 */
import type * as PgClient from "@effect/sql-pg/PgClient"
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Reactivity from "effect/reactivity/Reactivity"
import type * as Scope from "effect/Scope"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { fromConfig } from "../internal/ConfigFailure.ts"
import { refusing } from "../internal/Options.ts"
import type { ResourceMonitor } from "../Monitor/Service.ts"
import type { Connector } from "../Resource/Connector.ts"
import type { Endpoint } from "../Resource/Endpoint.ts"
import type { TcpConnectionError } from "../Resource/TcpConnection.ts"
import { checkLease } from "./internal/postgres/LeaseRule.ts"
import { loadDriver } from "./internal/postgres/LoadDriver.ts"
import { type Options, type Settings, settingsOf } from "./internal/postgres/Options.ts"
import type { Session } from "./internal/postgres/Session.ts"
import { connectorOf } from "./internal/postgres/SessionConnector.ts"
import * as SessionPool from "./internal/postgres/SessionPool.ts"

export { InvalidOption } from "../internal/InvalidOption.ts"
export type { GuardRails } from "./internal/postgres/GuardRails.ts"
export type { Options, Reset } from "./internal/postgres/Options.ts"
export type { Session } from "./internal/postgres/Session.ts"
export type { SessionPool } from "./internal/postgres/SessionPool.ts"

/**
 * The pool of sessions behind the client: for what needs a session of its own, and for operating the pool.
 *
 * **Example** (What the pool has now)
 *
 * ```ts no-run
 * import { Effect } from "effect"
 * import * as ConnectionPool from "effect-sluice/ConnectionPool"
 * import * as Postgres from "effect-sluice/Postgres"
 *
 * const stats = Effect.flatMap(Postgres.Pool, ({ connections }) => ConnectionPool.stats(connections))
 * ```
 *
 * @category services
 * @since 0.1.0
 * @stability stable
 */
export class Pool extends Context.Service<Pool, SessionPool.SessionPool>()("effect-sluice/Postgres/Pool") {}

/**
 * A connector of sessions, for a pool of your own. A session goes to the endpoint that is its key, and not to that of the options.
 *
 * **Details**
 *
 * `open` evaluates the password, dials and logs in. The end of its scope cancels a statement that is under way, and ends the
 * session. `open` fails with the `SqlError` of `@effect/sql-pg`, or with `TcpConnectionError` if the dial fails. It dies if
 * `@effect/sql-pg` is not installed. The connector itself throws `InvalidOption` on invalid options.
 *
 * **Gotchas**
 *
 * Only the pool of {@link layer} implements `reset: "discard"`. In a pool of your own, a session with an open transaction is
 * closed. All else that a borrower leaves behind stays in the session, unless the hook `afterReturn` undoes it.
 *
 * **Example** (Several databases in one pool)
 *
 * ```ts no-run
 * import * as ConnectionPool from "effect-sluice/ConnectionPool"
 * import * as Postgres from "effect-sluice/Postgres"
 *
 * class Shards extends ConnectionPool.Service<Shards>()("app/Shards", {
 *   connector: Postgres.connector({ username: "app", database: "orders" }),
 *   maxPerEndpoint: 5,
 *   maxTotal: 20
 * }) {}
 * ```
 *
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const connector = (
  options: Options
): Connector<Endpoint, Session, SqlError | TcpConnectionError> => connectorOf(settingsOf(options))

const poolOf = (settings: Settings) =>
  Effect.andThen(checkLease(settings.startupParameters), SessionPool.makePool(settings, connectorOf(settings)))

/**
 * Makes a pool of sessions that lives until the scope ends: {@link Pool} without a client. It dies with `InvalidOption` on options that
 * make no sense.
 *
 * **Example** (A session alone)
 *
 * ```ts no-run
 * import { Effect } from "effect"
 * import * as Postgres from "effect-sluice/Postgres"
 *
 * const program = Effect.gen(function*() {
 *   const { reserve } = yield* Postgres.makePool({ username: "app", database: "orders" })
 *   const session = yield* reserve
 *   return yield* session.query("select pg_backend_pid()")
 * }).pipe(Effect.scoped)
 * ```
 *
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const makePool = (
  options: Options
): Effect.Effect<SessionPool.SessionPool, never, ResourceMonitor | Scope.Scope> =>
  Effect.suspend(() => poolOf(settingsOf(options)))

const built = (settings: Settings) =>
  Effect.gen(function*() {
    const driver = yield* loadDriver
    const pool = yield* poolOf(settings)
    const client = yield* driver.clientOf(pool, settings)
    return { client, services: driver.servicesOf(client).pipe(Context.add(Pool, pool)) }
  })

/**
 * Makes a client over a pool that lives until the scope ends. It opens nothing before the first use. It dies with `InvalidOption` on options
 * that make no sense, and where `@effect/sql-pg` is not installed.
 *
 * **Example** (A client in a scope)
 *
 * ```ts no-run
 * import { Effect } from "effect"
 * import * as Postgres from "effect-sluice/Postgres"
 *
 * const program = Effect.gen(function*() {
 *   const sql = yield* Postgres.make({ username: "app", database: "orders" })
 *   return yield* sql`select 1`
 * }).pipe(Effect.scoped)
 * ```
 *
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const make = (
  options: Options
): Effect.Effect<PgClient.PgClient, never, Reactivity.Reactivity | ResourceMonitor | Scope.Scope> =>
  Effect.map(Effect.suspend(() => built(settingsOf(options))), ({ client }) => client)

type Services = PgClient.PgClient | Pool | SqlClient.SqlClient

const provided = <E>(
  settings: Effect.Effect<Settings, E>
): Layer.Layer<Services, E, ResourceMonitor> =>
  Layer.provide(
    Layer.effectContext(Effect.map(Effect.flatMap(settings, built), ({ services }) => services)),
    Reactivity.layer
  )

/**
 * Provides `PgClient`, `SqlClient` and {@link Pool}. It opens nothing before the first use, so that it fails with nothing.
 *
 * **Details**
 *
 * - Sessions are dialed by `TcpConnection`: each passes the gate of the monitor, and the addresses of a name are tried concurrently.
 * - Errors of the server are passed on unchanged. If there is no session, the error is a `ConnectionError` with the message of the pool.
 * - The end of the scope waits `drainTimeout` for leased sessions. After that it closes them although they are leased.
 * - It dies with `InvalidOption` on invalid options, and if `@effect/sql-pg` is not installed.
 *
 * **Example** (Limits for a server that a frozen client must not block)
 *
 * ```ts no-run
 * import { Layer, Redacted } from "effect"
 * import * as Postgres from "effect-sluice/Postgres"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 *
 * const Database = Postgres.layer({
 *   url: Redacted.make("postgres://app@127.0.0.1/orders"),
 *   acquireTimeout: "5 seconds",
 *   guardRails: { statement: "30 seconds", idleInTransaction: "30 seconds", idleSession: "2 minutes" }
 * }).pipe(Layer.provide(ResourceMonitor.layer))
 * ```
 *
 * @see {@link layerConfig} for options from `Config`
 * @category layers
 * @since 0.1.0
 * @stability stable
 */
export const layer = (options: Options): Layer.Layer<Services, never, ResourceMonitor> =>
  provided(Effect.sync(() => settingsOf(options)))

/**
 * {@link layer} with options from `Config`: one for all options, or a record of one for each. It fails with `ConfigError` when a value is
 * missing, cannot be parsed, or is invalid as the option.
 *
 * **Example** (The URL from the environment)
 *
 * ```ts no-run
 * import { Config, Layer } from "effect"
 * import * as Postgres from "effect-sluice/Postgres"
 * import * as ResourceMonitor from "effect-sluice/ResourceMonitor"
 *
 * const Database = Postgres.layerConfig({
 *   url: Config.Redacted("DATABASE_URL"),
 *   maxConnections: Config.withDefault(Config.Int("POSTGRES_POOL_SIZE"), 10)
 * }).pipe(Layer.provide(ResourceMonitor.layer))
 * ```
 *
 * @category layers
 * @since 0.1.0
 * @stability stable
 */
export const layerConfig = (
  config: Config.Wrap<Options>
): Layer.Layer<Services, Config.ConfigError, ResourceMonitor> =>
  provided(fromConfig(config, (options: Options) =>
    refusing(() => {
      const settings = settingsOf(options)
      SessionPool.checkPool(settings, connectorOf(settings))
      return settings
    })))
