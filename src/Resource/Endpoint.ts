/**
 * The address of a server: a TCP address or the path of a Unix socket.
 *
 * Endpoints are compared by value, so they can be keys of a pool. The text of an endpoint can be parsed again.
 *
 * @since 0.1.0
 * @stability stable
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Host from "effect/net/Host"
import * as Result from "effect/Result"
import { safeMessage } from "../internal/SafeText.ts"
import { TaggedError } from "../internal/TaggedError.ts"

/**
 * A TCP address. `host` is a domain name (in lower case, without a dot at the end), an IPv4 address, or an IPv6 address without
 * brackets, each in its canonical form. `port` is from 1 to 65535.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export class TcpEndpoint extends Data.TaggedClass("TcpEndpoint")<{
  readonly host: string
  readonly port: number
}> {
  /** `host:port`, with an IPv6 address in brackets. */
  override toString(): string {
    return this.host.includes(":") ? `[${this.host}]:${this.port}` : `${this.host}:${this.port}`
  }
}

/**
 * The path of a Unix socket, at most 107 bytes long.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export class UnixEndpoint extends Data.TaggedClass("UnixEndpoint")<{
  readonly path: string
}> {
  /** `unix:path`. */
  override toString(): string {
    return `unix:${this.path}`
  }
}

/**
 * The address that a connection is opened to.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export type Endpoint = TcpEndpoint | UnixEndpoint

/**
 * The text, host, port or path is not that of an endpoint.
 *
 * @category errors
 * @since 0.1.0
 * @stability stable
 */
export class EndpointError extends TaggedError("EndpointError")<{
  /** The text as it was given. */
  readonly input: string
  /** Index in `input` of the first error, counted from 0. */
  readonly position: number
  /** The rule that it breaks, as the rest of the sentence "expected ...". */
  readonly rule: string
}> {
  override get message(): string {
    return safeMessage(
      `invalid endpoint ${JSON.stringify(this.input)} at position ${this.position}: expected ${this.rule}`
    )
  }
}

type Parsed<A> = Result.Result<A, EndpointError>

const refuse = (input: string, position: number, rule: string): Parsed<never> =>
  Result.fail(new EndpointError({ input, position, rule }))

// The kernel's address structure holds 108 bytes, one of which ends the string.
const maxPathBytes = 107

const portRule = "a port, a whole number from 1 to 65535"

const parsePort = (input: string, start: number): Parsed<number> => {
  const text = input.slice(start)
  if (text === "") return refuse(input, start, portRule)
  const stray = text.search(/[^0-9]/)
  if (stray >= 0) return refuse(input, start + stray, portRule)
  const port = Number(text)
  return port >= 1 && port <= 65535 ? Result.succeed(port) : refuse(input, start, portRule)
}

const urlScheme = /^[a-z][a-z0-9+.-]*:\/\//i

const hostRule = "a domain name, an IPv4 address, or an IPv6 address in brackets"

const parseHost = (input: string, host: string, start: number): Parsed<string> => {
  if (urlScheme.test(host)) return refuse(input, start, `${hostRule}, but that is a URL`)
  const parsed = Host.hostFromString(host)
  if (Result.isSuccess(parsed)) {
    // With a dot at the end it is the same host, and TLS does not allow that dot in a server name.
    const name = Host.formatHost(parsed.success).replace(/\.$/, "")
    return name === "" ? refuse(input, start, `${hostRule}, which the root of all names is not`) : Result.succeed(name)
  }
  const stray = host.search(/[^A-Za-z0-9._:%-]/)
  return refuse(input, start + Math.max(stray, 0), `${hostRule} (${parsed.failure.message})`)
}

const parsePath = (input: string, start: number): Parsed<Endpoint> => {
  const path = input.slice(start)
  if (path === "") return refuse(input, start, "the path of a Unix socket")
  const nul = path.indexOf("\0")
  if (nul >= 0) return refuse(input, start + nul, "a path without NUL characters")
  const bytes = new TextEncoder().encode(path).length
  return bytes > maxPathBytes
    ? refuse(input, start, `a path of at most ${maxPathBytes} bytes, not ${bytes}`)
    : Result.succeed(new UnixEndpoint({ path }))
}

const tcpFrom = (input: string, host: string, hostStart: number, portStart: number): Parsed<Endpoint> =>
  Result.flatMap(
    parseHost(input, host, hostStart),
    (host) => Result.map(parsePort(input, portStart), (port) => new TcpEndpoint({ host, port }))
  )

