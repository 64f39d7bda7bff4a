/**
 * The options of a Redis client, checked and with their defaults.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type { ConnectionOptions } from "node:tls"
import type { RedisClientOptions } from "redis"
import { InvalidOption } from "../../../internal/InvalidOption.ts"
import { checkOptions, type OptionCheck, ports } from "../../../internal/Options.ts"
import type * as PoolOptions from "../../../Pool/PoolOptions.ts"
import * as Endpoint from "../../../Resource/Endpoint.ts"
import type { Password } from "../Password.ts"
import { decodedPart } from "../UrlText.ts"

/**
 * How a connection is opened. These options win over the parts of `url`.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface DialOptions<E = never, R = never> {
  /** TLS, with the options of `node:tls`. The name of the certificate is that of the host. @default false, or true with `rediss:` */
  readonly tls?: boolean | ConnectionOptions | undefined
  /** User of the ACL. @default the server's `default` */
  readonly username?: string | undefined
  /** Password, or an Effect that is run for each connection. @default none */
  readonly password?: Password<E, R> | undefined
  /** Number of the database; a whole number of at least 0. @default 0 */
  readonly database?: number | undefined
  /** Name of the connections in `CLIENT LIST`, without spaces. @default none */
  readonly clientName?: string | undefined
  /** What else node-redis takes: `RESP`, `keyPrefix`, `commandOptions`, `readonly`, ... @default none */
  readonly clientOptions?: ClientOptions | undefined
}

/**
 * Options of node-redis that are not named otherwise here. Those with which it opens, repeats or checks connections are ours.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export type ClientOptions = Omit<
  RedisClientOptions,
  | "url"
  | "socket"
  | "username"
  | "password"
  | "credentialsProvider"
  | "name"
  | "database"
  | "disableOfflineQueue"
  | "pingInterval"
  | "maintNotifications"
  | "modules"
  | "functions"
  | "scripts"
>

type FromPool =
  | "connectTimeout"
  | "acquireTimeout"
  | "idleTimeout"
  | "maxLifetime"
  | "lifetimeJitter"
  | "closeTimeout"
  | "leftBehindTimeout"
  | "maxWaiters"
  | "name"
  | "checkAfterIdle"
  | "keepalive"
  | "leakThreshold"
  | "maxLease"
  | "retry"
  | "maxRedialDelay"
  | "whenUnavailable"
  | "drainTimeout"

/**
 * Options of a Redis client. Everything has a default. Those of the pool mean what they mean in `ConnectionPool.Options`.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Options<E = never, R = never>
  extends DialOptions<E, R>, Pick<PoolOptions.Options<never, never, never, never>, FromPool>
{
  /** `redis://user:password@host:port/database`, or `rediss:` for TLS. @default none */
  readonly url?: string | Redacted.Redacted | undefined
  /** @default "localhost" */
  readonly host?: string | undefined
  /** @default 6379 */
  readonly port?: number | undefined
  /** Path of a Unix socket, in the place of host and port. @default none */
  readonly path?: string | undefined
  /**
   * How long a command on the shared connection may wait for its answer; above 0, `"Infinity"` for ever. Blocking commands and those of
   * a reserved connection have no such limit. @default 30 seconds
   */
  readonly commandTimeout?: Duration.Input | undefined
  /**
   * Most connections with one user each: those of `reserve`, of blocking commands and of transactions. The shared connection and
   * that of the subscriptions are not included. A whole number of at least 1. @default 10
   */
  readonly maxConnections?: number | undefined
  /** Reserved connections that are kept open while idle; a whole number from 0 to `maxConnections`. @default 0 */
  readonly minConnections?: number | undefined
}

/** How each connection is opened. */
export interface Dial<E, R> {
  readonly tls: ConnectionOptions | undefined
  readonly username: string | undefined
  readonly password: Password<E, R> | undefined
  readonly database: number
  readonly clientName: string | undefined
  readonly clientOptions: ClientOptions
}

/** Where commands go, and how long each step of them may take. */
export interface Limits {
  readonly endpoint: Endpoint.Endpoint
  readonly commandTimeout: Duration.Duration
  readonly checkAfterIdle: Duration.Duration
  readonly connectTimeout: Duration.Duration
  readonly keepalive: Duration.Duration
}

/** The options with their defaults. */
export interface Settings<E, R> extends Limits {
  readonly dial: Dial<E, R>
  readonly maxConnections: number
  readonly minConnections: number
  readonly pool: Pick<Options, FromPool>
}

const module = "Redis"

const textOf = (url: string | Redacted.Redacted): string => Redacted.isRedacted(url) ? Redacted.value(url) : url

