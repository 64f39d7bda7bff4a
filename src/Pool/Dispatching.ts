/**
 * Serving those that wait: with what is idle, with a dial, or with the slot of another endpoint.
 *
 * @since 0.1.0
 */
import { admit, lacksMinimum, wantedBy } from "./Admission.ts"
import type { Inventory } from "./Inventory.ts"
import type { KeyDirectory } from "./KeyDirectory.ts"
import type { Settings } from "./PoolOptions.ts"
import type { KeyPool, Lease, PooledConnection } from "./PoolState.ts"
import type { SteadyClock } from "./SteadyClock.ts"
import type { WaitingLine } from "./WaitingLine.ts"

/** What serving needs from the rest of the pool. */
export interface Surroundings<K, A> {
  readonly settings: Settings
  readonly clock: SteadyClock
  readonly directory: KeyDirectory<K, A>
  readonly inventory: Inventory<K, A>
  readonly waiting: WaitingLine<K, A>
  readonly isOpen: () => boolean
  /** Starts a dial. */
  readonly start: (keyPool: KeyPool<K, A>) => void
  /** Leases a connection to a borrower that waits. */
  readonly handOver: (connection: PooledConnection<K, A>, lease: Lease<K, A>, now: number) => void
}

export class Dispatching<K, A> {
  readonly #pool: Surroundings<K, A>
  #isContended = false
  #isRunning = false
  #runAgain = false

  constructor(pool: Surroundings<K, A>) {
    this.#pool = pool
  }

  /** The last run left an endpoint without a connection because every slot was in use. */
  get isContended(): boolean {
    return this.#isContended
  }

  /**
   * Serves the borrowers that can be served now. Every event that may free capacity ends here, and it looks at what is, not at what
   * happened, so no wake-up can be lost.
   */
  run(): void {
    if (this.#isRunning) {
      this.#runAgain = true
      return
    }
    this.#isRunning = true
    try {
      do {
        this.#runAgain = false
        this.#isContended = false
        if (this.#pool.isOpen()) this.#serveAll()
      } while (this.#runAgain)
    } finally {
      this.#isRunning = false
    }
  }

  #serveAll(): void {
    const { clock, directory, inventory, settings, start, waiting } = this.#pool
    let unclaimed = inventory.closing
    for (const keyPool of waiting.turns) {
      if (inventory.isExhausted(unclaimed)) {
        // However many endpoints wait, there is nothing for any of them.
        this.#isContended = true
        return
      }
      unclaimed = this.#serve(keyPool, unclaimed)
    }
    for (const keyPool of directory.lacking()) {
      if (inventory.slots >= settings.maxTotal) break
      if (lacksMinimum(keyPool, settings, clock.now())) start(keyPool)
    }
  }

  /** Serves one endpoint; returns how many closing connections' slots are still unclaimed. */
  #serve(keyPool: KeyPool<K, A>, closing: number): number {
    const { clock, inventory, settings, start, waiting } = this.#pool
    const now = clock.now()
    this.#leaseIdle(keyPool, now)
    // A dial may fail and a borrower may leave in here, so that what is wanted is asked each time.
    const wanted = () => wantedBy(keyPool, settings, now)
    let unclaimed = closing
    let [most, claimed] = [wanted(), 0]
    while (most > 0 && wanted() > claimed) {
      const isFull = inventory.slots >= settings.maxTotal
      const victim = isFull && unclaimed === 0 ? inventory.victimFor(keyPool) : undefined
      const admission = admit({ isFull, closingUnclaimed: unclaimed, hasVictim: victim !== undefined })
      if (admission === "Stall") {
        this.#isContended = true
        break
      }
      if (victim !== undefined) {
        inventory.evict(victim)
        // What closes at once has freed its slot, which is then there for this endpoint alone.
        if (inventory.slots < settings.maxTotal) continue
      }
      most--
      if (admission === "Open") {
        waiting.rotate(keyPool)
        start(keyPool)
        continue
      }
      claimed++
      if (admission === "Await") unclaimed--
    }
    return unclaimed
  }

  #leaseIdle(keyPool: KeyPool<K, A>, now: number): void {
    const { handOver, inventory } = this.#pool
    while (keyPool.queue.first !== undefined) {
      const connection = inventory.available(keyPool, now)
      // What is found too old closes, and the first borrower may have ended with it.
      const { first } = keyPool.queue
      if (connection === undefined || first === undefined) break
      handOver(connection, first, now)
    }
  }
}
