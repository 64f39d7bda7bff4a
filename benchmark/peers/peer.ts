/**
 * What the benchmark asks of a pool, whoever made it.
 */

/** How many connections each pool has. */
export const poolSize = 10

/** A pool that is open and warm. */
export interface Peer {
  /** This many borrowers at once, each of which borrows this many times and holds for one microtask. */
  readonly crowd: (borrowers: number, times: number) => Promise<void>
  readonly close: () => Promise<void>
}

/** Opens a pool whose borrowers wait for at most `acquireTimeout` milliseconds, or for ever. */
export type OpenPeer = (acquireTimeout: number | undefined) => Promise<Peer>

/** Stands for a connection. */
export interface Connection {
  readonly id: number
}

let connections = 0

export const connect = (): Connection => ({ id: ++connections })
