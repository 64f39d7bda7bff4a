/**
 * Who may open a connection: the caps and their order, as a pure function.
 *
 * @since 0.1.0
 */

/** What an endpoint has and wants, and what the pool has. */
export interface Situation {
  /** Borrowers that wait for the endpoint. */
  readonly waiting: number
  /** Connections that are being opened for it. */
  readonly connecting: number
  /** Its slots: connecting, idle, lent and closing connections. */
  readonly slots: number
  readonly maxPerEndpoint: number
  /** Most dials of the endpoint at once. */
  readonly maxConnecting: number
}

/**
 * How many more connections the endpoint may dial as far as it alone is concerned: one for each borrower that no dial is
 * under way for, within its own cap. The pool's cap comes after this, so that a request that its own endpoint cap blocks
 * never costs another endpoint a connection.
 */
export const wanted = (situation: Situation): number =>
  Math.max(
    0,
    Math.min(
      situation.waiting - situation.connecting,
      situation.maxConnecting - situation.connecting,
      situation.maxPerEndpoint - situation.slots
    )
  )

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
  readonly slots: number
  readonly maxTotal: number
  readonly closingUnclaimed: number
  readonly hasVictim: boolean
}): Admission =>
  pool.slots < pool.maxTotal
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
