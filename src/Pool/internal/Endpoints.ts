/**
 * The endpoints of a pool, which are created on first use and forgotten when empty, and their setbacks and health.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as MutableHashMap from "effect/MutableHashMap"
import * as Option from "effect/Option"
import * as Failure from "../../Retry/Failure.ts"
import type { Counts, PoolError } from "../PoolError.ts"
import type { Health } from "../PoolStats.ts"
import { hasFreeSlot } from "./Admission.ts"
import type { ConnectionStore } from "./ConnectionStore.ts"
import * as Diagnostics from "./Diagnostics.ts"
import { afterSetback, type Evidence, healthOf, healthy, isLocal, noSetbacks, redialDelay } from "./DialPolicy.ts"
import { type CoreEnvironment, isGone, type PooledConnection, PoolEndpoint, type Slot, slotsOf } from "./PoolState.ts"

/** How long the failures of an empty endpoint are remembered, in milliseconds. */
const forgetAfter = 60_000

/** The most empty endpoints that are remembered. Keys may come from outside the program, and each takes a few kilobytes. */
const mostRemembered = 256

const isEmpty = <K, A>(endpoint: PoolEndpoint<K, A>): boolean =>
  slotsOf(endpoint) === 0 && endpoint.queue.size === 0 && endpoint.detached === 0 && endpoint.leftBehind === 0

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
    return Diagnostics.sumOf(this.all().map(Diagnostics.countsOf))
  }

  /**
   * Forgets an endpoint if it is empty. An endpoint that has failed is remembered for a while, so that its next dial is still
   * delayed. Returns when {@link forget} is due.
   */
  leave(endpoint: PoolEndpoint<K, A>, now: number): number {
    if (this.#minimum > 0 || endpoint.isForgotten || !isEmpty(endpoint)) return Infinity
    this.#empty.delete(endpoint)
    if (!hasFailed(endpoint)) {
      this.#forget(endpoint)
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
    if (!this.#store.freeSlot(endpoint, slot)) return
    this.#env.observers.current?.judged(endpoint.label)
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

/** The evidence of a failed first use. An error that `Failure.classify` does not know may be an answer of the server. */
const evidenceOf = (cause: Cause.Cause<unknown>): Evidence =>
  Cause.hasFails(cause) && Failure.classify(Cause.squash(cause)).class !== "Fatal" ? "Failure" : "Unclear"

/** Keeps the setbacks of each endpoint since its last success, and decides its health by them. */
export class EndpointHealth<K, A> {
  readonly #env: CoreEnvironment<K, A>
  readonly #store: ConnectionStore<K, A>
  /** Endpoints whose health changes by itself when the next attempt is due. */
  readonly #changing = new Set<PoolEndpoint<K, A>>()

  constructor(env: CoreEnvironment<K, A>, store: ConnectionStore<K, A>) {
    this.#env = env
    this.#store = store
  }

  healthOf(endpoint: PoolEndpoint<K, A>, now: number): Health {
    const { connecting, connections, dialState: { phase }, queue, setbacks } = endpoint
    const { settings } = this.#env
    return healthOf({
      phase,
      suspicion: setbacks.suspicion,
      isConnected: connections.some((connection) => !isGone(connection)),
      connecting,
      waiting: queue.size,
      hasRoom: slotsOf(endpoint) < settings.maxPerEndpoint && hasFreeSlot(this.#store, settings),
      isTooEarly: now < this.#retryAt(endpoint)
    })
  }

  /** An endpoint has a setback. */
  failed(endpoint: PoolEndpoint<K, A>, evidence: Evidence, error: unknown): void {
    const now = this.#env.clock.now()
    const retryAt = now + this.#delay(this.#env.random())
    endpoint.setbacks = afterSetback(endpoint.setbacks, evidence, { now, retryAt, error })
    if (error !== undefined) endpoint.trouble = { cause: error, at: now }
    this.delayed(endpoint)
  }

  /**
   * The next attempt at an endpoint is delayed. The housekeeping runs when the next dial is due, or, without one, when the delay
   * ends.
   */
  delayed(endpoint: PoolEndpoint<K, A>): void {
    this.#changing.add(endpoint)
    const { dialAt } = endpoint
    this.#env.wakeAt(dialAt > this.#env.clock.now() ? dialAt : this.#retryAt(endpoint))
    this.judged(endpoint)
  }

  /** The next moment at which the health of an endpoint changes by itself. */
  nextChange(now: number): number {
    let next = Infinity
    for (const endpoint of this.#changing) {
      const retryAt = this.#retryAt(endpoint)
      if (retryAt <= now) this.#changing.delete(endpoint)
      else next = Math.min(next, retryAt)
    }
    return next
  }

  /** A borrow, a check or a dial has succeeded at an endpoint. */
  succeeded(endpoint: PoolEndpoint<K, A>): void {
    if (endpoint.setbacks === noSetbacks) return
    endpoint.setbacks = noSetbacks
    this.judged(endpoint)
  }

  /** A borrower has joined or left the queue of an endpoint. The health of an endpoint with setbacks depends on its queue. */
  queueChanged(endpoint: PoolEndpoint<K, A>): void {
    const { dialState, setbacks } = endpoint
    if (dialState.phase !== "Healthy" || setbacks !== noSetbacks) this.judged(endpoint)
  }

  /** A borrower has ended its use of a connection. */
  used(connection: PooledConnection<K, A>, exit: Exit.Exit<unknown, unknown>, isSpoilt: boolean): void {
    const { owner, trial } = connection
    if (Exit.isSuccess(exit)) {
      if (!isSpoilt) this.succeeded(owner)
      return
    }
    // A connection that has died counts as a failed dial. A connection that the pool has closed says nothing of the endpoint.
    if (trial !== "Over" && !isGone(connection)) this.failed(owner, evidenceOf(exit.cause), Cause.squash(exit.cause))
  }

  /** A connection has not passed its check, or could not be made ready. */
  rejected({ owner, trial }: PooledConnection<K, A>): void {
    this.failed(owner, trial === "Over" ? "Stale" : "Failure", undefined)
  }

  /** The time of a waiting borrower is over. While dials fail, this does not count, because the failed dials do. */
  timedOut(endpoint: PoolEndpoint<K, A>, error: PoolError): void {
    const { reason } = error
    if (reason._tag !== "AcquireTimeout" || endpoint.dialState.phase === "Down") return
    const { cause, stalledBy } = reason
    if (stalledBy === "Suspended" || isLocal(cause)) return
    this.failed(endpoint, stalledBy === "TotalCap" ? "Unclear" : "Failure", error)
  }

  /** The error of a borrow that would have to wait and fails at once instead, with `whenUnavailable: "fail"`. */
  refusalOf(endpoint: PoolEndpoint<K, A>): PoolError | undefined {
    if (!this.#env.settings.failsWhenUnavailable) return undefined
    const now = this.#env.clock.now()
    if (this.healthOf(endpoint, now) !== "Unavailable") return undefined
    const left = this.#retryAt(endpoint) - now
    return Diagnostics.endpointUnavailable(endpoint, now, left > 0 ? left : this.#delay(1), this.#env.settings)
  }

  /** The health of an endpoint may have changed. */
  judged(endpoint: PoolEndpoint<K, A>): void {
    this.noted(endpoint, this.#env.clock.now())
    this.#env.observers.current?.judged(endpoint.label)
  }

  /** The health of an endpoint. It is noted since when the endpoint is not `Healthy`. */
  noted(endpoint: PoolEndpoint<K, A>, now: number): Health {
    const health = this.healthOf(endpoint, now)
    if (health !== "Healthy") endpoint.impairedSince ??= now
    else endpoint.impairedSince = endpoint.trouble = undefined
    return health
  }

  /** The first delay of the policy, in milliseconds. */
  #delay(u: number): number {
    return redialDelay(this.#env.settings.retry, 1, u)
  }

  #retryAt({ dialAt, setbacks }: PoolEndpoint<K, A>): number {
    return Math.max(dialAt, setbacks.retryAt)
  }
}
