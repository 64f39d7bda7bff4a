/**
 * What every contender may use: the same caps, the same timeouts, the same allowance of retries. Times are milliseconds.
 */
export interface Limits {
  /** Most connections at once. */
  readonly connections: number
  /** For one dial, with the login. */
  readonly connectTimeout: number
  /** For the wait for a connection: later there is no time for the question. */
  readonly acquireTimeout: number
  /** For one question to the server, and for its answer. */
  readonly requestTimeout: number
  /** For a whole request to the API: waiting for a connection, dials, questions and retries together. */
  readonly deadline: number
  /** Before the first retry; each further delay is twice the last one, up to `maxDelay`, with jitter. */
  readonly initialDelay: number
  readonly maxDelay: number
  /** Enough for retries until the deadline. */
  readonly attempts: number
  /** A connection that was idle for longer is checked before it is used. */
  readonly checkAfterIdle: number
}

/** Before the demo's own server. */
export const limits: Limits = {
  connections: 10,
  connectTimeout: 1000,
  acquireTimeout: 1900,
  requestTimeout: 500,
  deadline: 2000,
  initialDelay: 50,
  maxDelay: 500,
  attempts: 11,
  checkAfterIdle: 500
}

/** Before a database of the user, which others may use too. */
export const databaseLimits: Limits = {
  ...limits,
  connections: 5,
  // A statement that has begun has the time to end: its interruption would cost the session.
  acquireTimeout: limits.deadline - limits.requestTimeout
}
