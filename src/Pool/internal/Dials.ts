/**
 * The dials under way, and what the outcome of each means for its endpoint.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import { ConnectionDied, NotReady, type PoolError } from "../PoolError.ts"
import { hasFreeSlot, isOverCap, isStillWanted } from "./Admission.ts"
import type { ConnectionStore } from "./ConnectionStore.ts"
import * as Diagnostics from "./Diagnostics.ts"
import * as DialPolicy from "./DialPolicy.ts"
import type { EndpointHealth } from "./EndpointHealth.ts"
import type { SlotRelease } from "./Endpoints.ts"
import { victimFor } from "./Eviction.ts"
import { drawLifetime } from "./Expiry.ts"
import {
  type CoreEnvironment,
  type OpenedConnection,
  type PendingDial,
  PooledConnection,
  type PoolEndpoint
} from "./PoolState.ts"

/**
 * The most of a connection's opening time that counts for `isOthersTurn`, in milliseconds. Another endpoint waits no longer for the
 * slot.
 */
const maxHold = 1000

/** The parts of a pool that {@link Dials} uses. */
export interface DialParts<K, A> {
  readonly env: CoreEnvironment<K, A>
  readonly store: ConnectionStore<K, A>
  readonly health: EndpointHealth<K, A>
  readonly slots: SlotRelease<K, A>
  /** Called when a connection is open and not leased yet. */
  readonly arrived: (connection: PooledConnection<K, A>) => void
  /** Fails the borrowers that wait for an endpoint, when opening has failed for good. */
  readonly refuse: (endpoint: PoolEndpoint<K, A>, error: PoolError) => void
}

/**
 * Starts dials, and decides what follows a failed dial. An endpoint that is down holds no slot between two attempts. One attempt at
 * a time serves all borrowers that wait for the endpoint.
 */
export class Dials<K, A> {
  readonly #parts: DialParts<K, A>
  readonly #env: CoreEnvironment<K, A>
  /** The dials under way, by endpoint. */
  readonly #pending = new Map<PoolEndpoint<K, A>, Set<PendingDial<K, A>>>()

  constructor(parts: DialParts<K, A>) {
    this.#parts = parts
    this.#env = parts.env
  }

  /** Starts a dial, which takes a slot at once. */
  start(endpoint: PoolEndpoint<K, A>): void {
    const slot = this.#parts.store.takeSlot(endpoint, this.#env.clock.now())
    const dial: PendingDial<K, A> = {
      endpoint,
      slot,
      isStarted: false,
      phase: "AtGate",
      isAbandoned: false,
      isRedundant: false,
      hasTakenPermit: false,
      fiber: undefined
    }
    const dials = this.#pending.get(endpoint)
    if (dials === undefined) this.#pending.set(endpoint, new Set([dial]))
    else dials.add(dial)
    this.#env.outbox.push({ _tag: "Dial", dial })
    this.#parts.health.judged(endpoint)
    // Whether more connections can be opened is a part of the health of the other endpoints.
    if (!hasFreeSlot(this.#parts.store, this.#env.settings)) this.#env.observers.current?.judged()
  }

  /**
   * Whether a dial starts, whose slot is already taken. It does not start if another dial that was started in the same step has
   * failed at once: then the next attempt is due after a delay, or fewer dials at once are allowed. The slot is freed in that case.
   */
  starts(dial: PendingDial<K, A>): boolean {
    const { endpoint, slot } = dial
    const started = this.#underWay(endpoint)
    dial.isStarted = this.isWanted(endpoint) && this.#env.clock.now() >= endpoint.dialAt &&
      started < endpoint.dialState.maxConcurrentDials
    if (dial.isStarted) return true
    this.ended(dial)
    this.#forget(dial)
    this.#parts.slots.free(endpoint, slot)
    return false
  }

  /** How many dials of an endpoint have started and may still succeed. */
  #underWay(endpoint: PoolEndpoint<K, A>): number {
    let started = 0
    for (const { isAbandoned, isRedundant, isStarted, slot } of this.#pending.get(endpoint) ?? []) {
      if (isStarted && slot.state === "Connecting" && !isRedundant && !isAbandoned) started++
    }
    return started
  }

  /** The fiber of a dial has ended. */
  ended(dial: PendingDial<K, A>): void {
    const dials = this.#pending.get(dial.endpoint)
    if (dials?.delete(dial) === true && dials.size === 0) this.#pending.delete(dial.endpoint)
  }

  // ---- events of a dial under way: each is a step of the core, whose commands follow it ------------------------------

  /** The budget has had no permit for a while. An idle connection of another endpoint is closed for its permit, if there is one. */
  crowded(dial: PendingDial<K, A>): void {
    const { endpoint, hasTakenPermit } = dial
    const { env: { settings }, store } = this.#parts
    // A dial for a minimum closes no other connection. Any other dial closes at most one, because another pool may take the permit.
    if (hasTakenPermit || endpoint.queue.size === 0) return
    dial.hasTakenPermit = this.#env.outbox.step(() => store.evict(victimFor(endpoint, store, settings)))
  }

  /** The connection is open. The pool takes it over in this step, which is uninterruptible. */
  opened(dial: PendingDial<K, A>, opened: OpenedConnection<A>): void {
    this.#env.outbox.step(() => this.#adopt(dial, opened))
  }

  /** The attempt has failed, and no other dial of the endpoint goes on. */
  attemptFailed({ endpoint }: PendingDial<K, A>, error: unknown): void {
    this.#env.outbox.step(() => this.failed(endpoint, error))
  }

  /** Frees the slot: nothing of the connection is left, or a connect that was left behind has kept it for `leftBehindTimeout`. */
  freed(dial: PendingDial<K, A>): void {
    this.#forget(dial)
    this.#env.outbox.step(() => this.#parts.slots.free(dial.endpoint, dial.slot))
  }

  /** The connect of the attempt was left behind. It keeps the slot until {@link freed}. */
  slotKept(dial: PendingDial<K, A>): void {
    this.#forget(dial)
    this.#env.outbox.step(() => this.#parts.slots.keep(dial.endpoint, dial.slot))
  }

  /** The connect or the finalizer of an attempt was left behind. The returned function is called when it has ended. */
  leftBehind({ endpoint }: PendingDial<K, A>, what: "Connect" | "Close"): () => void {
    return this.#parts.slots.leftBehind(endpoint, what)
  }

  /** A dial has ended without a connection, so it no longer counts as redundant. */
  #forget(dial: PendingDial<K, A>): void {
    if (dial.isRedundant || dial.isAbandoned) dial.endpoint.redundant--
    dial.isRedundant = dial.isAbandoned = false
  }

