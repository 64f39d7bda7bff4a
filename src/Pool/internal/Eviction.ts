/**
 * Which idle connection is evicted for another endpoint, and which holders have to give their connections back.
 *
 * @since 0.1.0
 */
import type { Recall, Settings } from "../PoolOptions.ts"
import type { ConnectionStore } from "./ConnectionStore.ts"
import type { CoreEnvironment, PooledConnection, PoolEndpoint } from "./PoolState.ts"

const longerIdle = <K, A>(
  one: PooledConnection<K, A>,
  other: PooledConnection<K, A> | undefined
): PooledConnection<K, A> => other === undefined || one.idleSince < other.idleSince ? one : other

const longestIdle = <K, A>({ pool }: PoolEndpoint<K, A>): PooledConnection<K, A> | undefined => {
  let longest: PooledConnection<K, A> | undefined
  // With `concurrency` above 1 the list is not ordered by the last use.
  for (const { connection } of pool?.available() ?? []) {
    if (connection?.state === "Idle") longest = longerIdle(connection, longest)
  }
  return longest
}

/**
 * The idle connection to evict for a borrower of this endpoint: the one of another endpoint that has been idle the longest. A
 * connection whose endpoint is at its minimum, or has waiting borrowers, is only evicted if there is no other.
 */
export const victimFor = <K, A>(
  endpoint: PoolEndpoint<K, A>,
  { endpoints }: Pick<ConnectionStore<K, A>, "endpoints">,
  { minPerEndpoint }: Pick<Settings, "minPerEndpoint">
): PooledConnection<K, A> | undefined => {
  let first: PooledConnection<K, A> | undefined
  let last: PooledConnection<K, A> | undefined
  for (const owner of endpoints) {
    const longest = owner === endpoint || owner.idle === 0 ? undefined : longestIdle(owner)
    if (longest === undefined) continue
    if (owner.queue.size === 0 && owner.connections.length > minPerEndpoint) first = longerIdle(longest, first)
    else last = longerIdle(longest, last)
  }
  return first ?? last
}

/** A holder that waits for the recall of its connection. */
interface Awaited<K, A> {
  readonly connection: PooledConnection<K, A> | undefined
  readonly notify: (recall: Recall) => void
}

/** The holders that wait for a recall. Each is called back once. */
export class Recalls<K, A> {
  readonly #env: CoreEnvironment<K, A>
  readonly #store: ConnectionStore<K, A>
  readonly #awaited = new Set<Awaited<K, A>>()

  constructor(env: CoreEnvironment<K, A>, store: ConnectionStore<K, A>) {
    this.#env = env
    this.#store = store
  }

  /** A holder of a connection with this value waits from now on. The returned function ends the wait. */
  add(value: A, notify: (recall: Recall) => void): () => void {
    const [connection] = this.#store.find(value)
    const awaited = { connection, notify }
    this.#awaited.add(awaited)
    const due = this.check(this.#env.clock.now())
    if (due < Infinity) this.#env.wakeAt(due)
    return () => void this.#awaited.delete(awaited)
  }

  /** Calls back the holders whose connections have to be given back now. Returns when the next connection is too old. */
  check(now: number): number {
    let next = Infinity
    for (const awaited of this.#awaited) {
      const { connection, notify } = awaited
      const recall = this.#recallOf(connection, now)
      if (recall === undefined) {
        next = connection === undefined
          ? next
          : Math.min(next, this.#store.expiresAt(connection))
      } else {
        this.#awaited.delete(awaited)
        this.#env.outbox.push({ _tag: "Recall", notify: () => notify(recall) })
      }
    }
    return next
  }

  /** Why a connection has to be given back, if so. `undefined` for the connection: the pool has closed it. */
  #recallOf(connection: PooledConnection<K, A> | undefined, now: number): Recall | undefined {
    if (this.#env.isOver()) return "Draining"
    if (connection === undefined) return "Evicted"
    if (connection.fitness === "Dead") return "Died"
    if (this.#store.isExpired(connection, now)) return "Expired"
    return connection.fitness !== "Fit" || connection.state === "Closing" ? "Evicted" : undefined
  }
}
