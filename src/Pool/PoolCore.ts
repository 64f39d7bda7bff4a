/**
 * The heart of a pool: who waits, who is next, and what happens when something changes.
 *
 * Everything here is synchronous, so that both caps are counted in one step. Effects (opening, closing, checking, waiting for
 * death) are started as fibers and report back, which those that do not wait do at once: a dial, a hook or a finalizer may come
 * back to the pool before the call that has started it returns. So whatever starts one looks anew at what it knew before.
 *
 * @since 0.1.0
 */
import type * as Exit from "effect/Exit"
import { Alarm } from "../internal/Timer.ts"
import { leavesUndisturbed } from "../internal/Undisturbed.ts"
import type { HeldLease } from "../Monitor/Ledger.ts"
import { isOthersTurn, isStillWanted, nextDialOf, wantedBy } from "./Admission.ts"
import { Availability } from "./Availability.ts"
import { Continuations } from "./Continuations.ts"
import { Custody } from "./Custody.ts"
import { Deadlines } from "./Deadlines.ts"
import { Dispatching } from "./Dispatching.ts"
import * as Explaining from "./Explaining.ts"
import type { Health } from "./Health.ts"
import { Inventory } from "./Inventory.ts"
import { KeyDirectory } from "./KeyDirectory.ts"
import { Liveness } from "./Liveness.ts"
import { Observers } from "./Observers.ts"
import { Openings } from "./Openings.ts"
import type { Environment } from "./PoolEnvironment.ts"
import type { PoolError } from "./PoolError.ts"
import type { Settings } from "./PoolOptions.ts"
import { isGone, type KeyPool, type Lease, type PooledConnection, type Status } from "./PoolState.ts"
import { emptyTally, heldLeases, type Stats, statsOf, type Tally } from "./PoolStats.ts"
import { Probing } from "./Probing.ts"
import { Refusals } from "./Refusals.ts"
import { SlotRelease } from "./SlotRelease.ts"
import type { SteadyClock } from "./SteadyClock.ts"
import { Timeouts } from "./Timeouts.ts"
import { Turning } from "./Turning.ts"
import { WaitingLine } from "./WaitingLine.ts"

export class PoolCore<K, A> {
  readonly #env: Environment<K, A>
  readonly #settings: Settings
  readonly #clock: SteadyClock
  readonly #directory: KeyDirectory<K, A>
  readonly #inventory: Inventory<K, A>
  readonly #waiting = new WaitingLine<K, A>()
  readonly #continuations = new Continuations<K, A>()
  readonly #custody: Custody<K, A>
  readonly #availability: Availability<K, A>
  readonly #openings: Openings<K, A>
  readonly #probing: Probing<K, A>
  readonly #tally: Tally = emptyTally()
  readonly #refusals: Refusals<K, A>
  readonly #deadlines: Deadlines<K, A>
  readonly #upkeep: Alarm
  readonly #slots: SlotRelease<K, A>
  readonly #timeouts: Timeouts<K, A>
  #status: Status = "Open"
  readonly #dispatching: Dispatching<K, A>
  readonly #liveness: Liveness<K, A>
  readonly observers = new Observers()
  readonly #turning: Turning<K, A>

