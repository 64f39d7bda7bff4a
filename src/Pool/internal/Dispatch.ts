/**
 * Serves waiting borrowers, and acts on what changes for them: a free slot, or a deadline that has passed.
 *
 * @since 0.1.0
 */
import type { AgeClock } from "../../internal/AgeClock.ts"
import type { PoolError } from "../PoolError.ts"
import type { Settings } from "../PoolOptions.ts"
import type { Observers, Tally } from "../PoolStats.ts"
import { admit, lacksMinimum, wantedBy } from "./Admission.ts"
import type { ConnectionStore } from "./ConnectionStore.ts"
import * as Diagnostics from "./Diagnostics.ts"
import type { Dials } from "./Dials.ts"
import type { EndpointHealth, Endpoints } from "./Endpoints.ts"
import type { Closable, Environment, Lease, PooledConnection, PoolEndpoint, Slot } from "./PoolState.ts"
import type { WaitQueue } from "./WaitQueue.ts"

/** What serving needs from the rest of the pool. */
export interface DispatchParts<K, A> {
  readonly settings: Settings
  readonly clock: AgeClock
  readonly endpoints: Endpoints<K, A>
  readonly store: ConnectionStore<K, A>
  readonly waiting: WaitQueue<K, A>
  readonly isOpen: () => boolean
  /** Starts a dial. */
  readonly start: (endpoint: PoolEndpoint<K, A>) => void
  /** Leases a connection to a borrower that waits. */
  readonly serve: (connection: PooledConnection<K, A>, lease: Lease<K, A>, now: number) => void
}

/** Serves the borrowers that wait: with an idle connection, with a dial, or with the slot of another endpoint. */
export class Dispatcher<K, A> {
  readonly #pool: DispatchParts<K, A>
  #isContended = false
  #isRunning = false
  #runAgain = false

  constructor(pool: DispatchParts<K, A>) {
    this.#pool = pool
  }

  /** The last run left an endpoint without a connection because every slot was in use. */
  get isContended(): boolean {
    return this.#isContended
  }

  /**
   * Serves the borrowers that can be served now. Every event that may free capacity ends here, and it looks at what is, not at what
   * happened, so no wake-up can be lost.
   */
  run(): void {
    if (this.#isRunning) {
      this.#runAgain = true
      return
    }
    this.#isRunning = true
    try {
      do {
        this.#runAgain = false
        this.#isContended = false
        if (this.#pool.isOpen()) this.#serveAll()
      } while (this.#runAgain)
    } finally {
      this.#isRunning = false
    }
  }

  #serveAll(): void {
    const { clock, endpoints, store, settings, start, waiting } = this.#pool
    let unclaimed = store.closing
    for (const endpoint of waiting.turns) {
      if (store.isExhausted(unclaimed)) {
        // However many endpoints wait, there is nothing for any of them.
        this.#isContended = true
        return
      }
      unclaimed = this.#serveEndpoint(endpoint, unclaimed)
    }
    for (const endpoint of endpoints.lacking()) {
      if (store.slots >= settings.maxTotal) break
      if (lacksMinimum(endpoint, settings, clock.now())) start(endpoint)
    }
  }

  /** Serves one endpoint; returns how many closing connections' slots are still unclaimed. */
  #serveEndpoint(endpoint: PoolEndpoint<K, A>, closing: number): number {
    const { clock, store, settings, start, waiting } = this.#pool
    const now = clock.now()
    this.#leaseIdle(endpoint, now)
    // A dial may fail and a borrower may leave in here, so that what is wanted is asked each time.
    const wanted = () => wantedBy(endpoint, settings, now)
    let unclaimed = closing
    let [most, claimed] = [wanted(), 0]
    while (most > 0 && wanted() > claimed) {
      const isFull = store.slots >= settings.maxTotal
      const victim = isFull && unclaimed === 0 ? store.victimFor(endpoint) : undefined
      const admission = admit({ isFull, closingUnclaimed: unclaimed, hasVictim: victim !== undefined })
      if (admission === "Stall") {
        this.#isContended = true
        break
      }
      if (victim !== undefined) {
        store.evict(victim)
        // What closes at once has freed its slot, which is then there for this endpoint alone.
        if (store.slots < settings.maxTotal) continue
      }
      most--
      if (admission === "Open") {
        waiting.rotate(endpoint)
        start(endpoint)
        continue
      }
      claimed++
      if (admission === "Await") unclaimed--
    }
    return unclaimed
  }

  #leaseIdle(endpoint: PoolEndpoint<K, A>, now: number): void {
    const { serve, store } = this.#pool
    while (endpoint.queue.first !== undefined) {
      const connection = store.available(endpoint, now)
      // What is found too old closes, and the first borrower may have ended with it.
      const { first } = endpoint.queue
      if (connection === undefined || first === undefined) break
      serve(connection, first, now)
    }
  }
}