const parseBracketed = (input: string): Parsed<Endpoint> => {
  const end = input.indexOf("]")
  if (end < 0) return refuse(input, input.length, "a closing bracket after the IPv6 address")
  const host = input.slice(1, end)
  if (!host.includes(":")) return refuse(input, 1, "an IPv6 address between the brackets")
  return input[end + 1] === ":"
    ? tcpFrom(input, host, 1, end + 2)
    : refuse(input, end + 1, "a colon and a port after the bracket")
}

const forms = "host:port, [ipv6]:port, unix:path or /path"

/**
 * Parses the text of an endpoint without an Effect.
 *
 * @see {@link parse} for the forms that it takes
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const parseResult = (input: string): Result.Result<Endpoint, EndpointError> => {
  if (input === "") return refuse(input, 0, forms)
  if (urlScheme.test(input)) return refuse(input, 0, `${forms}, but that is a URL`)
  if (input.startsWith("unix:")) return parsePath(input, "unix:".length)
  if (input.startsWith("/") || input.startsWith("./")) return parsePath(input, 0)
  if (input.startsWith("[")) return parseBracketed(input)
  const colon = input.indexOf(":")
  if (colon < 0) return refuse(input, input.length, "a colon and a port after the host")
  if (input.indexOf(":", colon + 1) >= 0) {
    return refuse(input, colon, "an IPv6 address in brackets, such as [::1]:6379, or a single colon before the port")
  }
  return tcpFrom(input, input.slice(0, colon), 0, colon + 1)
}

/**
 * Parses the text of an endpoint: `host:port`, `[ipv6]:port`, `unix:path`, or a path that starts with `/` or `./`.
 *
 * **Details**
 *
 * Hosts are converted to their canonical form, so that `LOCALHOST:80`, `localhost.:80` and `localhost:80` are the same
 * endpoint. It fails with `EndpointError`, which has the text, the position and the rule.
 *
 * **Gotchas**
 *
 * A dot at the end is removed. So the resolver applies its rules for short names (`search` and `ndots` in resolv.conf).
 *
 * **Example** (Parsing endpoints)
 *
 * ```ts
 * import { Effect } from "effect"
 * import * as Endpoint from "effect-sluice/Endpoint"
 *
 * const texts = ["LOCALHOST:9500", "[0:0:0:0:0:0:0:1]:6379", "/var/run/db.sock"]
 * const program = Effect.forEach(texts, (text) => Effect.map(Endpoint.parse(text), String))
 *
 * await Effect.runPromise(program) // => ["localhost:9500", "[::1]:6379", "unix:/var/run/db.sock"]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const parse = (input: string): Effect.Effect<Endpoint, EndpointError> => Effect.fromResult(parseResult(input))

/** The schemes of URLs, each with its default port. */
const defaultPorts: ReadonlyMap<string, number> = new Map([
  ["postgres:", 5432],
  ["postgresql:", 5432],
  ["redis:", 6379],
  ["rediss:", 6379],
  ["mysql:", 3306],
  ["http:", 80],
  ["https:", 443]
])

const urlRule = "a URL whose scheme is postgres, postgresql, redis, rediss, mysql, http or https"

/**
 * The scheme, host and port of a URL, for an error. A password that was not encoded may contain a slash or a question mark, so
 * everything up to the last `@` is dropped. A port that is not a number may be a password.
 */
const withoutSecrets = (url: string): string => {
  const scheme = urlScheme.exec(url)?.[0] ?? ""
  const rest = url.slice(scheme.length)
  const authority = rest.slice(rest.lastIndexOf("@") + 1).replace(/[/?#\\].*$/s, "")
  return scheme + authority.replace(/:(?![0-9]+$|[^\]]*\]).*$/s, "")
}

/**
 * For PostgreSQL's drivers, a host that is a path is the directory of the server's socket, whose file name contains the port.
 */
const postgresSocket = (shown: string, directory: string, port: number): Parsed<Endpoint> => {
  const path = `${directory}/.s.PGSQL.${port}`
  return Result.mapError(parsePath(path, 0), ({ rule }) => new EndpointError({ input: shown, position: 0, rule }))
}

const decoded = (host: string): string => {
  try {
    return decodeURIComponent(host)
  } catch {
    return host
  }
}

/**
 * The host and port of a URL. As in libpq, the query of a PostgreSQL URL may contain them too, and then replaces the others.
 */
const addressOf = (url: URL, isPostgres: boolean) => {
  const query = (name: string) => isPostgres ? url.searchParams.get(name) ?? undefined : undefined
  const host = query("host") ?? decoded(url.hostname.replace(/^\[(.*)\]$/, "$1"))
  return { host: host === "" ? "localhost" : host, port: query("port") ?? url.port }
}

