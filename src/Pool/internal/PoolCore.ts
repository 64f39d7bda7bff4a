/**
 * Decides what happens in a pool: which borrower waits, which is next, and what follows from each event.
 *
 * Everything here is synchronous, so that both caps are counted in one step. Each public function is one event. It changes state and
 * adds commands to the outbox, which is drained when the step is over. No command runs inside a step.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type { AgeClock } from "../../internal/AgeClock.ts"
import { defaultIsReusable, hasFailed } from "../../internal/BorrowExit.ts"
import { Alarm } from "../../internal/Timer.ts"
import type { HeldLease } from "../../Monitor/Ledger.ts"
import { ConnectionDied, type PoolError } from "../PoolError.ts"
import type { Inspection } from "../PoolInspection.ts"
import type { Recall } from "../PoolOptions.ts"
import { emptyTally, type Health, Observers, type Stats, type Summary } from "../PoolStats.ts"
import { mostWaiting, nextDialOf, wantedBy } from "./Admission.ts"
import { ConnectionStore } from "./ConnectionStore.ts"
import * as Diagnostics from "./Diagnostics.ts"
import { Dials } from "./Dials.ts"
import { answerOf, Dispatcher, LeaseCycle, Timeouts } from "./Dispatch.ts"
import { EndpointHealth } from "./EndpointHealth.ts"
import { Endpoints, SlotRelease } from "./Endpoints.ts"
import { Recalls } from "./Eviction.ts"
import { HealthChecks, Liveness, TurnWaits } from "./HealthChecks.ts"
import { inspectionOf } from "./Inspect.ts"
import { LeaseTracker } from "./Leases.ts"
import {
  type CloseEvents,
  type CoreEnvironment,
  type Doom,
  type Environment,
  isGone,
  type Lease,
  type PendingDial,
  type PooledConnection,
  type PoolEndpoint,
  type Status,
  waitOf
} from "./PoolState.ts"
import { Deadlines, ResumeQueue, WaitQueue } from "./WaitQueue.ts"

const evicted: Doom = { fitness: "Unfit", reason: "evicted" }

export class PoolCore<K, A> {
  readonly observers = new Observers()
  readonly dials: Dials<K, A>
  readonly #env: CoreEnvironment<K, A>
  readonly #clock: AgeClock
  readonly #endpoints: Endpoints<K, A>
  readonly #store: ConnectionStore<K, A>
  readonly #waiting: WaitQueue<K, A>
  readonly #leases: LeaseTracker<K, A>
  readonly #health: EndpointHealth<K, A>
  readonly #checks: HealthChecks<K, A>
  readonly #deadlines: Deadlines<K, A>
  readonly #housekeeper: Alarm
  readonly #slots: SlotRelease<K, A>
  readonly #timeouts: Timeouts<K, A>
  readonly #dispatcher: Dispatcher<K, A>
  readonly #liveness: Liveness<K, A>
  readonly #turnWaits: TurnWaits<K, A>
  readonly #cycle: LeaseCycle<K, A>
  readonly #recalls: Recalls<K, A>
  #status: Status = "Open"

  constructor(environment: Environment<K, A>) {
    const { clock, fork, isReusable, noticesDeath, outbox, settings } = environment
    const env = this.#env = {
      ...environment,
      tally: emptyTally(),
      observers: this.observers,
      isOpen: () => this.#status === "Open",
      isOver: () => this.isOver,
      dispatch: () => this.#dispatcher.run(),
      refused: (error: PoolError) => void this.refuse(error),
      wakeAt: (due: number) => this.#housekeeper.at(due)
    }
    this.#clock = clock
    const endpoints = this.#endpoints = new Endpoints(settings.minPerEndpoint)
    const store = this.#store = new ConnectionStore(
      env,
      (lease, exit) => (this.end(lease, exit), lease.ended && this.failureOf(lease.ended, exit))
    )
    const slots = this.#slots = new SlotRelease(env, endpoints, store)
    const health = this.#health = new EndpointHealth(env, store)
    const resumeQueue = new ResumeQueue<K, A>()
    const waiting = this.#waiting = new WaitQueue(resumeQueue, (lease) => this.#hasLeft(lease), env.refused)
    const dials = this.dials = new Dials({
      ...{ env, store, health, slots },
      arrived: (connection) => this.#arrive(connection),
      refuse: (endpoint, error) => waiting.refuseAllOf(endpoint, error)
    })
    const checks = this.#checks = new HealthChecks(env, store)
    this.#recalls = new Recalls(env, store)
    const leases = this.#leases = new LeaseTracker(env, store, (lease) => this.#cycle.release(lease, "lease_ended"))
    const liveness = this.#liveness = new Liveness(noticesDeath || isReusable !== undefined)
    this.#turnWaits = new TurnWaits(env, resumeQueue, liveness, store)
    const parts = { env, endpoints, store, slots, health, dials, leases, liveness, checks, waiting }
    this.#timeouts = new Timeouts(parts, () => this.#status === "Waiting")
    this.#cycle = new LeaseCycle(parts, () => this.#dispatcher.isContended)
    this.#dispatcher = new Dispatcher(parts, this.#cycle)
    this.#deadlines = new Deadlines(env, (now) => outbox.step(() => this.#refuseLate(now)))
    const [now, onDue] = [() => clock.synchronize(), () => outbox.step(() => this.#housekeep())]
    this.#housekeeper = new Alarm({ clock: clock.clock, fork, now, onDue })
  }

  /** Runs the commands of a step, when it is over. */
  settle(): undefined {
    this.#env.outbox.drain()
  }

  // ---- borrowing -----------------------------------------------------------------------------------------------------

  endpoint(key: K): PoolEndpoint<K, A> {
    return this.#endpoints.find(key) ?? this.#endpoints.add(key)
  }

  /** The endpoints that are known now. */
  get endpoints(): ReadonlyArray<PoolEndpoint<K, A>> {
    return this.#endpoints.all()
  }

  /** The status is `Draining` or `Closed`: no borrow begins. Leases that are held may still end. */
  get isOver(): boolean {
    return this.#status === "Draining" || this.#status === "Closed"
  }

  /** Leases an idle connection if there is one, and no borrower waits. */
  tryLease(lease: Lease<K, A>): PooledConnection<K, A> | undefined {
    const connection = this.promise(lease)
    if (connection !== undefined) this.#store.takeItem(connection)
    this.settle()
    return connection
  }

  /**
   * Leases the next connection of Effect's Pool if there is one, and no borrower waits. The caller has to lease the connection's
   * item in the same step, by `Pool.use` or {@link take}. It ends the step with {@link settle}, when the exit handler of the borrow
   * is installed.
   */
  promise(lease: Lease<K, A>): PooledConnection<K, A> | undefined {
    const { owner } = lease
    if (owner.queue.size > 0 || this.#status !== "Open" || owner.isForgotten) return undefined
    const now = this.#clock.now()
    const connection = this.#store.available(owner, now)
    if (connection !== undefined) this.#cycle.lease(connection, lease, now)
    return connection
  }

  /** Leases the item of a connection that {@link promise} has returned, unless `Pool.use` has leased it. */
  take(connection: PooledConnection<K, A>): void {
    this.#store.takeItem(connection)
  }

  /**
   * Has a borrow wait: for a turn of the event loop if its connection needs that, else in the queue. A borrow whose connection
   * turned out to be broken is the first of the queue, and that connection is closed. Any other borrow is the last. The result is
   * an error if the borrow may not wait. It is decided in the step that queues the borrow, because the fiber may be suspended
   * between any two steps.
   */
  wait(lease: Lease<K, A>): PoolError | undefined {
    const refusal = lease.turn === "Due" ? this.#turnWaits.add(lease) : this.#requeue(lease)
    if (refusal !== undefined) this.refuse(refusal)
    this.settle()
    return refusal
  }

  #requeue(lease: Lease<K, A>): PoolError | undefined {
    const rejected = lease.connection
    if (rejected === undefined) return this.#enqueue(lease, "Last")
    // Closing the connection frees its slot for the first borrow of the queue. So this borrow is queued first.
    this.#cycle.endLease(lease, rejected, this.#clock.now())
    const refusal = this.#enqueue(lease, "First")
    this.#store.dismiss(rejected, rejected.doom?.reason ?? "unfit")
    this.#dispatcher.run()
    return refusal
  }

  /**
   * Whether a borrow may use its connection, which might have died before the event loop has reported it. Otherwise the borrow
   * waits.
   */
  heard(lease: Lease<K, A>): boolean {
    return this.#turnWaits.heard(lease)
  }

  #enqueue(lease: Lease<K, A>, place: "Last" | "First"): PoolError | undefined {
    if (lease.owner.isForgotten) {
      lease.owner = this.endpoint(lease.owner.key)
      lease.arrival = lease.owner.arrivals++
    }
    const most = place === "First" ? Infinity : mostWaiting(lease.owner, this.#store, this.#env.settings)
    const refusal = Diagnostics.refusal(lease.owner, this.#status, most, this.#env.settings) ??
      this.#health.refusalOf(lease.owner) ?? this.#leases.enter(lease)
    if (refusal !== undefined) return refusal
    if (place === "Last") this.#env.tally.waited++
    lease.waitingSince = this.#clock.now()
    this.#deadlines.wait(lease, lease.waitingSince)
    this.#waiting.join(lease, place)
    this.#health.queueChanged(lease.owner)
    // One more borrower changes nothing for the others, so the dispatcher runs only if this borrower may be served.
    const { owner, waitingSince } = lease
    const canBeServed = this.#store.available(owner, waitingSince) !== undefined ||
      wantedBy(owner, this.#env.settings, waitingSince) > 0
    if (canBeServed) this.#dispatcher.run()
    // This may be the first borrower that waits for the next dial.
    else if (owner.dialAt > waitingSince) this.#housekeeper.at(owner.dialAt)
    return undefined
  }

  /** The remaining time of a borrow, in milliseconds. */
  remaining(lease: Lease<K, A>): number {
    return this.#deadlines.remaining(lease)
  }

  /** Ends a borrow: it leaves the queue if it waits, and its connection is returned if it has one. */
  end(lease: Lease<K, A>, exit: Exit.Exit<unknown, unknown>): void {
    if (lease.isWaiting) {
      this.#waiting.leave(lease)
      this.#hasLeft(lease)
    } else if (lease.connection === undefined) this.#slots.forgetIfEmpty(lease.owner)
    lease.unnote?.("Ended")
    // A borrower that has not used its connection has not changed its state.
    const connection = lease.isInUse ? lease.connection : undefined
    const isSpoilt = connection !== undefined && !(this.#env.isReusable ?? defaultIsReusable)(connection.value, exit)
    if (connection !== undefined) this.#health.used(connection, exit, isSpoilt)
    const mayDial = connection !== undefined && connection.trial !== "Over" && this.dials.used(connection, exit)
    const held = lease.connection
    const isBroken = isSpoilt || lease.mustCheck && lease.turn === "None"
    this.#cycle.release(lease, isBroken ? "unfit" : undefined, answerOf(exit))
    if (isSpoilt) this.#recalls.check(this.#clock.now())
    if (mayDial && held !== undefined) this.#cycle.dispatch(held)
    // The commands of this step may begin further steps, which require that the item was returned.
    if (held !== undefined) this.#store.returnItem(held)
    this.settle()
  }

  /** The failure of a borrow whose lease was ended with this error, besides that of its exit. */
  failureOf(ended: PoolError, exit: Exit.Exit<unknown, unknown>): Effect.Effect<never, PoolError> | undefined {
    return hasFailed(exit) ? Effect.fail(this.refuse(ended)) : undefined
  }

  /** A borrower begins to use its connection. */
  begun(lease: Lease<K, A>): void {
    lease.isInUse = true
    this.observers.current?.waited(waitOf(lease))
    // Avoids a clock read unless leases are watched.
    if (this.#leases.isWatching) this.#housekeeper.at(this.#leases.startUse(lease, this.#clock.now()))
  }

  /**
   * The connection of a borrow has passed its check, if it had one, and is ready. Other borrowers may share it from now on. The result
   * is `false` if the connection has died or was closed during the check.
   */
  proved(lease: Lease<K, A>, wasChecked: boolean): boolean {
    const { connection } = lease
    if (connection === undefined || isGone(connection)) return false
    lease.mustCheck = false
    if (wasChecked) this.#health.succeeded(connection.owner)
    const { check, trial } = connection
    this.dials.ready(connection)
    if (check !== "Borrower" && trial !== "Unready") return true
    this.#store.proved(connection)
    this.#cycle.makeAvailable(connection, this.#clock.now())
    this.#dispatcher.run()
    this.settle()
    return true
  }

  /**
   * The connection of a borrow has failed its check, or could not be made ready although it is alive. If the result is an error,
   * the borrow has to fail with it: the connection was new, so this is a failed dial, whose cause is `failure`. Otherwise the
   * borrow has to return to its queue by {@link wait}, which takes the connection away from it.
   */
  reject(lease: Lease<K, A>, isAlive: boolean, failure?: unknown): PoolError | undefined {
    const { connection } = lease
    if (connection === undefined) return undefined
    this.#store.worsen(connection, { fitness: "Unfit", reason: "check_failed" })
    // The failure is counted before the slot is free, so that the next dial is delayed. A borrow whose time is over times out
    // instead.
    const error = this.remaining(lease) > 0 ? this.dials.notReady(connection, isAlive, failure) : undefined
    if (!isAlive || connection.trial === "Over") this.#health.rejected(connection)
    return error === undefined ? undefined : this.refuse(error)
  }

  readonly timeoutOf = (lease: Lease<K, A>) => this.refuse(this.#timeouts.errorOf(lease))

  /** The error of a borrow of a pool that has ended. */
  refuseClosed(label: string): PoolError {
    return this.refuse(Diagnostics.poolClosed(label, this.#env.settings))
  }

  /** Counts a borrow that fails with this error, and returns the error. */
  refuse(error: PoolError): PoolError {
    const { _tag, key } = error.reason
    this.#env.tally.refusals[_tag]++
    this.observers.current?.refused(_tag, key)
    return error
  }

  // ---- operating -----------------------------------------------------------------------------------------------------

  readonly stats = (): Stats => Diagnostics.statsOf(this.#endpoints.all(), this.#env, this.#status)

  readonly summary = (): Summary => Diagnostics.summaryOf(this.#endpoints.all(), this.#env, this.#status)

  /** What an operator sees: at most this number of endpoints and of holders. */
  inspect(most: number): Inspection {
    const now = this.#clock.now()
    const healthOf = (endpoint: PoolEndpoint<K, A>) => this.#health.noted(endpoint, now)
    return inspectionOf({ name: this.#env.settings.name, endpoints: this.#endpoints.all(), now, healthOf }, most)
  }

  /** Evicts the connections of the endpoints with this text. The result is `false` if there is none. */
  evictEndpoint(label: string): boolean {
    const found = this.#endpoints.all().filter((endpoint) => endpoint.label === label)
    for (const { key } of found) this.evict(key)
    return found.length > 0
  }

  /** Ends the lease with this number of {@link inspect}. The result is `false` if there is none. */
  endLease(id: number): boolean {
    const isFound = this.#leases.endLease(id)
    this.settle()
    return isFound
  }

  /** The leases that are held, at most this number of them. */
  leases(most: number): Iterable<HeldLease> {
    return Diagnostics.heldLeases(this.#store.all(), most)
  }

  health(key: K): Health {
    const endpoint = this.#endpoints.find(key)
    return endpoint === undefined ? "Healthy" : this.#health.healthOf(endpoint, this.#clock.now())
  }

  /** Never leases this connection again: closes it now if it is idle, on its return if it is leased. */
  invalidate(value: A): void {
    for (const connection of this.#store.find(value)) this.#discard(connection, evicted)
    this.settle()
  }

  /** Closes idle connections now, leased ones on their return, and those that are being opened as soon as they are open. */
  evict(key?: K): void {
    const endpoints = this.#endpoints.all(key)
    for (const endpoint of endpoints) endpoint.generation++
    // All generations are raised first, so that connections that are opened in the freed slots are not evicted.
    for (const connection of endpoints.flatMap(({ connections }) => connections)) this.#discard(connection, evicted)
    this.settle()
  }

  /** Ends the dials of the endpoints for which no borrower waits. Their failed attempts do not count for later borrowers. */
  endDials(): void {
    for (const endpoint of this.#endpoints.all()) if (endpoint.queue.size === 0) this.dials.endSeries(endpoint)
    this.settle()
  }

  /** Calls `notify` once, when a connection has to be given back. The returned function cancels this. */
  recalled(value: A, notify: (recall: Recall) => void): () => void {
    const forget = this.#recalls.add(value, notify)
    this.settle()
    return forget
  }

  /** Closes the idle connections above the minimum, and returns them. */
  readonly shrink = () => this.#env.outbox.step(() => this.#store.shrink())

  /** Keeps a connection for its present borrowers. The returned function ends this reservation. */
  reserve(value: A): () => void {
    const connections = this.#store.reserve(value)
    return () => {
      for (const connection of this.#store.unreserve(connections)) {
        this.#cycle.makeAvailable(connection, this.#clock.now())
      }
      this.settle()
    }
  }

  suspend(mode: "wait" | "fail"): void {
    if (this.isOver) return
    this.#status = mode === "wait" ? "Waiting" : "Refusing"
    if (mode === "fail") this.#waiting.refuseAll((endpoint) => Diagnostics.poolSuspended(endpoint, this.#env.settings))
    this.settle()
  }

  resume(): void {
    if (this.#status !== "Waiting" && this.#status !== "Refusing") return
    this.#status = "Open"
    this.#dispatcher.run()
    this.settle()
  }

  /** Changes the caps. Connections over a cap are closed when no borrower has them. */
  resize(caps: { readonly maxPerEndpoint: number; readonly maxTotal: number }): void {
    Object.assign(this.#env.settings, caps)
    this.#store.resize()
    this.#store.trim()
    this.#recalls.check(this.#clock.now())
    this.dials.reconsiderAll()
    this.#dispatcher.run()
    // Whether more connections can be opened is a part of the health of an endpoint.
    this.observers.current?.judged()
    this.settle()
  }

  /** Refuses new borrowers, fails waiting borrowers, interrupts dials and closes idle connections. */
  startDraining(): void {
    if (this.isOver) return
    this.#status = "Draining"
    this.#waiting.refuseAll(({ label }) => Diagnostics.poolClosed(label, this.#env.settings))
    this.dials.interruptAll()
    for (const connection of this.#store.idle()) this.#store.retire(connection, "drained")
    this.#recalls.check(this.#clock.now())
    this.settle()
  }

  /** Closes all connections, also those that are leased. */
  readonly force = () => this.#env.outbox.step(() => this.#store.retireAll("drained"))

  /** Calls `callback` once, as soon as no connection is open, being opened or closing. */
  readonly whenEmptied = (callback: () => void) => this.#slots.whenEmptied(callback)

  /** Ends the pool when all its connections are closed. */
  shutDown(): void {
    this.#status = "Closed"
    this.#deadlines.stop()
    this.#health.stop()
    this.#housekeeper.stop()
  }

  // ---- events that follow commands -----------------------------------------------------------------------------------

  /** Whether a dial starts now. If not, its slot is free. */
  dialStarts(dial: PendingDial<K, A>): boolean {
    return this.#env.outbox.step(() => this.dials.starts(dial))
  }

  /** The fiber of a dial has ended. */
  dialEnded(dial: PendingDial<K, A>): void {
    this.dials.ended(dial)
    this.#dispatcher.run()
    this.settle()
  }

  /** The events of closing this connection. */
  closeEvents({ owner, slot }: PooledConnection<K, A>): CloseEvents {
    return {
      freed: () => this.#env.outbox.step(() => this.#slots.free(owner, slot)),
      leftBehind: () => this.#slots.leftBehind(owner, "Close")
    }
  }

  /** The probe of a connection without a borrower has ended. `Unknown`: the probe was interrupted or has died. */
  checked(connection: PooledConnection<K, A>, outcome: "Works" | "Fails" | "Unknown"): void {
    const { check, owner } = connection
    if (outcome === "Works") this.#checks.passed(connection)
    else {
      if (check === "KeepAlive" && outcome === "Fails") this.#health.rejected(connection)
      this.#store.retire(connection, "check_failed")
    }
    // After a reset. A connection whose reset has failed is closing by now, and `makeAvailable` ignores it.
    if (check !== "KeepAlive") this.#cycle.makeAvailable(connection, connection.provenAt)
    else if (outcome === "Works") {
      this.#health.succeeded(owner)
      this.#housekeeper.at(this.#store.dueAt(connection))
      this.#dispatcher.run()
    }
    this.settle()
  }

  // ---- waiting and opening -------------------------------------------------------------------------------------------

  #arrive(connection: PooledConnection<K, A>): void {
    const { owner, slot } = connection
    this.#store.arrive(connection)
    this.#endpoints.opened(owner)
    this.observers.current?.opened(this.#clock.now() - slot.since)
    this.#liveness.opened(connection)
    connection.watcher?.addObserver(() => this.#env.outbox.step(() => this.#died(connection)))
    if (slot.generation !== owner.generation) return this.#store.retire(connection, "evicted")
    if (connection.fitness !== "Fit") {
      // The connection has died already. A server that closes new connections at once counts as down. The failure is counted before
      // the slot is free, so that the next dial is delayed.
      this.dials.unusable(owner, new ConnectionDied({ key: owner.label }))
      return this.#store.retire(connection, "died_idle")
    }
    this.dials.arrived(connection, this.#status === "Open")
    // The borrowers of this endpoint are served before the slot can go to another endpoint.
    this.#cycle.makeAvailable(connection, this.#clock.now())
  }

  #died(connection: PooledConnection<K, A>): void {
    const { leases, state } = connection
    if (state === "Closing") return
    this.#liveness.died(connection, this.#clock.now())
    // Borrowers that wait for a turn have not used the connection. They look for another connection before the slot is free.
    const unheard = leases.filter(({ turn }) => turn !== "None")
    const isUnused = unheard.length === leases.length
    if (state === "Idle" || leases.length > 0 && isUnused) this.dials.lost(connection)
    this.#discard(connection, { fitness: "Dead", reason: isUnused ? "died_idle" : "died_leased" })
    for (const lease of unheard) this.#turnWaits.wake(lease)
    if (leases.length === unheard.length) return
    // Two turns let the other borrowers notice the death first. After that the slot is freed, also if a borrower does not end.
    this.#env.nextTurn(() => this.#env.nextTurn(() => this.#env.outbox.step(() => this.dials.closeDead(connection))))
  }

  /** Closes a connection, now or on its return. Borrowers that would have shared it after its check are served otherwise. */
  #discard(connection: PooledConnection<K, A>, doom: Doom): void {
    const { check } = connection
    this.#store.discard(connection, doom)
    this.#recalls.check(this.#clock.now())
    if (check === "Borrower") this.#dispatcher.run()
  }

  #refuseLate(now: number): number {
    return this.#waiting.refuseLate(now, () => this.#timeouts.errorsNow())
  }

  /** A borrower has left its queue. */
  #hasLeft({ connection, owner }: Lease<K, A>): void {
    if (this.#waiting.isEmpty) this.#deadlines.release()
    if (owner.connecting > 0 && owner.queue.size === 0) this.dials.reconsider(owner)
    this.#health.queueChanged(owner)
    if (connection === undefined) this.#slots.forgetIfEmpty(owner)
  }

  // ---- time ----------------------------------------------------------------------------------------------------------

  /** Does what is due by age, for connections, leases and endpoints. Returns when the next sweep is due. */
  #housekeep(): number {
    const now = this.#clock.synchronize()
    const next = Math.min(this.#leases.check(now), this.#checks.checkIdle(now), this.#store.closeOld(now))
    const nextRecall = this.#recalls.check(now)
    const nextToForget = this.#endpoints.forget(now)
    this.#dispatcher.run()
    // The health of an endpoint may have changed, because its next attempt is due.
    this.observers.current?.judged()
    const nextDial = nextDialOf([...this.#waiting.turns, ...this.#endpoints.lacking()], now)
    return Math.min(next, nextRecall, nextToForget, nextDial, this.#health.nextChange(now))
  }
}
