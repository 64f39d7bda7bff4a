/**
 * The dials that are under way.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Tracer from "effect/Tracer"
import * as RetryPolicy from "../Retry/RetryPolicy.ts"
import type { Availability } from "./Availability.ts"
import * as Establishment from "./Establishment.ts"
import * as Explaining from "./Explaining.ts"
import type { Inventory } from "./Inventory.ts"
import type { Demand, Opened } from "./Opening.ts"
import { isLocal, judge, redialDelay } from "./OpeningVerdict.ts"
import type { Environment } from "./PoolEnvironment.ts"
import { ConnectionDied, type PoolError } from "./PoolError.ts"
import { type KeyPool, makeConnection, type PooledConnection, type Slot } from "./PoolState.ts"
import type { Tally } from "./PoolStats.ts"

/** However long opening took, another endpoint does not wait longer than this for a slot to change hands, in ms. */
const maxHold = 1000

/** The fiber that opens a connection, and how far it has come. */
interface Opener {
  /** There is none yet in its first step. */
  fiber: Fiber.Fiber<unknown> | undefined
  isDialling: boolean
  /** Nobody wants what it would open. */
  isAbandoned: boolean
  isOver: boolean
}

const end = (opener: Opener): void => {
  opener.isOver = true
  opener.fiber?.interruptUnsafe()
}

/** What happens with the outcome of a dial. */
export interface Outcomes<K, A> {
  /** Whether somebody still wants a connection to this endpoint. */
  readonly isWanted: (keyPool: KeyPool<K, A>) => boolean
  /** A connection is there, and lent to nobody yet. */
  readonly arrived: (connection: PooledConnection<K, A>) => void
  /** What is known of an endpoint may have changed. */
  readonly judged: () => void
  /**
   * There is no permit for this endpoint because others, this pool's perhaps, have all of them. The result is whether a connection
   * of this pool gives one up.
   */
  readonly crowded: (keyPool: KeyPool<K, A>) => boolean
  /** Opening has failed for good. */
  readonly failed: (keyPool: KeyPool<K, A>, error: PoolError) => void
  /** Something of it was left behind; the result is called when that has ended after all. */
  readonly leftBehind: (keyPool: KeyPool<K, A>, what: "Connect" | "Close") => () => void
  /** Nothing comes of it, and its slot is kept for a connect that was left behind. */
  readonly slotKept: (keyPool: KeyPool<K, A>, slot: Slot) => void
  /** Nothing of it is left, or what is left is not waited for any longer. */
  readonly freed: (keyPool: KeyPool<K, A>, slot: Slot) => void
  /** The dial has ended, whatever came of it. */
  readonly ended: () => void
}

/** The parts of a pool that opening reads and acts on. */
export interface Parts<K, A> {
  readonly env: Environment<K, A>
  readonly inventory: Inventory<K, A>
  readonly availability: Availability<K, A>
  readonly tally: Tally
}

/** What a single attempt failed with. */
const failureIn = (error: unknown): unknown =>
  error instanceof RetryPolicy.RetryError && error.cause !== undefined ? error.cause : error

const afterFailure = (before: Establishment.Establishment, error: unknown): Establishment.Establishment =>
  isLocal(error)
    ? Establishment.afterLocalFailure(before)
    : error instanceof ConnectionDied
    ? Establishment.afterLoss(before)
    : Establishment.afterFailure(before)

/**
 * Starts dials, and decides what follows a failed one. An endpoint that is down holds no slot between two attempts, and one
 * attempt at a time serves all that wait for it.
 */
export class Openings<K, A> {
  readonly #env: Environment<K, A>
  readonly #inventory: Inventory<K, A>
  readonly #tally: Tally
  readonly #availability: Availability<K, A>
  readonly #outcomes: Outcomes<K, A>
  /** What opens connections, by endpoint. */
  readonly #openers = new Map<KeyPool<K, A>, Set<Opener>>()

  constructor(
    { availability, env, inventory, tally }: Parts<K, A>,
    outcomes: Outcomes<K, A>
  ) {
    this.#env = env
    this.#inventory = inventory
    this.#availability = availability
    this.#tally = tally
    this.#outcomes = outcomes
  }

