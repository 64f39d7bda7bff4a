/**
 * The records that a pool is made of: its endpoints, their connections and their borrowers.
 *
 * They refer to one another, so they stand together. Each field is changed by the one module that it serves, the counts and states
 * of slots by `Inventory` alone.
 *
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import type * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { CallSite } from "../internal/CallSite.ts"
import type { Loss } from "../internal/Loss.ts"
import type { Deputy } from "./Deputies.ts"
import type { Establishment } from "./Establishment.ts"
import type { Setbacks } from "./Health.ts"
import type { LeaseQueue } from "./LeaseQueue.ts"
import { nowhere } from "./Lifetimes.ts"
import type { PoolError } from "./PoolError.ts"
import type { Records } from "./Records.ts"

/** Where a pool is in its life. `Waiting` and `Refusing` are the two ways of being suspended. */
export type Status = "Open" | "Waiting" | "Refusing" | "Draining" | "Closed"

/**
 * The right to have one connection, counted against both caps from before the dial until the socket is gone:
 * `Connecting -> Open -> Closing -> Free`, or `Connecting -> Free` when the dial fails, or `Connecting -> LeftBehind -> Free` when
 * the connect goes on although it was given up.
 */
export interface Slot {
  state: "Connecting" | "Open" | "Closing" | "LeftBehind" | "Free"
  /** When it was taken, on the pool's steady clock. */
  readonly since: number
  /** The generation of its endpoint then: an eviction meanwhile makes what comes of it stale. */
  readonly generation: number
}

/**
 * One open connection. While it is `Idle`, it is in its endpoint's stack and in the pool's idle list; while it is `Lent`
 * and has room for another borrower, it is in its endpoint's list of those.
 */
