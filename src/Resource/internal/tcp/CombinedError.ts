/**
 * What the failures of several addresses say together.
 *
 * @since 0.1.0
 */

/** The lower, the more it tells: lack of room on this host, then an answer of the host, then what was not reachable. */
const ranks: ReadonlyMap<string, number> = new Map([
  ["EMFILE", 0],
  ["ENFILE", 0],
  ["ENOBUFS", 0],
  ["ENOMEM", 0],
  ["ECONNREFUSED", 1],
  ["ECONNRESET", 1],
  ["ETIMEDOUT", 2],
  // A host without IPv6 says these of each of its addresses, whatever the peer would have said.
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
 * One error for all: the only one itself, or an `AggregateError` as Node has it, with the most telling first and with its
 * code.
 */
export const causeOf = (failures: ReadonlyArray<unknown>): unknown => {
  const sorted = [...failures].sort((one, other) => rankOf(one) - rankOf(other))
  const [first] = sorted
  if (first === undefined) return new Error("the socket was closed before it was connected")
  if (sorted.length === 1) return first
  const code = first instanceof Error && "code" in first ? { code: first.code } : {}
  return Object.assign(new AggregateError(sorted), code)
}
