/**
 * How a connection is dialled and closed, as users write it.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import type * as Net from "node:net"
import type * as Tls from "node:tls"
import { aboveZero, checkOptions } from "../../../internal/Options.ts"
import type { DialSettings } from "./Dial.ts"
import { ResolvedNames } from "./ResolvedNames.ts"

/**
 * How to open and close a connection.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Bound on name look-up, dial and TLS handshake together; above 0. @default 10 seconds */
  readonly connectTimeout?: Duration.Input | undefined
  /**
   * How long a read waits for the next bytes before it fails with `ReadTimeout`; above 0. What was asked for may still come,
   * so a pool closes the connection then. @default no limit
   */
  readonly readTimeout?: Duration.Input | undefined
  /**
   * Whether the process may end while the connection is open and idle: only a connect, a read, a write and the closing keep it
   * alive then. The kernel closes what is left open. @default false
   */
  readonly allowExitOnIdle?: boolean | undefined
  /** How long the peer's end is awaited after ours before the socket is destroyed; 0 or more. @default the pool's, else 2 seconds */
  readonly closeTimeout?: Duration.Input | undefined
  /** Send small writes at once (TCP_NODELAY). @default true */
  readonly noDelay?: boolean | undefined
  /** Idle time after which the kernel probes the peer, at least 1 second, or `false` for no probes. @default 30 seconds */
  readonly keepAlive?: Duration.Input | false | undefined
  /** TLS: `true` for the defaults, or Node's options. The host is the server name unless it is an address. @default false */
  readonly tls?: boolean | Tls.ConnectionOptions | undefined
  /**
   * Looks the addresses of a host name up, asked for all of them (`all: true`), the best first. They are tried in this order,
   * the families in turns, each 250 milliseconds after the one before it or as soon as that has failed, until one is
   * connected or `connectTimeout` is over. @default Node's `dns.lookup`
   */
  readonly lookup?: Net.LookupFunction | undefined
}

/**
 * How to open and close connections that are leased again.
 *
 * @category models
 * @since 0.1.0
 */
export interface ReuseOptions extends Options {
  /**
   * How often the name of an endpoint is looked up again while connections to it are open; above 0, or `false` for never. A connection
   * whose address the name has had in none of the last two look-ups is not leased again, as soon as a dial to one of its present addresses
   * has succeeded. @default 30 seconds
   */
  readonly refreshAddresses?: Duration.Input | false | undefined
}

/** The options with their defaults, for connections that are leased again. Throws `InvalidOption` on invalid ones. */
export const reuseSettingsOf = (options: ReuseOptions): DialSettings => {
  const { lookup, refreshAddresses = "30 seconds" } = options
  if (refreshAddresses === false) return settingsOf(options)
  const interval = checkOptions("TcpConnection").duration("refreshAddresses", refreshAddresses, aboveZero)
  return { ...settingsOf(options), names: new ResolvedNames(Duration.toMillis(interval), lookup) }
}

/** The options with their defaults. Throws `InvalidOption` on invalid ones. */
export const settingsOf = (options: Options): DialSettings => {
  const check = checkOptions("TcpConnection")
  const keepAlive = options.keepAlive ?? "30 seconds"
  return {
    connectTimeout: check.duration("connectTimeout", options.connectTimeout ?? "10 seconds", aboveZero),
    closeTimeout: options.closeTimeout === undefined
      ? undefined
      : check.duration("closeTimeout", options.closeTimeout, { min: 0 }),
    readTimeout: options.readTimeout === undefined
      ? undefined
      : check.duration("readTimeout", options.readTimeout, aboveZero),
    allowExitOnIdle: options.allowExitOnIdle ?? false,
    noDelay: options.noDelay ?? true,
    keepAlive: keepAlive === false ? undefined : check.duration("keepAlive", keepAlive, { min: 1000 }),
    tls: options.tls === true ? {} : options.tls === false ? undefined : options.tls,
    lookup: options.lookup,
    names: undefined
  }
}
