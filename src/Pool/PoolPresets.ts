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

/**
 * For functions, which many instances run at once and whose platform may stop them between two requests: one connection for
 * each instance, none that is kept, connecting within 2 s, idle for 30 s, alive for 5 minutes. Borrowing takes at most 5 s,
 * the end of the pool waits 100 ms for borrowers, and closing a connection takes at most 200 ms, so that all is closed
 * before the platform ends the process.
 *
 * **Details**
 *
 * A stopped instance closes nothing. So the server has to end what was idle for longer than `idleTimeout`, by a limit of
 * its own that is a little above it: the pool then knows before it lends a connection that the server has ended it.
 *
 * @category presets
 * @since 0.1.0
 */
export const serverless = {
  maxPerEndpoint: 1,
  maxTotal: 1,
  minPerEndpoint: 0,
  acquireTimeout: "5 seconds",
  connectTimeout: "2 seconds",
  idleTimeout: "30 seconds",
  maxLifetime: "5 minutes",
  closeTimeout: "200 millis",
  drainTimeout: "100 millis"
} as const
