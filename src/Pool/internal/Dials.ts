/**
 * The dials under way, and what follows from each outcome for its endpoint.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import { ConnectionDied, NotReady, type PoolError } from "../PoolError.ts"
import { isOverCap, isStillWanted } from "./Admission.ts"
import type { ConnectionStore } from "./ConnectionStore.ts"
import * as Diagnostics from "./Diagnostics.ts"
import * as DialPolicy from "./DialPolicy.ts"
import type { EndpointHealth, SlotRelease } from "./Endpoints.ts"
import { victimFor } from "./Eviction.ts"
import { drawLifetime } from "./Expiry.ts"
import {
  type CoreEnvironment,
  type OpenedConnection,
  type PendingDial,
  PooledConnection,
  type PoolEndpoint
} from "./PoolState.ts"

/** However long opening took, another endpoint does not wait longer than this for a slot to change hands, in ms. */
const maxHold = 1000

/** The parts of a pool that opening reads and acts on. */
export interface DialParts<K, A> {
  readonly env: CoreEnvironment<K, A>
  readonly store: ConnectionStore<K, A>
  readonly health: EndpointHealth<K, A>
  readonly slots: SlotRelease<K, A>
  /** A connection is open, and not leased yet. */
  readonly arrived: (connection: PooledConnection<K, A>) => void
  /** Opening has failed for good: refuses the borrowers that wait. */
  readonly refuse: (endpoint: PoolEndpoint<K, A>, error: PoolError) => void
}

/**
 * Starts dials, and decides what follows a failed one. An endpoint that is down holds no slot between two attempts, and one
 * attempt at a time serves all that wait for it.
 */
