/**
 * The options of a PostgreSQL client: those of `@effect/sql-pg` and those of the pool.
 *
 * @since 0.1.0
 */
import type * as PgClient from "@effect/sql-pg/PgClient"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { checkOptions, type OptionCheck, ports } from "../../../internal/Options.ts"
import type { Options as PoolOptions } from "../../../Pool/ConnectionPool.ts"
import type { Endpoint } from "../../../Resource/Endpoint.ts"
import type { ConnectorOptions } from "../../../Resource/TcpConnection.ts"
import { endpointOf, isPostgresUrl, partsOf, type UrlParts } from "./Address.ts"
import { guardRailParameters, type GuardRails } from "./GuardRails.ts"

/**
 * How a session is reset after a borrower.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export type Reset = "none" | "rollback" | "discard"

/** Options of the pool that keep their names, and their defaults. */
type PoolOptionNames =
  | "acquireTimeout"
  | "checkAfterIdle"
  | "closeTimeout"
  | "drainTimeout"
  | "keepalive"
  | "leakThreshold"
  | "lifetimeJitter"
  | "maxLease"
  | "maxWaiters"
  | "name"
  | "retry"
  | "whenUnavailable"

/**
 * How sessions are opened, kept and leased. The options of `PgClient.PgPoolConfig` have their names and meaning, and every one has a
 * default.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Options
  extends Omit<PgClient.PgPoolConfig, "stream">, Pick<PoolOptions<never, never, never, never>, PoolOptionNames>
{
  /** Most sessions, in any state: a whole number of at least 1. @default 10 */
  readonly maxConnections?: number | undefined
  /** Sessions that are kept however long they are idle, from the first use on: a whole number from 0 to `maxConnections`. @default 0 */
  readonly minConnections?: number | undefined
  /** A session that was idle for so long is closed; above 0. @default 60 seconds */
  readonly idleTimeout?: Duration.Input | undefined
  /**
   * A session of this age is not leased again; 0 for sessions that are used once, `"Infinity"` for no limit. @default 5 minutes
   */
  readonly connectionTTL?: Duration.Input | undefined
  /** Bound on one attempt to open a session, the login included; above 0. @default 5 seconds */
  readonly connectTimeout?: Duration.Input | undefined
  /** Idle time after which the kernel probes the server, at least 1 second. @default 30 seconds */
  readonly keepAlive?: Duration.Input | undefined
  /** Looks the server's name up, as in `TcpConnection`. @default Node's `dns.lookup` */
  readonly lookup?: ConnectorOptions["lookup"]
  /** How often the server's name is looked up again, as in `TcpConnection.connector`, or `false` for never. @default 30 seconds */
  readonly refreshAddresses?: ConnectorOptions["refreshAddresses"]
  /** Limits that the server enforces on each session. @default none */
  readonly guardRails?: GuardRails | undefined
  /**
   * How a session is reset after a borrower.
   *
   * - `"none"`: not at all. The next borrower finds the session as it was left.
   * - `"rollback"`: an open transaction is rolled back at the end of `reserve` and of a stream, and one that a single statement leaves open
   *   closes its session. It costs nothing where there is none.
   * - `"discard"`: after each lease also the settings, listeners, cursors, advisory locks, temporary tables and sequences of the session
   *   are discarded, which costs one more round trip. Prepared statements stay.
   *
   * @default "rollback"
   */
  readonly reset?: Reset | undefined
  /**
   * SQLSTATEs after which a session is closed instead of leased again, although it still answers.
   *
   * @default ["25006", "57P01", "57P02", "57P03"]: the server has become a standby, or is shutting down
   */
  readonly evictOn?: ReadonlyArray<string> | undefined
}

/** The options, checked and with their defaults. */
export interface Settings {
  readonly options: Options
  readonly endpoint: Endpoint
  readonly url: UrlParts
  readonly maxConnections: number
  readonly minConnections: number
  readonly concurrency: number
  readonly connectTimeout: Duration.Duration
  readonly connectionTTL: Duration.Duration
  readonly keepAlive: Duration.Duration
  readonly startupParameters: Readonly<Record<string, string>>
  readonly reset: Reset
  readonly evictOn: ReadonlySet<string>
}

