/**
 * The records that a pool is made of: its endpoints, their connections and their borrowers, and what they need from outside.
 *
 * These records refer to one another, so they are declared in one file. Each field has one writer: the module that uses it.
 * `ConnectionStore` alone writes the counts and the states of slots.
 *
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import type { AgeClock } from "../../internal/AgeClock.ts"
import type { CallSite } from "../../internal/CallSite.ts"
import type { GcGuard } from "../../internal/GcGuard.ts"
import { labelOf } from "../../internal/SafeText.ts"
import type { ResourceExhausted } from "../../Monitor/Service.ts"
import type { Connector } from "../../Resource/Connector.ts"
import type { Series } from "../../Retry/internal/Decision.ts"
import type { CloseReason } from "../CloseReason.ts"
import type { PoolError } from "../PoolError.ts"
import type { Settings } from "../PoolOptions.ts"
import type { Observers, Tally } from "../PoolStats.ts"
import { type EndpointState, healthy, noSetbacks, type Setbacks } from "./DialPolicy.ts"
import type { EndpointPool, Item, Options } from "./EndpointPool.ts"
import { UseTimes } from "./Silence.ts"

/**
 * The status of a pool. A suspended pool is `Waiting` (new borrowers wait for `resume`) or `Refusing` (new borrowers fail). A pool
 * that ends is `Draining`, and `Closed` after that.
 */
export type Status = "Open" | "Waiting" | "Refusing" | "Draining" | "Closed"

/**
 * The right to have one connection. It counts against both caps from before the dial until the socket is gone.
 *
 * - A dial that succeeds: `Connecting -> Open -> Closing -> Free`.
 * - A dial that fails: `Connecting -> Free`.
 * - A connect that was interrupted and has not ended: `Connecting -> LeftBehind -> Free`.
 */
export interface Slot<K, A> {
  state: "Connecting" | "Open" | "Closing" | "LeftBehind" | "Free"
  /** When the slot was taken, on the pool's age clock. */
  readonly since: number
  /** The endpoint's `generation` when the slot was taken. If an eviction has raised it since, the connection closes as it opens. */
  readonly generation: number
  /** The item of the connection in Effect's Pool. It is removed from there when the slot leaves `Connecting` and `Open`. */
  readonly item: Item<Lease<K, A>, PooledConnection<K, A>>
  /** The record of the connection in the monitor's ledger. It ends after the scope of the item. */
  readonly ledgerEntry: LedgerEntry
}

/**
 * Whether a connection may be leased again. The fitness of a connection only gets worse, in the order of this list.
 *
 * - `Fit`: it may be leased.
 * - `Outgoing`: it is leased to no further borrower, because it is too old, is over a cap, or another endpoint needs its slot. Its present
 *   borrowers keep it, also those that have not used it yet.
 * - `Unfit`: it was evicted or declared broken. A borrower that has not used it yet gets another connection.
 * - `Dead`: it has died by itself. A borrower that has not used it yet gets another connection.
 */
export type Fitness = "Fit" | Unfitness

/** Every fitness but `Fit`. */
export type Unfitness = "Outgoing" | "Unfit" | "Dead"

/** Why a connection is leased to no further borrower. It is closed for this reason when its last lease ends. */
export interface Doom {
  readonly fitness: Unfitness
  readonly reason: CloseReason
}

/**
 * The check of a connection that is under way. During a check, the connection is leased to no further borrower.
 *
 * - `None`: there is none.
 * - `Borrower`: the first borrower of a connection that may be shared checks it. After that, others may share the connection.
 * - `KeepAlive`: the pool checks an idle connection.
 */
type Check = "None" | "Borrower" | "KeepAlive"

/**
 * How far a new connection has proved that it can be used. While the trial is `New` or `Ready`, the loss of a connection that was
 * opened a short time ago counts as a failed dial.
 *
 * - `Unready`: it was leased to a waiting borrower right after its dial, and the hook `beforeLend` has not succeeded on it yet.
 * - `New`: it is open, and was not made ready for a borrower yet.
 * - `Ready`: it was checked and made ready for a borrower at least once.
 * - `Over`: a borrow has succeeded, or the loss of the connection was counted.
 */
type Trial = "Unready" | "New" | "Ready" | "Over"

/** The fields that are known when a connection has been opened. */
type Opening<K, A> = Pick<
  PooledConnection<K, A>,
  "owner" | "value" | "watcher" | "slot" | "openedAt" | "openedIn" | "lifetime"