/**
 * Parses a URL to an endpoint without an Effect.
 *
 * @see {@link fromUrl} for the schemes that it takes
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const fromUrlResult = (url: string | URL): Result.Result<Endpoint, EndpointError> => {
  const shown = withoutSecrets(String(url))
  const parsed = URL.parse(String(url))
  const defaultPort = defaultPorts.get(parsed?.protocol ?? "")
  if (parsed === null || defaultPort === undefined) return refuse(shown, 0, urlRule)
  const isPostgres = parsed.protocol.startsWith("postgres")
  const { host, port } = addressOf(parsed, isPostgres)
  const start = urlScheme.exec(shown)?.[0].length ?? 0
  const valid = port === "" ? Result.succeed(defaultPort) : Result.mapError(
    parsePort(port, 0),
    () => new EndpointError({ input: shown, position: shown.length, rule: portRule })
  )
  return Result.flatMap(valid, (port) =>
    isPostgres && host.startsWith("/")
      ? postgresSocket(shown, host, port)
      : Result.map(parseHost(shown, host, start), (host) => new TcpEndpoint({ host, port })))
}

/**
 * Returns the endpoint of a URL: `postgres:` or `postgresql:` (port 5432 if the URL has none), `redis:` or `rediss:` (6379),
 * `mysql:` (3306), `http:` (80) or `https:` (443).
 *
 * **Details**
 *
 * - The user, the password, the path and the query are not kept. The error, an `EndpointError`, contains only the scheme, host and port.
 * - If a URL has no host, the host is `localhost`, as with the drivers.
 * - In a PostgreSQL URL, the query parameters `host` and `port` replace those before the path. A host that begins with `/` is the directory
 *   of a Unix socket with the path `directory/.s.PGSQL.port`.
 *
 * **Gotchas**
 *
 * An endpoint does not contain whether TLS is used. For that, the caller has to check the scheme of the URL, such as `rediss:`
 * and `https:`.
 *
 * **Example** (Endpoints of URLs)
 *
 * ```ts
 * import { Effect } from "effect"
 * import * as Endpoint from "effect-sluice/Endpoint"
 *
 * const urls = ["postgres://app:secret@db/orders", "redis://[::1]", "postgres:///orders?host=/run/postgresql"]
 * const program = Effect.forEach(urls, (url) => Effect.map(Endpoint.fromUrl(url), String))
 *
 * await Effect.runPromise(program) // => ["db:5432", "[::1]:6379", "unix:/run/postgresql/.s.PGSQL.5432"]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const fromUrl = (url: string | URL): Effect.Effect<Endpoint, EndpointError> =>
  Effect.suspend(() => Effect.fromResult(fromUrlResult(url)))

/**
 * Makes a TCP endpoint. `host` is a domain name or an IP address without brackets, `port` is 1 to 65535.
 *
 * **Gotchas**
 *
 * It throws `EndpointError` on invalid values. Use it for values in the program itself, and {@link parse} for text that comes
 * from outside.
 *
 * **Example** (Two endpoints that are one key)
 *
 * ```ts
 * import { Equal } from "effect"
 * import * as Endpoint from "effect-sluice/Endpoint"
 *
 * Equal.equals(Endpoint.tcp("LocalHost", 9500), Endpoint.tcp("localhost", 9500)) // => true
 * ```
 *
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const tcp = (host: string, port: number): TcpEndpoint => {
  const text = host.includes(":") ? `[${host}]:` : `${host}:`
  const parsed = parseHost(text + port, host, host.includes(":") ? 1 : 0)
  const valid = Result.flatMap(
    parsed,
    (host) =>
      Number.isInteger(port) && port >= 1 && port <= 65535
        ? Result.succeed(new TcpEndpoint({ host, port }))
        : refuse(text + port, text.length, portRule)
  )
  return Result.getOrThrow(valid)
}

/**
 * Makes the endpoint of a Unix socket at `path`, which has 1 to 107 bytes.
 *
 * **Gotchas**
 *
 * It throws `EndpointError` if the path is empty, has a NUL character, or is too long for the kernel.
 *
 * @category constructors
 * @since 0.1.0
 * @stability stable
 */
export const unix = (path: string): UnixEndpoint => {
  Result.getOrThrow(parsePath(path, 0))
  return new UnixEndpoint({ path })
}

/**
 * Whether a value is an endpoint.
 *
 * @category guards
 * @since 0.1.0
 * @stability stable
 */
export const isEndpoint = (value: unknown): value is Endpoint =>
  value instanceof TcpEndpoint || value instanceof UnixEndpoint
