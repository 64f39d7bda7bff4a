/**
 * Tracks held leases: nested borrows, leases that are held for too long, and leases whose holder was garbage-collected.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { addGuard, removeGuard } from "../../internal/GcGuard.ts"
import { type Opened, type OpenTracker, trackerIn } from "../../internal/OpenTracker.ts"
import { requesterIn, requesterOnly } from "../../internal/Requester.ts"
import type { PoolError } from "../PoolError.ts"
import type { ConnectionStore } from "./ConnectionStore.ts"
import * as Diagnostics from "./Diagnostics.ts"
import { numberOf } from "./Inspect.ts"
import {
  type CoreEnvironment,
  type HeldSlots,
  type Lease,
  LeaseQueue,
  type OnBehalf,
  type PooledConnection,
  type PoolEndpoint
} from "./PoolState.ts"

/** Adds a lease to the tracker of what is open. The returned function tells the tracker how the lease has ended. */
const note = <K, A>(tracker: OpenTracker, { context, owner, site }: Lease<K, A>): (how: "Ended" | "Lost") => void => {
  const opened: Opened = { kind: "Lease", label: owner.label, site, span: requesterIn(context) }
  tracker.add(opened)
  return (how) => how === "Lost" ? tracker.lose(opened) : tracker.delete(opened)
}

/** Tracks each lease from the moment at which it gets a connection to its end. */
export class LeaseTracker<K, A> {
  readonly #store: ConnectionStore<K, A>
  readonly #nested: NestedBorrows<K, A>
  readonly #watch: LeakDetection<K, A>
  readonly #abandoned: AbandonedLeases<K, A>

  /** `lost` ends a lease whose holder was garbage-collected. */
  constructor(
    env: CoreEnvironment<K, A>,
    store: ConnectionStore<K, A>,
    lost: (lease: Lease<K, A>) => void
  ) {
    this.#store = store
    this.#nested = new NestedBorrows(env, store)
    this.#watch = new LeakDetection(env, store)
    this.#abandoned = new AbandonedLeases((lease) => {
      env.tally.leasesLost++
      // A lost lease was not returned, so no `Returned` follows its report as held for too long.
      lease.reported = false
      lease.unnote?.("Lost")
      lease.unnote = undefined
      env.outbox.push({ _tag: "Report", lease, what: "Lost", millis: env.clock.now() - lease.borrowedAt })
      lost(lease)
    })
  }

  /** A lease has got its connection. Returns when {@link check} is due because of it. */
  add(lease: Lease<K, A>): number {
    this.#begin(lease)
    // A standing lease is held on purpose, and a borrow of its holder does not count as nested.
    if (lease.isStanding) return Infinity
    this.#nested.count(lease, 1)
    return this.#abandoned.add(lease.borrowedAt)
  }

  /** Whether the duration of leases is watched, from the moment at which their borrowers use them. */
  get isWatching(): boolean {
    return this.#watch.isOn
  }

  /** A borrower begins to use its connection, after the checks. Returns when {@link check} is due because of that. */
  startUse(lease: Lease<K, A>, now: number): number {
    return lease.isStanding ? Infinity : this.#watch.add(lease, now)
  }

  /** A lease has given its connection back. The borrow may get another connection after that. */
  remove(lease: Lease<K, A>): void {
    if (lease.isStanding) return
    this.#nested.count(lease, -1)
    this.#abandoned.remove(lease)
    if (this.#watch.isOn) this.#watch.remove(lease)
  }

  /** Handles the leases that are due, and returns when the next of them is. */
  check(now: number): number {
    return Math.min(this.#watch.check(now), this.#abandoned.sweep(this.#store, now))
  }

  /** An operator ends the lease with this number. The result is `false` if there is none. */
  endLease(id: number): boolean {
    const lease = this.#store.all().flatMap(({ leases }) => leases).find((one) => numberOf(one) === id)
    if (lease !== undefined) this.#watch.endNow(lease)
    return lease !== undefined
  }

  /** A borrow is about to wait. The result is its error if it would wait for a connection that its own fiber holds. */
  enter(lease: Lease<K, A>): PoolError | undefined {
    this.#begin(lease)
    return this.#nested.refusal(lease)
  }

  /** A borrow begins. It is added to the tracker of what is open even if it has to wait first. */
  #begin(lease: Lease<K, A>): void {
    const tracker = trackerIn(lease.context)
    if (tracker !== undefined && lease.unnote === undefined) lease.unnote = note(tracker, lease)
  }
}

