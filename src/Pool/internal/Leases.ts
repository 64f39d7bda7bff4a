/**
 * Tracks held leases: nested acquires, leases held too long, leases whose holder was garbage-collected.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Tracer from "effect/Tracer"
import { addGuard, removeGuard } from "../../internal/GcGuard.ts"
import { type Opened, type OpenTracker, spanNameIn, trackerIn } from "../../internal/OpenTracker.ts"
import type { PoolError } from "../PoolError.ts"
import type { ConnectionStore } from "./ConnectionStore.ts"
import * as Diagnostics from "./Diagnostics.ts"
import {
  type CoreEnvironment,
  type HeldSlots,
  type Lease,
  LeaseQueue,
  type OnBehalf,
  type PooledConnection,
  type PoolEndpoint
} from "./PoolState.ts"

/** Adds a lease to the tracker of what is open. The result removes it. */
const note = <K, A>(tracker: OpenTracker, { context, owner, site }: Lease<K, A>): () => void => {
  const opened: Opened = { kind: "Lease", label: owner.label, site, span: spanNameIn(context) }
  tracker.add(opened)
  return () => tracker.delete(opened)
}

/** Tracks each lease from the moment it gets a connection until it returns it. */
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
      // One that was held for too long as well has not come back after all.
      lease.reported = false
      lease.unnote?.()
      env.outbox.push({ _tag: "Report", lease, what: "Lost", millis: env.clock.now() - lease.borrowedAt })
      lost(lease)
    })
  }

  /** A lease has got its connection; returns when it has to be looked at. */
  add(lease: Lease<K, A>): number {
    this.#begin(lease)
    // A standing lease is held on purpose, and its holder does not wait with it for another.
    if (lease.isStanding) return Infinity
    this.#nested.count(lease, 1)
    return this.#abandoned.add(lease.borrowedAt)
  }

  /** Whether leases are watched from the moment at which their borrowers go on with them. */
  get isWatching(): boolean {
    return this.#watch.isOn
  }

  /** A borrower goes on with its connection, and what it takes to check it has passed; returns when that is too long. */
  startUse(lease: Lease<K, A>, now: number): number {
    return lease.isStanding ? Infinity : this.#watch.add(lease, now)
  }

  /** A lease has given its connection back; the borrow may go on with another. */
  remove(lease: Lease<K, A>): void {
    if (lease.isStanding) return
    this.#nested.count(lease, -1)
    this.#abandoned.remove(lease)
    if (this.#watch.isOn) this.#watch.remove(lease)
  }

  /** Does what is due, and returns when the next is. */
  check(now: number): number {
    return Math.min(this.#watch.check(now), this.#abandoned.sweep(this.#store, now))
  }

  /** A borrow is about to wait; the result tells a borrower that would wait for what it holds itself. */
  enter(lease: Lease<K, A>): PoolError | undefined {
    this.#begin(lease)
    return this.#nested.refusal(lease)
  }

  /** A borrow begins, with a wait or at once. The tracker of what is open gets both: a waiting borrower has a connection soon. */
  #begin(lease: Lease<K, A>): void {
    const tracker = trackerIn(lease.context)
    if (tracker !== undefined && lease.unnote === undefined) lease.unnote = note(tracker, lease)
  }
}

/**
 * Watches leases in the order in which their borrowers got them, which is the order in which they are due: reports the long ones, and
 * ends those that pass `maxLease`. Times are those of a clock that does not step: a wall clock that is set must end no lease that has
 * just begun.
 */
export class LeakDetection<K, A> {
  readonly #env: CoreEnvironment<K, A>
  readonly #store: ConnectionStore<K, A>
  readonly #held = new LeaseQueue<K, A>()
  /** The shorter of the two times. */
  readonly #first: number
  readonly isOn: boolean

  constructor(env: CoreEnvironment<K, A>, store: ConnectionStore<K, A>) {
    this.#env = env
    this.#store = store
    this.#first = Math.min(env.settings.leakThreshold, env.settings.maxLease)
    this.isOn = this.#first < Infinity
  }

  /** A borrower has got its connection at `now`; returns when the lease is due for the first time. */
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

