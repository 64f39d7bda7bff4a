/**
 * A claim that is counted in a ledger.
 *
 * @since 0.1.0
 */
import { checkOptions } from "../internal/Options.ts"
import type { OpeningSite } from "./Alert.ts"

/**
 * A connection that is open.
 *
 * @category models
 * @since 0.1.0
 */
export interface Entry {
  readonly label: string
  /** `function (file:line:column)` of the call that asked for it, unless it was not taken. */
  readonly site: string | undefined
  /** How many connections this one stands for at its site. */
  readonly weight: number
}

/**
 * A connection that a pool has lent and that has not come back.
 *
 * @category models
 * @since 0.1.0
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
 */
export interface SiteCount extends OpeningSite {
  /** `function (file:line:column)`. */
  readonly site: string
  /** Connections that it asked for and that are open. An estimate when there are more than 2000. */
  readonly open: number
  /** Connections that it has borrowed from a pool and not given back. */
  readonly leases: number
}

/**
 * The books of one monitor.
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
  /** Open connections by the place that asked for them. */
  readonly sites: Map<string, number>
  /** Each says what one pool has lent. They are asked only when somebody wants to know, so that lending costs nothing. */
  readonly lenders: Set<(most: number) => Iterable<HeldLease>>
}

/** So many open connections are each written down with their place. */
const attributed = 2000

/** Beyond that, one in so many stands for all of them. */
const sampled = 16

/** So many leases of each pool are looked at for the places that hold most. */
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
  refused: 0,
  opened: 0,
  closed: 0,
  labels: new Map(),
  sites: new Map(),
  lenders: new Set()
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

const change = (counts: Map<string, number>, key: string, by: number): void => {
  const left = (counts.get(key) ?? 0) + by
  // What is gone leaves no entry: endpoints and places may be many over the life of a process.
  if (left > 0) counts.set(key, left)
  else counts.delete(key)
}

/**
 * Records that a connection is open, and who asked for it.
 *
 * @category mutations
 * @since 0.1.0
 */
export const recordOpen = (ledger: Ledger, label: string, site: () => string | undefined): Entry => {
  const isCrowd = open(ledger) >= attributed
  const isAttributed = !isCrowd || ledger.opened % sampled === 0
  const entry: Entry = { label, site: isAttributed ? site() : undefined, weight: isCrowd ? sampled : 1 }
  ledger.opened += 1
  change(ledger.labels, label, 1)
  if (entry.site !== undefined) change(ledger.sites, entry.site, entry.weight)
  return entry
}

/**
 * Records that a connection is closed. It is called once for each {@link recordOpen}.
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
 * The places that have most connections open, at most so many, for an alert or a refusal: it asks nobody.
 *
 * @category getters
 * @since 0.1.0
 */
export const topOpeners = (ledger: Ledger, count: number): ReadonlyArray<OpeningSite> =>
  [...ledger.sites].map(([site, open]) => ({ site, open })).sort((left, right) => right.open - left.open).slice(
    0,
    count
  )

/**
 * The places that have most open, connections and leases together, at most so many. A pool's connections belong to the
 * borrower for whom they were opened, however often they have been lent since.
 *
 * @category getters
 * @since 0.1.0
 */
export const topSites = (ledger: Ledger, count: number): ReadonlyArray<SiteCount> => {
  const leases = new Map<string, number>()
  for (const lender of ledger.lenders) {
    for (const { site } of lender(maxLeases)) if (site !== undefined) change(leases, site, 1)
  }
  return [...new Set([...ledger.sites.keys(), ...leases.keys()])]
    .map((site) => ({ site, open: ledger.sites.get(site) ?? 0, leases: leases.get(site) ?? 0 }))
    .sort((left, right) => right.open + right.leases - left.open - left.leases)
    .slice(0, whole("count", count, { min: 0, infinite: true }))
}

const nothing = (): void => {}

/**
 * The claim of one opening. At each moment it has in the ledger exactly what it still stands for, so that whatever is said
 * twice, too late or never, the ledger is even when it has ended.
 *
 * @category models
 * @since 0.1.0
 */
export class LedgerReservation {
  readonly #ledger: Ledger
  /** Descriptors that do not exist yet. */
  #descriptors: number
  /** Openings under way that stand for one of them each. */
  #takers = 0
  /** Whether the opening counts as a connection that the ledger does not have yet. */
  #isOpening: boolean
  #isOver = false

  /** Claims: the ledger has it from here on. */
  constructor(ledger: Ledger, descriptors: number) {
    this.#ledger = ledger
    this.#descriptors = descriptors
    // A request for no descriptor only asks; it opens nothing.
    this.#isOpening = descriptors > 0
    ledger.admitted += 1
    claim(ledger, descriptors)
    if (this.#isOpening) begin(ledger)
  }

  descriptorOpened(): () => void {
    if (this.#isOver || this.#descriptors === 0) return nothing
    this.#descriptors -= 1
    settle(this.#ledger, 1)
    let isUndone = false
    return () => {
      if (isUndone || this.#isOver) return
      isUndone = true
      this.#descriptors += 1
      claim(this.#ledger, 1)
    }
  }

  take(): (() => void) | undefined {
    if (this.#isOver || this.#takers >= this.#descriptors) return undefined
    this.#takers += 1
    return () => void (this.#takers -= 1)
  }

  /**
   * Says that the connection of this opening is in the ledger, so that it is not counted as opening as well. The result is
   * whether it was: an opening has one connection, and one in another monitor's ledger is not its own.
   */
  connectionRecorded(ledger: Ledger): boolean {
    if (this.#isOver || !this.#isOpening || ledger !== this.#ledger) return false
    this.#isOpening = false
    end(this.#ledger)
    return true
  }

  /** Says that this connection goes from the ledger. If its opening still goes on, that counts as before. */
  connectionGone(): void {
    if (this.#isOver || this.#isOpening) return
    this.#isOpening = true
    begin(this.#ledger)
  }

  /** Ends what is left of the claim. */
  end(): void {
    if (this.#isOver) return
    this.#isOver = true
    settle(this.#ledger, this.#descriptors)
    if (this.#isOpening) end(this.#ledger)
  }
}