/**
 * Reports leases that last longer than `leakThreshold`, and ends those that last longer than `maxLease`. Leases are watched in the
 * order in which their use began, which is the order in which they are due. Times are those of the monotonic clock: setting the
 * wall clock must not end a lease.
 */
export class LeakDetection<K, A> {
  readonly #env: CoreEnvironment<K, A>
  readonly #store: ConnectionStore<K, A>
  readonly #held = new LeaseQueue<K, A>()
  /** The shorter of `leakThreshold` and `maxLease`, in milliseconds. */
  readonly #first: number
  readonly isOn: boolean

  constructor(env: CoreEnvironment<K, A>, store: ConnectionStore<K, A>) {
    this.#env = env
    this.#store = store
    this.#first = Math.min(env.settings.leakThreshold, env.settings.maxLease)
    this.isOn = this.#first < Infinity
  }

  /** A borrower begins to use its connection at `now`. Returns when the lease is due for the first time. */
  add(lease: Lease<K, A>, now: number): number {
    lease.reported = false
    lease.watchedSince = this.#env.clock.monotonicAt(now)
    this.#held.addLast(lease)
    return now + this.#first
  }

  remove(lease: Lease<K, A>): void {
    const { reported, watchedSince } = lease
    if (watchedSince === Infinity) return
    this.#forget(lease)
    if (reported) this.#report(lease, "Returned", this.#env.clock.monotonic() - watchedSince)
  }

  /** Handles the leases that are due, and returns when the next lease is. */
  check(now: number): number {
    if (this.#held.size === 0) return Infinity
    const { clock, settings, tally } = this.#env
    const monotonic = clock.monotonic()
    this.#endOver(monotonic)
    let next = Infinity
    for (let lease = this.#held.first; lease !== undefined; lease = lease.behind) {
      const age = monotonic - lease.watchedSince
      // Later leases are due later.
      if (age < this.#first) return now + Math.min(next, this.#first - age)
      if (!lease.reported) {
        tally.leaksReported++
        this.#report(lease, "Held", age)
      }
      lease.reported = true
      next = Math.min(next, settings.maxLease - age)
    }
    return now + next
  }

  /**
   * Ends the leases that have lasted for too long. The end of one lease may end others, so each round takes the first of the list.
   */
  #endOver(monotonic: number): void {
    const { maxLease } = this.#env.settings
    for (let first = this.#held.first; first !== undefined; first = this.#held.first) {
      if (monotonic - first.watchedSince < maxLease) return
      this.#forget(first)
      this.#end(first)
    }
  }

  #end(lease: Lease<K, A>): void {
    const { settings, tally } = this.#env
    tally.leasesExpired++
    this.#expire(lease, Diagnostics.leaseExpired(lease, settings, settings.maxLease))
    if (lease.connection !== undefined) this.#store.retire(lease.connection, "lease_ended")
  }

  /**
   * An operator ends a lease. If the borrower's effect can be ended alone, the other borrowers of a shared connection keep it.
   * Otherwise the connection is closed under all of them, and the borrower fails when it uses the connection.
   */
  endNow(lease: Lease<K, A>): void {
    const { connection, expire, isInUse, watchedSince } = lease
    this.#env.tally.leasesEnded++
    if (watchedSince !== Infinity) this.#forget(lease)
    const error = Diagnostics.leaseExpired(lease, this.#env.settings)
    if (expire !== undefined) this.#expire(lease, error)
    else if (isInUse) lease.ended = error
    if (connection === undefined) return
    if (expire === undefined || connection.leases.length === 1) this.#store.retire(connection, "lease_ended")
    else this.#store.discard(connection, { fitness: "Outgoing", reason: "lease_ended" })
  }

  /** The borrower has to fail with this error, and not with the end of its connection, so this command is the first. */
  #expire(lease: Lease<K, A>, error: PoolError): void {
    this.#env.outbox.push({ _tag: "Expire", lease, error })
  }

  #report(lease: Lease<K, A>, what: "Held" | "Returned", millis: number): void {
    this.#env.outbox.push({ _tag: "Report", lease, what, millis })
  }

  #forget(lease: Lease<K, A>): void {
    this.#held.remove(lease)
    lease.watchedSince = Infinity
  }
}

/** The age from which a lease is guarded, in milliseconds. Nearly all leases end before that, and cost nothing. */
const young = 1000

/**
 * Notices leases whose holders were garbage-collected before they ended.
 *
 * **Details**
 *
 * A lease from `use` ends with its fiber, and a lease from `get` with the finalizer of a scope. When that fiber or finalizer is
 * garbage-collected, nothing in the program can end the lease any more. A lease that is no longer young drops its references to the
 * fiber, the finalizer and the context, so that they can be collected. So no other part of a pool may keep a reference to the
 * fiber, the context or the scope of an old lease.
 */
