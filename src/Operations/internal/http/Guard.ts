/**
 * Decides which requests are answered: those to a host of ours, from no foreign page, and with the token where it is needed.
 *
 * @since 0.1.0
 */
import { createHash, timingSafeEqual } from "node:crypto"
import { isIP } from "node:net"
import type { RouteSettings } from "./Settings.ts"

/** What a request has to say for itself. */
export interface Credentials {
  readonly host: string | undefined
  readonly origin: string | undefined
  readonly authorization: string | undefined
}

/** Why a request is refused. */
export interface Refusal {
  readonly status: 401 | 403 | 421
  readonly error: "ForeignHost" | "ForeignOrigin" | "ControlOff" | "TokenMissing" | "TokenWrong"
  readonly message: string
}

const refusals = {
  foreignHost: {
    status: 421,
    error: "ForeignHost",
    message: "this host is not one of ours: name it in the option hosts of OperationsHttp"
  },
  foreignOrigin: { status: 403, error: "ForeignOrigin", message: "a page of another origin may not ask for this" },
  off: {
    status: 403,
    error: "ControlOff",
    message: "this is off, because no token is configured: set the option token of OperationsHttp"
  },
  tokenMissing: { status: 401, error: "TokenMissing", message: "send the token as Bearer in the header Authorization" },
  tokenWrong: { status: 401, error: "TokenWrong", message: "this is not the token" }
} as const satisfies Record<string, Refusal>

const hash = (text: string): Buffer => createHash("sha256").update(text).digest()

/** The name in a `Host` header, in lower case and without its port. */
const nameIn = (host: string): string | undefined =>
  /^(\[[0-9a-f:.]+\]|[^:@/\\\s]+)(?::\d{1,5})?$/i.exec(host)?.[1]?.toLowerCase()

const isAddress = (name: string): boolean => isIP(name.startsWith("[") ? name.slice(1, -1) : name) !== 0

/** The host of an `Origin` header, with its port. */
const originHost = (origin: string): string | undefined => /^https?:\/\/([^/\s]+)$/i.exec(origin)?.[1]?.toLowerCase()

/** The decision for each request. The token is compared by its hash in constant time. */
export const makeGuard = ({ hosts, token }: Pick<RouteSettings, "hosts" | "token">) => {
  const expected = token === undefined ? undefined : hash(token)

  const isOurs = (host: string | undefined): boolean => {
    const name = host === undefined ? undefined : nameIn(host)
    return name !== undefined && (name === "localhost" || isAddress(name) || hosts.includes(name))
  }

  // A proxy may have changed `Host`. The origin of the page is then one of the configured hosts.
  const isForeign = (origin: string, host: string | undefined): boolean => {
    const of = originHost(origin)
    return of === undefined || of !== host?.toLowerCase() && !hosts.includes(nameIn(of) ?? "")
  }

  const refusedToken = (authorization: string | undefined): Refusal | undefined => {
    if (expected === undefined) return refusals.off
    const given = /^Bearer +(\S+) *$/i.exec(authorization ?? "")?.[1]
    if (given === undefined) return refusals.tokenMissing
    return timingSafeEqual(hash(given), expected) ? undefined : refusals.tokenWrong
  }

  /** Why the request is refused, or `undefined` if it is not. */
  return ({ authorization, host, origin }: Credentials, needsToken: boolean): Refusal | undefined => {
    if (!isOurs(host)) return refusals.foreignHost
    if (origin !== undefined && isForeign(origin, host)) return refusals.foreignOrigin
    return needsToken ? refusedToken(authorization) : undefined
  }
}

/** The decision for each request. */
export type Guard = ReturnType<typeof makeGuard>
