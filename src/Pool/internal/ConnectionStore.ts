/**
 * The connections of a pool and their slots: which are idle, which are leased, and which are closing.
 *
 * @since 0.1.0
 */
import type * as Fiber from "effect/Fiber"
import type { Connector } from "../../Resource/Connector.ts"
import type { Settings } from "../PoolOptions.ts"
import type { Tally } from "../PoolStats.ts"
import { mostWaiting } from "./Admission.ts"
import { checkAt, freshUntil, isOverAge, Lifetimes } from "./Expiry.ts"
import { type Lease, type PooledConnection, type PoolEndpoint, removeFrom, type Slot, slotsOf } from "./PoolState.ts"

/** What the store needs from outside. */
export interface StoreParts<K, A> {
  readonly settings: Settings
  readonly tally: Tally
  /** Whether connectors can check a connection. */
  readonly hasCheck: boolean
  readonly isReusable: Connector<K, A>["isReusable"]
  /** Starts closing a connection; `freeSlot` follows when it is gone, perhaps before this returns, and then the fiber ends. */
  readonly close: (connection: PooledConnection<K, A>) => Fiber.Fiber<void>
}

/** It is asked about each connection that comes back, so that this is made once. */
const nothingEnding = { ofEndpoint: 0, ofPool: 0 }

/** Connections that are looked through when a borrower has to wait. */
const maxSearched = 256

/** Keeps the connections of a pool and counts their slots. It is the one writer of a connection's `state` and of the counts of slots. */
export class ConnectionStore<K, A> {
  readonly #settings: Settings
  readonly #tally: Tally
  readonly #hasCheck: boolean
  readonly #isReusable: Connector<K, A>["isReusable"]
  readonly #close: StoreParts<K, A>["close"]
  readonly #all = new Roster<K, A>()
  readonly #idle = new IdleList<K, A>()
  readonly #lifetimes = new Lifetimes<PooledConnection<K, A>>()
  #slots = 0
  #closing = 0

  constructor({ close, hasCheck, isReusable, settings, tally }: StoreParts<K, A>) {
    this.#settings = settings
    this.#tally = tally
    this.#hasCheck = hasCheck
    this.#isReusable = isReusable
    this.#close = close
  }

  /** Slots that are taken: `connecting + idle + leased + closing`. */
  get slots(): number {
    return this.#slots
  }

  get closing(): number {
    return this.#closing
  }

  /**
   * Every slot is taken by a connection that is being opened or leased, or that closes for a borrower who has claimed its slot,
   * and none of these has room for another borrower.
   */
  isExhausted(unclaimed: number): boolean {
    return this.#slots >= this.#settings.maxTotal && unclaimed === 0 && this.#idle.isEmpty &&
      this.#settings.concurrency === 1
  }

  /** Whether a connection is not idle: it is leased, or is being checked or reset for a lease. */
  get hasLeased(): boolean {
    return this.#all.size > this.#idle.size
  }

  get idle(): IdleList<K, A> {
    return this.#idle
  }

  /** The connections with this value: one, unless a connector returned the same value twice. */
  find(value: A): ReadonlyArray<PooledConnection<K, A>> {
    return this.#all.find(value)
  }

  /** The connections that are idle or leased, as they come and go. */
  get connections(): Roster<K, A> {
    return this.#all
  }

