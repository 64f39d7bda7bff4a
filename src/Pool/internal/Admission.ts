/**
 * Who may open a connection: both caps, the turns of endpoints and the limit of waiting borrowers, as pure functions. `Dispatch`
 * and `Dials` call these functions and act on the results.
 *
 * @since 0.1.0
 */
import type { Settings } from "../PoolOptions.ts"
import { type PooledConnection, type PoolEndpoint, slotsOf } from "./PoolState.ts"

/** How many connections a number of borrowers needs. `concurrency` may be `Infinity`. */
const neededFor = (borrowers: number, concurrency: number): number =>
  borrowers === 0 ? 0 : Math.ceil(borrowers / Math.min(concurrency, borrowers))

/** How many borrowers a number of connections has room for. It is 0 without connections, also if `each` is `Infinity`. */
const roomIn = (connections: number, each: number): number => connections === 0 ? 0 : connections * each

/** How many waiting borrowers of an endpoint stay without room if all checks that are under way pass. */
const unservedBy = <K, A>({ proving, queue }: PoolEndpoint<K, A>, concurrency: number): number =>
  Math.max(queue.size - roomIn(proving, concurrency - 1), 0)

/**
 * How many more dials an endpoint may start by its own state: enough for the borrowers that no dial is under way for, within the
 * endpoint's cap. The pool's cap is checked after this, so that a borrower that its endpoint's cap blocks never costs another
 * endpoint a connection.
 */
export const wantedBy = <K, A>(endpoint: PoolEndpoint<K, A>, settings: Settings, now: number): number => {
  const { connecting, dialAt, dialState, queue } = endpoint
  if (queue.size === 0 || now < dialAt) return 0
  const needed = neededFor(unservedBy(endpoint, settings.concurrency), settings.concurrency) - connecting
  const dials = dialState.maxConcurrentDials - connecting
  return Math.max(0, Math.min(needed, dials, settings.maxPerEndpoint - slotsOf(endpoint)))
}

/** The next moment at which one of these endpoints may be dialed again. No other event serves its waiting borrowers then. */
export const nextDialOf = <K, A>(endpoints: Iterable<PoolEndpoint<K, A>>, now: number): number => {
  let next = Infinity
  for (const { dialAt } of endpoints) if (dialAt > now) next = Math.min(next, dialAt)
  return next
}

/** Whether the connections that are being opened for an endpoint are still wanted: by a borrower, or for the endpoint's minimum. */
export const isStillWanted = <K, A>(endpoint: PoolEndpoint<K, A>, { minPerEndpoint }: Settings): boolean =>
  endpoint.queue.size > 0 || endpoint.connecting + endpoint.connections.length <= minPerEndpoint

/**
 * Whether a connection may be opened for an endpoint's minimum: no borrower of it waits, and no dial of it is under way or delayed.
 */
export const lacksMinimum = <K, A>(
  endpoint: PoolEndpoint<K, A>,
  { maxPerEndpoint, minPerEndpoint }: Settings,
  now: number
): boolean =>
  slotsOf(endpoint) - endpoint.kept < minPerEndpoint && slotsOf(endpoint) < maxPerEndpoint &&
  endpoint.connecting === 0 &&
  endpoint.queue.size === 0 && now >= endpoint.dialAt

/**
 * The wait, in milliseconds, after which an endpoint with one slot less than another gets a slot of the other. The connection in
 * that slot must be as old. A crowd always waits long, so the wait alone would move slots back and forth all the time.
 */
const longWait = 5000

/**
 * Whether another endpoint needs a slot more than its own endpoint: the other has no slot, or at least two less. A difference of
 * one slot would only be reversed by a move, and a move costs a connection, so such a slot stays for {@link longWait}.
 */
export const needsMore = (
  own: { readonly slots: number; readonly age: number },
  other: { readonly slots: number; readonly hasWaited: number }
): boolean =>
  other.slots === 0 || own.slots - other.slots >= 2 ||
  (own.slots > other.slots && Math.min(own.age, other.hasWaited) >= longWait)

/**
 * Whether, in a full pool, a returned connection is closed, because another endpoint needs its slot more than the next borrower of
 * its own endpoint. A connection is used at least as long as it took to open, so that opening never takes more than half of the
 * time.
 */
export const isOthersTurn = <K, A>(
  { openedAt, openedIn, owner }: PooledConnection<K, A>,
  turns: Iterable<PoolEndpoint<K, A>>,
  settings: Settings,
  now: number
): boolean => {
  const own = { slots: slotsOf(owner), age: now - openedAt }
  if (own.age < openedIn) return false
  for (const endpoint of turns) {
    if (endpoint === owner) continue
    const other = { slots: slotsOf(endpoint), hasWaited: now - (endpoint.queue.first?.waitingSince ?? now) }
    if (needsMore(own, other) && wantedBy(endpoint, settings, now) > 0) return true
  }
  return false
}

/** The slots of a pool: all that are taken, those of closing connections, and those of idle connections. */
export interface PoolSlots {
  readonly slots: number
  readonly closing: number
  readonly idleCount: number
}

/** Whether the cap of the pool leaves room for one more connection. */
export const hasFreeSlot = ({ slots }: Pick<PoolSlots, "slots">, { maxTotal }: Settings): boolean => slots < maxTotal

/**
 * Whether no waiting borrower can be served: each slot is taken by a connection that is being opened, is leased, or is closing for
 * another borrower, and no connection can be shared. `unclaimed` is the number of closing connections whose slots are not yet
 * claimed by a borrower.
 */
export const isExhausted = (pool: PoolSlots, settings: Settings, unclaimed: number): boolean =>
  !hasFreeSlot(pool, settings) && unclaimed === 0 && pool.idleCount === 0 && settings.concurrency === 1

/**
 * Whether there are more connections than the caps allow, as after a cap was lowered. Closing connections do not count. `ending` is
 * the number of further slots of the endpoint and of the pool that do not count, because they will be free.
 */
export const isOverCap = <K, A>(
  endpoint: PoolEndpoint<K, A>,
  { closing, slots }: PoolSlots,
  { maxPerEndpoint, maxTotal }: Settings,
  ending?: { readonly ofEndpoint: number; readonly ofPool: number }
): boolean =>
  slots - closing - (ending?.ofPool ?? 0) > maxTotal ||
  slotsOf(endpoint) - endpoint.closing - (ending?.ofEndpoint ?? 0) > maxPerEndpoint

/**
 * The most borrowers that may wait for an endpoint: `maxWaiters`, and those that will be served by a dial, a check, a close, an
 * eviction or a free slot.
 */
export const mostWaiting = <K, A>(endpoint: PoolEndpoint<K, A>, pool: PoolSlots, settings: Settings): number => {
  const { concurrency, maxPerEndpoint, maxTotal, maxWaiters } = settings
  if (maxWaiters === Infinity) return Infinity
  const evictable = pool.idleCount > endpoint.idle ? 1 : 0
  const ofEndpoint = maxPerEndpoint - (slotsOf(endpoint) - endpoint.closing)
  const ofPool = maxTotal - (pool.slots - pool.closing) + evictable
  const free = Math.max(Math.min(ofEndpoint, ofPool), 0)
  // An idle connection of the endpoint would have been leased at once, unless it is being checked.
  const checked = endpoint.connections.filter(({ state }) => state === "Idle").length
  return maxWaiters + roomIn(endpoint.connecting + checked + free, concurrency) +
    roomIn(endpoint.proving, concurrency - 1)
}
