/**
 * Borrowers that let the event loop turn before they go on, because their connections may have died unseen.
 *
 * @since 0.1.0
 */
import type { Continuations } from "./Continuations.ts"
import type { Inventory } from "./Inventory.ts"
import type { Liveness } from "./Liveness.ts"
import type { Environment } from "./PoolEnvironment.ts"
import { isGone, type Lease } from "./PoolState.ts"

/**
 * So often the loop turns. The first immediate may be part of the turn in which it was asked for; before the second the loop has
 * read what the kernel had; before the third it has read the end that follows a farewell, as of a database that shuts down.
 */
const turns = 3

type GoOn = Lease<never, never>["goOn"]

/** Continues borrowers when the loop has turned since they came. Those that come in one turn share its immediates. */
export class Turning<K, A> {
  readonly #env: Environment<K, A>
  readonly #continuations: Continuations<K, A>
  readonly #liveness: Liveness<K, A>
  readonly #inventory: Inventory<K, A>
  /** Those that have come since the last immediate. */
  #batch: Array<Lease<K, A>> | undefined

  constructor(
    env: Environment<K, A>,
    continuations: Continuations<K, A>,
    liveness: Liveness<K, A>,
    inventory: Inventory<K, A>
  ) {
    this.#env = env
    this.#continuations = continuations
    this.#liveness = liveness
    this.#inventory = inventory
  }

  /** Has a borrow go on when the event loop has turned. */
  add(lease: Lease<K, A>): void {
    lease.turn = "UnderWay"
    if (this.#batch === undefined) this.#begin()
    this.#batch?.push(lease)
    if (lease.connection !== undefined && isGone(lease.connection)) this.wake(lease)
  }

  /**
   * Whether a borrow can go on with its connection, which might have died unseen. Otherwise it waits: until the loop has turned if
   * it has not, and in its queue if its connection has died or must not be used for another reason.
   */
  heard(lease: Lease<K, A>): boolean {
    const { connection } = lease
    if (lease.turn === "Due") return false
    lease.turn = "None"
    if (connection === undefined || isGone(connection) || !this.#inventory.isFit(connection)) {
      lease.mustCheck = false
      return false
    }
    this.#liveness.heard(connection)
    return true
  }

  /** Has a borrower go on now: its connection is known to be dead. */
  wake(lease: Lease<K, A>): void {
    if (lease.turn !== "UnderWay") return
    lease.turn = "Over"
    this.#continuations.add(lease, undefined)
  }

  #begin(): void {
    const batch: Array<Lease<K, A>> = []
    this.#batch = batch
    this.#env.nextTurn(() => {
      this.#batch = undefined
      const waits = batch.map(({ goOn }) => goOn)
      this.#after(turns - 1, () => {
        for (const [index, lease] of batch.entries()) this.#end(lease, waits[index])
      })
    })
  }

  #after(turns: number, act: () => void): void {
    this.#env.nextTurn(turns === 1 ? act : () => this.#after(turns - 1, act))
  }

  #end(lease: Lease<K, A>, wait: GoOn): void {
    const goOn = () => {
      // One that was interrupted meanwhile has given its connection back; one that was woken may wait for another by now.
      if (lease.state === "Holding" && lease.goOn === wait) this.wake(lease)
    }
    const { connection } = lease
    const hold = connection === undefined ? 0 : this.#liveness.holdOf(connection, this.#env.clock.now())
    if (hold > 0) this.#env.later(goOn, hold)
    else goOn()
  }
}
