/**
 * The ledger of one monitor: the open connections and the places that requested them, and the reservations of the gate.
 *
 * @since 0.1.0
 */

import { checkOptions } from "../internal/Options.ts"
import { safeLabel, safeText } from "../internal/SafeText.ts"
import type { OpeningSite, Resource } from "./Alert.ts"

/**
 * A connection that is open.
 *
 * @category models
 * @since 0.1.0
 */
export interface Entry {
  readonly label: string
  /** `function (file:line:column)` of the call that asked for it; `undefined` if it was not recorded. */
  readonly site: string | undefined
  /** How many connections this entry stands for in the count of its site. */
  readonly weight: number
}

/**
 * A connection that a pool has leased and that has not been returned.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface HeldLease {
  readonly label: string
  readonly site: string | undefined
}

/**
 * A place in the program and what it has open.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface SiteCount extends OpeningSite {
  /** `function (file:line:column)`. */
  readonly site: string
  /** Open connections that it requested. An estimate if there are more than 2000 in all. */
  readonly open: number
  /** Connections that it has leased from a pool and not returned. */
  readonly leases: number
}

/**
 * The records and counts of one monitor.
 *
 * **Details**
 *
 * Totals only grow. Each present number is the difference of two totals, so that all present numbers agree with each other.
 *
 * @category models
 * @since 0.1.0
 */
export interface Ledger {
  /** Descriptors that were reserved, and those of them whose reservation has ended, since the start. */
  claimed: number
  settled: number
  /** Connections whose opening has begun, and those of them that are open by now or have failed, since the start. */
  begun: number
  ended: number
  /** Requests that the gate admitted, since the start. */
  admitted: number
  /** Requests that the gate refused, by the resource that had no room, since the start. */
  readonly refusals: Record<Resource, number>
  /** Connections recorded as open, and connections recorded as closed, since the start. */
  opened: number
  closed: number
  /** Open connections by label. */
  readonly labels: Map<string, number>
  /** Open connections by the place that requested them. */
  readonly sites: Map<string, number>
  /** Functions that list the leases of one pool each. They are called only for a report, so a lease has no cost here. */
  readonly lenders: Set<(most: number) => Iterable<HeldLease>>
}

/** Up to this number of open connections, each connection is recorded with its place. */
const attributed = 2000

/** Above that number, one connection in this many is recorded with its place, and stands for all of them. */
const sampled = 16

/** How many leases of each pool are counted by place. */
const maxLeases = 1000

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
  refusals: { descriptors: 0, memory: 0, connections: 0 },
  opened: 0,
  closed: 0,
  labels: new Map(),
  sites: new Map(),
  lenders: new Set()
})

/**
 * Descriptors that are reserved now.
 *
 * @category getters
 * @since 0.1.0
 */
export const reserved = (ledger: Ledger): number => ledger.claimed - ledger.settled

/**
 * Connections that are admitted and being opened, and are not in the ledger yet.
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
 * Requests that the gate refused.
 *
 * @category getters
 * @since 0.1.0
 */
export const refused = ({ refusals }: Ledger): number => refusals.descriptors + refusals.memory + refusals.connections

const change = (counts: Map<string, number>, key: string, by: number): void => {
  const left = (counts.get(key) ?? 0) + by
  // A count of 0 leaves no entry: a process may see many endpoints and places in its life.
  if (left > 0) counts.set(key, left)
  else counts.delete(key)
}

/** A text in the form for logs and metrics. A text that is a key already has this form, and most texts are. */
const known = (counts: ReadonlyMap<string, number>, text: string, safe: (text: string) => string): string =>
  counts.has(text) ? text : safe(text)

const knownSite = ({ sites }: Ledger, site: string | undefined): string | undefined =>
  site === undefined ? undefined : known(sites, site, safeText)

/**
 * Records that a connection is open, and the place that requested it. The texts in the ledger have no secrets and no control characters.
 *
 * @category mutations
 * @since 0.1.0
 */
export const recordOpen = (ledger: Ledger, label: string, site?: () => string | undefined): Entry => {
  const isCrowd = open(ledger) >= attributed
  const isAttributed = !isCrowd || ledger.opened % sampled === 0
  const entry: Entry = {
    label: known(ledger.labels, label, safeLabel),
    site: isAttributed ? knownSite(ledger, site?.()) : undefined,
    weight: isCrowd ? sampled : 1
  }
  ledger.opened += 1
  change(ledger.labels, entry.label, 1)
  if (entry.site !== undefined) change(ledger.sites, entry.site, entry.weight)
  return entry
}

