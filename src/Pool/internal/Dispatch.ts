/**
 * Serves waiting borrowers, and acts on what changes for them: a free slot, or a deadline that has passed.
 *
 * @since 0.1.0
 */
import type { AgeClock } from "../../internal/AgeClock.ts"
import type { PoolError } from "../PoolError.ts"
import type { Settings } from "../PoolOptions.ts"
import type { Observers, Tally } from "../PoolStats.ts"
import { admit, isOthersTurn, lacksMinimum, wantedBy } from "./Admission.ts"
import type { ConnectionStore } from "./ConnectionStore.ts"
import * as Diagnostics from "./Diagnostics.ts"
import type { Dials } from "./Dials.ts"
import type { EndpointHealth, Endpoints } from "./Endpoints.ts"
import type { HealthChecks, Liveness } from "./HealthChecks.ts"
import type { LeaseTracker } from "./Leases.ts"
import type { Closable, Environment, Lease, PooledConnection, PoolEndpoint, Slot } from "./PoolState.ts"
import type { ResumeQueue, WaitQueue } from "./WaitQueue.ts"

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
    this.#isContended = false
    if (this.#pool.isOpen()) this.#serveAll()
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
    let unclaimed = closing
    for (let wanted = wantedBy(endpoint, settings, now); wanted > 0; wanted--) {
      const isFull = store.slots >= settings.maxTotal
      const victim = isFull && unclaimed === 0 ? store.victimFor(endpoint) : undefined
      const admission = admit({ isFull, closingUnclaimed: unclaimed, hasVictim: victim !== undefined })
      if (admission === "Stall") {
        this.#isContended = true
        break
      }
      if (victim !== undefined) store.evict(victim)
      if (admission === "Open") {
        waiting.rotate(endpoint)
        start(endpoint)
      } else if (admission === "Await") unclaimed--
    }
    return unclaimed
  }

  #leaseIdle(endpoint: PoolEndpoint<K, A>, now: number): void {
    const { serve, store } = this.#pool
    for (let { first } = endpoint.queue; first !== undefined; first = endpoint.queue.first) {
      const connection = store.available(endpoint, now)
      if (connection === undefined) break
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

/** The parts of a pool that lease a connection and take it back. */
export interface CycleParts<K, A> {
  readonly env: Environment<K, A>
  readonly store: ConnectionStore<K, A>
  readonly tally: Tally
  readonly observers: Observers
  readonly leases: LeaseTracker<K, A>
  readonly liveness: Liveness<K, A>
  readonly checks: HealthChecks<K, A>
  readonly waiting: WaitQueue<K, A>
  readonly slots: SlotRelease<K, A>
  readonly resumeQueue: ResumeQueue<K, A>
  readonly isOpen: () => boolean
  readonly isOver: () => boolean
  /** An endpoint waits for a slot of another one. */
  readonly isContended: () => boolean
  /** A borrower has left its queue. */
  readonly hasLeft: (lease: Lease<K, A>) => void
  /** Serves the borrowers that wait. */
  readonly dispatch: () => void
  /** Something is due at this moment. */
  readonly wakeAt: (due: number) => void
}

/** Takes connections from lease to lease: to the next borrower, to idle, or to the close. */
export class LeaseCycle<K, A> {
  readonly #parts: CycleParts<K, A>

  constructor(parts: CycleParts<K, A>) {
    this.#parts = parts
  }

  /** Gives a connection to a borrower. */
  lease(connection: PooledConnection<K, A>, lease: Lease<K, A>, now: number): void {
    lease.turn = this.#parts.liveness.isUnseen(connection, now) ? "Due" : "None"
    this.#parts.store.lease(connection, lease, now)
    this.#parts.wakeAt(this.#parts.leases.add(lease))
  }

  #recycle(lease: Lease<K, A>, connection: PooledConnection<K, A>, succeeded: boolean): void {
    const now = this.#parts.env.clock.now()
    this.endLease(lease, connection, now)
    if (connection.state === "Closing") return this.#parts.slots.forgetIfEmpty(connection.owner)
    if (lease.isInUse) this.#parts.liveness.returned(connection, succeeded, now)
    else if (lease.turn !== "None") this.#parts.liveness.leftUnheard(connection)
    if (this.#mustClose(connection, now)) return this.#parts.store.dismiss(connection)
    if (
      this.#parts.isContended() && isOthersTurn(connection, this.#parts.waiting.turns, this.#parts.env.settings, now)
    ) {
      // Its own borrowers go to the end of the line, so that the slot is not taken back at once.
      this.#parts.waiting.rotate(connection.owner)
      return this.#parts.store.dismiss(connection)
    }
    if (this.#parts.env.hasReset && connection.leases.length === 0) this.#parts.checks.reset(connection)
    else this.#serveNext(connection, now)
  }

  endLease(lease: Lease<K, A>, connection: PooledConnection<K, A>, now: number): void {
    lease.connection = undefined
    this.#parts.leases.remove(lease)
    this.#parts.observers.current?.used(now - lease.borrowedAt)
    this.#parts.store.release(connection, lease)
  }

  /** Ends a borrow. If it leaves its connection broken or in an unknown state, that is not leased again. */
  release(lease: Lease<K, A>, isBroken: boolean, succeeded = false): void {
    const { connection } = lease
    lease.state = "Over"
    if (connection === undefined) return
    const { proving } = connection
    connection.unfit ||= isBroken
    this.#recycle(lease, connection, succeeded)
    if (proving) this.dispatch(connection)
  }

  /** Serves the borrowers that wait. They can have what the end of a lease has left. */
  dispatch(connection: PooledConnection<K, A>): void {
    this.#parts.store.returnItem(connection)
    this.#parts.dispatch()
  }

  #mustClose(connection: PooledConnection<K, A>, now: number): boolean {
    if (connection.unfit || this.#parts.isOver()) return true
    if (this.#parts.store.isOverCap(connection.owner)) return true
    if (!this.#parts.store.isExpired(connection, now)) return false
    this.#parts.tally.expired++
    return true
  }

  /** Serves the borrowers that wait for the endpoint, or makes the connection idle, unless it has to close. */
  makeAvailable(connection: PooledConnection<K, A>, now: number): void {
    if (connection.state === "Closing") return
    if (this.#mustClose(connection, now)) return this.#parts.store.dismiss(connection)
    this.#serveNext(connection, now)
    this.#parts.store.returnItem(connection)
  }

  /** What follows has to return the item to Effect's Pool, if a lease of it is left. */
  #serveNext(connection: PooledConnection<K, A>, now: number): void {
    const { queue } = connection.owner
    while (queue.first !== undefined && this.#parts.isOpen() && this.#parts.store.hasRoom(connection)) {
      this.serve(connection, queue.first, now)
    }
    if (connection.leases.length > 0) return
    this.#parts.store.addIdle(connection, now)
    this.#parts.wakeAt(this.#parts.store.dueAt(connection))
    if (!this.#parts.waiting.isEmpty) this.dispatch(connection)
  }

  serve(connection: PooledConnection<K, A>, lease: Lease<K, A>, now: number): void {
    this.#parts.waiting.leave(lease)
    this.lease(connection, lease, now)
    this.#parts.store.takeItem(connection)
    this.#parts.observers.current?.waited(now - lease.waitingSince)
    this.#parts.resumeQueue.add(lease, undefined)
    this.#parts.hasLeft(lease)
  }
}
