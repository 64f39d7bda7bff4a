/**
 * Serves waiting borrowers, when a connection or a slot is free for one, and makes the errors of those whose deadlines have passed.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import type { CloseReason } from "../CloseReason.ts"
import type { PoolError } from "../PoolError.ts"
import { hasFreeSlot, isExhausted, isOthersTurn, isOverCap, lacksMinimum, wantedBy } from "./Admission.ts"
import type { ConnectionStore } from "./ConnectionStore.ts"
import * as Diagnostics from "./Diagnostics.ts"
import type { Dials } from "./Dials.ts"
import type { EndpointHealth } from "./EndpointHealth.ts"
import type { Endpoints, SlotRelease } from "./Endpoints.ts"
import { victimFor } from "./Eviction.ts"
import type { HealthChecks, Liveness } from "./HealthChecks.ts"
import type { LeaseTracker } from "./Leases.ts"
import type { CoreEnvironment, Lease, PooledConnection, PoolEndpoint } from "./PoolState.ts"
import type { WaitQueue } from "./WaitQueue.ts"

/** What a borrower got from the server in its use of a connection. `None`: the use was interrupted. */
export type Answer = "Success" | "Failure" | "None"

/** What the server did for a borrower that ended so, if its connection was left fit to be leased again. */
export const answerOf = (exit: Exit.Exit<unknown, unknown>): Answer =>
  Exit.isSuccess(exit) ? "Success" : Cause.hasInterruptsOnly(exit.cause) ? "None" : "Failure"

/** The parts of a pool that serve borrowers. */
export interface CycleParts<K, A> {
  readonly env: CoreEnvironment<K, A>
  readonly endpoints: Endpoints<K, A>
  readonly store: ConnectionStore<K, A>
  readonly slots: SlotRelease<K, A>
  readonly health: EndpointHealth<K, A>
  readonly dials: Dials<K, A>
  readonly leases: LeaseTracker<K, A>
  readonly liveness: Liveness<K, A>
  readonly checks: HealthChecks<K, A>
  readonly waiting: WaitQueue<K, A>
}

/** Serves the waiting borrowers: with an idle connection, with a dial, or with the slot of another endpoint. */
export class Dispatcher<K, A> {
  readonly #parts: CycleParts<K, A>
  readonly #cycle: LeaseCycle<K, A>
  #isContended = false

  constructor(parts: CycleParts<K, A>, cycle: LeaseCycle<K, A>) {
    this.#parts = parts
    this.#cycle = cycle
  }

  /** The last run left an endpoint without a connection because every slot was in use. */
  get isContended(): boolean {
    return this.#isContended
  }

  /**
   * Serves the borrowers that can be served now. Every event that may free capacity calls this. It decides by the present state,
   * and not by the event, so no wake-up can be lost.
   */
  run(): void {
    this.#isContended = false
    if (this.#parts.env.isOpen()) this.#serveAll()
  }

  #serveAll(): void {
    const { dials, endpoints, env: { clock, settings }, store, waiting } = this.#parts
    let unclaimed = store.closing
    for (const endpoint of waiting.turns) {
      if (isExhausted(store, settings, unclaimed)) {
        // The remaining endpoints cannot be served either.
        this.#isContended = true
        return
      }
      unclaimed = this.#serveEndpoint(endpoint, unclaimed)
    }
    for (const endpoint of endpoints.lacking()) {
      if (!hasFreeSlot(store, settings)) break
      if (lacksMinimum(endpoint, settings, clock.now())) dials.start(endpoint)
    }
  }

