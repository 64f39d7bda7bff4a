/**
 * What a pool shows to an operator: the endpoints that need attention, and who holds its connections.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type { Counts, Holder } from "./PoolError.ts"
import type { Health } from "./PoolStats.ts"

/**
 * An endpoint of a pool.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface InspectedEndpoint {
  /** The endpoint's text, without secrets. */
  readonly label: string
  /** `server.address` and `server.port`, if the key is an `Endpoint` (or has a `host` and a `port`). */
  readonly address: { readonly host: string; readonly port: number } | undefined
  readonly health: Health
  readonly counts: Counts
  /** Attempts to open a connection that have failed, since the endpoint is known. */
  readonly failedAttempts: number
  /** Borrows that ran out of time, since the endpoint is known. */
  readonly timeouts: number
  /** For how long the endpoint has not been `Healthy`. `undefined`: it is. */
  readonly impairedFor: Duration.Duration | undefined
  /** The last failure, and how long ago it was. `undefined`: there was none since the endpoint was `Healthy`. */
  readonly lastFailure: { readonly cause: unknown; readonly age: Duration.Duration } | undefined
  /** The time until the next dial may begin. `undefined`: it may begin now. */
  readonly nextDialIn: Duration.Duration | undefined
  /** How long the first borrower of the queue has waited. `undefined`: none waits. */
  readonly oldestWait: Duration.Duration | undefined
}

/**
 * A borrower that holds a connection.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface InspectedHolder extends Holder {
  /** The number of the lease in its pool. It is never used twice. */
  readonly id: number
  /** The endpoint's text. */
  readonly endpoint: string
  /**
   * Attributes of the span, as texts without secrets: at most 16, each of at most 200 characters. If it serves a request, they begin
   * with `http.request.method` and `http.route`, and have the name of an inner span as `span.name`.
   */
  readonly attributes: Readonly<Record<string, string>>
}

/**
 * The endpoints and the holders of a pool. Nothing is computed for it before it is asked for.
 *
 * @category models
 * @since 0.1.0
 * @stability stable
 */
export interface Inspection {
  readonly name: string
  /** How many endpoints there are with each health. It is complete. */
  readonly endpointsByHealth: Readonly<Record<Health, number>>
  /** The endpoints that need attention most come first: unavailable, degraded, with borrowers that wait, with most connections. */
  readonly endpoints: ReadonlyArray<InspectedEndpoint>
  /** The longest holders, the oldest first. Standing leases come last. */
  readonly holders: ReadonlyArray<InspectedHolder>
  /** The longest present wait of the whole pool. */
  readonly oldestWait: Duration.Duration | undefined
  /** The longest present lease of the whole pool, without standing leases. */
  readonly oldestLease: Duration.Duration | undefined
}