export class Dials<K, A> {
  readonly #parts: DialParts<K, A>
  readonly #env: CoreEnvironment<K, A>
  /** What opens connections, by endpoint. */
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
      isDialing: false,
      isAbandoned: false,
      isRedundant: false,
      hasTakenPermit: false,
      fiber: undefined
    }
    const dials = this.#pending.get(endpoint)
    if (dials === undefined) this.#pending.set(endpoint, new Set([dial]))
    else dials.add(dial)
    this.#env.outbox.push({ _tag: "Dial", dial })
    this.#env.observers.current?.("Judged", 0)
  }

  /**
   * Whether a dial starts, which its slot is taken for. It does not when one that has started in the same step has failed at once: the
   * next attempt is due after a delay, or fewer dials are allowed at once.
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

  /** Dials of an endpoint that have started, and that carry on if another one fails. */
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

  // ---- what happens while a dial is under way: each is a step of the core, whose commands follow it ------------------

  /** The budget has had nothing left for a while: an idle connection of another endpoint may give its permit up. */
  crowded(dial: PendingDial<K, A>): void {
    const { endpoint, hasTakenPermit } = dial
    const { env: { settings }, store } = this.#parts
    // A minimum costs no other connection, and one dial costs at most one: others may take the permit.
    if (hasTakenPermit || endpoint.queue.size === 0) return
    dial.hasTakenPermit = this.#env.outbox.step(() => store.evict(victimFor(endpoint, store, settings)))
  }

  /** The connection is open. It is taken over in the same uninterruptible step. */
  opened(dial: PendingDial<K, A>, opened: OpenedConnection<A>): void {
    this.#env.outbox.step(() => this.#adopt(dial, opened))
  }

  /** The attempt has failed, and no other dial of the endpoint carries on. */
  attemptFailed({ endpoint }: PendingDial<K, A>, error: unknown): void {
    this.#env.outbox.step(() => this.failed(endpoint, error))
  }

  /** The slot is free: nothing of the connection is left, or it is not waited for any longer. */
  freed(dial: PendingDial<K, A>): void {
    this.#forget(dial)
    this.#env.outbox.step(() => this.#parts.slots.free(dial.endpoint, dial.slot))
  }

  /** Nothing comes of the attempt any more, and its slot is kept for a connect that was left behind until {@link freed}. */
  slotKept(dial: PendingDial<K, A>): void {
    this.#forget(dial)
    this.#env.outbox.step(() => this.#parts.slots.keep(dial.endpoint, dial.slot))
  }

  /** Something of the attempt was left behind. The result is called when that has ended after all. */
  leftBehind({ endpoint }: PendingDial<K, A>, what: "Connect" | "Close"): () => void {
    return this.#parts.slots.leftBehind(endpoint, what)
  }

  /** Nothing comes of a dial: no other one is left to carry on by it. */
  #forget(dial: PendingDial<K, A>): void {
    if (dial.isRedundant || dial.isAbandoned) dial.endpoint.redundant--
    dial.isRedundant = dial.isAbandoned = false
  }

  /** Whether a dial that has not begun is to begin: it is wanted, and a cap that was lowered meanwhile has room for it. */
  isWanted(endpoint: PoolEndpoint<K, A>): boolean {
    if (!this.#env.isOpen() || !isStillWanted(endpoint, this.#env.settings)) return false
    const { env: { settings }, store } = this.#parts
    if (!isOverCap(endpoint, store, settings)) return true
    let ofPool = 0
    for (const { redundant } of this.#pending.keys()) ofPool += redundant
    return !isOverCap(endpoint, store, settings, { ofEndpoint: endpoint.redundant, ofPool })
  }

  /** A cap was lowered: what waits at the gate or for the budget to dial any endpoint may be over it. */
  reconsiderAll(): void {
    for (const endpoint of this.#pending.keys()) this.reconsider(endpoint)
  }

  /**
   * A borrower has left the queue of an endpoint, or a cap was lowered: what waits at the gate or for the budget to dial it may not
   * be wanted any more. It has a slot of both caps, which others can use.
   */
  reconsider(endpoint: PoolEndpoint<K, A>): void {
    for (const dial of this.#pending.get(endpoint) ?? []) {
      if (dial.isDialing || dial.isAbandoned || this.isWanted(endpoint)) continue
      dial.isAbandoned = true
      // No other one can leave it to this one to carry on.
      endpoint.redundant++
      this.#env.outbox.push({ _tag: "InterruptDial", dial })
    }
  }

  /** Whether a dial to an endpoint has begun: one that waits at the gate or for the budget has not. */
  isDialing(endpoint: PoolEndpoint<K, A>): boolean {
    for (const { isDialing } of this.#pending.get(endpoint) ?? []) if (isDialing) return true
    return false
  }

  interruptAll(): void {
    for (const dials of this.#pending.values()) {
      for (const dial of dials) this.#env.outbox.push({ _tag: "InterruptDial", dial })
    }
  }

  /** A connection is there. Where a hook makes it ready for those that wait, it has the last word on it. */
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
   * A borrower has ended its use of a connection that no borrow had used with success. The result is `true` if its endpoint may be
   * dialed again because of that.
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
   * A connection has died and no borrower goes on with it. A server that closes new connections before their first successful use
   * counts as down, so this is a failed dial, unless the connection has lasted. Connections that were dialed before the last failure
   * belong to that failure.
   */
  lost(connection: PooledConnection<K, A>): void {
    const { owner, slot, trial } = connection
    connection.trial = "Over"
    if (trial === "Over" || trial === "Unready" || this.#hasLasted(connection) || slot.since < owner.failedAt) return
    owner.lastFailure = new ConnectionDied({ key: owner.label })
    this.failed(owner, owner.lastFailure)
  }

  /**
   * Closes a connection that has died under borrowers who go on: its slot is free before it is known whether it
   * has served them. If it has served none so far, the next dial waits as after a failure, so that a server that closes what it
   * accepts is not dialed by all that wait at once.
   */
  closeDead(connection: PooledConnection<K, A>): void {
    const { owner, state, trial } = connection
    if (state === "Closing") return
    if (trial !== "Over" && !this.#hasLasted(connection)) {
      owner.dialAt = Math.max(owner.dialAt, this.#env.clock.now() + this.#delayOf(owner, this.#env.random()))
      this.#parts.health.delayed(owner)
    }
    this.#parts.store.retire(connection)
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

  /** A dial has succeeded. Where the last one came to nothing, this one has to be of use before another follows at once. */
  #opened(endpoint: PoolEndpoint<K, A>): void {
    const { connections, dialState, failedAt } = endpoint
    const hasKept = (other: PooledConnection<K, A>) =>
      other.slot.since >= failedAt && other.fitness === "Fit" && this.#hasLasted(other)
    if (!dialState.unproven || connections.some(hasKept)) return this.#succeeded(endpoint)
    endpoint.dialAt = this.#env.clock.now() + this.#delayOf(endpoint, this.#env.random())
    this.#parts.health.delayed(endpoint)
  }

  /**
   * A connection could not be made ready for a borrower. If it is a new one, that is a failure to open it: the result is
   * what the borrower learns, unless there will be another attempt. Two that were opened at once count as one attempt.
   */
  notReady(connection: PooledConnection<K, A>, isAlive: boolean, cause: unknown): PoolError | undefined {
    const { owner, state, trial } = connection
    const isNew = trial === "Unready" || isAlive && this.#isYoung(connection)
    if (!isNew || state === "Closing") return undefined
    connection.trial = "New"
    const failure = owner.lastFailure = new NotReady({ key: owner.label, cause })
    return this.#env.clock.now() < owner.dialAt ? undefined : this.failed(owner, failure)
  }

  /**
   * Whether a connection that came when no borrower waited, for a minimum most often, has just been opened, and was ready for no
   * borrower so far: one that gets it at once must not have it replaced again and again without a delay.
   */
  #isYoung({ openedAt, trial }: PooledConnection<K, A>): boolean {
    return trial === "New" && this.#env.makesReady && DialPolicy.isNew(this.#env.clock.now() - openedAt)
  }

  #succeeded(endpoint: PoolEndpoint<K, A>): void {
    // What has just been opened and what is on its way serves some of them.
    const isWanted = endpoint.queue.size > (endpoint.connecting + 1) * this.#env.settings.concurrency
    const { phase } = endpoint.dialState
    endpoint.dialState = DialPolicy.afterSuccess(endpoint.dialState, isWanted)
    endpoint.lastFailure = undefined
    endpoint.series = undefined
    endpoint.dialAt = 0
    // A dial that succeeds after one that failed is the end of an outage. Otherwise it says nothing: a silent endpoint accepts too.
    if (phase === "Down") this.#parts.health.succeeded(endpoint)
    this.#env.observers.current?.("Judged", 0)
  }

  /**
   * An attempt has failed: the next one comes after a delay, or the borrowers that wait fail, with the result. They fail when the
   * policy gives up, and at once with `whenUnavailable: "fail"`.
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
    endpoint.series = decision._tag === "Again" ? decision.series : undefined
    endpoint.dialAt = now + decision.delay
    if (DialPolicy.isLocal(error)) this.#parts.health.delayed(endpoint)
    else this.#parts.health.failed(endpoint, "Failure", DialPolicy.failureIn(error))
    const refusal = decision._tag === "Again"
      ? this.#parts.health.refusalOf(endpoint)
      : Diagnostics.connectFailed(endpoint, decision.error)
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

  /** The attempt failed. If another one of the endpoint is under way, that carries on. */
  lookForOther(dial: PendingDial<K, A>, failure: unknown): void {
    const { endpoint } = dial
    if (dial.isRedundant) return
    this.#env.tally.failedAttempts++
    // Whatever was lacking, the dial that goes on is enough: another one would fail as soon as it is begun.
    endpoint.dialState = DialPolicy.isLocal(failure)
      ? DialPolicy.afterLocalFailure(endpoint.dialState)
      : DialPolicy.afterRedundant(endpoint.dialState)
    endpoint.lastFailure = failure
    // Of those that fail at once, one has to carry the failure.
    if (this.#underWay(endpoint) <= 1) return
    endpoint.redundant++
    dial.isRedundant = true
  }
}