  /**
   * Whether a dial that waits at the gate or for the budget is still wanted: by its endpoint, and within caps that were lowered
   * since.
   */
  isWanted(endpoint: PoolEndpoint<K, A>): boolean {
    if (!this.#env.isOpen() || !isStillWanted(endpoint, this.#env.settings)) return false
    const { env: { settings }, store } = this.#parts
    if (!isOverCap(endpoint, store, settings)) return true
    let ofPool = 0
    for (const { redundant } of this.#pending.keys()) ofPool += redundant
    return !isOverCap(endpoint, store, settings, { ofEndpoint: endpoint.redundant, ofPool })
  }

  /** A cap was lowered: dials that wait at the gate or for the budget may be over it. */
  reconsiderAll(): void {
    for (const endpoint of this.#pending.keys()) this.reconsider(endpoint)
  }

  /**
   * A borrower has left the queue of an endpoint, or a cap was lowered. Abandons the dials of the endpoint that wait at the gate or
   * for the budget and are no longer wanted, so that others can use their slots.
   */
  reconsider(endpoint: PoolEndpoint<K, A>): void {
    for (const dial of this.#pending.get(endpoint) ?? []) {
      if (dial.phase !== "Connecting" && !this.isWanted(endpoint)) this.#abandon(dial)
    }
  }

  /**
   * The borrowers that have asked for the dials of an endpoint are gone. Abandons the dials that are not wanted, also those that are
   * connecting, and forgets failed attempts, so that later borrowers have all attempts of the policy, the first one at once.
   */
  endSeries(endpoint: PoolEndpoint<K, A>): void {
    for (const dial of this.#pending.get(endpoint) ?? []) if (!this.isWanted(endpoint)) this.#abandon(dial)
    endpoint.series = undefined
    endpoint.dialAt = 0
    endpoint.dialState = DialPolicy.afterSeries(endpoint.dialState)
    this.#parts.health.judged(endpoint)
  }

  #abandon(dial: PendingDial<K, A>): void {
    if (dial.isAbandoned) return
    dial.isAbandoned = true
    // Other dials must not count on this one.
    dial.endpoint.redundant++
    this.#env.outbox.push({ _tag: "InterruptDial", dial })
  }

  /** The phase that a dial of an endpoint has reached: the furthest one of its dials. Without a dial it is `undefined`. */
  phaseOf(endpoint: PoolEndpoint<K, A>): PendingDial<K, A>["phase"] | undefined {
    const phases = Array.from(this.#pending.get(endpoint) ?? [], ({ phase }) => phase)
    return (["Connecting", "AtBudget", "AtGate"] as const).find((phase) => phases.includes(phase))
  }

  interruptAll(): void {
    for (const dials of this.#pending.values()) {
      for (const dial of dials) this.#env.outbox.push({ _tag: "InterruptDial", dial })
    }
  }

  /** A connection is open. If borrowers wait and the pool has `beforeLend`, the dial succeeds only when that hook has. */
  arrived(connection: PooledConnection<K, A>, isLeasing: boolean): void {
    if (this.#env.makesReady && isLeasing && connection.owner.queue.size > 0) connection.trial = "Unready"
    else this.#opened(connection.owner)
  }

  /** A connection has been made ready for a borrower. */
  ready(connection: PooledConnection<K, A>): void {
    if (connection.trial === "Unready") this.#opened(connection.owner)
    if (connection.trial !== "Over") connection.trial = "Ready"
  }

  /**
   * A borrower has ended its use of a connection on which no borrow had succeeded before. The result is `true` if this use was the
   * success that allows further dials to the endpoint.
   */
  used(connection: PooledConnection<K, A>, exit: Exit.Exit<unknown, unknown>): boolean {
    const { fitness, owner, slot } = connection
    if (Exit.isFailure(exit)) {
      if (fitness === "Dead" && !Cause.hasInterruptsOnly(exit.cause)) this.lost(connection)
      return false
    }
    connection.trial = "Over"
    if (!owner.dialState.unproven || slot.since < owner.failedAt) return false
    this.#succeeded(owner)
    return true
  }

  /**
   * A connection has died, and no borrower uses it. A server that closes new connections before their first successful use counts
   * as down, so this counts as a failed dial, unless the connection has lasted. A connection that was dialed before the last
   * failure does not count, because that failure has counted already.
   */
  lost(connection: PooledConnection<K, A>): void {
    const { owner, slot, trial } = connection
    connection.trial = "Over"
    if (trial === "Over" || trial === "Unready" || this.#hasLasted(connection) || slot.since < owner.failedAt) return
    this.unusable(owner, new ConnectionDied({ key: owner.label }))
  }

  /** A new connection cannot be used, which counts as a failed dial. */
  unusable(endpoint: PoolEndpoint<K, A>, error: ConnectionDied | NotReady): PoolError | undefined {
    this.#count(endpoint, error)
    return this.failed(endpoint, error)
  }

  /** A dial has failed. */
  #count(endpoint: PoolEndpoint<K, A>, failure: unknown): void {
    this.#env.tally.failedAttempts++
    endpoint.failedAttempts++
    endpoint.lastFailure = failure
    this.#env.observers.current?.failed(endpoint.label, failure)
  }

  /**
   * Closes a connection that has died although borrowers use it. Its slot is free before it is known whether their borrows succeed.
   * If no borrow on it has succeeded so far, the next dial is delayed as after a failure, so that a server that closes every
   * connection at once is not dialed without delays.
   */
  closeDead(connection: PooledConnection<K, A>): void {
    const { owner, state, trial } = connection
    if (state === "Closing") return
    if (trial !== "Over" && !this.#hasLasted(connection)) {
      owner.dialAt = Math.max(owner.dialAt, this.#env.clock.now() + this.#delayOf(owner, this.#env.random()))
      this.#parts.health.delayed(owner)
    }
    this.#parts.store.retire(connection, "died_leased")
  }

  #hasLasted({ leases, openedAt, owner }: PooledConnection<K, A>): boolean {
    return DialPolicy.hasLasted({
      age: this.#env.clock.now() - openedAt,
      isLeased: leases.some(({ isInUse }) => isInUse),
      delay: this.#delayOf(owner, 1)
    })
  }

  #delayOf({ dialState: { failures } }: PoolEndpoint<K, A>, u: number): number {
    return DialPolicy.redialDelay(this.#env.settings.retry, failures, u)
  }

  /**
   * A dial has succeeded. If the endpoint is `unproven`, a borrow on the new connection has to succeed before the next dial is
   * free.
   */
  #opened(endpoint: PoolEndpoint<K, A>): void {
    const { connections, dialState, failedAt } = endpoint
    const hasKept = (other: PooledConnection<K, A>) =>
      other.slot.since >= failedAt && other.fitness === "Fit" && this.#hasLasted(other)
    if (!dialState.unproven || connections.some(hasKept)) return this.#succeeded(endpoint)
    endpoint.dialAt = this.#env.clock.now() + this.#delayOf(endpoint, this.#env.random())
    this.#parts.health.delayed(endpoint)
  }

  /**
   * A connection could not be made ready for a borrower. For a new connection this is a failed dial. The result is the error of the
   * borrower, or `undefined` if another attempt follows. If two connections that were opened together fail, this is one failed
   * dial.
   */
  notReady(connection: PooledConnection<K, A>, isAlive: boolean, cause: unknown): PoolError | undefined {
    const { owner, state, trial } = connection
    const isNew = trial === "Unready" || isAlive && this.#isYoung(connection)
    if (!isNew || state === "Closing") return undefined
    connection.trial = "New"
    const failure = new NotReady({ key: owner.label, cause })
    if (this.#env.clock.now() >= owner.dialAt) return this.unusable(owner, failure)
    owner.lastFailure = failure
    return undefined
  }

  /**
   * Whether a connection was opened a short time ago while no borrower waited, most often for a minimum, and was made ready for no
   * borrower so far. If its hook fails, this is a failed dial, so that the next dial is delayed.
   */
  #isYoung({ openedAt, trial }: PooledConnection<K, A>): boolean {
    return trial === "New" && this.#env.makesReady && DialPolicy.isNew(this.#env.clock.now() - openedAt)
  }

  #succeeded(endpoint: PoolEndpoint<K, A>): void {
    // The new connection and those that are being opened serve some of the waiting borrowers.
    const isWanted = endpoint.queue.size > (endpoint.connecting + 1) * this.#env.settings.concurrency
    const { phase } = endpoint.dialState
    endpoint.dialState = DialPolicy.afterSuccess(endpoint.dialState, isWanted)
    endpoint.lastFailure = undefined
    endpoint.series = undefined
    endpoint.dialAt = 0
    // A dial that succeeds after a failed dial ends an outage. Any other says nothing of the endpoint, which may accept and stay
    // silent.
    if (phase === "Down") this.#parts.health.succeeded(endpoint)
    this.#parts.health.judged(endpoint)
  }

  /**
   * An attempt has failed. Either the next attempt follows after a delay, or the waiting borrowers fail: when the policy gives up,
   * or with `whenUnavailable: "fail"`. The result is the error with which they fail, or `undefined`.
   */
  failed(endpoint: PoolEndpoint<K, A>, error: unknown): PoolError | undefined {
    const { clock, random, settings } = this.#env
    const now = clock.now()
    endpoint.failedAt = now
    endpoint.dialState = DialPolicy.afterFailedDial(endpoint.dialState, error)
    const decision = DialPolicy.decideRedial({
      policy: settings.retry,
      label: endpoint.label,
      error,
      series: endpoint.series,
      failures: endpoint.dialState.failures,
      now: clock.monotonic(),
      random
    })
    if (decision._tag !== "Wait") endpoint.series = decision._tag === "Again" ? decision.series : undefined
    else endpoint.refusedUntil = now + DialPolicy.refusalLasts
    endpoint.dialAt = now + decision.delay
    if (DialPolicy.isLocal(error)) this.#parts.health.delayed(endpoint)
    else {
      const evidence = decision._tag === "Wait" ? "Full" : "Failure"
      this.#parts.health.failed(endpoint, evidence, DialPolicy.failureIn(error))
    }
    const refusal = decision._tag !== "GiveUp"
      ? this.#parts.health.refusalOf(endpoint)
      : Diagnostics.connectFailed(endpoint, decision.error, settings)
    if (refusal === undefined) return undefined
    endpoint.series = undefined
    this.#parts.refuse(endpoint, refusal)
    return refusal
  }

  #adopt(dial: PendingDial<K, A>, opened: OpenedConnection<A>): void {
    const { endpoint, slot } = dial
    if (dial.isAbandoned) endpoint.redundant--
    dial.isAbandoned = false
    const now = this.#env.clock.now()
    this.#parts.arrived(
      new PooledConnection({
        ...opened,
        owner: endpoint,
        slot,
        openedAt: now,
        openedIn: Math.min(now - slot.since, maxHold),
        lifetime: drawLifetime(this.#env.settings, this.#env.random())
      })
    )
  }

  /** An attempt has failed. The dial becomes redundant if another dial of the endpoint is under way. */
  lookForOther(dial: PendingDial<K, A>, failure: unknown): void {
    const { endpoint } = dial
    if (dial.isRedundant) return
    this.#count(endpoint, failure)
    // One dial at a time from now on: a further one would fail for the same reason.
    endpoint.dialState = DialPolicy.isLocal(failure)
      ? DialPolicy.afterLocalFailure(endpoint.dialState)
      : DialPolicy.afterRedundant(endpoint.dialState)
    // The last dial under way is not redundant, so that its failure is reported.
    if (this.#underWay(endpoint) <= 1) return
    endpoint.redundant++
    dial.isRedundant = true
  }
}