>

/**
 * One open connection. While it is `Idle`, its item is available in Effect's Pool. A new connection is `Leased` although it has no
 * leases yet, because its dial holds the item.
 */
export class PooledConnection<K, A> {
  readonly owner: PoolEndpoint<K, A>
  readonly value: A
  readonly slot: Slot<K, A>
  /** When it was opened, on the pool's age clock. */
  readonly openedAt: number
  /** How long opening took, in milliseconds. */
  readonly openedIn: number
  /** How long it may live, in milliseconds. The jitter is already subtracted. */
  readonly lifetime: number
  /** The fiber that ends when the connection dies, if the connector notices deaths. */
  readonly watcher: Fiber.Fiber<void> | undefined
  /** The fiber that checks or resets the connection while no borrower has it. Set by the driver. */
  probe: Fiber.Fiber<boolean> | undefined = undefined
  /** The fiber that closes the connection. Set by the driver. */
  closing: Fiber.Fiber<void> | undefined = undefined
  state: "Idle" | "Leased" | "Closing" = "Leased"
  /** Set if the connection is leased to no further borrower. Written by `ConnectionStore`. */
  doom: Doom | undefined = undefined
  check: Check = "None"
  trial: Trial = "New"
  /** When it last became idle, on the pool's age clock. */
  idleSince: number
  /** When it was last known to work, on the pool's age clock. */
  provenAt: number
  /** How many borrows of it have succeeded. */
  answers = 0
  /** The turn of the event loop in which it was last known to be alive, or -1. Written by `Liveness`. */
  aliveIn = -1
  /** The leases of its present borrowers. */
  readonly leases: Array<Lease<K, A>> = listForOne()
  /** How many reservations keep it for its present borrowers. */
  reservations = 0

  constructor({ lifetime, openedAt, openedIn, owner, slot, value, watcher }: Opening<K, A>) {
    this.owner = owner
    this.value = value
    this.slot = slot
    this.openedAt = this.idleSince = this.provenAt = openedAt
    this.openedIn = openedIn
    this.lifetime = lifetime
    this.watcher = watcher
  }

  get fitness(): Fitness {
    return this.doom === undefined ? "Fit" : this.doom.fitness
  }
}

/**
 * An empty list with room for one item. V8 gives an empty array literal room for 17 items at its first `push`, which costs each
 * endpoint and each connection a hundred bytes.
 */
export const listForOne = <T>(): Array<T> => {
  const list: Array<T | undefined> = [undefined]
  list.pop()
  // The list is empty, so no item of it is `undefined`.
  return list as Array<T>
}

/** Removes an item from a list that has it. Most often the item is the last. */
export const removeFrom = <T>(list: Array<T>, item: T): void => {
  if (list.at(-1) === item) list.pop()
  else list.splice(list.indexOf(item), 1)
}

/** Whether a connection has died or is closing, so that even its present borrowers cannot use it. */
export const isGone = <K, A>({ state, watcher }: PooledConnection<K, A>): boolean =>
  state === "Closing" || watcher?.pollUnsafe() !== undefined

