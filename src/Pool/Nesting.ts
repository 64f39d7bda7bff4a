/**
 * Borrows inside borrows, which can wait for themselves.
 *
 * @since 0.1.0
 */
import * as Explaining from "./Explaining.ts"
import type { Inventory } from "./Inventory.ts"
import type { Environment } from "./PoolEnvironment.ts"
import type { PoolError } from "./PoolError.ts"
import type { KeyPool, Lease, PooledConnection } from "./PoolState.ts"
import type { HeldSlots } from "./SlotHolders.ts"

const buckets = 256

/**
 * Tells at once of nearly every fiber that it holds nothing. Each fiber falls into one of a few buckets, in which its leases
 * are counted; where there are none, nobody needs to look.
 */
class Holders {
  readonly #leases = new Int32Array(buckets)

  add(fiberId: number): void {
    this.#change(fiberId, 1)
  }

  remove(fiberId: number): void {
    this.#change(fiberId, -1)
  }

  /** `false` means that the fiber holds nothing; `true`, that it has to be looked for. */
  mayHold(fiberId: number): boolean {
    return this.#leases[fiberId % buckets] !== 0
  }

  #change(fiberId: number, by: number): void {
    const bucket = fiberId % buckets
    this.#leases[bucket] = (this.#leases[bucket] ?? 0) + by
  }
}

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
const heldBy = <K, A>({ fiberId, owner }: Lease<K, A>, connections: Iterable<PooledConnection<K, A>>): Held => {
  let held = nothing
  // Every borrow that waits comes through here, and nearly none of them holds anything.
  for (const connection of connections) {
    const own = countOf(connection.leases, fiberId)
    if (own === 0) continue
    const alone = own === connection.leases.length ? 1 : 0
    held = {
      some: true,
      ofEndpoint: held.ofEndpoint + (connection.owner === owner ? alone : 0),
      ofPool: held.ofPool + alone
    }
  }
  return held
}

const withSlots = (held: Held, slots: HeldSlots | undefined): Held =>
  slots === undefined ? held : {
    some: true,
    ofEndpoint: held.ofEndpoint + slots.ofEndpoint,
    ofPool: held.ofPool + slots.ofPool
  }

const nothing: Held = { some: false, ofEndpoint: 0, ofPool: 0 }

const countOf = <K, A>(leases: ReadonlyArray<Lease<K, A>>, fiberId: number): number => {
  let count = 0
  for (let index = 0; index < leases.length; index++) if (leases[index]?.fiberId === fiberId) count++
  return count
}

/**
 * What a nested borrow that has to wait can expect. `Never`: every connection that it could get is held by its own fiber,
 * which waits for it. `Perhaps`: others hold some; if all of them do the same, all wait for ever.
 */
const prospectOf = (
  held: Held,
  caps: { readonly maxPerEndpoint: number; readonly maxTotal: number }
): "Free" | "Perhaps" | "Never" =>
  !held.some
    ? "Free"
    : held.ofEndpoint >= caps.maxPerEndpoint || held.ofPool >= caps.maxTotal
    ? "Never"
    : "Perhaps"

/** Whether no connection of an endpoint is within reach, and no further dial begins before one of those under way has ended. */
const isStuck = <K, A>({ connecting, connections, establishment }: KeyPool<K, A>, { ofEndpoint }: Held): boolean =>
  connecting >= establishment.width && connecting + connections.length <= ofEndpoint

/** Finds the borrows of a pool that wait for themselves. */
export class Nesting<K, A> {
  readonly #env: Environment<K, A>
  readonly #inventory: Inventory<K, A>
  readonly #holders = new Holders()

  constructor(env: Environment<K, A>, inventory: Inventory<K, A>) {
    this.#env = env
    this.#inventory = inventory
  }

  lent({ fiberId }: Lease<K, A>): void {
    this.#holders.add(fiberId)
  }

  returned({ fiberId }: Lease<K, A>): void {
    this.#holders.remove(fiberId)
  }

  /** Tells a borrower that would wait for what it holds itself; warns if it merely may. */
  refusal(lease: Lease<K, A>): PoolError | undefined {
    const { settings, slotHolders, warnNested } = this.#env
    const outOfReach = slotHolders.outOfReach(lease)
    if (outOfReach === undefined && !this.#holders.mayHold(lease.fiberId)) return undefined
    const held = withSlots(heldBy(lease, this.#inventory.around(lease.owner)), outOfReach)
    const prospect = isStuck(lease.owner, held) ? "Never" : prospectOf(held, settings)
    if (prospect === "Perhaps") warnNested(lease)
    return prospect === "Never" ? Explaining.nestedAcquire(lease.owner, held, settings) : undefined
  }
}