  /** All connections that are idle or leased now. */
  all(): ReadonlyArray<PooledConnection<K, A>> {
    return [...this.#all]
  }

  /** Where to look for a borrower's own connections: everywhere, unless that is more than a borrow should cost. */
  around(endpoint: PoolEndpoint<K, A>): Iterable<PooledConnection<K, A>> {
    return this.#all.size > maxSearched ? endpoint.connections : this.#all
  }

  takeSlot(endpoint: PoolEndpoint<K, A>, now: number): Slot {
    endpoint.connecting++
    this.#slots++
    return { state: "Connecting", since: now, generation: endpoint.generation }
  }

  /** Frees a slot, once; `false` if it is free already. */
  freeSlot(endpoint: PoolEndpoint<K, A>, slot: Slot): boolean {
    if (slot.state === "Free") return false
    if (slot.state === "Connecting") endpoint.connecting--
    else if (slot.state === "LeftBehind") endpoint.kept--
    else {
      endpoint.closing--
      this.#closing--
    }
    slot.state = "Free"
    this.#slots--
    return true
  }

  /** The connect was left behind: its slot is not free, and serves no borrower either. */
  keepSlot(endpoint: PoolEndpoint<K, A>, slot: Slot): void {
    endpoint.connecting--
    endpoint.kept++
    slot.state = "LeftBehind"
  }

  /** The dial has succeeded: the connection is open, and not leased yet. */
  arrive(connection: PooledConnection<K, A>): void {
    const { owner, slot } = connection
    owner.connecting--
    owner.connections.push(connection)
    slot.state = "Open"
    this.#all.add(connection)
    this.#lifetimes.add(connection)
    this.#tally.opened++
  }

  /**
   * A connection of this endpoint that can be leased now: the warmest that has room beside its borrowers, else the warmest
   * idle one. What is found too old is closed.
   */
  available(endpoint: PoolEndpoint<K, A>, now: number): PooledConnection<K, A> | undefined {
    for (let roomy = endpoint.roomy.at(-1); roomy !== undefined; roomy = endpoint.roomy.at(-1)) {
      if (!isOverAge(roomy, now)) return roomy
      this.#tally.expired++
      this.discard(roomy)
    }
    for (let index = endpoint.idle.length - 1; index >= 0; index--) {
      const connection = endpoint.idle[index]
      if (connection === undefined || connection.checking) continue
      if (this.isFresh(connection, now)) return connection
      this.retireStale(connection)
    }
    return undefined
  }

  /** Whether an idle connection may still be leased. The minimum is kept however long it is idle. */
  isFresh(connection: PooledConnection<K, A>, now: number): boolean {
    return now < this.freshUntil(connection) && this.isFit(connection)
  }

  /** Whether nothing that is known of a connection keeps it from being leased. */
  isFit({ unfit, value }: PooledConnection<K, A>): boolean {
    return !unfit && this.#isReusable?.(value) !== false
  }

  /** The moment at which an idle connection stops being fresh. */
  freshUntil(connection: PooledConnection<K, A>): number {
    const { idleTimeout, minPerEndpoint } = this.#settings
    return freshUntil(connection, connection.owner.connections.length <= minPerEndpoint ? Infinity : idleTimeout)
  }

  /** Whether an idle connection is due for its keep-alive check. */
  mustBeChecked(connection: PooledConnection<K, A>, now: number): boolean {
    return connection.state === "Idle" && now >= this.checkAt(connection)
  }

  /**
   * Closes the idle connections that are too old, and returns when the next one will be. It looks at those alone, however
   * many others are idle.
   */
  closeOld(now: number): number {
    const { idleTimeout } = this.#settings
    const tooLong: Array<PooledConnection<K, A>> = []
    const over = this.#lifetimes.takeOver(now)
    let { next } = this.#lifetimes
    for (const connection of this.#idle) {
      const until = connection.idleSince + idleTimeout
      if (until > now) {
        next = Math.min(next, until)
        break
      }
      tooLong.push(connection)
    }
    for (const connection of [...tooLong, ...over]) this.#closeIfOld(connection, now)
    return next
  }

  #closeIfOld(connection: PooledConnection<K, A>, now: number): void {
    if (connection.state === "Idle" && !this.isFresh(connection, now)) this.retireStale(connection)
  }

  /** Closes an idle connection that must not be leased any more. */
  retireStale(connection: PooledConnection<K, A>): void {
    this.#tally.expired++
    this.retire(connection)
  }

