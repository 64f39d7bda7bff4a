/**
 * Borrowers whose wait is over and who are about to go on.
 *
 * @since 0.1.0
 */
import type { PoolError } from "./PoolError.ts"
import type { Lease } from "./PoolState.ts"

/** Borrowers that are continued in one turn before other work of the process gets one. */
const maxPerTurn = 256

/**
 * Continues borrowers in the order in which they were served: soon, but not in the step that served them, because a
 * continued borrower may run on for long and may come back to the pool while that step is half done.
 */
export class Continuations<K, A> {
  readonly #queue: Array<Lease<K, A>> = []
  readonly #run = (): void => this.#continue()

  add(lease: Lease<K, A>, failure: PoolError | undefined): void {
    const { goOn } = lease
    if (failure !== undefined && goOn !== undefined) lease.goOn = () => goOn(failure)
    this.#queue.push(lease)
    if (this.#queue.length === 1) queueMicrotask(this.#run)
  }

  #continue(): void {
    let turn = 0
    try {
      // The queue may grow while it is run.
      for (let next = this.#queue[turn]; next !== undefined && turn < maxPerTurn; next = this.#queue[turn]) {
        turn++
        const { goOn } = next
        next.goOn = undefined
        goOn?.(undefined)
      }
    } finally {
      // Whoever observes a borrower's fiber may throw; the other borrowers go on all the same.
      if (turn === this.#queue.length) this.#queue.length = 0
      else this.#queue.splice(0, turn)
      if (this.#queue.length > 0) this.#runLater()
    }
  }

  /** A microtask would keep the event loop from ever turning; the scheduler of whoever has one lets it. */
  #runLater(): void {
    const scheduled = this.#queue.find(({ fiber }) => fiber !== undefined)?.fiber
    if (scheduled === undefined) queueMicrotask(this.#run)
    else scheduled.currentDispatcher.scheduleTask(this.#run, 0)
  }
}
