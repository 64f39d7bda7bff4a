/**
 * Divides the available time among the steps of ending. All functions are pure, and all numbers are milliseconds.
 *
 * @since 0.1.0
 */

/** The time of one invocation, from its start. */
export interface InvocationBudget {
  /** How long the invocation may run. */
  readonly run: number
  /** How long its finalizers may take after the interruption that follows. */
  readonly finalize: number
  /** How long it may then take to end after its connections were closed. */
  readonly force: number
  /** By then all steps have ended, also the work between two invocations. The rest is for the answer. */
  readonly total: number
}

/** Divides the remaining time of an invocation. `margin`, but at most half of the time, is reserved for its end. */
export const invocationBudget = (remaining: number, margin: number): InvocationBudget => {
  // NaN counts as no time.
  const left = remaining > 0 ? remaining : 0
  const kept = Math.min(margin, left / 2)
  return { run: left - kept, finalize: kept * 0.5, force: kept * 0.1, total: left - kept * 0.15 }
}

/** The time of a shutdown, from the signal. Its steps follow each other and end before the window does. */
export interface ShutdownBudget {
  /** How long running invocations may take to end after their interruption. */
  readonly invocations: number
  /** Then the layers close in the order of their dependencies. */
  readonly layers: number
  /**
   * Then all pools close at the same time, and those that stay open after the others. Each waits for its borrowers for `drain`, and
   * closes within `close`.
   */
  readonly pools: number
  readonly drain: number
  readonly close: number
  /** By then all of it has ended. The rest is for the platform's own code. */
  readonly total: number
}

export const shutdownBudget = (window: number): ShutdownBudget => ({
  invocations: window * 0.25,
  layers: window * 0.25,
  pools: window * 0.4,
  drain: window * 0.1,
  close: window * 0.3,
  total: window * 0.9
})

/** The time that closing a program takes, from its end. */
export interface MainBudget {
  /** How long everything closes in the order of its dependencies. */
  readonly inOrder: number
  /** Then HTTP requests that are still under way are ended, and closing in order continues for this time. */
  readonly cut: number
  /** Then everything closes at the same time. */
  readonly together: number
  /** A pool waits for its borrowers for `drain`, and closes a connection within `close`. */
  readonly drain: number
  readonly close: number
  /** A connection closes within this time when everything closes at the same time. */
  readonly closeTogether: number
  readonly total: number
}

/** Closing everything at the same time takes no longer in a longer window. The rest of the window is for requests that are under way. */
const longest = { together: 2000, rest: 500 }

export const mainBudget = (window: number): MainBudget => {
  const together = Math.min(window * 0.4, longest.together)
  const rest = Math.min(window * 0.1, longest.rest)
  return {
    inOrder: window - together - rest,
    cut: rest,
    together,
    drain: window * 0.25,
    close: window * 0.3,
    closeTogether: together * 0.75,
    total: window
  }
}
