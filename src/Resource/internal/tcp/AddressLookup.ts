/**
 * Which addresses an endpoint has, in the order in which they are to be tried.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Dns from "node:dns"
import * as Net from "node:net"
import type { Endpoint, TcpEndpoint } from "../../Endpoint.ts"
import { dialFailed, type TcpConnectionError } from "../../TcpConnectionError.ts"

/** One place to dial: what Node's `createConnection` takes. */
export type Target = { readonly path: string } | { readonly host: string; readonly port: number }

/** Node's resolver is loaded with the first name that is looked up. */
const loadDns = () => process.getBuiltinModule("node:dns")

/**
 * The families take turns, from that of the first address on, and within a family the resolver's order stays (RFC 8305,
 * section 4): a family that leads nowhere costs one address before the other is tried.
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

/** What a look-up has found: all addresses as it was asked, or only one. */
const addressesOf = (found: unknown, family: number | undefined): ReadonlyArray<Dns.LookupAddress> => {
  if (typeof found === "string") return [{ address: found, family: family ?? Net.isIP(found) }]
  return Array.isArray(found) ? found : []
}

/** The addresses of a name. A look-up cannot be called off: an interruption only forgets its result. */
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
        // One that is not Node's may call back with `undefined` for no error, and a throw from here would end the process.
        if (error) return fail(error)
        const addresses = addressesOf(found, family)
        return addresses.length === 0 ? fail(noAddress(host)) : resume(Effect.succeed(addresses))
      })
    } catch (error) {
      fail(error)
    }
  })

/** Where to dial for an endpoint, the best first. It fails with what the look-up failed with. */
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
