/**
 * The heart of a pool: who holds which connection, who waits, and what happens next.
 *
 * Everything here is synchronous. Effects (opening, closing, waiting for death) are started as fibers and report back, so
 * that between two lines of this file nothing else can happen and both caps are counted in one step.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { Alarm } from "../internal/Timer.ts"
import { admit, needsMore, wanted } from "./Admission.ts"
import { Continuations } from "./Continuations.ts"
import { acquireTimeout, connectFailed, poolClosed, queueFull } from "./Explaining.ts"
import { IdleList } from "./IdleList.ts"
import { KeyDirectory } from "./KeyDirectory.ts"
import type { Demand, Opened } from "./Opening.ts"
import type { Environment } from "./PoolEnvironment.ts"
import type { PoolError } from "./PoolError.ts"
import type { Settings } from "./PoolOptions.ts"
import {
  freshUntil,
  isFresh,
  type KeyPool,
  type Lease,
  makeConnection,
  type PooledConnection,
  type Slot,
  slotsOf
} from "./PoolState.ts"
import { countsOf, emptyTally, type Stats, sumOf, type Tally } from "./PoolStats.ts"
import type { SteadyClock } from "./SteadyClock.ts"
import { WaitingLine } from "./WaitingLine.ts"

/** Dials of one endpoint at once while it answers; one while it does not. */
const maxConnecting = 2

/** However long opening took, another endpoint does not wait longer than this for a slot to change hands, in ms. */
const maxHold = 1000

export class PoolCore<K, A> {
  readonly #env: Environment<K, A>
  readonly #settings: Settings
  readonly #clock: SteadyClock
  readonly #directory: KeyDirectory<K, A>
  readonly #byValue = new Map<A, PooledConnection<K, A>>()
  readonly #idle = new IdleList<K, A>()
  readonly #waiting = new WaitingLine<K, A>()
  readonly #openers = new Set<Fiber.Fiber<unknown>>()
  readonly #tally: Tally = emptyTally()
  readonly #deadlines: Alarm
  readonly #expiry: Alarm
  readonly #onEmptied: Array<() => void> = []
  readonly #continuations = new Continuations<K, A>()
  #slots = 0
  #closing = 0
  /** The last dispatch left an endpoint without a connection because every slot was in use. */
  #contended = false
  #status: "Open" | "Draining" | "Closed" = "Open"
  #dispatching = false
  #dispatchAgain = false