  /** Does what is due, and returns when the next lease is. */
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

  /** Ends the leases that have lasted for too long. Ending one may end others, so that the list is looked at again each time. */
  #endOver(monotonic: number): void {
    const { maxLease } = this.#env.settings
    for (let first = this.#held.first; first !== undefined; first = this.#held.first) {
      if (monotonic - first.watchedSince < maxLease) return
      this.#forget(first)
      this.#end(first)
    }
  }

  #end(lease: Lease<K, A>): void {
    const { outbox, settings, tally } = this.#env
    const { connection } = lease
    tally.leasesExpired++
    // What it learns first is that its lease has expired, and not that its connection is gone.
    outbox.push({ _tag: "Expire", lease, error: Diagnostics.leaseExpired(lease, settings) })
    if (connection !== undefined) this.#store.retire(connection)
  }

  #report(lease: Lease<K, A>, what: "Held" | "Returned", millis: number): void {
    this.#env.outbox.push({ _tag: "Report", lease, what, millis })
  }

  #forget(lease: Lease<K, A>): void {
    this.#held.remove(lease)
    lease.watchedSince = Infinity
  }
}

/** How long a lease is left alone, in ms: nearly all of them have come back by then, and have cost nothing. */
const young = 1000

/** The span names the borrower in reports; the rest of its context may hold the very scope that has to be seen to go. */
const spanOnly = (context: Context.Context<never>): Context.Context<never> => {
  const span = Context.getOrUndefined(context, Tracer.ParentSpan)
  return span === undefined ? Context.empty() : Context.makeUnsafe(new Map([[Tracer.ParentSpan.key, span]]))
}

/**
 * Sees leases go that were never ended.
 *
 * **Details**
 *
 * A lease from `use` ends with its fiber, one from `get` with the scope's finalizer. When that fiber or that finalizer is
 * garbage-collected, nothing in the program can end the lease any more. To let them be collected, a lease that is no longer
 * young lets go of everything through which they can be reached. So nothing that a pool keeps of an old lease may lead to
 * the borrower's fiber, context or scope.
 */
export class AbandonedLeases<K, A> {
  readonly #lost: (lease: Lease<K, A>) => void
  /** When the next sweep is due, which will find whatever is leased by then. */
  #dueAt = Infinity

  constructor(lost: (lease: Lease<K, A>) => void) {
    this.#lost = lost
  }

  /** A lease begins; returns when the next sweep is due, which is early enough. */
  add(now: number): number {
    if (this.#dueAt === Infinity) this.#dueAt = now + young
    return this.#dueAt
  }

  /** The lease has ended as it should. */
  remove(lease: Lease<K, A>): void {
    if (lease.gcGuard !== undefined) removeGuard(lease.gcGuard)
  }

  /** Guards the leases that are no longer young, if that is due; returns when it is due again. */
  sweep(store: Pick<ConnectionStore<K, A>, "hasLeased" | "size" | "all">, now: number): number {
    if (now < this.#dueAt) return this.#dueAt
    if (!store.hasLeased) return this.#dueAt = Infinity
    let hasYoung = false
    for (const connection of store.all()) {
      // Of a hundred thousand nearly all are idle, and a step for each of them is felt.
      if (connection.state === "Idle") continue
      for (const lease of connection.leases) hasYoung = !this.#isGuarded(lease, now) || hasYoung
    }
    // The more connections there are, the seldomer they are looked through, so that a crowd costs no more than a few.
    return this.#dueAt = hasYoung ? now + Math.max(young, store.size) : Infinity
  }

  /** Guards a lease unless it is young. A borrower that has yet to go on with its connection is reached through its lease alone. */
  #isGuarded(lease: Lease<K, A>, now: number): boolean {
    if (lease.gcGuard !== undefined || lease.isStanding) return true
    if (now < lease.borrowedAt + young || lease.resume !== undefined) return false
    this.#guard(lease)
    return true
  }

  #guard(lease: Lease<K, A>): void {
    const { fiber, finalizer } = lease
    const holder = finalizer ?? fiber
    // What limits a lease holds on to its fiber, and ends it in time.
    if (holder === undefined || lease.expire !== undefined) return
    lease.gcGuard = { onCollected: () => this.#lost(lease) }
    lease.fiber = undefined
    lease.finalizer = undefined
    lease.context = spanOnly(lease.context)
    lease.site?.release()
    addGuard(holder, lease.gcGuard)
  }
}

/**
 * Counts, among these connections, those that the borrower's own fiber holds and no other, besides its slots. The result is
 * `undefined` if it holds nothing, alone or with others. A fiber that waits gives nothing back, so what it holds is out of reach
 * for it. Nothing is known of other fibers: one that it has forked may be waited for or not.
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

/** Whether no connection of an endpoint is within reach, and no further dial begins before one of those under way has ended. */
const isStuck = <K, A>(
  { connecting, connections, dialState }: PoolEndpoint<K, A>,
  { ofEndpoint }: HeldSlots
): boolean => connecting >= dialState.maxConcurrentDials && connecting + connections.length <= ofEndpoint

const buckets = 256

/** Finds the borrows of a pool that wait for themselves. */
export class NestedBorrows<K, A> {
  readonly #env: CoreEnvironment<K, A>
  readonly #store: ConnectionStore<K, A>
  /**
   * The leases of the fibers in each of a few buckets, which tells at once of nearly every fiber that it holds nothing: where there
   * are none, no search is needed.
   */
  readonly #leases = new Int32Array(buckets)