export class AbandonedLeases<K, A> {
  readonly #lost: (lease: Lease<K, A>) => void
  /** When the next sweep is due. A sweep finds all leases of that moment. */
  #dueAt = Infinity

  constructor(lost: (lease: Lease<K, A>) => void) {
    this.#lost = lost
  }

  /** A lease begins. Returns when the next sweep is due. */
  add(now: number): number {
    if (this.#dueAt === Infinity) this.#dueAt = now + young
    return this.#dueAt
  }

  /** The lease was ended by its holder. */
  remove(lease: Lease<K, A>): void {
    if (lease.gcGuard !== undefined) removeGuard(lease.gcGuard)
  }

  /** Guards the leases that are no longer young, if a sweep is due. Returns when the next sweep is due. */
  sweep(store: Pick<ConnectionStore<K, A>, "hasLeased" | "size" | "all">, now: number): number {
    if (now < this.#dueAt) return this.#dueAt
    if (!store.hasLeased) return this.#dueAt = Infinity
    let hasYoung = false
    for (const connection of store.all()) {
      // Saves the inner loop for idle connections, which are nearly all in a pool with very many.
      if (connection.state === "Idle") continue
      for (const lease of connection.leases) hasYoung = !this.#isGuarded(lease, now) || hasYoung
    }
    // The interval grows with the number of connections, so that the cost of sweeps per second does not.
    return this.#dueAt = hasYoung ? now + Math.max(young, store.size) : Infinity
  }

  /**
   * Guards a lease unless it is young. A waiting borrower is referred to by its lease alone, so its lease must keep the reference.
   */
  #isGuarded(lease: Lease<K, A>, now: number): boolean {
    if (lease.gcGuard !== undefined || lease.isStanding) return true
    if (now < lease.borrowedAt + young || lease.resume !== undefined) return false
    this.#guard(lease)
    return true
  }

  #guard(lease: Lease<K, A>): void {
    const { fiber, finalizer } = lease
    const holder = finalizer ?? fiber
    // A lease with `expire` keeps a reference to its fiber, and is ended by `maxLease`.
    if (holder === undefined || lease.expire !== undefined) return
    lease.gcGuard = { onCollected: () => this.#lost(lease) }
    lease.fiber = undefined
    lease.finalizer = undefined
    lease.context = requesterOnly(lease.context)
    lease.site?.release()
    addGuard(holder, lease.gcGuard)
  }
}

/**
 * Counts the slots that are out of reach for a borrow that is about to wait: `slots`, and those of the connections that the
 * borrower's fiber holds alone, because that fiber returns none while it waits. The result is `undefined` if the fiber holds no
 * connection, alone or shared. Other fibers do not count: it is not known whether the borrower waits for them.
 */
const heldBy = <K, A>(
  { fiberId, owner }: Lease<K, A>,
  connections: Iterable<PooledConnection<K, A>>,
  slots: HeldSlots | undefined
): HeldSlots | undefined => {
  let held = slots
  for (const connection of connections) {
    const own = countOf(connection.leases, fiberId)
    if (own === 0) continue
    const alone = own === connection.leases.length ? 1 : 0
    held = {
      ofEndpoint: (held?.ofEndpoint ?? 0) + (connection.owner === owner ? alone : 0),
      ofPool: (held?.ofPool ?? 0) + alone
    }
  }
  return held
}

const countOf = <K, A>(leases: ReadonlyArray<Lease<K, A>>, fiberId: number): number => {
  let count = 0
  for (let index = 0; index < leases.length; index++) {
    const lease = leases[index]
    if (lease?.fiberId === fiberId && !lease.isStanding) count++
  }
  return count
}

/**
 * Whether all connections and dials of an endpoint are out of reach, and no further dial begins before one of these dials has
 * ended.
 */
const isStuck = <K, A>(
  { connecting, connections, dialState }: PoolEndpoint<K, A>,
  { ofEndpoint }: HeldSlots
): boolean => connecting >= dialState.maxConcurrentDials && connecting + connections.length <= ofEndpoint

const buckets = 256

/** Finds borrows that wait for a connection that their own fiber holds. */
export class NestedBorrows<K, A> {
  readonly #env: CoreEnvironment<K, A>
  readonly #store: ConnectionStore<K, A>
  /**
   * The numbers of leases by fiber id, in a fixed number of buckets. If the bucket of a fiber is 0, the fiber holds no lease, and
   * no search is needed.
   */
  readonly #leases = new Int32Array(buckets)

