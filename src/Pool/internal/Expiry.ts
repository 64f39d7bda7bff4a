/**
 * When a connection is too old, as pure functions.
 *
 * @since 0.1.0
 */
import type { Settings } from "../PoolOptions.ts"

/** A connection as far as its age is concerned. Times are in milliseconds. */
export interface Aging {
  readonly openedAt: number
  readonly lifetime: number
}

const endOf = ({ lifetime, openedAt }: Aging): number => openedAt + lifetime

/** Whether a connection has reached the end of its lifetime. */
export const isOverAge = ({ lifetime, openedAt }: Aging, now: number): boolean => now - openedAt >= lifetime

/** Draws the lifetime of a new connection: `maxLifetime` less a random share, so that connections do not expire together. */
export const drawLifetime = (
  { lifetimeJitter, maxLifetime }: Pick<Settings, "lifetimeJitter" | "maxLifetime">,
  u: number
): number => Math.ceil(maxLifetime * (1 - lifetimeJitter * u))

/** When an idle connection is too old to be leased: at the end of its lifetime, or after `idleTimeout` without use. */
export const freshUntil = (
  connection: { readonly openedAt: number; readonly lifetime: number; readonly idleSince: number },
  idleTimeout: number
): number => Math.min(endOf(connection), connection.idleSince + idleTimeout)

/** When an idle connection is due for its keep-alive check. */
export const checkAt = (
  { provenAt }: { readonly provenAt: number },
  { keepalive }: Pick<Settings, "keepalive">
): number => provenAt + keepalive
