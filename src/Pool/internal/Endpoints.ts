/**
 * The endpoints of a pool, which are created on first use and forgotten when empty, and the slots that they free.
 *
 * @since 0.1.0
 */
import * as MutableHashMap from "effect/MutableHashMap"
import * as Option from "effect/Option"
import type { Counts } from "../PoolError.ts"
import { hasFreeSlot } from "./Admission.ts"
import type { ConnectionStore } from "./ConnectionStore.ts"
import * as Diagnostics from "./Diagnostics.ts"
import { healthy, noSetbacks } from "./DialPolicy.ts"
import { type CoreEnvironment, PoolEndpoint, type Slot, slotsOf } from "./PoolState.ts"

/** How long the failures of an empty endpoint are remembered, in milliseconds. */
const forgetAfter = 60_000

/** The most empty endpoints that are remembered. Keys may come from outside the program, and each takes a few kilobytes. */
const mostRemembered = 256

/** Whether an endpoint has no connection, and no borrower waits for one. A borrower may still hold a connection that was closed. */
const isUnused = <K, A>(endpoint: PoolEndpoint<K, A>): boolean => slotsOf(endpoint) === 0 && endpoint.queue.size === 0

const isEmpty = <K, A>(endpoint: PoolEndpoint<K, A>): boolean =>
  isUnused(endpoint) && endpoint.detached === 0 && endpoint.leftBehind === 0

/** Whether the state of an endpoint differs from that of a new endpoint. */
const hasFailed = <K, A>({ dialAt, dialState, setbacks }: PoolEndpoint<K, A>): boolean =>
  dialAt > 0 || setbacks !== noSetbacks || dialState !== healthy

/** The endpoints of a pool. They are created on first use and forgotten when empty. */
export class Endpoints<K, A> {
  readonly #index = new KeyIndex<K, PoolEndpoint<K, A>>()
  /** Endpoints that have failed and were left empty, in the order in which this happened. They may be in use again. */
  readonly #empty = new Set<PoolEndpoint<K, A>>()

  /** The `minPerEndpoint` of the pool. If it is above 0, endpoints are not forgotten. */
  readonly #minimum: number
  /** Endpoints of a pool with a minimum to which no connection was opened yet, the oldest first. */
  readonly #unopened = new Set<PoolEndpoint<K, A>>()
  /** Endpoints that may have fewer slots than the minimum. Only these are searched. */
  readonly #lacking = new Set<PoolEndpoint<K, A>>()

  constructor(minPerEndpoint: number) {
    this.#minimum = minPerEndpoint
  }

