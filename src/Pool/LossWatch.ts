/**
 * Leases that nobody can ever give back, because whoever had to is gone.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Tracer from "effect/Tracer"
import { forget, guard } from "../internal/Loss.ts"
import type { Lease, PooledConnection } from "./PoolState.ts"

/** How long a lease is left alone, in ms: nearly all of them have come back by then, and have cost nothing. */
const young = 1000

/** The span names the borrower in reports; the rest of its context may hold the very scope that has to be seen to go. */
const spanOnly = (context: Context.Context<never>): Context.Context<never> => {
  const span = Context.getOrUndefined(context, Tracer.ParentSpan)
  return span === undefined ? Context.empty() : Context.makeUnsafe(new Map([[Tracer.ParentSpan.key, span]]))
}

/** Where the leases are. */
interface Lent<K, A> {
  readonly hasLent: boolean
  /** All connections that are idle or lent, in no order. */
  readonly connections: Iterable<PooledConnection<K, A>> & { readonly size: number }
}

/**
 * Sees leases go that were never ended.
 *
 * **Details**
 *
 * A lease from `use` ends with its fiber, one from `get` with the scope's finalizer. When that fiber or that finalizer is
 * garbage-collected, nothing in the program can end the lease any more. To let them be collected, a lease that is no longer
 * young lets go of everything through which they can be reached. So nothing that a pool keeps of an old lease may lead to
 * the borrower's fiber, context or scope.
 */
export class LossWatch<K, A> {
  readonly #lost: (lease: Lease<K, A>) => void
  /** When the next sweep is due, which will find whatever is lent by then. */
  #dueAt = Infinity

  constructor(lost: (lease: Lease<K, A>) => void) {
    this.#lost = lost
  }

  /** A lease begins; returns when the next sweep is due, which is before anybody needs to know. */
  add(now: number): number {
    if (this.#dueAt === Infinity) this.#dueAt = now + young
    return this.#dueAt
  }

  /** The lease has ended as it should. */
  remove(lease: Lease<K, A>): void {
    if (lease.loss !== undefined) forget(lease.loss)
  }

  /** Guards the leases that are no longer young, if that is due; returns when it is due again. */
  sweep({ connections, hasLent }: Lent<K, A>, now: number): number {
    if (now < this.#dueAt) return this.#dueAt
    if (!hasLent) return this.#dueAt = Infinity
    let hasYoung = false
    for (const connection of connections) {
      // Of a hundred thousand nearly all are idle, and a step for each of them is felt.
      if (connection.state === "Idle") continue
      for (const lease of connection.leases) hasYoung = !this.#isGuarded(lease, now) || hasYoung
    }
    // The more connections there are, the seldomer they are looked through, so that a crowd costs no more than a few.
    return this.#dueAt = hasYoung ? now + Math.max(young, connections.size) : Infinity
  }

  /** Guards a lease unless it is young. A borrower that has yet to go on with its connection is reached through its lease alone. */
  #isGuarded(lease: Lease<K, A>, now: number): boolean {
    if (lease.loss !== undefined) return true
    if (now < lease.borrowedAt + young || lease.goOn !== undefined) return false
    this.#guard(lease)
    return true
  }

  #guard(lease: Lease<K, A>): void {
    const { fiber, finalizer } = lease
    const holder = finalizer ?? fiber
    // What limits a lease holds on to its fiber, and ends it in time.
    if (holder === undefined || lease.expire !== undefined) return
    lease.loss = { onLost: () => this.#lost(lease) }
    lease.fiber = undefined
    lease.finalizer = undefined
    lease.context = spanOnly(lease.context)
    lease.site?.release()
    guard(holder, lease.loss)
  }
}
