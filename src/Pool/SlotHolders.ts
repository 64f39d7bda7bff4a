/**
 * Fibers of a pool that hold one of its slots: they open a connection, or check or clean up one that no borrower has.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { KeyPool, Lease } from "./PoolState.ts"

/** Runs what a connector or a hook does with a connection, so that what it borrows counts as borrowed by the holder of that. */
export type OnBehalf = <B, E, R>(effect: Effect.Effect<B, E, R>) => Effect.Effect<B, E, R>

/** A slot that a fiber of the pool holds, and the borrow that was the last to wait on that fiber. */
interface Held<K, A> {
  readonly owner: KeyPool<K, A>
  waiting: Lease<K, A> | undefined
}

/** Slots of an endpoint, and of the pool. */
export interface HeldSlots {
  readonly ofEndpoint: number
  readonly ofPool: number
}

export class SlotHolders<K, A> {
  readonly #slots = new Map<number, Held<K, A>>()

  /** The fiber that runs the effect holds a slot of this endpoint for as long. */
  holding(owner: KeyPool<K, A>): OnBehalf {
    return (effect) =>
      Effect.withFiber(({ id }) => {
        this.#slots.set(id, { owner, waiting: undefined })
        return Effect.onExitPrimitive(effect, () => {
          this.#slots.delete(id)
          return undefined
        })
      })
  }

  /**
   * A borrow is about to wait. If it is one of these fibers that waits, the slots that all of those hold that wait for this pool are
   * out of reach for it: none of them is given back before another one is.
   */
  outOfReach(lease: Lease<K, A>): HeldSlots | undefined {
    if (this.#slots.size === 0) return undefined
    const own = this.#slots.get(lease.fiberId)
    if (own === undefined) return undefined
    own.waiting = lease
    let [ofEndpoint, ofPool] = [0, 0]
    for (const { owner, waiting } of this.#slots.values()) {
      if (waiting !== lease && waiting?.state !== "Waiting") continue
      ofPool++
      if (owner === lease.owner) ofEndpoint++
    }
    return { ofEndpoint, ofPool }
  }
}