/** What the release of a slot needs from the rest of the pool. */
export interface SlotParts<K, A> {
  readonly clock: AgeClock
  readonly endpoints: Endpoints<K, A>
  readonly store: ConnectionStore<K, A>
  readonly tally: Tally
  readonly observers: Observers
  /** Serves the borrowers that wait. */
  readonly dispatch: () => void
  /** Something is due at this moment. */
  readonly wakeAt: (due: number) => void
}

/** Acts when a slot becomes free, or is kept for a connect that was left behind. */
export class SlotRelease<K, A> {
  readonly #pool: SlotParts<K, A>
  readonly #onEmptied: Array<() => void> = []

  constructor(pool: SlotParts<K, A>) {
    this.#pool = pool
  }

  /** A connect or a finalizer was left behind; the result is for when it has ended after all. */
  leftBehind(endpoint: PoolEndpoint<K, A>, what: "Connect" | "Close"): () => void {
    const { observers, tally } = this.#pool
    endpoint.leftBehind++
    if (what === "Connect") tally.connectsLeftBehind++
    else tally.closesLeftBehind++
    observers.current?.leftBehind(what)
    return () => {
      endpoint.leftBehind--
      this.forgetIfEmpty(endpoint)
    }
  }

  /** Keeps the slot of a connect that was left behind: another dial may take the place of this one, in another slot. */
  keep(endpoint: PoolEndpoint<K, A>, slot: Slot<K, A>): void {
    const { endpoints, dispatch, store, wakeAt } = this.#pool
    store.keepSlot(endpoint, slot)
    wakeAt(endpoints.lost(endpoint))
    dispatch()
  }

  /** How a connection is closed, and what follows. */
  closable({ ledgerEntry, owner, scope, slot }: PooledConnection<K, A>): Closable {
    return {
      label: owner.label,
      scope,
      ledgerEntry,
      freed: () => this.free(owner, slot),
      leftBehind: () => this.leftBehind(owner, "Close")
    }
  }

  free(endpoint: PoolEndpoint<K, A>, slot: Slot<K, A>): void {
    const { endpoints, dispatch, store, observers, wakeAt } = this.#pool
    if (!store.freeSlot(endpoint, slot)) return
    observers.current?.judged()
    wakeAt(endpoints.lost(endpoint))
    dispatch()
    this.forgetIfEmpty(endpoint)
    if (store.slots === 0) { for (const callback of this.#onEmptied.splice(0)) callback() }
  }

  /** Calls back once, as soon as nothing is open, opening or closing. */
  whenEmptied(callback: () => void): void {
    if (this.#pool.store.slots === 0) callback()
    else this.#onEmptied.push(callback)
  }

  /** An endpoint may be empty now, and is forgotten then. */
  forgetIfEmpty(endpoint: PoolEndpoint<K, A>): void {
    const { clock, endpoints, wakeAt } = this.#pool
    const due = endpoints.leave(endpoint, clock.now())
    if (due < Infinity) wakeAt(due)
  }
}

/** What the error of a borrower says about the pool, and what learns of it. */
export interface TimeoutParts<K, A> {
  readonly env: Environment<K, A>
  readonly endpoints: Endpoints<K, A>
  readonly store: ConnectionStore<K, A>
  readonly dials: Dials<K, A>
  readonly health: EndpointHealth<K, A>
  readonly tally: Tally
  readonly observers: Observers
  readonly isSuspended: () => boolean
}

/** Counts borrowers that run out of time, and makes their errors. */
export class Timeouts<K, A> {
  readonly #parts: TimeoutParts<K, A>

  constructor(parts: TimeoutParts<K, A>) {
    this.#parts = parts
  }

  /** Counts the timeout of a borrower, and returns its error. */
  errorOf(lease: Lease<K, A>, position = 1, context = this.#context()): PoolError {
    const { health, observers, dials, tally } = this.#parts
    tally.timeouts++
    observers.current?.timedOut()
    const error = Diagnostics.acquireTimeout(lease, position, context)
    if (lease.owner.connecting === 0 || dials.isDialing(lease.owner)) health.timedOut(lease.owner, error)
    return error
  }

  /** Makes the errors of borrowers that run out of time now. What they say about the pool is the same for all of them. */
  errorsNow(): (lease: Lease<K, A>, position: number) => PoolError {
    const context = this.#context()
    return (lease, position) => this.errorOf(lease, position, context)
  }

  #context(): Diagnostics.TimeoutContext<K, A> {
    const { endpoints, env: { clock, obstacle, settings }, store, isSuspended, dials } = this.#parts
    const isDialing = (endpoint: PoolEndpoint<K, A>) => dials.isDialing(endpoint)
    const [now, pool] = [clock.now(), endpoints.counts()]
    const facts = { settings, pool, now, isSuspended: isSuspended(), obstacle, isDialing }
    return Diagnostics.timeoutContextOf(facts, () => store.all())
  }
}
