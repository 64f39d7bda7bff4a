/**
 * The records that a pool is made of: its endpoints, their connections and their borrowers, and what they need from outside.
 *
 * They refer to one another, so they stand together. Each field is written by the one module that it serves, the counts and states
 * of slots by `ConnectionStore` alone.
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
import type { PoolError } from "../PoolError.ts"
import type { Settings } from "../PoolOptions.ts"
import type { Observers, Tally } from "../PoolStats.ts"
import { type EndpointState, healthy, noSetbacks, type Setbacks } from "./DialPolicy.ts"
import type { EndpointPool, Item, Options } from "./EndpointPool.ts"

/** Where a pool is in its life. `Waiting` and `Refusing` are the two ways of being suspended. */
export type Status = "Open" | "Waiting" | "Refusing" | "Draining" | "Closed"

/**
 * The right to have one connection, counted against both caps from before the dial until the socket is gone:
 * `Connecting -> Open -> Closing -> Free`, or `Connecting -> Free` when the dial fails, or `Connecting -> LeftBehind -> Free` when
 * the connect goes on although it was given up.
 */
export interface Slot<K, A> {
  state: "Connecting" | "Open" | "Closing" | "LeftBehind" | "Free"
  /** When it was taken, on the pool's age clock. */
  readonly since: number
  /** The generation of its endpoint then: an eviction meanwhile makes what comes of it stale. */
  readonly generation: number
  /** What Effect's Pool has for it. It is removed there when the slot is not `Connecting` or `Open` any more. */
  readonly item: Item<Lease<K, A>, PooledConnection<K, A>>
  /** It ends after the scope of the item. */
  readonly ledgerEntry: LedgerEntry
}

/**
 * Whether a connection may be leased again. It only gets worse.
 *
 * - `Outgoing`: to no other borrower, because it is too old, over a cap, or another endpoint needs its slot. Those that have it keep it,
 * also if they have yet to begin with it.
 * - `Unfit`: it was evicted or declared broken. A borrower that has yet to begin with it looks for another one.
 * - `Dead`: the same; it has died, and the pool did not end it.
 */
export type Fitness = "Fit" | "Outgoing" | "Unfit" | "Dead"

/**
 * A check of a connection that is under way. It is leased to no other borrower meanwhile.
 *
 * - `Borrower`: of one that others may share as soon as its borrower's check has passed.
 * - `KeepAlive`: of an idle one.
 */
type Check = "None" | "Borrower" | "KeepAlive"

/**
 * What a connection has shown until the first borrow of it ends with a success, or its loss has counted as a failed dial.
 *
 * - `Unready`: it went from its dial straight to those that waited, and none of them has had it made ready yet.
 * - `Ready`: it was checked and made ready for a borrower at least once.
 */
type Trial = "Unready" | "New" | "Ready" | "Over"

/** What a connection is made of when it has just been opened. */
type Opening<K, A> = Pick<
  PooledConnection<K, A>,
  "owner" | "value" | "watcher" | "slot" | "openedAt" | "openedIn" | "lifetime"
>

/** One open connection. While it is `Idle`, Effect's Pool has it available. A new one is not leased yet. */
export class PooledConnection<K, A> {
  readonly owner: PoolEndpoint<K, A>
  readonly value: A
  readonly slot: Slot<K, A>
  /** When it was opened, on the pool's age clock. */
  readonly openedAt: number
  /** How long opening took, in milliseconds. */
  readonly openedIn: number
  /** How long it may live, in milliseconds, with its jitter drawn. */
  readonly lifetime: number
  /** Waits for its death. */
  readonly watcher: Fiber.Fiber<void> | undefined
  /** Checks or resets it while it has no borrower. Set by the driver. */
  probe: Fiber.Fiber<boolean> | undefined = undefined
  /** Closes it. Set by the driver. */
  closing: Fiber.Fiber<void> | undefined = undefined
  state: "Idle" | "Leased" | "Closing" = "Leased"
  fitness: Fitness = "Fit"
  check: Check = "None"
  trial: Trial = "New"
  /** When it last came back, on the pool's age clock. */
  idleSince: number
  /** When it was last known to work, on the pool's age clock. */
  provenAt: number
  /** Borrows of it that have ended with a success. */
  answers = 0
  /** The turn of the event loop in which it was last known to be alive, as `Liveness` counts them. */
  aliveIn = -1
  /** Who has it. */
  readonly leases: Array<Lease<K, A>> = listForOne()
  /** Borrowers that want it for themselves alone. */
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
}

/**
 * An empty list that has room for one. A list that grows from nothing gets room for 17 at once, which is a hundred bytes more
 * for each endpoint and each connection.
 */
