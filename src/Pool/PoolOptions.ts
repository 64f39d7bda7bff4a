/**
 * The options of a pool, their defaults and their rules.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import { checkOptions } from "../internal/Options.ts"
import type { Connector } from "../Resource/Connector.ts"
import * as RetryPolicy from "../Retry/RetryPolicy.ts"

/**
 * How a pool opens, keeps, lends and closes. Everything but the connector has a default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<K, A, E, R> {
  /** Opens connections, and says when they die. */
  readonly connector: Connector<K, A, E, R>
  /** Most connections to one endpoint, whatever their state: a whole number of at least 1. @default 2 */
  readonly maxPerEndpoint?: number | undefined
  /** Most connections in all, at least `maxPerEndpoint`. @default 5, or `maxPerEndpoint` if that is more */
  readonly maxTotal?: number | undefined
  /** Bound on one attempt to open a connection; above 0. @default 10 seconds */
  readonly connectTimeout?: Duration.Input | undefined
  /** Bound on waiting, opening and checking together, for one borrow; above 0. @default 30 seconds */
  readonly acquireTimeout?: Duration.Input | undefined
  /** A connection that nobody borrowed for so long is closed; above 0, `"Infinity"` for never. @default 60 seconds */
  readonly idleTimeout?: Duration.Input | undefined
  /** A connection of this age is not lent again; above 0, `"Infinity"` for never. @default 5 minutes */
  readonly maxLifetime?: Duration.Input | undefined
  /**
   * The share by which a connection's lifetime may be shorter, drawn once when it is opened, so that connections that
   * were opened together do not end together; 0 to 1. @default 0.25
   */
  readonly lifetimeJitter?: number | undefined
  /** How long closing a connection gracefully may take; 0 or more. @default 2 seconds */
  readonly closeTimeout?: Duration.Input | undefined
  /** Most borrowers that wait for one endpoint: a whole number of at least 0, or `Infinity`. @default Infinity */
  readonly maxWaiters?: number | undefined
  /**
   * A connection that was idle longer than this is checked before it is lent, if the connector has a `check`; 0 or more.
   * @default 500 millis
   */
  readonly checkAfterIdle?: Duration.Input | undefined
  /** When and how often opening is tried again. @default RetryPolicy.tcpConnection */
  readonly retry?: RetryPolicy.RetryPolicy | undefined
  /**
   * How long the end of the pool's scope waits for connections that are still lent before it closes them under their
   * borrowers; 0 or more. @default 5 seconds
   */
  readonly drainTimeout?: Duration.Input | undefined
}

/** The options with every default filled in and every duration in milliseconds. */
export interface Settings {
  readonly maxPerEndpoint: number
  readonly maxTotal: number
  readonly connectTimeout: Duration.Duration
  readonly acquireTimeout: number
  readonly idleTimeout: number
  readonly maxLifetime: number
  readonly lifetimeJitter: number
  readonly closeTimeout: Duration.Duration
  readonly maxWaiters: number
  readonly checkAfterIdle: number
  readonly retry: RetryPolicy.RetryPolicy
  readonly drainTimeout: number
}

const defaultTotal = 5

/** Fills in the defaults; throws `InvalidOption` on nonsense. */
export const settingsOf = <K, A, E, R>(options: Options<K, A, E, R>): Settings => {
  const check = checkOptions("ConnectionPool")
  const millis = (
    option: "acquireTimeout" | "idleTimeout" | "maxLifetime" | "checkAfterIdle" | "drainTimeout",
    byDefault: Duration.Input,
    range: { readonly exclusive: boolean; readonly infinite: boolean }
  ) => Duration.toMillis(check.duration(option, options[option] ?? byDefault, { min: 0, ...range }))
  const bound = { exclusive: true, infinite: false }
  const bestBefore = { exclusive: true, infinite: true }
  const maxPerEndpoint = check.whole("maxPerEndpoint", options.maxPerEndpoint ?? 2, { min: 1 })
  const maxTotal = check.whole("maxTotal", options.maxTotal ?? Math.max(defaultTotal, maxPerEndpoint), { min: 1 })
  check.require(
    maxPerEndpoint <= maxTotal || options.maxPerEndpoint === undefined,
    "maxPerEndpoint",
    maxPerEndpoint,
    `be at most maxTotal, which is ${maxTotal}`
  )
  const lifetimeJitter = options.lifetimeJitter ?? 0.25
  check.require(lifetimeJitter >= 0 && lifetimeJitter <= 1, "lifetimeJitter", lifetimeJitter, "be a number from 0 to 1")
  return {
    maxPerEndpoint: Math.min(maxPerEndpoint, maxTotal),
    maxTotal,
    connectTimeout: check.duration("connectTimeout", options.connectTimeout ?? "10 seconds", {
      min: 0,
      exclusive: true
    }),
    acquireTimeout: millis("acquireTimeout", "30 seconds", bound),
    idleTimeout: millis("idleTimeout", "60 seconds", bestBefore),
    maxLifetime: millis("maxLifetime", "5 minutes", bestBefore),
    lifetimeJitter,
    closeTimeout: check.duration("closeTimeout", options.closeTimeout ?? "2 seconds", { min: 0 }),
    maxWaiters: check.whole("maxWaiters", options.maxWaiters ?? Infinity, { min: 0, infinite: true }),
    checkAfterIdle: millis("checkAfterIdle", "500 millis", { exclusive: false, infinite: true }),
    // Opening may be repeated whatever is known of the last attempt: what that had acquired is closed by then.
    retry: RetryPolicy.make({ ...options.retry ?? RetryPolicy.tcpConnection, idempotent: true }),
    drainTimeout: millis("drainTimeout", "5 seconds", { exclusive: false, infinite: false })
  }
}
