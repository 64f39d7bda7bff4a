/**
 * When a connection is too old, and when the idle ones are looked at, as pure functions.
 *
 * @since 0.1.0
 */
import type { Settings } from "../PoolOptions.ts"

/** A connection as far as its age is concerned. Times are in milliseconds. */
export interface Aging {
  readonly openedAt: number
  readonly lifetime: number
  readonly idleSince: number
  readonly state: "Idle" | "Leased" | "Closing"
  readonly owner: { readonly connections: { readonly length: number } }
}

/** Draws the lifetime of a new connection: `maxLifetime` less a random share, so that connections do not expire together. */
export const drawLifetime = (
  { lifetimeJitter, maxLifetime }: Pick<Settings, "lifetimeJitter" | "maxLifetime">,
  u: number
): number => Math.ceil(maxLifetime * (1 - lifetimeJitter * u))

/**
 * When a connection is too old to be leased: at the end of its lifetime, or after `idleTimeout` without use. The minimum of an endpoint
 * is kept however long it is idle.
 */
export const expiresAt = (
  { idleSince, lifetime, openedAt, owner: { connections }, state }: Aging,
  { idleTimeout, minPerEndpoint }: Pick<Settings, "idleTimeout" | "minPerEndpoint">
): number =>
  state === "Idle" && connections.length > minPerEndpoint
    ? Math.min(openedAt + lifetime, idleSince + idleTimeout)
    : openedAt + lifetime

/** When an idle connection is due for its keep-alive check. */
export const checkAt = (
  { provenAt }: { readonly provenAt: number },
  { keepalive }: Pick<Settings, "keepalive">
): number => provenAt + keepalive

/** So many idle connections are not looked at for each of them alone. */
const crowd = 256

/** When the idle connections are to be looked at again: when the next one is due, and of a crowd at most once a second. */
export const nextSweep = <C extends Pick<Aging, "state">>(
  idle: ReadonlyArray<C>,
  dueAt: (connection: C) => number,
  now: number
): number => {
  let next = Infinity
  for (const connection of idle) if (connection.state === "Idle") next = Math.min(next, dueAt(connection))
  return idle.length > crowd ? Math.max(next, now + 1000) : next
}