/** The state of a pool for one key. */
export class PoolEndpoint<K, A> {
  readonly key: K
  /** The key's text, for errors, logs and the monitor. */
  readonly label: string
  /** The borrowers that wait for a connection. */
  readonly queue = new LeaseQueue<K, A>()
  /** Effect's Pool of the connections. It exists while there are connections or dials. */
  pool: EndpointPool<Lease<K, A>, PooledConnection<K, A>> | undefined = undefined
  /** How many connections are idle and not being checked. */
  idle = 0
  /** The idle and the leased connections. */
  readonly connections: Array<PooledConnection<K, A>> = listForOne()
  /** How many slots are `Connecting`. */
  connecting = 0
  /** How many `Connecting` slots are not counted on: their dials were abandoned, or failed while another dial of the endpoint goes on. */
  redundant = 0
  /** How many slots are `Closing`. */
  closing = 0
  /** How many borrowers have not ended although their connection was closed. */
  detached = 0
  /** How many slots are `LeftBehind`. */
  kept = 0
  /** How many connects and finalizers were left behind and have not ended, with or without a slot. */
  leftBehind = 0
  /** How many connections are in a `Borrower` check. */
  proving = 0
  /** How many evictions there were. */
  generation = 0
  /** How many borrows there were. */
  arrivals = 0
  /**
   * The server is trusted to keep a connection open after an answer when this is 0. Each lease that finds its connection alive
   * lowers it by one. A connection that dies right after an answer sets it to a high number.
   */
  doubt = 1
  /** The `answers` of the last connection that died right after an answer. 0: there is none, or another survived as many answers. */
  endsAfter = 0
  dialState: EndpointState = healthy
  setbacks: Setbacks = noSetbacks
  /** A borrow or a check has succeeded since the last setback, if there was one. Written by `EndpointHealth`. */
  hasSucceeded = true
  /** Borrowers wait, and it is watched whether the server answers. Written by `EndpointHealth`. */
  isWatched = false
  /** When the server has last answered a borrower, on the pool's age clock. Written by `EndpointHealth`. */
  answeredAt = -1
  /** How long uses last. Written by `EndpointHealth`. */
  readonly uses = new UseTimes()
  /** What the last failed dial failed with. */
  lastFailure: unknown = undefined
  /** How many dials have failed. Written by `Dials`. */
  failedAttempts = 0
  /** How many borrows have run out of time. */
  timeouts = 0
  /** When it has left `Healthy`, on the pool's age clock, if it is not. Written by `EndpointHealth`. */
  impairedSince: number | undefined = undefined
  /** The last failure since it was `Healthy`, and when that was, on the pool's age clock. Written by `EndpointHealth`. */
  trouble: { readonly cause: unknown; readonly at: number } | undefined = undefined
  /** The dials that have failed in a row and were not reported to borrowers, if there are any. */
  series: Series | undefined = undefined
  /** Until when no idle connection is kept, because the server has refused one for lack of room, on the pool's age clock. */
  refusedUntil = 0
  /** When the last dial failed, on the pool's age clock. */
  failedAt = -Infinity
  /** When the next dial may begin, on the pool's age clock. */
  dialAt = 0
  /** The pool has removed this endpoint. A borrow that refers to it looks its key up again. */
  isForgotten = false
  /** When the endpoint was last left with nothing open and no borrower waiting, on the pool's age clock. */
  emptySince = 0

  constructor(key: K) {
    this.key = key
    this.label = labelOf(key)
  }

  /** The endpoint was not used for so long that its failures say nothing any more. */
  forgetFailures(): void {
    this.dialState = healthy
    this.setbacks = noSetbacks
    this.lastFailure = this.series = undefined
    this.dialAt = 0
  }
}

/** How many slots an endpoint has taken: `connecting + idle + leased + closing + kept`. */
export const slotsOf = <K, A>(endpoint: PoolEndpoint<K, A>): number =>
  endpoint.connecting + endpoint.connections.length + endpoint.closing + endpoint.kept

/**
 * One borrow. It waits in the queue of its endpoint if it has to, holds a connection, and ends.
 *
 * A lease is a class instance because V8 may allocate the objects of an object literal in its old space. Only a major collection
 * frees them there.
 */
