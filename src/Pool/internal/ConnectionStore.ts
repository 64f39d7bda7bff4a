/**
 * The connections of a pool and their slots: which are idle, which are leased, and which are closing.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type { CloseReason } from "../CloseReason.ts"
import type { PoolError } from "../PoolError.ts"
import type { Settings } from "../PoolOptions.ts"
import type { Tally } from "../PoolStats.ts"
import { isOverCap } from "./Admission.ts"
import { type EndpointPool, makeStrategy, type Strategy } from "./EndpointPool.ts"
import { checkAt, expiresAt, nextSweep } from "./Expiry.ts"
import {
  type CoreEnvironment,
  type Doom,
  type Fitness,
  type Lease,
  LedgerEntry,
  type PooledConnection,
  type PoolEndpoint,
  removeFrom,
  type Slot
} from "./PoolState.ts"

/** For each fitness, the better ones. */
const worse: Record<Fitness, ReadonlyArray<Fitness>> = {
  Fit: [],
  Outgoing: ["Fit"],
  Unfit: ["Fit", "Outgoing"],
  Dead: ["Fit", "Outgoing", "Unfit"]
}

/** The most connections that are searched for those of a borrower that has to wait. */
const maxSearched = 256

/** Keeps the connections of a pool and counts their slots. No other module writes a connection's `state` or the counts of slots. */
export class ConnectionStore<K, A> {
  readonly #env: CoreEnvironment<K, A>
  readonly #settings: Settings
  readonly #tally: Tally
  readonly #strategy: Strategy<Lease<K, A>, PooledConnection<K, A>>
  /** The endpoints that have an Effect `Pool`. */
  readonly #endpoints = new Set<PoolEndpoint<K, A>>()
  #open = 0
  #idle = 0
  #slots = 0
  #closing = 0

