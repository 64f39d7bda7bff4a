/**
 * What this library has open and what it has promised, as plain counters.
 *
 * @since 0.1.0
 */

/**
 * The counters of one monitor.
 *
 * **Details**
 *
 * Totals only grow, and what is there now is a difference of two of them, so that no pair of counters can disagree.
 *
 * @category models
 * @since 0.1.0
 */
export interface Ledger {
  /** Descriptors claimed, and descriptors whose claim has ended, since the start. */
  claimed: number
  settled: number
  /** Openings begun, and openings that have become connections or come to nothing, since the start. */
  begun: number
  ended: number
  /** Requests that the gate admitted, and that it refused, since the start. */
  admitted: number
  refused: number
  /** Connections recorded as open, and as closed, since the start. */
  opened: number
  closed: number
  /** Open connections by label. */
  readonly labels: Map<string, number>
}

/**
 * An empty ledger.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (): Ledger => ({
  claimed: 0,
  settled: 0,
  begun: 0,
  ended: 0,
  admitted: 0,
  refused: 0,
  opened: 0,
  closed: 0,
  labels: new Map()
})

/**
 * Descriptors that are claimed now.
 *
 * @category getters
 * @since 0.1.0
 */
export const reserved = (ledger: Ledger): number => ledger.claimed - ledger.settled

/**
 * Openings that are admitted and have no connection in the ledger yet.
 *
 * @category getters
 * @since 0.1.0
 */
export const opening = (ledger: Ledger): number => ledger.begun - ledger.ended

/**
 * Connections that are open now.
 *
 * @category getters
 * @since 0.1.0
 */
export const open = (ledger: Ledger): number => ledger.opened - ledger.closed

/**
 * Claims descriptors.
 *
 * @category mutations
 * @since 0.1.0
 */
export const claim = (ledger: Ledger, descriptors: number): void => {
  ledger.claimed += descriptors
}

/**
 * Ends the claim of descriptors, because they exist or because they will not. Never more than are claimed.
 *
 * @category mutations
 * @since 0.1.0
 */
export const settle = (ledger: Ledger, descriptors: number): void => {
  ledger.settled += descriptors
}

/**
 * Counts an opening that the ledger has no connection of.
 *
 * @category mutations
 * @since 0.1.0
 */
export const begin = (ledger: Ledger): void => {
  ledger.begun += 1
}

/**
 * Counts the end of such an opening. It is called once for each {@link begin}.
 *
 * @category mutations
 * @since 0.1.0
 */
export const end = (ledger: Ledger): void => {
  ledger.ended += 1
}

/**
 * Records that a connection is open.
 *
 * @category mutations
 * @since 0.1.0
 */
export const recordOpen = (ledger: Ledger, label: string): void => {
  ledger.opened += 1
  ledger.labels.set(label, (ledger.labels.get(label) ?? 0) + 1)
}

/**
 * Records that a connection is closed. It is called once for each {@link recordOpen}.
 *
 * @category mutations
 * @since 0.1.0
 */
export const recordClosed = (ledger: Ledger, label: string): void => {
  ledger.closed += 1
  const left = (ledger.labels.get(label) ?? 0) - 1
  // A label that is gone leaves no entry: endpoints may be many over the life of a process.
  if (left > 0) ledger.labels.set(label, left)
  else ledger.labels.delete(label)
}
