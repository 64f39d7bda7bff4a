/**
 * Options of pools for common loads, to be spread into the options of a pool.
 *
 * @since 0.1.0
 */

/**
 * The defaults: 2 connections for each endpoint, 5 in all, connecting within 10 s, idle for 60 s, alive for 5 minutes.
 *
 * @category presets
 * @since 0.1.0
 */
export const defaults = {
  maxPerEndpoint: 2,
  maxTotal: 5,
  connectTimeout: "10 seconds",
  idleTimeout: "60 seconds",
  maxLifetime: "5 minutes"
} as const

/**
 * For long-lived backends under load: 20 connections for each endpoint, 200 in all, connecting within 5 s, idle for 10
 * minutes, alive for 2 hours.
 *
 * @category presets
 * @since 0.1.0
 */
export const highThroughput = {
  maxPerEndpoint: 20,
  maxTotal: 200,
  connectTimeout: "5 seconds",
  idleTimeout: "10 minutes",
  maxLifetime: "2 hours"
} as const

/**
 * For callers that would rather fail soon: 5 connections for each endpoint, 50 in all, connecting within 2 s, idle for 2
 * minutes, alive for 30 minutes.
 *
 * @category presets
 * @since 0.1.0
 */
export const lowLatency = {
  maxPerEndpoint: 5,
  maxTotal: 50,
  connectTimeout: "2 seconds",
  idleTimeout: "2 minutes",
  maxLifetime: "30 minutes"
} as const
