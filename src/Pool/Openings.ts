/**
 * The dials that are under way.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Tracer from "effect/Tracer"
import * as RetryPolicy from "../Retry/RetryPolicy.ts"
import type { Inventory } from "./Inventory.ts"
import type { Opened } from "./Opening.ts"
import type { Environment } from "./PoolEnvironment.ts"
import { type KeyPool, makeConnection, type PooledConnection, type Slot } from "./PoolState.ts"
import type { Tally } from "./PoolStats.ts"

/** However long opening took, another endpoint does not wait longer than this for a slot to change hands, in ms. */
const maxHold = 1000

/** What happens with the outcome of a dial. */
export interface Outcomes<K, A> {
  /** Whether somebody still wants a connection to this endpoint. */
  readonly isWanted: (keyPool: KeyPool<K, A>) => boolean
  /** A connection is there, and lent to nobody yet. */
  readonly arrived: (connection: PooledConnection<K, A>, millis: number) => void
  /** Opening has failed for good. */
  readonly failed: (keyPool: KeyPool<K, A>, error: unknown) => void
  /** Nothing of it is left. */
  readonly freed: (keyPool: KeyPool<K, A>, slot: Slot) => void
  /** The dial has ended, whatever came of it. */
  readonly ended: () => void
}

export class Openings<K, A> {
  readonly #env: Environment<K, A>
  readonly #inventory: Inventory<K, A>
  readonly #tally: Tally
  readonly #outcomes: Outcomes<K, A>
  readonly #fibers = new Set<Fiber.Fiber<unknown>>()

  constructor(env: Environment<K, A>, inventory: Inventory<K, A>, tally: Tally, outcomes: Outcomes<K, A>) {
    this.#env = env
    this.#inventory = inventory
    this.#tally = tally
    this.#outcomes = outcomes
  }

  /** Starts a dial, which takes a slot at once. */
  start(keyPool: KeyPool<K, A>): void {
    const slot = this.#inventory.takeSlot(keyPool, this.#env.clock.now())
    const fiber = this.#env.fork(this.#env.open(keyPool, {
      isWanted: () => this.#outcomes.isWanted(keyPool),
      attemptFailed: (failure) => this.#attemptFailed(keyPool, failure),
      opened: (opened) => this.#adopt(keyPool, slot, opened),
      failed: (error) => this.#failed(keyPool, error),
      freed: () => this.#outcomes.freed(keyPool, slot),
      span: () => {
        const first = keyPool.queue.first
        return first === undefined ? undefined : Context.getOrUndefined(first.fiber.context, Tracer.ParentSpan)
      }
    }))
    this.#fibers.add(fiber)
    fiber.addObserver(() => {
      this.#fibers.delete(fiber)
      this.#outcomes.ended()
    })
  }

  interruptAll(): void {
    for (const fiber of this.#fibers) fiber.interruptUnsafe()
  }

  #adopt(keyPool: KeyPool<K, A>, slot: Slot, opened: Opened<A>): Effect.Effect<void> {
    const now = this.#env.clock.now()
    const millis = now - slot.since
    const { lifetimeJitter, maxLifetime } = this.#env.settings
    const connection = makeConnection({
      ...opened,
      owner: keyPool,
      slot,
      openedAt: now,
      openedIn: Math.min(millis, maxHold),
      lifetime: Math.ceil(maxLifetime * (1 - lifetimeJitter * this.#env.random()))
    })
    return Effect.map(keyPool.holding.adopt(connection), (taken) => this.#outcomes.arrived(taken, millis))
  }

  /** Whether the opener shall go on: while an endpoint is down, one attempt at a time is enough, and the others end. */
  #attemptFailed(keyPool: KeyPool<K, A>, failure: unknown): boolean {
    this.#tally.failedAttempts++
    keyPool.failing = true
    keyPool.lastFailure = failure
    return keyPool.connecting === 1
  }

  #failed(keyPool: KeyPool<K, A>, error: unknown): void {
    keyPool.failing = true
    keyPool.refillFailures++
    const delay = RetryPolicy.delay(this.#env.settings.retry, keyPool.refillFailures, this.#env.random())
    keyPool.refillAt = this.#env.clock.now() + Duration.toMillis(delay)
    this.#outcomes.failed(keyPool, error)
  }
}