export const listForOne = <T>(): Array<T> => {
  const list: Array<T | undefined> = [undefined]
  list.pop()
  // It is empty.
  return list as Array<T>
}

/** Removes something that is in a list, most often at its end. */
export const removeFrom = <T>(list: Array<T>, item: T): void => {
  if (list.at(-1) === item) list.pop()
  else list.splice(list.indexOf(item), 1)
}

/** Whether a connection cannot be used any more, leased or not: it has died, or was closed under its borrowers. */
export const isGone = <K, A>({ state, watcher }: PooledConnection<K, A>): boolean =>
  state === "Closing" || watcher?.pollUnsafe() !== undefined

/** What the pool has for one key. */
export class PoolEndpoint<K, A> {
  readonly key: K
  /** The key's text, for errors, logs and the monitor. */
  readonly label: string
  readonly queue = new LeaseQueue<K, A>()
  /** Effect's Pool of its connections, as long as it has some or opens some. */
  pool: EndpointPool<Lease<K, A>, PooledConnection<K, A>> | undefined = undefined
  /** How many connections are idle, and not being checked. */
  idle = 0
  /** The idle and the leased connections. */
  readonly connections: Array<PooledConnection<K, A>> = listForOne()
  connecting = 0
  /** Those of them whose attempts have failed, and which leave it to another one to carry on. */
  redundant = 0
  closing = 0
  /** Borrowers that have not ended although their connection was closed under them. */
  detached = 0
  /** Slots that are kept for connects that were left behind. */
  kept = 0
  /** Connects and finalizers that were left behind and have not ended, whether or not they keep a slot. */
  leftBehind = 0
  /** Connections that others can share as soon as their borrowers' checks have passed. */
  proving = 0
  /** Counts evictions. */
  generation = 0
  /** Counts borrows. */
  arrivals = 0
  /** How many leases have yet to find a connection alive before it is trusted to keep one open after an answer. At first one. */
  doubt = 1
  /** After so many answers the last connection was ended that was ended together with one; 0 if none was. */
  endsAfter = 0
  dialState: EndpointState = healthy
  setbacks: Setbacks = noSetbacks
  lastFailure: unknown = undefined
  /** Dials that have failed in a row and were not reported to borrowers, if there are any. */
  series: Series | undefined = undefined
  /** When the last attempt failed, on the pool's age clock. */
  failedAt = -Infinity
  /** No further attempt before this moment, on the pool's age clock. */
  dialAt = 0
  /** The pool has forgotten it; a borrow that still knows it looks again. */
  isForgotten = false
  /** When it was last left with nothing open and no borrower waiting, on the pool's age clock. */
  emptySince = 0

  constructor(key: K) {
    this.key = key
    this.label = labelOf(key)
  }
}

/** Slots that a key has taken: `connecting + idle + leased + closing`, and those of connects that were left behind. */
export const slotsOf = <K, A>(endpoint: PoolEndpoint<K, A>): number =>
  endpoint.connecting + endpoint.connections.length + endpoint.closing + endpoint.kept

/**
 * One borrow: it waits in its endpoint's queue, then holds a connection, then it is over.
 *
 * It is a class because V8 may allocate the objects of one literal in its old space, where each of them costs a share of a major
 * collection.
 */