  /** Starts a dial, which takes a slot at once. */
  start(keyPool: KeyPool<K, A>): void {
    const slot = this.#inventory.takeSlot(keyPool, this.#env.clock.now())
    const opener: Opener = { fiber: undefined, isDialling: false, isAbandoned: false, isOver: false }
    this.#add(keyPool, opener)
    const fiber = opener.fiber = this.#env.open(keyPool, this.#demandFor(keyPool, slot, opener))
    if (opener.isOver) fiber.interruptUnsafe()
    this.#outcomes.judged()
    fiber.addObserver(() => {
      this.#remove(keyPool, opener)
      this.#outcomes.ended()
    })
  }

  #add(keyPool: KeyPool<K, A>, opener: Opener): void {
    const openers = this.#openers.get(keyPool)
    if (openers === undefined) this.#openers.set(keyPool, new Set([opener]))
    else openers.add(opener)
  }

  #remove(keyPool: KeyPool<K, A>, opener: Opener): void {
    const openers = this.#openers.get(keyPool)
    if (openers?.delete(opener) === true && openers.size === 0) this.#openers.delete(keyPool)
  }

  #demandFor(keyPool: KeyPool<K, A>, slot: Slot, opener: Opener): Demand<A> {
    let isSurplus = false
    let hasTaken = false
    /** Nothing comes of it: no other one is left to carry on by it. */
    const isOver = () => {
      if (isSurplus || opener.isAbandoned) keyPool.surplus--
      isSurplus = opener.isAbandoned = false
    }
    return {
      isWanted: () => this.#isWanted(keyPool),
      dialling: () => void (opener.isDialling = true),
      isAbandoned: () => opener.isAbandoned,
      crowded: () => {
        // A minimum is kept at nobody's cost, and one dial at the cost of one connection: others may take the permit.
        if (!hasTaken && keyPool.queue.size > 0) hasTaken = this.#outcomes.crowded(keyPool)
      },
      isSurplus: (failure) => isSurplus ||= this.#isSurplus(keyPool, failure),
      opened: (opened) => {
        if (opener.isAbandoned) keyPool.surplus--
        opener.isAbandoned = false
        this.#adopt(keyPool, slot, opened)
      },
      failed: (error) => void this.failed(keyPool, error),
      freed: () => {
        isOver()
        this.#outcomes.freed(keyPool, slot)
      },
      leftBehind: (what) => this.#outcomes.leftBehind(keyPool, what),
      slotKept: () => {
        isOver()
        this.#outcomes.slotKept(keyPool, slot)
      },
      attempts: () => keyPool.attempts,
      site: () => keyPool.queue.first?.site,
      span: () => {
        const first = keyPool.queue.first
        return first === undefined ? undefined : Context.getOrUndefined(first.context, Tracer.ParentSpan)
      }
    }
  }

  /** Whether a dial that has not begun is to begin: it is wanted, and a cap that was lowered meanwhile has room for it. */
  #isWanted(keyPool: KeyPool<K, A>): boolean {
    if (!this.#outcomes.isWanted(keyPool)) return false
    if (!this.#inventory.isOverCap(keyPool)) return true
    let ofPool = 0
    for (const { surplus } of this.#openers.keys()) ofPool += surplus
    return !this.#inventory.isOverCap(keyPool, { ofEndpoint: keyPool.surplus, ofPool })
  }

  /** A cap was lowered: what waits at the gate or for the budget to dial any endpoint may be over it. */
  reconsiderAll(): void {
    for (const keyPool of [...this.#openers.keys()]) this.reconsider(keyPool)
  }

  /**
   * A borrower has left the queue of an endpoint, or a cap was lowered: what waits at the gate or for the budget to dial it may not
   * be wanted any more. It has a slot of both caps, which others can use.
   */
  reconsider(keyPool: KeyPool<K, A>): void {
    for (const opener of [...this.#openers.get(keyPool) ?? []]) {
      if (opener.isDialling || opener.isAbandoned || this.#isWanted(keyPool)) continue
      opener.isAbandoned = true
      // No other one can leave it to this one to carry on.
      keyPool.surplus++
      end(opener)
    }
  }

  /** Whether a dial to an endpoint has begun: one that waits at the gate or for the budget has not. */
  isDialling(keyPool: KeyPool<K, A>): boolean {
    for (const { isDialling } of this.#openers.get(keyPool) ?? []) if (isDialling) return true
    return false
  }

  interruptAll(): void {
    for (const openers of [...this.#openers.values()]) for (const opener of [...openers]) end(opener)
  }

  /** A connection is there. Where a hook makes it ready for those that wait, it has the last word on it. */
  arrived(connection: PooledConnection<K, A>, isLending: boolean): void {
    connection.untried = this.#env.makesReady && isLending && connection.owner.queue.size > 0
    if (!connection.untried) this.#opened(connection.owner)
  }

  /** A connection has been made ready for a borrower. */
  ready(connection: PooledConnection<K, A>): void {
    if (connection.untried) this.#opened(connection.owner)
    connection.untried = false
  }

  /**
   * A borrower has ended its use of a connection that had been of use to nobody. The result is `true` if its endpoint may be
   * dialled again because of that.
   */
  used(connection: PooledConnection<K, A>, exit: Exit.Exit<unknown, unknown>): boolean {
    const { hasDied, owner, slot } = connection
    if (Exit.isFailure(exit)) {
      if (hasDied && !Cause.hasInterruptsOnly(exit.cause)) this.lost(connection)
      return false
    }
    connection.onTrial = false
    if (!owner.establishment.isDoubted || slot.since < owner.failedAt) return false
    this.#succeeded(owner)
    return true
  }

  /**
   * A connection has died and nobody goes on with it. If it was of use to nobody and has not lasted, it was a failure to open
   * one: a server that closes what it has accepted is not there, however readily it accepts. Those that were dialled before
   * the last failure are the same one.
   */
  lost(connection: PooledConnection<K, A>): void {
    const { onTrial, owner, slot, untried } = connection
    connection.onTrial = false
    if (!onTrial || untried || this.#hasLasted(connection) || slot.since < owner.failedAt) return
    owner.lastFailure = Explaining.diedAtOnce(owner)
    this.failed(owner, owner.lastFailure)
  }

  /**
   * Closes a connection that has died under borrowers who go on: its slot is free before they say whether it was of use. If it was of
   * use to none so far, the next dial waits as after a failure, so that a server that closes what it accepts is not dialled by all
   * that wait at once.
   */
  closeDead(connection: PooledConnection<K, A>): void {
    const { onTrial, owner, state } = connection
    if (state === "Closing") return
    if (onTrial && !this.#hasLasted(connection)) {
      owner.dialAt = Math.max(owner.dialAt, this.#env.clock.now() + this.#delayOf(owner, this.#env.random()))
      this.#availability.delayed(owner)
    }
    this.#inventory.retire(connection)
  }

  #hasLasted({ leases, openedAt, owner }: PooledConnection<K, A>): boolean {
    return Establishment.hasLasted({
      age: this.#env.clock.now() - openedAt,
      isLent: leases.some(({ isInUse }) => isInUse),
      delay: this.#delayOf(owner, 1)
    })
  }

  #delayOf({ establishment: { failures } }: KeyPool<K, A>, u: number): number {
    const { maxRedialDelay, retry } = this.#env.settings
    return redialDelay({ policy: retry, maxRedialDelay, failures: Math.max(failures, 1), u })
  }

  /** A dial has succeeded. Where the last one came to nothing, this one has to be of use before another follows at once. */
  #opened(keyPool: KeyPool<K, A>): void {
    const { connections, establishment, failedAt } = keyPool
    const hasKept = (other: PooledConnection<K, A>) =>
      other.slot.since >= failedAt && !other.unfit && this.#hasLasted(other)
    if (!establishment.isDoubted || connections.some(hasKept)) return this.#succeeded(keyPool)
    keyPool.dialAt = this.#env.clock.now() + this.#delayOf(keyPool, this.#env.random())
    this.#availability.delayed(keyPool)
  }

  /**
   * A connection could not be made ready for a borrower. If it is a new one, that is a failure to open it: the result is
   * what the borrower learns, unless there will be another attempt. Two that were opened at once count as one attempt.
   */
  notReady(connection: PooledConnection<K, A>, isAlive: boolean, cause: unknown): PoolError | undefined {
    const { owner, state, untried } = connection
    const isNew = untried || isAlive && this.#isYoung(connection)
    if (!isNew || state === "Closing") return undefined
    connection.untried = false
    const failure = owner.lastFailure = Explaining.notReady(owner, cause)
    return this.#env.clock.now() < owner.dialAt ? undefined : this.failed(owner, failure)
  }

  /**
   * Whether a connection that came when nobody waited, for a minimum most often, has just been opened, and was ready for nobody
   * so far: whoever gets it at once must not have it replaced again and again without a delay.
   */
  #isYoung({ madeReady, openedAt }: PooledConnection<K, A>): boolean {
    return !madeReady && this.#env.makesReady && Establishment.isNew(this.#env.clock.now() - openedAt)
  }

  #succeeded(keyPool: KeyPool<K, A>): void {
    // What has just been opened and what is on its way serves some of them.
    const isWanted = keyPool.queue.size > (keyPool.connecting + 1) * this.#env.settings.concurrency
    const { phase } = keyPool.establishment
    keyPool.establishment = Establishment.afterSuccess(keyPool.establishment, isWanted)
    keyPool.lastFailure = undefined
    keyPool.attempts = 0
    keyPool.dialAt = 0
    // A dial that succeeds after one that failed is the end of an outage. Otherwise it says nothing: a silent endpoint accepts too.
    if (phase === "Down") this.#availability.succeeded(keyPool)
    this.#outcomes.judged()
  }

  /**
   * An attempt has failed: the next one comes after a delay, or the borrowers that wait fail, with the result. They fail when the
   * policy gives up, and at once with `whenUnavailable: "fail"`.
   */
  failed(keyPool: KeyPool<K, A>, error: unknown): PoolError | undefined {
    const { clock, random, settings } = this.#env
    const now = clock.now()
    if (keyPool.attempts++ === 0) keyPool.failingSince = now
    keyPool.failedAt = now
    keyPool.establishment = afterFailure(keyPool.establishment, error)
    const verdict = judge({
      policy: settings.retry,
      maxRedialDelay: settings.maxRedialDelay,
      error,
      attempts: keyPool.attempts,
      failures: keyPool.establishment.failures,
      elapsed: now - keyPool.failingSince,
      u: random()
    })
    keyPool.dialAt = now + verdict.delay
    if (isLocal(error)) this.#availability.delayed(keyPool)
    else this.#availability.failed(keyPool, "Failure", failureIn(error))
    const refusal = verdict._tag === "Again"
      ? this.#availability.refusalOf(keyPool)
      : Explaining.connectFailed(keyPool, verdict.error)
    if (refusal === undefined) return undefined
    keyPool.attempts = 0
    this.#outcomes.failed(keyPool, refusal)
    return refusal
  }

  #adopt(keyPool: KeyPool<K, A>, slot: Slot, opened: Opened<A>): void {
    const now = this.#env.clock.now()
    const { lifetimeJitter, maxLifetime } = this.#env.settings
    this.#outcomes.arrived(makeConnection({
      ...opened,
      owner: keyPool,
      slot,
      openedAt: now,
      openedIn: Math.min(now - slot.since, maxHold),
      lifetime: Math.ceil(maxLifetime * (1 - lifetimeJitter * this.#env.random()))
    }))
  }

  #isSurplus(keyPool: KeyPool<K, A>, failure: unknown): boolean {
    this.#tally.failedAttempts++
    // Whatever it was for want of, the dial that goes on is enough: another one would fail as soon as it is begun.
    keyPool.establishment = isLocal(failure)
      ? Establishment.afterLocalFailure(keyPool.establishment)
      : Establishment.afterSurplus(keyPool.establishment)
    keyPool.lastFailure = failure
    // Of those that fail at once, one has to carry the failure.
    if (keyPool.connecting - keyPool.surplus <= 1) return false
    keyPool.surplus++
    return true
  }
}
