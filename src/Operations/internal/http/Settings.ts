/**
 * The options of the routes and of the server, checked and with their defaults.
 *
 * @since 0.1.0
 */
import * as Redacted from "effect/Redacted"
import { isIP } from "node:net"
import { checkOptions, type OptionCheck } from "../../../internal/Options.ts"

/**
 * The options of the probes.
 *
 * @category models
 * @since 0.1.0
 * @stability experimental
 */
export interface ProbeOptions {
  /** A path before those of the routes, such as `/operations`; without a slash at its end. @default none */
  readonly prefix?: `/${string}` | undefined
  /** The names of the pools that count for readiness. Other pools may be down without an effect on it. @default none */
  readonly required?: ReadonlyArray<string> | undefined
}

/**
 * What needs the token: the control endpoints alone, or `/pools.json` too, or `/metrics` as well. Probes never need it, nor does the
 * page, which has no figures of its own.
 *
 * @category models
 * @since 0.1.0
 * @stability experimental
 */
export type Protect = "control" | "details" | "all"

/**
 * The options of all routes.
 *
 * @category models
 * @since 0.1.0
 * @stability experimental
 */
export interface RouteOptions extends ProbeOptions {
  /**
   * The token of an operator, of at least 16 printable characters of ASCII without spaces. A request sends it in
   * `Authorization: Bearer`. Without it, what needs the token answers 403.
   * @default none
   */
  readonly token?: Redacted.Redacted<string> | undefined
  /**
   * The names of hosts under which the routes are reached, without ports. Requests with another `Host` are refused, which
   * prevents DNS rebinding. Addresses and `localhost` are always accepted.
   * @default none
   */
  readonly hosts?: ReadonlyArray<string> | undefined
  /** What needs the token. @default "details" */
  readonly protect?: Protect | undefined
}

/**
 * The options of the server.
 *
 * @category models
 * @since 0.1.0
 * @stability experimental
 */
export interface ServerOptions extends Omit<RouteOptions, "protect"> {
  /** From 0 to 65535; 0 takes any free port. @default 9464 */
  readonly port?: number | undefined
  /** The address or name to listen on. @default "127.0.0.1" */
  readonly host?: string | undefined
  /** What needs the token. @default "control" if `host` is a loopback address, or else "details" */
  readonly protect?: Protect | undefined
}

/** The checked options of the probes. */
export interface ProbeSettings {
  readonly prefix: `/${string}` | undefined
  readonly required: ReadonlyArray<string>
}

/** The checked options of all routes. */
export interface RouteSettings extends ProbeSettings {
  readonly token: string | undefined
  /** In lower case. */
  readonly hosts: ReadonlyArray<string>
  readonly protect: Protect
}

/** The checked options of the server. */
export interface ServerSettings extends RouteSettings {
  readonly port: number
  readonly host: string
}

const leastToken = 16

const textsOf = ({ require }: OptionCheck, option: string, texts: ReadonlyArray<string> | undefined) => {
  // A caller without types may give a single text.
  require(texts === undefined || Array.isArray(texts), option, texts, "be an array of texts")
  return texts ?? []
}

const hostsOf = (check: OptionCheck, hosts: ReadonlyArray<string> | undefined): ReadonlyArray<string> =>
  textsOf(check, "hosts", hosts).map((host) => {
    check.require(
      /^[a-z0-9._-]+$/i.test(host),
      "hosts",
      host,
      "be the name of a host, without a scheme, a port or a path"
    )
    return host.toLowerCase()
  })

const tokenOf = (check: OptionCheck, token: Redacted.Redacted<string> | undefined): string | undefined => {
  check.redacted("token", token)
  if (token === undefined) return undefined
  const text = Redacted.value(token)
  const rule = `have at least ${leastToken} printable characters of ASCII, without spaces`
  check.require(text.length >= leastToken && /^[!-~]+$/.test(text), "token", token, rule)
  return text
}

/** The checked options of the probes. It throws `InvalidOption`. */
export const probeSettings = (options: ProbeOptions): ProbeSettings => {
  const check = checkOptions("OperationsHttp")
  const { prefix } = options
  const rule = "begin with a slash and not end with one, such as /operations"
  check.require(prefix === undefined || /^(?:\/[\w.~-]+)+$/.test(prefix), "prefix", prefix, rule)
  return { prefix, required: textsOf(check, "required", options.required) }
}

/** The checked options of the routes. It throws `InvalidOption`. */
export const routeSettings = (options: RouteOptions): RouteSettings => {
  const check = checkOptions("OperationsHttp")
  const protect = options.protect ?? "details"
  const levels: ReadonlyArray<string> = ["control", "details", "all"]
  check.require(levels.includes(protect), "protect", protect, `be one of ${levels.join(", ")}`)
  return {
    ...probeSettings(options),
    token: tokenOf(check, options.token),
    hosts: hostsOf(check, options.hosts),
    protect
  }
}

/** Whether only programs of this machine reach a server that listens there. */
export const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."))

/** The checked options of the server. It throws `InvalidOption`. */
export const serverSettings = (options: ServerOptions): ServerSettings => {
  const check = checkOptions("OperationsHttp")
  const host = options.host ?? "127.0.0.1"
  check.require(typeof host === "string" && host !== "", "host", host, "be an address or a name")
  return {
    ...routeSettings({ ...options, protect: options.protect ?? (isLoopback(host) ? "control" : "details") }),
    port: check.whole("port", options.port ?? 9464, { min: 0, max: 65_535 }),
    host
  }
}