export class Lease<K, A> {
  owner: PoolEndpoint<K, A>
  /** The number of the borrow among those of its endpoint, in the order of arrival. It changes when the endpoint changes. */
  arrival: number
  /** The borrower's fiber id. A fiber of the pool that runs on behalf of a borrower borrows with the id of that borrower. */
  readonly fiberId: number
  /** The borrower's fiber. It is `undefined` after the lease was guarded, so that the pool does not keep the fiber alive. */
  fiber: Fiber.Fiber<unknown, unknown> | undefined
  /** The finalizer that ends the lease with a scope. It is `undefined` after the lease was guarded. */
  finalizer: object | undefined = undefined
  /** The borrower's context, which names the borrower. After the lease was guarded, the context has nothing but that. */
  context: Context.Context<never>
  /** The place in the program that began the borrow. It is `undefined` if borrows are so frequent that some places are left out. */
  readonly site: CallSite | undefined
  /** The lease is in the queue of its endpoint. Written by `WaitQueue`. */
  isWaiting = false
  /** The connection that the lease holds. Written by `ConnectionStore`. */
  connection: PooledConnection<K, A> | undefined = undefined
  /**
   * A connection may have died before the event loop has reported it. Then the loop has to turn before the connection is used: the
   * turn is `Due`, `UnderWay` and `Over` in this order.
   */
  turn: "None" | "Due" | "UnderWay" | "Over" = "None"
  /** The connection has to be checked or made ready before its use, and this has not succeeded yet. */
  mustCheck = false
  /** The borrower uses the connection. */
  isInUse = false
  /** The lease lasts as long as its holder. It is never reported as nested or as held for too long. */
  readonly isStanding: boolean
  /** The deadline of the whole borrow on the monotonic clock. It is set once, when the borrow has to wait. */
  deadline = Infinity
  /** When the borrow began to wait, on the pool's age clock, which begins at 0. -1: it has not waited. */
  waitingSince = -1
  /** When the borrow got its connection, on the pool's age clock, which begins at 0. */
  borrowedAt = -1
  /** Since when the use is watched for its duration, in milliseconds of the monotonic clock. `Infinity`: it is not watched. */
  watchedSince = Infinity
  /** The lease was reported for being held too long. */
  reported = false
  /** Tells the tracker of what is open how the lease has ended. */
  unnote: ((how: "Ended" | "Lost") => void) | undefined = undefined
  /** Set on a guarded lease. The lease ends when its holder is garbage-collected. */
  gcGuard: GcGuard | undefined = undefined
  /** Resumes the waiting fiber, once: with the failure of the wait, or with `undefined` when the lease has a connection. */
  resume: ((failure: PoolError | undefined) => void) | undefined = undefined
  /** An operator has ended the lease, while the borrower used the connection. The borrow fails with this error too, if it fails. */
  ended: PoolError | undefined = undefined
  /** Ends the borrower's effect, if the duration of leases is limited. */
  expire: ((error: PoolError) => void) | undefined = undefined
  /** The neighbours in a {@link LeaseQueue}. */
  ahead: Lease<K, A> | undefined = undefined
  behind: Lease<K, A> | undefined = undefined

  constructor(
    owner: PoolEndpoint<K, A>,
    fiber: Fiber.Fiber<unknown, unknown>,
    fiberId: number,
    site: CallSite | undefined,
    isStanding = false
  ) {
    this.owner = owner
    this.isStanding = isStanding
    this.arrival = owner.arrivals++
    this.fiberId = fiberId
    this.fiber = fiber
    this.context = fiber.context
    this.site = site
  }
}

/** How long a borrow has waited in its queue, in milliseconds. */
export const waitOf = <K, A>({ borrowedAt, waitingSince }: Lease<K, A>): number =>
  waitingSince < 0 ? 0 : Math.max(borrowedAt - waitingSince, 0)

/** The order of leases that return to the front of a queue: by deadline, and those with the same deadline by arrival. */
const isBefore = <K, A>(a: Lease<K, A>, b: Lease<K, A>): boolean =>
  a.deadline < b.deadline || a.deadline === b.deadline && a.arrival < b.arrival

/**
 * A doubly linked list of leases, whose links are fields of the leases. Removing a lease takes constant time. A lease is in at most
 * one such list: in the queue of its endpoint, or in the list of watched leases.
 */
export class LeaseQueue<K, A> {
  #first: Lease<K, A> | undefined
  #last: Lease<K, A> | undefined
  #size = 0

  get size(): number {
    return this.#size
  }

  get first(): Lease<K, A> | undefined {
    return this.#first
  }

  addLast(lease: Lease<K, A>): void {
    lease.ahead = this.#last
    lease.behind = undefined
    if (this.#last === undefined) this.#first = lease
    else this.#last.behind = lease
    this.#last = lease
    this.#size++
  }

  /** For a borrower that was first before, and got a connection that turned out to be broken. */
  addFirst(lease: Lease<K, A>): void {
    let behind = this.#first
    while (behind !== undefined && isBefore(behind, lease)) behind = behind.behind
    if (behind === undefined) return this.addLast(lease)
    lease.behind = behind
    lease.ahead = behind.ahead
    if (behind.ahead === undefined) this.#first = lease
    else behind.ahead.behind = lease
    behind.ahead = lease
    this.#size++
  }

  remove(lease: Lease<K, A>): void {
    const { ahead, behind } = lease
    if (ahead === undefined) this.#first = behind
    else ahead.behind = behind
    if (behind === undefined) this.#last = ahead
    else behind.ahead = ahead
    lease.ahead = undefined
    lease.behind = undefined
    this.#size--
  }
}

/**
 * The entry of a connection in the monitor's ledger, and the resources that end with the slot, such as a permit of the budget.
 *
 * **Details**
 *
 * The entry lasts as long as there may be a socket. A dial or a finalizer that was left behind keeps the entry until that dial or
 * finalizer ends, although the slot may be free before.
 */
export class LedgerEntry {
  readonly entry = Scope.makeUnsafe()
  /** The scope of the resources that last as long as the slot. */
  readonly slot = Scope.makeUnsafe()
  /** How many dials and finalizers are under way. */
  #running = 0
  #isClosed = false

