/**
 * Connections that nobody has and that are asked whether they work: on their return, and while they are idle.
 *
 * @since 0.1.0
 */
import type { Inventory } from "./Inventory.ts"
import type { Environment, Probe } from "./PoolEnvironment.ts"
import type { PooledConnection } from "./PoolState.ts"

/** So many idle connections are not looked at for each of them alone. */
const crowd = 256

export class Probing<K, A> {
  readonly #env: Environment<K, A>
  readonly #inventory: Inventory<K, A>
  readonly #checked: (connection: PooledConnection<K, A>, works: boolean) => void

  /** `checked` is called when an idle connection was checked: it may be leased again, or is about to be closed. */
  constructor(
    env: Environment<K, A>,
    inventory: Inventory<K, A>,
    checked: (connection: PooledConnection<K, A>, works: boolean) => void
  ) {
    this.#env = env
    this.#inventory = inventory
    this.#checked = checked
  }

  /** Probes a connection that nobody has, and goes on with it if it passes; it is closed if it does not. */
  run(connection: PooledConnection<K, A>, probe: Probe<A>, passed: () => void, failed = (): void => {}): void {
    const { owner, value } = connection
    const { fork, slotHolders } = this.#env
    const fiber = connection.probe = fork(probe(value, owner.label, slotHolders.holding(owner)))
    fiber.addObserver((exit) => {
      connection.probe = undefined
      if (exit._tag === "Success" && exit.value) return passed()
      if (exit._tag === "Success") failed()
      this.#inventory.retire(connection)
    })
  }

  /** Checks those that have been idle for long; returns when the next one is to be. */
  checkIdle(now: number): number {
    const { check, settings } = this.#env
    if (check === undefined || settings.keepalive === Infinity) return Infinity
    const idle = [...this.#inventory.idle]
    for (const connection of idle) {
      if (!this.#inventory.mustBeChecked(connection, now)) continue
      // One that nobody will be lent is not asked; left idle, it would be due for its check all the time.
      if (this.#inventory.isFresh(connection, now)) this.#check(connection, check)
      else this.#inventory.retireStale(connection)
    }
    const left = idle.filter(({ state }) => state === "Idle")
    const next = left.reduce((next, connection) => Math.min(next, this.#inventory.checkAt(connection)), Infinity)
    // It looks at every idle connection, so that a crowd of them is looked at once a second and not one by one.
    return idle.length > crowd ? Math.max(next, now + 1000) : next
  }

  /** Checks an idle connection; it is lent to nobody meanwhile. */
  #check(connection: PooledConnection<K, A>, check: Probe<A>): void {
    connection.checking = true
    const passed = () => {
      connection.checking = false
      connection.provenAt = this.#env.clock.now()
      this.#checked(connection, true)
    }
    this.run(connection, check, passed, () => this.#checked(connection, false))
  }
}
