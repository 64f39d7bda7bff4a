/**
 * Who may open a connection: the caps and their order, as a pure function.
 *
 * @since 0.1.0
 */

import type { Settings } from "./PoolOptions.ts"
import { type KeyPool, slotsOf } from "./PoolState.ts"

/** Dials of one endpoint at once while it answers; one while it does not. */
const maxConnecting = 2

/**
 * How many more connections an endpoint may dial as far as it alone is concerned: enough for those that no dial is under
 * way for, within its own cap. The pool's cap comes after this, so that a request that its own endpoint cap blocks never
 * costs another endpoint a connection.
 */
export const wantedBy = <K, A>(keyPool: KeyPool<K, A>, settings: Settings): number => {
  const { connecting, failing, queue } = keyPool
  const needed = Math.ceil(queue.size / settings.concurrency) - connecting
  const dials = (failing ? 1 : maxConnecting) - connecting
  return Math.max(0, Math.min(needed, dials, settings.maxPerEndpoint - slotsOf(keyPool)))
}

/** Whether somebody still wants what is being opened for an endpoint: a borrower, or its minimum. */
export const isStillWanted = <K, A>(keyPool: KeyPool<K, A>, { minPerEndpoint }: Settings): boolean =>
  keyPool.queue.size > 0 || slotsOf(keyPool) - keyPool.closing <= minPerEndpoint

/**
 * What becomes of one wanted connection.
 *
 * - `Open`: there is a slot; dial.
 * - `Await`: a connection is closing already, and its slot is for this one.
 * - `Evict`: close one idle connection of another endpoint and wait for its slot.
 * - `Stall`: every slot is in use.
 */
export type Admission = "Open" | "Await" | "Evict" | "Stall"

/** Decides about one wanted connection. `closingUnclaimed` counts closing connections whose slots nobody waits for yet. */
export const admit = (pool: {
  /** Every slot is taken. */
  readonly isFull: boolean
  readonly closingUnclaimed: number
  readonly hasVictim: boolean
}): Admission =>
  !pool.isFull
    ? "Open"
    : pool.closingUnclaimed > 0
    ? "Await"
    : pool.hasVictim
    ? "Evict"
    : "Stall"

/**
 * Whether a slot is better in another endpoint's hands: that one has none at all, or is two behind. A slot that would
 * only turn the difference round stays, because changing hands costs a connection.
 */
export const needsMore = (ownSlots: number, otherSlots: number): boolean =>
  otherSlots === 0 || ownSlots - otherSlots >= 2
