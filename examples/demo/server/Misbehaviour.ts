/**
 * How the demo's server misbehaves, and when: a schedule by request counts and by the time since the first connection.
 * It draws nothing at random, so that two runs meet the same server.
 *
 * @since 0.1.0
 */

/**
 * What becomes of a request.
 *
 * - `Answer`: it is answered after `serviceMillis` of work.
 * - `Slow`: it is answered after `slowMillis`.
 * - `Reset`: half of the answer is sent, then the connection is reset.
 * - `Mute`: neither it nor anything else on that connection is ever answered.
 */
export type Fate = "Answer" | "Slow" | "Reset" | "Mute"

/** Work that an ordinary answer costs the server. */
export const serviceMillis = 8

/** Requests that one port works on at a time: a server has a capacity, however many connections it has. */
export const workers = 2

/** Work that a slow answer takes. It is well below the time that the demo's clients wait. */
export const slowMillis = 200

/** A connection without a request for so long is closed by the server. */
export const idleMillis = 300

/** How many ports the server listens on. */
export const ports = 3

/** What becomes of the `n`-th request to a port, counted from 1. The periods share no small multiple. */
export const fateOf = (n: number): Fate =>
  n % 110 === 15 ? "Reset" : n % 200 === 40 ? "Mute" : n % 47 === 25 ? "Slow" : "Answer"

/** A time without a listener, in milliseconds since the first connection. */
export interface Outage {
  readonly from: number
  readonly until: number
}

/**
 * When a port refuses. An outage is well below the time for which the demo's clients try to connect again.
 *
 * The first one begins soon, so that short runs meet it too.
 */
export const outagesOf = (port: number): ReadonlyArray<Outage> =>
  [
    [{ from: 500, until: 1100 }, { from: 5000, until: 5700 }],
    [{ from: 2200, until: 2900 }],
    [{ from: 3500, until: 4200 }]
  ][port] ?? []
