/**
 * The address of a PostgreSQL server, from the options of its client.
 *
 * @since 0.1.0
 */
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Endpoint from "../../../Resource/Endpoint.ts"
import { decodedPart } from "../UrlText.ts"

/** The options of `PgClient` that say where the server is. */
export interface AddressOptions {
  readonly url?: Redacted.Redacted | undefined
  readonly host?: string | undefined
  readonly port?: number | undefined
  readonly path?: string | undefined
}

/** The parts of a URL, without the address and the password. */
export interface UrlParts {
  readonly database: string | undefined
  readonly username: string | undefined
  /** In seconds; 0 is for no limit. */
  readonly connectTimeout: number | undefined
  readonly applicationName: string | undefined
}

const nonEmpty = (text: string | null): string | undefined => text === null || text === "" ? undefined : text

const urlOf = ({ url }: AddressOptions): URL | undefined =>
  url === undefined ? undefined : URL.parse(Redacted.value(url)) ?? undefined

/** Whether the URL, if there is one, is that of a PostgreSQL server. */
export const isPostgresUrl = (options: AddressOptions): boolean =>
  options.url === undefined || /^postgres(ql)?:$/.test(urlOf(options)?.protocol ?? "")

/** Reads a URL as libpq does: the parameters of its query win over its other parts. `PgConnection` reads the password by itself. */
export const partsOf = (options: AddressOptions): UrlParts => {
  const url = urlOf(options)
  const query = (name: string) => nonEmpty(url?.searchParams.get(name) ?? null)
  const timeout = query("connect_timeout")
  return {
    database: query("dbname") ?? nonEmpty(decodedPart(url?.pathname.slice(1) ?? "")),
    username: query("user") ?? nonEmpty(decodedPart(url?.username ?? "")),
    connectTimeout: timeout === undefined ? undefined : Number(timeout),
    applicationName: query("application_name")
  }
}

/** The endpoint of a host's name or IPv4 address. `undefined` for anything else, and where it is invalid. */
const plainEndpointOf = ({ host = "localhost", port = 5432 }: AddressOptions): Endpoint.Endpoint | undefined => {
  // As the text of an endpoint, a host with the name `unix` would be the path of a socket.
  if (host === "unix" || !/^[a-z0-9.-]+$/i.test(host)) return undefined
  const parsed = Endpoint.parseResult(`${host}:${port}`)
  return Result.isSuccess(parsed) ? parsed.success : undefined
}

/** The endpoint of a server. Options win over the URL. A host that begins with `/` is the folder of a Unix socket. */
export const endpointOf = (options: AddressOptions): Result.Result<Endpoint.Endpoint, Endpoint.EndpointError> => {
  if (options.path !== undefined) return Endpoint.parseResult(`unix:${options.path}`)
  const plain = options.url === undefined ? plainEndpointOf(options) : undefined
  if (plain !== undefined) return Result.succeed(plain)
  const url = options.url === undefined ? new URL("postgres://localhost") : urlOf(options)
  if (options.host !== undefined) url?.searchParams.set("host", options.host)
  if (options.port !== undefined) url?.searchParams.set("port", String(options.port))
  return Endpoint.fromUrlResult(url ?? "")
}
