/**
 * The connections of a pool and their slots: which are idle, which are lent to whom, and which are on their way out.
 *
 * @since 0.1.0
 */
import type * as Fiber from "effect/Fiber"
import type { Connector } from "../Resource/Connector.ts"
import { mostWaiting } from "./Admission.ts"
import { IdleList } from "./IdleList.ts"
import { Lifetimes } from "./Lifetimes.ts"
import type { Settings } from "./PoolOptions.ts"
import { type KeyPool, type Lease, type PooledConnection, removeFrom, type Slot, slotsOf } from "./PoolState.ts"
import type { Tally } from "./PoolStats.ts"
import { Roster } from "./Roster.ts"

/** What an inventory needs from outside. */
export interface Surroundings<K, A> {
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

export class Inventory<K, A> {
  readonly #settings: Settings
  readonly #tally: Tally
  readonly #hasCheck: boolean
  readonly #isReusable: Connector<K, A>["isReusable"]
  readonly #close: Surroundings<K, A>["close"]
  readonly #all = new Roster<K, A>()
  readonly #idle = new IdleList<K, A>()
  readonly #lifetimes = new Lifetimes<K, A>()
  #slots = 0
  #closing = 0

  constructor({ close, hasCheck, isReusable, settings, tally }: Surroundings<K, A>) {
    this.#settings = settings
    this.#tally = tally
    this.#hasCheck = hasCheck
    this.#isReusable = isReusable
    this.#close = close
  }

  /** Slots that are taken: `connecting + idle + lent + closing`. */
  get slots(): number {
    return this.#slots
  }

  get closing(): number {
    return this.#closing
  }

  /**
   * Every slot is taken by a connection that is being opened or lent, or that closes for a borrower who has claimed its slot,
   * and none of these has room for another borrower.
   */
  isExhausted(unclaimed: number): boolean {
    return this.#slots >= this.#settings.maxTotal && unclaimed === 0 && this.#idle.isEmpty &&
      this.#settings.concurrency === 1
  }

  /** Whether a connection is not idle: somebody has it, or it is on its way to or from somebody. */
  get hasLent(): boolean {
    return this.#all.size > this.#idle.size
  }

  get idle(): IdleList<K, A> {
    return this.#idle
  }

  /** The connections with this value: one, unless a connector returned the same value twice. */
  find(value: A): ReadonlyArray<PooledConnection<K, A>> {
    return this.#all.find(value)
  }

  /** The connections that are idle or lent, as they come and go. */
  get connections(): Roster<K, A> {
    return this.#all
  }