  constructor(env: CoreEnvironment<K, A>, store: ConnectionStore<K, A>) {
    this.#env = env
    this.#store = store
  }

  /** Adds a lease to the bucket of its fiber, or removes one. */
  count({ fiberId }: Lease<K, A>, by: 1 | -1): void {
    const bucket = fiberId % buckets
    this.#leases[bucket] = (this.#leases[bucket] ?? 0) + by
  }

  /**
   * The error of a nested borrow that would wait until its deadline, because its own fiber holds every connection that the borrow
   * could get. If other fibers hold some of them, the borrow waits, and a warning is logged: all of them would wait if all borrowed
   * nested.
   */
  refusal(lease: Lease<K, A>): PoolError | undefined {
    const { outbox, settings } = this.#env
    const { fiberId, owner } = lease
    const outOfReach = this.#env.outOfReach(lease)
    if (outOfReach === undefined && this.#leases[fiberId % buckets] === 0) return undefined
    const held = heldBy(lease, this.#store.around(owner), outOfReach)
    if (held === undefined) return undefined
    if (isStuck(owner, held) || held.ofEndpoint >= settings.maxPerEndpoint || held.ofPool >= settings.maxTotal) {
      return Diagnostics.nestedAcquire(owner, held, settings)
    }
    outbox.push({ _tag: "WarnNested", lease })
    return undefined
  }
}

/** The borrowers on whose behalf fibers of pools run. */
export class LeaseFibers {
  readonly #borrowers = new Map<number, number>()

  add(leaseFiberId: number, fiberId: number): void {
    this.#borrowers.set(leaseFiberId, fiberId)
  }

  /** Removes a fiber. A fiber that was interrupted before its first step was never added. */
  remove(leaseFiberId: number): void {
    this.#borrowers.delete(leaseFiberId)
  }

  /** The id of the borrower on this fiber: the borrower on whose behalf the fiber runs, or the fiber itself. */
  borrowerOn(fiberId: number): number {
    return this.#borrowers.size === 0 ? fiberId : this.#borrowers.get(fiberId) ?? fiberId
  }
}

/**
 * The lease fibers of all pools, because a borrower on one of them may hold connections of several pools. Fiber ids are unique in a
 * process, so there is one instance for the process. A fiber that has ended is removed from it.
 */
export const leaseFibers = /*#__PURE__*/ new LeaseFibers()

/** Runs an effect on behalf of a borrower: a borrow in the effect counts as one of this borrower. */
export const inPlaceOf = (fiberId: number) => <B, E, R>(effect: Effect.Effect<B, E, R>): Effect.Effect<B, E, R> =>
  Effect.withFiber(({ id }) => {
    leaseFibers.add(id, fiberId)
    return Effect.onExitPrimitive(effect, () => {
      leaseFibers.remove(id)
      return undefined
    })
  })

/** A slot that a fiber of the pool holds, and the last borrow of that fiber that had to wait. */
interface HeldSlot<K, A> {
  readonly owner: PoolEndpoint<K, A>
  waiting: Lease<K, A> | undefined
}

/** The fibers of a pool that hold one of its slots, because they open a connection, or check or reset one that is not leased. */
export class SlotHolders<K, A> {
  readonly #slots = new Map<number, HeldSlot<K, A>>()

  /** While the effect runs, its fiber holds a slot of this endpoint. */
  holding(owner: PoolEndpoint<K, A>): OnBehalf {
    return (effect) =>
      Effect.withFiber(({ id }) => {
        this.#slots.set(id, { owner, waiting: undefined })
        return Effect.onExitPrimitive(effect, () => {
          this.#slots.delete(id)
          return undefined
        })
      })
  }

  /**
   * A borrow is about to wait. If its fiber is one of these fibers, the slots of all those that wait for this pool are out of
   * reach: each of them keeps its slot while it waits.
   */
  outOfReach(lease: Lease<K, A>): HeldSlots | undefined {
    if (this.#slots.size === 0) return undefined
    const own = this.#slots.get(lease.fiberId)
    if (own === undefined) return undefined
    own.waiting = lease
    let [ofEndpoint, ofPool] = [0, 0]
    for (const { owner, waiting } of this.#slots.values()) {
      if (waiting !== lease && waiting?.isWaiting !== true) continue
      ofPool++
      if (owner === lease.owner) ofEndpoint++
    }
    return { ofEndpoint, ofPool }
  }
}
