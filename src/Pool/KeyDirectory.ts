/**
 * The endpoints that a pool knows: made on first use, forgotten when nothing has been there for a while.
 *
 * @since 0.1.0
 */
import { KeyIndex } from "./KeyIndex.ts"
import type { Counts } from "./PoolError.ts"
import { type KeyPool, slotsOf } from "./PoolState.ts"
import { countsOf, sumOf } from "./PoolStats.ts"

/** How long an endpoint with nothing open and nobody waiting is remembered, in milliseconds. */
const forgetAfter = 60_000

const isEmpty = <K, A>(keyPool: KeyPool<K, A>): boolean =>
  slotsOf(keyPool) === 0 && keyPool.queue.size === 0 && keyPool.leftBehind === 0

export class KeyDirectory<K, A> {
  readonly #make: (key: K) => KeyPool<K, A>
  readonly #index = new KeyIndex<K, KeyPool<K, A>>()
  /** Endpoints that were left empty, the longest ago first. They may have been used again since. */
  readonly #empty = new Set<KeyPool<K, A>>()

  /** Connections that each endpoint shall have. Endpoints that have a minimum are not forgotten. */
  readonly #minimum: number
  /** Endpoints that may have fewer: no others are looked at, however many there are. */
  readonly #lacking = new Set<KeyPool<K, A>>()

  constructor(make: (key: K) => KeyPool<K, A>, minPerEndpoint: number) {
    this.#make = make
    this.#minimum = minPerEndpoint
  }

  /** The endpoints that have fewer slots than their minimum. */
  *lacking(): Generator<KeyPool<K, A>> {
    for (const keyPool of this.#lacking) {
      if (slotsOf(keyPool) - keyPool.kept < this.#minimum) yield keyPool
      else this.#lacking.delete(keyPool)
    }
  }

  /** An endpoint is new, or has lost a slot; returns when it may be dialled for its minimum. */
  lost(keyPool: KeyPool<K, A>): number {
    if (this.#minimum === 0) return Infinity
    this.#lacking.add(keyPool)
    return keyPool.dialAt > 0 ? keyPool.dialAt : Infinity
  }

  find(key: K): KeyPool<K, A> | undefined {
    return this.#index.get(key)
  }

  add(key: K): KeyPool<K, A> {
    const made = this.#make(key)
    this.#index.add(made)
    this.lost(made)
    return made
  }

  /** All endpoints that are known, or the one with this key if it is. */
  all(key?: K): ReadonlyArray<KeyPool<K, A>> {
    if (key === undefined) return this.#index.values()
    const known = this.find(key)
    return known === undefined ? [] : [known]
  }

  counts(): Counts {
    return sumOf(this.all().map(countsOf))
  }

  /** Starts the time after which an endpoint is forgotten, if it is empty; returns when that is. */
  leave(keyPool: KeyPool<K, A>, now: number): number {
    if (this.#minimum > 0 || !isEmpty(keyPool)) return Infinity
    keyPool.emptySince = now
    this.#empty.delete(keyPool)
    this.#empty.add(keyPool)
    return now + forgetAfter
  }

  /** Forgets what has been empty for long enough; returns when to look again. */
  forget(now: number): number {
    for (const keyPool of this.#empty) {
      if (now - keyPool.emptySince < forgetAfter) return keyPool.emptySince + forgetAfter
      this.#empty.delete(keyPool)
      if (!isEmpty(keyPool)) continue
      this.#index.remove(keyPool)
      keyPool.isForgotten = true
    }
    return Infinity
  }
}