  /** Runs a dial or a finalizer of the connection. The entry lasts at least until the effect ends. */
  during<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.suspend(() => {
      this.#running++
      return Effect.ensuring(effect, this.#ended)
    })
  }

  readonly #ended = Effect.suspend(() => {
    this.#running--
    return this.#endEntry
  })

  /** Ends the entry if the slot has ended and nothing is running. */
  readonly #endEntry = Effect.suspend(() =>
    this.#isClosed && this.#running === 0 ? Scope.close(this.entry, Exit.void) : Effect.void
  )

  /** Closes the scope `slot`, once, and the scope `entry` as soon as nothing is running. */
  readonly close = Effect.suspend(() => {
    this.#isClosed = true
    // The permit of the budget is given back first, so that it is not lost if the monitor throws.
    return Effect.ensuring(this.#endEntry, Scope.close(this.slot, Exit.void))
  })
}

/** Runs an effect of a connector or a hook on behalf of a connection's holder: a borrow in the effect counts as the holder's. */
export type OnBehalf = <B, E, R>(effect: Effect.Effect<B, E, R>) => Effect.Effect<B, E, R>

/** Numbers of slots: those of one endpoint, and those of the whole pool. */
export interface HeldSlots {
  readonly ofEndpoint: number
  readonly ofPool: number
}

/** A connection that has just been opened, in the scope of its item. */
export interface OpenedConnection<A> {
  readonly value: A
  /** Ends when the connection has died, if the connector notices that. */
  readonly watcher: Fiber.Fiber<void> | undefined
}

/** The events of closing a connection. */
export interface CloseEvents {
  /** Frees the slot. Called when nothing is left of the connection, and possibly a second time. */
  readonly freed: () => void
  /** The finalizer was left behind. The returned function is called when the finalizer has ended. */
  readonly leftBehind: () => () => void
}

/** Checks or resets a connection to the endpoint with this label. The result says whether the connection works. */
export type Probe<A> = (connection: A, label: string, onBehalf: OnBehalf) => Effect.Effect<boolean>

/** A dial, from the step that decided it to the end of its fiber. */
export interface PendingDial<K, A> {
  readonly endpoint: PoolEndpoint<K, A>
  readonly slot: Slot<K, A>
  /** The fiber has started. */
  isStarted: boolean
  /** What the dial waits for: the monitor's gate, then a permit of the budget, then the connect. Set by the driver. */
  phase: "AtGate" | "AtBudget" | "Connecting"
  /** No borrower and no minimum needs the connection. */
  isAbandoned: boolean
  /** The attempt has failed while another dial of the endpoint goes on. */
  isRedundant: boolean
  /** An idle connection of another endpoint was closed, so that this dial gets its permit of the budget. */
  hasTakenPermit: boolean
  /** Set by the driver when it starts the dial. */
  fiber: Fiber.Fiber<unknown> | undefined
}

/**
 * An effect that a step of the core asks for. The driver runs the commands in their order when the step is over. It reports the
 * results to the core as events.
 */
export type Command<K, A> =
  /** Starts a dial. `dialEnded` follows. */
  | { readonly _tag: "Dial"; readonly dial: PendingDial<K, A> }
  | { readonly _tag: "InterruptDial"; readonly dial: PendingDial<K, A> }
  /** Closes a connection. Its slot is freed when the finalizer has ended or was left behind. */
  | { readonly _tag: "Close"; readonly connection: PooledConnection<K, A> }
  /** Checks or resets a connection that no borrower has. `checked` follows. */
  | { readonly _tag: "Check"; readonly connection: PooledConnection<K, A>; readonly probe: "KeepAlive" | "Reset" }
  /** Ends the effect of a borrower whose lease has lasted for too long, or was ended by an operator. */
  | { readonly _tag: "Expire"; readonly lease: Lease<K, A>; readonly error: PoolError }
  /** Reports a lease that is held for too long, was returned after such a report, or was lost to the garbage collector. */
  | {
    readonly _tag: "Report"
    readonly lease: Lease<K, A>
    readonly what: "Held" | "Returned" | "Lost"
    readonly millis: number
  }
  /** Informs a holder that it has to give its connection back. */
  | { readonly _tag: "Recall"; readonly notify: () => void }
  /** Warns of a nested borrow that may wait for itself, once for each place in the program. */
  | { readonly _tag: "WarnNested"; readonly lease: Lease<K, A> }