export interface PooledConnection<K, A> {
  readonly owner: KeyPool<K, A>
  readonly value: A
  /** Holds what the connector acquired. */
  readonly scope: Scope.Closeable
  /** They close after `scope`. */
  readonly records: Records
  readonly slot: Slot
  /** When it was opened, on the pool's steady clock. */
  readonly openedAt: number
  /** How long opening took, in milliseconds. */
  readonly openedIn: number
  /** How long it may live, in milliseconds, with its jitter drawn. */
  readonly lifetime: number
  /** Its place in the heap of `Lifetimes`, or `nowhere`. */
  heapIndex: number
  /** Waits for its death. */
  watcher: Fiber.Fiber<void> | undefined
  /** Checks or resets it while nobody has it. */
  probe: Fiber.Fiber<boolean> | undefined
  state: "Idle" | "Lent" | "Closing"
  /** It must not be lent again: it died, was evicted or was declared broken. */
  unfit: boolean
  /** Its keep-alive check is under way; it is lent to nobody meanwhile. */
  checking: boolean
  /** Its borrower checks it, and nobody shares it before the check has passed. */
  proving: boolean
  /** It was of use to nobody so far: no borrow of it has ended with a success. */
  onTrial: boolean
  /** It went from its dial straight to those that waited, and none of them has had it made ready yet. */
  untried: boolean
  /** It was checked and made ready for somebody at least once. */
  madeReady: boolean
  /** When it last came back, on the pool's steady clock. */
  idleSince: number
  /** When it was last known to work, on the pool's steady clock. */
  provenAt: number
  /** Borrows of it that have ended with a success. */
  answers: number
  /** The turn of the event loop in which it was last known to be alive, as `Liveness` counts them. */
  aliveIn: number
  /** It has died, and the pool did not end it. */
  hasDied: boolean
  /** Who has it. */
  readonly leases: Array<Lease<K, A>>
  /** Borrowers that want it for themselves alone. */
  reservations: number
  hasRoom: boolean
  /** Neighbours in the pool's list of idle connections. */
  colder: PooledConnection<K, A> | undefined
  warmer: PooledConnection<K, A> | undefined
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

/** A connection that has just been opened and is nobody's yet. */
export const makeConnection = <K, A>(
  opened: Pick<
    PooledConnection<K, A>,
    "owner" | "value" | "scope" | "records" | "slot" | "openedAt" | "openedIn" | "lifetime"
  >
): PooledConnection<K, A> => ({
  // Named one by one, they are laid out in one piece, which takes a hundred bytes less than spreading them.
  owner: opened.owner,
  value: opened.value,
  scope: opened.scope,
  records: opened.records,
  slot: opened.slot,
  openedAt: opened.openedAt,
  openedIn: opened.openedIn,
  lifetime: opened.lifetime,
  heapIndex: nowhere,
  watcher: undefined,
  probe: undefined,
  state: "Lent",
  unfit: false,
  checking: false,
  proving: false,
  onTrial: true,
  untried: false,
  madeReady: false,
  idleSince: opened.openedAt,
  provenAt: opened.openedAt,
  answers: 0,
  aliveIn: -1,
  hasDied: false,
  leases: listForOne(),
  reservations: 0,
  hasRoom: false,
  colder: undefined,
  warmer: undefined
})

/** Whether nobody can use a connection any more, whoever has it: it has died, or was closed under its borrowers. */
export const isGone = <K, A>({ state, watcher }: PooledConnection<K, A>): boolean =>
  state === "Closing" || watcher?.pollUnsafe() !== undefined

/** What the pool has for one key. */
export interface KeyPool<K, A> {
  readonly key: K
  /** The key's text, for errors, logs and the monitor. */
  readonly label: string
  readonly queue: LeaseQueue<K, A>
  /** The idle connections, the one that was used last at the end. */
  readonly idle: Array<PooledConnection<K, A>>
  /** Lent connections with room for another borrower, the one that was used last at the end. */
  readonly roomy: Array<PooledConnection<K, A>>
  /** The idle and the lent connections. */
  readonly connections: Array<PooledConnection<K, A>>
  connecting: number
  /** Those of them whose attempts have failed, and which leave it to another one to carry on. */
  surplus: number
  closing: number
  /** Borrowers that have not ended although their connection was closed under them. */
  detached: number
  /** Slots that are kept for connects that were left behind. */
  kept: number
  /** Connects and finalizers that were left behind and have not ended, whether or not they keep a slot. */
  leftBehind: number
  /** Connections that others can share as soon as their borrowers' checks have passed. */
  proving: number
  /** Counts evictions. */
  generation: number
  /** Counts borrows. */
  arrivals: number
  /** How many leases have yet to find a connection alive before this endpoint is trusted to keep one open after an answer. */
  doubt: number
  /** After so many answers the last connection was ended that was ended together with one; 0 if none was. */
  endsAfter: number
  establishment: Establishment
  setbacks: Setbacks
  lastFailure: unknown
  /** Dials that have failed in a row and that the borrowers have not been told of, and when the first one failed. */
  attempts: number
  failingSince: number
  /** When the last attempt failed, on the pool's steady clock. */
  failedAt: number
  /** No further attempt before this moment, on the pool's steady clock. */
  dialAt: number
  /** The pool has forgotten it; a borrow that still knows it looks again. */
  isForgotten: boolean
  /** When it was last left with nothing open and nobody waiting, on the pool's steady clock. */
  emptySince: number
}

/** Slots that a key has taken: `connecting + idle + lent + closing`, and those of connects that were left behind. */
export const slotsOf = <K, A>(keyPool: KeyPool<K, A>): number =>
  keyPool.connecting + keyPool.connections.length + keyPool.closing + keyPool.kept

/**
 * One borrow: it waits in its endpoint's queue, then holds a connection, then it is over.
 *
 * It is a class because V8 may allocate the objects of one literal in its old space, where each of them costs a share of a major
 * collection.
 */
export class Lease<K, A> {
  owner: KeyPool<K, A>
  /** Its number among the borrows of its endpoint: the order in which they came. */
  readonly arrival: number
  /** Tells borrowers apart. A fiber of the pool's that runs in the place of a borrower borrows as that one. */
  readonly fiberId: number
  /** The fiber that runs in the borrower's place, if there is one, and the next one of such leases. */
  deputyId = 0
  nextDeputy: Deputy | undefined = undefined
  /** The borrower, until the lease is guarded: then nothing of the pool leads to it any more. */
  fiber: Fiber.Fiber<unknown, unknown> | undefined
  /** What ends the lease when a scope ends, until the lease is guarded. */
  finalizer: object | undefined = undefined
  /** The context in which it was asked for, whose span names the borrower. Of a guarded lease it has the span alone. */
  context: Context.Context<never>
  /** Where in the program it was asked for, unless that is not taken at such a rate. */
  readonly site: CallSite | undefined
  state: "New" | "Waiting" | "Holding" | "Over" = "New"
  connection: PooledConnection<K, A> | undefined = undefined
  /** Whether the connection may have died unseen, so that the event loop has to turn before it is used. */
  turn: "None" | "Due" | "UnderWay" | "Over" = "None"
  /** The connection has to be checked, or made ready, before it is used, and has not passed yet. */
  mustCheck = false
  /** The borrower has gone on with its connection. */
  isInUse = false
  /** The absolute deadline of the whole borrow on the monotonic clock; it is set once, when the borrow has to wait. */
  deadline = Infinity
  /** When it began to wait, on the pool's steady clock. */
  waitingSince = 0
  /** When it got its connection, on the pool's steady clock. */
  borrowedAt = 0
  /** Since when it is watched, in milliseconds of the monotonic clock, or `Infinity`. */
  watchedSince = Infinity
  /** It was reported for being held too long. */
  reported = false
  /** Has a witness forget it. */
  unnote: (() => void) | undefined = undefined
  /** It is guarded: its holder may be garbage-collected, which ends it. */
  loss: Loss | undefined = undefined
  /** Lets the waiting fiber go on, once: with the connection that it has been lent, or with what the wait has failed with. */
  goOn: ((failure: PoolError | undefined) => void) | undefined = undefined
  /** Ends the borrower's effect, if leases are limited. */
  expire: ((error: PoolError) => void) | undefined = undefined
  /** Neighbours in the queue of those that wait, or among those that are watched. */
  ahead: Lease<K, A> | undefined = undefined
  behind: Lease<K, A> | undefined = undefined

  constructor(
    owner: KeyPool<K, A>,
    fiber: Fiber.Fiber<unknown, unknown>,
    fiberId: number,
    site: CallSite | undefined
  ) {
    this.owner = owner
    this.arrival = owner.arrivals++
    this.fiberId = fiberId
    this.fiber = fiber
    this.context = fiber.context
    this.site = site
  }
}
