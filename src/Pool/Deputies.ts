/**
 * Fibers that run in the place of borrowers.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"

/**
 * A borrower and its deputy. Where leases end after some time, a borrower's effect has a fiber of its own, which can be
 * interrupted while the borrower's goes on. What it borrows is the borrower's.
 */
export interface Deputy {
  /** The borrower. */
  readonly fiberId: number
  /** The fiber that runs in its place. */
  deputyId: number
  /** The next one in its chain. */
  nextDeputy: Deputy | undefined
}

const chains = 1024

/** Finds the borrower for a fiber. A map that takes and loses an entry with each borrow costs half as much as the borrow. */
export class Deputies {
  readonly #chains: Array<Deputy | undefined> = Array.from({ length: chains })
  #size = 0

  add(deputy: Deputy): void {
    const index = deputy.deputyId % chains
    deputy.nextDeputy = this.#chains[index]
    this.#chains[index] = deputy
    this.#size++
  }

  /** Removes one, if it is here: a fiber that was interrupted before its first step never was. */
  remove(deputy: Deputy): void {
    const index = deputy.deputyId % chains
    let before: Deputy | undefined
    let each = this.#chains[index]
    while (each !== undefined && each !== deputy) [before, each] = [each, each.nextDeputy]
    if (each === undefined) return
    if (before === undefined) this.#chains[index] = deputy.nextDeputy
    else before.nextDeputy = deputy.nextDeputy
    deputy.nextDeputy = undefined
    this.#size--
  }

  /** The id of the borrower on this fiber: that of the fiber itself, unless it runs in the place of another. */
  borrowerOn(fiberId: number): number {
    if (this.#size === 0) return fiberId
    for (let each = this.#chains[fiberId % chains]; each !== undefined; each = each.nextDeputy) {
      if (each.deputyId === fiberId) return each.fiberId
    }
    return fiberId
  }
}

/**
 * The deputies of all pools: a borrower on one of them may hold connections of several pools. It is one for the process because
 * the ids of fibers are, and it holds nothing of a deputy that has ended.
 */
export const deputies = /*#__PURE__*/ new Deputies()

/** Runs an effect in the place of a borrower: what it borrows is the borrower's. */
export const inPlaceOf = (fiberId: number) => <B, E, R>(effect: Effect.Effect<B, E, R>): Effect.Effect<B, E, R> =>
  Effect.withFiber((fiber) => {
    const deputy: Deputy = { fiberId, deputyId: fiber.id, nextDeputy: undefined }
    deputies.add(deputy)
    return Effect.onExitPrimitive(effect, () => {
      deputies.remove(deputy)
      return undefined
    })
  })