  constructor(env: Environment<K, A>) {
    this.#env = env
    this.#settings = env.settings
    this.#directory = new KeyDirectory(env.makeKeyPool)
    this.#clock = env.clock
    this.#deadlines = new Alarm({
      fork: env.fork,
      now: () => this.#clock.monotonic(),
      onDue: () => this.#expireWaiters()
    })
    this.#expiry = new Alarm({ fork: env.fork, now: () => this.#clock.synchronize(), onDue: () => this.#expireIdle() })
  }

  // ---- borrowing -----------------------------------------------------------------------------------------------------

  keyPool(key: K): KeyPool<K, A> {
    const known = this.#directory.find(key)
    if (known !== undefined) return known
    const made = this.#directory.add(key)
    this.#leaveEmpty(made)
    return made
  }

  /** Why nothing can be lent now, whatever there is. */
  refusal(keyPool: KeyPool<K, A>): PoolError | undefined {
    return this.#status === "Open" ? undefined : poolClosed(keyPool)
  }

  /** Lends an idle connection if there is one and nobody is waiting for it. */
  tryLend(lease: Lease<K, A>): PooledConnection<K, A> | undefined {
    const keyPool = lease.owner
    if (keyPool.idle.length === 0 || keyPool.queue.size > 0) return undefined
    const now = this.#clock.now()
    const connection = this.#takeIdle(keyPool, now)
    if (connection !== undefined) this.#lend(connection, lease, now)
    return connection
  }

  /** Puts a borrow in the queue, at its end, or at its front if it had its turn and was given something broken. */
  enqueue(lease: Lease<K, A>, place: "Last" | "First"): PoolError | undefined {
    if (place === "Last") {
      if (lease.owner.queue.size >= this.#settings.maxWaiters) return queueFull(lease.owner, this.#settings)
      this.#tally.waited++
    }
    this.#deadlineOf(lease)
    this.#waiting.join(lease, place)
    this.#deadlines.at(lease.deadline)
    // One more borrower changes nothing for the others, and nothing at all when no connection can be had for it.
    if (lease.owner.idle.length > 0 || this.#wanted(lease.owner) > 0) this.#dispatch()
    return undefined
  }

  /** What is left of a borrow's time, in milliseconds. */
  remaining(lease: Lease<K, A>): number {
    return Math.max(this.#deadlineOf(lease) - this.#clock.monotonic(), 0)
  }

  /** The deadline is set once; going back to the queue does not arm it again. */
  #deadlineOf(lease: Lease<K, A>): number {
    if (lease.deadline === Infinity) lease.deadline = this.#clock.monotonic() + this.#settings.acquireTimeout
    return lease.deadline
  }

  /** Ends a borrow, wherever it stands: it leaves the queue, or its connection goes to the next one. */
  end(lease: Lease<K, A>): void {
    if (lease.state === "Waiting") this.#leave(lease)
    const { connection } = lease
    lease.state = "Over"
    lease.connection = undefined
    if (connection !== undefined) this.#giveBack(connection)
  }

  /** Takes a connection that failed its check away from a borrow, which goes on looking for another. */
  reject(lease: Lease<K, A>): void {
    const { connection } = lease
    lease.connection = undefined
    lease.mustCheck = false
    if (connection !== undefined) {
      connection.unfit = true
      this.#giveBack(connection)
    }
  }

  timeoutOf(lease: Lease<K, A>): PoolError {
    this.#tally.timeouts++
    return acquireTimeout(lease, { settings: this.#settings, pool: this.#directory.counts(), now: this.#clock.now() })
  }

  // ---- operating -----------------------------------------------------------------------------------------------------

  stats(): Stats {
    const endpoints = new Map(this.#directory.all().map((keyPool) => [keyPool.label, countsOf(keyPool)]))
    return { ...sumOf(endpoints.values()), ...this.#tally, endpoints }
  }

  /** Never lends this connection again: closes it now if it is idle, on its return if it is lent. */
  invalidate(value: A): void {
    const connection = this.#byValue.get(value)
    if (connection !== undefined) this.#discard(connection)
  }

  evict(key: K | undefined): void {
    for (const keyPool of key === undefined ? this.#directory.all() : [this.#directory.find(key)]) {
      for (const connection of [...keyPool?.connections ?? []]) this.#discard(connection)
    }
  }

  /** Refuses new borrowers, fails those that wait, gives up dialling and closes what is idle. */
  startDraining(): void {
    if (this.#status !== "Open") return
    this.#status = "Draining"
    for (const keyPool of this.#waiting.turns()) this.#failAll(keyPool, Effect.fail(poolClosed(keyPool)))
    for (const opener of this.#openers) opener.interruptUnsafe()
    for (const connection of this.#idle.all()) this.#retire(connection)
  }

  /** Closes the connections that are still lent, under their borrowers. */
  force(): void {
    for (const keyPool of this.#directory.all()) {
      for (const connection of [...keyPool.connections]) this.#retire(connection)
    }
  }

  /** Calls back once, as soon as nothing is open, opening or closing. */
  whenEmptied(callback: () => void): void {
    if (this.#slots === 0) callback()
    else this.#onEmptied.push(callback)
  }

  /** The endpoints' holders, which the caller closes. */
  shutDown(): ReadonlyArray<KeyPool<K, A>> {
    this.#status = "Closed"
    this.#deadlines.cancel()
    this.#expiry.cancel()
    return this.#directory.all()
  }

  // ---- connections ---------------------------------------------------------------------------------------------------

  #takeIdle(keyPool: KeyPool<K, A>, now: number): PooledConnection<K, A> | undefined {
    for (let connection = keyPool.idle.at(-1); connection !== undefined; connection = keyPool.idle.at(-1)) {
      if (isFresh(connection, now, this.#settings.idleTimeout)) {
        this.#idle.remove(connection)
        return connection
      }
      this.#tally.expired++
      this.#retire(connection)
    }
    return undefined
  }

  #lend(connection: PooledConnection<K, A>, lease: Lease<K, A>, now: number): void {
    lease.mustCheck = this.#env.hasCheck && connection.state === "Idle" &&
      now - connection.idleSince > this.#settings.checkAfterIdle
    connection.state = "Lent"
    connection.lease = lease
    lease.connection = connection
    lease.borrowedAt = now
    lease.state = "Holding"
    this.#tally.borrowed++
  }

  #giveBack(connection: PooledConnection<K, A>): void {
    connection.lease = undefined
    if (connection.state === "Closing") return
    const now = this.#clock.now()
    if (this.#mustClose(connection, now)) return this.#retire(connection)
    if (this.#isOthersTurn(connection, now)) {
      // Its own borrowers go to the end of the line, so that the slot is not taken back at once.
      this.#waiting.rotate(connection.owner)
      this.#makeIdle(connection, now)
      return this.#dispatch()
    }
    this.#offer(connection, now)
  }

  /** The connection is for the first that waits for its endpoint, or else for whoever comes next. */
  #offer(connection: PooledConnection<K, A>, now: number): void {
    const next = connection.owner.queue.first
    if (next !== undefined) return this.#handOver(connection, next, now)
    this.#makeIdle(connection, now)
    if (!this.#waiting.isEmpty) this.#dispatch()
  }

  #mustClose(connection: PooledConnection<K, A>, now: number): boolean {
    if (connection.unfit || this.#status !== "Open") return true
    if (now - connection.openedAt < connection.lifetime) return false
    this.#tally.expired++
    return true
  }

  /**
   * The pool is full, and another endpoint waits for a slot that it needs more: its turn comes before this one's next
   * borrower. A connection is kept for as long as it took to open, so that changing hands never costs more than half of
   * the time.
   */
  #isOthersTurn(connection: PooledConnection<K, A>, now: number): boolean {
    if (!this.#contended || now - connection.openedAt < connection.openedIn) return false
    const slots = slotsOf(connection.owner)
    return this.#waiting.someOther(
      connection.owner,
      (other) => needsMore(slots, slotsOf(other)) && this.#wanted(other) > 0
    )
  }

  #handOver(connection: PooledConnection<K, A>, lease: Lease<K, A>, now: number): void {
    this.#leave(lease)
    this.#lend(connection, lease, now)
    this.#continuations.add(lease, Effect.void)
  }

  #makeIdle(connection: PooledConnection<K, A>, now: number): void {
    this.#idle.add(connection, now)
    this.#expiry.at(freshUntil(connection, this.#settings.idleTimeout))
  }

  #discard(connection: PooledConnection<K, A>): void {
    connection.unfit = true
    if (connection.state === "Idle") this.#retire(connection)
  }

  /** Starts closing a connection, whoever has it. */
  #retire(connection: PooledConnection<K, A>): void {
    const { owner, slot } = connection
    if (connection.state === "Closing") return
    if (connection.state === "Idle") this.#idle.remove(connection)
    connection.state = "Closing"
    slot.state = "Closing"
    owner.connections.delete(connection)
    this.#byValue.delete(connection.value)
    owner.closing++
    this.#closing++
    this.#tally.closed++
    connection.watcher?.interruptUnsafe()
    this.#env.fork(this.#env.close(connection, () => this.#free(owner, slot)))
  }

  // ---- opening -------------------------------------------------------------------------------------------------------

  #open(keyPool: KeyPool<K, A>): void {
    const slot: Slot = { state: "Connecting", since: this.#clock.now() }
    keyPool.connecting++
    this.#slots++
    const demand: Demand<A> = {
      isWanted: () => this.#status === "Open" && keyPool.queue.size > 0,
      attemptFailed: (failure) => this.#attemptFailed(keyPool, failure),
      opened: (opened) => this.#adopt(keyPool, slot, opened),
      failed: (error) => this.#openFailed(keyPool, error),
      freed: () => this.#free(keyPool, slot)
    }
    const fiber = this.#env.fork(this.#env.open(keyPool, demand))
    this.#openers.add(fiber)
    fiber.addObserver(() => {
      this.#openers.delete(fiber)
      this.#dispatch()
    })
  }

  #adopt(keyPool: KeyPool<K, A>, slot: Slot, opened: Opened<A>): Effect.Effect<void> {
    const now = this.#clock.now()
    const { lifetimeJitter, maxLifetime } = this.#settings
    const connection = makeConnection({
      ...opened,
      owner: keyPool,
      slot,
      openedAt: now,
      openedIn: Math.min(now - slot.since, maxHold),
      lifetime: Math.ceil(maxLifetime * (1 - lifetimeJitter * this.#env.random()))
    })
    return Effect.map(keyPool.holding.adopt(connection), (taken) => this.#arrive(taken))
  }

  #arrive(connection: PooledConnection<K, A>): void {
    const { owner, slot, value } = connection
    owner.connecting--
    owner.failing = false
    owner.lastFailure = undefined
    owner.connections.add(connection)
    slot.state = "Open"
    this.#byValue.set(value, connection)
    this.#tally.opened++
    connection.watcher = this.#env.watch?.(value)
    connection.watcher?.addObserver(() => this.#died(connection))
    // Whoever has waited for it is served before it can be another endpoint's turn.
    const now = this.#clock.now()
    if (this.#mustClose(connection, now)) this.#retire(connection)
    else this.#offer(connection, now)
  }

  #died(connection: PooledConnection<K, A>): void {
    if (connection.state === "Idle") this.#tally.died++
    if (connection.state !== "Closing") this.#discard(connection)
  }

  #attemptFailed(keyPool: KeyPool<K, A>, failure: unknown): boolean {
    this.#tally.failedAttempts++
    keyPool.failing = true
    keyPool.lastFailure = failure
    // While an endpoint is down one attempt at a time is enough: the last opener goes on, the others end.
    return keyPool.connecting === 1
  }

  /** Its failure is what all that wait for the endpoint learn. */
  #openFailed(keyPool: KeyPool<K, A>, error: unknown): void {
    keyPool.failing = true
    this.#failAll(keyPool, Effect.fail(connectFailed(keyPool, error)))
  }

  #free(keyPool: KeyPool<K, A>, slot: Slot): void {
    if (slot.state === "Free") return
    if (slot.state === "Connecting") keyPool.connecting--
    else {
      keyPool.closing--
      this.#closing--
    }
    slot.state = "Free"
    this.#slots--
    this.#dispatch()
    this.#leaveEmpty(keyPool)
    if (this.#slots === 0) { for (const callback of this.#onEmptied.splice(0)) callback() }
  }

  // ---- waiting -------------------------------------------------------------------------------------------------------

  /**
   * Serves whoever can be served now. Every event that may free capacity ends here, and it looks at what is, not at what
   * happened, so no wake-up can be lost.
   */
  #dispatch(): void {
    if (this.#dispatching) {
      this.#dispatchAgain = true
      return
    }
    this.#dispatching = true
    do {
      this.#dispatchAgain = false
      this.#contended = false
      let unclaimed = this.#closing
      for (const keyPool of this.#waiting.turns()) unclaimed = this.#serve(keyPool, unclaimed)
    } while (this.#dispatchAgain)
    this.#dispatching = false
  }

  /** Serves one endpoint; returns how many closing connections' slots are still unclaimed. */
  #serve(keyPool: KeyPool<K, A>, unclaimed: number): number {
    const now = this.#clock.now()
    for (let next = keyPool.queue.first; next !== undefined; next = keyPool.queue.first) {
      const connection = this.#takeIdle(keyPool, now)
      if (connection === undefined) break
      this.#handOver(connection, next, now)
    }
    let missing = this.#wanted(keyPool)
    while (missing > 0) {
      const victim = this.#slots < this.#settings.maxTotal || unclaimed > 0
        ? undefined
        : this.#idle.coldestOfOthers(keyPool)
      const admission = admit({
        slots: this.#slots,
        maxTotal: this.#settings.maxTotal,
        closingUnclaimed: unclaimed,
        hasVictim: victim !== undefined
      })
      if (admission === "Stall") {
        this.#contended = true
        break
      }
      if (victim !== undefined) {
        this.#tally.evicted++
        this.#retire(victim)
        // What closes at once has freed its slot, which is then there for this endpoint and nobody else.
        if (this.#slots < this.#settings.maxTotal) continue
      }
      if (admission === "Await") unclaimed--
      if (admission === "Open") {
        this.#waiting.rotate(keyPool)
        this.#open(keyPool)
      }
      missing--
    }
    return unclaimed
  }

  #wanted(keyPool: KeyPool<K, A>): number {
    if (this.#status !== "Open") return 0
    return wanted({
      waiting: keyPool.queue.size,
      connecting: keyPool.connecting,
      slots: slotsOf(keyPool),
      maxPerEndpoint: this.#settings.maxPerEndpoint,
      maxConnecting: keyPool.failing ? 1 : maxConnecting
    })
  }

  #leave(lease: Lease<K, A>): void {
    this.#waiting.leave(lease)
    this.#leaveEmpty(lease.owner)
  }

  #failAll(keyPool: KeyPool<K, A>, failure: Effect.Effect<void, PoolError>): void {
    for (let lease = keyPool.queue.first; lease !== undefined; lease = keyPool.queue.first) this.#fail(lease, failure)
  }

  #fail(lease: Lease<K, A>, failure: Effect.Effect<void, PoolError>): void {
    this.#leave(lease)
    lease.state = "Over"
    this.#continuations.add(lease, failure)
  }

  // ---- time ----------------------------------------------------------------------------------------------------------

  #expireWaiters(): number {
    const { late, next } = this.#waiting.expired(this.#clock.monotonic())
    for (const lease of late) this.#fail(lease, Effect.fail(this.timeoutOf(lease)))
    return next
  }

  #expireIdle(): number {
    const now = this.#clock.synchronize()
    let next = Infinity
    for (const connection of this.#idle.all()) {
      if (isFresh(connection, now, this.#settings.idleTimeout)) {
        next = Math.min(next, freshUntil(connection, this.#settings.idleTimeout))
      } else {
        this.#tally.expired++
        this.#retire(connection)
      }
    }
    const { forgotten, next: nextToForget } = this.#directory.forget(now)
    for (const keyPool of forgotten) this.#env.fork(keyPool.holding.close)
    return Math.min(next, nextToForget)
  }

  /** An endpoint may be empty now, and is forgotten if it stays so. */
  #leaveEmpty(keyPool: KeyPool<K, A>): void {
    const due = this.#directory.leave(keyPool, this.#clock.now())
    if (due < Infinity) this.#expiry.at(due)
  }
}