export class Lease<K, A> {
  owner: PoolEndpoint<K, A>
  /** Its number among the borrows of its endpoint: the order in which they came. Another one follows when it changes its endpoint. */
  arrival: number
  /** Tells borrowers apart. A fiber of the pool's that runs in the place of a borrower borrows as that one. */
  readonly fiberId: number
  /** The borrower, until the lease is guarded: then nothing of the pool leads to it any more. */
  fiber: Fiber.Fiber<unknown, unknown> | undefined
  /** What ends the lease when a scope ends, until the lease is guarded. */
  finalizer: object | undefined = undefined
  /** The context in which it was asked for, whose span names the borrower. Of a guarded lease it has the span alone. */
  context: Context.Context<never>
  /** Where in the program it was asked for, unless that is not taken at such a rate. */
  readonly site: CallSite | undefined
  /** It is in the queue of its endpoint. Written by `WaitQueue`. */
  isWaiting = false
  /** What it holds. Written by `ConnectionStore`. */
  connection: PooledConnection<K, A> | undefined = undefined
  /** Whether the connection may have died unseen, so that the event loop has to turn before it is used. */
  turn: "None" | "Due" | "UnderWay" | "Over" = "None"
  /** The connection has to be checked, or made ready, before it is used, and has not passed yet. */
  mustCheck = false
  /** The borrower uses its connection. */
  isInUse = false
  /** It is held for as long as its holder lives, and neither nested nor too long. */
  readonly isStanding: boolean
  /** The absolute deadline of the whole borrow on the monotonic clock; it is set once, when the borrow has to wait. */
  deadline = Infinity
  /** When it began to wait, on the pool's age clock. */
  waitingSince = 0
  /** When it got its connection, on the pool's age clock, which begins at 0. */
  borrowedAt = -1
  /** Since when it is watched, in milliseconds of the monotonic clock, or `Infinity`. */
  watchedSince = Infinity
  /** It was reported for being held too long. */
  reported = false
  /** Removes it from the tracker of what is open. */
  unnote: (() => void) | undefined = undefined
  /** It is guarded: its holder may be garbage-collected, which ends it. */
  gcGuard: GcGuard | undefined = undefined
  /** Lets the waiting fiber go on, once: with the connection that it has been leased, or with what the wait has failed with. */
  resume: ((failure: PoolError | undefined) => void) | undefined = undefined
  /** Ends the borrower's effect, if leases are limited. */
  expire: ((error: PoolError) => void) | undefined = undefined
  /** Neighbours in the queue of those that wait, or among those that are watched. */
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

/** Deadlines stay in order, also among several that come back to the front. Of those with the same one, the first to come is first. */
const isBefore = <K, A>(a: Lease<K, A>, b: Lease<K, A>): boolean =>
  a.deadline < b.deadline || a.deadline === b.deadline && a.arrival < b.arrival

/**
 * A doubly linked list through the leases themselves, so that a borrower that gives up leaves at the same small cost. A lease is
 * in one of them at a time: it waits, or it is held.
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

  /** For a borrower that had its turn already and was given something that turned out to be broken. */
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
 * The entry of a connection in the monitor's ledger, and what ends with its slot: a permit of the budget, say.
 *
 * **Details**
 *
 * The entry lasts for as long as there may be a socket: a dial or a finalizer that was left behind keeps it until it ends, whatever
 * has become of the slot.
 */
export class LedgerEntry {
  readonly entry = Scope.makeUnsafe()
  /** Where to register what is to last as long as the slot. */
  readonly slot = Scope.makeUnsafe()
  /** Dials and finalizers under way. */
  #running = 0
  #isClosed = false

  /** Runs a dial or a finalizer of the connection, which keeps the entry until it ends. */
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

  /** It ends when the slot has ended and nothing is running. */
  readonly #endEntry = Effect.suspend(() =>
    this.#isClosed && this.#running === 0 ? Scope.close(this.entry, Exit.void) : Effect.void
  )

  /** Ends what lasts as long as the slot, once, and the entry as soon as nothing is running. */
  readonly close = Effect.suspend(() => {
    this.#isClosed = true
    // A monitor that throws costs no permit of the budget.
    return Effect.ensuring(this.#endEntry, Scope.close(this.slot, Exit.void))
  })
}

/** Runs what a connector or a hook does with a connection, so that what it borrows counts as borrowed by the holder of that. */
export type OnBehalf = <B, E, R>(effect: Effect.Effect<B, E, R>) => Effect.Effect<B, E, R>

/** Slots of an endpoint, and of the pool. */
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

/** What follows when a connection is closed. */
export interface CloseEvents {
  /** Frees the slot, as soon as nothing is left of the connection. It may be called twice. */
  readonly freed: () => void
  /** Something was left behind. The result is called when that has ended after all. */
  readonly leftBehind: () => () => void
}

/** Asks whether a connection to the endpoint with this label works, or cleans it up. */
export type Probe<A> = (connection: A, label: string, onBehalf: OnBehalf) => Effect.Effect<boolean>

/** A dial, from the step that has decided it to the end of its fiber. */
export interface PendingDial<K, A> {
  readonly endpoint: PoolEndpoint<K, A>
  readonly slot: Slot<K, A>
  /** Its fiber has started. */
  isStarted: boolean
  /** It has begun to connect. Before that it waits at the gate or for the budget. */
  isDialing: boolean
  /** What it would open is not wanted any more. */
  isAbandoned: boolean
  /** Its attempt has failed, and another dial of the endpoint carries on. */
  isRedundant: boolean
  /** A connection of another endpoint has given its permit of the budget up for it. */
  hasTakenPermit: boolean
  /** Set by the driver when it starts the dial. */
  fiber: Fiber.Fiber<unknown> | undefined
}

/**
 * What a step of the core wants done. The driver runs commands in their order when the step is over, and reports what comes of them
 * as events.
 */
export type Command<K, A> =
  /** Starts a dial. `dialEnded` follows. */
  | { readonly _tag: "Dial"; readonly dial: PendingDial<K, A> }
  | { readonly _tag: "InterruptDial"; readonly dial: PendingDial<K, A> }
  /** Closes a connection. Its slot is freed when nothing is left of it, or its finalizer is left behind. */
  | { readonly _tag: "Close"; readonly connection: PooledConnection<K, A> }
  /** Probes a connection without a borrower. `checked` follows. */
  | { readonly _tag: "Check"; readonly connection: PooledConnection<K, A>; readonly probe: "KeepAlive" | "Reset" }
  /** Ends the effect of a borrower whose lease has lasted for too long. */
  | { readonly _tag: "Expire"; readonly lease: Lease<K, A>; readonly error: PoolError }
  /** Reports a lease that is held for too long, has come back after all, or is lost. */
  | {
    readonly _tag: "Report"
    readonly lease: Lease<K, A>
    readonly what: "Held" | "Returned" | "Lost"
    readonly millis: number
  }
  /** Tells a holder that its connection has to come back. */
  | { readonly _tag: "Recall"; readonly notify: () => void }
  /** Warns, once for each place in the program, of a borrow inside a borrow that may wait for itself. */
  | { readonly _tag: "WarnNested"; readonly lease: Lease<K, A> }

/**
 * The commands of the steps of a core, in their order.
 *
 * **Details**
 *
 * No command runs inside a step, so that a step never finds its state changed by what it has set off. {@link drain} follows each step.
 * A command may be followed by events at once: their steps add commands, which the same drain runs, in a loop and not by recursion.
 */
export class Outbox<K, A> {
  readonly #run: (command: Command<K, A>) => void
  readonly #failed: (defect: unknown) => void
  readonly #commands: Array<Command<K, A>> = []
  #isRunning = false

