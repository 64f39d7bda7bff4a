/**
 * The options of a MySQL client: those of a session and those of the pool.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type { ConnectionOptions, SslOptions } from "mysql2"
import { aboveZero, checkOptions, type OptionCheck, ports } from "../../../internal/Options.ts"
import type { Options as PoolOptions } from "../../../Pool/ConnectionPool.ts"
import * as Endpoint from "../../../Resource/Endpoint.ts"
import { decodedPart } from "../UrlText.ts"

/** Options of the pool that keep their names and their defaults. */
type PoolOptionNames =
  | "acquireTimeout"
  | "checkAfterIdle"
  | "closeTimeout"
  | "connectTimeout"
  | "drainTimeout"
  | "idleTimeout"
  | "keepalive"
  | "leakThreshold"
  | "lifetimeJitter"
  | "maxLease"
  | "maxWaiters"
  | "name"
  | "retry"
  | "whenUnavailable"

/** Options of the driver that the client decides by itself. */
type DecidedOptions =
  | "database"
  | "host"
  | "password"
  | "password1"
  | "port"
  | "rowsAsArray"
  | "socketPath"
  | "ssl"
  | "stream"
  | "uri"
  | "user"

/**
 * How sessions are opened, kept and leased. Every option has a default.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Options extends Pick<PoolOptions<never, never, never, never>, PoolOptionNames> {
  /** A URL, `mysql://user:password@host:port/database`. The other options win over its parts. @default none */
  readonly url?: Redacted.Redacted | undefined
  /** @default "localhost" */
  readonly host?: string | undefined
  /** @default 3306 */
  readonly port?: number | undefined
  /** The path of a Unix socket, instead of a host. @default none */
  readonly path?: string | undefined
  /** `true`, or the driver's options of TLS. The name of the host is verified, unless it is an address. @default false */
  readonly ssl?: boolean | SslOptions | undefined
  /** @default none */
  readonly database?: string | undefined
  /** @default none */
  readonly username?: string | undefined
  /** The password, or an effect that is run for each connection, such as one that asks for a token that expires. @default none */
  readonly password?: Redacted.Redacted | Effect.Effect<Redacted.Redacted> | undefined
  /** Most sessions, in any state: a whole number of at least 1. @default 10 */
  readonly maxConnections?: number | undefined
  /** Sessions that are kept however long they are idle, from the first use on: 0 to `maxConnections`. @default 0 */
  readonly minConnections?: number | undefined
  /** A session of this age is not leased again; above 0, `"Infinity"` for never. @default 5 minutes */
  readonly connectionTTL?: Duration.Input | undefined
  /** Idle time after which the kernel probes the server, at least 1 second, `"Infinity"` for never. @default 30 seconds */
  readonly keepAlive?: Duration.Input | undefined
  /**
   * Whether statements are prepared and cached, which saves parsing and sends values apart from the text. Without it values are escaped
   * into the text. @default true
   */
  readonly prepare?: boolean | undefined
  /** How many statements a session keeps prepared: a whole number of at least 1. The server has a limit for all. @default 100 */
  readonly preparedStatementCacheSize?: number | undefined
  /**
   * How a statement is ended that was interrupted, or whose stream was not read to the end. `"kill"` ends it at the server by a
   * separate connection, of which one at a time is open, and keeps the session. `"close"` closes the socket of the session, and the
   * server runs the statement until it writes to the client. @default "kill"
   */
  readonly onInterrupt?: "kill" | "close" | undefined
  /** @default none */
  readonly transformResultNames?: ((name: string) => string) | undefined
  /** @default none */
  readonly transformQueryNames?: ((name: string) => string) | undefined
  /** @default none */
  readonly spanAttributes?: Readonly<Record<string, unknown>> | undefined
  /** Further options of the driver, such as `timezone`, `charset`, `dateStrings` or `typeCast`. @default none */
  readonly driver?: Omit<ConnectionOptions, DecidedOptions> | undefined
}

