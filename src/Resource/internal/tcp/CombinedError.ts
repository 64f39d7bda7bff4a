/**
 * Combines the failures of several addresses into one error.
 *
 * @since 0.1.0
 */

/**
 * Ranks of codes; the lowest is the most informative: no resources on this host, then an answer of the peer, then an
 * unreachable network.
 */
const ranks: ReadonlyMap<string, number> = new Map([
  ["EMFILE", 0],
  ["ENFILE", 0],
  ["ENOBUFS", 0],
  ["ENOMEM", 0],
  ["ECONNREFUSED", 1],
  ["ECONNRESET", 1],
  ["ETIMEDOUT", 2],
  // On a host without IPv6, every IPv6 address fails with these codes, also if the peer is up.
  ["EADDRNOTAVAIL", 4],
  ["ENETUNREACH", 4],
  ["EACCES", 5],
  ["EPERM", 5],
  ["EINVAL", 5],
  ["EAFNOSUPPORT", 5]
])

const rankOf = (error: unknown): number =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? ranks.get(error.code) ?? 3 : 6

/**
 * A single failure is returned unchanged. Several are combined in an `AggregateError` in Node's form, with the most informative
 * one first and with its code.
 */
export const combinedError = (failures: ReadonlyArray<unknown>): unknown => {
  const sorted = [...failures].sort((one, other) => rankOf(one) - rankOf(other))
  const [first] = sorted
  if (first === undefined) return new Error("the socket was closed before it was connected")
  if (sorted.length === 1) return first
  const code = first instanceof Error && "code" in first ? { code: first.code } : {}
  return Object.assign(new AggregateError(sorted), code)
}
