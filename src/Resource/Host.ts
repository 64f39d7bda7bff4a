/**
 * Hosts in their canonical spelling. The rules are those of `effect/net/Host`, which a bundle would hold with all that
 * it knows of addresses and sockets.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"

type Canonical = Result.Result<string, string>

/** What the URL standard makes of a host, in brackets if it is an IPv6 address. */
const hostnameOf = (host: string): string | undefined => {
  const url = `http://${host}`
  return URL.canParse(url) ? new URL(url).hostname : undefined
}

const labelPattern = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/

/** What is wrong with a domain name in lower case, if something is. */
const faultOf = (name: string): string | undefined => {
  if (name === ".") return undefined
  const relative = name.endsWith(".") ? name.slice(0, -1) : name
  if (relative === "") return "domain name must not be empty"
  if (relative.length > 253) return "domain name must be at most 253 characters"
  for (const label of relative.split(".")) {
    if (label === "") return "domain name labels must not be empty"
    if (label.length > 63) return "domain name labels must be at most 63 characters"
    if (!labelPattern.test(label)) {
      return "domain name labels must contain only letters, digits, hyphens, or underscores and must not start or end with a hyphen"
    }
  }
  return /(^|\.)(\d+|0x[0-9a-f]*)$/.test(relative) ? "the last domain name label must not be numeric" : undefined
}

const asciiNameOf = (host: string): string | undefined => {
  if (/^[\w.-]*$/.test(host)) return host.toLowerCase()
  return /^[\w.\u0080-\uffff-]*$/.test(host) ? hostnameOf(host) : undefined
}

const domainName = (host: string): Canonical => {
  const name = asciiNameOf(host)
  if (name === undefined) return Result.fail("invalid domain name")
  const fault = faultOf(name)
  return fault === undefined ? Result.succeed(name) : Result.fail(fault)
}

/** An IPv4 address in the end of an IPv6 address is written as one, which the URL standard does not. */
const withIpv4 = (address: string): string =>
  address.replace(/^::ffff:([0-9a-f]+):([0-9a-f]+)$/, (_, high: string, low: string) => {
    const bytes = [high, low].map((word) => parseInt(word, 16)).flatMap((word) => [word >> 8, word & 255])
    return `::ffff:${bytes.join(".")}`
  })

const ipv6 = (host: string): Canonical => {
  // A URL is rid of tabs and line breaks before it is read.
  const hostname = /^[0-9a-f:.]*$/i.test(host) ? hostnameOf(`[${host}]`) : undefined
  return hostname === undefined
    ? Result.fail("an IPv6 address is eight groups of one to four hexadecimal digits, of which :: may leave out zeros")
    : Result.succeed(withIpv4(hostname.slice(1, -1)))
}

const scopedIpv6 = (host: string, percent: number): Canonical => {
  const zone = host.slice(percent + 1)
  if (zone === "" || /[%[\]/\s\p{Cc}]/u.test(zone)) return Result.fail("invalid IPv6 scope identifier")
  const isNumber = /^\d+$/.test(zone)
  if (isNumber && Number(zone) >= 2 ** 32) {
    return Result.fail("scope identifier must be an unsigned 32-bit integer")
  }
  return Result.map(ipv6(host.slice(0, percent)), (address) => `${address}%${isNumber ? Number(zone) : zone}`)
}

/** A domain name in lower case, an IPv4 address, or an IPv6 address without brackets; or what is wrong with it. */
export const canonical = (host: string): Result.Result<string, string> => {
  const percent = host.indexOf("%")
  if (percent >= 0) return scopedIpv6(host, percent)
  if (host.includes(":")) return ipv6(host)
  // What is written in another way than an IPv4 address should be does not stay as it is.
  return /^\d+(\.\d+){3}$/.test(host) && hostnameOf(host) === host ? Result.succeed(host) : domainName(host)
}