/** The options, checked and with their defaults. */
export interface Settings {
  readonly options: Options
  readonly endpoint: Endpoint.Endpoint
  readonly database: string | undefined
  readonly username: string | undefined
  readonly password: Options["password"]
  readonly ssl: Options["ssl"]
  readonly keepAlive: number
  readonly connectionTTL: Duration.Duration
  readonly maxConnections: number
  readonly minConnections: number
  readonly prepare: boolean
  readonly preparedStatementCacheSize: number
  readonly kills: boolean
  readonly driverOptions: Omit<ConnectionOptions, DecidedOptions>
}

interface UrlParts {
  readonly endpoint?: Endpoint.Endpoint
  readonly database?: string
  readonly username?: string
  readonly password?: Redacted.Redacted
}

const decoded = (text: string): string | undefined => text === "" ? undefined : decodedPart(text)

const partsOf = (text: string): UrlParts | undefined => {
  const url = URL.parse(text)
  const endpoint = Endpoint.fromUrlResult(text)
  if (url === null || url.protocol !== "mysql:" || Result.isFailure(endpoint)) return undefined
  const [database, username, password] = [url.pathname.slice(1), url.username, url.password].map(decoded)
  return {
    endpoint: endpoint.success,
    ...(database === undefined ? undefined : { database }),
    ...(username === undefined ? undefined : { username }),
    ...(password === undefined ? undefined : { password: Redacted.make(password) })
  }
}

const urlOf = ({ require }: OptionCheck, { url }: Options): UrlParts => {
  if (url === undefined) return {}
  const parts = partsOf(Redacted.value(url))
  require(parts !== undefined, "url", url, "be a URL that begins with mysql: and names a server")
  return parts ?? {}
}

const addressOf = ({ require, whole }: OptionCheck, options: Options, { endpoint }: UrlParts): Endpoint.Endpoint => {
  const ofUrl = endpoint?._tag === "TcpEndpoint" ? endpoint : undefined
  const { host = ofUrl?.host ?? "localhost", path, port = ofUrl?.port ?? 3306 } = options
  whole("port", port, ports)
  try {
    return path === undefined ? Endpoint.tcp(host, port) : Endpoint.unix(path)
  } catch (error) {
    if (!(error instanceof Endpoint.EndpointError)) throw error
    require(false, path === undefined ? "host" : "path", path ?? host, `be ${error.rule}`)
    throw error
  }
}

const sizesOf = ({ require, whole }: OptionCheck, options: Options) => {
  const maxConnections = whole("maxConnections", options.maxConnections ?? 10, { min: 1 })
  const minConnections = whole("minConnections", options.minConnections ?? 0, { min: 0 })
  const rule = `be at most maxConnections, which is ${maxConnections}`
  require(minConnections <= maxConnections, "minConnections", minConnections, rule)
  return { maxConnections, minConnections }
}

const killsOf = ({ require }: OptionCheck, value: string): boolean => {
  require(value === "kill" || value === "close", "onInterrupt", value, "be \"kill\" or \"close\"")
  return value === "kill"
}

/** Checks options and applies their defaults. Throws `InvalidOption`. */
export const settingsOf = (options: Options): Settings => {
  const check = checkOptions("Mysql")
  check.redacted("url", options.url)
  if (!Effect.isEffect(options.password)) check.redacted("password", options.password)
  const url = urlOf(check, options)
  const keepAlive = check.duration("keepAlive", options.keepAlive ?? "30 seconds", { min: 1000, infinite: true })
  return {
    options,
    endpoint: addressOf(check, options, url),
    database: options.database ?? url.database,
    username: options.username ?? url.username,
    password: options.password ?? url.password,
    ssl: options.ssl,
    keepAlive: Duration.toMillis(keepAlive),
    connectionTTL: check.duration("connectionTTL", options.connectionTTL ?? "5 minutes", {
      ...aboveZero,
      infinite: true
    }),
    ...sizesOf(check, options),
    prepare: options.prepare ?? true,
    preparedStatementCacheSize: check.whole(
      "preparedStatementCacheSize",
      options.preparedStatementCacheSize ?? 100,
      { min: 1 }
    ),
    kills: killsOf(check, options.onInterrupt ?? "kill"),
    driverOptions: options.driver ?? {}
  }
}