/** A URL that is a value of the program, or has come from its environment. One that cannot be read may be a password, so it is not shown. */
const parseUrl = (url: string): { readonly endpoint: Endpoint.Endpoint; readonly url: URL } => {
  const endpoint = Endpoint.fromUrlResult(url)
  const parsed = URL.parse(url)
  if (Result.isFailure(endpoint) || parsed === null || !/^rediss?:$/.test(parsed.protocol)) {
    const value = Result.isFailure(endpoint) ? "<redacted>" : `${parsed?.protocol}//...`
    throw new InvalidOption({
      module,
      option: "url",
      value,
      rule: "be a URL such as redis://localhost:6379/0 or rediss://localhost"
    })
  }
  return { endpoint: endpoint.success, url: parsed }
}

/** The login in a URL. */
const loginOf = (url: URL | undefined) => ({
  username: url?.username ? decodedPart(url.username) : undefined,
  password: url?.password ? decodedPart(url.password) : undefined,
  database: url === undefined || url.pathname.length < 2 ? 0 : Number(url.pathname.slice(1))
})

const endpointOf = (options: Options, fromUrl: Endpoint.Endpoint | undefined): Endpoint.Endpoint => {
  const { host, path, port } = options
  if (port !== undefined) checkOptions(module).whole("port", port, ports)
  try {
    if (path !== undefined) return Endpoint.unix(path)
    if (host === undefined && port === undefined && fromUrl !== undefined) return fromUrl
    const base = fromUrl !== undefined && fromUrl._tag === "TcpEndpoint" ? fromUrl : { host: "localhost", port: 6379 }
    return Endpoint.tcp(host ?? base.host, port ?? base.port)
  } catch (error) {
    if (!(error instanceof Endpoint.EndpointError)) throw error
    const option = path === undefined ? "host" : "path"
    throw new InvalidOption({ module, option, value: path ?? host, rule: `be ${error.rule}` })
  }
}

const clientNameOf = (check: OptionCheck, name: string | undefined): string | undefined => {
  const rule = "be printable, without spaces, as the server wants it"
  check.require(name === undefined || /^[!-~]+$/.test(name), "clientName", name, rule)
  return name
}

/** How connections are opened: by the options, and otherwise by `url`. */
export const dialOf = <E, R>(options: DialOptions<E, R>, url?: URL): Dial<E, R> => {
  const check = checkOptions(module)
  const login = loginOf(url)
  const tls = options.tls ?? url?.protocol === "rediss:"
  return {
    tls: tls === true ? {} : tls === false ? undefined : tls,
    username: options.username ?? login.username,
    password: options.password ?? login.password,
    database: check.whole("database", options.database ?? login.database, { min: 0 }),
    clientName: clientNameOf(check, options.clientName),
    clientOptions: options.clientOptions ?? {}
  }
}

const fromPool: ReadonlyArray<FromPool> = [
  "connectTimeout",
  "acquireTimeout",
  "idleTimeout",
  "maxLifetime",
  "lifetimeJitter",
  "closeTimeout",
  "leftBehindTimeout",
  "maxWaiters",
  "name",
  "checkAfterIdle",
  "keepalive",
  "leakThreshold",
  "maxLease",
  "retry",
  "maxRedialDelay",
  "whenUnavailable",
  "drainTimeout"
]

const poolOptionsOf = (options: Options): Pick<Options, FromPool> =>
  Object.fromEntries(fromPool.map((name) => [name, options[name]]))

/** Fills in the defaults; throws `InvalidOption` on an invalid value. */
export const settingsOf = <E, R>(options: Options<E, R>): Settings<E, R> => {
  const check = checkOptions(module)
  const parsed = options.url === undefined ? undefined : parseUrl(textOf(options.url))
  const maxConnections = check.whole("maxConnections", options.maxConnections ?? 10, { min: 1 })
  const minConnections = check.whole("minConnections", options.minConnections ?? 0, { min: 0 })
  const rule = `be at most maxConnections, which is ${maxConnections}`
  check.require(minConnections <= maxConnections, "minConnections", minConnections, rule)
  const bound = { min: 0, exclusive: true, infinite: true }
  return {
    endpoint: endpointOf(options as Options, parsed?.endpoint),
    dial: dialOf(options, parsed?.url),
    commandTimeout: check.duration("commandTimeout", options.commandTimeout ?? "30 seconds", bound),
    checkAfterIdle: check.duration("checkAfterIdle", options.checkAfterIdle ?? "500 millis", {
      min: 0,
      infinite: true
    }),
    connectTimeout: check.duration("connectTimeout", options.connectTimeout ?? "10 seconds", {
      min: 0,
      exclusive: true
    }),
    keepalive: check.duration("keepalive", options.keepalive ?? Infinity, bound),
    maxConnections,
    minConnections,
    pool: poolOptionsOf(options as Options)
  }
}
