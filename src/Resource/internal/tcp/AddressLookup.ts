/**
 * Finds the addresses of an endpoint, in the order in which they are tried.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Dns from "node:dns"
import * as Net from "node:net"
import type { Endpoint, TcpEndpoint } from "../../Endpoint.ts"
import { dialFailed, type TcpConnectionError } from "../../TcpConnectionError.ts"

/** One address: what Node's `createConnection` takes. */
export type Target = { readonly path: string } | { readonly host: string; readonly port: number }

/** Node's resolver is loaded when the first name is looked up. */
const loadDns = () => process.getBuiltinModule("node:dns")

/**
 * Alternates IPv4 and IPv6, starting with the family of the first address, and keeps the resolver's order within a family (RFC
 * 8305, section 4). So if one family is unreachable, the other one is tried after one address.
 */
export const interleaved = <A extends { readonly family: number }>(addresses: ReadonlyArray<A>): ReadonlyArray<A> => {
  const first = addresses.filter(({ family }) => family === addresses[0]?.family)
  const others = addresses.filter(({ family }) => family !== addresses[0]?.family)
  return first.flatMap((address, index) => [address, ...others.slice(index, index + 1)]).concat(
    others.slice(first.length)
  )
}

const noAddress = (host: string): Error =>
  Object.assign(new Error(`${host} has no address`), { code: "ENOTFOUND", hostname: host })

/** The addresses in the result of a look-up, which may also be a single address instead of the requested list. */
const addressesOf = (found: unknown, family: number | undefined): ReadonlyArray<Dns.LookupAddress> => {
  if (typeof found === "string") return [{ address: found, family: family ?? Net.isIP(found) }]
  return Array.isArray(found) ? found : []
}

/** The addresses of a name. A look-up cannot be cancelled: an interruption only ignores its result. */
const lookedUp = (
  endpoint: TcpEndpoint,
  lookup: Net.LookupFunction | undefined
): Effect.Effect<ReadonlyArray<Dns.LookupAddress>, TcpConnectionError> =>
  Effect.callback((resume) => {
    const { host } = endpoint
    const fail = (cause: unknown) => resume(Effect.fail(dialFailed(endpoint, cause)))
    const dns = loadDns()
    const ask: Net.LookupFunction = lookup ?? dns.lookup
    try {
      ask(host, { all: true, hints: dns.ADDRCONFIG }, (error, found, family) => {
        // A custom look-up may call back with `undefined` for no error, and a throw here would end the process.
        if (error) return fail(error)
        const addresses = addressesOf(found, family)
        return addresses.length === 0 ? fail(noAddress(host)) : resume(Effect.succeed(addresses))
      })
    } catch (error) {
      fail(error)
    }
  })

/** The addresses of an endpoint, the best first. Fails with the error of the look-up. */
export const targetsOf = (
  endpoint: Endpoint,
  lookup: Net.LookupFunction | undefined
): Effect.Effect<ReadonlyArray<Target>, TcpConnectionError> => {
  if (endpoint._tag === "UnixEndpoint") return Effect.succeed([{ path: endpoint.path }])
  const { host, port } = endpoint
  if (Net.isIP(host) !== 0) return Effect.succeed([{ host, port }])
  return Effect.map(
    lookedUp(endpoint, lookup),
    (addresses) => interleaved(addresses).map(({ address }) => ({ host: address, port }))
  )
}
