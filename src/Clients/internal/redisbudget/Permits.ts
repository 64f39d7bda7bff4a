/**
 * The permits that a process holds, and the rules for their leases.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Exit from "effect/Exit"
import type { OnStoreError } from "./Options.ts"
import { adoptsAfter } from "./Pace.ts"

/** A permit that a process holds. Only {@link Permits} changes it. */
export interface Held {
  readonly weight: number
  readonly label: string
  readonly lost: Deferred.Deferred<void>
  /** The id at the store. It is undefined for a permit that was given while the store was away. */
  readonly id: string | undefined
  /** The time at which the lease was asked for the last time, on the clock of the process. */
  readonly since: number
  /** The length of the lease in milliseconds. */
  readonly lease: number
}

/** A call with which a permit was asked for. */
export interface Sent {
  readonly id: string
  /** A time before the call, on the clock of the process. */
  readonly at: number
  /** The fence of the store when it answered the call, or 0 if this answer gives the permit. */
  readonly fence: number
}

/** A lease as the store has given it. `since` is a time at which it had not begun, so that its end is never expected too late. */
export type Granted = Pick<Held, "id" | "since" | "lease">

/** Clocks run at slightly different rates, and closing a connection takes time: a lease ends so much earlier here than at the store. */
const marginOf = (lease: number): number => Math.min(1000, lease * 0.05)

/** When a lease ends for this process. */
export const deadlineOf = ({ id, lease, since }: Granted): number =>
  id === undefined ? Infinity : since + lease - marginOf(lease)

/**
 * The lease of a permit that the answer to a call gives, or a message after that answer. It is `undefined` if the lease is over at `now`, or if the
 * permit was given before the answer and has ended by then.
 *
 * How much later than the call it has begun is not known: a message may be late, and the clock of the store may be set meanwhile.
 */
export const leaseOf = (
  { at, fence, id }: Sent,
  granted: { readonly fence: number; readonly lease: number },
  now: number
): Granted | undefined => {
  const held = { id, since: at, lease: granted.lease }
  return granted.fence > fence && now < deadlineOf(held) ? held : undefined
}

/** What has to be done with a permit at a time. */
export type Due = "Nothing" | "Renew" | "Adopt" | "Expire"

/** A lease that is not over is renewed when a third of it has passed. A permit without a lease asks for one. */
export const dueOf = (held: Granted, now: number, isRenewed: boolean): Due => {
  if (held.id === undefined) return now - held.since >= Math.min(held.lease / 3, adoptsAfter) ? "Adopt" : "Nothing"
  if (now >= deadlineOf(held)) return "Expire"
  return isRenewed && now - held.since >= held.lease / 3 ? "Renew" : "Nothing"
}

/** What decides while the store does not answer. */
export interface Away {
  readonly onStoreError: OnStoreError
  /** The last known limit. */
  readonly limit: number
  readonly maxInstances: number
}

/** How many permits a process may have while the store does not answer, with `"share"`. */
export const shareOf = (limit: number, maxInstances: number): number =>
  limit === 0 ? 0 : Math.max(1, Math.floor(limit / maxInstances))

/** Whether a process may have so many permits while the store does not answer. */
export const isAllowed = ({ limit, maxInstances, onStoreError }: Away, permits: number): boolean => {
  switch (onStoreError) {
    case "allow":
      return true
    case "fail":
      return false
    case "share":
      return permits <= shareOf(limit, maxInstances)
  }
}

/** The permits of a process. */
export class Permits {
  readonly #held = new Set<Held>()
  #weight = 0

  /** The permits that are held, by their weights. */
  get weight(): number {
    return this.#weight
  }

  get isEmpty(): boolean {
    return this.#held.size === 0
  }

  /** Whether it is neither given back nor lost. */
  has(held: Held): boolean {
    return this.#held.has(held)
  }

  add(permit: Omit<Held, "lost">): Held {
    const held = { ...permit, lost: Deferred.makeUnsafe<void>() }
    this.#held.add(held)
    this.#weight += held.weight
    return held
  }

  /** `false` if it was lost before. */
  remove(held: Held): boolean {
    if (!this.#held.delete(held)) return false
    this.#weight -= held.weight
    return true
  }

  /** Another connection may be opened with this permit from now on. */
  lose(held: Held): void {
    if (this.remove(held)) Deferred.doneUnsafe(held.lost, Exit.void)
  }

  /** The lease was renewed, or the permit has got one, or has to go without. */
  set(held: Held, granted: Granted): void {
    Object.assign(held, granted)
  }

  /** The permits for which this has to be done. */
  due(what: Due, now: number, isRenewed: boolean): ReadonlyArray<Held> {
    return [...this.#held].filter((held) => dueOf(held, now, isRenewed) === what)
  }
}