  /**
   * Serves one endpoint. `closing` is the number of closing connections whose slots no borrower has claimed, and so is the result,
   * after the claims of this endpoint.
   */
  #serveEndpoint(endpoint: PoolEndpoint<K, A>, closing: number): number {
    const { dials, env: { clock, settings }, store, waiting } = this.#parts
    const now = clock.now()
    this.#leaseIdle(endpoint, now)
    let unclaimed = closing
    for (let wanted = wantedBy(endpoint, settings, now); wanted > 0; wanted--) {
      if (hasFreeSlot(store, settings)) {
        waiting.rotate(endpoint)
        dials.start(endpoint)
        // This endpoint claims the slot of a closing connection. Otherwise it evicts an idle connection of another endpoint.
      } else if (unclaimed > 0) unclaimed--
      else if (!store.evict(victimFor(endpoint, store, settings))) {
        this.#isContended = true
        break
      }
    }
    return unclaimed
  }

  #leaseIdle(endpoint: PoolEndpoint<K, A>, now: number): void {
    for (let { first } = endpoint.queue; first !== undefined; first = endpoint.queue.first) {
      const connection = this.#parts.store.available(endpoint, now)
      if (connection === undefined) break
      this.#cycle.serve(connection, first, now)
    }
  }
}

/** Counts the borrowers whose time is over, and makes their errors. */
export class Timeouts<K, A> {
  readonly #parts: CycleParts<K, A>
  readonly #isSuspended: () => boolean

  constructor(parts: CycleParts<K, A>, isSuspended: () => boolean) {
    this.#parts = parts
    this.#isSuspended = isSuspended
  }

  /** Counts the timeout of a borrower, and returns its error. */
  errorOf(lease: Lease<K, A>, position = 1, context = this.#context()): PoolError {
    const { dials, env, health } = this.#parts
    env.tally.timeouts++
    lease.owner.timeouts++
    const error = Diagnostics.acquireTimeout(lease, position, context)
    env.observers.current?.timedOut(lease.owner.label, this.#isSuspended())
    if (lease.owner.connecting === 0 || dials.phaseOf(lease.owner) === "Connecting") health.timedOut(lease, error)
    return error
  }

  /** Returns a function that makes the errors of borrowers whose time is over now. All of them share one snapshot of the pool. */
  errorsNow(): (lease: Lease<K, A>, position: number) => PoolError {
    const context = this.#context()
    return (lease, position) => this.errorOf(lease, position, context)
  }

  #context(): Diagnostics.TimeoutContext<K, A> {
    const { dials, endpoints, env: { clock, obstacle, settings }, store } = this.#parts
    const phaseOf = (endpoint: PoolEndpoint<K, A>) => dials.phaseOf(endpoint)
    const [now, pool] = [clock.now(), endpoints.counts()]
    const facts = { settings, pool, now, isSuspended: this.#isSuspended(), obstacle, phaseOf }
    return Diagnostics.timeoutContextOf(facts, () => store.all())
  }
}

/** Leases connections, and decides after each lease: the connection goes to the next borrower, becomes idle, or is closed. */
export class LeaseCycle<K, A> {
  readonly #parts: CycleParts<K, A>
  readonly #env: CoreEnvironment<K, A>
  /** An endpoint waits for a slot of another one. */
  readonly #isContended: () => boolean

  constructor(parts: CycleParts<K, A>, isContended: () => boolean) {
    this.#parts = parts
    this.#env = parts.env
    this.#isContended = isContended
  }

  /** Gives a connection to a borrower. */
  lease(connection: PooledConnection<K, A>, lease: Lease<K, A>, now: number): void {
    lease.turn = this.#parts.liveness.isUnseen(connection, now) ? "Due" : "None"
    this.#parts.store.lease(connection, lease, now)
    this.#env.wakeAt(this.#parts.leases.add(lease))
  }