  /** When an idle connection is to be checked. */
  checkAt(connection: PooledConnection<K, A>): number {
    return connection.checking ? Infinity : checkAt(connection, this.#settings)
  }

  /** The moment at which an idle connection is to be checked or closed. */
  dueAt(connection: PooledConnection<K, A>): number {
    return Math.min(this.checkAt(connection), this.freshUntil(connection))
  }

  lease(connection: PooledConnection<K, A>, lease: Lease<K, A>, now: number): void {
    // It may also come from a borrower that had to check it, and left before that.
    if (connection.leases.length === 0) {
      lease.mustCheck = this.#hasCheck && now - connection.provenAt > this.#settings.checkAfterIdle
      if (lease.mustCheck && this.#settings.concurrency > 1) this.#setProving(connection, true)
    }
    if (connection.state === "Idle") {
      this.#idle.remove(connection)
      connection.state = "Leased"
    }
    connection.leases.push(lease)
    if (this.#settings.concurrency > 1) this.#noteRoom(connection)
    lease.connection = connection
    lease.borrowedAt = now
    lease.state = "Holding"
    this.#tally.borrowed++
  }

  /** Takes a connection back from one of its borrowers. */
  release(connection: PooledConnection<K, A>, lease: Lease<K, A>): void {
    removeFrom(connection.leases, lease)
    if (connection.state === "Closing") connection.owner.detached--
    // Only one has a connection that is being proved.
    this.#setProving(connection, false)
    if (this.#settings.concurrency > 1) this.#noteRoom(connection)
  }

  /** Whether it can be leased to one more. */
  hasRoom(connection: PooledConnection<K, A>): boolean {
    return !connection.unfit && !connection.proving && connection.state !== "Closing" &&
      connection.reservations === 0 && connection.leases.length < this.#settings.concurrency
  }

  /** Its borrower's check has passed: others may share it. */
  proved(connection: PooledConnection<K, A>): void {
    this.#setProving(connection, false)
    this.#noteRoom(connection)
  }

  /** The connection has no borrower any more: it is idle. */
  addIdle(connection: PooledConnection<K, A>, now: number): void {
    if (connection.hasRoom) this.#forgetRoom(connection)
    this.#idle.add(connection, now)
  }

  /** Keeps the connections with this value for the borrowers that they have, until the reservation ends. */
  reserve(value: A): ReadonlyArray<PooledConnection<K, A>> {
    const connections = this.find(value)
    for (const connection of connections) this.#reserve(connection, 1)
    return connections
  }

  /** Ends a reservation; returns those that others may share now. One without borrowers may just be being reset. */
  unreserve(connections: ReadonlyArray<PooledConnection<K, A>>): ReadonlyArray<PooledConnection<K, A>> {
    for (const connection of connections) this.#reserve(connection, -1)
    return connections.filter(({ hasRoom }) => hasRoom)
  }

  #reserve(connection: PooledConnection<K, A>, by: number): void {
    connection.reservations += by
    this.#noteRoom(connection)
  }

  /** Evicts a connection: closes it now if it is idle, or when its last lease ends. */
  discard(connection: PooledConnection<K, A>): void {
    connection.unfit = true
    this.#setProving(connection, false)
    if (connection.hasRoom) this.#forgetRoom(connection)
    if (connection.state === "Idle") this.retire(connection)
  }

  /** Closes a connection: now if no lease holds it, or when its last lease ends. */
  dismiss(connection: PooledConnection<K, A>): void {
    if (connection.leases.length === 0) this.retire(connection)
    else this.discard(connection)
  }

  /** Starts closing all connections, leased or not. */
  retireAll(): void {
    for (const connection of this.all()) this.retire(connection)
  }

  /** Starts closing a connection, leased or not. */
  retire(connection: PooledConnection<K, A>): void {
    this.#retire(connection)
  }

  #retire(connection: PooledConnection<K, A>): Fiber.Fiber<void> | undefined {
    const { owner, slot } = connection
    if (connection.state === "Closing") return undefined
    if (connection.state === "Idle") this.#idle.remove(connection)
    this.#setProving(connection, false)
    if (connection.hasRoom) this.#forgetRoom(connection)
    connection.state = "Closing"
    slot.state = "Closing"
    removeFrom(owner.connections, connection)
    owner.closing++
    owner.detached += connection.leases.length
    this.#closing++
    this.#all.remove(connection)
    this.#lifetimes.remove(connection)
    this.#tally.closed++
    connection.watcher?.interruptUnsafe()
    connection.probe?.interruptUnsafe()
    return this.#close(connection)
  }

  /**
   * The idle connection to evict for a borrower of this endpoint: the longest idle one of another. One whose endpoint
   * is at its minimum, or has borrowers waiting, is only taken when there is no other.
   */
  victimFor(endpoint: PoolEndpoint<K, A>): PooledConnection<K, A> | undefined {
    const { minPerEndpoint } = this.#settings
    let last: PooledConnection<K, A> | undefined
    for (const connection of this.#idle) {
      const { owner } = connection
      if (owner === endpoint || connection.checking) continue
      if (owner.queue.size === 0 && owner.connections.length > minPerEndpoint) return connection
      last ??= connection
    }
    return last
  }

  /** Closes an idle connection for another endpoint, if there is one; returns whether there was. */
  evict(victim: PooledConnection<K, A> | undefined): boolean {
    if (victim === undefined) return false
    this.#tally.evicted++
    this.retire(victim)
    return true
  }

  /** Most borrowers that may wait for an endpoint. A victim is only looked for where the number is limited. */
  mostWaiting(endpoint: PoolEndpoint<K, A>): number {
    if (this.#settings.maxWaiters === Infinity) return Infinity
    const hasVictim = this.victimFor(endpoint) !== undefined
    return mostWaiting(endpoint, this.#settings, { slots: this.#slots, closing: this.#closing, hasVictim })
  }

  /**
   * There are more connections than the caps allow, as after a cap was lowered. Those that are closing do not count, nor do so many
   * others of this endpoint, and of the pool, whose slots will be free.
   */
  isOverCap(endpoint: PoolEndpoint<K, A>, ending = nothingEnding): boolean {
    return this.#slots - this.#closing - ending.ofPool > this.#settings.maxTotal ||
      slotsOf(endpoint) - endpoint.closing - ending.ofEndpoint > this.#settings.maxPerEndpoint
  }

  /** Closes the idle connections that are over the caps. */
  trim(): void {
    for (const connection of [...this.#idle]) {
      // A finalizer may have a borrower take another one.
      if (connection.state === "Idle" && this.isOverCap(connection.owner)) this.retire(connection)
    }
  }

  /** Closes the idle connections above the minimum; the fibers end when that is done. */
  shrink(): ReadonlyArray<Fiber.Fiber<void>> {
    const isRedundant = ({ owner, state }: PooledConnection<K, A>) =>
      state === "Idle" && owner.connections.length > this.#settings.minPerEndpoint
    return [...this.#idle].flatMap((connection) => isRedundant(connection) ? this.#retire(connection) ?? [] : [])
  }

  #setProving(connection: PooledConnection<K, A>, proving: boolean): void {
    if (connection.proving === proving) return
    connection.proving = proving
    connection.owner.proving += proving ? 1 : -1
  }

  #noteRoom(connection: PooledConnection<K, A>): void {
    const hasRoom = connection.state === "Leased" && connection.leases.length > 0 && this.hasRoom(connection)
    if (hasRoom === connection.hasRoom) return
    if (!hasRoom) return this.#forgetRoom(connection)
    connection.hasRoom = true
    connection.owner.roomy.push(connection)
  }

  #forgetRoom(connection: PooledConnection<K, A>): void {
    connection.hasRoom = false
    removeFrom(connection.owner.roomy, connection)
  }
}

/**
 * A stack for each endpoint, so that the connection that was used last is used next and the others age, and a
 * linked list through all of them in the order in which they became idle, so that the longest idle is found at once.
 */
export class IdleList<K, A> implements Iterable<PooledConnection<K, A>> {
  #coldest: PooledConnection<K, A> | undefined
  #warmest: PooledConnection<K, A> | undefined
  #size = 0

  get size(): number {
    return this.#size
  }

  get isEmpty(): boolean {
    return this.#coldest === undefined
  }

  add(connection: PooledConnection<K, A>, now: number): void {
    connection.state = "Idle"
    connection.idleSince = now
    connection.owner.idle.push(connection)
    connection.colder = this.#warmest
    connection.warmer = undefined
    if (this.#warmest === undefined) this.#coldest = connection
    else this.#warmest.warmer = connection
    this.#warmest = connection
    this.#size++
  }

  remove(connection: PooledConnection<K, A>): void {
    removeFrom(connection.owner.idle, connection)
    const { colder, warmer } = connection
    if (colder === undefined) this.#coldest = warmer
    else colder.warmer = warmer
    if (warmer === undefined) this.#warmest = colder
    else warmer.colder = colder
    connection.colder = undefined
    connection.warmer = undefined
    this.#size--
  }

  /** The coldest first. The list must not change while it is walked. */
  *[Symbol.iterator](): Generator<PooledConnection<K, A>> {
    for (let connection = this.#coldest; connection !== undefined; connection = connection.warmer) yield connection
  }
}

/**
 * Finds a connection by its value without looking at the others. A connector may return the same value twice, so that a
 * value may stand for several of them.
 */
export class Roster<K, A> implements Iterable<PooledConnection<K, A>> {
  readonly #byValue = new Map<A, PooledConnection<K, A> | Set<PooledConnection<K, A>>>()
  #size = 0

  get size(): number {
    return this.#size
  }

  add(connection: PooledConnection<K, A>): void {
    const { value } = connection
    const known = this.#byValue.get(value)
    if (known === undefined) this.#byValue.set(value, connection)
    else if (known instanceof Set) known.add(connection)
    else this.#byValue.set(value, new Set([known, connection]))
    this.#size++
  }

  /** Removes a connection that was added. */
  remove(connection: PooledConnection<K, A>): void {
    const { value } = connection
    const known = this.#byValue.get(value)
    if (known instanceof Set) known.delete(connection)
    if (!(known instanceof Set) || known.size === 0) this.#byValue.delete(value)
    this.#size--
  }

  /** The connections with this value: one, unless a connector returned the same value twice. */
  find(value: A): ReadonlyArray<PooledConnection<K, A>> {
    const known = this.#byValue.get(value)
    if (known === undefined) return []
    return known instanceof Set ? [...known] : [known]
  }

  /** In no order. It must not change while it is walked. */
  *[Symbol.iterator](): Generator<PooledConnection<K, A>> {
    for (const known of this.#byValue.values()) {
      if (known instanceof Set) yield* known
      else yield known
    }
  }
}
