/**
 * The endpoints that a pool knows: made on first use, forgotten when nothing is there any more.
 *
 * @since 0.1.0
 */
import * as Establishment from "./Establishment.ts"
import { noSetbacks } from "./Health.ts"
import { KeyIndex } from "./KeyIndex.ts"
import type { Counts } from "./PoolError.ts"
import { type KeyPool, slotsOf } from "./PoolState.ts"
import { countsOf, sumOf } from "./PoolStats.ts"

/** How long failures of an endpoint are remembered when nothing is open and no borrower waits, in milliseconds. */
const forgetAfter = 60_000

/** Of so many endpoints at most: keys may be made up by others, and each of them takes a few kilobytes. */
const mostRemembered = 256

const isEmpty = <K, A>(keyPool: KeyPool<K, A>): boolean =>
  slotsOf(keyPool) === 0 && keyPool.queue.size === 0 && keyPool.detached === 0 && keyPool.leftBehind === 0

/** Whether anything is known of an endpoint that is not known of a new one. */
const hasFailed = <K, A>({ dialAt, establishment, setbacks }: KeyPool<K, A>): boolean =>
  dialAt > 0 || setbacks !== noSetbacks || establishment !== Establishment.healthy

export class KeyDirectory<K, A> {
  readonly #make: (key: K) => KeyPool<K, A>
  readonly #index = new KeyIndex<K, KeyPool<K, A>>()
  /** Endpoints that have failed and were left empty, the longest ago first. They may have been used again since. */
  readonly #empty = new Set<KeyPool<K, A>>()

  /** Connections that each endpoint shall have. Endpoints that have a minimum are not forgotten. */
  readonly #minimum: number
  /** Endpoints with a minimum that have not opened yet, the oldest first. */
  readonly #unopened = new Set<KeyPool<K, A>>()
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
    if (this.#minimum === 0 || keyPool.isForgotten) return Infinity
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
    if (this.#minimum > 0) this.#addUnopened(made)
    return made
  }

  /** A connection to an endpoint was opened: its minimum is kept from now on. */
  opened(keyPool: KeyPool<K, A>): void {
    this.#unopened.delete(keyPool)
  }

  /** An endpoint that never opens would be dialled for its minimum for ever. Of those, the oldest ones are given up. */
  #addUnopened(made: KeyPool<K, A>): void {
    this.#unopened.add(made)
    if (this.#unopened.size <= mostRemembered) return
    for (const keyPool of this.#unopened) {
      if (keyPool === made || !isEmpty(keyPool)) continue
      this.#unopened.delete(keyPool)
      this.#lacking.delete(keyPool)
      return this.#forget(keyPool)
    }
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

  /**
   * Forgets an endpoint, if it is empty. One that has failed is remembered for a while, so that the next dial waits for its delay;
   * the result is when that is over.
   */
  leave(keyPool: KeyPool<K, A>, now: number): number {
    if (this.#minimum > 0 || keyPool.isForgotten || !isEmpty(keyPool)) return Infinity
    this.#empty.delete(keyPool)
    if (!hasFailed(keyPool)) {
      this.#forget(keyPool)
      return Infinity
    }
    keyPool.emptySince = now
    this.#empty.add(keyPool)
    if (this.#empty.size > mostRemembered) {
      for (const first of this.#empty) {
        this.#drop(first)
        break
      }
    }
    return now + forgetAfter
  }

  /** Forgets what has been empty for long enough; returns when to look again. */
  forget(now: number): number {
    for (const keyPool of this.#empty) {
      if (now - keyPool.emptySince < forgetAfter) return keyPool.emptySince + forgetAfter
      this.#drop(keyPool)
    }
    return Infinity
  }

  /** Ends the time for which an endpoint is remembered. */
  #drop(keyPool: KeyPool<K, A>): void {
    this.#empty.delete(keyPool)
    if (isEmpty(keyPool)) this.#forget(keyPool)
  }

  #forget(keyPool: KeyPool<K, A>): void {
    this.#index.remove(keyPool)
    keyPool.isForgotten = true
  }
}
