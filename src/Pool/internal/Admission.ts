/**
 * Who may open a connection: both caps, the turns of endpoints and the limit of waiting borrowers, as pure functions.
 *
 * @since 0.1.0
 */
import type { Settings } from "../PoolOptions.ts"
import { type PooledConnection, type PoolEndpoint, slotsOf } from "./PoolState.ts"

/** How many connections so many borrowers need, also when a connection takes any number of them. */
const neededFor = (borrowers: number, concurrency: number): number =>
  borrowers === 0 ? 0 : Math.ceil(borrowers / Math.min(concurrency, borrowers))

/** Borrowers that so many connections have room for. Without any there is none, however many may share one. */
const roomIn = (connections: number, each: number): number => connections === 0 ? 0 : connections * each

/** Borrowers that wait for an endpoint and will not find room on a connection whose check is under way, if that passes. */
const unservedBy = <K, A>({ proving, queue }: PoolEndpoint<K, A>, concurrency: number): number =>
  Math.max(queue.size - roomIn(proving, concurrency - 1), 0)

/**
 * How many more connections an endpoint may dial as far as it alone is concerned: enough for those that no dial is under
 * way for, within its own cap. The pool's cap comes after this, so that a request that its own endpoint cap blocks never
 * costs another endpoint a connection.
 */
export const wantedBy = <K, A>(endpoint: PoolEndpoint<K, A>, settings: Settings, now: number): number => {
  const { connecting, dialAt, dialState, queue } = endpoint
  if (queue.size === 0 || now < dialAt) return 0
  const needed = neededFor(unservedBy(endpoint, settings.concurrency), settings.concurrency) - connecting
  const dials = dialState.maxConcurrentDials - connecting
  return Math.max(0, Math.min(needed, dials, settings.maxPerEndpoint - slotsOf(endpoint)))
}

/** The next moment at which one of these endpoints may be dialed again. No other event wakes the borrowers that wait for it. */
export const nextDialOf = <K, A>(endpoints: Iterable<PoolEndpoint<K, A>>, now: number): number => {
  let next = Infinity
  for (const { dialAt } of endpoints) if (dialAt > now) next = Math.min(next, dialAt)
  return next
}

/** Whether what is being opened for an endpoint is still wanted: by a borrower, or for its minimum. */
export const isStillWanted = <K, A>(endpoint: PoolEndpoint<K, A>, { minPerEndpoint }: Settings): boolean =>
  endpoint.queue.size > 0 || endpoint.connecting + endpoint.connections.length <= minPerEndpoint

/** Whether a connection may be opened towards an endpoint's minimum: no borrower needs the slot, and no backoff is on. */
export const lacksMinimum = <K, A>(
  endpoint: PoolEndpoint<K, A>,
  { maxPerEndpoint, minPerEndpoint }: Settings,
  now: number
): boolean =>
  slotsOf(endpoint) - endpoint.kept < minPerEndpoint && slotsOf(endpoint) < maxPerEndpoint &&
  endpoint.connecting === 0 &&
  endpoint.queue.size === 0 && now >= endpoint.dialAt

/**
 * An endpoint that is behind by one slot gets one when its first borrower has waited for so long, from a connection that
 * was there for as long, in ms. A crowd always waits long, so that the wait alone would turn slots round all the time.
 */
const longWait = 5000

/**
 * Whether a slot is better in another endpoint's hands: that one has none at all, or is two behind. A slot that would
 * only turn the difference round stays for a while, because changing hands costs a connection.
 */
export const needsMore = (
  own: { readonly slots: number; readonly age: number },
  other: { readonly slots: number; readonly hasWaited: number }
): boolean =>
  other.slots === 0 || own.slots - other.slots >= 2 ||
  (own.slots > other.slots && Math.min(own.age, other.hasWaited) >= longWait)

/**
 * Whether, in a full pool, a connection that comes back is closed for another endpoint that needs its slot more, before its
 * own endpoint's next borrower. It is kept for as long as it took to open, so that changing hands never costs more than
 * half of the time.
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

/** Slots of a pool: those that are taken, and how many of them by connections that are closing, and by idle ones. */
export interface PoolSlots {
  readonly slots: number
  readonly closing: number
  readonly idleCount: number
}

/** Whether the cap of the pool leaves room for one more connection. */
export const hasFreeSlot = ({ slots }: Pick<PoolSlots, "slots">, { maxTotal }: Settings): boolean => slots < maxTotal

/**
 * Whether no endpoint can have a slot: every one is taken by a connection that is being opened or leased, or that closes for a borrower
 * who has claimed its slot, and none of these has room for another borrower. So many that close are not claimed.
 */
export const isExhausted = (pool: PoolSlots, settings: Settings, unclaimed: number): boolean =>
  !hasFreeSlot(pool, settings) && unclaimed === 0 && pool.idleCount === 0 && settings.concurrency === 1

/**
 * There are more connections than the caps allow, as after a cap was lowered. Those that are closing do not count, nor do so many
 * others of this endpoint, and of the pool, whose slots will be free.
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
 * Most borrowers that may wait for an endpoint. Borrowers that a pending dial, check, close or eviction or
 * a free slot will serve are not counted.
 */
export const mostWaiting = <K, A>(endpoint: PoolEndpoint<K, A>, pool: PoolSlots, settings: Settings): number => {
  const { concurrency, maxPerEndpoint, maxTotal, maxWaiters } = settings
  if (maxWaiters === Infinity) return Infinity
  const evictable = pool.idleCount > endpoint.idle ? 1 : 0
  const ofEndpoint = maxPerEndpoint - (slotsOf(endpoint) - endpoint.closing)
  const ofPool = maxTotal - (pool.slots - pool.closing) + evictable
  const free = Math.max(Math.min(ofEndpoint, ofPool), 0)
  // An own connection without a borrower that is not leased at once is being checked.
  const checked = endpoint.connections.filter(({ state }) => state === "Idle").length
  return maxWaiters + roomIn(endpoint.connecting + checked + free, concurrency) +
    roomIn(endpoint.proving, concurrency - 1)
}
