/**
 * What must be true of a pool's core in each state of a `World`: caps, counts, order, leases, and that no borrower waits without a
 * reason.
 */
import { Exit, type Pool } from "effect"
import type { Item } from "../../../src/Pool/internal/EndpointPool.ts"
import type { Lease, PooledConnection, PoolEndpoint } from "../../../src/Pool/internal/PoolState.ts"
import type { Stats } from "../../../src/Pool/PoolStats.ts"
import { type Event, keys, type World } from "./PoolCoreWorld.ts"

type Endpoint = PoolEndpoint<string, number>

/** What there is of an endpoint. */
interface Counts {
  connecting: number
  kept: number
  open: number
  closing: number
  waiting: number
}

const slotsIn = ({ closing, connecting, kept, open }: Counts): number => closing + connecting + kept + open

/** What the world knows of dials, connections and borrowers. */
interface Facts {
  readonly counts: ReadonlyMap<string, Counts>
  readonly total: number
  readonly closing: number
  readonly holding: ReadonlySet<Lease<string, number>>
}

const factsOf = ({ borrowers, connections, dials }: World): Facts => {
  const counts = new Map(keys.map((key) => [key, { connecting: 0, kept: 0, open: 0, closing: 0, waiting: 0 }]))
  const holding = new Set<Lease<string, number>>()
  const count = (key: string, what: keyof Counts) => {
    const own = counts.get(key)
    if (own !== undefined) own[what]++
  }
  for (const { pending, state } of dials.values()) {
    count(pending.endpoint.key, state === "Left behind" ? "kept" : "connecting")
  }
  for (const { key, state } of connections.values()) {
    if (state !== "Left behind") count(key, state === "Open" ? "open" : "closing")
  }
  for (const { lease } of borrowers) {
    if (lease?.isWaiting === true) count(lease.owner.key, "waiting")
    if (lease?.connection !== undefined) holding.add(lease)
  }
  let total = 0
  let closing = 0
  for (const own of counts.values()) {
    total += slotsIn(own)
    closing += own.closing
  }
  return { counts, total, closing, holding }
}

const countsIn = ({ counts }: Facts, key: string): Counts => {
  const own = counts.get(key)
  if (own === undefined) throw new Error(`there are no counts of ${key}`)
  return own
}

/** Caps bound what is opened. What was open when they were lowered may stay. */
const capFault = (world: World, facts: Facts, before: Facts): string | undefined => {
  const { maxPerEndpoint, maxTotal } = world.caps
  if (facts.total > Math.max(maxTotal, before.total)) return `${facts.total} slots of ${maxTotal}`
  for (const key of keys) {
    const [own, ownBefore] = [slotsIn(countsIn(facts, key)), slotsIn(countsIn(before, key))]
    if (own > Math.max(maxPerEndpoint, ownBefore)) return `${own} slots of ${maxPerEndpoint} for one endpoint`
  }
  return undefined
}

/** Each slot is counted from its dial until the socket is gone, and is freed once. */
const countFault = (world: World, facts: Facts): string | undefined => {
  for (const key of keys) {
    const counts = countsIn(facts, key)
    const endpoint = world.endpoints.find((each) => each.key === key)
    const {
      closing = 0,
      connecting = 0,
      connections: { length: open } = [],
      kept = 0,
      queue: { size: waiting } = { size: 0 }
    } = endpoint ?? {}
    if (
      open !== counts.open || connecting !== counts.connecting || closing !== counts.closing || kept !== counts.kept ||
      waiting !== counts.waiting
    ) {
      const expected = [counts.open, counts.connecting, counts.closing, counts.kept, counts.waiting].join()
      const found = [open, connecting, closing, kept, waiting].join()
      return `open, connecting, closing, left behind, waiting: ${expected} in the world, ${found} in the core`
    }
  }
  return undefined
}

/** `stats` says what there is. */
export const statsFault = (world: World): string | undefined => {
  const facts = factsOf(world)
  const stats = world.core.stats()
  for (const key of keys) {
    const { closing, connecting, kept, open, waiting } = countsIn(facts, key)
    const own = stats.endpoints.get(key)
    const found = own === undefined
      ? "0,0,0,0"
      : [own.active + own.idle, own.connecting, own.closing, own.waiting].join()
    const expected = [open, connecting, closing + kept, waiting].join()
    if (expected !== found) return `open, connecting, closing, waiting: ${expected} in the world, ${found} in stats`
  }
  if (stats.total !== facts.total) return `${facts.total} slots in the world, ${stats.total} in stats`
  return reasonFault(world, stats) ?? refusalFault(world, stats)
}

/** Each borrow that fails is counted once. One that is interrupted before it has got its error is counted too. */
const refusalFault = ({ refused, told }: World, { refusals }: Stats): string | undefined => {
  const sum = Object.values(refusals).reduce((all, count) => all + count, 0)
  return sum === told && sum >= refused
    ? undefined
    : `${refused} borrowers have got an error, ${told} for observers, ${sum} in stats`
}

