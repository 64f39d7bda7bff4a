/**
 * The misbehaviour of the server, scheduled by request counts and by the time since the first connection. Nothing is
 * random, so all runs meet the same server.
 */

/**
 * The fate of a request.
 *
 * - `Answer`: it is answered after `serviceMillis` of work.
 * - `Slow`: it is answered after `slowMillis`.
 * - `Reset`: half of the answer is sent, then the connection is reset.
 * - `Mute`: neither it nor any later request on that connection is answered.
 */
export type Fate = "Answer" | "Slow" | "Reset" | "Mute"

/** The time for an ordinary answer. */
export const serviceMillis = 8

/** Requests that one port works on at a time: its capacity, for any number of connections. */
export const workers = 2

/** The time for a slow answer, well below the request timeout of the clients. */
export const slowMillis = 200

/** The server closes a connection that is idle for this time. */
export const idleMillis = 300

/** How many ports the server listens on. */
export const ports = 3

/** The fate of the `n`-th request to a port, counted from 1. The periods share no small multiple. */
export const fateOf = (n: number): Fate =>
  n % 110 === 15 ? "Reset" : n % 200 === 40 ? "Mute" : n % 47 === 25 ? "Slow" : "Answer"

/** A time without a listener, in milliseconds since the first connection. */
export interface Outage {
  readonly from: number
  readonly until: number
}

/**
 * The outages of a port, well below the time for which the clients retry to connect.
 *
 * The first one begins early, so that short runs meet it too.
 */
export const outagesOf = (port: number): ReadonlyArray<Outage> =>
  [
    [{ from: 500, until: 1100 }, { from: 5000, until: 5700 }],
    [{ from: 2200, until: 2900 }],
    [{ from: 3500, until: 4200 }]
  ][port] ?? []