const module = "Postgres"

const failover = ["25006", "57P01", "57P02", "57P03"]

const resets: ReadonlyArray<string> = ["none", "rollback", "discard"]

const addressOf = ({ require, whole }: OptionCheck, options: Options): Endpoint => {
  const { host, path, port, url } = options
  if (port !== undefined) whole("port", port, ports)
  const [option, value] = path !== undefined ? ["path", path] : host !== undefined ? ["host", host] : ["url", url]
  return Result.getOrThrowWith(endpointOf(options), (error) => {
    require(false, option, value, `name a server: ${error.message}`)
    return error
  })
}

/**
 * Throws `InvalidOption` where the driver would find no name to log in with. Its own failure looks like that of a server that is down, so
 * that a borrower would wait for another dial.
 */
export const requireUsername = ({ options, url }: Settings): void => {
  // `@effect/sql-pg` reads these variables by itself. They are no options of this library.
  // oxlint-disable-next-line effecttsgo/process-env
  const { USER, USERNAME } = process.env
  const username = options.username ?? url.username ?? USER ?? USERNAME
  const rule = "be given, here or in the URL, because neither USER nor USERNAME is set in the environment"
  checkOptions(module).require(username !== undefined, "username", username, rule)
}

const sizesOf = ({ require, whole }: OptionCheck, options: Options) => {
  const maxConnections = whole("maxConnections", options.maxConnections ?? 10, { min: 1 })
  const minConnections = whole("minConnections", options.minConnections ?? 0, { min: 0 })
  const rule = `be at most maxConnections, which is ${maxConnections}`
  require(minConnections <= maxConnections, "minConnections", minConnections, rule)
  return { maxConnections, minConnections }
}

const sqlState = /^[0-9A-Z]{5}$/

const evictOnOf = ({ require }: OptionCheck, states: ReadonlyArray<string>): ReadonlySet<string> => {
  for (const state of states) {
    require(sqlState.test(state), "evictOn", state, "have SQLSTATEs, of five digits and capital letters each")
  }
  return new Set(states)
}

/** The `connectTimeout`, from the options or the URL. In a URL 0 means no limit, which a pool does not support. */
const connectTimeoutOf = ({ duration }: OptionCheck, options: Options, url: UrlParts): Duration.Duration => {
  const ofUrl = url.connectTimeout !== undefined && url.connectTimeout > 0 ? url.connectTimeout * 1000 : "5 seconds"
  return duration("connectTimeout", options.connectTimeout ?? ofUrl, { min: 0, exclusive: true })
}

/** Checks options and applies their defaults. Throws `InvalidOption`. */
export const settingsOf = (options: Options): Settings => {
  const check = checkOptions(module)
  check.redacted("url", options.url)
  if (!Effect.isEffect(options.password)) check.redacted("password", options.password)
  check.require(isPostgresUrl(options), "url", options.url, "begin with postgres: or postgresql:")
  const url = partsOf(options)
  const reset = options.reset ?? "rollback"
  check.require(resets.includes(reset), "reset", reset, "be \"none\", \"rollback\" or \"discard\"")
  const idleTimeout = check.duration("idleTimeout", options.idleTimeout ?? "60 seconds", {
    min: 0,
    exclusive: true,
    infinite: true
  })
  return {
    options,
    url,
    endpoint: addressOf(check, options),
    ...sizesOf(check, options),
    concurrency: options.multiplex === true
      ? check.whole("multiplexConcurrency", options.multiplexConcurrency ?? 32, { min: 1 })
      : 1,
    connectTimeout: connectTimeoutOf(check, options, url),
    connectionTTL: check.duration("connectionTTL", options.connectionTTL ?? "5 minutes", { min: 0, infinite: true }),
    keepAlive: check.duration("keepAlive", options.keepAlive ?? "30 seconds", { min: 1000 }),
    startupParameters: { ...guardRailParameters(check, options.guardRails, idleTimeout), ...options.startupParameters },
    reset,
    evictOn: evictOnOf(check, options.evictOn ?? failover)
  }
}