  #recycle(lease: Lease<K, A>, connection: PooledConnection<K, A>, answer: Answer): void {
    const now = this.#env.clock.now()
    this.endLease(lease, connection, now)
    if (connection.state === "Closing") {
      this.#parts.slots.forgetIfEmpty(connection.owner)
      return this.#parts.health.judged(connection.owner)
    }
    if (lease.isInUse) {
      this.#parts.liveness.returned(connection, answer === "Success", now)
      const isAnswered = answer !== "None" && (connection.doom === undefined || connection.fitness === "Outgoing")
      if (isAnswered && !lease.isStanding) this.#parts.health.answered(connection.owner, now, now - lease.borrowedAt)
    } else if (lease.turn !== "None") this.#parts.liveness.leftUnheard(connection)
    const reason = this.#closeReason(connection, now)
    if (reason !== undefined) return this.#parts.store.dismiss(connection, reason)
    if (
      this.#isContended() && isOthersTurn(connection, this.#parts.waiting.turns, this.#env.settings, now)
    ) {
      // The connection's endpoint is the last to be served, so that it does not take the slot back at once.
      this.#parts.waiting.rotate(connection.owner)
      return this.#parts.store.dismiss(connection, "evicted_for_other")
    }
    if (this.#env.hasReset && connection.leases.length === 0) this.#parts.checks.reset(connection)
    else this.#serveNext(connection, now)
  }

  endLease(lease: Lease<K, A>, connection: PooledConnection<K, A>, now: number): void {
    this.#parts.leases.remove(lease)
    // The time of a standing lease is not use time, and would distort the metric.
    if (lease.isInUse && !lease.isStanding) this.#env.observers.current?.used(Math.max(now - lease.borrowedAt, 0))
    this.#parts.store.release(connection, lease)
  }

  /** Ends a lease. With `broken`, its connection is broken or in an unknown state for this reason, and is not leased again. */
  release(lease: Lease<K, A>, broken: CloseReason | undefined, answer: Answer = "None"): void {
    const { connection } = lease
    if (connection === undefined) return
    const { check } = connection
    if (broken !== undefined) this.#parts.store.worsen(connection, { fitness: "Unfit", reason: broken })
    this.#recycle(lease, connection, answer)
    if (check === "Borrower") this.dispatch(connection)
  }

  /** Serves the waiting borrowers, after the item that an ended lease has left was returned to Effect's Pool. */
  dispatch(connection: PooledConnection<K, A>): void {
    this.#parts.store.returnItem(connection)
    this.#env.dispatch()
  }

  /** The reason to close a connection that a borrower, a dial or a check has left, if it is not leased again. */
  #closeReason(connection: PooledConnection<K, A>, now: number): CloseReason | undefined {
    if (connection.doom !== undefined) return connection.doom.reason
    if (this.#env.isOver()) return "drained"
    const { owner } = connection
    const { settings } = this.#env
    if (isOverCap(owner, this.#parts.store, settings)) return "evicted"
    const isSpare = owner.queue.size === 0 && owner.connections.length > settings.minPerEndpoint
    if (owner.refusedUntil > now && isSpare) return "evicted_for_other"
    return this.#parts.store.isExpired(connection, now) ? this.#parts.store.staleReason(connection, now) : undefined
  }

  /** Leases a connection to the borrowers that wait for its endpoint, or makes it idle, or closes it. */
  makeAvailable(connection: PooledConnection<K, A>, now: number): void {
    if (connection.state === "Closing") return
    const reason = this.#closeReason(connection, now)
    if (reason !== undefined) return this.#parts.store.dismiss(connection, reason)
    this.#serveNext(connection, now)
    this.#parts.store.returnItem(connection)
  }

  /** The caller has to return the item to Effect's Pool after this, if a lease of the item is left. */
  #serveNext(connection: PooledConnection<K, A>, now: number): void {
    const { queue } = connection.owner
    while (queue.first !== undefined && this.#env.isOpen() && this.#parts.store.hasRoom(connection)) {
      this.serve(connection, queue.first, now)
    }
    if (connection.leases.length > 0) return
    this.#parts.store.addIdle(connection, now)
    this.#env.wakeAt(this.#parts.store.dueAt(connection))
    if (!this.#parts.waiting.isEmpty) this.dispatch(connection)
  }

  serve(connection: PooledConnection<K, A>, lease: Lease<K, A>, now: number): void {
    this.#parts.waiting.leave(lease)
    this.lease(connection, lease, now)
    this.#parts.store.takeItem(connection)
    this.#parts.waiting.resume(lease)
  }
}