  /** `released` ends the borrow of a lease. */
  constructor(
    env: CoreEnvironment<K, A>,
    released: (lease: Lease<K, A>, exit: Exit.Exit<unknown, unknown>) => Effect.Effect<void, PoolError> | undefined
  ) {
    const { settings, tally } = env
    this.#env = env
    this.#settings = settings
    this.#tally = tally
    this.#strategy = makeStrategy({
      isShared: settings.concurrency > 1,
      released,
      expiresAt: ({ connection }) => connection === undefined ? Infinity : expiresAt(connection, settings)
    })
  }

  /** The endpoints that have a connection, or a dial. */
  get endpoints(): ReadonlySet<PoolEndpoint<K, A>> {
    return this.#endpoints
  }

  /** The number of slots that are taken. */
  get slots(): number {
    return this.#slots
  }

  get closing(): number {
    return this.#closing
  }

  /** How many connections are idle, and not being checked. */
  get idleCount(): number {
    return this.#idle
  }

  /** Whether any connection is leased, checked or reset. */
  get hasLeased(): boolean {
    return this.#open > this.#idle
  }

  /** The idle connections, the longest idle one first. */
  idle(): ReadonlyArray<PooledConnection<K, A>> {
    const idle = this.all().filter(({ state }) => state === "Idle")
    return idle.sort((left, right) => left.idleSince - right.idleSince)
  }

  /** The connections with this value: one, unless a connector returned the same value twice. */
  find(value: A): ReadonlyArray<PooledConnection<K, A>> {
    return this.all().filter((connection) => connection.value === value)
  }

  /** How many connections are idle or leased. */
  get size(): number {
    return this.#open
  }

  /** All connections that are idle or leased now. */
  all(): Array<PooledConnection<K, A>> {
    const all: Array<PooledConnection<K, A>> = []
    for (const { connections } of this.#endpoints) for (const connection of connections) all.push(connection)
    return all
  }

  /** The connections to search for those of a borrower: all of the pool, or those of one endpoint if the pool has too many. */
  around(endpoint: PoolEndpoint<K, A>): Iterable<PooledConnection<K, A>> {
    return this.#open > maxSearched ? endpoint.connections : this.all()
  }

  /** Takes a slot for a dial, with an item of Effect's Pool in whose scope the connection is opened. */
  takeSlot(endpoint: PoolEndpoint<K, A>, now: number): Slot<K, A> {
    endpoint.connecting++
    this.#slots++
    const item = this.#poolOf(endpoint).open()
    return { state: "Connecting", since: now, generation: endpoint.generation, item, ledgerEntry: new LedgerEntry() }
  }

  #poolOf(endpoint: PoolEndpoint<K, A>): EndpointPool<Lease<K, A>, PooledConnection<K, A>> {
    if (endpoint.pool !== undefined) return endpoint.pool
    this.#endpoints.add(endpoint)
    const { concurrency, maxPerEndpoint: max } = this.#settings
    return endpoint.pool = this.#env.makePool({
      clock: this.#env.clock.lastReading,
      concurrency,
      max,
      strategy: this.#strategy
    })
  }

  /** Removes the item of a slot from Effect's Pool. That pool ends when its last item is removed. */
  #removeItem(endpoint: PoolEndpoint<K, A>, { item }: Slot<K, A>): void {
    const { pool } = endpoint
    if (pool === undefined) return
    pool.remove(item)
    if (!pool.isEmpty) return
    endpoint.pool = undefined
    this.#endpoints.delete(endpoint)
    pool.end()
  }

  /** Frees a slot. `false` if it was free already. */
  freeSlot(endpoint: PoolEndpoint<K, A>, slot: Slot<K, A>): boolean {
    if (slot.state === "Free") return false
    if (slot.state === "Connecting") {
      endpoint.connecting--
      this.#removeItem(endpoint, slot)
    } else if (slot.state === "LeftBehind") endpoint.kept--
    else {
      endpoint.closing--
      this.#closing--
    }
    slot.state = "Free"
    this.#slots--
    return true
  }

  /** Keeps the slot of a connect that was left behind. The slot counts against the caps, and no connection is open in it. */
  keepSlot(endpoint: PoolEndpoint<K, A>, slot: Slot<K, A>): void {
    endpoint.connecting--
    endpoint.kept++
    this.#removeItem(endpoint, slot)
    slot.state = "LeftBehind"
  }

  /** The dial has succeeded: the connection is open, and not leased yet. */
  arrive(connection: PooledConnection<K, A>): void {
    const { owner, slot } = connection
    owner.connecting--
    owner.connections.push(connection)
    slot.state = "Open"
    slot.item.connection = connection
    this.#open++
    this.#tally.opened++
  }

  /** The connection of this endpoint that Effect's Pool leases next. Connections that are too old are closed first. */
  available(endpoint: PoolEndpoint<K, A>, now: number): PooledConnection<K, A> | undefined {
    for (
      let next = endpoint.pool?.next?.connection;
      next !== undefined;
      next = endpoint.pool?.next?.connection
    ) {
      if (next.state === "Idle" ? this.isFresh(next, now) : !this.isExpired(next, now)) return next
      this.discard(next, { fitness: "Outgoing", reason: this.staleReason(next, now) })
    }
    return undefined
  }

  /** Whether an idle connection may still be leased. */
  isFresh(connection: PooledConnection<K, A>, now: number): boolean {
    return !this.isExpired(connection, now) && this.isFit(connection)
  }

  /** Whether a connection is too old to be leased. */
  isExpired(connection: PooledConnection<K, A>, now: number): boolean {
    return now >= this.expiresAt(connection)
  }

  /** Whether a connection may be used as far as the pool and the connector know. */
  isFit({ doom, value }: PooledConnection<K, A>): boolean {
    return (doom === undefined || doom.fitness === "Outgoing") && this.#env.isReusable?.(value) !== false
  }

  /** Closes the idle connections that are too old. Returns when the next one will be too old. */
  closeOld(now: number): number {
    const idle = this.idle()
    for (const connection of idle) if (!this.isFresh(connection, now)) this.retireStale(connection, now)
    return nextSweep(idle, (connection) => this.expiresAt(connection), now)
  }

  /** Closes an idle connection that is too old or not reusable. */
  retireStale(connection: PooledConnection<K, A>, now: number): void {
    this.retire(connection, this.staleReason(connection, now))
  }

  /** The reason to close a connection that is too old, or an idle one that is not fresh. */
  staleReason(connection: PooledConnection<K, A>, now: number): CloseReason {
    if (!this.isExpired(connection, now)) return "unfit"
    return now >= connection.openedAt + connection.lifetime ? "lifetime" : "idle"
  }

  /** When an idle connection is to be checked. */
  checkAt(connection: PooledConnection<K, A>): number {
    return connection.check === "KeepAlive" ? Infinity : checkAt(connection, this.#settings)
  }

  /** When a connection is too old to be leased. */
  expiresAt({ slot }: PooledConnection<K, A>): number {
    return this.#strategy.expiresAt(slot.item)
  }

  /** The moment at which an idle connection is to be checked or closed. */
  dueAt(connection: PooledConnection<K, A>): number {
    return Math.min(this.checkAt(connection), this.expiresAt(connection))
  }

  lease(connection: PooledConnection<K, A>, lease: Lease<K, A>, now: number): void {
    // The connection may have been idle. Or its previous borrower had to check it and ended before the check.
    if (connection.leases.length === 0) {
      lease.mustCheck = this.#env.hasCheck && now - connection.provenAt > this.#settings.checkAfterIdle
      if (lease.mustCheck && this.#settings.concurrency > 1) this.#setProving(connection, true)
    }
    if (connection.state === "Idle") {
      this.#countIdle(connection, -1)
      connection.state = "Leased"
    }
    connection.leases.push(lease)
    lease.connection = connection
    lease.borrowedAt = now
    this.#tally.borrowed++
  }

  /** Leases the item of a connection in Effect's Pool, unless a lease of the item is left by a dial or an ended borrow. */
  takeItem(connection: PooledConnection<K, A>): void {
    const { leases, owner, slot: { item } } = connection
    if (item.leases < leases.length) owner.pool?.take(item)
    this.keepRoom(connection)
  }

  /** Ends the lease of an item that a borrow, a dial or a check has left in Effect's Pool. */
  returnItem(connection: PooledConnection<K, A>): void {
    const { check, leases, owner, slot, state } = connection
    const isLeft = slot.state === "Open" && slot.item.leases > leases.length
    // The lease stays while the connection is checked or reset.
    if (isLeft && check !== "KeepAlive" && (state === "Idle" || leases.length > 0)) owner.pool?.release(slot.item)
  }

  /** Takes a connection back from one of its borrowers. */
  release(connection: PooledConnection<K, A>, lease: Lease<K, A>): void {
    removeFrom(connection.leases, lease)
    lease.connection = undefined
    lease.mustCheck = false
    if (connection.state === "Closing") connection.owner.detached--
    // A connection in a `Borrower` check has one borrower.
    this.#setProving(connection, false)
  }

  /** Whether a connection can be leased to one more borrower. */
  hasRoom(connection: PooledConnection<K, A>): boolean {
    return connection.doom === undefined && connection.check === "None" && connection.state !== "Closing" &&
      connection.reservations === 0 && connection.leases.length < this.#settings.concurrency
  }

  /** The `Borrower` check of a connection has passed. Others may share the connection. */
  proved(connection: PooledConnection<K, A>): void {
    this.#setProving(connection, false)
    this.keepRoom(connection)
  }

  /** The connection has no borrower any more and becomes idle. */
  addIdle(connection: PooledConnection<K, A>, now: number): void {
    connection.state = "Idle"
    connection.idleSince = now
    this.#countIdle(connection, 1)
    this.keepRoom(connection)
  }

  #countIdle({ owner }: PooledConnection<K, A>, by: number): void {
    owner.idle += by
    this.#idle += by
  }

  /**
   * Begins the check of an idle connection. Its item is leased during the check, so that Effect's Pool leases it to no borrower.
   */
  beginCheck(connection: PooledConnection<K, A>): void {
    connection.check = "KeepAlive"
    this.#countIdle(connection, -1)
    connection.owner.pool?.take(connection.slot.item)
    this.keepRoom(connection)
  }

  endCheck(connection: PooledConnection<K, A>): void {
    connection.check = "None"
    // The connection may have been evicted during its check.
    if (connection.state === "Idle") this.#countIdle(connection, 1)
    this.keepRoom(connection)
    this.returnItem(connection)
    // A check does not count as a use, and the next borrower gets the connection that was used last.
    connection.owner.pool?.moveBefore(
      connection.slot.item,
      (other) => other.connection?.state === "Idle" && other.connection.idleSince < connection.idleSince
    )
  }

  /** Keeps the connections with this value for their present borrowers, until the reservation ends. */
  reserve(value: A): ReadonlyArray<PooledConnection<K, A>> {
    const connections = this.find(value)
    for (const connection of connections) this.#reserve(connection, 1)
    return connections
  }

  /** Ends a reservation. Returns the connections that others may share now. A connection without borrowers may be in a reset. */
  unreserve(connections: ReadonlyArray<PooledConnection<K, A>>): ReadonlyArray<PooledConnection<K, A>> {
    for (const connection of connections) this.#reserve(connection, -1)
    return connections.filter((connection) => connection.leases.length > 0 && this.hasRoom(connection))
  }

  #reserve(connection: PooledConnection<K, A>, by: number): void {
    connection.reservations += by
    this.keepRoom(connection)
  }

  /** Lowers the fitness of a connection, unless it is as low already. */
  worsen(connection: PooledConnection<K, A>, doom: Doom): void {
    if (worse[doom.fitness].includes(connection.fitness)) connection.doom = doom
  }

  /** Leases a connection to no further borrower. Closes it now if it is idle, or else when its last lease ends. */
  discard(connection: PooledConnection<K, A>, doom: Doom): void {
    this.worsen(connection, doom)
    this.#setProving(connection, false)
    if (connection.state === "Idle") this.retire(connection, doom.reason)
    else this.keepRoom(connection)
  }

  /** Closes a connection, now if it has no leases, or else when its last lease ends. */
  dismiss(connection: PooledConnection<K, A>, reason: CloseReason): void {
    if (connection.leases.length === 0) return this.retire(connection, reason)
    this.discard(connection, { fitness: "Outgoing", reason })
    this.returnItem(connection)
  }

  /** Starts closing all connections, leased or not. */
  retireAll(reason: CloseReason): void {
    for (const connection of this.all()) this.retire(connection, reason)
  }

  /** Starts closing a connection, leased or not. A connection that is closing already keeps its first reason. */
  retire(connection: PooledConnection<K, A>, reason: CloseReason): void {
    const { openedAt, owner, slot } = connection
    if (connection.state === "Closing") return
    if (connection.state === "Idle" && connection.check === "None") this.#countIdle(connection, -1)
    this.#setProving(connection, false)
    connection.state = "Closing"
    slot.state = "Closing"
    this.#removeItem(owner, slot)
    removeFrom(owner.connections, connection)
    owner.closing++
    owner.detached += connection.leases.length
    this.#closing++
    this.#open--
    this.#tally.closedBy[reason]++
    const { clock, observers, outbox } = this.#env
    observers.current?.closed(reason, Math.max(clock.now() - openedAt, 0))
    outbox.push({ _tag: "Close", connection })
  }

  /** Closes a connection for another endpoint. The result is `false` if there is no victim. */
  evict(victim: PooledConnection<K, A> | undefined): boolean {
    if (victim === undefined) return false
    this.#tally.evicted++
    this.retire(victim, "evicted_for_other")
    return true
  }

  /** Applies a changed `maxPerEndpoint` to Effect's Pools. */
  resize(): void {
    for (const { pool } of this.#endpoints) pool?.resize(this.#settings.maxPerEndpoint)
  }

  /** Closes the idle connections that are over the caps, and recalls those with standing leases that are. */
  trim(): void {
    for (const connection of this.idle()) {
      if (isOverCap(connection.owner, this, this.#settings)) this.retire(connection, "evicted")
    }
    this.#recallStanding()
  }

  /**
   * Discards as many connections with standing leases as are over the caps on their own. Other leased connections are returned
   * soon.
   */
  #recallStanding(): void {
    const { maxPerEndpoint, maxTotal } = this.#settings
    let ofPool = 0
    for (const { connections } of this.#endpoints) {
      let ofEndpoint = 0
      for (const connection of connections) {
        if (connection.fitness !== "Fit" || !connection.leases.some(({ isStanding }) => isStanding)) continue
        if (++ofEndpoint <= maxPerEndpoint && ++ofPool <= maxTotal) continue
        this.discard(connection, { fitness: "Outgoing", reason: "evicted" })
      }
    }
  }

  /** Closes the idle connections above the minimum, and returns them. */
  shrink(): ReadonlyArray<PooledConnection<K, A>> {
    return this.idle().filter((connection) => {
      if (connection.owner.connections.length <= this.#settings.minPerEndpoint) return false
      this.retire(connection, "idle")
      return true
    })
  }

  #setProving(connection: PooledConnection<K, A>, proving: boolean): void {
    if ((connection.check === "Borrower") === proving) return
    connection.check = proving ? "Borrower" : "None"
    connection.owner.proving += proving ? 1 : -1
  }

  /**
   * Hides the free room of a connection from Effect's Pool while no further borrower may have it: during a check, while the
   * connection is between two borrowers or reserved, and when it is not fit.
   */
  keepRoom(connection: PooledConnection<K, A>): void {
    if (this.#settings.concurrency > 1 && connection.slot.state === "Open") this.#keepRoom(connection)
  }

  #keepRoom({ check, doom, leases, owner, reservations, slot, state }: PooledConnection<K, A>): void {
    const isKept = state === "Leased" && (leases.length === 0 || reservations > 0)
    if (doom !== undefined || check !== "None" || isKept) owner.pool?.reserve(slot.item)
    else owner.pool?.unreserve(slot.item)
  }
}
