/**
 * When a connection is too old, and when idle connections are next looked at, as pure functions. `ConnectionStore` closes
 * connections that are due, `HealthChecks` checks them.
 *
 * @since 0.1.0
 */
import type { Settings } from "../PoolOptions.ts"

/** The fields of a connection that decide on its age. Times are in milliseconds. */
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
 * When a connection is too old to be leased: at the end of its lifetime, or, above the minimum of its endpoint, after `idleTimeout`
 * without use.
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

/** Above this number of idle connections, sweeps are at least a second apart. */
const crowd = 256

/**
 * When the idle connections are looked at again: when the next of them is due. With more than {@link crowd}, at most once a second.
 */
export const nextSweep = <C extends Pick<Aging, "state">>(
  idle: ReadonlyArray<C>,
  dueAt: (connection: C) => number,
  now: number
): number => {
  let next = Infinity
  for (const connection of idle) if (connection.state === "Idle") next = Math.min(next, dueAt(connection))
  return idle.length > crowd ? Math.max(next, now + 1000) : next
}
