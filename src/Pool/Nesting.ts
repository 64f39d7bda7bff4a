/**
 * Borrows inside borrows, which can wait for themselves.
 *
 * @since 0.1.0
 */
import type { Lease, PooledConnection } from "./PoolState.ts"

/** Connections that the fiber of a borrower holds already. */
export interface Held {
  /** It holds a connection of the pool, alone or with others. */
  readonly some: boolean
  /** Connections of the endpoint that it asks for, which nobody else holds. */
  readonly ofEndpoint: number
  /** Connections of the pool that nobody else holds. */
  readonly ofPool: number
}

/**
 * Counts, among these connections, those that the borrower's own fiber holds. A fiber that waits gives nothing back, so
 * what it holds is out of reach for it. Nothing is known of other fibers: one that it has forked may be waited for or not.
 */
export const heldBy = <K, A>({ fiber, owner }: Lease<K, A>, connections: Iterable<PooledConnection<K, A>>): Held => {
  let some = false
  let [ofEndpoint, ofPool] = [0, 0]
  for (const connection of connections) {
    const { leases } = connection
    if (!leases.some((held) => held.fiber === fiber)) continue
    some = true
    if (!leases.every((held) => held.fiber === fiber)) continue
    ofPool++
    if (connection.owner === owner) ofEndpoint++
  }
  return { some, ofEndpoint, ofPool }
}

/**
 * What a nested borrow that has to wait can expect. `Never`: every connection that it could get is held by its own fiber,
 * which waits for it. `Perhaps`: others hold some; if all of them do the same, all wait for ever.
 */
export const prospectOf = (
  held: Held,
  caps: { readonly maxPerEndpoint: number; readonly maxTotal: number }
): "Free" | "Perhaps" | "Never" =>
  !held.some
    ? "Free"
    : held.ofEndpoint >= caps.maxPerEndpoint || held.ofPool >= caps.maxTotal
    ? "Never"
    : "Perhaps"