  /** `failed` is called with what a command has thrown. The others run all the same. */
  constructor(run: (command: Command<K, A>) => void, failed: (defect: unknown) => void) {
    this.#run = run
    this.#failed = failed
  }

  push(command: Command<K, A>): void {
    this.#commands.push(command)
    // A step that is part of no event is followed by this.
    if (this.#commands.length === 1 && !this.#isRunning) queueMicrotask(() => this.drain())
  }

  /** Runs the commands of a step when it is over. */
  step<B>(event: () => B): B {
    const result = event()
    this.drain()
    return result
  }

  /** Runs the commands that there are, and those of the steps that follow from them. */
  drain(): void {
    if (this.#isRunning || this.#commands.length === 0) return
    this.#isRunning = true
    try {
      // The list grows while it is run.
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

/** What the core cannot do by itself. */
export interface Environment<K, A> {
  readonly settings: Settings
  readonly clock: AgeClock
  /** A random number from 0 (inclusive) to 1 (exclusive). */
  readonly random: () => number
  /** The slots that are out of reach for a borrow that is about to wait, if its fiber is one of the pool's that holds one. */
  readonly outOfReach: (lease: Lease<K, A>) => HeldSlots | undefined
  /** Starts a fiber that outlives the caller. */
  readonly fork: <B>(effect: Effect.Effect<B>) => Fiber.Fiber<B>
  /** Acts in the next turn of the event loop, or what the pool's scheduler takes for one. */
  readonly nextTurn: (act: () => void) => void
  /** Acts so many milliseconds later, or at once where the clock is not that of the platform. */
  readonly later: (act: () => void, millis: number) => void
  /** Makes the Pool of an endpoint. It is Effect's, or a plain one where the core alone is explored. */
  readonly makePool: (
    options: Options<Lease<K, A>, PooledConnection<K, A>>
  ) => EndpointPool<Lease<K, A>, PooledConnection<K, A>>
  /** What the core wants done. */
  readonly outbox: Outbox<K, A>
  /** Whether the connector notices the death of a connection. */
  readonly noticesDeath: boolean
  /** Whether a connection may be leased again: after a borrow that ended so, or before the next one. */
  readonly isReusable: Connector<K, A>["isReusable"]
  /** Whether the connector can check a connection. */
  readonly hasCheck: boolean
  /** Whether a hook makes each connection ready before it is leased, which may fail. */
  readonly makesReady: boolean
  /** Whether a hook resets each connection after its return. */
  readonly hasReset: boolean
  /** What keeps the gate from letting a dial in now, if something does. */
  readonly obstacle: (label: string) => ResourceExhausted | undefined
}

/** What the parts of a core have in common. */
export interface CoreEnvironment<K, A> extends Environment<K, A> {
  readonly tally: Tally
  readonly observers: Observers
  /** Connections are leased and opened. */
  readonly isOpen: () => boolean
  /** Nothing is leased any more. */
  readonly isOver: () => boolean
  /** Serves the borrowers that wait. */
  readonly dispatch: () => void
  /** Something is due at this moment. */
  readonly wakeAt: (due: number) => void
}
