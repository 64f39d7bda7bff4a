/**
 * Where a request goes: its origin, and the server name of TLS where that is another one.
 *
 * @since 0.1.0
 */
import type * as Undici from "@effect/platform-node/Undici"

/** Origins that `URL` would return unchanged, so that they need not be parsed. */
const canonical = /^https?:\/\/[a-z0-9-]+(?:\.[a-z0-9-]+)*(?::(?!80$|443$)[1-9]\d*)?$/

/** The origin of the last request. Most requests have the origin of the one before. */
let latest = ""

const originOf = (origin: unknown): string => {
  if (typeof origin === "string" && (origin === latest || canonical.test(origin))) return latest = origin
  const url = URL.parse(String(origin))
  if (url?.protocol === "http:" || url?.protocol === "https:") return url.origin
  throw new TypeError("a request needs an origin that begins with http: or https:")
}

/** The host of a header `host`, which undici takes for the server name of TLS. */
const hostHeader = (headers: Undici.Dispatcher.DispatchOptions["headers"]): string | undefined => {
  if (typeof headers !== "object" || headers === null || !("host" in headers)) return undefined
  return typeof headers.host === "string" ? headers.host.replace(/:\d+$/, "") : undefined
}

/** The parts of a key of the pool. */
export interface Target {
  readonly url: URL
  /** `undefined` if it is the host of the URL. */
  readonly servername: string | undefined
}

/** The key of the pool for a request, and its options with one server name for all requests of that key. */
export const keyed = (
  options: Undici.Dispatcher.DispatchOptions
): readonly [key: string, options: Undici.Dispatcher.DispatchOptions] => {
  const origin = originOf(options.origin)
  if (!origin.startsWith("https:")) return [origin, options]
  const given = "servername" in options && typeof options.servername === "string" ? options.servername : undefined
  const { hostname } = new URL(origin)
  const servername = given ?? hostHeader(options.headers) ?? hostname
  const named: Undici.Dispatcher.DispatchOptions & { readonly servername: string } = { ...options, servername }
  return [servername === hostname ? origin : `${origin}#${servername}`, named]
}

/** The parts of a key. */
export const targetOf = (key: string): Target => {
  const url = new URL(key)
  const servername = url.hash === "" ? undefined : url.hash.slice(1)
  url.hash = ""
  return { url, servername }
}
