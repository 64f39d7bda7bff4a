/**
 * What has gone wrong at each endpoint of a pool since the last success, and what follows from it for borrowers.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as Failure from "../Retry/Failure.ts"
import * as Explaining from "./Explaining.ts"
import { afterSetback, type Evidence, type Health, healthOf, noSetbacks } from "./Health.ts"
import type { Inventory } from "./Inventory.ts"
import { isLocal, redialDelay } from "./OpeningVerdict.ts"
import type { Environment } from "./PoolEnvironment.ts"
import type { PoolError } from "./PoolError.ts"
import { isGone, type KeyPool, type PooledConnection, slotsOf } from "./PoolState.ts"

/** What a failed first use says: a failure that is not known to be the endpoint's may be an answer of it. */
const evidenceOf = (cause: Cause.Cause<unknown>): Evidence =>
  Cause.hasFails(cause) && Failure.classify(Cause.squash(cause)).class !== "Fatal" ? "Failure" : "Unclear"

export class Availability<K, A> {
  readonly #env: Environment<K, A>
  readonly #inventory: Inventory<K, A>
  readonly #judged: (retryAt: number) => void
  /** Endpoints whose health changes by itself when the next attempt is due. */
  readonly #changing = new Set<KeyPool<K, A>>()

  /** `judged` is called when the health of an endpoint may have changed, with the moment at which it may do so again by itself. */
  constructor(env: Environment<K, A>, inventory: Inventory<K, A>, judged: (retryAt: number) => void) {
    this.#env = env
    this.#inventory = inventory
    this.#judged = judged
  }

  healthOf(keyPool: KeyPool<K, A>, now: number): Health {
    const { connecting, connections, establishment: { phase }, queue, setbacks } = keyPool
    const { maxPerEndpoint, maxTotal } = this.#env.settings
    return healthOf({
      phase,
      suspicion: setbacks.suspicion,
      isConnected: connections.some((connection) => !isGone(connection)),
      connecting,
      waiting: queue.size,
      hasRoom: slotsOf(keyPool) < maxPerEndpoint && this.#inventory.slots < maxTotal,
      isTooEarly: now < this.#retryAt(keyPool)
    })
  }

  /** Something has gone wrong at an endpoint. */
  failed(keyPool: KeyPool<K, A>, evidence: Evidence, error: unknown): void {
    const now = this.#env.clock.now()
    const retryAt = now + this.#delay(this.#env.random())
    keyPool.setbacks = afterSetback(keyPool.setbacks, evidence, { now, retryAt, error })
    this.delayed(keyPool)
  }

  /** The next attempt at an endpoint is due later than now. */
  delayed(keyPool: KeyPool<K, A>): void {
    this.#changing.add(keyPool)
    this.#judged(this.#retryAt(keyPool))
  }

  /** The next moment at which the health of an endpoint changes by itself. */
  nextChange(now: number): number {
    let next = Infinity
    for (const keyPool of this.#changing) {
      const retryAt = this.#retryAt(keyPool)
      if (retryAt <= now) this.#changing.delete(keyPool)
      else next = Math.min(next, retryAt)
    }
    return next
  }

  /** Something has succeeded at an endpoint. */
  succeeded(keyPool: KeyPool<K, A>): void {
    if (keyPool.setbacks === noSetbacks) return
    keyPool.setbacks = noSetbacks
    this.#judged(Infinity)
  }

  /** A borrower waits for an endpoint, or waits no more. That says something of one at which something has gone wrong. */
  queueChanged({ establishment, setbacks }: KeyPool<K, A>): void {
    if (establishment.phase !== "Healthy" || setbacks !== noSetbacks) this.#judged(Infinity)
  }

  /** A borrower has ended its use of a connection. */
  used(connection: PooledConnection<K, A>, exit: Exit.Exit<unknown, unknown>, isSpoilt: boolean): void {
    const { onTrial, owner } = connection
    if (Exit.isSuccess(exit)) {
      if (!isSpoilt) this.succeeded(owner)
      return
    }
    // One that has died is a failed dial, and one that is closed under its borrower says nothing of the endpoint.
    if (onTrial && !isGone(connection)) this.failed(owner, evidenceOf(exit.cause), Cause.squash(exit.cause))
  }

  /** A connection has not passed its check, or could not be made ready. */
  rejected({ onTrial, owner }: PooledConnection<K, A>): void {
    this.failed(owner, onTrial ? "Failure" : "Stale", undefined)
  }

  /** A borrower has waited in vain. While dials fail, that is known by them. */
  timedOut(keyPool: KeyPool<K, A>, error: PoolError): void {
    const { reason } = error
    if (reason._tag !== "AcquireTimeout" || keyPool.establishment.phase === "Down") return
    const { cause, stalledBy } = reason
    if (stalledBy === "Suspended" || isLocal(cause)) return
    this.failed(keyPool, stalledBy === "TotalCap" ? "Unclear" : "Failure", error)
  }

  /** Why a borrow that would have to wait fails at once, if so. */
  refusalOf(keyPool: KeyPool<K, A>): PoolError | undefined {
    if (!this.#env.settings.failsWhenUnavailable) return undefined
    const now = this.#env.clock.now()
    if (this.healthOf(keyPool, now) !== "Unavailable") return undefined
    const left = this.#retryAt(keyPool) - now
    return Explaining.endpointUnavailable(keyPool, now, left > 0 ? left : this.#delay(1))
  }

  /** The first delay of the policy, in milliseconds. */
  #delay(u: number): number {
    const { maxRedialDelay, retry } = this.#env.settings
    return redialDelay({ policy: retry, maxRedialDelay, failures: 1, u })
  }

  #retryAt({ dialAt, setbacks }: KeyPool<K, A>): number {
    return Math.max(dialAt, setbacks.retryAt)
  }
}