  constructor(env: CoreEnvironment<K, A>, store: ConnectionStore<K, A>) {
    this.#env = env
    this.#store = store
  }

  /** Its fiber has one lease more, or one less. */
  count({ fiberId }: Lease<K, A>, by: 1 | -1): void {
    const bucket = fiberId % buckets
    this.#leases[bucket] = (this.#leases[bucket] ?? 0) + by
  }

  /**
   * What a nested borrow fails with that would wait for ever: every connection that it could get is held by its own fiber, which waits
   * for it. Where others hold some, all wait for ever if all of them do the same, which is warned of.
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

/** Finds the borrower for a fiber of the pool's that runs in its place. */
export class LeaseFibers {
  readonly #borrowers = new Map<number, number>()

  add(leaseFiberId: number, fiberId: number): void {
    this.#borrowers.set(leaseFiberId, fiberId)
  }

  /** Removes one, if it is here: a fiber that was interrupted before its first step never was. */
  remove(leaseFiberId: number): void {
    this.#borrowers.delete(leaseFiberId)
  }

  /** The id of the borrower on this fiber: that of the fiber itself, unless it runs in the place of another. */
  borrowerOn(fiberId: number): number {
    return this.#borrowers.size === 0 ? fiberId : this.#borrowers.get(fiberId) ?? fiberId
  }
}

/**
 * The lease fibers of all pools: a borrower on one of them may hold connections of several pools. It is one for the process because
 * the ids of fibers are, and it holds nothing of a lease fiber that has ended.
 */
export const leaseFibers = /*#__PURE__*/ new LeaseFibers()

/** Runs an effect in the place of a borrower: what it borrows is the borrower's. */
export const inPlaceOf = (fiberId: number) => <B, E, R>(effect: Effect.Effect<B, E, R>): Effect.Effect<B, E, R> =>
  Effect.withFiber(({ id }) => {
    leaseFibers.add(id, fiberId)
    return Effect.onExitPrimitive(effect, () => {
      leaseFibers.remove(id)
      return undefined
    })
  })

/** A slot that a fiber of the pool holds, and the borrow that was the last to wait on that fiber. */
interface HeldSlot<K, A> {
  readonly owner: PoolEndpoint<K, A>
  waiting: Lease<K, A> | undefined
}

/** The fibers of a pool that hold one of its slots: they open a connection, or check or reset one that is not leased. */
export class SlotHolders<K, A> {
  readonly #slots = new Map<number, HeldSlot<K, A>>()

  /** The fiber that runs the effect holds a slot of this endpoint for as long. */
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
   * A borrow is about to wait. If it is one of these fibers that waits, the slots that all of those hold that wait for this pool are
   * out of reach for it: none of them is given back before another one is.
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