/** Each connection that is closed has one reason, in `stats` and for observers. */
const reasonFault = ({ closedBy, closes }: World, stats: Stats): string | undefined => {
  const told = JSON.stringify(closedBy)
  const counted = JSON.stringify(stats.closedBy)
  if (told !== counted) return `closed by ${told} for observers, by ${counted} in stats`
  const sum = Object.values(stats.closedBy).reduce((all, count) => all + count, 0)
  return sum === stats.closed && sum === closes
    ? undefined
    : `${closes} were closed, ${stats.closed} in stats, ${sum} for a reason`
}

/** Borrowers of an endpoint are served in the order in which they came. */
const orderFault = ({ borrowers }: World, facts: Facts, before: Facts): string | undefined => {
  for (const served of facts.holding) {
    if (before.holding.has(served)) continue
    const isOvertaken = borrowers.some(({ lease }) =>
      lease?.isWaiting === true && lease.owner === served.owner && lease.arrival < served.arrival
    )
    if (isOvertaken) return "a borrower is served before one that came earlier"
  }
  return undefined
}

/** Each lease has a connection of its own endpoint, with no more borrowers than may share it. */
const leaseFault = (world: World): string | undefined => {
  for (const { connections, key } of world.endpoints) {
    for (const { leases, value } of connections) {
      if (world.connections.get(value)?.key !== key) return "a connection is kept for another endpoint"
      if (leases.length > world.settings.concurrency) return "a connection has too many borrowers"
    }
  }
  for (const { lease } of world.borrowers) {
    if (lease === undefined) continue
    const { connection, isWaiting, owner } = lease
    if (isWaiting && connection !== undefined) return "a borrower waits although it has a connection"
    if (connection !== undefined && !connection.leases.includes(lease)) return "a connection does not know its borrower"
    if (connection !== undefined && connection.owner !== owner) return "a borrower has a connection of another endpoint"
  }
  return undefined
}

/** No borrower waits while it could be served, or while a dial for it could begin. */
const idleFault = (world: World, facts: Facts): string | undefined => {
  if (world.suspended !== "No" || world.isDraining) return undefined
  for (const endpoint of world.endpoints) {
    const fault = waitFault(world, facts, endpoint)
    if (fault !== undefined) return fault
  }
  return undefined
}

const waitFault = (world: World, facts: Facts, endpoint: Endpoint): string | undefined => {
  const { caps: { maxPerEndpoint, maxTotal }, endpoints, now, settings: { concurrency } } = world
  const counts = countsIn(facts, endpoint.key)
  const { connecting, waiting } = counts
  if (waiting === 0) return undefined
  if (endpoint.idle > 0) return "a borrower waits beside an idle connection"
  const isServed = connecting + endpoint.proving > 0 && concurrency > 1
  const mayDial = waiting > connecting && !isServed && connecting < endpoint.dialState.maxConcurrentDials &&
    now >= endpoint.dialAt && slotsIn(counts) < maxPerEndpoint
  if (mayDial && facts.total < maxTotal) return "a borrower waits although it may dial"
  const hasVictim = endpoints.some((other) => other !== endpoint && other.idle > 0)
  return mayDial && facts.closing === 0 && hasVictim
    ? "a borrower waits although an idle connection may be evicted for it"
    : undefined
}

/** How many leases of its Pool a connection takes. */
const takenOf = (world: World, { leases, value }: PooledConnection<string, number>): number =>
  Math.max(leases.length, world.connections.get(value)?.probe === undefined ? 0 : 1)

type OurItem = Item<Lease<string, number>, PooledConnection<string, number>>

/** Whether the Pool has it in use: it is leased, or its room is kept away. */
const isUsed = ({ exit, refCount }: Pool.PoolItem<OurItem, never>): boolean =>
  refCount > 0 || Exit.isSuccess(exit) && exit.value.reservation !== undefined

/** The Pool of an endpoint counts what the core counts, and has the idle connections available. */
const poolFault = (world: World): string | undefined => {
  for (const endpoint of world.endpoints) {
    const { connecting, connections, idle, pool } = endpoint
    const count = connecting + connections.length
    if (pool === undefined) {
      if (count > 0) return "an endpoint has no Pool"
      continue
    }
    const { items, waiters } = pool.pool.state
    let used = 0
    for (const item of items) if (isUsed(item)) used++
    if (items.size - used !== idle || used !== count - idle || waiters.size > 0) {
      return `idle, used, pending: ${items.size - used},${used},${waiters.size} in the endpoint's Pool, ` +
        `${idle},${count - idle},0 in the core`
    }
    for (const connection of connections) {
      const { slot: { item } } = connection
      if (item.connection !== connection || item.leases !== takenOf(world, connection)) {
        return "the endpoint's Pool has not leased what the core has"
      }
    }
  }
  return undefined
}

/** What the last step has left. A world that was brought to a state without looking has none. */
const lastFacts = new WeakMap<World, Facts>()

/** Runs one event; the result says what it has shown to be wrong. */
export const step = (world: World, event: Event): string | undefined => {
  const before = lastFacts.get(world) ?? factsOf(world)
  try {
    world.do(event)
  } catch (error) {
    return `it has thrown: ${String(error)}`
  }
  const facts = factsOf(world)
  lastFacts.set(world, facts)
  return world.faults[0] ?? capFault(world, facts, before) ?? countFault(world, facts) ?? leaseFault(world) ??
    orderFault(world, facts, before) ?? idleFault(world, facts) ?? poolFault(world)
}