  constructor(env: Environment<K, A>) {
    const { clock, fork, settings } = env
    this.#env = env
    this.#settings = settings
    this.#clock = clock
    this.#directory = new KeyDirectory(env.makeKeyPool, settings.minPerEndpoint)
    this.#inventory = new Inventory({
      settings,
      tally: this.#tally,
      hasCheck: env.check !== undefined,
      isReusable: env.isReusable,
      close: ({ owner, records, scope, slot }) =>
        env.close({
          label: owner.label,
          scope,
          records,
          freed: () => this.#slots.free(owner, slot),
          leftBehind: () => this.#slots.leftBehind(owner, "Close")
        })
    })
    const [directory, inventory, observers, tally] = [this.#directory, this.#inventory, this.observers, this.#tally]
    const dispatch = () => this.#dispatching.run()
    const wakeAt = (due: number) => this.#upkeep.at(due)
    this.#slots = new SlotRelease({ clock, directory, inventory, tally, observers, dispatch, wakeAt })
    const availability = this.#availability = new Availability(env, inventory, (retryAt) => {
      this.#upkeep.at(retryAt)
      this.observers.current?.judged()
    })
    this.#openings = new Openings({ env, inventory: this.#inventory, availability, tally: this.#tally }, {
      isWanted: (keyPool) => this.#status === "Open" && isStillWanted(keyPool, settings),
      arrived: (connection) => this.#arrive(connection),
      judged: () => this.observers.current?.judged(),
      crowded: (keyPool) => this.#inventory.evict(this.#inventory.victimFor(keyPool)),
      failed: (keyPool, error) => this.#refusals.refuseAllOf(keyPool, error),
      leftBehind: (keyPool, what) => this.#slots.leftBehind(keyPool, what),
      slotKept: (keyPool, slot) => this.#slots.keep(keyPool, slot),
      freed: (keyPool, slot) => this.#slots.free(keyPool, slot),
      ended: dispatch
    })
    const [openings, isSuspended] = [this.#openings, () => this.#status === "Waiting"]
    this.#timeouts = new Timeouts({ env, directory, inventory, openings, availability, tally, observers, isSuspended })
    this.#probing = new Probing(env, this.#inventory, (connection, works) => {
      if (!works) return this.#availability.rejected(connection)
      this.#availability.succeeded(connection.owner)
      this.#upkeep.at(this.#inventory.dueAt(connection))
      this.#dispatching.run()
    })
    this.#custody = new Custody(env, this.#inventory, this.#tally, (lease) => this.#finish(lease, true))
    this.#refusals = new Refusals(this.#waiting, this.#continuations, (lease) => this.#hasGivenUp(lease))
    this.#deadlines = new Deadlines(env, (now) => this.#refusals.refuseLate(now, () => this.#timeouts.errorsNow()))
    this.#liveness = new Liveness(env.watch !== undefined || env.isReusable !== undefined)
    this.#turning = new Turning(env, this.#continuations, this.#liveness, inventory)
    this.#dispatching = new Dispatching({
      settings,
      clock,
      directory,
      inventory,
      waiting: this.#waiting,
      isOpen: () => this.#status === "Open",
      start: (keyPool) => this.#openings.start(keyPool),
      handOver: (connection, lease, now) => this.#handOver(connection, lease, now)
    })
    const now = () => clock.synchronize()
    this.#upkeep = new Alarm({ clock: clock.clock, fork, now, onDue: () => this.#doUpkeep() })
  }

  // ---- borrowing -----------------------------------------------------------------------------------------------------

  keyPool(key: K): KeyPool<K, A> {
    const known = this.#directory.find(key)
    if (known !== undefined) return known
    return this.#directory.add(key)
  }

  /** Nothing is lent any more. */
  get isOver(): boolean {
    return this.#status === "Draining" || this.#status === "Closed"
  }

  /** Lends a connection if there is one and nobody is waiting for it. */
  tryLend(lease: Lease<K, A>): PooledConnection<K, A> | undefined {
    const { owner } = lease
    if (owner.queue.size > 0 || this.#status !== "Open" || owner.isForgotten) return undefined
    const now = this.#clock.now()
    const connection = this.#inventory.available(owner, now)
    if (connection !== undefined) this.#lend(connection, lease, now)
    return connection
  }

  /**
   * Has a borrow wait: until the loop has turned, if that is due for its connection, else in the queue. There it is the last, or the
   * first if it had its turn and was given something broken, which closes then. The result says why it cannot even wait. It is asked
   * here, in the step that queues it, because a fiber may pause anywhere else.
   */
  wait(lease: Lease<K, A>): PoolError | undefined {
    if (lease.turn === "Due") {
      this.#turning.add(lease)
      return undefined
    }
    const rejected = lease.connection
    if (rejected === undefined) return this.#enqueue(lease, "Last")
    // The slot that it gives back serves who is first in the queue, which this borrow has to be by then.
    this.#takeBack(lease, rejected, this.#clock.now())
    const refusal = this.#enqueue(lease, "First")
    this.#inventory.dismiss(rejected)
    this.#dispatching.run()
    return refusal
  }

  /** Whether a borrow whose connection might have died unseen can go on with it. Otherwise it waits. */
  heard(lease: Lease<K, A>): boolean {
    return this.#turning.heard(lease)
  }

  #enqueue(lease: Lease<K, A>, place: "Last" | "First"): PoolError | undefined {
    if (lease.owner.isForgotten) lease.owner = this.keyPool(lease.owner.key)
    const most = place === "First" ? Infinity : this.#inventory.mostWaiting(lease.owner)
    const refusal = Explaining.refusal(lease.owner, this.#status, most, this.#settings) ??
      this.#availability.refusalOf(lease.owner) ?? this.#custody.enter(lease)
    if (refusal !== undefined) return refusal
    if (place === "Last") this.#tally.waited++
    lease.waitingSince = this.#clock.now()
    this.#deadlines.wait(lease, lease.waitingSince)
    this.#waiting.join(lease, place)
    this.#availability.queueChanged(lease.owner)
    // One more borrower changes nothing for the others, and nothing at all when no connection can be had for it.
    const { owner, waitingSince } = lease
    const canBeServed = this.#inventory.available(owner, waitingSince) !== undefined ||
      wantedBy(owner, this.#settings, waitingSince) > 0
    if (canBeServed) this.#dispatching.run()
    // Nobody may have waited for the next dial so far.
    else if (owner.dialAt > waitingSince) this.#upkeep.at(owner.dialAt)
    return undefined
  }

  /** What is left of a borrow's time, in milliseconds. */
  remaining(lease: Lease<K, A>): number {
    return this.#deadlines.remaining(lease)
  }

  /** Ends a borrow, wherever it stands: it leaves the queue, or its connection goes to the next one. */
  end(lease: Lease<K, A>, exit: Exit.Exit<unknown, unknown>): void {
    if (lease.state === "Waiting") {
      this.#waiting.leave(lease)
      this.#hasGivenUp(lease)
    } else if (lease.connection === undefined) this.#slots.forgetIfEmpty(lease.owner)
    lease.unnote?.()
    // A borrower that was interrupted before it went on with its connection has left nothing behind on it.
    const connection = lease.isInUse ? lease.connection : undefined
    const isSpoilt = connection !== undefined && !(this.#env.isReusable ?? leavesUndisturbed)(connection.value, exit)
    if (connection !== undefined) this.#availability.used(connection, exit, isSpoilt)
    const mayDial = connection?.onTrial === true && this.#openings.used(connection, exit)
    this.#finish(lease, lease.mustCheck && lease.turn === "None" || isSpoilt, exit._tag === "Success")
    if (mayDial) this.#dispatching.run()
  }

  /** A borrower goes on with its connection. */
  begun(lease: Lease<K, A>): void {
    lease.isInUse = true
    // Most pools watch nothing, and to read the clock is dear.
    if (this.#custody.isWatching) this.#upkeep.at(this.#custody.entrust(lease, this.#clock.now()))
  }

  /**
   * The connection of a borrow has passed its check and is ready: others that wait may share it from now on. `false` if it
   * has died, or was closed, meanwhile.
   */
  proved(lease: Lease<K, A>): boolean {
    const { connection } = lease
    if (connection === undefined || isGone(connection)) return false
    lease.mustCheck = false
    connection.madeReady = true
    this.#availability.succeeded(connection.owner)
    if (!connection.proving && !connection.untried) return true
    this.#openings.ready(connection)
    this.#inventory.proved(connection)
    this.#offer(connection, this.#clock.now())
    this.#dispatching.run()
    return true
  }

  /**
   * The connection of a borrow has failed its check, or was alive and could not be made ready. The borrow goes back to its queue,
   * which takes that connection away from it, unless the result says why it shall not: a new connection that cannot be made ready is
   * a failure to open one, whose cause is `failure`.
   */
  reject(lease: Lease<K, A>, isAlive: boolean, failure?: unknown): PoolError | undefined {
    const { connection } = lease
    lease.mustCheck = false
    if (connection === undefined) return undefined
    connection.unfit = true
    // The failure is counted before the slot is free, so that the next dial waits for its delay. A borrow that is late ends by itself.
    const error = this.remaining(lease) > 0 ? this.#openings.notReady(connection, isAlive, failure) : undefined
    if (!isAlive || !connection.onTrial) this.#availability.rejected(connection)
    return error
  }

  readonly timeoutOf = (lease: Lease<K, A>) => this.#timeouts.errorOf(lease)

  // ---- operating -----------------------------------------------------------------------------------------------------

  stats(): Stats {
    return statsOf(this.#directory.all(), { tally: this.#tally, settings: this.#settings, status: this.#status })
  }

  /** What is lent, at most so much of it. */
  leases(most: number): Iterable<HeldLease> {
    return heldLeases(this.#inventory.all(), most)
  }

  health(key: K): Health {
    const keyPool = this.#directory.find(key)
    return keyPool === undefined ? "Healthy" : this.#availability.healthOf(keyPool, this.#clock.now())
  }

  /** Never lends this connection again: closes it now if it is idle, on its return if it is lent. */
  invalidate(value: A): void {
    for (const connection of this.#inventory.find(value)) this.#discard(connection)
  }

  /** Closes what is idle now, what is lent when it comes back, and what is being opened as soon as it is open. */
  evict(key?: K): void {
    const keyPools = this.#directory.all(key)
    for (const keyPool of keyPools) keyPool.generation++
    // What is opened because of the slots that this frees is none of what is evicted.
    for (const connection of keyPools.flatMap(({ connections }) => connections)) this.#discard(connection)
  }

  /** Closes what is idle above the minimum; the result ends when that is done. */
  readonly shrink = () => this.#inventory.shrink()

  /** Keeps a connection for the borrowers that it has; the result ends that. */
  reserve(value: A): () => void {
    const connections = this.#inventory.reserve(value)
    return () => {
      for (const connection of this.#inventory.unreserve(connections)) this.#offer(connection, this.#clock.now())
    }
  }

  suspend(mode: "wait" | "fail"): void {
    if (this.isOver) return
    this.#status = mode === "wait" ? "Waiting" : "Refusing"
    if (mode === "fail") this.#refusals.refuseAll(Explaining.poolSuspended)
  }

  resume(): void {
    if (this.#status !== "Waiting" && this.#status !== "Refusing") return
    this.#status = "Open"
    this.#dispatching.run()
  }

  /** Changes the caps; what is over them is closed when nobody has it. */
  resize(caps: { readonly maxPerEndpoint: number; readonly maxTotal: number }): void {
    Object.assign(this.#settings, caps)
    this.#inventory.trim()
    this.#openings.reconsiderAll()
    this.#dispatching.run()
  }

  /** Refuses new borrowers, fails those that wait, gives up dialling and closes what is idle. */
  startDraining(): void {
    if (this.isOver) return
    this.#status = "Draining"
    this.#refusals.refuseAll(({ label }) => Explaining.poolClosed(label))
    this.#openings.interruptAll()
    for (const connection of [...this.#inventory.idle]) this.#inventory.retire(connection)
  }

  /** Closes the connections that are still lent, under their borrowers. */
  readonly force = () => this.#inventory.retireAll()

  /** Calls back once, as soon as nothing is open, opening or closing. */
  readonly whenEmptied = (callback: () => void) => this.#slots.whenEmptied(callback)

  /** Ends the pool when all its connections are closed. */
  shutDown(): void {
    this.#status = "Closed"
    this.#deadlines.stop()
    this.#upkeep.stop()
  }

  // ---- lending and taking back ---------------------------------------------------------------------------------------

  #lend(connection: PooledConnection<K, A>, lease: Lease<K, A>, now: number): void {
    lease.turn = this.#liveness.isUnseen(connection, now) ? "Due" : "None"
    this.#inventory.lend(connection, lease, now)
    this.#upkeep.at(this.#custody.add(lease))
  }

  #giveBack(lease: Lease<K, A>, connection: PooledConnection<K, A>, succeeded: boolean): void {
    const now = this.#clock.now()
    this.#takeBack(lease, connection, now)
    if (connection.state === "Closing") return this.#slots.forgetIfEmpty(connection.owner)
    if (lease.isInUse) this.#liveness.returned(connection, succeeded, now)
    else if (lease.turn !== "None") this.#liveness.leftUnheard(connection)
    if (this.#mustClose(connection, now)) return this.#inventory.dismiss(connection)
    if (this.#dispatching.isContended && isOthersTurn(connection, this.#waiting.turns, this.#settings, now)) {
      // Its own borrowers go to the end of the line, so that the slot is not taken back at once.
      this.#waiting.rotate(connection.owner)
      return this.#inventory.dismiss(connection)
    }
    const { reset } = this.#env
    if (reset === undefined || connection.leases.length > 0) this.#place(connection, now)
    else {
      this.#probing.run(connection, reset, () => {
        connection.provenAt = this.#clock.now()
        this.#offer(connection, connection.provenAt)
      })
    }
  }

  #takeBack(lease: Lease<K, A>, connection: PooledConnection<K, A>, now: number): void {
    lease.connection = undefined
    this.#custody.remove(lease)
    this.observers.current?.used(now - lease.borrowedAt)
    this.#inventory.takeBack(connection, lease)
  }

  /** Ends a borrow. If it leaves its connection broken, or nobody knows in which state, that is not lent again. */
  #finish(lease: Lease<K, A>, isBroken: boolean, succeeded = false): void {
    const { connection } = lease
    lease.state = "Over"
    if (connection === undefined) return
    const { proving } = connection
    connection.unfit ||= isBroken
    this.#giveBack(lease, connection, succeeded)
    if (proving) this.#dispatching.run()
  }

  #mustClose(connection: PooledConnection<K, A>, now: number): boolean {
    if (connection.unfit || this.isOver) return true
    if (this.#inventory.isOverCap(connection.owner)) return true
    if (now - connection.openedAt < connection.lifetime) return false
    this.#tally.expired++
    return true
  }

  /** The connection is for those that wait for its endpoint, or else for whoever comes next. */
  #offer(connection: PooledConnection<K, A>, now: number): void {
    if (connection.state === "Closing") return
    if (this.#mustClose(connection, now)) return this.#inventory.dismiss(connection)
    this.#place(connection, now)
  }

  #place(connection: PooledConnection<K, A>, now: number): void {
    const { queue } = connection.owner
    while (queue.first !== undefined && this.#status === "Open" && this.#inventory.hasRoom(connection)) {
      this.#handOver(connection, queue.first, now)
    }
    // Whoever was served may have ended with what that has set off, and the connection is idle or closing by now.
    if (connection.leases.length > 0 || connection.state !== "Lent") return
    this.#inventory.shelve(connection, now)
    this.#upkeep.at(this.#inventory.dueAt(connection))
    if (!this.#waiting.isEmpty) this.#dispatching.run()
  }

  #handOver(connection: PooledConnection<K, A>, lease: Lease<K, A>, now: number): void {
    this.#waiting.leave(lease)
    this.#lend(connection, lease, now)
    this.observers.current?.waited(now - lease.waitingSince)
    this.#continuations.add(lease, undefined)
    // It may end a dial, whose slot serves somebody else: the connection has to be lent by then.
    this.#hasLeft(lease)
  }

  // ---- waiting and opening -------------------------------------------------------------------------------------------

  #arrive(connection: PooledConnection<K, A>): void {
    const { owner, slot, value } = connection
    this.#inventory.arrive(connection)
    this.#directory.opened(owner)
    this.observers.current?.opened(this.#clock.now() - slot.since)
    this.#liveness.opened(connection)
    connection.watcher = this.#env.watch?.(value)
    connection.watcher?.addObserver(() => this.#died(connection))
    if (slot.generation !== owner.generation) return this.#inventory.retire(connection)
    if (connection.unfit) {
      // A server that closes what it has just accepted is not there, however readily it accepts. The failure is counted
      // before the slot is free, so that the next dial waits for its delay.
      this.#openings.failed(owner, Explaining.diedAtOnce(owner))
      return this.#inventory.retire(connection)
    }
    this.#openings.arrived(connection, this.#status === "Open")
    // Whoever has waited for it is served before it can be another endpoint's turn.
    this.#offer(connection, this.#clock.now())
  }

  #died(connection: PooledConnection<K, A>): void {
    const { leases, state } = connection
    if (state === "Closing") return
    connection.hasDied = true
    this.#liveness.died(connection, this.#clock.now())
    // Those that have yet to hear of it have not begun with it, and look for another one before its slot is free.
    const unheard = leases.filter(({ turn }) => turn !== "None")
    if (state === "Idle" || leases.length > 0 && unheard.length === leases.length) {
      this.#tally.died++
      this.#openings.lost(connection)
    }
    this.#discard(connection)
    for (const lease of unheard) this.#turning.wake(lease)
    if (leases.length === unheard.length) return
    // Its borrower learns of its end first. One that goes on all the same must not keep a slot for a socket that is gone.
    this.#env.nextTurn(() => this.#env.nextTurn(() => this.#openings.closeDead(connection)))
  }

  /** Has a connection closed. Those that would have shared it after its check need another. */
  #discard(connection: PooledConnection<K, A>): void {
    const { proving } = connection
    this.#inventory.discard(connection)
    if (proving) this.#dispatching.run()
  }

  /** A borrower has left its queue. */
  #hasLeft({ owner }: Lease<K, A>): void {
    if (this.#waiting.isEmpty) this.#deadlines.release()
    if (owner.connecting > 0 && owner.queue.size === 0) this.#openings.reconsider(owner)
    this.#availability.queueChanged(owner)
  }

  /** A borrower has left its queue without a connection. */
  #hasGivenUp(lease: Lease<K, A>): void {
    this.#hasLeft(lease)
    this.#slots.forgetIfEmpty(lease.owner)
  }

  // ---- time ----------------------------------------------------------------------------------------------------------

  /** One sweep for everything that age does to connections, leases and endpoints; returns when the next is due. */
  #doUpkeep(): number {
    const now = this.#clock.synchronize()
    const next = Math.min(this.#custody.check(now), this.#probing.checkIdle(now), this.#inventory.closeOld(now))
    const nextToForget = this.#directory.forget(now)
    this.#dispatching.run()
    // An endpoint may be asked again.
    this.observers.current?.judged()
    const nextDial = nextDialOf([...this.#waiting.turns, ...this.#directory.lacking()], now)
    return Math.min(next, nextToForget, nextDial, this.#availability.nextChange(now))
  }
}
