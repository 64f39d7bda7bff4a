/**
 * How often a budget asks its store, in milliseconds.
 *
 * @since 0.1.0
 */
import type { Lease } from "./Options.ts"

/** For so long after a failure the store is not asked, so that a crowd of requests does not wait for it one by one. */
export const pause = 1000

/** For so long a place in the queue is kept. A request says three times in this time that it still waits. */
export const keeps = { subscribe: 6000, poll: 3000 }

/** How long a permit without a lease waits before it asks for one. */
export const adoptsAfter = 1000

/**
 * How often a process looks for leases to renew and for permits to end: in half of the time by which a lease ends earlier here than at the
 * store, so that its end is never noticed after it.
 */
export const keepsEvery = (lease: Lease): number => Math.min(lease._tag === "Warm" ? 500 : 250, lease.millis / 40)
