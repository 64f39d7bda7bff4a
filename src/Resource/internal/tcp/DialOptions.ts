/**
 * The options of a connection, with their defaults and checks.
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
 * @stability stable
 */
export interface Options {
  /** The longest time for look-up, dial and TLS handshake together; above 0. @default 10 seconds */
  readonly connectTimeout?: Duration.Input | undefined
  /**
   * How long a read waits for the next bytes before it fails with `ReadTimeout`; above 0. The answer may still come later, so a
   * pool then closes the connection. @default no limit
   */
  readonly readTimeout?: Duration.Input | undefined
  /**
   * Whether the process may end while the connection is open and idle. Then only a connect, a read, a write or the closing
   * keeps the process alive, and the kernel closes idle connections when it ends. @default false
   */
  readonly allowExitOnIdle?: boolean | undefined
  /**
   * How long to wait for the peer's end of the connection, after ours, before the socket is destroyed; 0 or more.
   * @default the pool's, else 2 seconds
   */
  readonly closeTimeout?: Duration.Input | undefined
  /** Send small writes at once (TCP_NODELAY). @default true */
  readonly noDelay?: boolean | undefined
  /** Idle time after which the kernel probes the peer, at least 1 second, or `false` for no probes. @default 30 seconds */
  readonly keepAlive?: Duration.Input | false | undefined
  /** TLS: `true` for the defaults, or Node's options. The server name is the host, unless that is an address. @default false */
  readonly tls?: boolean | Tls.ConnectionOptions | undefined
  /**
   * Looks up the addresses of a host name. It is called with `all: true` and returns all addresses, the best first. They are
   * tried in this order, but with IPv4 and IPv6 in turns. The next address is tried after 250 milliseconds, or as soon as the
   * one before has failed. @default Node's `dns.lookup`
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
   * How often the name of an endpoint is looked up again while connections to it are open; above 0, or `false` for never. If
   * the last two look-ups did not return the address of a connection, and a dial to another address has succeeded, that
   * connection is not leased again. @default 30 seconds
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
