/**
 * Borrows inside borrows, which can wait for themselves.
 *
 * @since 0.1.0
 */
import type * as Fiber from "effect/Fiber"
import type { Lease, PooledConnection } from "./PoolState.ts"

type AnyFiber = Fiber.Fiber<unknown, unknown>

/**
 * The fiber that forked this one and waits for it. Effect keeps it for supervision and does not publish it, hence the
 * cast; without it a nested borrow is found only in the fiber that holds the outer one.
 */
const parentOf = (fiber: AnyFiber): AnyFiber | undefined =>
  (fiber as { readonly _parent?: AnyFiber | undefined })._parent

const lineageOf = (fiber: AnyFiber): ReadonlySet<AnyFiber> => {
  const lineage = new Set<AnyFiber>()
  for (let next: AnyFiber | undefined = fiber; next !== undefined && !lineage.has(next); next = parentOf(next)) {
    lineage.add(next)
  }
  return lineage
}

/** Connections that a borrower's own lineage holds, which is the borrower and whoever waits for it. */
export interface Held {
  /** It holds a connection of the pool, alone or with others. */
  readonly some: boolean
  /** Connections of the endpoint that it asks for, which nobody else holds. */
  readonly ofEndpoint: number
  /** Connections of the pool that nobody else holds. */
  readonly ofPool: number
}

/** Counts, among these connections, those that a borrower's own lineage holds. */
export const heldBy = <K, A>(lease: Lease<K, A>, connections: Iterable<PooledConnection<K, A>>): Held => {
  let lineage: ReadonlySet<AnyFiber> | undefined
  let some = false
  let [ofEndpoint, ofPool] = [0, 0]
  for (const { leases, owner } of connections) {
    if (leases.length === 0) continue
    const own = lineage ??= lineageOf(lease.fiber)
    if (!leases.some((held) => own.has(held.fiber))) continue
    some = true
    if (!leases.every((held) => own.has(held.fiber))) continue
    ofPool++
    if (owner === lease.owner) ofEndpoint++
  }
  return { some, ofEndpoint, ofPool }
}

/**
 * What a nested borrow that has to wait can expect. `Never`: every connection that it could get is held by its own
 * lineage, which waits for it. `Perhaps`: others hold some; if all of them do the same, all wait for ever.
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
