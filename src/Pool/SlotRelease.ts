/**
 * What follows when a slot becomes free, or is kept for something that was left behind.
 *
 * @since 0.1.0
 */
import type { Inventory } from "./Inventory.ts"
import type { KeyDirectory } from "./KeyDirectory.ts"
import type { Observers } from "./Observers.ts"
import type { KeyPool, Slot } from "./PoolState.ts"
import type { Tally } from "./PoolStats.ts"
import type { SteadyClock } from "./SteadyClock.ts"

/** What the release of a slot needs from the rest of the pool. */
export interface Surroundings<K, A> {
  readonly clock: SteadyClock
  readonly directory: KeyDirectory<K, A>
  readonly inventory: Inventory<K, A>
  readonly tally: Tally
  readonly observers: Observers
  /** Serves the borrowers that wait. */
  readonly dispatch: () => void
  /** Something is due at this moment. */
  readonly wakeAt: (due: number) => void
}

export class SlotRelease<K, A> {
  readonly #pool: Surroundings<K, A>
  readonly #onEmptied: Array<() => void> = []

  constructor(pool: Surroundings<K, A>) {
    this.#pool = pool
  }

  /** A connect or a finalizer was left behind; the result is for when it has ended after all. */
  leftBehind(keyPool: KeyPool<K, A>, what: "Connect" | "Close"): () => void {
    const { observers, tally } = this.#pool
    keyPool.leftBehind++
    if (what === "Connect") tally.connectsLeftBehind++
    else tally.closesLeftBehind++
    observers.current?.leftBehind(what)
    return () => {
      keyPool.leftBehind--
      this.forgetIfEmpty(keyPool)
    }
  }

  /** Keeps the slot of a connect that was left behind: another dial may take the place of this one, in another slot. */
  keep(keyPool: KeyPool<K, A>, slot: Slot): void {
    const { directory, dispatch, inventory, wakeAt } = this.#pool
    inventory.keepSlot(keyPool, slot)
    wakeAt(directory.lost(keyPool))
    dispatch()
  }

  free(keyPool: KeyPool<K, A>, slot: Slot): void {
    const { directory, dispatch, inventory, observers, wakeAt } = this.#pool
    if (!inventory.freeSlot(keyPool, slot)) return
    observers.current?.judged()
    wakeAt(directory.lost(keyPool))
    dispatch()
    this.forgetIfEmpty(keyPool)
    if (inventory.slots === 0) { for (const callback of this.#onEmptied.splice(0)) callback() }
  }

  /** Calls back once, as soon as nothing is open, opening or closing. */
  whenEmptied(callback: () => void): void {
    if (this.#pool.inventory.slots === 0) callback()
    else this.#onEmptied.push(callback)
  }

  /** An endpoint may be empty now, and is forgotten then. */
  forgetIfEmpty(keyPool: KeyPool<K, A>): void {
    const { clock, directory, wakeAt } = this.#pool
    const due = directory.leave(keyPool, clock.now())
    if (due < Infinity) wakeAt(due)
  }
}