  /** The endpoints that have fewer slots than their minimum. */
  *lacking(): Generator<PoolEndpoint<K, A>> {
    for (const endpoint of this.#lacking) {
      if (slotsOf(endpoint) - endpoint.kept < this.#minimum) yield endpoint
      else this.#lacking.delete(endpoint)
    }
  }

  /** An endpoint is new or has lost a slot. Returns when it may be dialed for its minimum. */
  lost(endpoint: PoolEndpoint<K, A>): number {
    if (this.#minimum === 0 || endpoint.isForgotten) return Infinity
    this.#lacking.add(endpoint)
    return endpoint.dialAt > 0 ? endpoint.dialAt : Infinity
  }

  find(key: K): PoolEndpoint<K, A> | undefined {
    return this.#index.get(key)
  }

  add(key: K): PoolEndpoint<K, A> {
    const made = new PoolEndpoint<K, A>(key)
    this.#index.add(made)
    this.lost(made)
    if (this.#minimum > 0) this.#addUnopened(made)
    return made
  }

  /** A connection to an endpoint was opened: its minimum is kept from now on. */
  opened(endpoint: PoolEndpoint<K, A>): void {
    this.#unopened.delete(endpoint)
  }

  /**
   * An endpoint that cannot be reached is dialed again and again for its minimum. If there are too many, the oldest is forgotten.
   */
  #addUnopened(made: PoolEndpoint<K, A>): void {
    this.#unopened.add(made)
    if (this.#unopened.size <= mostRemembered) return
    for (const endpoint of this.#unopened) {
      if (endpoint === made || !isEmpty(endpoint)) continue
      this.#unopened.delete(endpoint)
      this.#lacking.delete(endpoint)
      return this.#forget(endpoint)
    }
  }

  /** All endpoints, or the endpoint with this key if there is one. */
  all(key?: K): ReadonlyArray<PoolEndpoint<K, A>> {
    if (key === undefined) return this.#index.values()
    const known = this.find(key)
    return known === undefined ? [] : [known]
  }

  counts(): Counts {
    return Diagnostics.sumOfEndpoints(this.all())
  }

  /**
   * Forgets an endpoint if it is empty. An endpoint that has failed is remembered for a while, so that its next dial is still
   * delayed. The failures of an endpoint are forgotten after that time also if a borrower never returns a connection that is closed.
   * Returns when {@link forget} is due.
   */
  leave(endpoint: PoolEndpoint<K, A>, now: number): number {
    if (this.#minimum > 0 || endpoint.isForgotten || !isUnused(endpoint)) return Infinity
    this.#empty.delete(endpoint)
    if (!hasFailed(endpoint)) {
      if (isEmpty(endpoint)) this.#forget(endpoint)
      return Infinity
    }
    endpoint.emptySince = now
    this.#empty.add(endpoint)
    if (this.#empty.size > mostRemembered) {
      for (const first of this.#empty) {
        this.#drop(first)
        break
      }
    }
    return now + forgetAfter
  }

  /** Forgets the endpoints that have been empty for long enough. Returns when the next call is due. */
  forget(now: number): number {
    for (const endpoint of this.#empty) {
      if (now - endpoint.emptySince < forgetAfter) return endpoint.emptySince + forgetAfter
      this.#drop(endpoint)
    }
    return Infinity
  }

  /** Stops remembering the failures of an endpoint, and forgets it if it is still empty. */
  #drop(endpoint: PoolEndpoint<K, A>): void {
    this.#empty.delete(endpoint)
    if (isUnused(endpoint)) endpoint.forgetFailures()
    if (isEmpty(endpoint)) this.#forget(endpoint)
  }

  #forget(endpoint: PoolEndpoint<K, A>): void {
    this.#index.remove(endpoint)
    endpoint.isForgotten = true
  }
}

/**
 * A map whose keys are compared by `Equal`, with a cache for key objects that were looked up before.
 *
 * **Details**
 *
 * Hashing a structured key takes time, and most programs use one endpoint object for all borrows. The cache holds its keys weakly,
 * so that a program that makes a new endpoint object for each borrow fills no memory.
 */
export class KeyIndex<K, V extends { readonly key: K; readonly isForgotten: boolean }> {
  readonly #primitives = new Map<K, V>()
  readonly #objects = MutableHashMap.empty<K, V>()
  readonly #seen = new WeakMap<object, V>()

  get(key: K): V | undefined {
    if (typeof key !== "object" || key === null) return this.#primitives.get(key)
    const seen = this.#seen.get(key)
    if (seen !== undefined && !seen.isForgotten) return seen
    const found = Option.getOrUndefined(MutableHashMap.get(this.#objects, key))
    if (found !== undefined) this.#seen.set(key, found)
    return found
  }

  add(value: V): void {
    const { key } = value
    if (typeof key !== "object" || key === null) this.#primitives.set(key, value)
    else MutableHashMap.set(this.#objects, key, value)
  }

  /** Removes a value. The caller sets `isForgotten`, by which {@link get} ignores entries of the cache, which cannot be listed. */
  remove(value: V): void {
    const { key } = value
    if (typeof key !== "object" || key === null) this.#primitives.delete(key)
    else {
      MutableHashMap.remove(this.#objects, key)
      this.#seen.delete(key)
    }
  }

  values(): ReadonlyArray<V> {
    return [...this.#primitives.values(), ...MutableHashMap.values(this.#objects)]
  }
}

/** Frees slots, or keeps them for connects that were left behind, and does what follows. */
export class SlotRelease<K, A> {
  readonly #env: CoreEnvironment<K, A>
  readonly #endpoints: Endpoints<K, A>
  readonly #store: ConnectionStore<K, A>
  readonly #onEmptied: Array<() => void> = []

  constructor(env: CoreEnvironment<K, A>, endpoints: Endpoints<K, A>, store: ConnectionStore<K, A>) {
    this.#env = env
    this.#endpoints = endpoints
    this.#store = store
  }

  /** A connect or a finalizer was left behind. The returned function is called when it has ended. */
  leftBehind(endpoint: PoolEndpoint<K, A>, what: "Connect" | "Close"): () => void {
    const { observers, tally } = this.#env
    endpoint.leftBehind++
    if (what === "Connect") tally.connectsLeftBehind++
    else tally.closesLeftBehind++
    observers.current?.leftBehind(what === "Connect" ? "connect" : "close")
    return () => {
      endpoint.leftBehind--
      this.forgetIfEmpty(endpoint)
    }
  }

  /** Keeps the slot of a connect that was left behind. Another dial of the endpoint may begin, in another slot. */
  keep(endpoint: PoolEndpoint<K, A>, slot: Slot<K, A>): void {
    this.#store.keepSlot(endpoint, slot)
    this.#env.wakeAt(this.#endpoints.lost(endpoint))
    this.#env.dispatch()
  }

  free(endpoint: PoolEndpoint<K, A>, slot: Slot<K, A>): void {
    const wasFull = !hasFreeSlot(this.#store, this.#env.settings)
    if (!this.#store.freeSlot(endpoint, slot)) return
    // Whether more connections can be opened is a part of the health of an endpoint.
    this.#env.observers.current?.judged(wasFull ? undefined : endpoint.label)
    this.#env.wakeAt(this.#endpoints.lost(endpoint))
    this.#env.dispatch()
    this.forgetIfEmpty(endpoint)
    if (this.#store.slots === 0) { for (const callback of this.#onEmptied.splice(0)) callback() }
  }

  /** Calls `callback` once, as soon as no connection is open, being opened or closing. */
  whenEmptied(callback: () => void): void {
    if (this.#store.slots === 0) callback()
    else this.#onEmptied.push(callback)
  }

  /** Forgets an endpoint if it is empty now. */
  forgetIfEmpty(endpoint: PoolEndpoint<K, A>): void {
    this.#env.wakeAt(this.#endpoints.leave(endpoint, this.#env.clock.now()))
  }
}