/**
 * Records that a connection is closed. Call it once for each {@link recordOpen}.
 *
 * @category mutations
 * @since 0.1.0
 */
export const recordClosed = (ledger: Ledger, { label, site, weight }: Entry): void => {
  ledger.closed += 1
  change(ledger.labels, label, -1)
  if (site !== undefined) change(ledger.sites, site, -weight)
}

const { whole } = checkOptions("ResourceMonitor.topSites")

/**
 * The places with the most open connections, at most `count`, for an alert or an error. It does not ask the pools for their
 * leases.
 *
 * @category getters
 * @since 0.1.0
 */
export const topOpeners = (ledger: Ledger, count: number): ReadonlyArray<OpeningSite> =>
  Array.from(ledger.sites, ([site, open]) => ({ site, open }))
    .sort((left, right) => right.open - left.open)
    .slice(0, count)

/**
 * The places with the most open connections and leases together, at most `count`. A pool's connection counts for the place of
 * the borrower for which it was opened, however often it was leased since.
 *
 * @category getters
 * @since 0.1.0
 */
export const topSites = (ledger: Ledger, count: number): ReadonlyArray<SiteCount> => {
  const leases = new Map<string, number>()
  for (const lender of ledger.lenders) {
    for (const lease of lender(maxLeases)) {
      const site = lease.site !== undefined && leases.has(lease.site) ? lease.site : knownSite(ledger, lease.site)
      if (site !== undefined) change(leases, site, 1)
    }
  }
  return [...new Set([...ledger.sites.keys(), ...leases.keys()])]
    .map((site) => ({ site, open: ledger.sites.get(site) ?? 0, leases: leases.get(site) ?? 0 }))
    .sort((left, right) => right.open + right.leases - left.open - left.leases)
    .slice(0, whole("count", count, { min: 0, infinite: true }))
}

const nothing = (): void => {}

/**
 * The reservation for one connection that is being opened. Calls that are repeated, late or missing do no harm: when the
 * reservation has ended, the ledger no longer counts it.
 *
 * @category models
 * @since 0.1.0
 */
export class LedgerReservation {
  readonly #ledger: Ledger
  /** Descriptors that do not exist yet. */
  #descriptors: number
  /** Dials that use this reservation now, one descriptor each. */
  #takers = 0
  /** Whether it counts as a connection that is being opened. */
  #isOpening: boolean
  #isOver = false

  /** Reserves at once. */
  constructor(ledger: Ledger, descriptors: number) {
    this.#ledger = ledger
    this.#descriptors = descriptors
    // A request for 0 descriptors only asks the gate; it opens nothing.
    this.#isOpening = descriptors > 0
    ledger.admitted += 1
    ledger.claimed += descriptors
    if (this.#isOpening) ledger.begun += 1
  }

  descriptorOpened(): () => void {
    if (this.#isOver || this.#descriptors === 0) return nothing
    this.#descriptors -= 1
    this.#ledger.settled += 1
    let isUndone = false
    return () => {
      if (isUndone || this.#isOver) return
      isUndone = true
      this.#descriptors += 1
      this.#ledger.claimed += 1
    }
  }

  take(): (() => void) | undefined {
    if (this.#isOver || this.#takers >= this.#descriptors) return undefined
    this.#takers += 1
    return () => void (this.#takers -= 1)
  }

  /**
   * Called when the connection is in the ledger: it no longer counts as being opened. Returns `false` if this reservation has a
   * connection already, or belongs to another ledger.
   */
  connectionRecorded(ledger: Ledger): boolean {
    if (this.#isOver || !this.#isOpening || ledger !== this.#ledger) return false
    this.#isOpening = false
    ledger.ended += 1
    return true
  }

  /**
   * Called when the connection has left the ledger. If the reservation has not ended, a connection counts as being opened
   * again.
   */
  connectionGone(): void {
    if (this.#isOver || this.#isOpening) return
    this.#isOpening = true
    this.#ledger.begun += 1
  }

  /** Ends what is left of the reservation. */
  end(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#ledger.settled += this.#descriptors
    if (this.#isOpening) this.#ledger.ended += 1
  }
}