/**
 * The commands of the steps of a core, in their order.
 *
 * **Details**
 *
 * No command runs inside a step, so a command cannot change state in the middle of a step. {@link drain} follows each step. A
 * command may cause events at once, and the steps of these events add commands. The same drain runs them in its loop, without
 * recursion.
 */
export class Outbox<K, A> {
  readonly #run: (command: Command<K, A>) => void
  readonly #failed: (defect: unknown) => void
  readonly #commands: Array<Command<K, A>> = []
  #isRunning = false

  /** `failed` is called with the error that a command has thrown. The remaining commands run nevertheless. */
  constructor(run: (command: Command<K, A>) => void, failed: (defect: unknown) => void) {
    this.#run = run
    this.#failed = failed
  }

  push(command: Command<K, A>): void {
    this.#commands.push(command)
    // Drains after a step that no event began.
    if (this.#commands.length === 1 && !this.#isRunning) queueMicrotask(() => this.drain())
  }

  /** Runs a step, then its commands. */
  step<B>(event: () => B): B {
    const result = event()
    this.drain()
    return result
  }

  /** Runs the commands, and those that they add by further events. */
  drain(): void {
    if (this.#isRunning || this.#commands.length === 0) return
    this.#isRunning = true
    try {
      // The list may grow during the loop.
      for (let next = 0; next < this.#commands.length; next++) this.#try(this.#commands[next])
    } finally {
      this.#commands.length = 0
      this.#isRunning = false
    }
  }

  #try(command: Command<K, A> | undefined): void {
    try {
      if (command !== undefined) this.#run(command)
    } catch (defect) {
      this.#failed(defect)
    }
  }
}

/** What the core needs from outside. */
export interface Environment<K, A> {
  readonly settings: Settings
  readonly clock: AgeClock
  /** A random number from 0 (inclusive) to 1 (exclusive). */
  readonly random: () => number
  /** If a fiber of the pool that holds a slot is about to wait: the slots that cannot be freed before its wait ends. */
  readonly outOfReach: (lease: Lease<K, A>) => HeldSlots | undefined
  /** Starts a fiber that outlives the caller. */
  readonly fork: <B>(effect: Effect.Effect<B>) => Fiber.Fiber<B>
  /** Calls `act` in the next turn of the event loop, as the pool's scheduler defines it. */
  readonly nextTurn: (act: () => void) => void
  /** Calls `act` after so many milliseconds, or at once if the clock is not that of the platform. */
  readonly later: (act: () => void, millis: number) => void
  /** Makes the pool of an endpoint: Effect's, or a plain one in tests of the core alone. */
  readonly makePool: (
    options: Options<Lease<K, A>, PooledConnection<K, A>>
  ) => EndpointPool<Lease<K, A>, PooledConnection<K, A>>
  /** The commands of the core. */
  readonly outbox: Outbox<K, A>
  /** Whether the connector notices the death of a connection. */
  readonly noticesDeath: boolean
  /** Whether a connection may be leased again: after a borrow with this exit, or, without an exit, before the next borrow. */
  readonly isReusable: Connector<K, A>["isReusable"]
  /** Whether the connector can check a connection. */
  readonly hasCheck: boolean
  /** Whether the pool has the hook `beforeLend`, which makes each connection ready and may fail. */
  readonly makesReady: boolean
  /** Whether the pool has the hook `afterReturn`, which resets each connection. */
  readonly hasReset: boolean
  /** The reason for which the monitor's gate admits no dial now, if there is one. */
  readonly obstacle: (label: string) => ResourceExhausted | undefined
}

/** The environment that the parts of a core share. */
export interface CoreEnvironment<K, A> extends Environment<K, A> {
  readonly tally: Tally
  readonly observers: Observers
  /** The status is `Open`: connections are leased and opened. */
  readonly isOpen: () => boolean
  /** The status is `Draining` or `Closed`: no borrow begins. Leases that are held may still end. */
  readonly isOver: () => boolean
  /** Serves the waiting borrowers. */
  readonly dispatch: () => void
  /** A borrow fails with this error of the pool. */
  readonly refused: (error: PoolError) => void
  /** Has the housekeeping run at this moment, on the pool's age clock. */
  readonly wakeAt: (due: number) => void
}