  /** All connections that are idle or lent now. */
  all(): ReadonlyArray<PooledConnection<K, A>> {
    return [...this.#all]
  }

  /** Where to look for a borrower's own connections: everywhere, unless that is more than a borrow should cost. */
  around(keyPool: KeyPool<K, A>): Iterable<PooledConnection<K, A>> {
    return this.#all.size > maxSearched ? keyPool.connections : this.#all
  }

  takeSlot(keyPool: KeyPool<K, A>, now: number): Slot {
    keyPool.connecting++
    this.#slots++
    return { state: "Connecting", since: now, generation: keyPool.generation }
  }

  /** Frees a slot, once; `false` if it is free already. */
  freeSlot(keyPool: KeyPool<K, A>, slot: Slot): boolean {
    if (slot.state === "Free") return false
    if (slot.state === "Connecting") keyPool.connecting--
    else if (slot.state === "LeftBehind") keyPool.kept--
    else {
      keyPool.closing--
      this.#closing--
    }
    slot.state = "Free"
    this.#slots--
    return true
  }

  /** The connect was left behind: its slot is not free, and serves no borrower either. */
  keepSlot(keyPool: KeyPool<K, A>, slot: Slot): void {
    keyPool.connecting--
    keyPool.kept++
    slot.state = "LeftBehind"
  }

  /** The dial has succeeded: the connection is there, and lent to nobody yet. */
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
   * A connection of this endpoint that can be lent now: the warmest that has room beside its borrowers, else the warmest
   * idle one. What is found too old is closed.
   */
  available(keyPool: KeyPool<K, A>, now: number): PooledConnection<K, A> | undefined {
    for (let roomy = keyPool.roomy.at(-1); roomy !== undefined; roomy = keyPool.roomy.at(-1)) {
      if (now - roomy.openedAt < roomy.lifetime) return roomy
      this.#tally.expired++
      this.discard(roomy)
    }
    for (let index = keyPool.idle.length - 1; index >= 0; index--) {
      const connection = keyPool.idle[index]
      if (connection === undefined || connection.checking) continue
      if (this.isFresh(connection, now)) return connection
      this.retireStale(connection)
    }
    return undefined
  }

  /** Whether an idle connection may still be lent. The minimum is kept however long it is idle. */
  isFresh(connection: PooledConnection<K, A>, now: number): boolean {
    return now < this.freshUntil(connection) && this.isFit(connection)
  }

  /** Whether nothing that is known of a connection keeps it from being leased. */
  isFit({ unfit, value }: PooledConnection<K, A>): boolean {
    return !unfit && this.#isReusable?.(value) !== false
  }

  /** The moment at which an idle connection stops being fresh. */
  freshUntil({ idleSince, lifetime, openedAt, owner }: PooledConnection<K, A>): number {
    const aged = openedAt + lifetime
    return owner.connections.length <= this.#settings.minPerEndpoint
      ? aged
      : Math.min(aged, idleSince + this.#settings.idleTimeout)
  }

  /** Whether an idle connection is due for its keep-alive check. */
  mustBeChecked({ checking, provenAt, state }: PooledConnection<K, A>, now: number): boolean {
    return state === "Idle" && !checking && now - provenAt >= this.#settings.keepalive
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

  /** Closes an idle connection that must not be lent any more. */
  retireStale(connection: PooledConnection<K, A>): void {
    this.#tally.expired++
    this.retire(connection)
  }

  /** When an idle connection is to be checked. */
  checkAt({ checking, provenAt }: PooledConnection<K, A>): number {
    return checking ? Infinity : provenAt + this.#settings.keepalive
  }

  /** The moment at which an idle connection is to be checked or closed. */
  dueAt(connection: PooledConnection<K, A>): number {
    return Math.min(this.checkAt(connection), this.freshUntil(connection))
  }

  lend(connection: PooledConnection<K, A>, lease: Lease<K, A>, now: number): void {
    // It may also come from a borrower that had to check it, and left before that.
    if (connection.leases.length === 0) {
      lease.mustCheck = this.#hasCheck && now - connection.provenAt > this.#settings.checkAfterIdle
      if (lease.mustCheck && this.#settings.concurrency > 1) this.#setProving(connection, true)
    }
    if (connection.state === "Idle") {
      this.#idle.remove(connection)
      connection.state = "Lent"
    }
    connection.leases.push(lease)
    if (this.#settings.concurrency > 1) this.#noteRoom(connection)
    lease.connection = connection
    lease.borrowedAt = now
    lease.state = "Holding"
    this.#tally.borrowed++
  }

  /** Takes a connection back from one of its borrowers. */
  takeBack(connection: PooledConnection<K, A>, lease: Lease<K, A>): void {
    removeFrom(connection.leases, lease)
    if (connection.state === "Closing") connection.owner.detached--
    // Only one has a connection that is being proved.
    this.#setProving(connection, false)
    if (this.#settings.concurrency > 1) this.#noteRoom(connection)
  }

  /** Whether it can be lent to one more. */
  hasRoom(connection: PooledConnection<K, A>): boolean {
    return !connection.unfit && !connection.proving && connection.state !== "Closing" &&
      connection.reservations === 0 && connection.leases.length < this.#settings.concurrency
  }

  /** Its borrower's check has passed: others may share it. */
  proved(connection: PooledConnection<K, A>): void {
    this.#setProving(connection, false)
    this.#noteRoom(connection)
  }

  /** Nobody has the connection: it is idle. */
  shelve(connection: PooledConnection<K, A>, now: number): void {
    if (connection.hasRoom) this.#forgetRoom(connection)
    this.#idle.add(connection, now)
  }

  /** Keeps the connections with this value for the borrowers that they have, until the reservation ends. */
  reserve(value: A): ReadonlyArray<PooledConnection<K, A>> {
    const connections = this.find(value)
    for (const connection of connections) this.#reserve(connection, 1)
    return connections
  }

  /** Ends a reservation; returns those that others may share now. One that nobody has may just be being reset. */
  unreserve(connections: ReadonlyArray<PooledConnection<K, A>>): ReadonlyArray<PooledConnection<K, A>> {
    for (const connection of connections) this.#reserve(connection, -1)
    return connections.filter(({ hasRoom }) => hasRoom)
  }

  #reserve(connection: PooledConnection<K, A>, by: number): void {
    connection.reservations += by
    this.#noteRoom(connection)
  }

  /** Has a connection closed: now if nobody has it, when the last one gives it back otherwise. */
  discard(connection: PooledConnection<K, A>): void {
    connection.unfit = true
    this.#setProving(connection, false)
    if (connection.hasRoom) this.#forgetRoom(connection)
    if (connection.state === "Idle") this.retire(connection)
  }

  /** Closes a connection that nobody has just now; one that somebody has, when the last one gives it back. */
  dismiss(connection: PooledConnection<K, A>): void {
    if (connection.leases.length === 0) this.retire(connection)
    else this.discard(connection)
  }

  /** Starts closing all connections, whoever has them. */
  retireAll(): void {
    for (const connection of this.all()) this.retire(connection)
  }

  /** Starts closing a connection, whoever has it. */
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
   * The idle connection that gives way to a borrower of this endpoint: the longest idle one of another. One whose endpoint
   * is at its minimum, or has borrowers waiting, is only taken when there is no other.
   */
  victimFor(keyPool: KeyPool<K, A>): PooledConnection<K, A> | undefined {
    const { minPerEndpoint } = this.#settings
    let last: PooledConnection<K, A> | undefined
    for (const connection of this.#idle) {
      const { owner } = connection
      if (owner === keyPool || connection.checking) continue
      if (owner.queue.size === 0 && owner.connections.length > minPerEndpoint) return connection
      last ??= connection
    }
    return last
  }

  /** Closes an idle connection that gives way to another endpoint, if there is one; returns whether there was. */
  evict(victim: PooledConnection<K, A> | undefined): boolean {
    if (victim === undefined) return false
    this.#tally.evicted++
    this.retire(victim)
    return true
  }

  /** Most borrowers that may wait for an endpoint. Who gives way to it is only looked for where that is limited. */
  mostWaiting(keyPool: KeyPool<K, A>): number {
    if (this.#settings.maxWaiters === Infinity) return Infinity
    const hasVictim = this.victimFor(keyPool) !== undefined
    return mostWaiting(keyPool, this.#settings, { slots: this.#slots, closing: this.#closing, hasVictim })
  }

  /**
   * There are more connections than the caps allow, as after a cap was lowered. Those that are closing do not count, nor do so many
   * others of this endpoint, and of the pool, whose slots will be free.
   */
  isOverCap(keyPool: KeyPool<K, A>, ending = nothingEnding): boolean {
    return this.#slots - this.#closing - ending.ofPool > this.#settings.maxTotal ||
      slotsOf(keyPool) - keyPool.closing - ending.ofEndpoint > this.#settings.maxPerEndpoint
  }

  /** Closes the idle connections that are over the caps. */
  trim(): void {
    for (const connection of [...this.#idle]) {
      // What closes may have somebody borrow another one.
      if (connection.state === "Idle" && this.isOverCap(connection.owner)) this.retire(connection)
    }
  }

  /** Closes the idle connections above the minimum; the fibers end when that is done. */
  shrink(): ReadonlyArray<Fiber.Fiber<void>> {
    const isSurplus = ({ owner, state }: PooledConnection<K, A>) =>
      state === "Idle" && owner.connections.length > this.#settings.minPerEndpoint
    return [...this.#idle].flatMap((connection) => isSurplus(connection) ? this.#retire(connection) ?? [] : [])
  }

  #setProving(connection: PooledConnection<K, A>, proving: boolean): void {
    if (connection.proving === proving) return
    connection.proving = proving
    connection.owner.proving += proving ? 1 : -1
  }

  #noteRoom(connection: PooledConnection<K, A>): void {
    const hasRoom = connection.state === "Lent" && connection.leases.length > 0 && this.hasRoom(connection)
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
